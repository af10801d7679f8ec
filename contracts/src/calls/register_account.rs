//! `RegisterAccount`: makes an account: by a manager or treasurer of its home, or by the account itself with an invite that one of them signed.

use chain::code::{Code, Rejection};
use chain::{
    codec,
    crypto::Signature,
    id::{Address, ChainId, CondominiumId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Makes an account: by a manager or treasurer of its home, or by the account itself with an invite that one of them signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RegisterAccount {
    /// The account's own key.
    pub account: Address,
    /// Its home.
    pub condominium: CondominiumId,
    /// Given where the account registers itself; then the transaction is its own first, with nonce 0.
    pub invite: Option<Invite>,
}

/// A manager's or treasurer's promise to register whoever shows it first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invite {
    /// Who signed it: a manager or treasurer of the condominium.
    pub issuer: Address,
    /// A number that the issuer never used before.
    pub serial: u64,
    /// The last block time at which it is good; at most 90 days after the block's.
    pub expires: Timestamp,
    /// Over [`Invite::bytes`], behind the invite's domain.
    pub signature: Signature,
}

impl Invite {
    /// What the issuer signs.
    #[must_use]
    pub fn bytes(chain_id: ChainId, condominium: CondominiumId, issuer: Address, serial: u64, expires: Timestamp) -> Vec<u8> {
        codec::encode(&(chain_id, condominium, issuer, serial, expires)).unwrap_or_default()
    }
}

impl Action for RegisterAccount {
    fn name(&self) -> &'static str {
        "register_account"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
