//! One block in the making: which transactions may stand in it, what each does, and what is due after them.
//!
//! It works on an overlay and knows neither header nor roots. [`super::build`], [`super::execute`] and the rehearsals are its callers.

use std::collections::BTreeMap;

use chain::{
    certificate::ValidatorSet,
    code::{Code, Rejection},
    id::Address,
    receipt::{Cause, Outcome, Receipt},
    record::{Key, Role, Signer},
    state::{Change, StateRead},
    transaction::MAX_VALIDITY,
};

use super::VerifiedTransaction;
use crate::{
    call::{Call, Transaction},
    calls::register_account,
    context::{BlockContext, CallContext},
    failure::{Failure, Fault},
    ledger::Ledger,
    roles, sessions,
};

/// One block in the making.
pub(super) struct Engine<'a> {
    ledger: Ledger<'a>,
    block: BlockContext,
    receipts: Vec<Receipt>,
    /// Transactions so far, by signer.
    share: BTreeMap<Address, u32>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(state: &'a dyn StateRead, block: BlockContext) -> Self {
        Self { ledger: Ledger::new(state), block, receipts: Vec::new(), share: BTreeMap::new() }
    }

    /// Carries out one transaction and adds its receipt; a rejection here means that it may not stand in the block, and nothing was changed.
    pub(super) fn transaction(&mut self, verified: &VerifiedTransaction) -> Result<(), Failure> {
        let transaction = verified.get();
        let body = transaction.body();
        let signer = self.admit(transaction)?;
        let count = self.share.entry(body.signer).or_default();
        *count = count.saturating_add(1);

        let index = u32::try_from(self.receipts.len()).map_err(|_| Fault("more than 2^32 receipts".to_owned()))?;
        let id = transaction.id();
        let context = CallContext { block: &self.block, index, tx_id: id, account: body.account, signer: body.signer };
        if let Some(signer) = signer {
            self.ledger.put(&Key::Signer(body.signer), &Signer { nonce: signer.nonce.saturating_add(1), ..signer })?;
        }
        let savepoint = self.ledger.savepoint();
        let action = body.call.action();
        let result = action.check().map_err(Failure::from).and_then(|()| action.apply(&context, &mut self.ledger));
        let outcome = match result {
            Ok(()) => Outcome::Applied,
            Err(Failure::Reject(rejection)) => {
                self.ledger.rollback(savepoint);
                Outcome::Rejected(rejection)
            }
            Err(failure @ Failure::Fault(_)) => return Err(failure),
        };
        if signer.is_none() {
            self.count_first(&body.signer)?;
        }
        self.receipts.push(Receipt { cause: Cause::Transaction(id), outcome, events: self.ledger.take_events() });
        Ok(())
    }

    /// Carries out one transaction as the last; gives all changes so far, or the rejection that its receipt would say.
    pub(super) fn rehearse(mut self, verified: &VerifiedTransaction) -> Result<Vec<Change>, Failure> {
        self.transaction(verified)?;
        match self.receipts.last().map(|receipt| receipt.outcome) {
            Some(Outcome::Rejected(rejection)) => Err(rejection.into()),
            Some(Outcome::Applied) | None => Ok(self.ledger.into_changes()),
        }
    }

    /// Carries out one transaction as the only one; gives its receipt, or the rejection that it would say.
    pub(super) fn try_out(mut self, verified: &VerifiedTransaction) -> Result<Receipt, Failure> {
        self.transaction(verified)?;
        let receipt = self.receipts.pop().ok_or_else(|| Fault("a transaction without a receipt".to_owned()))?;
        match receipt.outcome {
            Outcome::Rejected(rejection) => Err(rejection.into()),
            Outcome::Applied => Ok(receipt),
        }
    }

    /// Lets every signer begin a new share: what comes next may stand in another block.
    pub(super) fn forget_shares(&mut self) {
        self.share.clear();
    }

    /// Whether a transaction may stand in the block; gives the signer's record, or nothing where this transaction registers him.
    fn admit(&self, transaction: &Transaction) -> Result<Option<Signer>, Failure> {
        let body = transaction.body();
        let now = self.block.timestamp;
        if body.chain_id != self.block.chain_id {
            return Err(Code::WrongChain.into());
        }
        if body.valid_until < now {
            return Err(Rejection::of(Code::Expired, now.ms(), body.valid_until.ms()).into());
        }
        let latest = now.saturating_add(MAX_VALIDITY);
        if body.valid_until > latest {
            return Err(Rejection::of(Code::ValidTooLong, latest.ms(), body.valid_until.ms()).into());
        }
        let signer: Option<Signer> = self.ledger.get(&Key::Signer(body.signer))?;
        match signer {
            Some(signer) if signer.account != body.account => return Err(Code::UnknownSigner.into()),
            Some(signer) if signer.nonce != body.nonce => return Err(Rejection::of(Code::WrongNonce, signer.nonce, body.nonce).into()),
            Some(_) => {}
            None => self.admit_newcomer(transaction)?,
        }
        let used = self.share.get(&body.signer).copied().unwrap_or_default();
        if used >= self.block.params.resident_txs_per_block {
            let limit =
                if self.has_role(&body.account)? { self.block.params.role_txs_per_block } else { self.block.params.resident_txs_per_block };
            if used >= limit {
                return Err(Rejection::of(Code::TooManyFromSigner, u64::from(limit), u64::from(used)).into());
            }
        }
        Ok(signer)
    }

    /// An unregistered key may send one thing: its own registration with a good invite. Anything else would be free spam.
    fn admit_newcomer(&self, transaction: &Transaction) -> Result<(), Failure> {
        let body = transaction.body();
        let Call::RegisterAccount(call) = &body.call else { return Err(Code::UnknownSigner.into()) };
        let itself = call.account == body.account && body.account == body.signer && body.nonce == 0;
        let (Some(invite), true) = (&call.invite, itself) else { return Err(Code::UnknownSigner.into()) };
        match register_account::check_invite(&self.ledger, &self.block, &call.account, call.condominium, invite) {
            Ok(()) => Ok(()),
            Err(Failure::Reject(_)) => Err(Code::UnknownSigner.into()),
            Err(Failure::Fault(fault)) => Err(fault.into()),
        }
    }

    /// A newcomer's registration was his transaction number 0.
    fn count_first(&mut self, address: &Address) -> Result<(), Fault> {
        if let Some(signer) = self.ledger.get::<Signer>(&Key::Signer(*address))? {
            self.ledger.put(&Key::Signer(*address), &Signer { nonce: 1, ..signer })?;
        }
        Ok(())
    }

    /// Whether an account holds a role at home; keys with a role send for many.
    fn has_role(&self, account: &Address) -> Result<bool, Fault> {
        let Some(record) = self.ledger.account(account)? else { return Ok(false) };
        for role in Role::ALL {
            if roles::holds(&self.ledger, self.block.height, record.home, role, account)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Works off what is due and gives receipts, changes and the next height's validators.
    pub(super) fn finish(mut self) -> Result<(Vec<Receipt>, Vec<Change>, ValidatorSet), Fault> {
        let due = sessions::run_due(&mut self.ledger, &self.block)?;
        self.receipts.extend(due);
        let validators = self.ledger.get(&Key::Validators)?.ok_or_else(|| Fault("the state has no validators".to_owned()))?;
        Ok((self.receipts, self.ledger.into_changes(), validators))
    }
}
