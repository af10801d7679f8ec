//! What a client may ask a node: one function for each question, in the API's own types.

use chain::{
    api::{
        AccountView, AskedStartView, BlockReceipts, BlockView, CardView, ClearingView, CondominiumView, ConnectorView, GroupView, Health,
        MandateView, MonitorView, Page, PaymentView, PositionView, ProvenReceipt, ProvenState, QueueTicket, QuoteView, ReadingView,
        RedemptionView, RoleView, SessionView, StatementView, Status, TariffView, TransactionView,
    },
    certificate::ValidatorSet,
    id::{Address, CondominiumId, ConnectorId, Height, SessionId, TariffId, TxId},
    params::Params,
    quantity::WattHours,
    time::Timestamp,
    verify::{AccountProof, SessionProof},
};
use contracts::genesis::Genesis;
use reqwest::Method;

use super::{Client, ClientError, REQUEST_TIMEOUT, page, parameter};

/// Which sessions to list.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SessionFilter {
    /// Only this account's.
    pub account: Option<Address>,
    /// Only those at this connector.
    pub connector: Option<ConnectorId>,
    /// Only those in this state; all where there is none.
    pub state: Option<SessionStateFilter>,
}

/// Open or settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionStateFilter {
    /// In the state.
    Open,
    /// Over.
    Settled,
}

/// What to ask a price for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuoteQuery {
    /// Where.
    pub connector: ConnectorId,
    /// How much; all that the duration allows where there is none.
    pub energy: Option<WattHours>,
    /// How long; the longest that the chain allows where there is none.
    pub max_duration: Option<chain::time::Duration>,
    /// From when; now where there is none.
    pub at: Option<Timestamp>,
}

