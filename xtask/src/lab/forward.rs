//! The loop that carries packets from one TUN device to the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_timerslack;

use super::capture::Capture;
use super::shape::{Direction, Fate, Shape};

/// Packets read from one device before the other has its turn.
const BATCH: usize = 64;
/// The longest packet that a TUN device gives.
const LONGEST_PACKET: usize = 65_535;
/// What may be under way in both directions together, so that a link with a
/// long delay and no rate does not take all memory.
const MOST_BYTES_UNDER_WAY: usize = 256 << 20;

/// What became of the packets of one direction so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came out.
    pub packets: u64,
    /// Bytes of the IP packets that came out.
    pub bytes: u64,
    /// What of them stands behind the headers of TCP and UDP.
    pub payload: u64,
    /// Packets lost on their way, as the shape asks for.
    pub lost: u64,
    /// Packets that found the queue full.
    pub dropped: u64,
}

/// [`Counters`] that the loop writes and its owner reads.
#[derive(Debug, Default)]
pub(super) struct SharedCounters {
    packets: AtomicU64,
    bytes: AtomicU64,
    payload: AtomicU64,
    lost: AtomicU64,
    dropped: AtomicU64,
}

impl SharedCounters {
    pub(super) fn read(&self) -> Counters {
        Counters {
            packets: self.packets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            payload: self.payload.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

/// What the owner of the loop may want of it.
pub(super) enum Command {
    /// The direction out of this device behaves otherwise from now on.
    Reshape(usize, Shape),
}

/// One packet under way. The heap gives out the one that arrives first, and
/// among equals the one that was sent first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    arrival: Duration,
    number: u64,
    to: usize,
    packet: Vec<u8>,
}

/// Carries packets between two devices until its owner hangs up.
pub(super) struct Forwarder {
    /// Device 0 is side A, device 1 is side B.
    devices: [File; 2],
    /// The direction out of each device.
    directions: [Direction; 2],
    counters: Arc<[SharedCounters; 2]>,
    capture: Option<Capture>,
    commands: mpsc::Receiver<Command>,
    /// A byte comes for each command; the end comes when the owner hangs up.
    bell: UnixStream,
    start: Instant,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    bytes_under_way: usize,
    sent: u64,
    spare: Vec<Vec<u8>>,
    scratch: Vec<u8>,
}

impl Forwarder {
    pub(super) fn new(
        devices: [File; 2],
        directions: [Direction; 2],
        counters: Arc<[SharedCounters; 2]>,
        capture: Option<Capture>,
        commands: mpsc::Receiver<Command>,
        bell: UnixStream,
    ) -> Self {
        Self {
            devices,
            directions,
            counters,
            capture,
            commands,
            bell,
            start: Instant::now(),
            under_way: BinaryHeap::new(),
            bytes_under_way: 0,
            sent: 0,
            spare: Vec::new(),
            scratch: vec![0; LONGEST_PACKET],
        }
    }

    /// Runs until the owner hangs up.
    ///
    /// # Errors
    ///
    /// A device or the capture file fails.
    pub(super) fn run(mut self) -> io::Result<()> {
        self.bell.set_nonblocking(true)?;
        // By default the kernel wakes a thread up to 50 us late to save power.
        set_timerslack(1)?;
        loop {
            let ready = self.wait()?;
            if ready.bell && !self.obey()? {
                break;
            }
            for (from, _) in ready.devices.iter().enumerate().filter(|(_, ready)| **ready) {
                self.take_from(from)?;
            }
            self.deliver_due()?;
        }
        self.capture.as_mut().map_or(Ok(()), Capture::flush)
    }

    /// Sleeps until a packet or a command comes or a packet is due.
    fn wait(&self) -> io::Result<Ready> {
        let due = self.under_way.peek().map(|Reverse(first)| first.arrival);
        let timeout = due.map(|due| due.saturating_sub(self.start.elapsed()).into());
        let [a, b] = &self.devices;
        let interest = PollFlags::POLLIN;
        let mut waited = [
            PollFd::new(a.as_fd(), interest),
            PollFd::new(b.as_fd(), interest),
            PollFd::new(self.bell.as_fd(), interest),
        ];
        match ppoll(&mut waited, timeout, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [a, b, bell] = waited.map(|fd| fd.any().unwrap_or(false));
        Ok(Ready { devices: [a, b], bell })
    }

    /// Does what the owner wants; false once the owner has hung up.
    fn obey(&mut self) -> io::Result<bool> {
        loop {
            match self.bell.read(&mut self.scratch) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        for command in self.commands.try_iter() {
            match command {
                Command::Reshape(from, shape) => self.directions[from].reshape(shape),
            }
        }
        Ok(true)
    }

    /// Takes the packets that wait in a device.
    fn take_from(&mut self, from: usize) -> io::Result<()> {
        for _ in 0..BATCH {
            let length = match self.devices[from].read(&mut self.scratch) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.send(from, length);
        }
        Ok(())
    }

    /// Decides what becomes of the packet of `length` bytes in the scratch.
    fn send(&mut self, from: usize, length: usize) {
        let counters = &self.counters[from];
        let arrival = match self.directions[from].send(self.start.elapsed(), length) {
            Fate::Arrives(at) if self.bytes_under_way + length <= MOST_BYTES_UNDER_WAY => at,
            Fate::Arrives(_) | Fate::Dropped => {
                counters.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Fate::Lost => {
                counters.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        let mut packet = self.spare.pop().unwrap_or_default();
        packet.clear();
        packet.extend_from_slice(&self.scratch[..length]);
        self.bytes_under_way += length;
        self.sent += 1;
        let under_way = UnderWay { arrival, number: self.sent, to: 1 - from, packet };
        self.under_way.push(Reverse(under_way));
    }

    /// Hands over every packet whose time has come.
    fn deliver_due(&mut self) -> io::Result<()> {
        while let Some(Reverse(first)) = self.under_way.peek()
            && first.arrival <= self.start.elapsed()
        {
            let Some(Reverse(first)) = self.under_way.pop() else { break };
            self.bytes_under_way -= first.packet.len();
            if let Some(capture) = &mut self.capture {
                capture.add(&first.packet)?;
            }
            // What the receiving kernel has no room for is lost, as on any link.
            if let Ok(length) = self.devices[first.to].write(&first.packet) {
                let counters = &self.counters[1 - first.to];
                counters.packets.fetch_add(1, Ordering::Relaxed);
                counters.bytes.fetch_add(length as u64, Ordering::Relaxed);
                counters.payload.fetch_add(payload(&first.packet), Ordering::Relaxed);
            }
            if self.spare.len() < BATCH {
                self.spare.push(first.packet);
            }
        }
        Ok(())
    }
}

/// Bytes behind the header of TCP or UDP; 0 for anything else, and for IPv6 with
/// headers in between.
fn payload(packet: &[u8]) -> u64 {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let nibble =
        |at: usize, shift: u8| packet.get(at).map_or(0, |byte| usize::from(byte >> shift & 15));
    let (protocol, ip) = match nibble(0, 4) {
        4 => (packet.get(9), nibble(0, 0) * 4),
        _ => (packet.get(6), 40),
    };
    let header = match protocol {
        Some(&TCP) => ip + nibble(ip + 12, 4) * 4,
        Some(&UDP) => ip + 8,
        _ => packet.len(),
    };
    packet.len().saturating_sub(header) as u64
}

/// What woke the loop.
struct Ready {
    devices: [bool; 2],
    bell: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_what_stands_behind_the_headers() {
        let mut tcp = vec![0; 20 + 32 + 100];
        (tcp[0], tcp[9], tcp[20 + 12]) = (0x45, 6, 0x80);
        assert_eq!(payload(&tcp), 100);
        let mut udp = vec![0; 40 + 8 + 7];
        (udp[0], udp[6]) = (0x60, 17);
        assert_eq!(payload(&udp), 7);
        assert_eq!(payload(&[0x45, 0, 0]), 0, "cut off");
        assert_eq!(payload(&[]), 0);
    }
}
