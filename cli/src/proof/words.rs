//! What a checked proof shows, and what it rests on, in plain words.

use chain::{
    id::ConnectorId,
    receipt::SessionReceipt,
    verify::{AccountProof, RestsOn, SessionProof, Trusted, VerifiedAccount, VerifiedSession},
};

use super::Again;
use crate::{
    quantity::{count, time, tokens},
    verify::Verdict,
};

/// Of a session.
pub fn session(proof: &SessionProof, verified: &VerifiedSession<'_>, again: &Again) -> Verdict {
    let mut verdict = anchor(&verified.trusted);
    let SessionReceipt { tariff, tariff_version, connector, .. } = verified.bill;
    let ConnectorId { condominium, number } = *connector;
    let first = proof.steps.first().map_or(verified.settled_in, |step| step.height);
    verdict.proved.push(format!(
        "{} of blocks {first} to {} tell of session {} at connector {condominium}-{number}, unchanged, and it was settled once, in block {}",
        count(proof.steps.len() as u64, "receipt"),
        proof.steps.last().map_or(verified.settled_in, |step| step.height),
        proof.session,
        verified.settled_in,
    ));
    verdict.proved.push(format!(
        "the bill is what {} and tariff {tariff} version {tariff_version} come to: it was computed again here, from signed transactions",
        count(again.readings, "reading"),
    ));
    verdict.proved.push("what was paid and what was refunded make up what was locked".to_owned());
    verdict.relied_on.push(
        "the gateway's meter: the readings are those that its key signed; raw samples behind them, while it keeps them, are held against the chain by `watt audit replay --node` with the node of its condominium".to_owned(),
    );
    verdict
}

/// Of an account.
pub fn account(proof: &AccountProof, verified: &VerifiedAccount<'_>, currency: &str) -> Verdict {
    let mut verdict = anchor(&verified.trusted);
    let header = verified.trusted.anchor();
    let when = format!("after block {}, {}", header.height, time(header.timestamp));
    verdict.proved.push(match verified.account {
        Some(account) => format!(
            "{when}, account {} has {} to spend and {} locked",
            proof.address,
            tokens(account.balance, currency),
            tokens(account.held, currency)
        ),
        None => format!("{when}, there is no account {}", proof.address),
    });
    verdict
}

/// Of the block that everything hangs on.
fn anchor(trusted: &Trusted<'_>) -> Verdict {
    let header = trusted.anchor();
    let (signed, members) = trusted.signatures();
    let proved = format!(
        "block {} ({}) of chain {}: {signed} of {members} validators signed it, more than two thirds of the power",
        header.height,
        time(header.timestamp),
        header.chain_id
    );
    let sets = count(trusted.sets() as u64, "validator set");
    let relied_on = match trusted.rests_on() {
        RestsOn::Genesis(genesis) => vec![
            format!("genesis {genesis} being that of the federation that you mean"),
            format!(
                "no quorum of validators' keys having leaked, those that have retired included ({sets} since genesis): a checkpoint would need only those after it"
            ),
        ],
        RestsOn::Checkpoint(checkpoint) => {
            vec![format!("checkpoint {checkpoint} being a block of the federation that you mean, and no key at all")]
        }
        RestsOn::Since(checkpoint) => vec![
            format!("checkpoint {checkpoint} being a block of the federation that you mean"),
            format!("no quorum of the validators' keys after block {} having leaked ({sets})", checkpoint.height),
        ],
    };
    Verdict { proved: vec![proved], relied_on }
}
