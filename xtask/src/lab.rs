//! `cargo xtask lab`: real programs across networks that we make ourselves.
//!
//! [`link::Link`] joins two network namespaces by a link in user space; its
//! rate, delay, jitter, loss and queue are [`shape::Shape`]s, one each way.
//! A whole internet of households behind routers carries [`nat`], [`release`] and
//! [`swarm`], with many such links. Linux and root only; [`shape`] and [`units`] are
//! plain code. [`policy`] needs no network: it compares eviction policies on
//! generated plays.

use std::process::ExitCode;

use crate::failure::Result;

#[cfg(target_os = "linux")]
pub mod args;
#[cfg(target_os = "linux")]
mod capture;
#[cfg(target_os = "linux")]
mod carrier;
#[cfg(target_os = "linux")]
pub mod crowd;
#[cfg(target_os = "linux")]
mod flood;
#[cfg(target_os = "linux")]
mod forward;
#[cfg(target_os = "linux")]
mod internet;
#[cfg(target_os = "linux")]
mod interrupt;
#[cfg(target_os = "linux")]
pub mod link;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(target_os = "linux")]
pub mod nat;
#[cfg(target_os = "linux")]
mod nodes;
pub mod policy;
#[cfg(target_os = "linux")]
pub mod presence;
#[cfg(target_os = "linux")]
pub mod priority;
pub mod probe;
#[cfg(target_os = "linux")]
pub mod release;
#[cfg(target_os = "linux")]
mod run;
pub mod shape;
#[cfg(target_os = "linux")]
pub mod swarm;
#[cfg(target_os = "linux")]
mod tun;
pub mod units;
#[cfg(target_os = "linux")]
mod workshop;

/// What `cargo xtask lab` does.
#[derive(Debug, clap::Subcommand)]
pub enum Lab {
    /// Run a command on each side of a link with a rate, delay, jitter and loss.
    ///
    /// Both commands are shell lines. Side A has the address 10.77.0.1, side B
    /// 10.77.0.2; ANTIPHON_LAB_SELF and ANTIPHON_LAB_PEER tell them. When B's
    /// command ends, A's is ended, and the exit status is B's. Linux, root.
    #[cfg(target_os = "linux")]
    Link(Box<args::LinkArgs>),
    /// Time requests for what plays now, alone and beside an offline copy that
    /// fills the link. Linux, root.
    #[cfg(target_os = "linux")]
    Priority(Box<priority::PriorityArgs>),
    /// Hold thousands of idle sessions on one server, and time plays while
    /// strangers flood it. Linux.
    #[cfg(target_os = "linux")]
    Crowd(crowd::CrowdArgs),
    /// Try which listeners find each other behind which routers. Linux, root.
    #[cfg(target_os = "linux")]
    Nat(Box<nat::NatArgs>),
    /// Release a new track to many listeners at once, over a narrow uplink. Linux,
    /// root.
    #[cfg(target_os = "linux")]
    Release(Box<release::ReleaseArgs>),
    /// Fetch tracks from a few seeds on slow links, with the server's help and
    /// without. Linux, root.
    #[cfg(target_os = "linux")]
    Swarm(Box<swarm::SwarmArgs>),
    /// Compare the eviction policies of the store on generated plays.
    Policy(policy::PolicyArgs),
    /// Measure a link: one side serves, the other measures.
    #[command(subcommand)]
    Probe(probe::Probe),
}

/// The median of some times, in milliseconds.
#[cfg(target_os = "linux")]
fn median_ms(times: &[std::time::Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
}

/// Runs `cargo xtask lab`; the exit code of `lab link` is that of side B.
///
/// # Errors
///
/// The network cannot be made here, or a command does not start.
pub fn run(lab: &Lab) -> Result<ExitCode> {
    match lab {
        #[cfg(target_os = "linux")]
        Lab::Link(args) => run::run(args),
        #[cfg(target_os = "linux")]
        Lab::Priority(args) => priority::run(args).map(|()| ExitCode::SUCCESS),
        #[cfg(target_os = "linux")]
        Lab::Crowd(args) => crowd::run(args).map(|()| ExitCode::SUCCESS),
        #[cfg(target_os = "linux")]
        Lab::Nat(args) => nat::run(args),
        #[cfg(target_os = "linux")]
        Lab::Release(args) => release::run(args),
        #[cfg(target_os = "linux")]
        Lab::Swarm(args) => swarm::run(args),
        Lab::Policy(args) => policy::run(args).map(|()| ExitCode::SUCCESS),
        Lab::Probe(probe) => probe::run(probe).map(|()| ExitCode::SUCCESS),
    }
}
