//! Filling: all keepers are given the same blobs, blob by blob in turn.

use std::path::Path;
use std::time::Instant;

use super::keeper::Keeper;
use super::meter::Meter;
use super::set::{Set, Source};
use super::{Figures, Side};
use crate::Result;
use crate::times::Times;

/// Blocks that are made durable at once: 1 MiB.
const BATCH_BLOCKS: u32 = 64;

/// Fills an empty folder with blobs of `bytes` in all, or a little more.
///
/// The blobs are made, with their proofs, while nobody is measured. What was
/// given to one keeper is durable before the next one has its turn, so that
/// none pays for another's. The times of single operations are those of making
/// a batch durable.
pub(super) fn fill(
    folder: &Path,
    bytes: u64,
    each: Option<u64>,
    sides: &[Side],
) -> Result<Vec<Figures>> {
    let mut fillings = Vec::new();
    for side in sides {
        fillings.push(Filling {
            keeper: side.open(folder)?,
            meter: Meter::new(),
            syncs: Times::default(),
        });
    }
    let mut set = Set::default();
    while set.bytes() < bytes {
        let source = Source::make(set.members.len(), each)?;
        for filling in &mut fillings {
            filling.fill(&source)?;
        }
        set.add(&source);
    }
    set.save(folder)?;
    Ok(fillings.into_iter().map(|one| one.meter.figures(set.bytes(), one.syncs)).collect())
}

struct Filling {
    keeper: Box<dyn Keeper>,
    meter: Meter,
    syncs: Times,
}

impl Filling {
    fn fill(&mut self, source: &Source) -> Result<()> {
        let Self { keeper, meter, syncs } = self;
        meter.turn(|| {
            keeper.begin(source)?;
            let count = source.size.block_count();
            for start in (0..count).step_by(BATCH_BLOCKS as usize) {
                keeper.put(source, start..count.min(start + BATCH_BLOCKS))?;
                let put = Instant::now();
                keeper.sync(source)?;
                syncs.push(put.elapsed());
            }
            Ok(())
        })
    }
}
