//! What a proof claims: a session's life and bill, or an account's record.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Anchor, Beginning, MAX_STEPS, Trust, Trusted, VerifyError, anchor::limit};
use crate::{
    codec,
    hash::Context,
    id::{Address, Height, SessionId, TariffId, TxId},
    merkle::Path,
    receipt::{Cause, Event, Receipt, SessionReceipt},
    record::{Account, Key, TariffVersion},
    transaction::{self, MAX_TRANSACTION_BYTES},
    tree::StateProof,
};

/// A settled session: everything that the chain says of it, from its opening to its bill.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionProof {
    /// Which.
    pub session: SessionId,
    /// What happened to it, in order; at most [`MAX_STEPS`].
    pub steps: Vec<Step>,
    /// The tariff that billed it.
    pub tariff: ProvenTariff,
    /// What all of it hangs on.
    pub anchor: Anchor,
}

/// A receipt that names the session, and the transaction that caused it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The block.
    pub height: Height,
    /// What happened.
    pub receipt: Receipt,
    /// The receipt's path to the block's receipts root.
    pub path: Path,
    /// What was signed; nothing where a deadline was the cause.
    pub transaction: Option<ProvenTransaction>,
}

/// A transaction's bytes and their path to the block's transactions root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProvenTransaction {
    /// As signed and sent, signature first; hexadecimal digits in JSON.
    #[serde(serialize_with = "as_hex", deserialize_with = "from_hex")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub bytes: Vec<u8>,
    /// The path.
    pub path: Path,
}

/// A version of a tariff, as the state after the anchor has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProvenTariff {
    /// Which.
    pub id: TariffId,
    /// Its version.
    pub version: u32,
    /// The document.
    pub record: TariffVersion,
    /// Its path to the anchor's state root.
    pub proof: StateProof,
}

/// An account's record after the anchor, or that there is none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AccountProof {
    /// Whose.
    pub address: Address,
    /// The record; nothing where the address is not registered.
    pub account: Option<Account>,
    /// Its path, or that of its absence, to the anchor's state root.
    pub proof: StateProof,
    /// What it hangs on.
    pub anchor: Anchor,
}

/// A session whose proof holds.
#[derive(Clone, Debug)]
pub struct VerifiedSession<'a> {
    /// The anchor and its headers.
    pub trusted: Trusted<'a>,
    /// The bill.
    pub bill: &'a SessionReceipt,
    /// The height of its block.
    pub settled_in: Height,
}

/// An account whose proof holds.
#[derive(Clone, Debug)]
pub struct VerifiedAccount<'a> {
    /// The anchor.
    pub trusted: Trusted<'a>,
    /// The record after it.
    pub account: Option<&'a Account>,
}

impl SessionProof {
    /// Checks every receipt, transaction and header, that the session was settled once, that its bill adds up, and that the tariff is the one that it names.
    /// Whether the bill follows from readings and tariff is not computed here.
    ///
    /// # Errors
    /// The first [`VerifyError`].
    pub fn verify(&self, beginning: &Beginning, trust: Trust) -> Result<VerifiedSession<'_>, VerifyError> {
        limit("receipts", MAX_STEPS, self.steps.len())?;
        let trusted = self.anchor.verify(beginning, trust)?;
        let mut last = None;
        for step in &self.steps {
            let place = (step.height, step.path.index);
            if last.is_some_and(|last| last >= place) {
                return Err(VerifyError::StepOrder { height: step.height, index: step.path.index });
            }
            last = Some(place);
            step.verify(self.session, &trusted)?;
        }
        let bills: Vec<_> = self.steps.iter().filter_map(|step| Some((step.height, step.receipt.bill_of(self.session)?))).collect();
        let [(settled_in, bill)] = bills.as_slice() else {
            return Err(VerifyError::Settlements { session: self.session, found: bills.len() });
        };
        if bill.paid.checked_add(bill.refund) != Some(bill.escrow) {
            return Err(VerifyError::Bill { escrow: bill.escrow.micro(), paid: bill.paid.micro(), refund: bill.refund.micro() });
        }
        let ProvenTariff { id, version, record, proof } = &self.tariff;
        if (*id, *version) != (bill.tariff, bill.tariff_version) {
            return Err(VerifyError::OtherTariff);
        }
        let value = codec::encode(record).map_err(|_| VerifyError::Unencodable)?;
        has(&trusted, "tariff", &Key::TariffVersion(*id, *version), proof, Some(&value))?;
        Ok(VerifiedSession { bill, settled_in: *settled_in, trusted })
    }
}

impl Step {
    fn verify(&self, session: SessionId, trusted: &Trusted<'_>) -> Result<(), VerifyError> {
        let (height, index) = (self.height, self.path.index);
        let header = trusted.header(height).ok_or(VerifyError::NoHeader(height))?;
        self.path.verify(self.receipt.leaf(), header.receipts_root).map_err(|error| VerifyError::ReceiptPath { height, error })?;
        if !self.receipt.events.iter().any(|event| Event::session(event) == Some(session)) {
            return Err(VerifyError::OtherSession { session, height, index });
        }
        let other = VerifyError::OtherTransaction { height, index };
        match (self.receipt.cause, &self.transaction) {
            (Cause::Due(_), None) => Ok(()),
            (Cause::Transaction(id), Some(ProvenTransaction { bytes, path })) => {
                path.verify(transaction::leaf(bytes), header.transactions_root)
                    .map_err(|error| VerifyError::TransactionPath { height, error })?;
                if path.index == index && id_of(bytes) == Some(id) { Ok(()) } else { Err(other) }
            }
            (Cause::Due(_), Some(_)) | (Cause::Transaction(_), None) => Err(other),
        }
    }
}

impl AccountProof {
    /// Checks that the account has this record, or none, after the anchor.
    ///
    /// # Errors
    /// The first [`VerifyError`].
    pub fn verify(&self, beginning: &Beginning, trust: Trust) -> Result<VerifiedAccount<'_>, VerifyError> {
        let trusted = self.anchor.verify(beginning, trust)?;
        let value = self.account.map(|account| codec::encode(&account)).transpose().map_err(|_| VerifyError::Unencodable)?;
        has(&trusted, "account", &Key::Account(self.address), &self.proof, value.as_deref())?;
        Ok(VerifiedAccount { account: self.account.as_ref(), trusted })
    }
}

/// That a key has this value, or none, after the anchor.
fn has(trusted: &Trusted<'_>, what: &'static str, key: &Key, proof: &StateProof, value: Option<&[u8]>) -> Result<(), VerifyError> {
    let anchor = trusted.anchor();
    proof.verify(anchor.state_root, &key.bytes(), value).map_err(|error| VerifyError::State { what, height: anchor.height, error })
}

/// The id of a transaction's bytes: that of the body behind the signature.
fn id_of(bytes: &[u8]) -> Option<TxId> {
    bytes.get(transaction::SIGNATURE_BYTES..).map(|body| TxId(Context::TransactionId.hash(&[body])))
}

fn as_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    if text.len() > MAX_TRANSACTION_BYTES.saturating_mul(2) {
        return Err(D::Error::custom(format!("at most {MAX_TRANSACTION_BYTES} bytes")));
    }
    hex::decode(text.as_ref()).map_err(D::Error::custom)
}
