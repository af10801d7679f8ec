//! The check at start: every value's checksum, no gap in the chain and every header linked to the one before, the state against the newest header, the
//! history of headers and the indexes against the blocks.
//!
//! It reads the whole database once, from end to end, and executes nothing: that the chain follows its rules is an audit's matter. Only where the state's
//! root is wrong is the chain replayed, to name the keys that differ. Called by [`super::Store::open`] alone.

use std::collections::BTreeSet;

use chain::{state::StateRead as _, tree::TreeBuilder};
use contracts::{
    call::Transaction,
    execute::{self, VerifiedTransaction},
};
use tracing::warn;

use super::{history::Headers, *};

pub(super) fn open_checked(database: Database, genesis: &Genesis) -> Result<Opened, StoreError> {
    let view = database.view();
    let tip: StoredTip = required(&database, &view, META_TIP)?;
    let mut headers = Headers::new(genesis.chain_id());
    check_heights(&database, &view, Family::Blocks, tip.height, |height, block| headers.block(height, block))?;
    for family in [Family::Certificates, Family::Receipts] {
        check_heights(&database, &view, family, tip.height, |_, _| Ok(()))?;
    }
    let (newest, history, mut rebuilt) = headers.finish(&database, tip)?;
    if !rebuilt.is_empty() {
        warn!(entries = rebuilt.join(", "), "the history of headers does not match the blocks: these entries are made again");
    }
    let (state, tree) = read_state(&database, &view)?;
    let validators = check_roots(&database, &view, genesis, newest.as_ref(), &state, &tree)?;

    let mut undecided = Vec::new();
    let next = height_key(tip.height.next());
    // From the first on, although those of earlier heights are deleted: a damaged file is to be found wherever it is.
    database.each(&view, Family::Undecided, &[], |key, value| {
        if *key < next[..] {
            return Ok(Walk::On);
        }
        undecided.push(db::decode(Family::Undecided, key, &value?)?);
        Ok::<_, StoreError>(Walk::On)
    })?;

    // A digest that cannot be read says nothing about the indexes, so all of them are made again.
    let mut digests: Digests = database.read(&view, Family::Meta, META_INDEX).ok().flatten().unwrap_or_default();
    let wrong = index::find_wrong(&database, &view, &digests)?;
    drop(view);
    if !wrong.is_empty() {
        let names: Vec<_> = wrong.iter().map(|index| index.name()).collect();
        warn!(indexes = names.join(", "), "an index does not match the blocks: it is made again");
        if wrong.len() == index::Index::ALL.len() {
            digests = Digests::new();
        }
        let view = database.view();
        let block_at = |height: Height| -> Result<(Hash32, Block, Vec<Receipt>), StoreError> {
            let missing = |family: Family| StoreError::Missing { what: family.describe(&height_key(height)) };
            let block: Block = database.read(&view, Family::Blocks, &height_key(height))?.ok_or_else(|| missing(Family::Blocks))?;
            let receipts = database.read(&view, Family::Receipts, &height_key(height))?.ok_or_else(|| missing(Family::Receipts))?;
            Ok((block.header.hash(), block, receipts))
        };
        index::rebuild(&database, &wrong, &mut digests, tip.height, &block_at)?;
    }
    rebuilt.extend(wrong.iter().map(|index| index.name().to_owned()));
    let parent = Parent { chain_id: genesis.chain_id(), height: tip.height, hash: tip.hash, timestamp: tip.timestamp, history, validators };
    let reader = Reader::new(database, Present { tip, header: newest, tree: tree.clone() });
    Ok(Opened { store: Store { reader, digests }, state, tree, parent, undecided, rebuilt })
}

