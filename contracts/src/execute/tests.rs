//! Whole blocks: what makes one invalid, by field, which transactions may stand in one, and what a rejected call leaves behind.

use chain::{
    certificate::{Validator, ValidatorSet},
    code::Code,
    crypto,
    id::CondominiumId,
    params::Params,
    quantity::Amount,
    receipt::{Cause, Event, Outcome},
    record::{Account, Role, Signer},
    state::{MemoryState, Overlay},
    time::Duration,
    transaction::MAX_VALIDITY,
};
use ed25519_dalek::SigningKey;

use super::*;
use crate::{
    call::{Body, Call, Invite, RegisterAccount, RequestRedeem, SellTokens, Transfer},
    genesis::{GENESIS_VERSION, Genesis, GenesisAccount, GenesisCondominium, GenesisRole, GenesisValidator, NetworkKind},
};

const HOME: CondominiumId = CondominiumId(1);
const START: Timestamp = Timestamp::from_ms(1_767_614_400_000);

/// Who acts, by the seed of his key.
#[derive(Clone, Copy)]
struct Actor(u8);

const VALIDATOR: Actor = Actor(1);
const MANAGER: Actor = Actor(2);
const TREASURER: Actor = Actor(3);
const RESIDENT: Actor = Actor(4);
const NEIGHBOUR: Actor = Actor(5);
const STRANGER: Actor = Actor(6);

impl Actor {
    fn key(self) -> SigningKey {
        SigningKey::from_bytes(&[self.0; 32])
    }

    fn address(self) -> Address {
        crypto::address_of(&self.key())
    }
}

/// A chain in memory, about to make the block after `parent` at `now`.
struct Chain {
    state: MemoryState,
    tree: Tree,
    parent: Parent,
    now: Timestamp,
}

impl Chain {
    fn new(params: Params) -> Self {
        let staff = [(MANAGER, Role::Manager), (TREASURER, Role::Treasurer)];
        let account = |actor: Actor| GenesisAccount { address: actor.address(), home: HOME, credit_limit: Amount::ZERO };
        let genesis = Genesis {
            version: GENESIS_VERSION,
            network: "blocks".to_owned(),
            kind: NetworkKind::Test,
            timestamp: START,
            currency: "EUR".to_owned(),
            params,
            condominiums: vec![GenesisCondominium {
                id: HOME,
                name: "TRO".to_owned(),
                revenue: MANAGER.address(),
                mint_cap_per_day: Amount::MAX,
                position_limit: Amount::ZERO,
                roles: staff.map(|(actor, role)| GenesisRole { role, account: actor.address() }).to_vec(),
            }],
            accounts: [MANAGER, TREASURER, RESIDENT, NEIGHBOUR].map(account).to_vec(),
            validators: vec![GenesisValidator { address: VALIDATOR.address(), power: 1, condominium: HOME, network_key: Hash32([5; 32]) }],
        };
        let mut state = MemoryState::new();
        state.apply(&genesis.state().unwrap());
        let tree = Tree::build(state.iter());
        Self { state, tree, parent: Parent::genesis(&genesis).unwrap(), now: START.saturating_add(Duration::from_secs(1)) }
    }

    fn body(&self, actor: Actor, nonce: u64, call: Call) -> Body {
        let account = actor.address();
        Body { chain_id: self.parent.chain_id, account, signer: account, nonce, valid_until: self.now, call }
    }

    fn sign(&self, actor: Actor, nonce: u64, call: Call) -> VerifiedTransaction {
        signed(self.body(actor, nonce, call), actor)
    }

    fn build(&self, candidates: &[VerifiedTransaction]) -> Built {
        build(&self.state, &self.tree, &self.parent, self.now, VALIDATOR.address(), candidates).unwrap()
    }

    fn execute(&self, block: &Block, transactions: &[VerifiedTransaction]) -> Result<Executed, BlockError> {
        execute(&self.state, &self.tree, &self.parent, block, transactions)
    }

    /// A block of these, all of which stand in it.
    fn commit(&mut self, transactions: &[VerifiedTransaction]) -> Executed {
        let Built { block, executed, refused, left } = self.build(transactions);
        assert!(refused.is_empty() && left.is_empty(), "{refused:?} {left:?}");
        let again = self.execute(&block, transactions).unwrap();
        assert_eq!((&again.receipts, &again.changes, &again.next), (&executed.receipts, &executed.changes, &executed.next));
        assert_eq!(again.tree.root(), executed.tree.root());
        self.state.apply(&executed.changes);
        self.tree = executed.tree.clone();
        self.parent = executed.next.clone();
        self.now = self.now.saturating_add(Duration::from_secs(1));
        executed
    }

