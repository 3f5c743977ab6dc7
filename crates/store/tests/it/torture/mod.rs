//! A store under torture: crashes at any instant, disks that lie and fail.
//!
//! [`disk`] is a simulated disk, [`world`] a store on it with a [`model`] of
//! what the store owes; [`random`] lives thousands of lives, each from one seed,
//! [`exhaustive`] ends one life everywhere, [`crowd`] has many threads. The rest is real: processes killed,
//! file systems shut down, system calls that fail.
//!
//! `cargo xtask torture` runs it for as long as one likes.

mod bits;
mod blocks;
#[cfg(unix)]
mod child;
mod crowd;
mod disk;
mod draw;
mod exhaustive;
mod faults;
#[cfg(unix)]
mod kill;
mod model;
#[cfg(target_os = "linux")]
mod power;
mod random;
mod samples;
mod step;
#[cfg(target_os = "linux")]
mod traced;
mod versions;
mod world;
