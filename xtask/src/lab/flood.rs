//! Strangers who knock and do not come in.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections held open by the flood: it is a patient one.
const HELD: usize = 2_000;
/// How many are made between two looks at the clock.
const BURST: u32 = 10;

/// A flood of half-open handshakes, from a thread of its own.
///
/// In turn: a connection that says nothing, one that begins a greeting and does
/// not go on, and one whose greeting is whole, of the right length, and random.
#[derive(Debug)]
pub(super) struct Flood {
    over: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    begun: Instant,
    thread: JoinHandle<()>,
}

impl Flood {
    /// `per_second` connections to `target`, until stopped.
    pub(super) fn start(target: SocketAddr, per_second: u32) -> Self {
        let (over, made) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (ends, counts) = (Arc::clone(&over), Arc::clone(&made));
        let thread = std::thread::spawn(move || flood(target, per_second.max(1), &ends, &counts));
        Self { over, made, begun: Instant::now(), thread }
    }

    /// Ends it; how many connections it made a second.
    pub(super) fn stop(self) -> f64 {
        self.over.store(true, Ordering::Relaxed);
        let seconds = self.begun.elapsed().as_secs_f64();
        let _ = self.thread.join();
        self.made.load(Ordering::Relaxed) as f64 / seconds
    }
}

fn flood(target: SocketAddr, per_second: u32, over: &AtomicBool, made: &AtomicU64) {
    let mut held = VecDeque::new();
    let begun = Instant::now();
    let mut count = 0_u32;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            if let Ok(stream) = knock(target, count) {
                held.push_back(stream);
                made.fetch_add(1, Ordering::Relaxed);
            }
            count = count.wrapping_add(1);
            if held.len() > HELD {
                held.pop_front();
            }
        }
        let due = Duration::from_secs_f64(f64::from(count) / f64::from(per_second));
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
}

fn knock(target: SocketAddr, count: u32) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(target)?;
    match count % 3 {
        0 => {}
        1 => stream.write_all(&[1, 0, 200, 7])?,
        _ => {
            let mut greeting = vec![1, 0, 200];
            greeting.extend((0..200).map(|byte: u32| byte.wrapping_mul(count).to_le_bytes()[0]));
            stream.write_all(&greeting)?;
        }
    }
    Ok(stream)
}
