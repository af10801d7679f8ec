//! What `watt-testnet unit` finds in files: the unit's key in `units.json`, what it knew when it was switched off, and a card's number.
//!
//! Keys are read where nobody else could and are neither shown nor written. Called by [`super`].

use std::{
    fs::File,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use chain::id::ConnectorId;
use firmware_core::{Card, DeviceId, SensorId};
use serde::{Deserialize, Serialize};

use super::UnitCommandError;
use crate::unit::{Memory, Mounting};

/// The most that a file may measure, bytes: the units of the largest gateway.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// `units.json`, as far as it matters here.
#[derive(Deserialize)]
struct Units {
    units: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    device: String,
    sensor: u8,
    connector: String,
    key: String,
}

/// What `units.json` in this folder says of the unit of a connector.
///
/// # Errors
/// [`UnitCommandError::NotMounted`], [`UnitCommandError::File`] for a file that others may read or that says something else.
pub fn mounting(folder: &Path, connector: ConnectorId) -> Result<Mounting, UnitCommandError> {
    let path = folder.join("units.json");
    if !path.exists() && folder.is_dir() {
        return Err(UnitCommandError::NotMounted { path, connector });
    }
    let units: Units = serde_json::from_slice(&read_secret(&path)?)
        .map_err(|error| bad(&path, format!("line {}: not a list of units as `wattd unit add` writes it", error.line())))?;
    let wanted = connector.to_string();
    let Some(entry) = units.units.iter().find(|entry| entry.connector == wanted) else {
        return Err(UnitCommandError::NotMounted { path, connector });
    };
    let mut key = [0; 32];
    let device = u32::from_str_radix(&entry.device, 16).ok().map(DeviceId);
    let sensor = SensorId::new(entry.sensor).ok();
    match (device, sensor, hex::decode_to_slice(&entry.key, &mut key)) {
        (Some(device), Some(sensor), Ok(())) => Ok(Mounting { device, connector, sensor, key }),
        _ => Err(bad(&path, format!("the entry of connector {connector} is not as `wattd unit add` writes it"))),
    }
}

/// A card's number, from the first line of a file: hexadecimal digits with or without colons, dashes and spaces.
///
/// # Errors
/// [`UnitCommandError::File`].
pub fn uid(path: &Path) -> Result<Vec<u8>, UnitCommandError> {
    let text = String::from_utf8_lossy(&read_secret(path)?).into_owned();
    let digits: String = text.lines().next().unwrap_or_default().chars().filter(|sign| !matches!(sign, ':' | '-' | ' ')).collect();
    let uid = hex::decode(digits.trim()).ok().filter(|uid| Card::new(uid).is_ok());
    uid.ok_or_else(|| bad(path, "a card's number is 1 to 10 bytes in hexadecimal digits, such as 04:A2:24:6F:11:22:33".to_owned()))
}

/// What a board keeps in its EEPROM: a file beside `units.json` for each simulated unit.
#[derive(Debug)]
pub struct MemoryFile {
    path: PathBuf,
    kept: Memory,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    boot: u32,
    register_wh: u64,
}

impl MemoryFile {
    /// Counts a start; a unit that has no file yet starts for the first time.
    ///
    /// # Errors
    /// [`UnitCommandError::File`].
    pub fn switch_on(folder: &Path, device: DeviceId) -> Result<Self, UnitCommandError> {
        let path = folder.join(format!("simulated-unit-{device}.json"));
        let last = if path.exists() {
            let told = "not what a simulated unit keeps: restore it, or give the unit a new key";
            let Written { boot, register_wh } = serde_json::from_slice(&read(&path)?).map_err(|_| bad(&path, told.to_owned()))?;
            Memory { boot, register_wh }
        } else {
            Memory::default()
        };
        let boot = last.boot.checked_add(1).ok_or_else(|| bad(&path, "its boot numbers are used up".to_owned()))?;
        let mut memory = Self { path, kept: last };
        memory.keep(Memory { boot, ..last })?;
        Ok(memory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    pub const fn kept(&self) -> Memory {
        self.kept
    }

    /// Keeps what has changed, durably.
    ///
    /// # Errors
    /// [`UnitCommandError::File`].
    pub fn keep(&mut self, memory: Memory) -> Result<(), UnitCommandError> {
        if memory == self.kept {
            return Ok(());
        }
        let Memory { boot, register_wh } = memory;
        let text = serde_json::to_vec(&Written { boot, register_wh }).map_err(|error| bad(&self.path, error.to_string()))?;
        cli::keystore::replace_file(&self.path, &text).map_err(|error| bad(&self.path, cli::render::io_words(&error)))?;
        self.kept = memory;
        Ok(())
    }
}

/// A file that nobody but its owner may read; a pipe has no other reader.
fn read_secret(path: &Path) -> Result<Vec<u8>, UnitCommandError> {
    let metadata = std::fs::metadata(path).map_err(|error| bad(path, cli::render::io_words(&error)))?;
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        return Err(bad(path, "others may read it: run `chmod 600` on it".to_owned()));
    }
    read(path)
}

fn read(path: &Path) -> Result<Vec<u8>, UnitCommandError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|error| bad(path, cli::render::io_words(&error)))?;
    Ok(bytes)
}

fn bad(path: &Path, reason: String) -> UnitCommandError {
    UnitCommandError::File { path: path.to_owned(), reason }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use chain::id::CondominiumId;

    use super::*;

    #[test]
    fn a_unit_that_is_switched_on_again_has_a_new_number_and_its_old_register() {
        let folder = tempfile::tempdir().unwrap();
        let device = DeviceId(7);
        let mut first = MemoryFile::switch_on(folder.path(), device).unwrap();
        assert_eq!(first.kept(), Memory { boot: 1, register_wh: 0 });
        first.keep(Memory { boot: 2, register_wh: 500 }).unwrap();
        assert_eq!(MemoryFile::switch_on(folder.path(), device).unwrap().kept(), Memory { boot: 3, register_wh: 500 });
        assert_eq!(MemoryFile::switch_on(folder.path(), DeviceId(8)).unwrap().kept(), Memory { boot: 1, register_wh: 0 });
    }

    #[test]
    fn a_key_is_taken_from_its_connectors_entry_and_never_where_others_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let connector = ConnectorId::new(CondominiumId(1), 17);
        assert!(matches!(mounting(folder.path(), connector), Err(UnitCommandError::NotMounted { .. })));
        let entry =
            |connector, key: &str| format!(r#"{{"device":"0000000a","sensor":3,"connector":"{connector}","key":"{}"}}"#, key.repeat(32));
        let text = format!(r#"{{"units":[{},{}]}}"#, entry("1-1", "aa"), entry("1-17", "bb"));
        let path = folder.path().join("units.json");
        cli::keystore::write_new(&path, text.as_bytes()).unwrap();
        let found = mounting(folder.path(), connector).unwrap();
        assert_eq!((found.device, found.sensor.get(), found.key), (DeviceId(10), 3, [0xbb; 32]));
        let elsewhere = ConnectorId::new(CondominiumId(1), 18);
        let error = mounting(folder.path(), elsewhere).unwrap_err();
        assert!(matches!(&error, UnitCommandError::NotMounted { connector, .. } if *connector == elsewhere), "{error}");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let error = mounting(folder.path(), connector).unwrap_err();
        assert!(matches!(error, UnitCommandError::File { .. }) && error.to_string().contains("chmod 600"), "{error}");
    }
}
