use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::codec::{decode, encode};
use crate::merkle::ProofError;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn derive(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    blake3::derive_key(context, &parts.concat())
}

fn bits(path: [u8; 32]) -> String {
    path.iter().map(|byte| format!("{byte:08b}")).collect()
}

/// The root by its definition, from the whole state, with bits as characters.
fn model_root(model: &Model) -> Hash32 {
    fn node(depth: usize, leaves: &[(String, [u8; 32])]) -> [u8; 32] {
        match leaves {
            [] => [0; 32],
            [(_, leaf)] => *leaf,
            _ => {
                let side = |bit: &str| {
                    let here = leaves.iter().filter(|(path, _)| &path[depth..=depth] == bit);
                    node(depth + 1, &here.cloned().collect::<Vec<_>>())
                };
                derive("commonwatt 2026 state node", &[&side("0"), &side("1")])
            }
        }
    }
    let leaves = model.iter().map(|(key, value)| {
        let path = derive("commonwatt 2026 state key", &[key]);
        let value = derive("commonwatt 2026 state value", &[value]);
        (bits(path), derive("commonwatt 2026 state leaf", &[&path, &value]))
    });
    Hash32(node(0, &leaves.collect::<Vec<_>>()))
}

fn key(n: u32) -> Vec<u8> {
    format!("account/{n}").into_bytes()
}

/// Keys of which many share long beginnings of their paths: the ones of the first `count` numbers that are nearest to key 0's path.
fn neighbours(count: u32, keep: usize) -> Vec<Vec<u8>> {
    let own = path_of(&key(0));
    let mut all: Vec<_> = (0..count).map(key).collect();
    all.sort_by_key(|key| path_of(key).0.iter().zip(own.0).map(|(a, b)| a ^ b).collect::<Vec<_>>());
    all.truncate(keep);
    all
}

fn assert_proved(tree: &Tree, model: &Model, key: &[u8]) {
    let value = model.get(key).map(Vec::as_slice);
    assert_eq!(tree.prove(key).verify(tree.root(), key, value), Ok(()));
    assert_eq!(tree.get_digest(key), value.map(value_digest));
}

#[test]
fn agrees_with_the_definition_under_random_batches_and_proves_every_key() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut pool = neighbours(20_000, 40);
    pool.extend((0..60).map(key));
    for _ in 0..10 {
        let (mut tree, mut model) = (Tree::new(), Model::new());
        for _ in 0..40 {
            let changes: Vec<Change> = (0..rng.random_range(0..12))
                .map(|_| {
                    let key = pool[rng.random_range(0..pool.len())].clone();
                    (key, rng.random_bool(0.6).then(|| vec![7; rng.random_range(0..3)]))
                })
                .collect();
            let (earlier, earlier_root) = (tree.clone(), tree.root());
            tree = tree.updated(&changes);
            for (key, value) in changes {
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            assert_eq!(tree.root(), model_root(&model));
            assert_eq!(tree.len(), model.len() as u64);
            assert_eq!(tree.is_empty(), model.is_empty());
            assert_eq!(earlier.root(), earlier_root);
            assert_eq!(Tree::build(&model).root(), tree.root());
            for key in &pool {
                assert_proved(&tree, &model, key);
            }
        }
    }
}

#[test]
fn the_order_and_the_grouping_of_changes_do_not_matter() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut changes: Vec<Change> = (0..500).map(|n| (key(n), Some(n.to_le_bytes().to_vec()))).collect();
    let whole = Tree::new().updated(&changes);
    for _ in 0..5 {
        changes.shuffle(&mut rng);
        let size = rng.random_range(1..80);
        let pieces = changes.chunks(size).fold(Tree::new(), |tree, piece| tree.updated(piece));
        assert_eq!(pieces.root(), whole.root());
    }
    let twice = [(key(0), Some(vec![1])), (key(1), None), (key(0), Some(vec![2]))];
    let once = [(key(0), Some(vec![2])), (key(1), None)];
    assert_eq!(whole.updated(&twice).root(), whole.updated(&once).root());
}

#[test]
fn deletion_restores_the_earlier_root() {
    let keys = neighbours(20_000, 50);
    let mut trees = vec![Tree::new()];
    for key in &keys {
        let next = trees[trees.len() - 1].updated(&[(key.clone(), Some(vec![1]))]);
        trees.push(next);
    }
    let mut tree = trees.pop().unwrap();
    for (key, before) in keys.iter().rev().zip(trees.iter().rev()) {
        tree = tree.updated(&[(key.clone(), None)]);
        assert_eq!(tree.root(), before.root());
        assert_eq!(tree.len(), before.len());
    }
    assert!(tree.is_empty());
}

#[test]
fn a_change_that_changes_nothing_makes_no_new_node() {
    let tree = Tree::build((0..100).map(|n| (key(n), [1])));
    let same = tree.updated(&[(key(3), Some(vec![1])), (key(1_000), None)]);
    assert!(same.top.is_same(&tree.top));
    let other = tree.updated(&[(key(3), Some(vec![2]))]);
    assert!(!other.top.is_same(&tree.top));
}

