//! One run: from genesis through a thousand blocks, each predicted, built, judged, spoilt and in the end carried out again from its bytes.

use std::collections::BTreeMap;

use chain::{
    block::{Block, transactions_root},
    code::{Code, Rejection},
    codec,
    quantity::Cost,
    receipt::{Cause, Event, Outcome, Receipt},
    state::MemoryState,
    time::Timestamp,
    transaction::TransactionError,
    tree::Tree,
};
use contracts::{
    call::Transaction,
    execute::{self, BlockError, Executed, InvalidBlock, Parent, VerifiedTransaction},
    failure::Failure,
    genesis::Genesis,
};

use super::{
    Met, checks,
    generator::Generator,
    ledger::{Model, Verdict},
};

/// Blocks of one run.
const BLOCKS: usize = 1_000;

/// A chain in memory.
struct Chain {
    state: MemoryState,
    tree: Tree,
    parent: Parent,
}

impl Chain {
    fn new(genesis: &Genesis) -> Self {
        let mut state = MemoryState::new();
        state.apply(&genesis.state().expect("a genesis of ours"));
        let tree = Tree::build(state.iter());
        Self { state, tree, parent: Parent::genesis(genesis).expect("a genesis of ours") }
    }

    fn execute(&self, block: &Block) -> Result<Executed, Refusal> {
        let mut transactions = Vec::new();
        for bytes in &block.transactions {
            transactions.push(door(bytes).map_err(|_| Refusal::AtTheDoor)?);
        }
        execute::execute(&self.state, &self.tree, &self.parent, block, &transactions).map_err(Refusal::Block)
    }

    fn commit(&mut self, executed: &Executed) {
        self.state.apply(&executed.changes);
        self.tree = executed.tree.clone();
        self.parent = executed.next.clone();
    }
}

/// Why a block is not carried out.
#[derive(Debug)]
enum Refusal {
    AtTheDoor,
    Block(BlockError),
}

/// Reads and verifies a transaction as every node does before anything else.
fn door(bytes: &[u8]) -> Result<VerifiedTransaction, Code> {
    let transaction = Transaction::decode(bytes).map_err(|error| match error {
        TransactionError::Length(found) if found > chain::transaction::MAX_TRANSACTION_BYTES => Code::TooLarge,
        TransactionError::Length(_) | TransactionError::Body(_) => Code::Malformed,
    })?;
    VerifiedTransaction::verify(transaction).map_err(|_| Code::BadSignature)
}

/// Runs one seed and counts what was met.
pub fn run(seed: u64, met: &mut Met) {
    let mut run = Run::new(seed, met);
    run.generator.founding(&run.model);
    while run.blocks.len() < BLOCKS {
        run.block();
    }
    run.again_from_genesis();
    println!("{} blocks, {} transactions in them", run.blocks.len(), run.carried);
}

struct Run<'m> {
    generator: Generator,
    genesis: Genesis,
    model: Model,
    chain: Chain,
    /// What a block measures without transactions.
    header_bytes: usize,
    blocks: Vec<Vec<u8>>,
    carried: usize,
    met: &'m mut Met,
}

impl<'m> Run<'m> {
    fn new(seed: u64, met: &'m mut Met) -> Self {
        let mut generator = Generator::new(seed);
        let genesis = generator.genesis(seed);
        let (model, chain) = (Model::new(&genesis), Chain::new(&genesis));
        let Chain { state, tree, parent } = &chain;
        let later = Timestamp::from_ms(genesis.timestamp.ms() + 1);
        let empty = execute::build(state, tree, parent, later, generator.validator(), &[]).expect("memory does not fail");
        let header_bytes = empty.block.encode().expect("encodes").len();
        Self { generator, genesis, model, chain, header_bytes, blocks: Vec::new(), carried: 0, met }
    }

    fn meet(&mut self, code: Code) {
        *self.met.codes.entry(code).or_default() += 1;
    }

