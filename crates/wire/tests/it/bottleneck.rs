//! What plays now is answered as if alone, though an offline copy fills the
//! link.

use std::time::Duration;

use antiphon_types::{Class, Timestamp};
use antiphon_wire::StreamId;
use antiphon_wire::mux::{ConnectionError, Event, Limits, Mux};
use bytes::Bytes;

use crate::link::{Link, Shape, drain};

const REPLY_BYTES: usize = 16 * 1024;
const BLOCK_BYTES: usize = 16 * 1024;

fn shape(kbps: u64, round_trip_ms: u64) -> Shape {
    Shape {
        bits_per_second: kbps * 1_000,
        round_trip: Duration::from_millis(round_trip_ms),
        queue: Duration::from_millis(100),
    }
}

/// A listener who clicks now and then, and perhaps copies meanwhile.
struct Listener {
    link: Link,
    copy: Option<StreamId>,
    copied: usize,
    request: Option<(StreamId, Timestamp)>,
    next_click: Timestamp,
    clicks: Vec<Duration>,
}

impl Listener {
    fn new(shape: Shape, limits: &Limits, copies: bool) -> Self {
        let mut link = Link::new(shape, limits);
        let copy = copies.then(|| link.client.open(Class::Offline).unwrap());
        let next_click = Timestamp::from_millis(3_000);
        Self { link, copy, copied: 0, request: None, next_click, clicks: Vec::new() }
    }

    fn run(&mut self, until: Timestamp) {
        while self.link.now < until {
            self.serve();
            self.listen();
            let next = if self.request.is_none() { self.next_click } else { until };
            self.link.step(next.min(until));
            if self.link.server.closed().is_some() {
                return;
            }
        }
    }

    fn serve(&mut self) {
        drain(&mut self.link.server, |mux, event| {
            if let Event::Finished { id } = event {
                mux.write(id, Bytes::from(vec![1; REPLY_BYTES])).unwrap();
                mux.finish(id);
            }
        });
        if let Some(copy) = self.copy {
            while self.link.server.write(copy, Bytes::from(vec![0; BLOCK_BYTES])).is_ok() {}
        }
    }

    fn listen(&mut self) {
        let now = self.link.now;
        let mut finished = None;
        let mut replied = 0;
        let copy = self.copy;
        drain(&mut self.link.client, |_, event| match event {
            Event::Finished { id } => finished = Some(id),
            Event::Data { id, data } if Some(id) != copy => replied += data.len(),
            Event::Data { data, .. } => self.copied += data.len(),
            _ => {}
        });
        if let Some((id, at)) = self.request
            && finished == Some(id)
        {
            self.clicks.push(now.saturating_since(at));
            self.request = None;
            // At no fixed place in the rounds of the copy.
            let pause = 700 + 37 * (self.clicks.len() as u64 * 7 % 13);
            self.next_click = now + Duration::from_millis(pause);
        }
        if self.request.is_none() && now >= self.next_click {
            self.request = Some((ask(&mut self.link.client), now));
        }
    }

    fn median(&mut self) -> Duration {
        self.clicks.sort_unstable();
        assert!(self.clicks.len() >= 20, "{} clicks", self.clicks.len());
        self.clicks[self.clicks.len() / 2]
    }
}

fn ask(mux: &mut Mux) -> StreamId {
    let id = mux.open(Class::Now).unwrap();
    mux.write(id, Bytes::from_static(&[0; 64])).unwrap();
    mux.finish(id);
    id
}

/// Windows that may grow beyond what the fastest of these links needs.
fn limits() -> Limits {
    Limits {
        max_stream_window_bytes: 8 << 20,
        max_connection_window_bytes: 16 << 20,
        ..Limits::default()
    }
}

