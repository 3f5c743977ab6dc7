//! Reading: all keepers are asked for the same blocks in the same random order.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::keeper::Keeper;
use super::meter::Meter;
use super::set::Set;
use super::{Figures, Side};
use crate::Result;
use crate::times::Times;

/// Reads of one turn: so many that the change of turns does not show.
const TURN_READS: usize = 500;

/// Reads blocks at random, each keeper some hundreds in turn.
///
/// Every block of every keeper is read once before, so that all is in memory,
/// and compared.
pub(super) fn read(folder: &Path, reads: usize, seed: u64, sides: &[Side]) -> Result<Vec<Figures>> {
    let set = Set::load(folder)?;
    let mut readings = Vec::new();
    for side in sides {
        let mut keeper = side.open(folder)?;
        keeper.ready_to_read(&set.members)?;
        readings.push(Reading { keeper, meter: Meter::new(), reads: Times::default() });
    }
    compare(&set, &mut readings)?;

    let places = places(&set, reads, seed);
    let mut bytes = 0;
    for turn in places.chunks(TURN_READS) {
        for reading in &mut readings {
            bytes += reading.read(turn)?;
        }
    }
    // All were given the same.
    let each = bytes / readings.len().max(1) as u64;
    Ok(readings.into_iter().map(|one| one.meter.figures(each, one.reads)).collect())
}

struct Reading {
    keeper: Box<dyn Keeper>,
    meter: Meter,
    reads: Times,
}

impl Reading {
    /// Reads these blocks and drops them; how many bytes they had.
    fn read(&mut self, places: &[(usize, u32)]) -> Result<u64> {
        let Self { keeper, meter, reads } = self;
        meter.turn(|| {
            let mut bytes = 0;
            let mut now = Instant::now();
            for &(member, block) in places {
                bytes += black_box(keeper.read(member, block)?).len() as u64;
                let done = Instant::now();
                reads.push(done - now);
                now = done;
            }
            Ok(bytes)
        })
    }
}

/// Reads all there is, and finds that all keepers have the same.
fn compare(set: &Set, readings: &mut [Reading]) -> Result<()> {
    let Some((first, others)) = readings.split_first_mut() else { return Ok(()) };
    for (number, member) in set.members.iter().enumerate() {
        for block in member.size.all().iter() {
            let expected = first.keeper.read(number, block)?;
            for other in &mut *others {
                if other.keeper.read(number, block)? != expected {
                    return Err(
                        format!("not all have the same block {block} of {}", member.id).into()
                    );
                }
            }
        }
    }
    Ok(())
}

/// Places of the whole set, each block as likely as any other.
fn places(set: &Set, reads: usize, seed: u64) -> Vec<(usize, u32)> {
    let all: Vec<_> = (set.members.iter().enumerate())
        .flat_map(|(number, member)| member.size.all().iter().map(move |block| (number, block)))
        .collect();
    let mut random = StdRng::seed_from_u64(seed);
    (0..reads).map(|_| all[random.random_range(0..all.len())]).collect()
}
