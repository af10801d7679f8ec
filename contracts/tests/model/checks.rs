//! What must hold of any state, whatever the model thinks: sums, limits and proofs, read from the bytes.

use std::collections::{BTreeMap, BTreeSet};

use chain::{
    codec,
    hash::{Context, Hash32},
    merkle,
    quantity::Amount,
    receipt::Receipt,
    record::{Account, Condominium, Connector, Group, Payment, Redemption, Session},
    tree::{StateProof, Tree},
};
use rand::{Rng, rngs::StdRng};
use serde::{Serialize, de::DeserializeOwned};

/// Keys and values.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The state has exactly the records of the model.
pub fn same(state: &Rows, model: &Rows, height: u64) {
    if state == model {
        return;
    }
    for key in state.keys().chain(model.keys()).collect::<BTreeSet<_>>() {
        let (found, expected) = (state.get(key), model.get(key));
        if found != expected {
            println!("table {} key {}: state {}, model {}", key[0], hex::encode(&key[1..]), show(key[0], found), show(key[0], expected));
        }
    }
    panic!("after block {height} the state is not what the model predicts");
}

fn show(table: u8, value: Option<&Vec<u8>>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    match table {
        1 => format!("{:?}", read::<Account>(value)),
        3 => format!("{:?}", read::<Condominium>(value)),
        5 => format!("{:?}", read::<Group>(value)),
        6 => format!("{:?}", read::<Connector>(value)),
        9 => format!("{:?}", read::<Session>(value)),
        _ => hex::encode(value),
    }
}

fn read<T: DeserializeOwned + Serialize>(value: &[u8]) -> T {
    codec::decode(value, 1 << 16).expect("a record decodes")
}

/// The records of a table, each with its key behind the table's byte.
fn table<T: DeserializeOwned + Serialize>(state: &Rows, table: u8) -> Vec<(Vec<u8>, T)> {
    let rows = state.range(vec![table]..vec![table + 1]);
    rows.map(|(key, value)| (key[1..].to_vec(), read(value))).collect()
}

fn number(key: &[u8], place: usize) -> u32 {
    u32::from_be_bytes(key[4 * place..4 * place + 4].try_into().expect("four bytes"))
}

/// Conservation, holds and their owners, positions, limits of groups, one session for a connector.
pub fn sums(state: &Rows) {
    let accounts: Vec<(_, Account)> = table(state, 1);
    let mut positions: Vec<(_, Amount)> = table(state, 13);
    positions.extend(table::<Payment>(state, 22).into_iter().map(|(key, payment)| (key, payment.amount)));
    let sessions: Vec<(_, Session)> = table(state, 9);
    let payouts: Vec<(_, Redemption)> = table(state, 12);
    let mut net_of_all = 0;
    for (key, condominium) in table::<Condominium>(state, 3) {
        let site = number(&key, 0);
        let mut left = 0_i128;
        let mut right = i128::from(condominium.minted.micro()) - i128::from(condominium.redeemed.micro());
        for (_, account) in accounts.iter().filter(|(_, account)| account.home.0 == site) {
            left += i128::from(account.balance.micro()) + i128::from(account.held.micro());
            right += i128::from(account.debt.micro());
            assert!(account.debt <= account.credit_limit, "more debt than the limit");
        }
        let owed: i128 = positions.iter().filter(|(key, _)| number(key, 1) == site).map(|(_, amount)| i128::from(amount.micro())).sum();
        let owing: i128 = positions.iter().filter(|(key, _)| number(key, 0) == site).map(|(_, amount)| i128::from(amount.micro())).sum();
        net_of_all += owed - owing;
        assert_eq!(left, right + owed - owing, "conservation in condominium {site}");
    }
    assert_eq!(net_of_all, 0, "positions");
    for (key, account) in &accounts {
        let escrows = sessions.iter().filter(|(_, session)| session.account.0 == key[..]).map(|(_, session)| session.escrow.micro());
        let pending = payouts.iter().filter(|(_, payout)| payout.account.0 == key[..]).map(|(_, payout)| payout.amount.micro());
        assert_eq!(account.held.micro(), escrows.chain(pending).sum::<u64>(), "what is held has owners");
    }
    currents(state, &sessions);
}

