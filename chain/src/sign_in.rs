//! How whoever holds a key shows it to a node that answers only those who may read: the node asks for a signature on words of its own, once.
//!
//! What is signed names the chain, the node, the account, a number that is used once, and when it lapses; no transaction can be made of it. Who may read what
//! is the node's matter. Made by wallets, checked by the node's API.

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, CodecError},
    crypto::{self, BadSignature, Domain, Signature},
    hash::Hash32,
    id::{Address, ChainId},
    time::Timestamp,
};

/// The most that the JSON of a [`SignIn`] may measure, in bytes.
pub const MAX_SIGN_IN_BYTES: usize = 4 << 10;

/// What a node wants signed: the answer to `POST /challenges`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// The chain that the node follows.
    pub chain_id: ChainId,
    /// The node: the ed25519 public key by which the network knows it.
    pub node: Hash32,
    /// A number that is used once.
    pub nonce: Hash32,
    /// By the node's own clock; afterwards it takes no answer.
    pub expires_at: Timestamp,
    /// By this the node knows its own words again; it says nothing to anybody else.
    pub seal: Hash32,
}

/// The answer of whoever holds the account's key: the body of `POST /tokens`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// What the node asked, as it was.
    pub challenge: Challenge,
    /// Who signs.
    pub account: Address,
    /// Over [`Challenge`] and account, in the chain's own encoding, with the prefix `commonwatt/read/v1` and a zero byte.
    pub signature: Signature,
}

/// What opens the node to its bearer for a while: the answer to `POST /tokens`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// To be sent as `Authorization: Bearer …`.
    pub token: String,
    /// Who reads.
    pub account: Address,
    /// By the node's own clock.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for Token {
    /// Without the token: whoever has it reads.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("account", &self.account).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl Challenge {
    /// Answers with a key.
    ///
    /// # Errors
    /// None for a challenge of ours: all of its fields have an encoding.
    pub fn answer(self, key: &SigningKey) -> Result<SignIn, CodecError> {
        let account = crypto::address_of(key);
        Ok(SignIn { challenge: self, account, signature: crypto::sign(key, Domain::Read, &codec::encode(&(self, account))?) })
    }
}

impl SignIn {
    /// Whether the account's key answered just this.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self) -> Result<(), BadSignature> {
        let signed = codec::encode(&(self.challenge, self.account)).map_err(|_| BadSignature)?;
        crypto::verify(&self.account, Domain::Read, &signed, &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_keys_to_one_question_of_one_node() {
        let challenge = Challenge {
            chain_id: ChainId(Hash32([1; 32])),
            node: Hash32([2; 32]),
            nonce: Hash32([3; 32]),
            expires_at: Timestamp::from_ms(4),
            seal: Hash32([5; 32]),
        };
        let (key, other) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
        let answer = challenge.answer(&key).unwrap();
        assert_eq!(answer.verify(), Ok(()));
        assert_eq!(SignIn { account: crypto::address_of(&other), ..answer }.verify(), Err(BadSignature));
        let changed = [
            Challenge { chain_id: ChainId(Hash32([9; 32])), ..challenge },
            Challenge { node: Hash32([9; 32]), ..challenge },
            Challenge { nonce: Hash32([9; 32]), ..challenge },
            Challenge { expires_at: Timestamp::from_ms(9), ..challenge },
            Challenge { seal: Hash32([9; 32]), ..challenge },
        ];
        for challenge in changed {
            assert_eq!(SignIn { challenge, ..answer }.verify(), Err(BadSignature), "{challenge:?}");
        }
        let token = Token { token: "secret".to_owned(), account: answer.account, expires_at: Timestamp::from_ms(1) };
        assert!(!format!("{token:?}").contains("secret"));
    }
}