    fn get<T: serde::de::DeserializeOwned + serde::Serialize>(&self, key: &Key) -> Option<T> {
        Ledger::new(&self.state).get(key).unwrap()
    }

    fn nonce(&self, actor: Actor) -> Option<u64> {
        self.get::<Signer>(&Key::Signer(actor.address())).map(|signer| signer.nonce)
    }

    fn balance(&self, actor: Actor) -> Amount {
        self.get::<Account>(&Key::Account(actor.address())).unwrap().balance
    }
}

fn signed(body: Body, actor: Actor) -> VerifiedTransaction {
    VerifiedTransaction::verify(Transaction::sign(body, &actor.key()).unwrap()).unwrap()
}

fn sale(actor: Actor, number: u64) -> Call {
    let (account, amount) = (actor.address(), Amount::from_micro(100));
    Call::SellTokens(SellTokens { condominium: HOME, account, amount, sale: number, payment: Hash32::ZERO })
}

fn transfer(to: Actor, micro: u64) -> Call {
    Call::Transfer(Transfer { to: to.address(), amount: Amount::from_micro(micro) })
}

fn redeem() -> Call {
    Call::RequestRedeem(RequestRedeem { amount: Amount::from_micro(1), payee: Hash32::ZERO })
}

#[test]
fn a_block_that_was_built_is_valid_and_the_next_builds_on_it() {
    let mut chain = Chain::new(Params::default());
    let sold = chain.sign(TREASURER, 0, sale(RESIDENT, 1));
    let executed = chain.commit(&[sold.clone(), chain.sign(RESIDENT, 0, transfer(NEIGHBOUR, 30))]);
    assert_eq!((chain.balance(RESIDENT).micro(), chain.balance(NEIGHBOUR).micro()), (70, 30));
    assert_eq!((chain.nonce(TREASURER), chain.nonce(RESIDENT), chain.nonce(NEIGHBOUR)), (Some(1), Some(1), Some(0)));
    assert_eq!(executed.receipts[0].cause, Cause::Transaction(sold.get().id()));
    let Parent { height, timestamp, history, .. } = &chain.parent;
    assert_eq!((*height, *timestamp), (Height(1), START.saturating_add(Duration::from_secs(1))));
    let mut expected = History::new();
    expected.append(chain.parent.hash);
    assert_eq!(*history, expected);
    let Built { block, .. } = chain.build(&[]);
    assert_eq!((block.header.height, block.header.parent, block.header.history_root), (Height(2), chain.parent.hash, expected.root()));
    chain.commit(&[]);
}

#[test]
fn every_field_of_the_header_is_compared_and_named() {
    let mut chain = Chain::new(Params::default());
    chain.commit(&[]);
    let transactions = [chain.sign(TREASURER, 0, sale(RESIDENT, 1))];
    let good = chain.build(&transactions).block;
    let refused = |change: &dyn Fn(&mut Header)| {
        let mut block = good.clone();
        change(&mut block.header);
        match chain.execute(&block, &transactions) {
            Err(BlockError::Invalid(invalid)) => invalid,
            other => panic!("{other:?}"),
        }
    };
    let other = Hash32([9; 32]);
    let field = |field, expected, found| InvalidBlock::Field { field, expected, found };
    let number = |field, expected, found| InvalidBlock::Number { field, expected, found };
    let header = &good.header;
    assert_eq!(refused(&|header| header.version = 2), number(HeaderField::Version, 1, 2));
    assert_eq!(refused(&|header| header.chain_id = ChainId(other)), field(HeaderField::ChainId, chain.parent.chain_id.0, other));
    for height in [1, 3] {
        assert_eq!(refused(&|header| header.height = Height(height)), number(HeaderField::Height, 2, height));
    }
    assert_eq!(refused(&|header| header.parent = other), field(HeaderField::Parent, header.parent, other));
    assert_eq!(refused(&|header| header.history_root = other), field(HeaderField::HistoryRoot, header.history_root, other));
    let before = chain.parent.timestamp;
    for late_ms in [before.ms(), before.ms() - 1] {
        let found = refused(&|header| header.timestamp = Timestamp::from_ms(late_ms));
        assert_eq!(found, number(HeaderField::Timestamp, before.ms(), late_ms));
    }
    assert_eq!(refused(&|header| header.proposer = RESIDENT.address()), InvalidBlock::Proposer(RESIDENT.address()));
    let root = transactions_root(&good.transactions);
    assert_eq!(refused(&|header| header.transactions_root = other), field(HeaderField::TransactionsRoot, root, other));
    assert_eq!(refused(&|header| header.receipts_root = other), field(HeaderField::ReceiptsRoot, header.receipts_root, other));
    assert_eq!(refused(&|header| header.state_root = other), field(HeaderField::StateRoot, header.state_root, other));
    assert_eq!(refused(&|header| header.next_validators = other), field(HeaderField::NextValidators, header.next_validators, other));
    // The least later instant is enough, for who has nothing that expires.
    let empty = Chain { now: Timestamp::from_ms(before.ms() + 1), ..chain }.build(&[]).block;
    assert_eq!(empty.header.timestamp.ms(), before.ms() + 1);
}

