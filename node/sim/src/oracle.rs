//! The judge: an independent replica of the chain that carries out every block as soon as the first honest node decides it, and remembers what honest nodes signed.
//!
//! It takes no node's word: it decodes, verifies every signature and certificate and executes by itself. Liars ask it for the present state, so that their lies
//! are as good as can be. Called by `node` for every decision and signature, by `world` at the end.

use std::collections::BTreeMap;

use arc_malachitebft_app_channel::app::{
    consensus::SignedConsensusMsg,
    types::core::{self as engine, NilOrVal, Round, VoteType},
};
use chain::{
    block::Block,
    certificate::CommitCertificate,
    hash::Hash32,
    id::{Height, TxId},
    receipt::Cause,
    state::MemoryState,
    time::{Duration, Timestamp},
    tree::Tree,
};
use consensus::{codec::certificate_to_chain, context::Context};
use contracts::{
    audit,
    call::Transaction,
    execute::{self, Parent, VerifiedTransaction},
    genesis::Genesis,
};

use crate::{Failure, adversary::Lie};

/// How far the clocks of honest nodes may be apart and a block's time still be in order when it is decided.
const TIME_TOLERANCE: Duration = Duration::from_ms(2_000 + 800);

/// What somebody signed once and must not sign otherwise: whose, of which kind, height and round.
type Slot = (usize, u8, u64, i64);

#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) state: MemoryState,
    pub(crate) tree: Tree,
    pub(crate) parent: Parent,
    /// The decided blocks, from height 1 on.
    pub(crate) chain: Vec<(Hash32, Block)>,
    /// In which heights a transaction stands.
    pub(crate) committed: BTreeMap<TxId, Vec<Height>>,
    /// What liars have made, by header hash.
    pub(crate) lies: BTreeMap<Hash32, Lie>,
    /// The lie of a height and round, which other liars may vote for.
    pub(crate) lies_in: BTreeMap<(u64, u32), Hash32>,
    signed: BTreeMap<Slot, (Option<Hash32>, i64)>,
}

impl Oracle {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let changes = genesis.state().expect("the simulated genesis is a beginning of a chain");
        let mut state = MemoryState::new();
        state.apply(&changes);
        let tree = Tree::new().updated(&changes);
        let parent = Parent::genesis(genesis).expect("the simulated genesis has validators");
        Self {
            state,
            tree,
            parent,
            chain: Vec::new(),
            committed: BTreeMap::new(),
            lies: BTreeMap::new(),
            lies_in: BTreeMap::new(),
            signed: BTreeMap::new(),
        }
    }

    pub(crate) fn height(&self) -> u64 {
        self.parent.height.0
    }

    pub(crate) fn hash_at(&self, height: u64) -> Option<Hash32> {
        let place = usize::try_from(height.checked_sub(1)?).ok()?;
        self.chain.get(place).map(|(hash, _)| *hash)
    }

    /// What an honest node shows to others.
    pub(crate) fn published(&mut self, node: usize, message: &SignedConsensusMsg<Context>) -> Result<(), Failure> {
        match message {
            SignedConsensusMsg::Vote(signed) => {
                let vote = &signed.message;
                let kind = match vote.kind {
                    VoteType::Prevote => 0,
                    VoteType::Precommit => 1,
                };
                let value = match vote.value {
                    NilOrVal::Nil => None,
                    NilOrVal::Val(hash) => Some(hash.0),
                };
                self.once((node, kind, vote.height.0, vote.round.as_i64()), (value, 0))
            }
            SignedConsensusMsg::Proposal(signed) => {
                let proposal = &signed.message;
                let slot = (node, 2, proposal.height.0, proposal.round.as_i64());
                self.once(slot, (Some(proposal.value.0), proposal.pol_round.as_i64()))
            }
        }
    }

    fn once(&mut self, slot: Slot, value: (Option<Hash32>, i64)) -> Result<(), Failure> {
        let before = *self.signed.entry(slot).or_insert(value);
        if before == value {
            return Ok(());
        }
        let (node, kind, height, round) = slot;
        let what = ["prevote", "precommit", "proposal"][usize::from(kind)];
        Err(Failure::DoubleSign { node, what, height, round })
    }

    /// A block that an honest node has decided; `true` where it is the first to.
    pub(crate) fn decided(
        &mut self,
        node: usize,
        certificate: &engine::CommitCertificate<Context>,
        bytes: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let height = certificate.height.0;
        let invalid = |why: String| Failure::InvalidBlock { node, height, why };
        let certificate = certificate_to_chain(certificate).map_err(|error| invalid(error.to_string()))?;
        if let Some(known) = self.hash_at(height) {
            if known != certificate.block {
                return Err(Failure::Disagreement { node, height, decided: certificate.block, before: known });
            }
            return Ok(false);
        }
        let bytes = bytes.ok_or(Failure::NotStored { node, height })?;
        self.extend(&certificate, bytes, now).map_err(invalid)?;
        Ok(true)
    }

    fn extend(&mut self, certificate: &CommitCertificate, bytes: &[u8], now: Timestamp) -> Result<(), String> {
        if certificate.height != self.parent.height.next() {
            return Err(format!("decided after height {}", self.parent.height));
        }
        certificate.verify(self.parent.chain_id, &self.parent.validators).map_err(|error| error.to_string())?;
        let block = Block::decode(bytes).map_err(|error| error.to_string())?;
        if block.header.hash() != certificate.block {
            return Err("the certificate names another block".to_owned());
        }
        if block.header.timestamp > now.saturating_add(TIME_TOLERANCE) {
            return Err(format!("its time {} is in the future: it is {now}", block.header.timestamp));
        }
        let mut transactions = Vec::new();
        for bytes in &block.transactions {
            let transaction = Transaction::decode(bytes).map_err(|error| error.to_string())?;
            transactions.push(VerifiedTransaction::verify(transaction).map_err(|error| error.to_string())?);
        }
        let executed = execute::execute(&self.state, &self.tree, &self.parent, &block, &transactions).map_err(|error| error.to_string())?;
        for receipt in &executed.receipts {
            match receipt.cause {
                Cause::Transaction(id) => self.committed.entry(id).or_default().push(block.header.height),
                Cause::Due(_) => {}
            }
        }
        self.state.apply(&executed.changes);
        self.tree = executed.tree;
        self.parent = executed.next;
        self.chain.push((certificate.block, block));
        let totals = audit::conservation(&self.state).map_err(|fault| fault.to_string())?;
        match totals.iter().find(|totals| !totals.holds()) {
            Some(totals) => Err(format!("money appeared or vanished in condominium {}", totals.condominium)),
            None => Ok(()),
        }
    }
}

/// A round as a number for people.
pub(crate) fn round_number(round: Round) -> u32 {
    round.as_u32().unwrap_or(0)
}
