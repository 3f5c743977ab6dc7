//! What one keeper took for its share of the work.

use std::time::{Duration, Instant};

use super::Figures;
use crate::times::Times;
use crate::{Result, machine};

/// Adds up time and CPU time over turns, between which others have theirs.
#[derive(Debug)]
pub(super) struct Meter {
    elapsed: Duration,
    cpu: Option<Duration>,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { elapsed: Duration::ZERO, cpu: Some(Duration::ZERO) }
    }

    /// Does something, as a turn.
    pub(super) fn turn<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (start, before) = (Instant::now(), machine::cpu_time());
        let done = work()?;
        let (elapsed, after) = (start.elapsed(), machine::cpu_time());
        self.elapsed += elapsed;
        let cpu = after.zip(before).map(|(after, before)| after.saturating_sub(before));
        self.cpu = self.cpu.zip(cpu).map(|(sum, cpu)| sum + cpu);
        Ok(done)
    }

    /// The figures, with the times of single operations.
    pub(super) fn figures(&self, bytes: u64, mut times: Times) -> Figures {
        let (median_us, p99_us) = times.median_and_p99_us();
        Figures {
            bytes: Some(bytes),
            seconds: Some(self.elapsed.as_secs_f64()),
            cpu_seconds: self.cpu.map(|cpu| cpu.as_secs_f64()),
            median_us: Some(median_us),
            p99_us: Some(p99_us),
            ..Figures::default()
        }
    }
}
