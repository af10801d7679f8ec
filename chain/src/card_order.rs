//! What a manager tells a gateway about a card: to keep the key of its binding, or to destroy it. It never enters a block.
//!
//! Who may give an order is the gateway's question, which asks the chain. Made by the command line, read by the gateway.

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use crate::{
    codec,
    crypto::{self, Domain, Signature},
    hash::Hash32,
    id::{Address, CardId, ChainId, CondominiumId},
    time::Timestamp,
};

/// The most that a signed order may measure, in bytes.
pub const MAX_ORDER_BYTES: usize = 512;

const SIGNATURE_BYTES: usize = 64;

/// An order about a card.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CardOrder {
    /// The chain that the card is bound on.
    pub chain_id: ChainId,
    /// Whose key signs.
    pub signer: Address,
    /// When it was signed; an old one is refused.
    pub at: Timestamp,
    /// Where the card is bound.
    pub condominium: CondominiumId,
    /// The card's binding.
    pub card: CardId,
    /// What to do.
    pub action: CardAction,
}

/// What to do with a card's key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CardAction {
    /// Keep it: with it the gateway knows the card.
    Keep(Hash32),
    /// Destroy it for good: nobody can tell any more which card was bound.
    Erase,
}

impl std::fmt::Debug for CardAction {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep(_) => "Keep",
            Self::Erase => "Erase",
        })
    }
}

/// Bytes that are no order of their signer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected an order about a card, signed by the key that it names")]
pub struct BadOrder;

impl CardOrder {
    /// The order and its signature as bytes: 64 of signature, then the body. `None` where it has no encoding, which an order always has.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Option<Vec<u8>> {
        let body = codec::encode(self).ok()?;
        let signature = crypto::sign(key, Domain::CardOrder, &body);
        Some([signature.0.as_slice(), &body].concat())
    }

    /// Reads an order whose signature is its signer's.
    ///
    /// # Errors
    /// [`BadOrder`].
    pub fn verified(bytes: &[u8]) -> Result<Self, BadOrder> {
        let (signature, body) = bytes.split_first_chunk::<SIGNATURE_BYTES>().ok_or(BadOrder)?;
        let order: Self = codec::decode(body, MAX_ORDER_BYTES).map_err(|_| BadOrder)?;
        crypto::verify(&order.signer, Domain::CardOrder, body, &Signature(*signature)).map_err(|_| BadOrder)?;
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_its_signers_and_no_byte_of_it_can_be_changed() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let order = CardOrder {
            chain_id: ChainId(Hash32([1; 32])),
            signer: crypto::address_of(&key),
            at: Timestamp::from_ms(5),
            condominium: CondominiumId(1),
            card: CardId::commit(&Hash32([2; 32]), &[4, 5, 6, 7]),
            action: CardAction::Keep(Hash32([2; 32])),
        };
        let bytes = order.sign(&key).unwrap();
        assert_eq!(CardOrder::verified(&bytes), Ok(order));
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(CardOrder::verified(&changed), Err(BadOrder), "byte {place}");
        }
        assert_eq!(CardOrder::verified(&bytes[..70]), Err(BadOrder));
        let other = order.sign(&SigningKey::from_bytes(&[8; 32])).unwrap();
        assert_eq!(CardOrder::verified(&other), Err(BadOrder));
        assert!(!format!("{order:?}").contains("0202"), "the key is never shown");
    }
}
