//! What consensus asks about blocks: build one, judge one, commit one, hand out old ones.
//!
//! A block is executed at most once while this process lives: the result is kept by header hash until a block of its height is committed.
//! Every answer that consensus may act on is durable before it is given.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use chain::{
    block::{Block, MAX_BLOCK_BYTES, transactions_root},
    certificate::{CommitCertificate, ValidatorSet},
    code::{Code, Rejection},
    hash::Hash32,
    id::{Address, Height, TxId},
    time::{Duration, Timestamp},
};
use contracts::{
    call::Transaction,
    execute::{self, BlockError, Executed, VerifiedTransaction},
};
use tracing::{debug, warn};

use super::{
    handle::Committed,
    port::{BlockProposal, Origin, Proposed, StoredProposal, Tip},
    writer::{AHEAD, BEHIND, Writer, WriterFault},
};
use crate::{
    app::handle::{Included, SubmitError},
    store::{Commit, Undecided},
};

/// Blocks that one answer to a syncing peer holds at most.
const DECIDED_MAX: usize = 64;

/// Their bytes together, but for the first, which is always given.
const DECIDED_BYTES_MAX: usize = 8 << 20;

/// Results of proposals for one height that are kept in memory; past it they are read and executed again where needed.
const CANDIDATES_MAX: usize = 64;

/// Blocks in a row that the others decided and that were refused here for their time, after which this machine's clock is taken to be wrong.
const OFF_CLOCK_MAX: usize = 3;

/// How many where the last is more than [`FAR_OFF`] away, whoever proposed them.
const FAR_OFF_CLOCK_MAX: usize = 8;

/// Further than any block that was decided can be from a right clock: five times as far as validators accept.
const FAR_OFF: Duration = Duration::from_secs(50);

/// How far a proposal's time may be ahead of its proposer's clock for the sake of what is due: so little that others accept it whose clocks are up to 1.6 s behind.
const LEAD: Duration = Duration::from_ms(400);

/// A proposal for the next height.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Its bytes are empty where they were put aside, and where it is not valid.
    stored: Undecided,
    /// What this machine's clock said of it when it was first proposed; nothing where it was not asked.
    on_time: Option<bool>,
    judged: Judged,
}

/// What is known of a proposal.
#[derive(Debug)]
enum Judged {
    /// It breaks a rule, for ever: nothing of it is kept, and it is not looked at again.
    Broken,
    /// Its time was refused: nothing of it is kept, and later it may be good.
    OffClock,
    /// Durable and valid; it must be executed again when it is decided.
    Stored,
    /// Durable and valid, with what it does.
    Done(Box<Done>),
}

/// What speaks against a block before it is executed.
enum Unfit {
    Rule(String),
    Clock(String),
}

/// A proposal that was executed.
#[derive(Debug)]
struct Done {
    block: Block,
    accounts: Vec<Address>,
    executed: Executed,
}

impl Candidate {
    /// One that an earlier process judged.
    pub(super) const fn stored(stored: Undecided) -> Self {
        Self { stored, on_time: None, judged: Judged::Stored }
    }

    const fn is_valid(&self) -> bool {
        matches!(self.judged, Judged::Stored | Judged::Done(_))
    }

    fn summary(&self) -> StoredProposal {
        let Undecided { height, round, proposer, hash, .. } = self.stored;
        StoredProposal { height, round, proposer, hash, valid: self.is_valid() }
    }
}

impl Writer {
    pub(super) fn validators(&self, height: Height) -> Result<ValidatorSet, WriterFault> {
        if height == self.parent.height.next() {
            return Ok(self.parent.validators.clone());
        }
        let reader = self.store.reader();
        let set = reader.snapshot()?.validators(height)?;
        set.ok_or_else(|| WriterFault::Broken(format!("the validators of height {height} are not known at {}", self.parent.height)))
    }

