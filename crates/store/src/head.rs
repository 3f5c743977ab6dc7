//! The head of a blob's file: what is there of it. `FORMAT.md` has the layout.

use antiphon_types::{BLOCK_BYTES, BlobId, BlobSize, BlockSet};

use crate::hashing::PAIR_BYTES;
use crate::tree::BlobTree;

const MAGIC: [u8; 8] = *b"antiphon";
/// How a blob lies on the disk. The heads are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Layout {
    /// Head and blocks in two files, `.meta` and `.data`: as they were made
    /// before version 0.2. Still read and filled, never made.
    TwoFiles = 1,
    /// Both in one file, `.blob`, the head first.
    OneFile = 2,
}

/// What a disk gives room in.
const PAGE_BYTES: u64 = 4096;
/// Length of the header in bytes, in all versions.
pub(crate) const HEADER_BYTES: usize = 64;
/// Where the checksum begins; it covers what is before it.
const CHECKSUM_AT: usize = 56;

/// Why a header is not that of a blob we can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Altered, torn, or not ours.
    Damaged,
    /// Whole, but made by a version of this crate that knows more.
    UnknownVersion(u32),
}

/// The header of a blob's file.
pub(crate) fn header(layout: Layout, blob: BlobId, size: BlobSize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&(layout as u32).to_le_bytes());
    header[12..16].copy_from_slice(&BLOCK_BYTES.to_le_bytes());
    header[16..24].copy_from_slice(&size.bytes().to_le_bytes());
    header[24..56].copy_from_slice(blob.as_bytes());
    let checksum = checksum(&header);
    header[CHECKSUM_AT..].copy_from_slice(&checksum);
    header
}

/// The size that the header of `blob` tells.
pub(crate) fn parse_header(
    layout: Layout,
    blob: BlobId,
    header: &[u8; HEADER_BYTES],
) -> Result<BlobSize, BadHeader> {
    if header[..8] != MAGIC || header[CHECKSUM_AT..] != checksum(header) {
        return Err(BadHeader::Damaged);
    }
    let version = u32_at(header, 8);
    if version != layout as u32 {
        return Err(BadHeader::UnknownVersion(version));
    }
    let size = u64::from(u32_at(header, 16)) | u64::from(u32_at(header, 20)) << 32;
    if u32_at(header, 12) != BLOCK_BYTES || header[24..56] != *blob.as_bytes() {
        return Err(BadHeader::Damaged);
    }
    BlobSize::new(size).map_err(|_| BadHeader::Damaged)
}

fn checksum(header: &[u8; HEADER_BYTES]) -> [u8; 8] {
    let hash = blake3::hash(&header[..CHECKSUM_AT]);
    std::array::from_fn(|i| hash.as_bytes()[i])
}

fn u32_at(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| header[at + i]))
}

/// Length of the bitmap in bytes, without what fills it up to the pairs.
pub(crate) fn bitmap_bytes(size: BlobSize) -> usize {
    size.block_count().div_ceil(8) as usize
}

/// Where the bit of a block stands.
pub(crate) fn bit_offset(block: u32) -> u64 {
    HEADER_BYTES as u64 + u64::from(block / 8)
}

/// Where the pair of the node with this middle stands.
pub(crate) fn pair_offset(size: BlobSize, middle: u32) -> u64 {
    // A multiple of 64, so that no pair lies across two disk sectors.
    let pairs = (HEADER_BYTES + bitmap_bytes(size)).next_multiple_of(PAIR_BYTES) as u64;
    pairs + (u64::from(middle) - 1) * PAIR_BYTES as u64
}

/// Length of the whole head in bytes.
pub(crate) fn head_bytes(size: BlobSize) -> u64 {
    pair_offset(size, size.block_count())
}

/// Bytes that the head takes on a disk.
pub(crate) fn disk_bytes(size: BlobSize) -> u64 {
    head_bytes(size).next_multiple_of(PAGE_BYTES)
}

/// Where the blocks begin in a file that has both: where a block would, so that
/// each is one piece of what the system has in memory. The gap is a hole.
pub(crate) fn data_offset(size: BlobSize) -> u64 {
    head_bytes(size).next_multiple_of(u64::from(BLOCK_BYTES))
}

