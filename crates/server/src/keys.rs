//! What a server must keep secret, and keep: `node.key`, the service's
//! identity, and `content.key`, from which the keys of all renditions derive.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use antiphon_net::ProofKey;
use antiphon_net::identity::NodeSecret;
use antiphon_types::TrackId;
use zeroize::Zeroizing;

/// The secrets of a service. Losing them makes every listener's link and every
/// cached block worthless, so a backup of the data folder must hold them.
pub struct Keys {
    /// Who the server is.
    pub node: NodeSecret,
    /// What renditions are encrypted under, by way of their own keys.
    pub content: Zeroizing<[u8; 32]>,
}

/// Why the secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file is gone, or does not hold 32 bytes.
    #[error(
        "{path} is lost or damaged: it should hold a key of 32 bytes; restore it from a backup of this folder: \
         a new key would make a new service that no listener knows", path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl Keys {
    /// Reads the keys in a folder; draws them if there are none yet.
    pub fn open(folder: &Path) -> Result<Self, KeysError> {
        // Where there is a catalogue there were keys.
        let founded = folder.join("catalog.sqlite").exists();
        let node = open_key(&folder.join("node.key"), founded)?;
        let content = open_key(&folder.join("content.key"), founded)?;
        Ok(Self { node: NodeSecret::from_bytes(&node), content })
    }

    /// The id of a track made from a file with this hash. It tells nobody
    /// outside which file that was.
    pub fn track_id(&self, source_hash: &[u8; 32]) -> TrackId {
        let key = blake3::derive_key("antiphon server 2026 track ids", self.content.as_slice());
        let hash = blake3::keyed_hash(&key, source_hash);
        let mut id = [0; TrackId::BYTES];
        id.copy_from_slice(&hash.as_bytes()[..TrackId::BYTES]);
        TrackId::new(id)
    }

    /// Proves to listeners where they are seen. The same at all servers of a
    /// service: each believes what another has seen.
    pub(crate) fn proof_key(&self) -> ProofKey {
        let key = blake3::derive_key("antiphon server 2026 proofs", self.content.as_slice());
        ProofKey::from_bytes(&Zeroizing::new(key))
    }
}

fn open_key(path: &Path, founded: bool) -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let fail = |action| {
        let path = path.to_owned();
        move |source| KeysError::Io { action, path, source }
    };
    match fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => match bytes.as_slice().try_into() {
            Ok(key) => Ok(Zeroizing::new(key)),
            Err(_) => Err(KeysError::Damaged { path: path.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound && founded => {
            Err(KeysError::Damaged { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
            match write_secret(path, key.as_slice()) {
                Ok(()) => Ok(key),
                // Another process was faster: its key counts.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_key(path, true),
                Err(error) => Err(fail("write")(error)),
            }
        }
        Err(error) => Err(fail("read")(error)),
    }
}

/// Writes a new file with mode 0600, whole or not at all; one that is there
/// already is left alone.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    linked?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_drawn_once_and_a_damaged_one_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::open(folder.path()).unwrap();
        let again = Keys::open(folder.path()).unwrap();
        assert_eq!(first.node.node_id(), again.node.node_id());
        assert_eq!(first.track_id(&[1; 32]), again.track_id(&[1; 32]));
        assert_ne!(first.track_id(&[1; 32]), first.track_id(&[2; 32]));

        fs::write(folder.path().join("catalog.sqlite"), b"").unwrap();
        fs::remove_file(folder.path().join("content.key")).unwrap();
        assert!(Keys::open(folder.path()).is_err(), "a lost key is not replaced");

        fs::remove_file(folder.path().join("catalog.sqlite")).unwrap();
        fs::write(folder.path().join("node.key"), b"short").unwrap();
        let error = Keys::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("node.key") && error.contains("backup"), "{error}");
    }
}
