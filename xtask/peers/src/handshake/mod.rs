//! Handshakes in memory: both sides in one thread, from keys that are made
//! once to the ciphers of a session, with fresh ephemeral keys each time.

mod ours;
mod rustls;
mod snow;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::times::Times;
use crate::{Result, machine};

/// Arguments of `bench-peers handshake`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose handshake
    #[arg(long)]
    backend: Backend,
    /// Which; TLS has but one, mutual like XX
    #[arg(long, default_value = "xx")]
    pattern: Pattern,
    /// For how long, after a tenth of it to warm up
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Backend {
    Ours,
    Snow,
    Rustls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pattern {
    Ik,
    Xx,
}

impl Pattern {
    /// What both Noise implementations are asked for.
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::Ik => "Noise_IK_25519_ChaChaPoly_BLAKE2s",
            Self::Xx => "Noise_XX_25519_ChaChaPoly_BLAKE2s",
        }
    }
}

/// Room for the longest message of a Noise handshake without payload.
pub(crate) const MESSAGE_ROOM_BYTES: usize = 256;

/// What was measured; the CPU time is that of the measured part.
#[derive(Debug, Serialize)]
struct Measured {
    handshakes: usize,
    seconds: f64,
    cpu_seconds: Option<f64>,
    median_us: f64,
    p99_us: f64,
}

/// Runs `bench-peers handshake`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let time = Duration::try_from_secs_f64(args.seconds)?;
    let measured = match args.backend {
        Backend::Ours => measure(time, ours::handshakes(args.pattern)?),
        Backend::Snow => measure(time, snow::handshakes(args.pattern)?),
        Backend::Rustls => measure(time, rustls::handshakes()?),
    }?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn measure(time: Duration, mut handshake: impl FnMut() -> Result<()>) -> Result<Measured> {
    repeat(time / 10, &mut handshake)?;
    let (start, cpu_before) = (Instant::now(), machine::cpu_time());
    let mut times = repeat(time, &mut handshake)?;
    let (seconds, cpu_after) = (start.elapsed().as_secs_f64(), machine::cpu_time());
    let cpu = cpu_after.zip(cpu_before).map(|(after, before)| (after - before).as_secs_f64());
    let (median_us, p99_us) = times.median_and_p99_us();
    Ok(Measured { handshakes: times.len(), seconds, cpu_seconds: cpu, median_us, p99_us })
}

fn repeat(time: Duration, handshake: &mut impl FnMut() -> Result<()>) -> Result<Times> {
    let mut times = Times::default();
    let end = Instant::now() + time;
    let mut now = Instant::now();
    while now < end {
        handshake()?;
        let done = Instant::now();
        times.push(done - now);
        now = done;
    }
    Ok(times)
}