/// The blocks of a bitmap; what is missing of it reads as zero.
pub(crate) fn parse_bitmap(size: BlobSize, bitmap: &[u8]) -> BlockSet {
    let mut blocks = BlockSet::empty(size);
    for (byte, first) in bitmap.iter().zip((0..size.block_count()).step_by(8)) {
        for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
            blocks.insert(first + bit);
        }
    }
    blocks
}

/// The byte of the bitmap that holds the bit of `block`.
pub(crate) fn bitmap_byte(is_there: impl Fn(u32) -> bool, block: u32) -> u8 {
    let first = block / 8 * 8;
    (0..8).filter(|bit| is_there(first + bit)).map(|bit| 1 << bit).sum()
}

/// The head up to the pairs, with none of the blocks there.
pub(crate) fn empty(layout: Layout, blob: BlobId, size: BlobSize) -> Vec<u8> {
    whole(layout, blob, size, |_| false, None)
}

/// The whole head. Without a tree it has no pairs, which then read as unknown.
pub(crate) fn whole(
    layout: Layout,
    blob: BlobId,
    size: BlobSize,
    is_there: impl Fn(u32) -> bool,
    tree: Option<&BlobTree>,
) -> Vec<u8> {
    let mut file = header(layout, blob, size).to_vec();
    file.extend((0..size.block_count()).step_by(8).map(|first| bitmap_byte(&is_there, first)));
    if let Some(tree) = tree {
        for (middle, pair) in tree.pairs() {
            let Ok(at) = usize::try_from(pair_offset(size, middle)) else { continue };
            let end = at + PAIR_BYTES;
            file.resize(file.len().max(end), 0);
            file[at..end].copy_from_slice(&pair.to_bytes());
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: BlobId = BlobId::new([7; 32]);

    #[test]
    fn the_layout_is_the_documented_one() {
        let size = BlobSize::new(20 * u64::from(BLOCK_BYTES)).unwrap();
        assert_eq!((bitmap_bytes(size), bit_offset(9)), (3, 65));
        assert_eq!((pair_offset(size, 1), head_bytes(size)), (128, 128 + 19 * 64));
        assert_eq!((disk_bytes(size), data_offset(size)), (4096, 16_384));
        let one = BlobSize::new(1).unwrap();
        assert_eq!((head_bytes(one), empty(Layout::OneFile, BLOB, one).len()), (128, 65));
        let large = BlobSize::new(65 * u64::from(BLOCK_BYTES)).unwrap();
        assert_eq!((head_bytes(large), disk_bytes(large)), (128 + 64 * 64, 8192));
    }

    #[test]
    fn a_header_with_any_bit_flipped_is_refused() {
        let good = header(Layout::OneFile, BLOB, BlobSize::new(123_456).unwrap());
        assert_eq!(parse_header(Layout::OneFile, BLOB, &good).map(BlobSize::bytes), Ok(123_456));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse_header(Layout::OneFile, BLOB, &bad), Err(BadHeader::Damaged));
        }
        assert_eq!(
            parse_header(Layout::OneFile, BlobId::new([8; 32]), &good),
            Err(BadHeader::Damaged)
        );
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut later = header(Layout::OneFile, BLOB, BlobSize::new(1).unwrap());
        later[8] = 3;
        let checksum = checksum(&later);
        later[CHECKSUM_AT..].copy_from_slice(&checksum);
        assert_eq!(parse_header(Layout::OneFile, BLOB, &later), Err(BadHeader::UnknownVersion(3)));
    }

    #[test]
    fn a_bitmap_survives_being_written_and_read() {
        let size = BlobSize::new(21 * u64::from(BLOCK_BYTES)).unwrap();
        let mut blocks = BlockSet::empty(size);
        for block in [0, 7, 8, 20] {
            blocks.insert(block);
        }
        let file = whole(Layout::OneFile, BLOB, size, |block| blocks.contains(block), None);
        assert_eq!(file[HEADER_BYTES..], [0b1000_0001, 1, 0b1_0000]);
        assert_eq!(parse_bitmap(size, &file[HEADER_BYTES..]), blocks);
        assert!(parse_bitmap(size, &[0xff; 99]).is_full(), "bits beyond the blob mean nothing");
    }
}
