//! What the tests stand on.

#[cfg(target_os = "linux")]
pub(crate) mod ear;
#[cfg(target_os = "linux")]
pub(crate) mod far;
pub(crate) mod listener;
pub(crate) mod music;
pub(crate) mod process;
pub(crate) mod service;

use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use xtask::binaries::{self, Binaries};

pub(crate) use listener::Listener;
pub(crate) use music::{Track, music};
pub(crate) use process::Process;
pub(crate) use service::Service;

/// Longer than anything here takes, even on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The programs, built once.
pub(crate) fn programs() -> &'static Binaries {
    static PROGRAMS: OnceLock<Binaries> = OnceLock::new();
    PROGRAMS.get_or_init(|| binaries::build().unwrap())
}

/// The client that misbehaves on purpose, built once.
pub(crate) fn faulty_client() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| binaries::build_faulty_client().unwrap())
}

/// Waits until something can be seen.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

static STAGE: RwLock<()> = RwLock::new(());

/// Held by tests that bear company.
pub(crate) fn beside_others() -> RwLockReadGuard<'static, ()> {
    STAGE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held by tests that measure.
#[cfg(target_os = "linux")]
pub(crate) fn alone() -> std::sync::RwLockWriteGuard<'static, ()> {
    STAGE.write().unwrap_or_else(PoisonError::into_inner)
}
