//! Amounts, energies, currents and powers, each a type of its own so that different units never add.
//!
//! All arithmetic is checked: an operation that would leave the range gives `None`, and the caller names the rejection. Nothing here rounds, except
//! [`Cost::floor`], which names who keeps the rest. In JSON 64-bit quantities are decimal strings (a browser's numbers lose digits above 2^53).
//! Called everywhere.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::time::Duration;

/// Micro-tokens in one token.
pub const MICRO_PER_TOKEN: u64 = 1_000_000;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($inner:ty), $new:ident, $get:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
        pub struct $name($inner);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);
            /// The most that the type can hold.
            pub const MAX: Self = Self(<$inner>::MAX);

            /// The quantity of so many base units.
            #[must_use]
            pub const fn $new(value: $inner) -> Self {
                Self(value)
            }

            /// The number of base units.
            #[must_use]
            pub const fn $get(self) -> $inner {
                self.0
            }

            /// Whether there is none.
            #[must_use]
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// The sum, or `None` above the type's range.
            #[must_use]
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The difference, or `None` where it would be negative.
            #[must_use]
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(difference) => Some(Self(difference)),
                    None => None,
                }
            }

            /// The difference, or none of it where it would be negative.
            #[must_use]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }
    };
}

macro_rules! text_in_json {
    ($name:ident, $inner:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(&self.0) } else { self.0.serialize(serializer) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    crate::quantity::parse_decimal(&text)
                        .and_then(|value| <$inner>::try_from(value).ok())
                        .map(Self)
                        .ok_or_else(|| D::Error::custom(format!("expected a decimal number as a string, found {text:?}")))
                } else {
                    <$inner>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}
pub(crate) use text_in_json;

/// Reads digits only: no sign, space or separator, so that one number has one text.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// A plain number of 64 bits in JSON.
struct Decimal(u64);
text_in_json!(Decimal, u64);

/// Counters, sequence numbers and other plain 64-bit numbers in the same form: `#[serde(with = "chain::quantity::decimal")]` on a field of type `u64` or
/// `Option<u64>` writes a decimal string in JSON and leaves the wire format as it is.
pub mod decimal {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Decimal;

    /// What a field may be; nobody else implements it.
    pub trait Field: Copy + Sized {
        /// Writes it.
        ///
        /// # Errors
        /// The serialiser's own.
        fn write<S: Serializer>(self, serializer: S) -> Result<S::Ok, S::Error>;

        /// Reads it.
        ///
        /// # Errors
        /// In JSON anything but a decimal string; else the deserialiser's own.
        fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
    }

    impl Field for u64 {
        fn write<S: Serializer>(self, serializer: S) -> Result<S::Ok, S::Error> {
            Decimal(self).serialize(serializer)
        }

        fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Decimal::deserialize(deserializer).map(|number| number.0)
        }
    }

    impl Field for Option<u64> {
        fn write<S: Serializer>(self, serializer: S) -> Result<S::Ok, S::Error> {
            self.map(Decimal).serialize(serializer)
        }

        fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Ok(Option::<Decimal>::deserialize(deserializer)?.map(|number| number.0))
        }
    }

    /// For serde.
    ///
    /// # Errors
    /// The serialiser's own.
    pub fn serialize<T: Field, S: Serializer>(number: &T, serializer: S) -> Result<S::Ok, S::Error> {
        number.write(serializer)
    }

    /// For serde.
    ///
    /// # Errors
    /// In JSON anything but a decimal string; else the deserialiser's own.
    pub fn deserialize<'de, T: Field, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

quantity! {
    /// Charging tokens, in micro-tokens (1 token = 1 000 000); one token stands for one unit of the federation's accounting currency.
    Amount(u64), from_micro, micro
}
text_in_json!(Amount, u64);

quantity! {
    /// Energy, in watt-hours; a meter reports a cumulative register of it.
    WattHours(u64), new, get
}
text_in_json!(WattHours, u64);

quantity! {
    /// Current of one phase, in milliamperes.
    #[derive(Serialize, Deserialize)]
    Milliamperes(u32), new, get
}

quantity! {
    /// Power, in watts.
    #[derive(Serialize, Deserialize)]
    Watts(u32), new, get
}

impl Amount {
    /// The sum of several amounts, or `None` above the range.
    #[must_use]
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// Reads tokens with at most six decimals (`12`, `12.5`, `0.000001`); `None` for anything else.
    #[must_use]
    pub fn parse_tokens(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if fraction.is_empty() || fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let padded: u64 = format!("{fraction:0<6}").parse().ok()?;
        let micro = parse_decimal(whole)?.checked_mul(MICRO_PER_TOKEN)?.checked_add(padded)?;
        Some(Self(micro))
    }
}

/// Writes tokens with six decimals, `12.500000`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.checked_div(MICRO_PER_TOKEN).unwrap_or_default();
        let rest = self.0.checked_rem(MICRO_PER_TOKEN).unwrap_or_default();
        write!(f, "{whole}.{rest:06}")
    }
}

impl fmt::Display for WattHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Wh", self.0)
    }
}

/// Current per phase L1, L2, L3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Currents(pub [Milliamperes; 3]);

impl Currents {
    /// No current on any phase.
    pub const ZERO: Self = Self([Milliamperes::ZERO; 3]);

