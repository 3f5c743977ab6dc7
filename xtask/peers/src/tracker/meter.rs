//! CPU time of another process.

use std::time::{Duration, Instant};

use crate::Result;

/// Of Linux on every machine there is: `sysconf(_SC_CLK_TCK)`.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a server process took, and how long.
#[derive(Debug)]
pub(super) struct Meter {
    process: u32,
    start: Instant,
    before: f64,
}

impl Meter {
    pub(super) fn start(process: u32) -> Result<Self> {
        Ok(Self { process, start: Instant::now(), before: cpu_seconds(process)? })
    }

    /// Time passed, and CPU seconds taken.
    pub(super) fn stop(&self) -> Result<(Duration, f64)> {
        Ok((self.start.elapsed(), cpu_seconds(self.process)? - self.before))
    }
}

/// CPU time of all threads of a process, also of those that are gone: proc(5),
/// `/proc/pid/stat`, fields 14 and 15.
fn cpu_seconds(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))
        .map_err(|error| format!("the server is gone, or this is no Linux: {error}"))?;
    // The name in the second field may have spaces.
    let fields = stat.rsplit_once(')').ok_or("no fields")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<std::result::Result<f64, _>>()? / TICKS_PER_SECOND)
}

/// Resident memory of another process, in bytes.
pub(super) fn resident_bytes(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim_end().parse::<u64>()? * 1024)
}
