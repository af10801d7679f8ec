//! Which unit serves which connector, and its secret key: the file `units.json` in the node's data directory.
//!
//! Readable by its owner alone; keys are never shown, logged or sent, but for the one time when `wattd unit add` prints a new one for provisioning. It knows
//! no chain: whether a connector exists is not asked. Called by the gateway and by `wattd unit`.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use chain::id::ConnectorId;
use firmware_core::{DeviceId, Keys, SensorId};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::files;

/// The name of the file in the data directory.
pub const UNITS_FILE: &str = "units.json";

/// The most units of one gateway.
pub const MAX_UNITS: usize = 10_000;

/// A unit as the file lists it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitEntry {
    /// The device number, eight hexadecimal digits.
    pub device: String,
    /// The number of its switches, 0 to 63.
    pub sensor: u8,
    /// The connector that it serves, such as `1-17`.
    pub connector: ConnectorId,
    /// The device key, 64 hexadecimal digits.
    pub key: KeyText,
}

/// A key in hexadecimal digits, wiped from memory when it is dropped.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyText(String);

impl KeyText {
    /// The digits: for the unit's memory and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Drop for KeyText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(..)")
    }
}

impl fmt::Debug for UnitEntry {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnitEntry")
            .field("device", &self.device)
            .field("sensor", &self.sensor)
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}

/// What the file holds, and what `--import` reads.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitsFile {
    /// The units; no device and no connector twice.
    pub units: Vec<UnitEntry>,
}

/// A unit, ready to be spoken with.
#[derive(Clone, Debug)]
pub struct KnownUnit {
    /// Its device number.
    pub device: DeviceId,
    /// The number that its switches must show.
    pub sensor: SensorId,
    /// What it serves.
    pub connector: ConnectorId,
    /// The keys of its messages.
    pub keys: Keys,
}

/// The units of this gateway.
#[derive(Clone, Default, Debug)]
pub struct Registry {
    by_device: BTreeMap<DeviceId, Arc<KnownUnit>>,
}

/// Why units are not known.
#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    /// The file cannot be read or written.
    #[error("{path}: {error}: {}", files::way_on(error, "restore it from a backup"))]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file can be read by others than its owner.
    #[error("{path} holds keys but has mode {mode:o}: run `chmod 600` on it")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file is no list of units.
    #[error(
        "{path}, line {line}: not a list of units; expected {{\"units\": [{{\"device\", \"sensor\", \"connector\", \"key\"}}]}}: correct that line, or restore the file from a backup"
    )]
    Format {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// A unit with a value that no unit has.
    #[error("{path}: unit {device}: {rule}: correct it in that file, or restore the file from a backup")]
    BadUnit {
        /// Which file.
        path: PathBuf,
        /// Which.
        device: String,
        /// What must hold.
        rule: &'static str,
    },
}

impl Registry {
    /// The units of the data directory; none where the file is missing.
    ///
    /// # Errors
    /// [`UnitsError`].
    pub fn load(data_dir: &Path) -> Result<Self, UnitsError> {
        let path = data_dir.join(UNITS_FILE);
        Self::new(&path, &read(&path)?)
    }

    fn new(path: &Path, file: &UnitsFile) -> Result<Self, UnitsError> {
        let mut by_device = BTreeMap::new();
        let mut by_connector = BTreeMap::new();
        for entry in &file.units {
            let bad = |rule| UnitsError::BadUnit { path: path.to_owned(), device: entry.device.clone(), rule };
            let unit = known(entry).map_err(bad)?;
            if by_connector.insert(unit.connector, unit.device).is_some() {
                return Err(bad("its connector has another unit already"));
            }
            if by_device.insert(unit.device, Arc::new(unit)).is_some() {
                return Err(bad("the device number is taken"));
            }
        }
        if by_device.len() > MAX_UNITS {
            return Err(UnitsError::BadUnit {
                path: path.to_owned(),
                device: "10001".to_owned(),
                rule: "a gateway has at most 10000 units",
            });
        }
        Ok(Self { by_device })
    }

    /// A unit by its device number.
    #[must_use]
    pub fn get(&self, device: DeviceId) -> Option<Arc<KnownUnit>> {
        self.by_device.get(&device).cloned()
    }

    /// Every unit, by device number.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KnownUnit>> {
        self.by_device.values()
    }
}

fn known(entry: &UnitEntry) -> Result<KnownUnit, &'static str> {
    let number = |text: &str| (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok()).flatten();
    let device = number(&entry.device).ok_or("a device number has eight hexadecimal digits")?;
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(entry.key.reveal(), key.as_mut_slice()).map_err(|_| "a key has 64 hexadecimal digits")?;
    let sensor = SensorId::new(entry.sensor).map_err(|_| "switches show 0 to 63")?;
    Ok(KnownUnit { device: DeviceId(device), sensor, connector: entry.connector, keys: Keys::derive(&key) })
}

