//! From twelve or twenty-four words to an ed25519 key.
//!
//! Words are BIP-39 (English, no extra passphrase); keys are SLIP-0010 for ed25519, in which every step is hardened. The path is
//! `m/44'/1129796692'/ACCOUNT'`: purpose 44 as in BIP-44, a coin number of our own (the letters `CWTT`; it is not registered), and the account, 0 unless
//! asked otherwise. BIP-44's further levels (change, address index) are left out: an account has one address. Nothing is stored here. Called by
//! [`crate::keystore`] and the wallet commands.

use bip39::Mnemonic;
use chain::hash::Hash32;
use ed25519_dalek::SigningKey;
use hmac::{Hmac, Mac};
use sha2::Sha512;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The purpose of BIP-44.
pub const PURPOSE: u32 = 44;

/// Our coin number: the bytes `CWTT`.
pub const COIN: u32 = 0x4357_5454;

/// The highest account number: all steps are hardened, so one bit is taken.
pub const MAX_ACCOUNT: u32 = HARDENED - 1;

const HARDENED: u32 = 1 << 31;

/// The words of a wallet.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Phrase {
    /// 16 or 32 bytes.
    entropy: Vec<u8>,
}

impl std::fmt::Debug for Phrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Phrase")
    }
}

/// How many words a new phrase has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// 128 bits.
    Twelve,
    /// 256 bits.
    TwentyFour,
}

/// Words that are no phrase.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PhraseError {
    /// Another number of words.
    #[error("a phrase has 12 or 24 words, found {0}")]
    Count(usize),
    /// A word that is not in the list.
    #[error("word {0} is not in the BIP-39 English list: check its spelling")]
    Word(usize),
    /// All words are in the list, and they do not belong together.
    #[error("the words do not fit together: one of them, or their order, is wrong")]
    Checksum,
}

impl Phrase {
    /// A new phrase from the operating system's randomness.
    #[must_use]
    pub fn generate(length: Length) -> Self {
        let random: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
        let bytes = match length {
            Length::Twelve => 16,
            Length::TwentyFour => 32,
        };
        Self { entropy: random.iter().copied().take(bytes).collect() }
    }

    /// The phrase of these words, in whatever case and spacing.
    ///
    /// # Errors
    /// [`PhraseError`], which never repeats a word.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if ![12, 24].contains(&words.len()) {
            return Err(PhraseError::Count(words.len()));
        }
        let normalized = Zeroizing::new(words.join(" ").to_lowercase());
        let mnemonic = Mnemonic::parse_in_normalized(bip39::Language::English, &normalized).map_err(|error| match error {
            bip39::Error::UnknownWord(index) => PhraseError::Word(index.saturating_add(1)),
            bip39::Error::BadWordCount(count) => PhraseError::Count(count),
            bip39::Error::BadEntropyBitCount(_) | bip39::Error::InvalidChecksum | bip39::Error::AmbiguousLanguages(_) => {
                PhraseError::Checksum
            }
        })?;
        Ok(Self { entropy: mnemonic.to_entropy() })
    }

    /// The phrase of this entropy; `None` for any number of bytes but 16 and 32.
    #[must_use]
    pub fn from_entropy(entropy: &[u8]) -> Option<Self> {
        [16, 32].contains(&entropy.len()).then(|| Self { entropy: entropy.to_vec() })
    }

    /// The bits behind the words.
    #[must_use]
    pub fn entropy(&self) -> &[u8] {
        &self.entropy
    }

    /// The words, separated by spaces.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for word in self.mnemonic().words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// The key of an account of this phrase, at `m/44'/1129796692'/ACCOUNT'`.
    #[must_use]
    pub fn key(&self, account: u32) -> SigningKey {
        let seed = Zeroizing::new(self.mnemonic().to_seed_normalized(""));
        SigningKey::from_bytes(&derive(seed.as_slice(), &[PURPOSE, COIN, account]))
    }

    fn mnemonic(&self) -> Mnemonic {
        Mnemonic::from_entropy(&self.entropy).expect("both constructors allow 16 and 32 bytes only")
    }
}