    fn block(&mut self) {
        let now = self.generator.next_time(&self.model);
        self.model.begin(now, self.header_bytes);
        let (candidates, verdicts) = self.candidates();
        let due = self.model.finish();

        let Chain { state, tree, parent } = &self.chain;
        let timestamp = Timestamp::from_ms(now);
        let built = execute::build(state, tree, parent, timestamp, self.generator.validator(), &candidates).expect("memory does not fail");
        let height = self.model.height;
        let refused =
            |(place, verdict): (usize, &Verdict)| if let Verdict::Refused(rejection) = verdict { Some((place, *rejection)) } else { None };
        let expected: Vec<(usize, Rejection)> = verdicts.iter().enumerate().filter_map(refused).collect();
        assert_eq!(built.refused, expected, "refused in block {height}");
        let no_room: Vec<usize> = (0..verdicts.len()).filter(|place| verdicts[*place] == Verdict::NoRoom).collect();
        assert_eq!(built.left, no_room, "left out of block {height}");

        if let (Some(first), Some(verdict)) = (candidates.first(), verdicts.first()) {
            let context = execute::context(state, parent, timestamp).expect("memory does not fail");
            let told = execute::dry_run(state, &context, &[], first);
            let expected = match verdict {
                Verdict::Applied(_) => Ok(()),
                Verdict::NoRoom => panic!("an empty block has room for any transaction"),
                Verdict::Rejected(rejection) | Verdict::Refused(rejection) => Err(Failure::Reject(*rejection)),
            };
            assert_eq!(told, expected, "a dry run says what block {height} does");
        }

        let mut receipts = built.executed.receipts.iter();
        for (candidate, verdict) in candidates.iter().zip(&verdicts) {
            if matches!(verdict, Verdict::Applied(_) | Verdict::Rejected(_)) {
                let receipt = receipts.next().expect("a receipt for each transaction");
                if matches!(verdict, Verdict::Applied(_)) {
                    *self.met.calls.entry(candidate.get().body().call.action().name()).or_default() += 1;
                }
                compare(receipt, Cause::Transaction(candidate.get().id()), verdict, candidate);
            }
        }
        for (session, events) in due {
            let receipt = receipts.next().expect("a receipt for each deadline");
            let expected = Receipt { cause: Cause::Due(session), outcome: Outcome::Applied, events };
            assert_eq!(*receipt, expected, "block {height}");
        }
        assert_eq!(receipts.next(), None, "block {height}");
        self.count(&built.refused, &built.executed.receipts);
        self.refused_blocks(&built.block, &candidates, &verdicts);
        self.accept(&built.block, &built.executed);
    }

    /// What people send for the next block, as far as it has a good signature, and what the model says to it.
    fn candidates(&mut self) -> (Vec<VerifiedTransaction>, Vec<Verdict>) {
        let (mut candidates, mut verdicts) = (Vec::new(), Vec::new());
        let count = self.generator.size();
        while candidates.len() < count {
            let sent = self.generator.next(&self.model);
            match door(&sent.bytes) {
                Err(code) => {
                    assert_eq!(Some(code), sent.at_the_door);
                    self.meet(code);
                }
                Ok(candidate) => {
                    assert_eq!(sent.at_the_door, None);
                    verdicts.push(self.model.transaction(candidate.get()));
                    candidates.push(candidate);
                }
            }
        }
        self.generator.remember(&self.model);
        (candidates, verdicts)
    }

    fn count(&mut self, refused: &[(usize, Rejection)], receipts: &[Receipt]) {
        for (_, rejection) in refused {
            self.meet(rejection.code);
        }
        for receipt in receipts {
            if let Outcome::Rejected(rejection) = receipt.outcome {
                self.meet(rejection.code);
            }
            for event in &receipt.events {
                if let Event::ReadingHandled { refused: Some(code), .. } = event {
                    self.meet(*code);
                }
                self.met.idle += u32::from(matches!(event, Event::SessionIdle { .. }));
                if let Event::SessionSettled(bill) = event {
                    *self.met.ends.entry(bill.reason).or_default() += 1;
                    self.met.overdrawn += u32::from(bill.overdrawn.is_some());
                    self.met.timed += u32::from(bill.cost.time.parts() > 0);
                    self.met.parked += u32::from(bill.cost.parking_time.parts() > 0);
                    let sum = bill.cost.total().and_then(Cost::floor).expect("small");
                    self.met.bounded += u32::from(bill.overdrawn.is_none() && bill.paid != sum);
                }
            }
        }
    }

