//! What a keystore promises, on real files.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

fn store() -> (tempfile::TempDir, Keystore) {
    let folder = tempfile::tempdir().unwrap();
    let keystore = Keystore::at(folder.path().join("deep/wallets"));
    (folder, keystore)
}

#[test]
fn a_wallet_comes_back_with_its_passphrase_and_with_no_other() {
    let (_folder, keystore) = store();
    let phrase = Phrase::generate(crate::phrase::Length::TwentyFour);
    let words = phrase.words();
    let entry = keystore.create("ana", &Secret::Phrase { phrase, account: 3 }, "correct horse").unwrap();
    assert_eq!(keystore.entry("ana").unwrap(), entry);
    assert_eq!(keystore.names().unwrap(), ["ana"]);
    let Secret::Phrase { phrase, account: 3 } = keystore.open("ana", "correct horse").unwrap() else { panic!("a phrase was stored") };
    assert_eq!(phrase.words(), words);
    assert_eq!(crypto::address_of(&phrase.key(3)), entry.address);
    assert!(matches!(keystore.open("ana", "correct horsf"), Err(KeystoreError::Sealed(_))));
    assert!(matches!(keystore.open("rui", "correct horse"), Err(KeystoreError::Missing { .. })));

    // One word alone may be in the file: "address", "memory" and others are names of its fields.
    let text = fs::read_to_string(keystore.path("ana").unwrap()).unwrap();
    let words: Vec<_> = words.split(' ').collect();
    assert!(words.iter().filter(|word| word.len() > 4 && text.contains(**word)).count() < 4, "the words are sealed");
}

#[test]
fn a_changed_file_is_found_whatever_was_changed() {
    let (_folder, keystore) = store();
    keystore.create("ana", &Secret::Key(SigningKey::from_bytes(&[5; 32])), "correct horse").unwrap();
    let path = keystore.path("ana").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let other = crypto::address_of(&SigningKey::from_bytes(&[6; 32])).to_string();
    let own = crypto::address_of(&SigningKey::from_bytes(&[5; 32])).to_string();
    let document: Document = serde_json::from_str(&text).unwrap();
    let flip = |digits: &str| format!("{}{}", if digits.starts_with('0') { '1' } else { '0' }, &digits[1..]);
    let changes = [
        text.replace(&own, &other),
        text.replace(&document.sealed, &flip(&document.sealed)),
        text.replace(&document.header.salt, &flip(&document.header.salt)),
        text.replace(&document.header.nonce, &flip(&document.header.nonce)),
        text.replace("\"memory_kib\": 65536", "\"memory_kib\": 65535"),
    ];
    for changed in changes {
        assert_ne!(changed, text);
        fs::write(&path, &changed).unwrap();
        assert!(matches!(keystore.open("ana", "correct horse"), Err(KeystoreError::Sealed(_))), "{changed}");
    }
    fs::write(&path, text.replace("\"memory_kib\": 65536", "\"memory_kib\": 4194304")).unwrap();
    assert!(matches!(keystore.open("ana", "correct horse"), Err(KeystoreError::Format { .. })), "no file may exhaust the machine");
    fs::write(&path, &text[..40]).unwrap();
    assert!(matches!(keystore.open("ana", "correct horse"), Err(KeystoreError::Format { .. })));
}

#[test]
fn others_cannot_read_a_wallet_and_one_that_they_could_is_refused() {
    let (_folder, keystore) = store();
    keystore.create("ana", &Secret::Key(SigningKey::from_bytes(&[5; 32])), "correct horse").unwrap();
    let path = keystore.path("ana").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(keystore.folder()).unwrap().mode() & 0o777, 0o700);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(keystore.open("ana", "correct horse"), Err(KeystoreError::Readable { mode: 0o640, .. })));
}

#[test]
fn a_wallet_is_never_overwritten_and_a_name_is_never_a_path() {
    let (_folder, keystore) = store();
    let secret = |byte| Secret::Key(SigningKey::from_bytes(&[byte; 32]));
    let first = keystore.create("ana", &secret(1), "correct horse").unwrap();
    assert!(matches!(keystore.create("ana", &secret(2), "correct horse"), Err(KeystoreError::Exists(_))));
    assert_eq!(keystore.entry("ana").unwrap(), first);
    assert_eq!(fs::read_dir(keystore.folder()).unwrap().count(), 1, "nothing is left behind");
    for name in ["../ana", "", ".ana", "a/b", "a b", &"a".repeat(65)] {
        assert!(matches!(keystore.create(name, &secret(1), "correct horse"), Err(KeystoreError::Name(_))), "{name}");
    }
    assert!(matches!(keystore.create("rui", &secret(1), "short"), Err(KeystoreError::Short(5))));
}