/// The SLIP-0010 private key for ed25519 at a path below `seed`; every step is hardened, whether its top bit is set or not.
#[must_use]
pub fn derive(seed: &[u8], path: &[u32]) -> Zeroizing<[u8; 32]> {
    let mut node = hmac_sha512(b"ed25519 seed", &[seed]);
    for step in path {
        let (key, chain_code) = node.split_at(32);
        let next = hmac_sha512(chain_code, &[&[0], key, &(step | HARDENED).to_be_bytes()]);
        node = next;
    }
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(node.split_at(32).0);
    key
}

fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// A key from 64 hexadecimal digits; `None` for anything else.
#[must_use]
pub fn key_from_hex(text: &str) -> Option<SigningKey> {
    let mut seed = Zeroizing::new(Hash32::from_hex(text.trim())?.0);
    let key = SigningKey::from_bytes(&seed);
    seed.zeroize();
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seed: &str, path: &[u32], key: &str) {
        assert_eq!(hex::encode(*derive(&hex::decode(seed).unwrap(), path)), key, "{path:?}");
    }

    #[test]
    fn derives_the_keys_that_slip_0010_publishes_for_ed25519() {
        let one = "000102030405060708090a0b0c0d0e0f";
        check(one, &[], "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7");
        check(one, &[0], "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3");
        check(one, &[0, 1], "b1d0bad404bf35da785a64ca1ac54b2617211d2777696fbffaf208f746ae84f2");
        check(one, &[0, 1, 2], "92a5b23c0b8a99e37d07df3fb9966917f5d06e02ddbd909c7e184371463e9fc9");
        check(one, &[0, 1, 2, 2], "30d1dc7e5fc04c31219ab25a27ae00b50f6fd66622f6e9c913253d6511d1e662");
        check(one, &[0, 1, 2, 2, 1_000_000_000], "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793");
        let two = "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a29f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542";
        check(two, &[], "171cb88b1b3c1db25add599712e36245d75bc65a1a5c9e18d76f9f2b1eab4012");
        check(two, &[0, 2_147_483_647], "ea4f5bfe8694d8bb74b7b59404632fd5968b774ed545e810de9c32a4fb4192f4");
    }

    #[test]
    fn words_and_seed_are_those_that_bip_39_publishes() {
        let text = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
        let phrase = Phrase::parse(text).expect("a valid phrase");
        assert_eq!(phrase.entropy(), [0; 16]);
        assert_eq!(*phrase.words(), text);
        assert_eq!(
            hex::encode(phrase.mnemonic().to_seed_normalized("TREZOR")),
            "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04"
        );
        let zoo = "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote";
        assert_eq!(Phrase::parse(zoo).expect("a valid phrase").entropy(), [0xff; 32]);
        assert_eq!(Phrase::parse(&zoo.to_uppercase().replace(' ', "  \n")).expect("case and spaces do not matter").entropy(), [0xff; 32]);
    }

    #[test]
    fn says_what_is_wrong_with_words_and_never_repeats_them() {
        let words = |last: &str| format!("{}{last}", "abandon ".repeat(11));
        assert_eq!(Phrase::parse(&words("abandon")).unwrap_err(), PhraseError::Checksum);
        assert_eq!(Phrase::parse(&words("watt")).unwrap_err(), PhraseError::Word(12));
        assert_eq!(Phrase::parse("abandon about").unwrap_err(), PhraseError::Count(2));
        assert!(!PhraseError::Word(12).to_string().contains("watt"));
    }

    #[test]
    fn the_key_of_an_account_stays_what_it_is() {
        // Worked out from the two standards by a separate script: changing the path would lose every wallet.
        let phrase = Phrase::from_entropy(&[0; 16]).expect("16 bytes");
        assert_eq!(hex::encode(phrase.key(0).to_bytes()), "c12ab0825ef3a4981734b4f1887634496f7f95697682396ef2f9b52298e78de3");
        assert_eq!(hex::encode(phrase.key(1).to_bytes()), "1c078043b41797bbe8983161cb22b43f88520c51c6b09e5e7734827c4855b926");
    }
}
