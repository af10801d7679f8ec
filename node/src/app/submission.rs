//! Submissions: what the chain would refuse is refused here with the same code; the rest is pooled.
//!
//! A transaction is tried on the committed state with its signer's pooled ones on top: what others have in the pool may still come or not.

use std::collections::BTreeMap;

use bytes::Bytes;
use chain::{
    api::Rehearsed,
    code::{Code, Rejection},
    id::{Address, TxId},
    record::{Key, Role, Signer},
    state::{MemoryState, Overlay, Writes},
    time::Timestamp,
};
use contracts::{
    context::BlockContext,
    execute::{self, Rehearsal, VerifiedTransaction},
    failure::{Failure, Fault},
    ledger::Ledger,
    roles,
};
use tokio::sync::oneshot;

use super::{
    handle::{Accepted, Included, Question, Standing, SubmitError},
    writer::{Writer, WriterFault},
};
use crate::mempool::{NoRoom, Share};

/// Submitters that may wait for one transaction; the oldest is let go where there are more.
const WAITERS_MAX: usize = 16;

type Waiter = oneshot::Sender<Result<Included, SubmitError>>;

impl Writer {
    pub(super) fn question(&mut self, question: Question) -> Result<(), WriterFault> {
        match question {
            Question::Submit { transaction, answer, included } => {
                let id = transaction.get().id();
                let bytes = Bytes::copy_from_slice(transaction.get().bytes());
                let result = self.submit(*transaction);
                if matches!(&result, Ok(Ok(Accepted { standing: Standing::Pooled, .. }))) {
                    self.outbox.put(bytes);
                    self.pooled();
                }
                let waits = match &result {
                    Ok(Ok(accepted)) => matches!(accepted.standing, Standing::Pooled | Standing::AlreadyPooled),
                    Ok(Err(_)) | Err(_) => false,
                };
                if let Some(included) = included.filter(|_| waits) {
                    self.wait(id, included);
                }
                self.show_pending();
                reply(answer, result)
            }
            Question::Rehearse { rehearsal, answer } => {
                let result = self.rehearse(&rehearsal);
                reply(answer, result)
            }
            Question::NextNonce { signer, answer } => {
                let result = self.next_nonce(&signer);
                reply(answer, result.map(Ok))
            }
            Question::Pooled { id, answer } => {
                let bytes = self.pool.get(id).map(|transaction| Bytes::copy_from_slice(transaction.get().bytes()));
                // Whoever asked may have gone.
                let _ = answer.send(bytes);
                Ok(())
            }
        }
    }

    fn wait(&mut self, id: TxId, included: Waiter) {
        let waiters = self.waiting.entry(id).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        if waiters.len() >= WAITERS_MAX {
            waiters.remove(0);
        }
        waiters.push(included);
    }

    /// The outer result is this machine's, the inner one the transaction's.
    pub(super) fn submit(&mut self, transaction: VerifiedTransaction) -> Result<Result<Accepted, SubmitError>, WriterFault> {
        let id = transaction.get().id();
        if self.pool.contains(id) {
            return Ok(Ok(Accepted { id, standing: Standing::AlreadyPooled }));
        }
        let body = transaction.get().body();
        let (signer, account) = (body.signer, body.account);
        let share = self.share(&account)?;
        match self.pool.room_for(&transaction, share) {
            Ok(()) => {}
            Err(no_room) => {
                let known = self.committed(id)?;
                return Ok(known.map_or_else(|| Err(full(no_room)), Ok));
            }
        }
        let block = self.next_block();
        let writes = self.writes_of(&signer, &block)?;
        let mut tried = Overlay::resume(&self.state, writes);
        match execute::rehearse(&tried, &block, &transaction) {
            Ok(changes) => {
                tried.apply(changes);
                let writes = tried.into_writes();
                self.pool.insert(transaction, writes);
                Ok(Ok(Accepted { id, standing: Standing::Pooled }))
            }
            Err(Failure::Reject(rejection)) => {
                let writes = tried.into_writes();
                self.pool.put_writes(&signer, writes);
                let known = self.committed(id)?;
                Ok(known.ok_or(SubmitError::Rejected(rejection)))
            }
            Err(Failure::Fault(fault)) => Err(fault.into()),
        }
    }

