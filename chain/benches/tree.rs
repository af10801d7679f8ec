//! What the authenticated structures cost: updating, building, proving and verifying; and the memory of a key in the state tree.
//!
//! Run with `cargo bench --profile dev -p chain --bench tree`. Keys are of 40 bytes and values of 80, about what accounts and sessions have.

use std::{hint::black_box, time::Duration};

use chain::hash::{Context, Hash32};
use chain::history::{self, History};
use chain::merkle;
use chain::state::Change;
use chain::tree::Tree;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Keys changed together: what a full block changes.
const BATCH: u64 = 1_000;

fn key(n: u64) -> Vec<u8> {
    let mut key = b"session/".to_vec();
    key.extend(Context::ReceiptLeaf.hash(&[&n.to_be_bytes()]).0);
    key
}

fn value(n: u64, round: u64) -> Vec<u8> {
    [n, round].iter().flat_map(|part| part.to_le_bytes()).cycle().take(80).collect()
}

fn build(keys: u64) -> Tree {
    Tree::build((0..keys).map(|n| (key(n), value(n, 0))))
}

/// Changes of keys that are spread over the whole state.
fn changes(keys: u64, round: u64) -> Vec<Change> {
    (0..BATCH).map(|n| (n * 7_919 + round * 104_729) % keys).map(|n| (key(n), Some(value(n, round)))).collect()
}

/// The memory of this process in bytes, where the system says it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// Printed, not asserted: bytes per key, as the process grows by many of them. Runs first, before anything freed could be used again.
fn print_memory() {
    const KEYS: u64 = 200_000;
    let before = resident_bytes();
    let tree = build(KEYS);
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        println!("memory: {} bytes per key of {KEYS}", after.saturating_sub(before) / tree.len());
    }
}

fn state_tree(c: &mut Criterion) {
    print_memory();
    let mut group = c.benchmark_group("state tree");
    group.sample_size(10);
    for keys in [10_000, 200_000] {
        let tree = build(keys);
        let mut round = 0;
        group.throughput(Throughput::Elements(BATCH));
        group.bench_function(format!("update {BATCH} of {keys} keys"), |b| {
            b.iter_batched(
                || {
                    round += 1;
                    changes(keys, round)
                },
                |changes| tree.updated(&changes).root(),
                BatchSize::LargeInput,
            );
        });
        group.bench_function(format!("update 1 of {keys} keys, {BATCH} times"), |b| {
            let changes = changes(keys, 1);
            b.iter(|| changes.chunks(1).map(|one| tree.updated(one).root()).collect::<Vec<_>>());
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("prove 1 of {keys} keys"), |b| b.iter(|| tree.prove(black_box(b"absent"))));
        let (present, root) = (key(5), tree.root());
        let proof = tree.prove(&present);
        println!("a proof of 1 of {keys} keys has {} siblings", proof.siblings.len());
        group.bench_function(format!("verify 1 of {keys} keys"), |b| b.iter(|| proof.verify(root, &present, Some(&value(5, 0)))));
        group.throughput(Throughput::Elements(keys));
        group.bench_function(format!("build {keys} keys"), |b| b.iter(|| build(keys)));
    }
    group.finish();
}

fn ordered_tree_and_history(c: &mut Criterion) {
    let leaves: Vec<Hash32> = (0..BATCH).map(|n| Context::ReceiptLeaf.hash(&[&n.to_le_bytes()])).collect();
    c.bench_function(&format!("merkle root of {BATCH}"), |b| b.iter(|| merkle::root(black_box(&leaves))));
    c.bench_function(&format!("merkle path in {BATCH}"), |b| b.iter(|| merkle::prove(black_box(&leaves), 617)));

    let mut nodes = std::collections::BTreeMap::new();
    let mut long = History::new();
    for n in 0..100_000_u64 {
        nodes.extend(long.append(Context::Header.hash(&[&n.to_le_bytes()])));
    }
    c.bench_function("history append and root at 100000", |b| {
        b.iter_batched(
            || long.clone(),
            |mut history| {
                history.append(black_box(Hash32::ZERO));
                history.root()
            },
            BatchSize::SmallInput,
        );
    });
    c.bench_function("history path in 100000", |b| b.iter(|| history::prove(long.count(), 4_711, &|position| Ok(nodes[&position]))));
    c.bench_function("hash of a tree's node", |b| b.iter(|| Context::StateNode.hash(&[black_box(&[1; 32]), black_box(&[2; 32])])));
    // What the cached context keys save.
    c.bench_function("hash of a tree's node, context string hashed each time", |b| {
        b.iter(|| {
            let mut hasher = blake3::Hasher::new_derive_key(Context::StateNode.text());
            hasher.update(black_box(&[1; 32])).update(black_box(&[2; 32])).finalize()
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = state_tree, ordered_tree_and_history
}
criterion_main!(benches);
