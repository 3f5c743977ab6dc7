//! What may happen to a store, drawn by weight.

use super::disk::{Op, Order};
use super::draw::Draw;

/// One thing that happens; blobs and blocks by number, taken modulo those that
/// there are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Begin(usize),
    BeginInMemory(usize),
    /// Some blocks in a row.
    Put {
        blob: usize,
        block: u32,
        count: u32,
    },
    PutWrong(usize, u32),
    Read(usize, u32),
    Touch(usize),
    Pin(usize),
    Unpin(usize),
    Hold(usize),
    LetGo,
    Remove(usize),
    Clear,
    Sync(usize),
    Flush,
    Verify,
    Reopen,
    /// The process or the machine ends between two operations.
    Crash,
    /// It ends in so many operations.
    DieIn(u64),
    /// A bit flips in a file.
    Rot,
    /// A sector of a blob's file goes bad.
    BadSector,
    /// The disk has so much room left.
    Full(u64),
    ReadOnly,
    NoFiles,
    /// One operation fails.
    Fail(Order),
    /// There is room again, for files and bytes, and they may be written.
    Mend,
}

const KINDS: usize = 25;
/// How often each kind comes, where it comes at all.
const WEIGHTS: [u32; KINDS] =
    [12, 2, 40, 2, 10, 4, 4, 4, 2, 2, 2, 1, 4, 6, 1, 3, 4, 4, 2, 1, 3, 2, 2, 6, 6];
/// The kinds that always come, or nothing would happen.
const ALWAYS: [usize; 3] = [0, 2, 13];
/// The first kind in which the disk fails.
const FIRST_FAULT: usize = 18;

/// How often each kind of step comes in one run.
pub(crate) fn weights(draw: &mut Draw, has_faults: bool) -> [u32; KINDS] {
    let mut weights = WEIGHTS;
    for (kind, weight) in weights.iter_mut().enumerate() {
        let is_out = draw.per_mille(250) && !ALWAYS.contains(&kind);
        if is_out || (kind >= FIRST_FAULT && !has_faults) {
            *weight = 0;
        }
    }
    weights
}

impl Step {
    pub(crate) fn draw(draw: &mut Draw, weights: &[u32; KINDS], blobs: usize) -> Self {
        let kind = draw.weighed(weights);
        let blob = draw.below(blobs);
        let block = draw.below(64) as u32;
        match kind {
            0 => Self::Begin(blob),
            1 => Self::BeginInMemory(blob),
            2 => Self::Put { blob, block, count: 1 + draw.below(6) as u32 },
            3 => Self::PutWrong(blob, block),
            4 => Self::Read(blob, block),
            5 => Self::Touch(blob),
            6 => Self::Pin(blob),
            7 => Self::Unpin(blob),
            8 => Self::Hold(blob),
            9 => Self::LetGo,
            10 => Self::Remove(blob),
            11 => Self::Clear,
            12 => Self::Sync(blob),
            13 => Self::Flush,
            14 => Self::Verify,
            15 => Self::Reopen,
            16 => Self::Crash,
            17 => Self::DieIn(1 + draw.below(40) as u64),
            18 => Self::Rot,
            19 => Self::BadSector,
            20 => Self::Full(draw.below(200_000) as u64),
            21 => Self::ReadOnly,
            22 => Self::NoFiles,
            23 => {
                let op = draw.pick(&Op::ALL);
                let (after, times) = (draw.below(6) as u64, 1 + draw.below(3) as u64);
                Self::Fail(Order { op, fault: draw.pick(op.faults()), after, times })
            }
            _ => Self::Mend,
        }
    }

    /// Whether blobs may be let go of in it.
    pub(crate) fn may_evict(self) -> bool {
        matches!(
            self,
            Self::Begin(_)
                | Self::Put { .. }
                | Self::Remove(_)
                | Self::Clear
                | Self::Sync(_)
                | Self::Flush
                | Self::Reopen
                | Self::Crash
        )
    }
}
