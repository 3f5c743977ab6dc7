//! What the process asks of the machine. Where the system cannot tell, the
//! answer is `None`, and the figure is left out of the table.

use std::time::Duration;

use crate::Result;

/// Pins the process to one core. Call it before any thread is made.
#[cfg(target_os = "linux")]
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut cores = nix::sched::CpuSet::new();
    cores.set(core)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores)
        .map_err(|error| format!("pin to core {core}: {error}").into())
}

/// Pins the process to one core: other systems than Linux do not offer that.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_core: usize) -> Result<()> {
    Err("only Linux pins a process to a core".into())
}

/// CPU time of the whole process so far, user's and system's.
#[cfg(target_os = "linux")]
pub(crate) fn cpu_time() -> Option<Duration> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let microseconds = [usage.user_time(), usage.system_time()]
        .map(|time| u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or_default());
    Some(Duration::from_micros(microseconds.iter().sum()))
}

/// CPU time of the whole process so far.
#[cfg(not(target_os = "linux"))]
pub(crate) fn cpu_time() -> Option<Duration> {
    None
}

/// Resident memory of the process, in bytes. `smaps_rollup` counts pages;
/// cheaper sources lag behind by some hundred KiB.
pub(crate) fn resident_bytes() -> Option<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()? * 1024)
}

/// Allows as many open sockets as the system lets us have.
#[cfg(target_os = "linux")]
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Allows as many open sockets as the system lets us have.
#[cfg(not(target_os = "linux"))]
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    Ok(())
}