    /// A block with a transaction that may not stand in it is invalid, and says which and why.
    fn refused_blocks(&self, block: &Block, candidates: &[VerifiedTransaction], verdicts: &[Verdict]) {
        let mut index = 0;
        for (candidate, verdict) in candidates.iter().zip(verdicts) {
            match verdict {
                Verdict::Applied(_) | Verdict::Rejected(_) => index += 1,
                Verdict::NoRoom => {}
                Verdict::Refused(expected) => {
                    let mut wrong = block.clone();
                    wrong.transactions.insert(index, candidate.get().bytes().to_vec());
                    wrong.header.transactions_root = transactions_root(&wrong.transactions);
                    match self.chain.execute(&wrong) {
                        Err(Refusal::Block(BlockError::Invalid(InvalidBlock::Transaction { index: place, rejection }))) => {
                            assert_eq!((place, rejection), (index, *expected));
                        }
                        Err(Refusal::Block(BlockError::Invalid(InvalidBlock::TooLarge { .. }))) => {}
                        other => panic!("a block with a transaction that breaks a rule ({expected}): {other:?}"),
                    }
                }
            }
        }
    }

    /// Judges the block from its bytes, compares everything, and goes on from it.
    fn accept(&mut self, block: &Block, built: &Executed) {
        let bytes = block.encode().expect("encodes");
        let read = Block::decode(&bytes).expect("decodes");
        assert_eq!(read, *block);
        let executed = self.chain.execute(&read).expect("a block that was built is valid");
        assert_eq!(executed.receipts, built.receipts);
        assert_eq!(executed.changes, built.changes);
        assert_eq!(executed.tree.root(), built.tree.root());
        assert_eq!(executed.next, built.next);
        self.spoilt_bytes(&bytes, block);

        self.chain.commit(&executed);
        self.carried += read.transactions.len();
        self.blocks.push(bytes);
        let records = self.model.records();
        let state: BTreeMap<Vec<u8>, Vec<u8>> = self.chain.state.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        checks::same(&state, &records, self.model.height);
        checks::sums(&state);
        checks::receipts(&mut self.generator.rng, &executed.receipts, block.header.receipts_root);
        checks::proofs(&mut self.generator.rng, &self.chain.tree, block.header.state_root, &state);
    }

    /// A block with one other byte is not that block: it is refused, or it is another one, with another hash that nobody has signed.
    fn spoilt_bytes(&mut self, bytes: &[u8], block: &Block) {
        let header = codec::encode(&block.header).expect("encodes").len();
        for range in [0..header, header..bytes.len()] {
            let place = self.generator.place_in(&range);
            let mut wrong = bytes.to_vec();
            wrong[place] ^= self.generator.flip();
            let Ok(read) = Block::decode(&wrong) else { continue };
            if self.chain.execute(&read).is_ok() {
                assert_ne!(read.header.hash(), block.header.hash(), "byte {place} of block {} is not covered", block.header.height);
                let others = chain::block::Header { timestamp: block.header.timestamp, ..read.header };
                assert_eq!(others, block.header, "only the time may be another without any root being another");
            }
        }
    }

    /// Carries out all blocks once more from genesis, from their bytes.
    fn again_from_genesis(&self) {
        let mut chain = Chain::new(&self.genesis);
        for bytes in &self.blocks {
            let block = Block::decode(bytes).expect("decodes");
            let executed = chain.execute(&block).expect("it was valid before");
            assert_eq!(executed.tree.root(), block.header.state_root);
            chain.commit(&executed);
        }
        assert_eq!(chain.parent, self.chain.parent);
        assert_eq!(chain.state, self.chain.state);
        assert_eq!(Tree::build(chain.state.iter()).root(), self.chain.tree.root(), "a tree made in one piece has the same root");
    }
}

/// Holds a receipt to its prediction.
fn compare(receipt: &Receipt, cause: Cause, verdict: &Verdict, candidate: &VerifiedTransaction) {
    let asked = || format!("{:?}", candidate.get().body());
    assert_eq!(receipt.cause, cause);
    match (verdict, receipt.outcome) {
        (Verdict::Applied(events), Outcome::Applied) => assert_eq!(receipt.events, *events, "{}", asked()),
        (Verdict::Rejected(expected), Outcome::Rejected(rejection)) => {
            assert_eq!(rejection, *expected, "{}", asked());
            assert_eq!(receipt.events, []);
        }
        (predicted, outcome) => panic!("predicted {predicted:?}, found {outcome:?} for {}", asked()),
    }
}
