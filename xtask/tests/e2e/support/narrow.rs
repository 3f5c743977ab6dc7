//! A narrow road to a listener: what she sends passes at a given rate, so that
//! something is still under way when a test strikes.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::wait_for;

/// Forwards connections; from the inside to the outside at a given rate.
///
/// Other listeners are told the address at which the server sees a listener
/// and the port on which she listens. She listens at 127.0.0.2, so they come to
/// the same port of 127.0.0.1, which is this.
pub(crate) struct Narrow {
    outside: SocketAddr,
    inside: SocketAddr,
    passed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Narrow {
    /// Lets so many bytes a second through.
    pub(crate) fn new(bytes_per_second: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let outside = listener.local_addr().unwrap();
        let inside = SocketAddr::from(([127, 0, 0, 2], outside.port()));
        let (passed, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counter, ended) = (Arc::clone(&passed), Arc::clone(&over));
        thread::spawn(move || {
            for from in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(from) = from else { continue };
                let Ok(to) = TcpStream::connect(inside) else { continue };
                let (back, forth) = (to.try_clone().unwrap(), from.try_clone().unwrap());
                let counter = Arc::clone(&counter);
                thread::spawn(move || carry(from, to, None, &AtomicU64::new(0)));
                thread::spawn(move || carry(back, forth, Some(bytes_per_second), &counter));
            }
        });
        Self { outside, inside, passed, over }
    }

    /// Where the listener listens.
    pub(crate) fn inside(&self) -> SocketAddr {
        self.inside
    }

    /// How much she has sent.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Waits until she has sent so much.
    pub(crate) fn wait_for_bytes(&self, bytes: u64) {
        let passed = || (self.passed() >= bytes).then_some(());
        wait_for("a listener to serve another", passed);
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.outside);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, rate: Option<u32>, passed: &AtomicU64) {
    // When one side is gone, so is the other.
    let _ = carry_on(&mut from, &mut to, rate, passed);
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn carry_on(
    from: &mut TcpStream,
    to: &mut TcpStream,
    rate: Option<u32>,
    passed: &AtomicU64,
) -> io::Result<()> {
    let mut piece = [0; 4096];
    let mut free_at = Instant::now();
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        if let Some(rate) = rate {
            let takes = Duration::from_secs_f64(length as f64 / f64::from(rate));
            free_at = free_at.max(Instant::now()) + takes;
            thread::sleep(free_at.saturating_duration_since(Instant::now()));
        }
        to.write_all(&piece[..length])?;
        passed.fetch_add(length as u64, Ordering::Relaxed);
    }
}
