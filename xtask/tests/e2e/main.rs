//! The main job from end to end: the real programs, encrypted sockets, music
//! made for the purpose, and processes killed in the middle of it.
//!
//! Each test has a server, listeners and folders of its own; all of it is gone
//! when the test ends, however it ends. The songs are encoded once for all.
//! Tests wait until what they wait for can be seen from outside, or give up with
//! the programs' own words. Two let time pass: a link that is narrow for half a
//! minute, and a seek some time after the start.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

mod cache;
#[cfg(target_os = "linux")]
mod crowd;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod hostile;
mod ingest;
#[cfg(target_os = "linux")]
mod introduction;
#[cfg(target_os = "linux")]
mod lan;
#[cfg(target_os = "linux")]
mod lan_presence;
#[cfg(target_os = "linux")]
mod latency;
#[cfg(target_os = "linux")]
mod lifecycle;
mod login;
#[cfg(target_os = "linux")]
mod loris;
mod loss;
mod loudness;
#[cfg(target_os = "linux")]
mod priority;
#[cfg(target_os = "linux")]
mod pulse;
mod python;
mod replay;
mod secrecy;
#[cfg(target_os = "linux")]
mod seek;
#[cfg(target_os = "linux")]
mod shared_index;
mod sound;
#[cfg(target_os = "linux")]
mod squeeze;
mod tampering;
