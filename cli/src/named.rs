//! Ids as people type them: whole, or their first digits.
//!
//! Which id a beginning stands for is the node's knowledge, so it is asked; a whole id is taken as it is. Called by the commands.

use std::{fmt, str::FromStr};

use chain::hash::Hash32;

/// The fewest hexadecimal digits that name something by its beginning.
pub const MIN_PREFIX_DIGITS: usize = 6;

/// An id of 64 hexadecimal digits, or its beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    /// All of it.
    Whole(Hash32),
    /// Its first digits, lower case, at least [`MIN_PREFIX_DIGITS`].
    Beginning(String),
}

/// A text that is neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected an id of 64 hexadecimal digits, or at least its first {MIN_PREFIX_DIGITS}")]
pub struct BadName;

impl Named {
    /// Whether it stands for this id, alone or among others.
    #[must_use]
    pub fn fits(&self, id: Hash32) -> bool {
        match self {
            Self::Whole(whole) => *whole == id,
            Self::Beginning(digits) => id.to_string().starts_with(digits),
        }
    }
}

impl FromStr for Named {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        // As ids are shortened where they are written down: 5f0c9a..., 5f0c9a….
        let digits = text.trim_end_matches(['.', '…']).to_ascii_lowercase();
        let fits = (MIN_PREFIX_DIGITS..=64).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match Hash32::from_hex(&digits) {
            Some(whole) => Ok(Self::Whole(whole)),
            None if fits => Ok(Self::Beginning(digits)),
            None => Err(BadName),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => whole.fmt(f),
            Self::Beginning(digits) => f.write_str(digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_named_by_all_of_it_or_by_six_digits_at_least() {
        let id = Hash32([0x5f; 32]);
        assert_eq!(id.to_string().parse(), Ok(Named::Whole(id)));
        assert_eq!("5F5F5F5".parse(), Ok(Named::Beginning("5f5f5f5".to_owned())));
        assert_eq!("5f5f5f...".parse(), Ok(Named::Beginning("5f5f5f".to_owned())));
        for wrong in ["", "5f5f5", "5f5f5g", "0x5f5f5f", &"5".repeat(65)] {
            assert_eq!(wrong.parse::<Named>(), Err(BadName), "{wrong}");
        }
        let named: Named = "5f5f5f5".parse().unwrap();
        assert!(named.fits(id) && !named.fits(Hash32([0x5e; 32])));
    }
}
