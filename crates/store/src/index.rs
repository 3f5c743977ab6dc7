//! The index: pins, and when blobs were played. `FORMAT.md` has the layout.
//!
//! There are two copies, each replaced as a whole, one after the other: no
//! crash and no damage to one file loses a pin.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use antiphon_types::BlobId;

use crate::disk::{self, BESIDE, Disk, Durable, FileError};
use crate::policy::Standing;

const MAGIC: [u8; 8] = *b"antindex";
/// The only version there is.
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 24;
const RECORD_BYTES: usize = 48;
const CHECKSUM_BYTES: usize = 32;
const PINNED: u64 = 1;
const GONE: u64 = 2;
/// Where in the flags the milliseconds of the last play are.
const MILLIS_SHIFT: u32 = 32;
const MILLIS_MASK: u64 = 0x3ff;
/// More than there are blobs in any cache of a disk.
const MOST_RECORDS: usize = 5_000_000;
/// A larger file is not one we wrote.
const LARGEST_FILE_BYTES: u64 =
    (HEADER_BYTES + MOST_RECORDS * RECORD_BYTES + CHECKSUM_BYTES) as u64;

/// What the index tells of one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) blob: BlobId,
    pub(crate) last_play: Option<SystemTime>,
    pub(crate) pinned: bool,
    pub(crate) standing: Standing,
    /// It is not there, but the policy remembers it.
    pub(crate) gone: bool,
}

/// The index; records stand in the order of the policy, those to go first first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Grows with each writing: of two copies the greater is the newer.
    pub(crate) generation: u64,
    pub(crate) records: Vec<Record>,
}

/// Why there is no index to be read.
#[derive(Debug)]
pub(crate) enum IndexError {
    /// A copy is whole, but made by a version of this crate that knows more.
    UnknownVersion {
        path: PathBuf,
        version: u32,
    },
    File(FileError),
}

/// What the copies on disk say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// The newest whole copy; an empty index if there is none.
    pub(crate) index: Index,
    /// They do not say the same, or one could not be read: it may say something
    /// else the next time.
    pub(crate) copies_differ: bool,
}

/// Reads the copies.
///
/// # Errors
///
/// A copy is of a later version; or none is whole, and one could not be read.
pub(crate) fn load(disk: &dyn Disk, folder: &Path) -> Result<Loaded, IndexError> {
    let mut whole: Vec<Index> = Vec::new();
    let mut unreadable = None;
    for path in copies(folder) {
        match disk::read_all(disk, &path, LARGEST_FILE_BYTES) {
            Err(error) => unreadable = Some(error),
            Ok(bytes) => match bytes.as_deref().map(parse) {
                Some(Parsed::Index(index)) => whole.push(index),
                Some(Parsed::UnknownVersion(version)) => {
                    return Err(IndexError::UnknownVersion { path, version });
                }
                Some(Parsed::Damaged) | None => {}
            },
        }
    }
    let copies_differ = match &whole[..] {
        [first, second] => first != second,
        [_] => true,
        _ => false,
    };
    match (whole.into_iter().max_by_key(|index| index.generation), unreadable) {
        (Some(index), _) => Ok(Loaded { index, copies_differ }),
        (None, Some(error)) => Err(IndexError::File(error)),
        (None, None) => Ok(Loaded::default()),
    }
}

/// Replaces both copies; afterwards they outlive a power cut.
pub(crate) fn save(disk: &dyn Disk, folder: &Path, index: &Index) -> Result<(), FileError> {
    let bytes = encode(index);
    copies(folder)
        .iter()
        .try_for_each(|path| disk::replace(disk, path, &bytes, Durable::Content))?;
    disk::sync_folder(disk, folder)
}

/// Removes what was being written when a process ended, as far as that can be.
pub(crate) fn clear_away_unfinished(disk: &dyn Disk, folder: &Path) {
    for name in disk::list(disk, folder).unwrap_or_default() {
        if name.starts_with("index.") && name.ends_with(&format!(".{BESIDE}")) {
            let _ = disk::remove(disk, &folder.join(name));
        }
    }
}

fn copies(folder: &Path) -> [PathBuf; 2] {
    ["index.0", "index.1"].map(|name| folder.join(name))
}

