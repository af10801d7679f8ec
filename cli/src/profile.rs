//! Profiles: what a user does not want to type each time, under a name.
//!
//! A file `config.json` beside the folder of wallets. It holds addresses and names, no secret. A flag goes before its environment variable, that before the
//! profile, and the profile before what the program takes by itself. Called by the commands.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    keystore::replace_file,
    render::{Output, io_words},
};

/// The profile where none is named.
pub const DEFAULT_PROFILE: &str = "default";

/// The most that the file may measure, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The most profiles.
const MAX_PROFILES: usize = 64;

/// Why a profile is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file cannot be read or written.
    #[error("{path}: {}", io_words(source), path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the machine says.
        source: io::Error,
    },
    /// It is no such file.
    #[error("{path}: {reason}: correct it, or move it away", path = .path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// None of this name.
    #[error("there is no profile {name:?}: `watt config list` shows those that there are, `watt config set --profile {name}` makes one")]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

/// What a profile says; what it does not say is taken by default.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// The node's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The acting wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
    /// The form of results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// The gateway's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

/// All profiles of a user.
#[derive(Debug)]
pub struct Profiles {
    path: PathBuf,
    all: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Reads `config.json` in this folder; none where it is not there.
    ///
    /// # Errors
    /// [`ProfileError::Io`] or [`ProfileError::Format`].
    pub fn load(folder: &Path) -> Result<Self, ProfileError> {
        let path = folder.join("config.json");
        let format = |reason: String| ProfileError::Format { path: path.clone(), reason };
        let failed = |source| ProfileError::Io { path: path.clone(), source };
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { path, all: BTreeMap::new() }),
            Err(source) => return Err(failed(source)),
        };
        if length > MAX_FILE_BYTES {
            return Err(format(format!("at most {MAX_FILE_BYTES} bytes, found {length}")));
        }
        let text = fs::read(&path).map_err(failed)?;
        let all = serde_json::from_slice(&text).map_err(|error| format(error.to_string()))?;
        Ok(Self { path, all })
    }

    /// The one of this name; an empty one where nobody asked for it by name and it is not there.
    ///
    /// # Errors
    /// [`ProfileError::Unknown`].
    pub fn named(&self, name: Option<&str>) -> Result<Profile, ProfileError> {
        match (self.all.get(name.unwrap_or(DEFAULT_PROFILE)), name) {
            (Some(profile), _) => Ok(profile.clone()),
            (None, None) => Ok(Profile::default()),
            (None, Some(DEFAULT_PROFILE)) => Ok(Profile::default()),
            (None, Some(name)) => Err(ProfileError::Unknown { name: name.to_owned() }),
        }
    }

    /// All of them by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Profile)> {
        self.all.iter().map(|(name, profile)| (name.as_str(), profile))
    }

    /// Puts one in the place of what was there, and writes the file; one that says nothing is removed.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn put(&mut self, name: &str, profile: Profile) -> Result<(), ProfileError> {
        if profile == Profile::default() {
            self.all.remove(name);
        } else {
            if self.all.len() >= MAX_PROFILES && !self.all.contains_key(name) {
                let reason = format!("there are {MAX_PROFILES} profiles already");
                return Err(ProfileError::Format { path: self.path.clone(), reason });
            }
            self.all.insert(name.to_owned(), profile);
        }
        let failed = |source| ProfileError::Io { path: self.path.clone(), source };
        let mut text = serde_json::to_vec_pretty(&self.all).map_err(|error| failed(io::Error::other(error)))?;
        text.push(b'\n');
        replace_file(&self.path, &text).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_kept_until_it_says_nothing_and_a_misspelt_key_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut profiles = Profiles::load(folder.path()).unwrap();
        assert_eq!(profiles.named(None).unwrap(), Profile::default());
        assert!(matches!(profiles.named(Some("work")), Err(ProfileError::Unknown { .. })));
        let work = Profile { node: Some("http://10.0.0.5:8420".to_owned()), output: Some(Output::Json), ..Profile::default() };
        profiles.put("work", work.clone()).unwrap();
        let mut again = Profiles::load(folder.path()).unwrap();
        assert_eq!(again.named(Some("work")).unwrap(), work);
        again.put("work", Profile::default()).unwrap();
        assert_eq!(Profiles::load(folder.path()).unwrap().iter().count(), 0);
        fs::write(folder.path().join("config.json"), "{\"default\": {\"nod\": \"x\"}}").unwrap();
        let error = Profiles::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("nod") && error.contains("config.json"), "{error}");
    }
}
