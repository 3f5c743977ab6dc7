//! Manifests and keys of tracks heard before, so that a replay asks nobody.
//!
//! One file for each track: the manifest as the server signed it, and the keys
//! on loan, sealed under a key that only this device can derive. Somebody who
//! copies the cache without `device.key` holds ciphertext.

use std::fs;
use std::io;
use std::path::PathBuf;

use antiphon_net::identity::NodeSecret;
use antiphon_net::{CredentialError, check_manifest};
use antiphon_types::{Bitrate, NodeId, Rendition, TrackId};
use antiphon_wire::proto::{self, Message as _};
use bytes::Bytes;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use zeroize::Zeroizing;

use crate::settings::replace_file;

/// Length of the random number before what is sealed.
const NONCE_BYTES: usize = 12;

/// A track that can be played without asking for anything but its blocks.
#[derive(Clone)]
pub struct KnownTrack {
    /// What the server says of it.
    pub manifest: proto::Manifest,
    /// The bytes it signed.
    pub signed: proto::SignedManifest,
    /// Its renditions, from the lowest.
    pub renditions: Vec<Rendition>,
    /// Keys on loan.
    pub leases: Vec<proto::Lease>,
}

/// Why what a server or a file says of a track is not believed.
#[derive(Debug, thiserror::Error)]
pub enum TrackError {
    /// The signature does not hold.
    #[error("the description of the track is not acceptable: {0}")]
    Signature(#[from] CredentialError),
    /// A rendition makes no sense.
    #[error("the description of the track is malformed: {0}")]
    Malformed(#[from] proto::ManifestError),
    /// It describes another track.
    #[error("the description is of another track")]
    WrongTrack,
}

impl KnownTrack {
    /// Checks what the server sent.
    pub fn new(
        service: &NodeId,
        track: TrackId,
        signed: proto::SignedManifest,
        leases: Vec<proto::Lease>,
    ) -> Result<Self, TrackError> {
        let manifest = check_manifest(&signed, service)?;
        if manifest.track != track.as_bytes().as_slice() {
            return Err(TrackError::WrongTrack);
        }
        let renditions =
            manifest.renditions.iter().map(Rendition::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { manifest, signed, renditions, leases })
    }

    /// The rendition of a bitrate.
    pub fn rendition(&self, bitrate: Bitrate) -> Option<&Rendition> {
        self.renditions.iter().find(|rendition| rendition.bitrate() == bitrate)
    }

    /// The key of a rendition, if it is on loan at `now_ms` since 1970.
    pub fn key(&self, bitrate: Bitrate, now_ms: u64) -> Option<[u8; 32]> {
        let lease = self.leases.iter().find(|lease| lease.kbps == bitrate.kbps())?;
        if lease.expires_ms <= now_ms {
            return None;
        }
        lease.key.as_ref().try_into().ok()
    }

    /// "Artist – Title", or what there is of it.
    pub fn name(&self) -> String {
        name_of(&self.manifest.artist, &self.manifest.title)
    }
}

/// "Artist – Title", or what there is of it.
pub(crate) fn name_of(artist: &str, title: &str) -> String {
    match artist {
        "" => title.to_owned(),
        _ => format!("{artist} – {title}"),
    }
}

/// The folder of tracks heard before.
pub struct Library {
    folder: PathBuf,
    service: NodeId,
    sealing_key: Zeroizing<[u8; 32]>,
}

impl Library {
    /// Opens the folder for tracks of one service.
    pub fn open(folder: PathBuf, service: NodeId, device: &NodeSecret) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let secret = device.to_bytes();
        let sealing_key = Zeroizing::new(blake3::derive_key(
            "antiphon client 2026 key leases",
            secret.as_slice(),
        ));
        Ok(Self { folder, service, sealing_key })
    }

    /// A track heard before. A file that is damaged, of another service or
    /// sealed by another device is as good as none.
    pub fn get(&self, track: TrackId) -> Option<KnownTrack> {
        let bytes = Bytes::from(fs::read(self.path(track)).ok()?);
        let mut stored = proto::Playing::decode(bytes).ok()?;
        for lease in &mut stored.leases {
            let opened = self.unseal(track, &lease.key)?;
            *lease = proto::Lease::decode(opened.as_slice()).ok()?;
        }
        KnownTrack::new(&self.service, track, stored.manifest?, stored.leases).ok()
    }

    /// Keeps a track.
    pub fn put(&self, track: TrackId, known: &KnownTrack) -> io::Result<()> {
        let mut stored = proto::Playing {
            manifest: Some(known.signed.clone()),
            leases: known.leases.clone(),
            ..proto::Playing::default()
        };
        for lease in &mut stored.leases {
            // All of it: nobody prolongs a loan by editing a file.
            let sealed = self.seal(track, &lease.encode_to_vec())?;
            *lease = proto::Lease { key: sealed.into(), ..proto::Lease::default() };
        }
        replace_file(&self.path(track), &stored.encode_to_vec(), true)
    }

    /// Forgets a track; its blocks stay in the cache until they are evicted.
    pub fn forget(&self, track: TrackId) {
        // One that is not known needs no forgetting.
        let _ = fs::remove_file(self.path(track));
    }

    /// All tracks heard before, in the order of their ids.
    pub fn tracks(&self) -> Vec<TrackId> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut tracks: Vec<TrackId> = entries
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".track")?.parse().ok())
            .collect();
        tracks.sort_unstable();
        tracks
    }

    fn path(&self, track: TrackId) -> PathBuf {
        self.folder.join(format!("{track}.track"))
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(*self.sealing_key))
    }

    fn seal(&self, track: TrackId, lease: &[u8]) -> io::Result<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: lease, aad: track.as_bytes() };
        let sealed = self
            .cipher()
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| io::Error::other("a key could not be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn unseal(&self, track: TrackId, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: track.as_bytes() };
        self.cipher().decrypt(&Nonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_net::sign_manifest;

    fn known(server: &NodeSecret, track: TrackId) -> KnownTrack {
        let manifest = proto::Manifest {
            track: Bytes::copy_from_slice(track.as_bytes()),
            title: "Nocturne".to_owned(),
            ..proto::Manifest::default()
        };
        let lease = proto::Lease { kbps: 160, key: vec![5; 32].into(), expires_ms: 1_000 };
        let signed = sign_manifest(server, &manifest);
        KnownTrack::new(&server.node_id(), track, signed, vec![lease]).unwrap()
    }

    #[test]
    fn keys_are_sealed_for_this_device() {
        let folder = tempfile::tempdir().unwrap();
        let (server, device) = (NodeSecret::from_bytes(&[1; 32]), NodeSecret::from_bytes(&[2; 32]));
        let track = TrackId::new([3; 16]);
        let open = |device: &NodeSecret| {
            Library::open(folder.path().to_owned(), server.node_id(), device).unwrap()
        };
        open(&device).put(track, &known(&server, track)).unwrap();

        let bytes = fs::read(folder.path().join(format!("{track}.track"))).unwrap();
        assert!(!bytes.windows(32).any(|window| window == [5; 32]), "the key lies in the open");
        let found = open(&device).get(track).unwrap();
        assert_eq!(found.name(), "Nocturne");
        assert_eq!(found.key(Bitrate::Kbps160, 999), Some([5; 32]));
        assert_eq!(found.key(Bitrate::Kbps160, 1_000), None, "the loan is over");
        assert!(open(&NodeSecret::from_bytes(&[4; 32])).get(track).is_none());
        assert_eq!(open(&device).tracks(), [track]);
    }

    #[test]
    fn a_damaged_or_foreign_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let (server, device) = (NodeSecret::from_bytes(&[1; 32]), NodeSecret::from_bytes(&[2; 32]));
        let track = TrackId::new([3; 16]);
        let library = Library::open(folder.path().to_owned(), server.node_id(), &device).unwrap();
        library.put(track, &known(&server, track)).unwrap();
        let path = folder.path().join(format!("{track}.track"));
        let good = fs::read(&path).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1;
            fs::write(&path, &bad).unwrap();
            if let Some(found) = library.get(track) {
                assert_eq!(found.name(), "Nocturne");
                assert_eq!(found.leases[0].key.as_ref(), [5; 32], "byte {i} changed the key");
                assert_eq!(found.leases[0].expires_ms, 1_000, "byte {i} changed the loan");
            }
        }
        fs::write(&path, b"garbage").unwrap();
        assert!(library.get(track).is_none());
    }
}
