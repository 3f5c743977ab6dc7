//! The machine on which a benchmark runs.

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
    cfg!(target_os = "linux") && std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}
