//! The machine on which a benchmark runs.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::memory;

/// Which core each process is pinned to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cores {
    /// Where servers run.
    pub(super) server: Option<usize>,
    /// Where clients run, and what is one process alone.
    pub(super) client: Option<usize>,
}

impl Cores {
    /// Two cores, if there are two to be had. Says so where there are not.
    pub(super) fn choose() -> Self {
        let allowed = allowed();
        match allowed.as_deref() {
            Some([server, client, ..]) => Self { server: Some(*server), client: Some(*client) },
            Some(_) => {
                eprintln!(
                    "bench: there is one core: client and server share it, nothing is pinned"
                );
                Self::default()
            }
            None => {
                eprintln!("bench: this system does not pin processes to cores: nothing is pinned");
                Self::default()
            }
        }
    }
}

impl Cores {
    /// Says who runs where, and what is counted.
    pub(super) fn tell(self) {
        if let Self { server: Some(server), client: Some(client) } = self {
            eprintln!(
                "bench: servers run on core {server} alone, what asks them on core {client}; \
                 counted is the servers' CPU time, in user mode and in the kernel"
            );
        }
    }

    /// Pins this thread to both cores, and with it what it starts from now on.
    pub(super) fn pin_all(self) {
        #[cfg(target_os = "linux")]
        {
            let mut set = nix::sched::CpuSet::new();
            let cores = [self.server, self.client].into_iter().flatten();
            let known = cores.map(|core| set.set(core)).filter(Result::is_ok).count();
            let this = nix::unistd::Pid::from_raw(0);
            if known > 0 && nix::sched::sched_setaffinity(this, &set).is_err() {
                eprintln!("bench: nothing is pinned to cores");
            }
        }
    }
}

impl Cores {
    /// Does something on the server's core; what it starts stays there.
    pub(super) fn on_server_core<T>(self, work: impl FnOnce() -> T) -> T {
        #[cfg(target_os = "linux")]
        {
            use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
            let this = nix::unistd::Pid::from_raw(0);
            let mut only = CpuSet::new();
            if let Some(core) = self.server
                && only.set(core).is_ok()
                && let Ok(before) = sched_getaffinity(this)
                && sched_setaffinity(this, &only).is_ok()
            {
                let done = work();
                let _ = sched_setaffinity(this, &before);
                return done;
            }
        }
        work()
    }
}

/// Does something, and looks every 20 ms how much memory (resident, shared
/// pages counted in each) all processes have together that were started for
/// it; `None` where the system does not say.
pub(super) fn peak_memory_while<T: Send>(work: impl FnOnce() -> T + Send) -> (T, Option<u64>) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = None;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(memory::of_descendants(std::process::id()));
                thread::sleep(Duration::from_millis(20));
            }
            peak
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, watch.join().unwrap_or(None))
    })
}

/// The cores that this process may use; `None` where the system does not say.
#[cfg(target_os = "linux")]
fn allowed() -> Option<Vec<usize>> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).ok()?;
    let cores = 0..nix::sched::CpuSet::count();
    Some(cores.filter(|core| set.is_set(*core).unwrap_or(false)).collect())
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Option<Vec<usize>> {
    None
}

/// Has the system forget what it keeps of files in memory; false where it
/// cannot, or this user may not.
pub(super) fn drop_caches() -> bool {
    cfg!(target_os = "linux") && fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}