#[test]
fn an_empty_tree_and_a_single_leaf_have_the_roots_of_the_definition() {
    let empty = Tree::new();
    assert_eq!(empty.root(), Hash32::ZERO);
    let absent = empty.prove(b"k");
    assert_eq!(absent, StateProof { end: ProofEnd::Nothing, siblings: vec![] });
    assert_eq!(absent.verify(Hash32::ZERO, b"k", None), Ok(()));

    let one = empty.updated(&[(b"k".to_vec(), Some(vec![]))]);
    let path = derive("commonwatt 2026 state key", &[b"k"]);
    let value = derive("commonwatt 2026 state value", &[b""]);
    assert_eq!(one.root(), Hash32(derive("commonwatt 2026 state leaf", &[&path, &value])));
    assert_eq!(one.prove(b"k"), StateProof { end: ProofEnd::Value, siblings: vec![] });
    assert_eq!(one.prove(b"k").verify(one.root(), b"k", Some(b"")), Ok(()));
    let other = one.prove(b"l");
    let end = ProofEnd::OtherLeaf { path: Hash32(path), value: Hash32(value) };
    assert_eq!(other, StateProof { end, siblings: vec![] });
    assert_eq!(other.verify(one.root(), b"l", None), Ok(()));
}

/// A proof of each of the three kinds, under one root.
fn proofs_of_each_kind() -> (Tree, Vec<Change>) {
    let mut keys = neighbours(20_000, 12);
    keys.extend((0..40).map(key));
    let present = Tree::build(keys.iter().map(|key| (key, b"value")));
    let mut claims = vec![(keys[0].clone(), Some(b"value".to_vec()))];
    let absent = (100_000..).map(key).filter(|key| present.get_digest(key).is_none());
    let is_nothing = |key: &Vec<u8>| present.prove(key).end == ProofEnd::Nothing;
    claims.extend(absent.clone().find(is_nothing).map(|key| (key, None)));
    claims.extend(absent.clone().find(|key| !is_nothing(key)).map(|key| (key, None)));
    (present, claims)
}

#[test]
fn fails_on_every_changed_bit_of_proof_key_value_and_root() {
    let (tree, claims) = proofs_of_each_kind();
    assert_eq!(claims.len(), 3);
    let root = tree.root();
    for (key, value) in claims {
        let proof = tree.prove(&key);
        let check = |proof: &StateProof, root, key: &[u8], value: Option<&[u8]>| proof.verify(root, key, value);
        assert_eq!(check(&proof, root, &key, value.as_deref()), Ok(()));
        for bit in 0..256 {
            assert!(check(&proof, flip(root, bit), &key, value.as_deref()).is_err());
            for place in 0..proof.siblings.len() {
                let mut changed = proof.clone();
                changed.siblings[place] = flip(changed.siblings[place], bit);
                assert!(check(&changed, root, &key, value.as_deref()).is_err());
            }
            if let ProofEnd::OtherLeaf { path, value: digest } = proof.end {
                let ends =
                    [ProofEnd::OtherLeaf { path: flip(path, bit), value: digest }, ProofEnd::OtherLeaf { path, value: flip(digest, bit) }];
                for end in ends {
                    let changed = StateProof { end, ..proof.clone() };
                    assert!(check(&changed, root, &key, None).is_err());
                }
            }
        }
        for bit in 0..key.len() * 8 {
            let mut other = key.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            // Where a key's value is proved, no other key has it. A proof that a key has none can hold for another absent key as well:
            // it does exactly where the other's path ends in the same place.
            let verdict = check(&proof, root, &other, value.as_deref());
            if verdict.is_ok() {
                assert_eq!((value.as_ref(), tree.prove(&other)), (None, proof.clone()));
            }
        }
        if let Some(value) = value {
            for bit in 0..value.len() * 8 {
                let mut other = value.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                let error = check(&proof, root, &key, Some(&other));
                assert!(matches!(error, Err(ProofError::RootMismatch { .. })));
            }
            assert_eq!(check(&proof, root, &key, None), Err(ProofError::WrongKind { value_claimed: false }));
        } else {
            let error = check(&proof, root, &key, Some(b"value"));
            assert_eq!(error, Err(ProofError::WrongKind { value_claimed: true }));
        }
    }
}

#[test]
fn fails_on_superfluous_and_missing_siblings_and_on_another_end() {
    let (tree, claims) = proofs_of_each_kind();
    let root = tree.root();
    for (key, value) in claims {
        let proof = tree.prove(&key);
        for place in 0..=proof.siblings.len() {
            for extra in [Hash32::ZERO, root] {
                let mut longer = proof.clone();
                longer.siblings.insert(place, extra);
                assert!(longer.verify(root, &key, value.as_deref()).is_err());
            }
        }
        for place in 0..proof.siblings.len() {
            let mut shorter = proof.clone();
            shorter.siblings.remove(place);
            assert!(shorter.verify(root, &key, value.as_deref()).is_err());
        }
        let own = ProofEnd::OtherLeaf { path: path_of(&key), value: value_digest(b"value") };
        for end in [ProofEnd::Value, ProofEnd::Nothing, own] {
            if end != proof.end {
                let changed = StateProof { end, siblings: proof.siblings.clone() };
                for claim in [None, Some(b"value".as_slice())] {
                    assert!(changed.verify(root, &key, claim).is_err());
                }
            }
        }
    }
}

