//! Names of accounts, condominiums, groups, connectors, tariffs and sessions.
//!
//! An id is never reused. Nothing here looks anything up. Called everywhere.

use std::{fmt, str::FromStr};

use bech32::{Bech32m, Hrp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    hash::{Context, Hash32},
    quantity::text_in_json,
};

/// The prefix of an address's text form.
pub const ADDRESS_PREFIX: &str = "watt";

/// An account, a signer or a validator: an ed25519 public key of 32 bytes; text form bech32m with the prefix `watt`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 32]);

/// A text that is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected an address such as watt1…, lower case with an intact checksum: copy it whole")]
pub struct BadAddress;

impl Address {
    /// The public key's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = Hrp::parse(ADDRESS_PREFIX).map_err(|_| fmt::Error)?;
        bech32::encode_to_fmt::<Bech32m, _>(f, prefix, &self.0).map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(text).map_err(|_| BadAddress)?;
        if checked.hrp().as_str() != ADDRESS_PREFIX {
            return Err(BadAddress);
        }
        // Four bits are left over: were they free, one address would have sixteen texts with a good checksum.
        checked.validate_segwit_padding().map_err(|_| BadAddress)?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        <[u8; 32]>::try_from(bytes.as_slice()).map(Self).map_err(|_| BadAddress)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// A block's place in the chain; genesis is 0, the first block 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Height(pub u64);
text_in_json!(Height, u64);

impl Height {
    /// The height after this one; the range's end stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A condominium of the federation; its number is given in genesis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CondominiumId(pub u32);

impl fmt::Display for CondominiumId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! local_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name {
            /// The condominium that it belongs to.
            pub condominium: CondominiumId,
            /// Its number there, chosen by the manager.
            pub number: u32,
        }

        impl $name {
            /// The id of number `number` in `condominium`.
            #[must_use]
            pub const fn new(condominium: CondominiumId, number: u32) -> Self {
                Self { condominium, number }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}-{}", self.condominium, self.number)
            }
        }

        impl FromStr for $name {
            type Err = BadLocalId;

            fn from_str(text: &str) -> Result<Self, BadLocalId> {
                let part = |digits: &str| {
                    crate::quantity::parse_decimal(digits).and_then(|number| u32::try_from(number).ok()).ok_or(BadLocalId)
                };
                let (condominium, number) = text.split_once('-').ok_or(BadLocalId)?;
                Ok(Self { condominium: CondominiumId(part(condominium)?), number: part(number)? })
            }
        }

        /// Written `1-17` in JSON and as two 32-bit numbers on the wire.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    (self.condominium, self.number).serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    text.parse().map_err(D::Error::custom)
                } else {
                    let (condominium, number) = <(CondominiumId, u32)>::deserialize(deserializer)?;
                    Ok(Self { condominium, number })
                }
            }
        }
    };
}

/// A text that is no number of a connector, group or tariff.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected condominium and number such as 1-17")]
pub struct BadLocalId;

local_id! {
    /// A place to charge (OCPP: connector).
    ConnectorId
}
local_id! {
    /// A set of connectors under one current limit; groups form a tree.
    GroupId
}
local_id! {
    /// A tariff of a condominium, whatever its version.
    TariffId
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Hash32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = BadHash;

            fn from_str(text: &str) -> Result<Self, BadHash> {
                Hash32::from_hex(text).map(Self).ok_or(BadHash)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Hash32::deserialize(deserializer).map(Self)
            }
        }
    };
}

/// A text that is no hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct BadHash;

hash_id! {
    /// A transaction, by the digest of its body.
    TxId
}
hash_id! {
    /// A charging session, by the id of the transaction that opened it: its owner knows it before it is committed.
    SessionId
}
hash_id! {
    /// A pending redemption, by the id of the transaction that requested it.
    RedemptionId
}
hash_id! {
    /// A chain, by the hash of its genesis document.
    ChainId
}
hash_id! {
    /// A card's binding: a commitment to the card's identifier under a random key of its own. Without the key it says nothing about any card.
    CardId
}

impl CardId {
    /// The binding of the card with this identifier (1 to 10 bytes, as the card shows it) under a key.
    #[must_use]
    pub fn commit(key: &Hash32, uid: &[u8]) -> Self {
        Self(Context::Card.hash(&[key.as_bytes(), uid]))
    }

    /// The binding that stands for a connector itself: at a meter without a switch, where nobody shows a card, its account's mandate pays for whoever draws.
    ///
    /// Its identifier is longer (18 bytes) than any that a card can show, so no card is taken for a connector.
    #[must_use]
    pub fn commit_point(key: &Hash32, point: ConnectorId) -> Self {
        let ConnectorId { condominium, number } = point;
        Self::commit(key, &[b"connector\0".as_slice(), &condominium.0.to_le_bytes(), &number.to_le_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_its_text_and_a_typing_error_does_not_pass() {
        let address = Address([7; 32]);
        let text = address.to_string();
        assert!(text.starts_with("watt1"));
        assert_eq!(text.parse(), Ok(address));
        for position in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[position] = if wrong[position] == b'q' { b'p' } else { b'q' };
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert_eq!(wrong.parse::<Address>(), Err(BadAddress), "{wrong}");
        }
    }

    #[test]
    fn an_address_has_one_text() {
        // These were read as the same address as their first neighbour: the bits that fill the last letter were not looked at.
        let prefix = Hrp::parse(ADDRESS_PREFIX).expect("a prefix");
        let padded = |bits: u8| {
            let mut groups: Vec<_> = bech32::primitives::iter::ByteIterExt::bytes_to_fes([7_u8; 32].into_iter()).collect();
            *groups.last_mut().expect("not empty") = bech32::Fe32::try_from((7 << 4 & 0x10) | bits).expect("five bits");
            let checked = bech32::primitives::iter::Fe32IterExt::with_checksum::<Bech32m>(groups.into_iter(), &prefix);
            checked.chars().collect::<String>()
        };
        assert_eq!(padded(0).parse(), Ok(Address([7; 32])));
        for bits in 1..16 {
            assert_eq!(padded(bits).parse::<Address>(), Err(BadAddress), "{bits}");
        }
    }

    #[test]
    fn a_connector_is_written_as_condominium_and_number() {
        let id = ConnectorId::new(CondominiumId(1), 17);
        assert_eq!(id.to_string(), "1-17");
        assert_eq!("1-17".parse(), Ok(id));
        assert_eq!("1-017".parse::<ConnectorId>(), Err(BadLocalId));
    }

    #[test]
    fn each_connector_has_a_binding_of_its_own_under_each_key() {
        let (key, other) = (Hash32([1; 32]), Hash32([2; 32]));
        let point = |number| ConnectorId::new(CondominiumId(1), number);
        let binding = CardId::commit_point(&key, point(17));
        assert_eq!(binding, CardId::commit(&key, b"connector\0\x01\0\0\0\x11\0\0\0"));
        assert_ne!(binding, CardId::commit_point(&key, point(18)));
        assert_ne!(binding, CardId::commit_point(&other, point(17)));
    }
}