    /// The same three currents in milliamperes.
    #[must_use]
    pub const fn from_ma(ma: [u32; 3]) -> Self {
        Self([Milliamperes(ma[0]), Milliamperes(ma[1]), Milliamperes(ma[2])])
    }

    /// The three currents in milliamperes.
    #[must_use]
    pub const fn ma(self) -> [u32; 3] {
        let Self([Milliamperes(l1), Milliamperes(l2), Milliamperes(l3)]) = self;
        [l1, l2, l3]
    }

    /// Whether every phase is without current.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// The sum phase by phase, or `None` above the range.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let ([a1, a2, a3], [b1, b2, b3]) = (self.0, other.0);
        Some(Self([a1.checked_add(b1)?, a2.checked_add(b2)?, a3.checked_add(b3)?]))
    }

    /// The difference phase by phase, or `None` where one would be negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let ([a1, a2, a3], [b1, b2, b3]) = (self.0, other.0);
        Some(Self([a1.checked_sub(b1)?, a2.checked_sub(b2)?, a3.checked_sub(b3)?]))
    }

    /// Whether no phase carries more than the same phase of `limit`.
    #[must_use]
    pub fn fits(self, limit: Self) -> bool {
        let ([a1, a2, a3], [b1, b2, b3]) = (self.0, limit.0);
        a1 <= b1 && a2 <= b2 && a3 <= b3
    }

    /// All phases together, in milliamperes.
    #[must_use]
    pub fn total_ma(self) -> u64 {
        let [l1, l2, l3] = self.ma();
        u64::from(l1).saturating_add(u64::from(l2)).saturating_add(u64::from(l3))
    }
}

/// Parts of a micro-token in which cost is exact: 1 000 Wh · 3 600 000 ms · 10 basis points' common multiple.
pub const COST_UNIT: u128 = 36_000_000_000;

/// An exact cost, in 1/36 000 000 000 micro-token, so that prices per kWh, per hour and in basis points all stay whole numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Cost(u128);
impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many parts of 1/36 000 000 000 micro-token.
    #[must_use]
    pub const fn from_parts(parts: u128) -> Self {
        Self(parts)
    }

    /// The number of parts.
    #[must_use]
    pub const fn parts(self) -> u128 {
        self.0
    }

    /// A whole amount as an exact cost.
    #[must_use]
    pub fn from_amount(amount: Amount) -> Option<Self> {
        u128::from(amount.micro()).checked_mul(COST_UNIT).map(Self)
    }

    /// Energy at a price per kWh.
    #[must_use]
    pub fn of_energy(energy: WattHours, per_kwh: Amount) -> Option<Self> {
        // One watt-hour at one micro-token per kWh is a thousandth of a micro-token.
        u128::from(energy.get()).checked_mul(u128::from(per_kwh.micro()))?.checked_mul(COST_UNIT.checked_div(1000)?).map(Self)
    }

    /// Time at a price per hour.
    #[must_use]
    pub fn of_time(time: Duration, per_hour: Amount) -> Option<Self> {
        // A millisecond at one micro-token per hour is 1/3 600 000 of a micro-token.
        u128::from(time.ms()).checked_mul(u128::from(per_hour.micro()))?.checked_mul(COST_UNIT.checked_div(3_600_000)?).map(Self)
    }

    /// The sum, or `None` above the range.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` where it would be negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// Whole micro-tokens, rounded down: the remainder is the resident's. Used once, at settlement.
    #[must_use]
    pub fn floor(self) -> Option<Amount> {
        u64::try_from(self.0.checked_div(COST_UNIT)?).ok().map(Amount::from_micro)
    }

    /// Whole micro-tokens, rounded up: for what must suffice, such as an escrow or a quote's maximum.
    #[must_use]
    pub fn ceil(self) -> Option<Amount> {
        u64::try_from(self.0.div_ceil(COST_UNIT)).ok().map(Amount::from_micro)
    }
}

impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(&self.0) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.parse().map(Self).map_err(|_| D::Error::custom(format!("expected a decimal number as a string, found {text:?}")))
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_one_text_and_at_most_six_decimals() {
        assert_eq!(Amount::parse_tokens("12.5"), Some(Amount::from_micro(12_500_000)));
        assert_eq!(Amount::parse_tokens("0.000001"), Some(Amount::from_micro(1)));
        for wrong in ["", "1.", ".5", "1.0000001", "-1", "+1", "1,5", "01", "18446744073710", "1 "] {
            assert_eq!(Amount::parse_tokens(wrong), None, "{wrong:?}");
        }
        assert_eq!(Amount::from_micro(12_500_000).to_string(), "12.500000");
    }

    #[test]
    fn cost_rounds_down_for_the_resident_and_up_for_the_escrow() {
        let cost = Cost::of_energy(WattHours::new(1), Amount::from_micro(250_500)).expect("small");
        assert_eq!(cost.floor(), Some(Amount::from_micro(250)));
        assert_eq!(cost.ceil(), Some(Amount::from_micro(251)));
    }

    #[test]
    fn json_writes_amounts_as_decimal_strings() {
        let json = serde_json::to_string(&Amount::MAX).expect("serialises");
        assert_eq!(json, "\"18446744073709551615\"");
        assert_eq!(serde_json::from_str::<Amount>(&json).expect("reads"), Amount::MAX);
        assert!(serde_json::from_str::<Amount>("\"007\"").is_err());
    }
}