/// How much longer a click takes beside a copy, and the copy's share of what
/// the clicks leave of the link.
fn beside_a_copy(shape: Shape, limits: &Limits) -> (f64, f64) {
    let time = Duration::from_secs(40);
    let mut alone = Listener::new(shape, limits, false);
    alone.run(Timestamp::ZERO + time);
    let mut busy = Listener::new(shape, limits, true);
    busy.run(Timestamp::ZERO + time);
    let rest = shape.bytes_in(time) - (busy.clicks.len() * REPLY_BYTES) as u64;
    let slower = busy.median().as_secs_f64() / alone.median().as_secs_f64();
    (slower, busy.copied as f64 / rest as f64)
}

#[test]
fn a_click_beside_a_copy_is_answered_as_if_alone() {
    for (kbps, round_trip_ms) in [
        (500, 10),
        (500, 50),
        (500, 200),
        (2_000, 10),
        (2_000, 50),
        (2_000, 200),
        (10_000, 20),
        (10_000, 100),
        (50_000, 10),
        (50_000, 50),
        (50_000, 200),
    ] {
        let (slower, share) = beside_a_copy(shape(kbps, round_trip_ms), &limits());
        assert!(slower <= 1.5, "{kbps} kbit/s, {round_trip_ms} ms: {slower:.2} times as long");
        assert!(share > 0.7, "{kbps} kbit/s, {round_trip_ms} ms: {share:.2} of the rest");
    }
}

#[test]
fn m8_no_click_beside_a_greedy_copy_waits_for_more_than_50_ms() {
    let shape = shape(2_000, 50);
    let mut alone = Listener::new(shape, &limits(), false);
    alone.run(Timestamp::from_millis(40_000));
    let mut busy = Listener::new(shape, &limits(), true);
    busy.run(Timestamp::from_millis(40_000));
    let worst = busy.clicks.iter().max().unwrap();
    let waited = worst.saturating_sub(alone.median());
    assert!(waited <= Duration::from_millis(50), "{waited:?}");
}

#[test]
fn a_copy_that_is_starved_on_a_slow_link_still_moves() {
    let shape = shape(2_000, 50);
    let mut link = Link::new(shape, &limits());
    let playing = link.client.open(Class::Now).unwrap();
    let copy = link.client.open(Class::Offline).unwrap();
    let (mut played, mut copied) = (0, 0);
    let end = Timestamp::from_millis(60_000);
    while link.now < end {
        for id in [playing, copy] {
            while link.server.write(id, Bytes::from(vec![0; BLOCK_BYTES])).is_ok() {}
        }
        link.step(end);
        drain(&mut link.server, |_, _| {});
        drain(&mut link.client, |_, event| match event {
            Event::Data { id, data } if id == copy => copied += data.len(),
            Event::Data { data, .. } => played += data.len(),
            _ => {}
        });
    }
    let share = copied as f64 / (played + copied) as f64;
    // A sixteenth, less what its least window does not let pass.
    assert!((0.02..0.08).contains(&share), "{share:.3} of the link");
}

#[test]
fn without_the_window_a_click_waits_behind_the_copy() {
    let limits = Limits { background_delay: None, ..limits() };
    let (slower, _) = beside_a_copy(shape(2_000, 50), &limits);
    assert!(slower > 3.0, "the link of these tests shows nothing: {slower:.2} times");
}

#[test]
fn a_long_copy_does_not_build_a_queue_that_it_takes_for_the_path() {
    let mut listener = Listener::new(shape(2_000, 50), &limits(), true);
    listener.run(Timestamp::from_millis(600_000));
    listener.clicks.drain(..listener.clicks.len() - 40);
    let median = listener.median();
    assert!(median <= Duration::from_millis(175), "{median:?}");
}

/// What a copy gets between two times, as a share of the link.
fn share(listener: &mut Listener, shape: Shape, from: u64, to: u64) -> f64 {
    listener.run(Timestamp::from_millis(from));
    let before = listener.copied;
    listener.run(Timestamp::from_millis(to));
    let copied = (listener.copied - before) as f64;
    copied / shape.bytes_in(Duration::from_millis(to - from)) as f64
}

