//! Every route of the API, with what the OpenAPI document says of it. To add one, add a line here: [`Routes`] takes no handler without a description.
//!
//! Called by the router.

use axum::{http::StatusCode, middleware};
use chain::{
    api::{
        AccountView, AskedStartView, BlockReceipts, BlockView, CardView, ClearingView, CondominiumView, ConnectorView, GroupView, Health,
        MandateView, MonitorView, PaymentView, PositionView, ProvenReceipt, ProvenState, QueueTicket, QuoteView, ReadingView,
        RedemptionView, Rehearsed, RoleView, SessionView, StatementView, Status, StreamedEvent, Submitted, TariffView, TransactionView,
    },
    certificate::ValidatorSet,
    params::Params,
    sign_in::{Challenge, MAX_SIGN_IN_BYTES, SignIn, Token},
    transaction::MAX_TRANSACTION_BYTES,
    verify::{AccountProof, SessionProof},
};
use contracts::genesis::Genesis;

use super::{
    accounts, blocks, clearing, events, limit_time, mandates, metrics, monitor, openapi,
    openapi::{Part, Routes, about},
    operations, proofs,
    query::{Kind, PageQuery, Parameter},
    readers, sessions, sites, transactions,
};

const ACCOUNTS: &str = "Accounts";
const SESSIONS: &str = "Sessions";
const SITES: &str = "Connectors and prices";
const CLEARING: &str = "Between condominiums";
const CHAIN: &str = "The chain";
const NODE: &str = "The node";
const READERS: &str = "Signing in";

/// The type of bytes.
pub const OCTETS: &str = "application/octet-stream";

const LAST_EVENT: Parameter = Parameter::new(
    "Last-Event-ID",
    Kind::Text("^(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})$"),
    "The id of the last event that was read: the stream goes on after it.",
);

const ITS_OWN: &str = "the account's owner, and managers, treasurers and auditors of its home.";
const SESSION: &str = "whoever opened it, and managers, treasurers and auditors of its place and of the owner's home.";
const AUDITORS: &str = "auditors.";

/// All of them.
pub fn routes() -> Routes {
    let timed = signing_in()
        .and(submitting())
        .and(of_accounts())
        .and(of_sessions())
        .and(of_sites())
        .and(of_clearing())
        .and(of_chain())
        .and(of_node());
    let timed = timed.with(|router| router.route_layer(middleware::from_fn(limit_time)));
    timed.and(streams()).below("/api/v1").and(at_the_root())
}

fn signing_in() -> Routes {
    let challenge =
        about(READERS, "Ask for words to sign.").answers::<Challenge>("To be signed and sent to `/tokens` within a minute, once.");
    let token = about(READERS, "Sign in.")
        .says("The signature is over the challenge and the account in the chain's own encoding: `chain_id`, `node`, `nonce`, `expires_at` (8 bytes, little endian), `seal`, account, after the prefix `commonwatt/read/v1` and a zero byte.")
        .reads_json::<SignIn>("The challenge, the account and its signature.")
        .answers::<Token>("To be sent as `Authorization: Bearer …` for a quarter of an hour.")
        .refuses(StatusCode::UNAUTHORIZED, "The challenge has lapsed, was answered before, or is answered by another key.");
    Routes::new().post("/challenges", 0, readers::challenge, challenge).post("/tokens", MAX_SIGN_IN_BYTES, readers::token, token)
}

