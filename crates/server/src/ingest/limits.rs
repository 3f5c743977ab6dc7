//! What the process that decodes and encodes one file may use.

use std::time::Duration;

use antiphon_media::DecodeLimits;

/// CPU seconds for the smallest file.
const LEAST_CPU_SECONDS: u64 = 60;
/// CPU seconds for each further megabyte, which is five and a half minutes of
/// speech at 24 kbit/s: ten of these on a fast core.
const CPU_SECONDS_PER_MEGABYTE: u64 = 60;
/// CPU seconds for the largest file.
const MOST_CPU_SECONDS: u64 = 4 * 3600;
/// Bytes of a second of decoded samples: two channels of 32-bit floats.
const PCM_BYTES_PER_SECOND: u64 = 44_100 * 8;

/// Limits of a child process. The process sets them for itself before it looks
/// at the file; where the system knows no such limits, only the time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildLimits {
    /// CPU time. Default: from 60 s to 4 h by the file's size, many times what
    /// music takes.
    pub cpu_seconds: u64,
    /// Time on the clock, after which it is killed. Default: four times the CPU
    /// time, for a machine that has much to do.
    pub wall: Duration,
    /// Address space in bytes. Default 1 GiB: threads reserve 64 MiB each and
    /// use little of it.
    pub memory_bytes: u64,
    /// Largest file that is written, in bytes: the decoded samples. Default: 6 h
    /// of them.
    pub file_bytes: u64,
    /// Open files. Default 32.
    pub open_files: u64,
}

impl ChildLimits {
    /// The limits for a file of that size.
    pub fn for_file(bytes: u64) -> Self {
        let megabytes = bytes / 1_000_000;
        let cpu_seconds =
            (LEAST_CPU_SECONDS + megabytes * CPU_SECONDS_PER_MEGABYTE).min(MOST_CPU_SECONDS);
        Self {
            cpu_seconds,
            wall: Duration::from_secs(4 * cpu_seconds),
            memory_bytes: 1 << 30,
            // A second more than is decoded, so that the decoder refuses first.
            file_bytes: u64::from(DecodeLimits::default().max_seconds + 1) * PCM_BYTES_PER_SECOND,
            open_files: 32,
        }
    }
}

/// Limits this process, for good.
#[cfg(unix)]
pub(super) fn apply(limits: &ChildLimits) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let apply = |resource, soft: u64, hard: u64| {
        // Nobody may raise what an operator has lowered.
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limit = Rlimit { current: Some(soft.min(most)), maximum: Some(hard.min(most)) };
        setrlimit(resource, limit)
    };
    // At the soft limit a signal tells why; at the hard one it dies for certain.
    apply(Resource::Cpu, limits.cpu_seconds, limits.cpu_seconds + 2)?;
    let memory = apply(Resource::As, limits.memory_bytes, limits.memory_bytes);
    // Some systems know this limit by name alone.
    if cfg!(target_os = "linux") {
        memory?;
    }
    apply(Resource::Fsize, limits.file_bytes, limits.file_bytes)?;
    apply(Resource::Nofile, limits.open_files, limits.open_files)?;
    apply(Resource::Core, 0, 0)?;
    Ok(())
}

/// Elsewhere only the parent's clock limits a child.
#[cfg(not(unix))]
pub(super) fn apply(_limits: &ChildLimits) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_grows_with_the_file_and_has_an_end() {
        let of = |bytes| ChildLimits::for_file(bytes).cpu_seconds;
        assert_eq!((of(0), of(10_000_000), of(u64::MAX)), (60, 660, 14_400));
    }
}