#[test]
fn a_copy_alone_fills_a_fast_link_at_once() {
    let shape = shape(1_000_000, 1);
    let mut listener = Listener::new(shape, &limits(), true);
    listener.next_click = Timestamp::MAX;
    let first = share(&mut listener, shape, 0, 100);
    assert!(first > 0.7, "{first:.2} of the link in the first 100 ms");
    let later = share(&mut listener, shape, 100, 1_000);
    assert!(later > 0.9, "{later:.2} of the link");
}

#[test]
fn windows_of_the_default_size_grow_to_what_a_long_link_holds() {
    let shape = shape(50_000, 100);
    let mut listener = Listener::new(shape, &Limits::default(), true);
    listener.next_click = Timestamp::MAX;
    let grown = share(&mut listener, shape, 3_000, 10_000);
    assert!(grown > 0.9, "{grown:.2} of the link");

    let fixed =
        Limits { max_stream_window_bytes: 0, max_connection_window_bytes: 0, ..Limits::default() };
    let mut listener = Listener::new(shape, &fixed, true);
    listener.next_click = Timestamp::MAX;
    let share = share(&mut listener, shape, 3_000, 10_000);
    assert!(share < 0.5, "{share:.2} of the link with windows that stay");
}

#[test]
fn a_route_that_grows_longer_or_shorter_is_found() {
    let (near, far) = (shape(10_000, 20), shape(10_000, 150));
    let mut listener = Listener::new(near, &limits(), true);
    listener.next_click = Timestamp::MAX;
    assert!(share(&mut listener, near, 2_000, 20_000) > 0.8);
    listener.link.reroute(far);
    let soon = share(&mut listener, far, 25_000, 80_000);
    assert!(soon > 0.8, "{soon:.2} of the longer way");
    listener.link.reroute(near);
    let back = share(&mut listener, near, 82_000, 100_000);
    assert!(back > 0.8, "{back:.2} of the shorter way");
    // The queue of the longer way looks like a longer way until it is probed.
    listener.next_click = Timestamp::from_millis(115_000);
    listener.run(Timestamp::from_millis(140_000));
    assert!(listener.median() < Duration::from_millis(50), "{:?}", listener.median());
}

#[test]
fn a_rate_that_falls_is_found() {
    let (fast, slow) = (shape(10_000, 50), shape(1_000, 50));
    let mut listener = Listener::new(fast, &limits(), true);
    listener.run(Timestamp::from_millis(20_000));
    listener.link.reroute(slow);
    listener.run(Timestamp::from_millis(25_000));
    listener.clicks.clear();
    listener.run(Timestamp::from_millis(60_000));
    // Alone it takes 190 ms.
    assert!(listener.median() < Duration::from_millis(285), "{:?}", listener.median());
}

#[test]
fn a_copy_that_begins_again_finds_its_rate_again() {
    let shape = shape(10_000, 100);
    let mut listener = Listener::new(shape, &limits(), true);
    listener.next_click = Timestamp::MAX;
    listener.run(Timestamp::from_millis(10_000));
    let copy = listener.copy.take();
    listener.run(Timestamp::from_millis(100_000));
    listener.copy = copy;
    listener.listen();
    let share = share(&mut listener, shape, 101_000, 110_000);
    assert!(share > 0.7, "{share:.2} of the link");
}

#[test]
fn what_plays_now_never_waits_for_answers_to_pings() {
    let mut listener = Listener::new(shape(2_000, 50), &limits(), true);
    listener.link.mute_pongs = true;
    listener.run(Timestamp::from_millis(40_000));
    assert_eq!(listener.copied, 0, "nothing is known of the path");
    assert!(listener.median() < Duration::from_millis(150));
}

#[test]
fn a_side_that_answers_no_pings_ends_in_bounded_time() {
    let mut listener = Listener::new(shape(2_000, 50), &limits(), true);
    listener.run(Timestamp::from_millis(10_000));
    assert!(listener.copied > 500_000);
    // It is heard, and never answers.
    listener.link.mute_pongs = true;
    listener.run(Timestamp::from_millis(60_000));
    assert_eq!(listener.link.server.closed(), Some(ConnectionError::PingUnanswered));
    assert!(listener.link.now <= Timestamp::from_millis(55_100));
}