    pub(super) fn propose(&mut self, height: Height, round: u32) -> Result<Proposed, WriterFault> {
        self.require_next(height)?;
        let no_vote = || WriterFault::Broken("consensus asks a node without a vote for a block".to_owned());
        let own = self.config.proposer.ok_or_else(no_vote)?;
        // The one that was made for this round before, by this process or an earlier one: two would be equivocation.
        let made = self.candidates.values().find(|candidate| candidate.stored.round == round && candidate.stored.proposer == own);
        if let Some(candidate) = made {
            return Ok(Proposed { hash: candidate.stored.hash, bytes: self.bytes_of(candidate)?.into() });
        }
        let timestamp = self.proposal_time()?;
        let candidates = self.pool.candidates(self.block_limit());
        let built = execute::build(&self.state, &self.tree, &self.parent, timestamp, own, &candidates)?;
        self.forget_refused(&candidates, &built.refused);
        let accounts = accounts_of(&candidates, &built);
        let bytes = encode(&built.block)?;
        let hash = built.executed.next.hash;
        let stored = Undecided { height, round, proposer: own, hash, signature: None, bytes };
        self.store.put_undecided(&stored)?;
        let proposed = Proposed { hash, bytes: stored.bytes.clone().into() };
        debug!(%height, round, txs = built.block.transactions.len(), "block proposed");
        let done = Done { block: built.block, accounts, executed: built.executed };
        self.keep(Candidate { stored, on_time: None, judged: Judged::Done(Box::new(done)) });
        Ok(proposed)
    }

    fn block_limit(&self) -> usize {
        usize::try_from(self.params.max_block_bytes).unwrap_or(MAX_BLOCK_BYTES)
    }

    /// Later than the parent, the machine's present, and not before what is due in a moment: so that a deadline's block settles what is due.
    fn proposal_time(&mut self) -> Result<Timestamp, WriterFault> {
        let own = self.present()?.max(Timestamp::from_ms(self.parent.timestamp.ms().saturating_add(1)));
        let latest = own.saturating_add(self.params.drift.min(LEAD));
        Ok(self.next_due.filter(|due| *due <= latest).map_or(own, |due| own.max(due)))
    }

    pub(super) fn stored_proposals(&self, height: Height, round: u32) -> Vec<StoredProposal> {
        let all = self.candidates.values().map(Candidate::summary);
        let mut found: Vec<_> = all.filter(|proposal| proposal.height == height && proposal.round == round).collect();
        found.sort_by_key(|proposal| proposal.hash);
        found
    }

    pub(super) fn undecided(&self, hash: &Hash32) -> Result<Option<BlockProposal>, WriterFault> {
        let Some(candidate) = self.candidates.get(hash).filter(|candidate| candidate.is_valid()) else { return Ok(None) };
        let Undecided { height, round, proposer, signature, .. } = candidate.stored;
        Ok(Some(BlockProposal { height, round, proposer, bytes: self.bytes_of(candidate)?.into(), signature }))
    }

    fn bytes_of(&self, candidate: &Candidate) -> Result<Vec<u8>, WriterFault> {
        let Undecided { height, round, hash, bytes, .. } = &candidate.stored;
        if bytes.is_empty() { Ok(self.store.undecided_bytes(*height, *round, hash)?) } else { Ok(bytes.clone()) }
    }