fn submitting() -> Routes {
    let submit = about(CHAIN, "Submit a signed transaction.")
        .says(
            "The body is the transaction's bytes, signature first. With `wait=committed` the answer comes with the receipt, which may say `rejected`: the \
             transaction is in a block then, its nonce is used, and nothing else has changed. After 504 it may still be committed: sending the same bytes again \
             is safe.",
        )
        .takes::<transactions::SubmitQuery>()
        .reads_bytes("A signed transaction, at most 64 KiB.")
        .answers::<Submitted>("It is in a block.")
        .answers_with::<Submitted>(StatusCode::ACCEPTED, "It waits for a block.")
        .refuses(StatusCode::UNAUTHORIZED, "The signature is not the signer's, or nobody knows the signer.")
        .refuses(StatusCode::FORBIDDEN, "The signer has no such right.")
        .refuses(StatusCode::CONFLICT, "Another nonce is expected.")
        .refuses(StatusCode::GATEWAY_TIMEOUT, "It is still pooled: no block took it in time.");
    let rehearse = about(CHAIN, "Try a transaction without taking it.")
        .says("The body is a transaction's bytes, signed to be tried: nobody can submit it. Nothing is pooled and nothing is changed.")
        .reads_bytes("A transaction that is signed to be tried, at most 64 KiB.")
        .answers::<Rehearsed>("What it would do in the next block.")
        .refuses(StatusCode::UNAUTHORIZED, "The signature is not the signer's, or nobody knows the signer.")
        .refuses(StatusCode::FORBIDDEN, "The signer has no such right.")
        .refuses(StatusCode::CONFLICT, "Another nonce is expected.");
    let transaction = about(CHAIN, "A transaction, committed or pooled.")
        .for_readers(ITS_OWN)
        .named("id", Part::Beginning)
        .answers::<TransactionView>("The transaction.");
    let receipt = about(CHAIN, "What a transaction did, and what proves it.")
        .for_readers(ITS_OWN)
        .named("id", Part::Beginning)
        .answers::<ProvenReceipt>("The receipt, its path, header and certificate.");
    Routes::new()
        .post("/transactions", MAX_TRANSACTION_BYTES, transactions::submit, submit)
        .post("/rehearsals", MAX_TRANSACTION_BYTES, transactions::rehearse, rehearse)
        .get("/transactions/{id}", transactions::show, transaction)
        .get("/receipts/{id}", transactions::receipt, receipt)
}

fn of_accounts() -> Routes {
    let of = |summary| about(ACCOUNTS, summary).named("address", Part::Account).for_readers(ITS_OWN);
    let account = of("An account's sums, next nonce and roles.").answers::<AccountView>("The account.");
    let history = of("An account's transactions, newest first.").takes::<PageQuery>().answers_page::<TransactionView>("A page of them.");
    let proof = of("An account's record, or that there is none, with all that proves it.")
        .takes::<proofs::ProofQuery>()
        .answers::<AccountProof>("The proof.");
    let mandates = of("What the account's cards may start.").takes::<PageQuery>().answers_page::<MandateView>("A page of mandates.");
    let starts = of("What the account's cards have asked for and it may still confirm.")
        .takes::<PageQuery>()
        .answers_page::<AskedStartView>("A page of them.");
    let cards = about(ACCOUNTS, "The cards that are bound, by commitment.")
        .for_readers("one's own, and for staff those of their condominium.")
        .takes::<mandates::CardsQuery>()
        .answers_page::<CardView>("A page of cards.");
    let redemptions = about(ACCOUNTS, "Redemptions that wait for an answer.")
        .for_readers("one's own, and for staff those of accounts at home with them.")
        .takes::<accounts::RedemptionsQuery>()
        .answers_page::<RedemptionView>("A page of redemptions.");
    let roles = about(ACCOUNTS, "Who holds which role in a condominium.")
        .takes::<accounts::RolesQuery>()
        .answers_page::<RoleView>("A page of roles.");
    Routes::new()
        .get("/accounts/{address}", accounts::show, account)
        .get("/accounts/{address}/transactions", accounts::transactions, history)
        .get("/accounts/{address}/proof", proofs::account, proof)
        .get("/accounts/{address}/mandates", mandates::mandates, mandates)
        .get("/accounts/{address}/starts", mandates::starts, starts)
        .get("/cards", mandates::cards, cards)
        .get("/redemptions", accounts::redemptions, redemptions)
        .get("/roles", accounts::roles, roles)
}