fn encode(index: &Index) -> Vec<u8> {
    let mut bytes =
        Vec::with_capacity(HEADER_BYTES + index.records.len() * RECORD_BYTES + CHECKSUM_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&index.generation.to_le_bytes());
    // Beyond all measure, pins count, and of the others those that are to stay.
    let surplus = index.records.len().saturating_sub(MOST_RECORDS);
    let left_out = index.records.iter().filter(|record| !record.pinned).take(surplus);
    let left_out: BTreeSet<BlobId> = left_out.map(|record| record.blob).collect();
    for record in index.records.iter().filter(|record| !left_out.contains(&record.blob)) {
        let last_play = record.last_play;
        let since = last_play.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let since = since.unwrap_or_default();
        bytes.extend_from_slice(record.blob.as_bytes());
        bytes.extend_from_slice(&since.as_secs().to_le_bytes());
        let pinned = if record.pinned { PINNED } else { 0 };
        let gone = if record.gone { GONE } else { 0 };
        let millis = u64::from(since.subsec_millis()) << MILLIS_SHIFT;
        let flags = record.standing.to_bits() | pinned | gone | millis;
        bytes.extend_from_slice(&flags.to_le_bytes());
    }
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

enum Parsed {
    Index(Index),
    UnknownVersion(u32),
    Damaged,
}

fn parse(bytes: &[u8]) -> Parsed {
    let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Parsed::Damaged;
    };
    if body.len() < HEADER_BYTES || body[..8] != MAGIC || blake3::hash(body) != *checksum {
        return Parsed::Damaged;
    }
    let version = u32::from_le_bytes(std::array::from_fn(|i| body[8 + i]));
    if version != VERSION {
        return Parsed::UnknownVersion(version);
    }
    let (records, rest) = body[HEADER_BYTES..].as_chunks::<RECORD_BYTES>();
    if !rest.is_empty() {
        return Parsed::Damaged;
    }
    let records = records.iter().map(parse_record).collect();
    Parsed::Index(Index { generation: u64_at(body, 16), records })
}

fn parse_record(bytes: &[u8; RECORD_BYTES]) -> Record {
    let (seconds, flags) = (u64_at(bytes, 32), u64_at(bytes, 40));
    let millis = (flags >> MILLIS_SHIFT & MILLIS_MASK).min(999);
    let since = Duration::from_secs(seconds).saturating_add(Duration::from_millis(millis));
    Record {
        blob: BlobId::new(std::array::from_fn(|i| bytes[i])),
        last_play: (seconds > 0).then(|| SystemTime::UNIX_EPOCH.checked_add(since)).flatten(),
        pinned: flags & PINNED != 0,
        standing: Standing::from_bits(flags),
        gone: flags & GONE != 0,
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SystemDisk;
    use crate::policy::Segment;

    fn index(generation: u64) -> Index {
        let last_play =
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(1_800_000_000_987));
        let records = vec![
            Record {
                blob: BlobId::new([1; 32]),
                last_play: None,
                pinned: true,
                standing: Standing::default(),
                gone: true,
            },
            Record {
                blob: BlobId::new([2; 32]),
                last_play,
                pinned: false,
                standing: Standing { segment: Segment::Protected, plays: 7 },
                gone: false,
            },
        ];
        Index { generation, records }
    }

    #[test]
    fn the_newest_whole_copy_counts() {
        let folder = tempfile::tempdir().unwrap();
        let loaded = || {
            let Loaded { index, copies_differ } = load(&SystemDisk, folder.path()).unwrap();
            (index, copies_differ)
        };
        assert_eq!(loaded(), (Index::default(), false));
        save(&SystemDisk, folder.path(), &index(3)).unwrap();
        // As if killed between the two copies.
        std::fs::write(folder.path().join("index.0"), encode(&index(4))).unwrap();
        assert_eq!(loaded(), (index(4), true));
        std::fs::write(folder.path().join("index.0"), b"torn").unwrap();
        assert_eq!(loaded(), (index(3), true));
    }

    #[test]
    fn a_copy_with_any_bit_flipped_does_not_count() {
        let good = encode(&index(1));
        assert!(matches!(parse(&good), Parsed::Index(parsed) if parsed == index(1)));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(parse(&bad), Parsed::Damaged));
        }
    }

    #[test]
    fn a_later_version_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut later = encode(&index(1));
        later.truncate(later.len() - CHECKSUM_BYTES);
        later[8] = 9;
        let checksum = blake3::hash(&later);
        later.extend_from_slice(checksum.as_bytes());
        std::fs::write(folder.path().join("index.1"), &later).unwrap();
        let error = load(&SystemDisk, folder.path()).unwrap_err();
        assert!(matches!(error, IndexError::UnknownVersion { version: 9, .. }));
        assert_eq!(std::fs::read(folder.path().join("index.1")).unwrap(), later);
    }
}