    pub(super) fn validate(&mut self, proposal: &BlockProposal, origin: Origin) -> Result<Option<StoredProposal>, WriterFault> {
        let BlockProposal { height, round, proposer, ref bytes, signature } = *proposal;
        let block = match Block::decode(bytes) {
            Ok(block) => block,
            Err(error) => {
                warn!(%height, round, %proposer, %error, "a proposal is no block");
                return Ok(None);
            }
        };
        // A good header over another body is no block either. Under the header's hash it would take the place of the block that has it.
        if transactions_root(&block.transactions) != block.header.transactions_root {
            warn!(%height, round, %proposer, "a proposal has another body than its header names");
            return Ok(None);
        }
        let hash = block.header.hash();
        // Nobody who follows the rules signs another's block for a round of his own; judged, it would be known as bad when its proposer sends it.
        if matches!(origin, Origin::Proposed | Origin::Late) && block.header.proposer != proposer {
            warn!(%height, round, %proposer, of = %block.header.proposer, "a proposal is another's block");
            return Ok(None);
        }
        let earlier = self.candidates.get(&hash);
        // A block that was found good stays so, whoever sends it again and whenever: others may have been told. One that breaks a rule is not carried out again.
        match earlier.map(|candidate| &candidate.judged) {
            Some(Judged::Stored | Judged::Done(_)) => return Ok(Some(StoredProposal { height, round, proposer, hash, valid: true })),
            Some(Judged::Broken) => return Ok(Some(StoredProposal { height, round, proposer, hash, valid: false })),
            Some(Judged::OffClock) | None => {}
        }
        let mut on_time = earlier.and_then(|candidate| candidate.on_time);
        let unfit = self.unfit(height, &block, origin)?;
        let failed = if matches!(unfit, Some(Unfit::Clock(_))) { Judged::OffClock } else { Judged::Broken };
        match (&unfit, origin) {
            (Some(Unfit::Clock(_)), _) => on_time = Some(false),
            (None, Origin::Proposed) => on_time = Some(true),
            (None, Origin::Late | Origin::Synced) | (Some(Unfit::Rule(_)), _) => {}
        }
        let done = match unfit {
            Some(Unfit::Rule(reason) | Unfit::Clock(reason)) => {
                warn!(%height, round, %proposer, reason, "a proposal is not valid");
                None
            }
            None if bytes.len() > self.block_limit() => {
                warn!(%height, round, %proposer, bytes = bytes.len(), "a proposal is too large");
                None
            }
            None => self.carry_out(block)?,
        };
        let valid = done.is_some();
        if height == self.parent.height.next() {
            let bytes = if valid { bytes.to_vec() } else { Vec::new() };
            let stored = Undecided { height, round, proposer, hash, signature, bytes };
            if valid {
                self.store.put_undecided(&stored)?;
            }
            self.keep(Candidate { stored, on_time, judged: done.map_or(failed, |done| Judged::Done(Box::new(done))) });
        }
        Ok(Some(StoredProposal { height, round, proposer, hash, valid }))
    }

    /// What speaks against a block before it is executed.
    fn unfit(&mut self, height: Height, block: &Block, origin: Origin) -> Result<Option<Unfit>, WriterFault> {
        let header = &block.header;
        if header.height != height || height != self.parent.height.next() {
            return Ok(Some(Unfit::Rule(format!("block of height {} for height {height} after {}", header.height, self.parent.height))));
        }
        match origin {
            Origin::Synced => return Ok(None),
            Origin::Proposed | Origin::Late => {}
        }
        // Whoever steps a federation's clock moves one node after the other.
        if self.clock().is_stepped() {
            return Ok(None);
        }
        let now = self.present()?;
        // A block of an earlier round may have grown old on its way, and nothing excuses one of the future: were that decided, no clock would accept the next
        // block for as long.
        let earliest = match origin {
            Origin::Proposed => now.saturating_sub(BEHIND),
            Origin::Late | Origin::Synced => Timestamp::from_ms(0),
        };
        if header.timestamp < earliest || header.timestamp > now.saturating_add(AHEAD) {
            return Ok(Some(Unfit::Clock(format!("its time is {}, the clock here {now}", header.timestamp))));
        }
        Ok(None)
    }

    /// Executes a block that somebody made; nothing where it breaks a rule.
    fn carry_out(&self, block: Block) -> Result<Option<Done>, WriterFault> {
        // Before the signatures, which cost most.
        if let Err(invalid) = execute::check_links(&self.parent, &block.header) {
            warn!(height = %block.header.height, %invalid, "a proposal is not valid");
            return Ok(None);
        }
        let transactions = match self.verify_all(&block) {
            Ok(transactions) => transactions,
            Err(index) => {
                warn!(height = %block.header.height, index, "a transaction of a proposal does not decode or its signature is wrong");
                return Ok(None);
            }
        };
        match execute::execute(&self.state, &self.tree, &self.parent, &block, &transactions) {
            Ok(executed) => {
                let accounts = transactions.iter().map(|transaction| transaction.get().body().account).collect();
                Ok(Some(Done { block, accounts, executed }))
            }
            Err(BlockError::Invalid(invalid)) => {
                warn!(height = %block.header.height, %invalid, "a proposal is not valid");
                Ok(None)
            }
            Err(BlockError::Fault(fault)) => Err(fault.into()),
        }
    }