fn of_sessions() -> Routes {
    let of = |summary| about(SESSIONS, summary).named("id", Part::Beginning).for_readers(SESSION);
    let list = about(SESSIONS, "Sessions, newest first.")
        .for_readers("one's own, and for staff those in their condominium; what a reader may not see is left out.")
        .says("Those that are open where neither account, connector nor state is named.")
        .takes::<sessions::SessionsQuery>()
        .answers_page::<SessionView>("A page of sessions.");
    let show = of("Where a session stands, or its bill.").answers::<SessionView>("The session.");
    let receipt =
        of("A settled session's bill and what proves it.").answers::<ProvenReceipt>("The receipt, its path, header and certificate.");
    let proof = of("All that proves a settled session and its bill to a light client.")
        .takes::<proofs::ProofQuery>()
        .answers::<SessionProof>("The proof.");
    let readings = of("Attested readings, newest first.").takes::<PageQuery>().answers_page::<ReadingView>("A page of readings.");
    let samples = of("The raw samples behind a reading.")
        .named("sequence", Part::Sequence)
        .answers::<sessions::SamplesView>("Salt, root and samples.")
        .refuses(StatusCode::GONE, "The gateway no longer keeps them.");
    let queue = about(SESSIONS, "Who waits, in which place, and why.")
        .says("Whoever knows the id of a session asks with `session` for its ticket; without it a reader who has signed in sees his own, and staff those of their condominium.")
        .refuses(StatusCode::UNAUTHORIZED, "Without `session` this is for readers who have signed in.")
        .takes::<sessions::QueueQuery>().answers_page::<QueueTicket>("A page of tickets.");
    let monitor = about(SESSIONS, "What this node's gateway sees at its connectors.")
        .for_readers("staff of the condominium, and whoever charges at a connector.")
        .takes::<PageQuery>()
        .answers_page::<MonitorView>("A page of connectors.");
    Routes::new()
        .get("/monitor", monitor::list, monitor)
        .get("/sessions", sessions::list, list)
        .get("/sessions/{id}", sessions::show, show)
        .get("/sessions/{id}/receipt", sessions::receipt, receipt)
        .get("/sessions/{id}/proof", proofs::session, proof)
        .get("/sessions/{id}/readings", sessions::readings, readings)
        .get("/sessions/{id}/readings/{sequence}/samples", sessions::samples, samples)
        .get("/queue", sessions::queue, queue)
}

fn of_sites() -> Routes {
    let quote =
        about(SITES, "What a charge costs, before anything is locked.").takes::<sites::QuoteQuery>().answers::<QuoteView>("The quote.");
    let tariffs = about(SITES, "Tariffs in force and announced.")
        .takes::<PageQuery>()
        .answers_page::<TariffView>("A page of versions, at most two of a tariff.");
    let tariff = about(SITES, "The versions of a tariff, newest first.")
        .named("id", Part::Local)
        .takes::<PageQuery>()
        .answers_page::<TariffView>("A page of versions.");
    let connectors = about(SITES, "Connectors, free or busy.").takes::<PageQuery>().answers_page::<ConnectorView>("A page of connectors.");
    let connector = about(SITES, "A connector.").named("id", Part::Local).answers::<ConnectorView>("The connector.");
    let groups =
        about(SITES, "Groups and what may still be granted in them.").takes::<PageQuery>().answers_page::<GroupView>("A page of groups.");
    let sums = |summary| about(SITES, summary).takes::<PageQuery>().answers_page::<CondominiumView>("A page of condominiums.");
    Routes::new()
        .get("/quote", sites::quote, quote)
        .get("/tariffs", sites::tariffs, tariffs)
        .get("/tariffs/{id}", sites::tariff, tariff)
        .get("/connectors", sites::connectors, connectors)
        .get("/connectors/{id}", sites::connector, connector)
        .get("/groups", sites::groups, groups)
        .get("/condominiums", sites::condominiums, sums("Condominiums and the sums of their tokens."))
        .get("/totals", sites::condominiums, sums("The same as `/condominiums`."))
}

fn of_clearing() -> Routes {
    let positions =
        about(CLEARING, "What one condominium owes another.").takes::<PageQuery>().answers_page::<PositionView>("A page of positions.");
    let payments =
        about(CLEARING, "Payments that are not confirmed.").takes::<PageQuery>().answers_page::<PaymentView>("A page of payments.");
    let clearings =
        about(CLEARING, "Periods of charging away from home.").takes::<PageQuery>().answers_page::<ClearingView>("A page of periods.");
    let statement = about(CLEARING, "What was charged where in a period, and who pays whom.")
        .named("number", Part::Clearing)
        .answers::<StatementView>("The statement.");
    Routes::new()
        .get("/positions", clearing::positions, positions)
        .get("/payments", clearing::payments, payments)
        .get("/clearings", clearing::list, clearings)
        .get("/clearings/{number}", clearing::show, statement)
}

