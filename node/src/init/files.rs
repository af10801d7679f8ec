//! The files that a founder may give: parameters, further roles, first accounts. Every refusal names the file, the place in it and what was expected.
//!
//! Whether the choices make a chain is judged by the genesis document's own check. Called by `init` and `federation`.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use chain::{
    id::{Address, CondominiumId},
    params::Params,
    quantity::Amount,
    record::Role,
};
use contracts::genesis::{GenesisAccount, GenesisRole, MAX_ACCOUNTS};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::InitError;

/// The longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// What is shown of a wrong value at most, in characters.
const SHOWN_MAX: usize = 80;

/// Parameters of which the file, an object, replaces some by name.
pub(super) fn params(path: &Path, params: Params) -> Result<Params, InitError> {
    let malformed = |message: String| malformed(path, message);
    let changes: Map<String, Value> = read(path, "a JSON object such as {\"lease\": \"300000\"}")?;
    let mut document = serde_json::to_value(params).map_err(|error| InitError::Encoding(error.to_string()))?;
    let mut changed = params;
    for (name, value) in changes {
        let names = || document.as_object().map(|known| known.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default();
        let Some(usual) = document.get(&name).cloned() else {
            return Err(malformed(format!("there is no parameter {name:?}; there are {}", names())));
        };
        let shown = show(&value);
        if let Some(place) = document.get_mut(&name) {
            *place = value;
        }
        // One at a time, so that a refusal can name it.
        changed = Params::deserialize(&document)
            .map_err(|error| malformed(format!("parameter {name}: expected a value such as {usual}, found {shown} ({error})")))?;
    }
    Ok(changed)
}

/// Further roles from an array of objects.
pub(super) fn roles(path: &Path) -> Result<Vec<GenesisRole>, InitError> {
    let names: Vec<_> = Role::ALL.iter().filter_map(|role| serde_json::to_value(role).ok()?.as_str().map(str::to_owned)).collect();
    let expected = format!("{{\"role\": one of {}, \"account\": an address such as watt1…}}", names.join(", "));
    entries(path, &format!("a JSON array of {expected}"), |value| {
        GenesisRole::deserialize(value).map_err(|error| (expected.clone(), error))
    })
}

/// First accounts from an array of addresses or objects, at home in `home`.
pub(super) fn accounts(path: &Path, home: CondominiumId) -> Result<Vec<GenesisAccount>, InitError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct WithCredit {
        address: Address,
        #[serde(default)]
        credit_limit: Amount,
    }
    let expected = "an address such as \"watt1…\", or {\"address\": \"watt1…\", \"credit_limit\": micro-tokens such as \"5000000\"}";
    entries(path, &format!("a JSON array, each entry {expected}"), |value| {
        let read = if value.is_object() {
            WithCredit::deserialize(value).map(|entry| (entry.address, entry.credit_limit))
        } else {
            Address::deserialize(value).map(|address| (address, Amount::ZERO))
        };
        let (address, credit_limit) = read.map_err(|error| (expected.to_owned(), error))?;
        Ok(GenesisAccount { address, home, credit_limit })
    })
}

/// Reads an array entry by entry.
fn entries<T>(path: &Path, expected: &str, each: impl Fn(&Value) -> Result<T, (String, serde_json::Error)>) -> Result<Vec<T>, InitError> {
    let values: Vec<Value> = read(path, expected)?;
    if values.len() > MAX_ACCOUNTS {
        return Err(malformed(path, format!("expected at most {MAX_ACCOUNTS} entries, found {}", values.len())));
    }
    let read = values.iter().zip(1..).map(|(value, number)| {
        let wrong = |(expected, error)| malformed(path, format!("entry {number}: expected {expected}, found {} ({error})", show(value)));
        each(value).map_err(wrong)
    });
    read.collect()
}

/// Reads a JSON file of bounded length.
pub(super) fn read<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<T, InitError> {
    let failed = |error| InitError::Io { path: path.display().to_string(), error };
    let file = File::open(path).map_err(failed)?;
    if fs::metadata(path).map_err(failed)?.is_dir() {
        return Err(malformed(path, "expected a file, found a directory".to_owned()));
    }
    let mut text = Vec::new();
    // What is no ordinary file has no length of its own.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(malformed(path, format!("expected at most {MAX_FILE_BYTES} bytes, found more")));
    }
    serde_json::from_slice(&text).map_err(|error| malformed(path, format!("expected {expected}: {error}")))
}

pub(super) fn malformed(path: &Path, message: String) -> InitError {
    InitError::Malformed { path: path.display().to_string(), message }
}

