//! The checksum at the end of every stored value: over the table, the key and the value.
//!
//! It finds a value that was rewritten behind our back or moved to another key; it does not prove that a value is right, and keeps nobody out who can compute
//! it. A leaf: the node's database and the gateway's own call it.

use chain::hash::Hash32;

/// The length of a seal, in bytes.
pub const SEAL_BYTES: usize = 16;

/// The digest that a seal is the beginning of; `table` is a number of the database's own.
#[must_use]
pub fn digest(table: u8, key: &[u8], value: &[u8]) -> Hash32 {
    let mut hasher = blake3::Hasher::new();
    // Both lengths are fixed by what goes before, so that no two triples give the same bytes.
    hasher.update(&[table]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    Hash32(*hasher.finalize().as_bytes())
}

/// A value with its seal behind it.
#[must_use]
pub fn sealed(table: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.len().saturating_add(SEAL_BYTES));
    sealed.extend_from_slice(value);
    sealed.extend(digest(table, key, value).0.into_iter().take(SEAL_BYTES));
    sealed
}

/// The value without its seal; nothing where the seal does not match.
#[must_use]
pub fn unsealed(table: u8, key: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    let length = sealed.len().checked_sub(SEAL_BYTES)?;
    let (value, found) = sealed.split_at_checked(length)?;
    if !digest(table, key, value).0.starts_with(found) {
        return None;
    }
    sealed.truncate(length);
    Some(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_another_key_and_another_table_break_the_seal() {
        let stored = sealed(3, b"key", b"value");
        assert_eq!(stored.len(), 5 + SEAL_BYTES);
        assert_eq!(unsealed(3, b"key", stored.clone()).as_deref(), Some(b"value".as_slice()));
        for place in 0..stored.len() {
            let mut changed = stored.clone();
            changed[place] ^= 1;
            assert_eq!(unsealed(3, b"key", changed), None, "byte {place}");
        }
        assert_eq!(unsealed(4, b"key", stored.clone()), None);
        assert_eq!(unsealed(3, b"kez", stored.clone()), None);
        assert_eq!(unsealed(3, b"key", stored[..SEAL_BYTES - 1].to_vec()), None);
    }
}
