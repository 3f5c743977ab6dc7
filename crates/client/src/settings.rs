//! What one listener's folder holds: who she is, where she listens, what she
//! agreed to.
//!
//! ```text
//! client.toml      the server's link and the listener's choices
//! device.key       the device's secret key, mode 0600
//! cache/           blocks, ciphertext all
//! library/         manifests and sealed keys of tracks heard
//! events.jsonl     what was played, a line each
//! unreported/      plays that the server has not acknowledged
//! standing         the peer key and its ticket, for as long as that is good, mode 0600
//! given            how much was passed on today and this month
//! ```

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use antiphon_net::ServerLink;
use antiphon_net::identity::NodeSecret;
use serde::{Deserialize, Serialize};

/// Whether music is shared with other listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Peers {
    /// Tracks heard are passed on to other listeners, and come from them.
    On,
    /// The same, but only with listeners on the local network.
    Lan,
    /// Everything comes from the server; nothing is passed on.
    Off,
}

/// The file `client.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The server's link, `antiphon://HOST:PORT/NODEID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Whether to share; unset until the listener has been asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
    /// What is passed on at most.
    #[serde(default, skip_serializing_if = "Upload::is_default")]
    pub upload: Upload,
}

/// What a listener passes on at most: the table `[upload]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Kilobits per second; unset for nearly all of what the uplink was seen to bear,
    /// so that nothing queues in the router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kbit_s: Option<u64>,
    /// Megabytes in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day_mb: Option<u64>,
    /// Megabytes in a month; unset for 50,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month_mb: Option<u64>,
    /// Only at these hours, `HH:MM-HH:MM` by UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// Whether to pass music on over a network that the system says is metered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metered: bool,
}

impl Upload {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why the listener's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// `client.toml` is not what it should be.
    #[error("{path} is malformed: {message}; correct it or delete it and log in again", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// No home folder is known.
    #[error("no folder for data is known on this system; name one with --data-dir")]
    NoHome,
}

/// The listener's folder.
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Opens a folder, or the default one of this user; makes it if need be.
    pub fn open(root: Option<PathBuf>) -> Result<Self, SettingsError> {
        let root = match root {
            Some(root) => root,
            None => directories::ProjectDirs::from("", "", "antiphon")
                .ok_or(SettingsError::NoHome)?
                .data_dir()
                .to_owned(),
        };
        fs::create_dir_all(&root).map_err(io_error("create", &root))?;
        Ok(Self { root })
    }

    /// Where something lies in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Reads `client.toml`; without one, the defaults.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        let path = self.path("client.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Settings::default());
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        toml::from_str(&text)
            .map_err(|error| SettingsError::Malformed { path, message: error.to_string() })
    }

    /// Writes `client.toml`, whole or not at all.
    pub fn save_settings(&self, settings: &Settings) -> Result<(), SettingsError> {
        let path = self.path("client.toml");
        let text = toml::to_string(settings).map_err(|error| SettingsError::Malformed {
            path: path.clone(),
            message: error.to_string(),
        })?;
        replace_file(&path, text.as_bytes(), false).map_err(io_error("write", &path))
    }

    /// The link in the settings, if one is there.
    pub fn link(&self, settings: &Settings) -> Result<Option<ServerLink>, SettingsError> {
        let parse = |link: &String| {
            link.parse().map_err(|error: antiphon_net::ParseLinkError| SettingsError::Malformed {
                path: self.path("client.toml"),
                message: error.to_string(),
            })
        };
        settings.server.as_ref().map(parse).transpose()
    }

    /// The device's key; drawn on first use.
    pub fn device_key(&self) -> Result<NodeSecret, SettingsError> {
        let path = self.path("device.key");
        match fs::read(&path) {
            Ok(bytes) => {
                let bytes = bytes.try_into().map_err(|_| SettingsError::Malformed {
                    path: path.clone(),
                    message: "a device key has 32 bytes".to_owned(),
                })?;
                Ok(NodeSecret::from_bytes(&bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = NodeSecret::generate(&mut rand::rng());
                replace_file(&path, secret.to_bytes().as_slice(), true)
                    .map_err(io_error("write", &path))?;
                Ok(secret)
            }
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SettingsError {
    let path = path.to_owned();
    move |source| SettingsError::Io { action, path, source }
}

/// Writes beside, syncs, renames: a crash leaves the old file or the new.
pub(crate) fn replace_file(path: &Path, bytes: &[u8], secret: bool) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if secret {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = secret;
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    sync_folder(path)
}

/// Makes a rename durable where a folder can be synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_its_key_and_its_settings() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(folder.path().join("new"))).unwrap();
        assert_eq!(data.settings().unwrap(), Settings::default());
        let settings = Settings {
            server: Some("antiphon://a:1/".to_owned() + &"ab".repeat(32)),
            peers: Some(Peers::Off),
            upload: Upload { month_mb: Some(5), ..Upload::default() },
        };
        data.save_settings(&settings).unwrap();
        let key = data.device_key().unwrap().node_id();

        let again = DataDir::open(Some(folder.path().join("new"))).unwrap();
        assert_eq!(again.settings().unwrap(), settings);
        assert_eq!(again.device_key().unwrap().node_id(), key);
        assert_eq!(again.link(&settings).unwrap().unwrap().port, 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(folder.path().to_owned())).unwrap();
        data.device_key().unwrap();
        let mode = fs::metadata(data.path("device.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_malformed_file_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(folder.path().to_owned())).unwrap();
        fs::write(data.path("client.toml"), "sever = 1").unwrap();
        let error = data.settings().unwrap_err().to_string();
        assert!(error.contains("client.toml") && error.contains("log in again"), "{error}");
    }
}
