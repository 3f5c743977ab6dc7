//! Two multiplexers with a slow link between them, on a virtual clock.
//!
//! Each way has a socket buffer, which the driver keeps filled, a router's
//! queue, a rate and a delay. Nothing is lost and all is in order, as TCP makes
//! it; so buffer and queue are one row of bytes that leaves at the rate.

use std::collections::VecDeque;
use std::time::Duration;

use antiphon_types::Timestamp;
use antiphon_wire::frame::Frame;
use antiphon_wire::mux::{Event, Limits, Mux, Role};
use antiphon_wire::record::{MAX_PLAINTEXT_BYTES, RECORD_HEADER_BYTES, TAG_BYTES};
use bytes::{Bytes, BytesMut};

/// What the driver lets the kernel hold unsent.
const SOCKET_BYTES: u64 = 64 * 1024;

/// Headers of TCP and IP for each 1448 bytes.
const PACKET_BYTES: u64 = 1_448;
const PACKET_OVERHEAD: u64 = 52;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) bits_per_second: u64,
    pub(crate) round_trip: Duration,
    /// What the router's queue holds, as a time.
    pub(crate) queue: Duration,
}

impl Shape {
    pub(crate) fn bytes_in(&self, time: Duration) -> u64 {
        self.bits_per_second * micros(time) / 8_000_000
    }
}

/// One direction.
#[derive(Debug)]
struct Way {
    shape: Shape,
    /// When all that was sent has left.
    free_at: Timestamp,
    under_way: VecDeque<(Timestamp, Bytes)>,
}

impl Way {
    fn new(shape: Shape) -> Self {
        Self { shape, free_at: Timestamp::ZERO, under_way: VecDeque::new() }
    }

    /// When the socket takes the next record.
    fn writable_at(&self) -> Timestamp {
        let held = SOCKET_BYTES * 8_000_000 / self.shape.bits_per_second;
        self.free_at.saturating_sub(self.shape.queue + Duration::from_micros(held))
    }

    fn send(&mut self, now: Timestamp, plaintext: Bytes) {
        let record = (RECORD_HEADER_BYTES + plaintext.len() + TAG_BYTES) as u64;
        let bytes = record + record.div_ceil(PACKET_BYTES) * PACKET_OVERHEAD;
        let takes = Duration::from_micros(bytes * 8_000_000 / self.shape.bits_per_second);
        self.free_at = self.free_at.max(now) + takes;
        self.under_way.push_back((self.free_at + self.shape.round_trip / 2, plaintext));
    }
}

/// Two ends and the link; what to do with events is the caller's.
pub(crate) struct Link {
    pub(crate) now: Timestamp,
    pub(crate) client: Mux,
    pub(crate) server: Mux,
    up: Way,
    down: Way,
    /// Whether the client's answers to pings are lost, and nothing else.
    pub(crate) mute_pongs: bool,
}

impl Link {
    pub(crate) fn new(shape: Shape, limits: &Limits) -> Self {
        let now = Timestamp::ZERO;
        let mut link = Self {
            now,
            client: Mux::new(Role::Initiator, limits.clone(), now),
            server: Mux::new(Role::Responder, limits.clone(), now),
            up: Way::new(shape),
            down: Way::new(shape),
            mute_pongs: false,
        };
        // As the driver does once the handshake is done.
        link.client.ping(now);
        link.server.ping(now);
        link
    }

    /// The way becomes another.
    pub(crate) fn reroute(&mut self, shape: Shape) {
        self.up.shape = shape;
        self.down.shape = shape;
    }

    /// Fills the sockets, then lets time pass until something comes, or a
    /// socket takes more, but not beyond `until`.
    pub(crate) fn step(&mut self, until: Timestamp) {
        let mute = self.mute_pongs;
        let up = pump(self.now, &mut self.client, &mut self.up, mute);
        let down = pump(self.now, &mut self.server, &mut self.down, false);
        let mut next = until;
        for (way, blocked) in [(&self.up, up), (&self.down, down)] {
            let arrival = way.under_way.front().map_or(Timestamp::MAX, |(at, _)| *at);
            let writable = if blocked { way.writable_at() } else { Timestamp::MAX };
            next = next.min(arrival).min(writable.max(self.now + Duration::from_micros(1)));
        }
        for mux in [&self.client, &self.server] {
            next = next.min(mux.poll_timeout().unwrap_or(Timestamp::MAX));
        }
        self.now = self.now.max(next);
        arrive(self.now, &mut self.up, &mut self.server);
        arrive(self.now, &mut self.down, &mut self.client);
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
    }
}

/// Sends while the socket takes something; true if it is full.
fn pump(now: Timestamp, from: &mut Mux, way: &mut Way, mute_pongs: bool) -> bool {
    loop {
        if way.writable_at() > now {
            return true;
        }
        let mut record = BytesMut::new();
        if from.poll_record(now, &mut record, MAX_PLAINTEXT_BYTES) == 0 {
            return false;
        }
        let mut plaintext = record.freeze();
        if mute_pongs {
            plaintext = without_pongs(plaintext);
        }
        way.send(now, plaintext);
    }
}

fn without_pongs(mut plaintext: Bytes) -> Bytes {
    let mut out = BytesMut::new();
    while !plaintext.is_empty() {
        match Frame::decode(&mut plaintext).unwrap() {
            Frame::Pong { .. } => {}
            frame => frame.encode(&mut out),
        }
    }
    out.freeze()
}

fn arrive(now: Timestamp, way: &mut Way, to: &mut Mux) {
    while way.under_way.front().is_some_and(|(at, _)| *at <= now)
        && let Some((_, record)) = way.under_way.pop_front()
    {
        // A connection that has failed takes no more.
        let _ = to.handle_record(now, record);
    }
}

/// Consumes what has come; says how much, and hands on everything else.
pub(crate) fn drain(mux: &mut Mux, mut other: impl FnMut(&mut Mux, Event)) -> usize {
    let mut bytes = 0;
    while let Some(event) = mux.poll_event() {
        if let Event::Data { id, data } = &event {
            bytes += data.len();
            mux.consume(*id, data.len());
        }
        other(mux, event);
    }
    bytes
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}