#[test]
fn the_leaf_of_a_present_key_never_excludes_it() {
    let tree = Tree::build((0..50).map(|n| (key(n), [1])));
    let siblings = tree.prove(&key(7)).siblings;
    let path = path_of(&key(7));
    let forged = StateProof { end: ProofEnd::OtherLeaf { path, value: value_digest(&[1]) }, siblings };
    assert_eq!(forged.verify(tree.root(), &key(7), None), Err(ProofError::LeafElsewhere { path }));
    // A leaf that is in the tree, but not where the key would be.
    let elsewhere = (0..50).find(|n| bit(&path_of(&key(*n)), 0) != bit(&path, 0)).unwrap();
    let (path, siblings) = (path_of(&key(elsewhere)), tree.prove(&key(elsewhere)).siblings);
    let forged = StateProof { end: ProofEnd::OtherLeaf { path, value: value_digest(&[1]) }, siblings };
    assert_eq!(forged.verify(tree.root(), &key(7), None), Err(ProofError::LeafElsewhere { path }));
}

#[test]
fn a_proof_travels_as_documented() {
    let (path, value) = (path_of(&key(1)), value_digest(&[1]));
    let other = ProofEnd::OtherLeaf { path, value };
    let expected = [
        (ProofEnd::Value, vec![0, 0, 0, 0]),
        (ProofEnd::Nothing, vec![1, 0, 0, 0]),
        (other, [vec![2, 0, 0, 0], path.0.into(), value.0.into()].concat()),
    ];
    for (end, mut bytes) in expected {
        let siblings = vec![Hash32([5; 32]), Hash32([6; 32])];
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend([[5; 32], [6; 32]].concat());
        let proof = StateProof { end, siblings };
        assert_eq!(encode(&proof).unwrap(), bytes);
        assert_eq!(decode::<StateProof>(&bytes, bytes.len()).unwrap(), proof);
        bytes[0] = 3;
        assert!(decode::<StateProof>(&bytes, bytes.len()).is_err());
    }
}

#[test]
fn refuses_to_read_or_follow_more_siblings_than_a_path_has_bits() {
    let proof = |len| StateProof { end: ProofEnd::Nothing, siblings: vec![Hash32::ZERO; len] };
    let text = |len| serde_json::to_string(&proof(len)).unwrap();
    assert_eq!(serde_json::from_str::<StateProof>(&text(MAX_DEPTH)).unwrap(), proof(MAX_DEPTH));
    assert!(serde_json::from_str::<StateProof>(&text(MAX_DEPTH + 1)).is_err());
    let error = ProofError::SiblingCount { expected: MAX_DEPTH, found: MAX_DEPTH + 1 };
    assert_eq!(proof(MAX_DEPTH + 1).verify(Hash32::ZERO, b"k", None), Err(error));
}

#[test]
fn another_leaf_excludes_a_key_only_if_every_bit_of_the_way_agrees() {
    let own = path_of(b"k");
    for d in 0..256 {
        let mut path = own;
        path.0[d / 8] ^= 0x80 >> (d % 8);
        let root = leaf_hash(&path, &Hash32::ZERO);
        let proof = |depth| StateProof { end: ProofEnd::OtherLeaf { path, value: Hash32::ZERO }, siblings: vec![Hash32::ZERO; depth] };
        assert_eq!(proof(0).verify(root, b"k", None), Ok(()));
        assert!(matches!(proof(d).verify(Hash32::ZERO, b"k", None), Err(ProofError::RootMismatch { .. })));
        for depth in [d + 1, 256] {
            assert_eq!(proof(depth).verify(Hash32::ZERO, b"k", None), Err(ProofError::LeafElsewhere { path }));
        }
    }
}

#[test]
fn paths_that_differ_only_in_their_last_bit_are_told_apart() {
    let path = |last| Hash32(std::array::from_fn(|n| if n == 31 { last } else { 0 }));
    let target = |last| Target { path: path(last), value: Some(value_digest(&[last])) };
    let both = Link::Empty.updated(0, &[target(0), target(1)]);
    assert_eq!(both.len(), 2);
    let mut node = join(&leaf_hash(&path(0), &value_digest(&[0])), &leaf_hash(&path(1), &value_digest(&[1])));
    for _ in 0..255 {
        node = join(&node, &Hash32::ZERO);
    }
    assert_eq!(both.hash(), node);
    let one = both.updated(0, &[Target { path: path(0), value: None }]);
    assert!(matches!(&one, Link::Leaf(leaf) if leaf.path == path(1)));
}

fn flip(digest: Hash32, bit: usize) -> Hash32 {
    let mut bytes = digest.0;
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash32(bytes)
}