impl Client {
    /// `GET /status`.
    ///
    /// # Errors
    /// [`ClientError`]; so for every request below.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/status").await
    }

    /// `GET /health`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get("/health").await
    }

    /// `GET /metrics`: what the node counts, in Prometheus' text form.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let request = self.http.get(format!("{}/metrics", self.base)).timeout(REQUEST_TIMEOUT);
        let body = self.body("/metrics", self.send(request).await?).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// `GET /genesis`: the document whose hash is the chain id.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn genesis(&self) -> Result<Genesis, ClientError> {
        self.get("/genesis").await
    }

    /// `GET /params`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn params(&self) -> Result<Params, ClientError> {
        self.get("/params").await
    }

    /// `GET /validators`: those who decide the next height.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn validators(&self) -> Result<ValidatorSet, ClientError> {
        self.get("/validators").await
    }

    /// `GET /accounts/{address}`.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::is_code`] `unknown_account` where it is not registered.
    pub async fn account(&self, address: Address) -> Result<AccountView, ClientError> {
        self.get(&format!("/accounts/{address}")).await
    }

    /// One page of an account's transactions, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn account_transactions(
        &self,
        address: Address,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<TransactionView>, ClientError> {
        self.get(&page(format!("/accounts/{address}/transactions"), limit, cursor)).await
    }

    /// `GET /transactions/{id}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transaction(&self, id: TxId) -> Result<TransactionView, ClientError> {
        self.get(&format!("/transactions/{id}")).await
    }

    /// `GET /receipts/{id}`: a transaction's receipt and what proves it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn receipt(&self, id: TxId) -> Result<ProvenReceipt, ClientError> {
        self.get(&format!("/receipts/{id}")).await
    }

    /// `GET /quote`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn quote(&self, query: QuoteQuery) -> Result<QuoteView, ClientError> {
        let mut path = format!("/quote?connector={}", query.connector);
        parameter(&mut path, "energy_wh", query.energy.map(WattHours::get));
        parameter(&mut path, "max_duration_ms", query.max_duration.map(chain::time::Duration::ms));
        parameter(&mut path, "at", query.at.map(Timestamp::ms));
        self.get(&path).await
    }

    /// `GET /sessions/{id}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn session(&self, id: SessionId) -> Result<SessionView, ClientError> {
        self.get(&format!("/sessions/{id}")).await
    }

    /// The session whose id begins with these hexadecimal digits, of which there are at least [`crate::named::MIN_PREFIX_DIGITS`].
    ///
    /// # Errors
    /// [`ClientError::Problem`] `not_found` where there is none, `ambiguous` with the candidates where there are several.
    pub async fn session_beginning(&self, digits: &str) -> Result<SessionId, ClientError> {
        match self.get(&format!("/sessions/{digits}")).await? {
            SessionView::Open { id, .. } | SessionView::Settled { id, .. } => Ok(id),
        }
    }

    /// The committed transaction whose id begins with these hexadecimal digits.
    ///
    /// # Errors
    /// As [`Client::session_beginning`].
    pub async fn transaction_beginning(&self, digits: &str) -> Result<TxId, ClientError> {
        let view: TransactionView = self.get(&format!("/transactions/{digits}")).await?;
        Ok(view.id)
    }

    /// One page of sessions, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sessions(&self, filter: SessionFilter, limit: u32, cursor: Option<&str>) -> Result<Page<SessionView>, ClientError> {
        let mut path = page("/sessions".to_owned(), limit, cursor);
        parameter(&mut path, "account", filter.account);
        parameter(&mut path, "connector", filter.connector);
        let state = match filter.state {
            None => "all",
            Some(SessionStateFilter::Open) => "open",
            Some(SessionStateFilter::Settled) => "settled",
        };
        parameter(&mut path, "state", Some(state));
        self.get(&path).await
    }

    /// `GET /sessions/{id}/receipt`: a settled session's bill and what proves it; [`crate::verify::receipt`] checks it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn session_receipt(&self, id: SessionId) -> Result<ProvenReceipt, ClientError> {
        self.get(&format!("/sessions/{id}/receipt")).await
    }

    /// `GET /sessions/{id}/proof`: a settled session's life and bill with all that proves it, and the header of the block `checkpoint`; [`crate::proof`]
    /// checks it.
    ///
    /// # Errors
    /// [`ClientError`]; the field of the problem is `checkpoint` where the node has no such block.
    pub async fn session_proof(&self, id: SessionId, checkpoint: Option<Height>) -> Result<SessionProof, ClientError> {
        let mut path = format!("/sessions/{id}/proof");
        parameter(&mut path, "checkpoint", checkpoint);
        self.get(&path).await
    }

    /// `GET /accounts/{address}/proof`: an account's record, or that there is none, with all that proves it, and the header of the block `checkpoint`.
    ///
    /// # Errors
    /// As [`Client::session_proof`].
    pub async fn account_proof(&self, address: Address, checkpoint: Option<Height>) -> Result<AccountProof, ClientError> {
        let mut path = format!("/accounts/{address}/proof");
        parameter(&mut path, "checkpoint", checkpoint);
        self.get(&path).await
    }

    /// All readings of a session, in order.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn readings(&self, id: SessionId) -> Result<Vec<ReadingView>, ClientError> {
        let mut readings: Vec<ReadingView> = self.list(&format!("/sessions/{id}/readings")).await?;
        // Pages come newest first; a refused reading keeps its place among those of its block.
        readings.sort_by_key(|reading| (reading.height, reading.at, reading.sequence));
        Ok(readings)
    }

    /// All tariffs, the versions in force or to come.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tariffs(&self) -> Result<Vec<TariffView>, ClientError> {
        self.list("/tariffs").await
    }

    /// All versions of a tariff.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tariff_versions(&self, id: TariffId) -> Result<Vec<TariffView>, ClientError> {
        self.list(&format!("/tariffs/{id}")).await
    }

    /// All connectors.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn connectors(&self) -> Result<Vec<ConnectorView>, ClientError> {
        self.list("/connectors").await
    }

    /// `GET /connectors/{id}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn connector(&self, id: ConnectorId) -> Result<ConnectorView, ClientError> {
        self.get(&format!("/connectors/{id}")).await
    }

    /// What the node's gateway sees at its connectors.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn monitor(&self) -> Result<Vec<MonitorView>, ClientError> {
        self.list("/monitor").await
    }

    /// All groups.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn groups(&self) -> Result<Vec<GroupView>, ClientError> {
        self.list("/groups").await
    }

    /// All condominiums with their sums.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn condominiums(&self) -> Result<Vec<CondominiumView>, ClientError> {
        self.list("/condominiums").await
    }

    /// What condominiums owe one another.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn positions(&self) -> Result<Vec<PositionView>, ClientError> {
        self.list("/positions").await
    }

    /// All periods of charging away from home that have ended, in order.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn clearings(&self) -> Result<Vec<ClearingView>, ClientError> {
        self.list("/clearings").await
    }

    /// What was charged away from home in a period, and who has to pay whom; of the one that runs where no number is given.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn statement(&self, number: Option<u32>) -> Result<StatementView, ClientError> {
        self.get(&number.map_or_else(|| "/clearings/next".to_owned(), |number| format!("/clearings/{number}"))).await
    }

    /// All payments between condominiums that are not confirmed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn payments(&self) -> Result<Vec<PaymentView>, ClientError> {
        self.list("/payments").await
    }

    /// All role grants of a condominium.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn roles(&self, condominium: CondominiumId) -> Result<Vec<RoleView>, ClientError> {
        self.list(&format!("/roles?condominium={condominium}")).await
    }

    /// All who wait, and why.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn queue(&self) -> Result<Vec<QueueTicket>, ClientError> {
        self.list("/queue").await
    }

    /// Pending redemptions, of one account or of all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn redemptions(&self, account: Option<Address>) -> Result<Vec<RedemptionView>, ClientError> {
        let mut path = "/redemptions".to_owned();
        parameter(&mut path, "account", account);
        self.list(&path).await
    }

    /// One page of blocks, newest first, those below `before` where it is given.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn blocks(&self, before: Option<Height>, limit: u32) -> Result<Page<BlockView>, ClientError> {
        let mut path = page("/blocks".to_owned(), limit, None);
        parameter(&mut path, "before", before);
        self.get(&path).await
    }

    /// The block of a height, or of a hash: whatever `name` is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block(&self, name: impl std::fmt::Display) -> Result<BlockView, ClientError> {
        self.get(&format!("/blocks/{name}")).await
    }

    /// `GET /blocks/{height}/receipts`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block_receipts(&self, height: Height) -> Result<BlockReceipts, ClientError> {
        self.get(&format!("/blocks/{height}/receipts")).await
    }

    /// `GET /blocks/{height}/bytes`: the encoded block.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block_bytes(&self, height: Height) -> Result<Vec<u8>, ClientError> {
        let path = format!("/blocks/{height}/bytes");
        let response = self.send(self.request(Method::GET, &path).timeout(REQUEST_TIMEOUT)).await?;
        self.body(&path, response).await
    }

    /// `GET /state?key=`: a value of the newest state, or its absence, and what proves it; [`crate::verify::state`] checks it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn state(&self, key: &chain::record::Key) -> Result<ProvenState, ClientError> {
        self.get(&format!("/state?key={}", hex::encode(key.bytes()))).await
    }

    /// `GET /accounts/{address}/mandates`: what an account lets cards start.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn mandates(&self, address: Address) -> Result<Vec<MandateView>, ClientError> {
        self.list(&format!("/accounts/{address}/mandates")).await
    }

    /// `GET /accounts/{address}/starts`: what the account's cards have asked for and it may still confirm.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn asked_starts(&self, address: Address) -> Result<Vec<AskedStartView>, ClientError> {
        self.list(&format!("/accounts/{address}/starts")).await
    }

    /// `GET /cards`: the cards that are bound, in one condominium and of one account where they are named.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cards(&self, condominium: Option<CondominiumId>, account: Option<Address>) -> Result<Vec<CardView>, ClientError> {
        let mut path = "/cards".to_owned();
        parameter(&mut path, "condominium", condominium);
        parameter(&mut path, "account", account);
        self.list(&path).await
    }
}