/// On every phase of every group the limit holds for all that sessions hold in it and below it, and for what is reserved there.
fn currents(state: &Rows, sessions: &[(Vec<u8>, Session)]) {
    let groups: BTreeMap<(u32, u32), Group> =
        table(state, 5).into_iter().map(|(key, group)| ((number(&key, 0), number(&key, 1)), group)).collect();
    let mut found: BTreeMap<(u32, u32), [u64; 3]> = BTreeMap::new();
    let mut add = |site: u32, group: u32, current: [u32; 3]| {
        let mut next = Some(group);
        while let Some(group) = next {
            let sum = found.entry((site, group)).or_default();
            (0..3).for_each(|phase| sum[phase] += u64::from(current[phase]));
            next = groups[&(site, group)].parent;
        }
    };
    let connectors: Vec<(_, Connector)> = table(state, 6);
    for (key, connector) in &connectors {
        let site = number(key, 0);
        let open =
            sessions.iter().filter(|(_, session)| (session.connector.condominium.0, session.connector.number) == (site, number(key, 1)));
        let open: Vec<_> = open.collect();
        assert!(open.len() <= 1, "one session for a connector");
        assert_eq!(connector.session.map(|id| id.0.0.to_vec()), open.first().map(|(id, _)| id.clone()));
        if connector.control == chain::record::Control::MeterOnly {
            add(site, connector.group, connector.rated.ma());
        }
        for (_, session) in open {
            add(site, connector.group, session.granted.ma());
        }
    }
    for (id, group) in &groups {
        let sum = found.get(id).copied().unwrap_or_default();
        let within = sum.iter().zip(group.limit.ma()).all(|(ma, limit)| *ma <= u64::from(limit));
        assert!(within, "limit of group {id:?}");
    }
}

/// Some keys that are there and some that are not can be proven, and nothing false can.
pub fn proofs(rng: &mut StdRng, tree: &Tree, root: Hash32, state: &Rows) {
    assert_eq!(tree.root(), root);
    assert_eq!(tree.len(), state.len() as u64);
    for _ in 0..2 {
        let (key, value) = state.iter().nth(rng.random_range(0..state.len())).expect("within");
        let proof = tree.prove(key);
        assert_eq!(proof.verify(root, key, Some(value)), Ok(()));
        assert!(proof.verify(root, key, None).is_err());
        let mut wrong = value.clone();
        if flip(rng, &mut wrong) {
            assert!(proof.verify(root, key, Some(&wrong)).is_err(), "another value");
        }
        let mut wrong = key.clone();
        flip(rng, &mut wrong);
        assert!(proof.verify(root, &wrong, Some(value)).is_err(), "another key");
        spoilt_proof(rng, &proof, root, key, Some(value));

        let mut absent = key.clone();
        while state.contains_key(&absent) {
            flip(rng, &mut absent);
        }
        let proof = tree.prove(&absent);
        assert_eq!(proof.verify(root, &absent, None), Ok(()));
        assert!(proof.verify(root, &absent, Some(value)).is_err());
        assert!(proof.verify(root, key, None).is_err(), "what is there cannot be proven absent");
        spoilt_proof(rng, &proof, root, &absent, None);
        let mut elsewhere = root;
        elsewhere.0[rng.random_range(0..32)] ^= 1;
        assert!(proof.verify(elsewhere, &absent, None).is_err(), "another root");
    }
}

/// A receipt can be proven under its root, in its place and no other, and no other receipt can.
pub fn receipts(rng: &mut StdRng, receipts: &[Receipt], root: Hash32) {
    if receipts.is_empty() {
        return;
    }
    let leaves: Vec<Hash32> = receipts.iter().map(Receipt::leaf).collect();
    let index = rng.random_range(0..leaves.len());
    let path = merkle::prove(&leaves, index as u64).expect("within");
    assert_eq!(path.verify(leaves[index], root), Ok(()));
    let mut wrong = codec::encode(&receipts[index]).expect("encodes");
    flip(rng, &mut wrong);
    assert!(path.verify(Context::ReceiptLeaf.hash(&[&wrong]), root).is_err(), "another receipt");
    let mut bytes = codec::encode(&path).expect("encodes");
    flip(rng, &mut bytes);
    if let Ok(wrong) = codec::decode::<merkle::Path>(&bytes, 1 << 16) {
        assert!(wrong.verify(leaves[index], root).is_err(), "another path");
    }
}

fn spoilt_proof(rng: &mut StdRng, proof: &StateProof, root: Hash32, key: &[u8], value: Option<&Vec<u8>>) {
    let mut bytes = codec::encode(proof).expect("encodes");
    flip(rng, &mut bytes);
    if let Ok(wrong) = codec::decode::<StateProof>(&bytes, 1 << 16) {
        assert!(wrong.verify(root, key, value.map(Vec::as_slice)).is_err(), "another proof");
    }
}

/// Changes one bit, if there is one.
fn flip(rng: &mut StdRng, bytes: &mut [u8]) -> bool {
    if bytes.is_empty() {
        return false;
    }
    let place = rng.random_range(0..bytes.len());
    bytes[place] ^= 1 << rng.random_range(0..8);
    true
}