#[test]
fn the_transactions_given_are_those_that_the_block_carries() {
    let chain = Chain::new(Params::default());
    let (one, two) = (chain.sign(RESIDENT, 0, redeem()), chain.sign(NEIGHBOUR, 0, redeem()));
    let block = chain.build(&[one.clone(), two.clone()]).block;
    let refused = |given: &[VerifiedTransaction]| match chain.execute(&block, given) {
        Err(BlockError::Invalid(invalid)) => invalid,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(std::slice::from_ref(&one)), InvalidBlock::OtherTransaction(1));
    assert_eq!(refused(&[one.clone(), two.clone(), two.clone()]), InvalidBlock::OtherTransaction(3));
    assert_eq!(refused(&[one.clone(), one]), InvalidBlock::OtherTransaction(1));
    assert_eq!(refused(&[two.clone(), two]), InvalidBlock::OtherTransaction(0));
}

#[test]
fn what_may_not_stand_in_a_block_is_left_out_by_who_builds_and_invalid_where_it_stands() {
    let mut chain = Chain::new(Params::default());
    chain.commit(&[chain.sign(RESIDENT, 0, redeem())]);
    let good = chain.body(RESIDENT, 1, redeem());
    let now = chain.now;
    let (past, latest) = (Timestamp::from_ms(now.ms() - 1), now.saturating_add(MAX_VALIDITY));
    let late = latest.saturating_add(Duration::from_ms(1));
    let cases = [
        (Body { chain_id: ChainId(Hash32::ZERO), ..good.clone() }, Code::WrongChain.into()),
        (Body { valid_until: past, ..good.clone() }, Rejection::of(Code::Expired, now.ms(), past.ms())),
        (Body { valid_until: late, ..good.clone() }, Rejection::of(Code::ValidTooLong, latest.ms(), late.ms())),
        (Body { nonce: 0, ..good.clone() }, Rejection::of(Code::WrongNonce, 1, 0)),
        (Body { nonce: 2, ..good.clone() }, Rejection::of(Code::WrongNonce, 1, 2)),
        (Body { account: NEIGHBOUR.address(), ..good.clone() }, Code::UnknownSigner.into()),
    ];
    let allowed = [Body { valid_until: latest, ..good.clone() }, good];
    for body in allowed {
        assert!(chain.build(&[signed(body, RESIDENT)]).refused.is_empty());
    }
    for (body, rejection) in cases {
        let transaction = signed(body, RESIDENT);
        let first = chain.sign(NEIGHBOUR, 0, redeem());
        let Built { mut block, refused, left, .. } = chain.build(&[first.clone(), transaction.clone()]);
        assert_eq!((refused, left), (vec![(1, rejection)], vec![]));
        block.transactions.push(transaction.get().bytes().to_vec());
        block.header.transactions_root = transactions_root(&block.transactions);
        let invalid = chain.execute(&block, &[first, transaction]).unwrap_err();
        assert_eq!(invalid, BlockError::Invalid(InvalidBlock::Transaction { index: 1, rejection }));
    }
}

