//! How our numbers, ids and hashes look in JSON, for the OpenAPI document that a node serves: the forms that their own `Serialize` writes.
//!
//! Only where the feature `openapi` is on; everything made of fields derives its schema beside its `Serialize`. A type that the API shows takes
//! `#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]`, and a `u64` field that JSON writes as text takes
//! `#[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]`. Called by the node's description of its API.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

use crate::{
    code::Code,
    crypto::Signature,
    hash::Hash32,
    id::{Address, CardId, ChainId, CondominiumId, ConnectorId, GroupId, Height, RedemptionId, SessionId, TariffId, TxId},
    quantity::{Amount, Cost, Currents, Milliamperes, WattHours, Watts},
    time::{Duration, Timestamp},
};

/// Decimal digits of a number of 64 bits, without sign, space or leading zero.
pub const DECIMAL: &str = "^(0|[1-9][0-9]{0,19})$";

/// An address.
pub const ADDRESS: &str = "^watt1[02-9ac-hj-np-z]{58}$";

/// A digest or an id made from one.
pub const HASH: &str = "^[0-9a-f]{64}$";

/// Condominium and number of a connector, a group or a tariff.
pub const LOCAL_ID: &str = "^(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})$";

/// A field of type `u64` that JSON writes as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decimal;

fn text(pattern: &str, about: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).description(Some(about)).into()
}

fn number(about: &str) -> RefOr<Schema> {
    let kind = SchemaFormat::KnownFormat(KnownFormat::Int64);
    let number = ObjectBuilder::new().schema_type(Type::Integer).format(Some(kind));
    number.minimum(Some(0)).maximum(Some(u32::MAX)).description(Some(about)).into()
}

macro_rules! schemas {
    ($($name:ty => $schema:expr;)*) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    $schema
                }
            }

            impl ToSchema for $name {}
        )*
    };
}

schemas! {
    Decimal => text(DECIMAL, "A number of 64 bits in decimal digits.");
    Amount => text(DECIMAL, "Micro-tokens: 1 000 000 are a token.");
    WattHours => text(DECIMAL, "Energy in Wh.");
    Cost => text("^(0|[1-9][0-9]{0,38})$", "An exact cost, in 1/36 000 000 000 of a micro-token.");
    Height => text(DECIMAL, "A block's place in the chain, from 1.");
    Timestamp => text(DECIMAL, "A point in time: ms since 1970, UTC.");
    Duration => text(DECIMAL, "A span of time in ms.");
    Address => text(ADDRESS, "An account: an ed25519 public key, in bech32m.");
    Hash32 => text(HASH, "A BLAKE3 digest.");
    Signature => text("^[0-9a-f]{128}$", "An ed25519 signature.");
    TxId => text(HASH, "A transaction.");
    SessionId => text(HASH, "A session: the id of the transaction that opened it.");
    RedemptionId => text(HASH, "A redemption: the id of the transaction that asked for it.");
    ChainId => text(HASH, "A chain: the hash of its genesis document.");
    CardId => text(HASH, "A card's binding: a commitment that says nothing about the card.");
    ConnectorId => text(LOCAL_ID, "A connector: condominium and number.");
    GroupId => text(LOCAL_ID, "A group: condominium and number.");
    TariffId => text(LOCAL_ID, "A tariff: condominium and number.");
    CondominiumId => number("A condominium's number.");
    Milliamperes => number("Current in mA.");
    Watts => number("Power in W.");
    Code => {
        let codes = Code::ALL.iter().map(|code| code.slug());
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes)).description(Some("Why the ledger refuses.")).into()
    };
    Currents => {
        let phase = number("mA");
        let phases = ArrayBuilder::new().items(phase).min_items(Some(3)).max_items(Some(3));
        phases.description(Some("Currents of the three phases in mA.")).into()
    };
}