fn of_chain() -> Routes {
    let block = |summary| about(CHAIN, summary).named("name", Part::Block);
    let list = about(CHAIN, "Blocks, newest first.").takes::<blocks::BlocksQuery>().answers_page::<BlockView>("A page of blocks.");
    let state = about(CHAIN, "A value of the state, or its absence, and what proves it.")
        .says("Values that name nobody are everybody's (parameters, validators, tariffs, groups, condominiums and what they owe); an account's are its owner's and his staff's; others an auditor's.")
        .refuses(StatusCode::UNAUTHORIZED, "This value is for readers who have signed in.")
        .refuses(StatusCode::FORBIDDEN, "This reader may not see it.")
        .takes::<blocks::StateQuery>()
        .answers::<ProvenState>("The value, its proof, header and certificate.");
    Routes::new()
        .get("/blocks", blocks::list, list)
        .get("/blocks/{name}", blocks::show, block("A block's header and the ids of its transactions.").answers::<BlockView>("The block."))
        .get(
            "/blocks/{name}/receipts",
            blocks::receipts,
            block("What a block did.").for_readers(AUDITORS).answers::<BlockReceipts>("Its receipts, in order."),
        )
        .get(
            "/blocks/{name}/bytes",
            blocks::bytes,
            block("A block as it is encoded.").for_readers(AUDITORS).answers_raw(OCTETS, "The bytes."),
        )
        .get("/state", blocks::state, state)
        .get("/genesis", operations::genesis, about(CHAIN, "The document that the chain began with.").answers::<Genesis>("The document."))
        .get(
            "/params",
            operations::params,
            about(CHAIN, "Limits and periods that every node applies.").answers::<Params>("The parameters."),
        )
        .get("/validators", operations::validators, about(CHAIN, "Who decides the next height.").answers::<ValidatorSet>("The validators."))
}

fn health() -> openapi::Operation {
    about(NODE, "Whether the node follows the chain.")
        .answers::<Health>("It does.")
        .answers_with::<Health>(StatusCode::SERVICE_UNAVAILABLE, "It does not.")
}

fn of_node() -> Routes {
    let status = about(NODE, "The chain as this node has it.").answers::<Status>("Where the node stands.");
    let document = about(NODE, "This document.").answers_document("An OpenAPI 3.1 document.");
    Routes::new().get("/status", operations::status, status).get("/health", operations::health, health()).get(
        "/openapi.json",
        openapi::show,
        document,
    )
}

/// Those that may take as long as somebody listens.
fn streams() -> Routes {
    let events = about(CHAIN, "What is committed, as it is.")
        .for_readers("what names nobody, and what names an account or a session that the reader may see.")
        .says(
            "Server-sent events: the id is `HEIGHT-RECEIPT-EVENT`, the name the kind, the data a `StreamedEvent`. With `Last-Event-ID` the stream goes on after \
             that event, with `from` at that height, otherwise with the next block; nothing is left out or sent twice. After 15 s of silence a comment is sent. \
             When the reader's token runs out, an event `sign_in_needed` with a problem as its data and without an id ends the stream.",
        )
        .takes::<events::EventsQuery>()
        .heeds(&[LAST_EVENT])
        .answers_raw("text/event-stream", "A stream that ends with the reader's token alone.")
        .mentions::<StreamedEvent>();
    let export = about(CHAIN, "The whole chain as one stream, for `watt audit replay`.")
        .for_readers(AUDITORS)
        .takes::<operations::ExportQuery>()
        .answers_raw(OCTETS, "The stream.");
    Routes::new().get("/events", events::stream, events).get("/export", operations::export, export)
}

fn at_the_root() -> Routes {
    let counted = about(NODE, "What the node counts, for Prometheus.").answers_raw(metrics::TEXT, "Prometheus' text form.");
    Routes::new().get("/health", operations::health, health()).get("/metrics", operations::metrics, counted)
}