#[test]
fn a_resident_has_a_small_share_of_a_block_and_a_key_with_a_role_a_larger_one() {
    let chain = Chain::new(Params { resident_txs_per_block: 2, role_txs_per_block: 3, ..Params::default() });
    for (actor, share) in [(RESIDENT, 2), (TREASURER, 3)] {
        let many: Vec<_> = (0..5).map(|nonce| chain.sign(actor, nonce, redeem())).collect();
        let Built { block, refused, .. } = chain.build(&many);
        assert_eq!(block.transactions.len() as u64, share);
        let one_more = Rejection::of(Code::TooManyFromSigner, share, share);
        assert_eq!(refused[0], (usize::try_from(share).unwrap(), Rejection::of(Code::TooManyFromSigner, share, share)));
        // A rehearsal counts nobody's share: what waits may stand in several blocks.
        let context = context(&chain.state, &chain.parent, chain.now).unwrap();
        let told = dry_run(&chain.state, &context, &many[..4], &many[4]);
        assert_eq!(told, Err(Rejection::of(Code::InsufficientFunds, 1, 0).into()));
        assert_ne!(told, Err(one_more.into()));
    }
}

#[test]
fn a_block_is_filled_to_its_last_byte_and_what_has_no_room_waits() {
    let big = Chain::new(Params::default());
    let count: u8 = 200;
    let sales = |chain: &Chain| -> Vec<_> {
        (0..u64::from(count)).map(|number| chain.sign(TREASURER, number, sale(RESIDENT, number + 1))).collect()
    };
    let whole = big.build(&sales(&big)).block.encode().unwrap().len();
    // The limit is state and not checked against genesis' bounds here, so that the test need not fill the smallest allowed block.
    let limited = |limit: usize| {
        let mut chain = Chain::new(Params::default());
        let params = Params { max_block_bytes: u32::try_from(limit).unwrap(), ..Params::default() };
        chain.state.put(Key::Params.bytes(), chain::codec::encode(&params).unwrap());
        chain.tree = Tree::build(chain.state.iter());
        chain
    };
    let fits = limited(whole);
    let transactions = sales(&fits);
    let block = fits.build(&transactions).block;
    assert_eq!((block.transactions.len(), block.encode().unwrap().len()), (usize::from(count), whole));
    assert!(fits.execute(&block, &transactions).is_ok());
    let tight = limited(whole - 1);
    let too_large = BlockError::Invalid(InvalidBlock::TooLarge { found: whole, limit: whole - 1 });
    assert_eq!(tight.execute(&block, &transactions).unwrap_err(), too_large);
    let Built { block, left, refused, .. } = tight.build(&transactions);
    assert_eq!((block.transactions.len(), left, refused), (199, vec![199], vec![]));
    // A smaller one that comes later takes the room.
    let mut candidates = transactions.clone();
    candidates.push(tight.sign(RESIDENT, 0, redeem()));
    let Built { block, left, .. } = tight.build(&candidates);
    assert_eq!((block.transactions.len(), left), (200, vec![199]));
}

#[test]
fn a_rejected_call_uses_its_nonce_and_changes_nothing_else() {
    let mut chain = Chain::new(Params::default());
    let before = chain.state.clone();
    let executed = chain.commit(&[chain.sign(RESIDENT, 0, transfer(NEIGHBOUR, 1))]);
    let [receipt] = &executed.receipts[..] else { panic!("{:?}", executed.receipts) };
    assert_eq!(receipt.outcome, Outcome::Rejected(Rejection::of(Code::InsufficientFunds, 1, 0)));
    assert_eq!(receipt.events, []);
    assert_eq!(chain.nonce(RESIDENT), Some(1));
    let mut expected = before;
    let signer = Signer { account: RESIDENT.address(), scope: chain::record::SignerScope::Owner, nonce: 1 };
    expected.put(Key::Signer(RESIDENT.address()).bytes(), chain::codec::encode(&signer).unwrap());
    assert_eq!(chain.state, expected);
}

/// An invite of the manager for whoever shows it first.
fn invite(chain: &Chain) -> Invite {
    let (issuer, expires) = (MANAGER.address(), chain.now);
    let bytes = Invite::bytes(chain.parent.chain_id, HOME, issuer, 1, expires);
    Invite { issuer, serial: 1, expires, signature: crypto::sign(&MANAGER.key(), crypto::Domain::Invite, &bytes) }
}