/// A value as it stands in the file, cut short.
fn show(value: &Value) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(SHOWN_MAX).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use chain::{crypto::address_of, genesis_kind::NetworkKind, time::Duration};
    use contracts::genesis::{Genesis, GenesisError};
    use ed25519_dalek::SigningKey;

    use super::super::{InitOptions, init};
    use super::*;
    use crate::data_dir::DataDir;

    fn address(seed: u8) -> String {
        address_of(&SigningKey::from_bytes(&[seed; 32])).to_string()
    }

    /// Founds a chain with one file of this text, given as `--params`, `--roles` or `--accounts`.
    fn found(option: &str, text: &str) -> Result<Genesis, InitError> {
        let directory = tempfile::tempdir().unwrap();
        let file: PathBuf = directory.path().join("given.json");
        fs::write(&file, text).unwrap();
        let given = |name: &str| (name == option).then(|| file.clone());
        let data = DataDir::new(directory.path().join("node"));
        let options = InitOptions {
            data: data.clone(),
            name: "TRO".to_owned(),
            kind: NetworkKind::Live,
            currency: "EUR".to_owned(),
            timestamp: None,
            params: given("params"),
            roles: given("roles"),
            accounts: given("accounts"),
            api_listen: None,
            gateway_listen: None,
            network_listen: None,
        };
        let founded = init(&options);
        assert!(founded.is_ok() || !data.path().exists(), "a refusal leaves nothing behind");
        founded.map(|_| data.genesis().unwrap())
    }

    #[test]
    fn given_parameters_roles_and_accounts_are_in_the_genesis_document() {
        let genesis = found("params", r#"{"lease": "60000", "resident_txs_per_block": 8}"#).unwrap();
        let expected = Params { lease: Duration::from_mins(1), resident_txs_per_block: 8, ..Params::default() };
        assert_eq!(genesis.params, expected);
        assert_eq!(found("params", "{}").unwrap().params, Params::default());

        let (one, two) = (address(1), address(2));
        let genesis = found("roles", &format!(r#"[{{"role": "manager", "account": "{one}"}}, {{"role": "auditor", "account": "{two}"}}]"#));
        let genesis = genesis.unwrap();
        let roles: Vec<_> = genesis.condominiums[0].roles.iter().skip(4).map(|grant| (grant.role, grant.account.to_string())).collect();
        assert_eq!(roles, [(Role::Manager, one.clone()), (Role::Auditor, two.clone())]);
        assert!(genesis.accounts.iter().any(|account| account.address.to_string() == two), "who has a role has an account");

        let text = format!(r#"["{one}", {{"address": "{two}", "credit_limit": "5000000"}}]"#);
        let accounts = found("accounts", &text).unwrap().accounts;
        let first: Vec<_> = accounts.iter().take(2).map(|account| (account.address.to_string(), account.credit_limit.micro())).collect();
        assert_eq!(first, [(one, 0), (two, 5_000_000)]);
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_refused_with_the_place_and_what_was_expected() {
        let good = address(1);
        let typing_error = good.replace("watt1", "watt2");
        let cases: [(&str, String, &[&str]); 14] = [
            ("params", "{".to_owned(), &["expected a JSON object", "line 1"]),
            ("params", "[]".to_owned(), &["expected a JSON object"]),
            ("params", r#"{"leese": "1"}"#.to_owned(), &["there is no parameter \"leese\"", "lease", "heartbeat"]),
            ("params", r#"{"lease": "soon"}"#.to_owned(), &["parameter lease", "expected a value such as \"300000\"", "found \"soon\""]),
            ("params", r#"{"due_per_block": -1}"#.to_owned(), &["parameter due_per_block", "such as 1000", "found -1"]),
            ("roles", "{}".to_owned(), &["expected a JSON array", "one of manager, treasurer, gateway, scheduler, auditor"]),
            ("roles", format!(r#"[{{"role": "king", "account": "{good}"}}]"#), &["entry 1", "one of manager", "king"]),
            ("roles", format!(r#"[{{"role": "auditor", "account": "{good}", "from": 1}}]"#), &["entry 1", "unknown field `from`"]),
            ("roles", format!(r#"[{{"role": "auditor", "account": "{typing_error}"}}]"#), &["entry 1", "an address such as watt1"]),
            ("accounts", "{}".to_owned(), &["expected a JSON array"]),
            ("accounts", format!(r#"["{good}", 7]"#), &["entry 2", "expected an address such as", "found 7"]),
            ("accounts", format!(r#"["{typing_error}"]"#), &["entry 1", "expected an address", "watt2"]),
            ("accounts", format!(r#"[{{"address": "{good}", "credit_limit": "-1"}}]"#), &["entry 1", "micro-tokens", "-1"]),
            ("accounts", format!(r#"[{{"address": "{good}", "credit": "1"}}]"#), &["entry 1", "unknown field `credit`"]),
        ];
        for (option, text, words) in cases {
            let Err(error @ InitError::Malformed { .. }) = found(option, &text) else { panic!("--{option} {text}") };
            let message = error.to_string();
            assert!(message.contains("given.json"), "{message}");
            for word in words {
                assert!(message.contains(word), "--{option} {text}: {word:?} is not in: {message}");
            }
        }
    }

    #[test]
    fn choices_that_make_no_chain_are_refused_by_the_rule_that_they_break() {
        let good = address(1);
        let twice = found("accounts", &format!(r#"["{good}", "{good}"]"#));
        assert!(matches!(twice, Err(InitError::Genesis(GenesisError::AccountTwice(_)))), "{twice:?}");
        let limit = u64::MAX.to_string();
        let credit = found("accounts", &format!(r#"[{{"address": "{good}", "credit_limit": "{limit}"}}]"#));
        assert!(matches!(credit, Err(InitError::Genesis(GenesisError::Credit { .. }))), "{credit:?}");
        let drift = found("params", r#"{"drift": "0"}"#);
        assert!(matches!(drift, Err(InitError::Genesis(GenesisError::Parameter(_)))), "{drift:?}");
        let missing =
            found("params", "{}").map(|_| ()).and_then(|()| params(Path::new("/nowhere/given.json"), Params::default()).map(|_| ()));
        let Err(InitError::Io { path, .. }) = missing else { panic!("{missing:?}") };
        assert_eq!(path, "/nowhere/given.json");
    }
}