/// Every checksum of a family, and each height from 1 to the tip exactly once; shows every value to `each`.
fn check_heights(
    database: &Database,
    view: &db::View<'_>,
    family: Family,
    tip: Height,
    mut each: impl FnMut(Height, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut expected = Height(1);
    database.each(view, family, &[], |key, value| {
        let value = value?;
        if expected > tip {
            return Err(StoreError::Damaged { what: family.describe(key), why: format!("the newest block is of height {tip}") });
        }
        if key != height_key(expected) {
            return Err(StoreError::Missing { what: family.describe(&height_key(expected)) });
        }
        each(expected, &value)?;
        expected = expected.next();
        Ok(Walk::On)
    })?;
    if expected <= tip {
        return Err(StoreError::Missing { what: family.describe(&height_key(expected)) });
    }
    Ok(())
}

fn read_state(database: &Database, view: &db::View<'_>) -> Result<(MemoryState, Tree), StoreError> {
    let mut state = MemoryState::new();
    let mut builder = TreeBuilder::new();
    database.each(view, Family::State, &[], |key, value| {
        let value = value?;
        builder.insert(key, &value);
        state.put(key.to_vec(), value);
        Ok::<_, StoreError>(Walk::On)
    })?;
    Ok((state, builder.finish()))
}

/// The state against the newest header, or against genesis before the first block; gives the validators of the next height.
fn check_roots(
    database: &Database,
    view: &db::View<'_>,
    genesis: &Genesis,
    newest: Option<&Header>,
    state: &MemoryState,
    tree: &Tree,
) -> Result<ValidatorSet, StoreError> {
    let unusable = |error: String| StoreError::Place(format!("the genesis document: {error}"));
    let (root, set) = match newest {
        Some(header) => (header.state_root, header.next_validators),
        None => {
            let changes: Vec<Change> = genesis.state().map_err(|error| unusable(error.to_string()))?;
            let set = genesis.validator_set().map_err(|error| unusable(error.to_string()))?;
            (Tree::new().updated(&changes).root(), set.hash())
        }
    };
    if tree.root() != root {
        let wrong = differing_keys(database, view, genesis, newest.map_or(Height(0), |header| header.height), state);
        let what = if wrong.is_empty() { "the state".to_owned() } else { wrong.join(" and ") };
        let why = format!("the state's root is {}, the newest header names {root}", tree.root());
        return Err(StoreError::Damaged { what, why });
    }
    let key = validators_key(&set);
    let validators: Option<ValidatorSet> = database.read(view, Family::Meta, &key)?;
    match validators {
        Some(validators) if validators.hash() == set => Ok(validators),
        Some(_) => Err(StoreError::Damaged { what: format!("validator set {set}"), why: "its hash does not match".to_owned() }),
        None => Err(StoreError::Missing { what: format!("validator set {set}") }),
    }
}

/// Differing keys that are named.
const NAMED_KEYS_MAX: usize = 4;

/// The keys whose values are not those that the chain gives when it is replayed; none where it cannot be replayed to the end.
fn differing_keys(database: &Database, view: &db::View<'_>, genesis: &Genesis, tip: Height, state: &MemoryState) -> Vec<String> {
    let Some(expected) = replay(database, view, genesis, tip) else { return Vec::new() };
    let keys: BTreeSet<&[u8]> = expected.iter().chain(state.iter()).map(|(key, _)| key).collect();
    let differ = |key: &&[u8]| state.get(key).ok() != expected.get(key).ok();
    keys.into_iter().filter(differ).take(NAMED_KEYS_MAX).map(|key| Family::State.describe(key)).collect()
}

fn replay(database: &Database, view: &db::View<'_>, genesis: &Genesis, tip: Height) -> Option<MemoryState> {
    let mut parent = Parent::genesis(genesis).ok()?;
    let changes = genesis.state().ok()?;
    let mut state = MemoryState::new();
    state.apply(&changes);
    let mut tree = Tree::new().updated(&changes);
    while parent.height < tip {
        let block: Block = database.read(view, Family::Blocks, &height_key(parent.height.next())).ok()??;
        let verify = |bytes: &Vec<u8>| VerifiedTransaction::verify(Transaction::decode(bytes).ok()?).ok();
        let transactions: Vec<_> = block.transactions.iter().map(verify).collect::<Option<_>>()?;
        let executed = execute::execute(&state, &tree, &parent, &block, &transactions).ok()?;
        state.apply(&executed.changes);
        (tree, parent) = (executed.tree, executed.next);
    }
    Some(state)
}