#[test]
fn an_unknown_key_may_send_its_own_registration_as_number_zero_and_nothing_else() {
    let mut chain = Chain::new(Params::default());
    let register = RegisterAccount { account: STRANGER.address(), condominium: HOME, invite: Some(invite(&chain)) };
    let wrong_serial = Invite { serial: 2, ..invite(&chain) };
    let body = |nonce, call| chain.body(STRANGER, nonce, call);
    let wrong = [
        body(0, redeem()),
        body(1, Call::RegisterAccount(register)),
        body(0, Call::RegisterAccount(RegisterAccount { invite: None, ..register })),
        body(0, Call::RegisterAccount(RegisterAccount { invite: Some(wrong_serial), ..register })),
        body(0, Call::RegisterAccount(RegisterAccount { account: Actor(7).address(), ..register })),
        Body { account: Actor(7).address(), ..body(0, Call::RegisterAccount(register)) },
        Body { account: Actor(7).address(), ..body(0, Call::RegisterAccount(RegisterAccount { account: Actor(7).address(), ..register })) },
    ];
    for body in wrong {
        let Built { refused, .. } = chain.build(&[signed(body, STRANGER)]);
        assert_eq!(refused, [(0, Code::UnknownSigner.into())]);
    }
    // Registered, paid and spending in one block.
    let transactions = [
        chain.sign(STRANGER, 0, Call::RegisterAccount(register)),
        chain.sign(TREASURER, 0, sale(STRANGER, 1)),
        chain.sign(STRANGER, 1, transfer(RESIDENT, 40)),
    ];
    let executed = chain.commit(&transactions);
    assert_eq!(executed.receipts[0].events, [Event::AccountRegistered { account: STRANGER.address(), home: HOME }]);
    assert_eq!((chain.nonce(STRANGER), chain.balance(STRANGER).micro()), (Some(2), 60));
}

#[test]
fn a_rehearsal_tells_what_the_block_would_say_and_changes_nothing() {
    let chain = Chain::new(Params::default());
    let context = context(&chain.state, &chain.parent, chain.now).unwrap();
    assert_eq!((context.chain_id, context.height, context.timestamp), (chain.parent.chain_id, Height(1), chain.now));
    let (sold, spent) = (chain.sign(TREASURER, 0, sale(RESIDENT, 1)), chain.sign(RESIDENT, 0, transfer(NEIGHBOUR, 100)));
    let short = Err(Rejection::of(Code::InsufficientFunds, 100, 0).into());
    assert_eq!(rehearse(&chain.state, &context, &spent), short.clone());
    assert_eq!(dry_run(&chain.state, &context, &[], &spent), short.map(|_: Vec<Change>| ()));
    let changes = rehearse(&chain.state, &context, &sold).unwrap();
    let mut overlay = Overlay::new(&chain.state);
    overlay.apply(changes);
    let moved = rehearse(&overlay, &context, &spent).unwrap();
    assert!(moved.iter().any(|(key, _)| *key == Key::Account(NEIGHBOUR.address()).bytes()));
    assert_eq!(dry_run(&chain.state, &context, &[sold], &spent), Ok(()));
    let again = chain.sign(RESIDENT, 1, redeem());
    assert_eq!(dry_run(&chain.state, &context, &[], &again), Err(Rejection::of(Code::WrongNonce, 0, 1).into()));
    assert_eq!(chain.balance(RESIDENT), Amount::ZERO);
}

#[test]
fn a_state_without_parameters_or_validators_is_a_fault_of_this_machine() {
    for key in [Key::Params, Key::Validators] {
        let mut chain = Chain::new(Params::default());
        chain.state.delete(&key.bytes());
        let built = build(&chain.state, &chain.tree, &chain.parent, chain.now, VALIDATOR.address(), &[]);
        assert!(built.is_err(), "{key:?}");
    }
}

#[test]
fn the_header_names_the_validators_of_the_next_height() {
    let mut chain = Chain::new(Params::default());
    let next = ValidatorSet::new(vec![Validator { address: RESIDENT.address(), power: 7 }]).unwrap();
    chain.state.put(Key::Validators.bytes(), chain::codec::encode(&next).unwrap());
    chain.tree = Tree::build(chain.state.iter());
    let Built { block, executed, .. } = chain.build(&[]);
    assert_eq!(block.header.next_validators, next.hash());
    assert_eq!(executed.next.validators, next);
    // This height is still decided by the old ones.
    assert!(chain.execute(&block, &[]).is_ok());
}