    fn rehearse(&mut self, rehearsal: &Rehearsal) -> Result<Result<Rehearsed, SubmitError>, WriterFault> {
        let signer = rehearsal.get().body().signer;
        let block = self.next_block();
        let writes = self.writes_of(&signer, &block)?;
        let tried = Overlay::resume(&self.state, writes);
        let outcome = execute::try_out(&tried, &block, rehearsal);
        let writes = tried.into_writes();
        self.pool.put_writes(&signer, writes);
        match outcome {
            Ok(receipt) => Ok(Ok(Rehearsed { height: block.height, timestamp: block.timestamp, receipt })),
            Err(Failure::Reject(rejection)) => Ok(Err(rejection.into())),
            Err(Failure::Fault(fault)) => Err(fault.into()),
        }
    }

    /// What the signer's pooled transactions would change, tried again where that is not known for the present state.
    fn writes_of(&mut self, signer: &Address, block: &BlockContext) -> Result<Writes, Fault> {
        if let Some(writes) = self.pool.take_writes(signer) {
            return Ok(writes);
        }
        let mut tried = Overlay::resume(&self.state, BTreeMap::new());
        for earlier in self.pool.of_signer(signer) {
            match execute::rehearse(&tried, block, earlier) {
                Ok(changes) => tried.apply(changes),
                // It was good when it came; its nonce is used all the same.
                Err(Failure::Reject(_)) => skip_nonce(&mut tried, signer)?,
                Err(Failure::Fault(fault)) => return Err(fault),
            }
        }
        Ok(tried.into_writes())
    }

    /// A transaction that was sent before and is in a block by now.
    fn committed(&self, id: TxId) -> Result<Option<Accepted>, WriterFault> {
        let reader = self.store.reader();
        let location = reader.snapshot()?.transaction(id)?;
        Ok(location.map(|location| Accepted { id, standing: Standing::Committed(location) }))
    }

    fn next_nonce(&mut self, signer: &Address) -> Result<Option<u64>, WriterFault> {
        let pooled = self.pool.of_signer(signer).last().map(|transaction| transaction.get().body().nonce.saturating_add(1));
        match pooled {
            Some(nonce) => Ok(Some(nonce)),
            None => Ok(committed_nonce(&self.state, signer)?),
        }
    }

    /// The block that a transaction would enter if it were made now.
    fn next_block(&self) -> BlockContext {
        let after = Timestamp::from_ms(self.parent.timestamp.ms().saturating_add(1));
        BlockContext {
            chain_id: self.parent.chain_id,
            height: self.parent.height.next(),
            timestamp: self.clock().now().max(after),
            params: self.params,
        }
    }

    fn share(&self, account: &Address) -> Result<Share, Fault> {
        let ledger = Ledger::new(&self.state);
        let Some(record) = ledger.account(account)? else { return Ok(Share::Resident) };
        for role in Role::ALL {
            if roles::holds(&ledger, self.parent.height.next(), record.home, role, account)? {
                return Ok(Share::Role);
            }
        }
        Ok(Share::Resident)
    }
}

fn full(no_room: NoRoom) -> SubmitError {
    match no_room {
        NoRoom::Full => SubmitError::PoolFull,
        NoRoom::Signer { limit } => Rejection::of(Code::TooManyFromSigner, limit as u64, limit as u64).into(),
    }
}

/// The nonce that a signer's next transaction must have by the committed state.
pub(super) fn committed_nonce(state: &MemoryState, signer: &Address) -> Result<Option<u64>, Fault> {
    let record: Option<Signer> = Ledger::new(state).get(&Key::Signer(*signer))?;
    Ok(record.map(|record| record.nonce))
}

/// Counts a transaction that did not take effect.
fn skip_nonce(tried: &mut Overlay<'_>, signer: &Address) -> Result<(), Fault> {
    let changes = {
        let mut ledger = Ledger::new(tried);
        let Some(record) = ledger.get::<Signer>(&Key::Signer(*signer))? else { return Ok(()) };
        ledger.put(&Key::Signer(*signer), &Signer { nonce: record.nonce.saturating_add(1), ..record })?;
        ledger.into_changes()
    };
    tried.apply(changes);
    Ok(())
}

fn reply<T>(
    answer: oneshot::Sender<Result<T, SubmitError>>,
    result: Result<Result<T, SubmitError>, WriterFault>,
) -> Result<(), WriterFault> {
    match result {
        Ok(result) => {
            // Who asked may have gone.
            let _ = answer.send(result);
            Ok(())
        }
        Err(fault) => {
            let _ = answer.send(Err(SubmitError::Fault(fault.to_string())));
            Err(fault)
        }
    }
}