    /// The block's transactions with good signatures, those in the pool not checked again; otherwise the place of the first that is none.
    fn verify_all(&self, block: &Block) -> Result<Vec<VerifiedTransaction>, usize> {
        let verify = |bytes: &Vec<u8>| match self.pool.verified(bytes) {
            Some(transaction) => Some(transaction.clone()),
            None => Transaction::decode(bytes).ok().and_then(|transaction| VerifiedTransaction::verify(transaction).ok()),
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = block.transactions.len().div_ceil(cores).max(32);
        let parts: Vec<Vec<Option<VerifiedTransaction>>> = std::thread::scope(|scope| {
            let parts = block.transactions.chunks(share).map(|part| scope.spawn(|| part.iter().map(verify).collect()));
            let parts: Vec<_> = parts.collect();
            // A part that panicked verified nothing.
            parts.into_iter().map(|part| part.join().unwrap_or_default()).collect()
        });
        let mut verified = Vec::with_capacity(block.transactions.len());
        for transaction in parts.into_iter().flatten() {
            verified.push(transaction.ok_or(verified.len())?);
        }
        if verified.len() == block.transactions.len() { Ok(verified) } else { Err(verified.len()) }
    }

    pub(super) fn commit(&mut self, certificate: &CommitCertificate) -> Result<Tip, WriterFault> {
        let CommitCertificate { height, block: hash, .. } = certificate;
        if *height <= self.parent.height {
            let reader = self.store.reader();
            let known = reader.snapshot()?.header(*height)?.map(|header| header.hash());
            if known == Some(*hash) {
                return Ok(self.tip());
            }
            return Err(WriterFault::Broken(format!("block {hash} was decided at height {height}, another is committed there")));
        }
        self.require_next(*height)?;
        certificate
            .verify(self.parent.chain_id, &self.parent.validators)
            .map_err(|error| WriterFault::Broken(format!("the certificate of height {height} does not hold: {error}")))?;
        let unknown = || WriterFault::Broken(format!("the decided block {hash} of height {height} is not stored here"));
        let candidate = self.candidates.remove(hash).ok_or_else(unknown)?;
        let bytes = &self.bytes_of(&candidate)?;
        let done = match candidate.judged {
            Judged::Done(done) => *done,
            Judged::Stored | Judged::Broken | Judged::OffClock => {
                let block = Block::decode(bytes).map_err(|_| unknown())?;
                let failed = || WriterFault::Broken(format!("the decided block {hash} of height {height} breaks a rule here"));
                self.carry_out(block)?.ok_or_else(failed)?
            }
        };
        let Done { block, accounts, executed } = done;
        let history = self.parent.history.clone();
        let commit =
            Commit { hash: *hash, block: &block, bytes, accounts: &accounts, certificate, executed: &executed, parent_history: &history };
        self.store.commit(&commit)?;
        let receipts = executed.receipts.clone();
        self.advance(executed)?;
        let (theirs, proposer) = (block.header.timestamp, block.header.proposer);
        self.after_commit(Committed { hash: *hash, block, receipts })?;
        // A block that was not held against the clock says nothing of it: somebody may have kept it back until it was old.
        match candidate.on_time {
            Some(true) => self.off_clock.clear(),
            Some(false) if self.off_clock.len() < CANDIDATES_MAX => self.off_clock.push(proposer),
            Some(false) => {}
            None => {}
        }
        let distinct: BTreeSet<_> = self.off_clock.iter().collect();
        let (strikes, now) = (self.off_clock.len(), self.clock().now());
        // One who lies about the time is not believed, however often.
        let by_several = strikes >= OFF_CLOCK_MAX && distinct.len() > self.parent.validators.members().len().saturating_sub(1) / 3;
        // But nobody alone gets a block decided that is far from every right clock, and where heights come in bursts the first of each may always be one validator's.
        let by_far = strikes >= FAR_OFF_CLOCK_MAX && now.ms().abs_diff(theirs.ms()) > FAR_OFF.ms();
        if by_several || by_far {
            return Err(WriterFault::Broken(format!(
                "this machine's clock shows {now} and the others have decided {strikes} blocks in a row that are of another time, the last of {theirs}: \
                 set this clock right (NTP) and start again"
            )));
        }
        Ok(self.tip())
    }

    /// Tells everybody who waits, and clears the pool of what is done or can no longer be.
    fn after_commit(&mut self, committed: Committed) -> Result<(), WriterFault> {
        let mut answers = Vec::new();
        for (location, receipt) in committed.located() {
            let chain::receipt::Cause::Transaction(id) = receipt.cause else { continue };
            self.pool.remove(id);
            let waiters = self.waiting.remove(&id).unwrap_or_default();
            answers.extend(waiters.into_iter().map(|waiter| (waiter, Included { id, location, receipt: receipt.clone() })));
        }
        let now = self.parent.timestamp;
        let state = &self.state;
        let dead = self.pool.after_block(now, |signer| super::submission::committed_nonce(state, signer))?;
        dead.into_iter().for_each(|(id, rejection)| self.reject(id, rejection));
        // Before anybody hears of the commit, who then asks what is left.
        self.show_pending();
        for (waiter, included) in answers {
            // Who no longer waits finds the receipt by its id.
            let _ = waiter.send(Ok(included));
        }
        // Nobody listens: that is allowed.
        let _ = self.events.send(Arc::new(committed));
        Ok(())
    }

    /// Removes candidates that can enter no block. Those that only had no room, or follow one that had none, stay.
    fn forget_refused(&mut self, candidates: &[VerifiedTransaction], refused: &[(usize, Rejection)]) {
        for (position, rejection) in refused {
            let Some(transaction) = candidates.get(*position) else { continue };
            let ahead = matches!((rejection.expected, rejection.found), (Some(expected), Some(found)) if found > expected);
            let waits = rejection.code == Code::TooManyFromSigner || (rejection.code == Code::WrongNonce && ahead);
            if !waits {
                self.reject(transaction.get().id(), *rejection);
            }
        }
    }

    fn reject(&mut self, id: TxId, rejection: Rejection) {
        self.pool.remove(id);
        debug!(%id, %rejection, "a pooled transaction was dropped");
        for waiter in self.waiting.remove(&id).unwrap_or_default() {
            let _ = waiter.send(Err(SubmitError::Rejected(rejection)));
        }
    }

    pub(super) fn decided(&self, from: Height, to: Height) -> Result<Vec<(Bytes, CommitCertificate)>, WriterFault> {
        let reader = self.store.reader();
        let snapshot = reader.snapshot()?;
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        let mut height = from.max(Height(1));
        while height <= to && found.len() < DECIDED_MAX && bytes < DECIDED_BYTES_MAX {
            let (Some(block), Some(certificate)) = (snapshot.block_bytes(height)?, snapshot.certificate(height)?) else { break };
            bytes = bytes.saturating_add(block.len());
            found.push((block.into(), certificate));
            height = height.next();
        }
        Ok(found)
    }

    /// Remembers a proposal. Where there are many, what the oldest of other nodes do and their bytes are put aside: they are durable.
    fn keep(&mut self, candidate: Candidate) {
        if self.candidates.len() >= CANDIDATES_MAX {
            let own = self.config.proposer;
            let others = self.candidates.values_mut();
            let others = others.filter(|candidate| Some(candidate.stored.proposer) != own && matches!(candidate.judged, Judged::Done(_)));
            if let Some(oldest) = others.min_by_key(|candidate| candidate.stored.round) {
                oldest.judged = Judged::Stored;
                oldest.stored.bytes = Vec::new();
            }
        }
        self.candidates.insert(candidate.stored.hash, candidate);
    }

    fn require_next(&self, height: Height) -> Result<(), WriterFault> {
        if height == self.parent.height.next() {
            return Ok(());
        }
        Err(WriterFault::Broken(format!("consensus is at height {height}, the newest block at {}", self.parent.height)))
    }
}

fn encode(block: &Block) -> Result<Vec<u8>, WriterFault> {
    block.encode().map_err(|error| WriterFault::Broken(format!("a block of our own: {error}")))
}

/// The accounts of the transactions that entered a block: those neither refused nor left, in order.
fn accounts_of(candidates: &[VerifiedTransaction], built: &execute::Built) -> Vec<Address> {
    let out: BTreeSet<usize> = built.refused.iter().map(|(position, _)| *position).chain(built.left.iter().copied()).collect();
    let inside = candidates.iter().enumerate().filter(|(position, _)| !out.contains(position));
    inside.map(|(_, transaction)| transaction.get().body().account).collect()
}