/// Adds one unit with a new random key; gives the entry, whose key is to be written into the unit and is never shown again.
///
/// # Errors
/// [`UnitsError`]; nothing is written then.
pub fn add(data_dir: &Path, connector: ConnectorId, device: Option<DeviceId>, sensor: SensorId) -> Result<UnitEntry, UnitsError> {
    let path = data_dir.join(UNITS_FILE);
    let mut file = read(&path)?;
    let taken = Registry::new(&path, &file)?;
    let free = || (1..=u32::MAX).map(DeviceId).find(|device| taken.get(*device).is_none());
    let device = device.or_else(free).unwrap_or(DeviceId(1));
    let key = Zeroizing::new(rand::random::<[u8; 32]>());
    let entry = UnitEntry { device: device.to_string(), sensor: sensor.get(), connector, key: KeyText(hex::encode(key.as_slice())) };
    file.units.push(entry.clone());
    write(&path, &file)?;
    Ok(entry)
}

/// Adds the units of another file, which may be one that a test federation or a production line made.
///
/// # Errors
/// [`UnitsError`]; nothing is written then.
pub fn import(data_dir: &Path, from: &Path) -> Result<usize, UnitsError> {
    let path = data_dir.join(UNITS_FILE);
    let mut file = read(&path)?;
    let more = read(from)?;
    // Told of the file where it is wrong.
    Registry::new(from, &more)?;
    let count = more.units.len();
    file.units.extend(more.units);
    write(&path, &file)?;
    Ok(count)
}

fn read(path: &Path) -> Result<UnitsFile, UnitsError> {
    let io = |error| UnitsError::Io { path: path.to_owned(), error };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.ends_with(UNITS_FILE) => return Ok(UnitsFile::default()),
        Err(error) => return Err(io(error)),
    };
    if !metadata.is_file() {
        return Err(io(files::not_a_file()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(UnitsError::Mode { path: path.to_owned(), mode });
    }
    let text = Zeroizing::new(fs::read(path).map_err(io)?);
    // The parser's own message could quote a key.
    serde_json::from_slice(&text).map_err(|error| UnitsError::Format { path: path.to_owned(), line: error.line() })
}

/// Replaces the file in one step, so that a crash leaves the old or the new one.
fn write(path: &Path, file: &UnitsFile) -> Result<(), UnitsError> {
    Registry::new(path, file)?;
    let io = |error| UnitsError::Io { path: path.to_owned(), error };
    let text = Zeroizing::new(serde_json::to_vec_pretty(file).map_err(|error| io(error.into()))?);
    let new = path.with_extension("json.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        Ok(()) | Err(_) => {}
    }
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(io)?;
    out.write_all(&text).and_then(|()| out.sync_all()).map_err(io)?;
    fs::rename(&new, path).map_err(io)
}

/// The registry of a running gateway: read again when the file has changed, so that a unit can be added without a restart.
#[derive(Debug)]
pub struct LiveRegistry {
    data_dir: PathBuf,
    registry: Registry,
    read_at: Option<SystemTime>,
}

impl LiveRegistry {
    /// Reads the file.
    ///
    /// # Errors
    /// [`UnitsError`].
    pub fn open(data_dir: &Path) -> Result<Self, UnitsError> {
        let read_at = modified(data_dir);
        Ok(Self { data_dir: data_dir.to_owned(), registry: Registry::load(data_dir)?, read_at })
    }

    /// The units as last read.
    #[must_use]
    pub const fn current(&self) -> &Registry {
        &self.registry
    }

    /// Reads the file again if it is another one; gives whether it did. A damaged file leaves the units as they were.
    pub fn refresh(&mut self) -> bool {
        let modified = modified(&self.data_dir);
        if modified == self.read_at {
            return false;
        }
        self.read_at = modified;
        match Registry::load(&self.data_dir) {
            Ok(registry) => {
                self.registry = registry;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the list of units was changed and cannot be used; the old one stays");
                false
            }
        }
    }
}

fn modified(data_dir: &Path) -> Option<SystemTime> {
    fs::metadata(data_dir.join(UNITS_FILE)).and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use chain::id::CondominiumId;

    use super::*;

    #[test]
    fn a_unit_is_added_once_and_its_key_is_kept_from_others_and_from_debug_output() {
        let folder = tempfile::tempdir().unwrap();
        let connector = ConnectorId::new(CondominiumId(1), 17);
        let entry = add(folder.path(), connector, None, SensorId::new(5).unwrap()).unwrap();
        assert!(!format!("{entry:?}").contains(entry.key.reveal()));
        let registry = Registry::load(folder.path()).unwrap();
        assert_eq!(registry.get(DeviceId(1)).unwrap().connector, connector);
        let again = add(folder.path(), connector, None, SensorId::new(5).unwrap());
        assert!(matches!(again, Err(UnitsError::BadUnit { rule: "its connector has another unit already", .. })));

        let path = folder.path().join(UNITS_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Registry::load(folder.path()), Err(UnitsError::Mode { mode: 0o644, .. })));
    }

    #[test]
    fn a_damaged_file_is_named_by_line_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(UNITS_FILE);
        fs::write(&path, "{\"units\": [\n{\"device\": \"00000001\", \"secret\": \"abc\"}]}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = Registry::load(folder.path()).unwrap_err();
        assert!(matches!(error, UnitsError::Format { line: 2, .. }), "{error}");
        assert!(!error.to_string().contains("abc"));
    }
}
