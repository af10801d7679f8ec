//! A signed transaction in a file, on its way from a machine that has the key to one that has a node.
//!
//! JSON with the transaction's bytes, and beside them what they say in words: for people, never believed. Whoever has the file can submit it, once, until it expires,
//! and can change nothing in it; so it is written for its owner's eyes alone. It signs nothing and asks no node. Called by the commands.

use chain::{id::TxId, time::Timestamp, transaction::MAX_VALIDITY};
use contracts::call::Transaction;
use serde::{Deserialize, Serialize};

use crate::{describe, quantity::time, render::brief};

/// The most that a file may measure, in bytes: the digits of the largest transaction, and words.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

const FORMAT: &str = "commonwatt transaction";
const VERSION: u32 = 1;

/// Why a file holds no transaction.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransactionFileError {
    /// It is something else.
    #[error("it is no signed transaction: {0}")]
    Format(String),
    /// It was changed.
    #[error("its bytes are of transaction {found}, the file says {expected}: it was changed")]
    OtherId {
        /// What the file says.
        expected: TxId,
        /// What the bytes are.
        found: TxId,
    },
    /// The signature is not the signer's.
    #[error("the signature is not the signer's: the file was changed")]
    Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u32,
    /// In words, for people; so are the next three.
    what: String,
    says: Vec<(String, String)>,
    not_before: String,
    good_until: String,
    id: TxId,
    bytes: String,
}

/// The first block time at which a transaction may enter a block: before it, its expiry is too far ahead.
#[must_use]
pub fn not_before(transaction: &Transaction) -> Timestamp {
    transaction.body().valid_until.saturating_sub(MAX_VALIDITY)
}

/// The file of a transaction.
///
/// # Errors
/// None for a transaction.
pub fn written(transaction: &Transaction, currency: &str) -> serde_json::Result<Vec<u8>> {
    let (what, lines) = describe::body(transaction.body(), currency);
    let document = Document {
        format: FORMAT.to_owned(),
        version: VERSION,
        what,
        says: lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        not_before: time(not_before(transaction)),
        good_until: time(transaction.body().valid_until),
        id: transaction.id(),
        bytes: hex::encode(transaction.bytes()),
    };
    let mut text = serde_json::to_vec_pretty(&document)?;
    text.push(b'\n');
    Ok(text)
}

/// The transaction of a file, its signature checked; the words in the file are not looked at.
///
/// # Errors
/// [`TransactionFileError`].
pub fn read(text: &[u8]) -> Result<Transaction, TransactionFileError> {
    // A file may name a field of a megabyte.
    let format = |reason: String| TransactionFileError::Format(brief(&reason));
    let document: Document = serde_json::from_slice(text).map_err(|error| format(error.to_string()))?;
    if document.format != FORMAT || document.version != VERSION {
        return Err(format(format!("expected {FORMAT:?} version {VERSION}, found {:?} version {}", document.format, document.version)));
    }
    let bytes = hex::decode(&document.bytes).map_err(|_| format("its bytes are no hexadecimal digits".to_owned()))?;
    let transaction = Transaction::decode(&bytes).map_err(|error| format(error.to_string()))?;
    if transaction.id() != document.id {
        return Err(TransactionFileError::OtherId { expected: document.id, found: transaction.id() });
    }
    transaction.verify().map_err(|_| TransactionFileError::Signature)?;
    Ok(transaction)
}

#[cfg(test)]
mod tests {
    use chain::{
        hash::Hash32,
        id::{Address, ChainId},
        quantity::Amount,
    };
    use contracts::call::{Body, Call, Transfer};
    use ed25519_dalek::SigningKey;

    use super::*;

    #[test]
    fn a_file_gives_back_what_was_signed_and_nothing_that_was_changed() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let address = chain::crypto::address_of(&key);
        let call = Call::Transfer(Transfer { to: Address([8; 32]), amount: Amount::from_micro(12_500_000) });
        let valid_until = Timestamp::from_ms(1_795_415_400_000);
        let body = Body { chain_id: ChainId(Hash32([7; 32])), account: address, signer: address, nonce: 3, valid_until, call };
        let transaction = Transaction::sign(body.clone(), &key).unwrap();
        let text = String::from_utf8(written(&transaction, "EUR").unwrap()).unwrap();
        assert!(text.contains("Send 12.50 EUR") && text.contains(&time(valid_until)), "{text}");
        assert_eq!(read(text.as_bytes()).unwrap(), transaction);
        // The words are for people: they decide nothing.
        assert_eq!(read(text.replace("12.50", "1.00").as_bytes()).unwrap(), transaction);

        let hex = hex::encode(transaction.bytes());
        let mut other = transaction.bytes().to_vec();
        other[0] ^= 1;
        assert_eq!(read(text.replace(&hex, &hex::encode(&other)).as_bytes()), Err(TransactionFileError::Signature));
        let last = other.len() - 1;
        (other[0], other[last]) = (transaction.bytes()[0], other[last] ^ 1);
        assert!(matches!(read(text.replace(&hex, &hex::encode(&other)).as_bytes()), Err(TransactionFileError::OtherId { .. })));
        // What was signed to be tried is no transaction.
        let tried = Transaction::sign_rehearsal(body, &key).unwrap();
        assert_eq!(tried.id(), transaction.id());
        assert_eq!(read(text.replace(&hex, &hex::encode(tried.bytes())).as_bytes()), Err(TransactionFileError::Signature));
        assert!(matches!(read(b"{}"), Err(TransactionFileError::Format(_))));
    }
}
