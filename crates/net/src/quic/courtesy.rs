//! How much may be under way on a QUIC connection, so that what plays now never
//! waits behind a copy in somebody's queue.
//!
//! quinn sends streams by their priority, but what has left stands in the
//! buffers of the path, and CUBIC fills those until they overflow. So its window
//! is bounded by another: what the path holds with a queue of a few milliseconds
//! (the update of FAST TCP, Wei et al. 2006, with the aim of LEDBAT, RFC 6817),
//! as the multiplexer does on TCP. Urgent data goes beyond it as far as CUBIC
//! lets it: it yields to nobody.

use std::any::Any;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory, CubicConfig};
use quinn_proto::RttEstimator;

/// Urgent bytes of one connection that were written and have not been made up
/// for by acknowledgements.
#[derive(Debug, Clone, Default)]
pub(super) struct Urgent(Arc<AtomicU64>);

impl Urgent {
    pub(super) fn wrote(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn acknowledged(&self, bytes: u64) {
        let less = |left: u64| Some(left.saturating_sub(bytes));
        // The closure never says `None`, so this never fails.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Makes the controllers of one connection, a new one for each path.
#[derive(Debug)]
pub(super) struct Courteous {
    pub(super) urgent: Urgent,
}

impl ControllerFactory for Courteous {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = Arc::new(CubicConfig::default()).build(now, current_mtu);
        let window = inner.window();
        let (urgent, mtu) = (self.urgent.clone(), current_mtu);
        Box::new(Bounded { inner, urgent, bound: Bound::new(now, window), mtu })
    }
}

/// CUBIC within a bound.
struct Bounded {
    inner: Box<dyn Controller>,
    urgent: Urgent,
    bound: Bound,
    mtu: u16,
}

impl Controller for Bounded {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
        self.urgent.acknowledged(bytes);
        let within = self.least()..=2 * self.inner.window();
        self.bound.acknowledged(now, sent, !app_limited, within);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window().min(self.bound.window(self.least()) + self.urgent.bytes())
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            urgent: self.urgent.clone(),
            bound: self.bound,
            mtu: self.mtu,
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Bounded {
    /// The least window that keeps packets and acknowledgements moving.
    fn least(&self) -> u64 {
        4 * u64::from(self.mtu)
    }
}

/// The delay aimed at beyond the shortest round trip: a quarter of it, within
/// this.
const MIN_AIM: Duration = Duration::from_millis(8);
const MAX_AIM: Duration = Duration::from_millis(20);

/// Age at which the shortest round trip is measured again, without our queue.
const BASE_LIFETIME: Duration = Duration::from_secs(30);

/// Round trips with the least window, to do so.
const PROBE_ROUNDS: u8 = 2;

/// Rounds with the least window that were still too long: then the queue is not
/// ours, and their length is the new base.
const MAX_ROUNDS_AT_LEAST: u8 = 4;

/// Time after which a bound that nobody has used says nothing of the path.
const MAX_REST: Duration = Duration::from_secs(1);

/// The same in round trips, where they are long.
const MAX_REST_ROUNDS: u32 = 4;

/// What the path holds with a short queue.
#[derive(Debug, Clone, Copy)]
struct Bound {
    window: u64,
    initial: u64,
    slow_start: bool,
    base: Option<Duration>,
    measured: Instant,
    /// Rounds left with the least window.
    probe: u8,
    rounds_at_least: u8,
    /// The shortest round trip of this round, which ends when something is
    /// acknowledged that was sent after it began.
    shortest: Option<Duration>,
    begun: Instant,
    /// Whether the window was in the way.
    used: bool,
    /// When it last was in the way for a round.
    last_used: Instant,
}

impl Bound {
    fn new(now: Instant, window: u64) -> Self {
        Self {
            window,
            initial: window,
            slow_start: true,
            base: None,
            measured: now,
            probe: 0,
            rounds_at_least: 0,
            shortest: None,
            begun: now,
            used: false,
            last_used: now,
        }
    }

    fn window(&self, least: u64) -> u64 {
        if self.probe > 0 { least } else { self.window.max(least) }
    }

    /// Something has arrived. The window stays `within` what keeps packets
    /// moving and what CUBIC is ever likely to want next.
    fn acknowledged(
        &mut self,
        now: Instant,
        sent: Instant,
        used: bool,
        within: RangeInclusive<u64>,
    ) {
        let sample = now.saturating_duration_since(sent);
        self.shortest = Some(self.shortest.map_or(sample, |shortest| shortest.min(sample)));
        self.used |= used;
        if self.base.is_none_or(|base| sample <= base) {
            (self.base, self.measured) = (Some(sample), now);
        }
        if sent >= self.begun {
            self.end_round(now, within);
        }
    }

    fn end_round(&mut self, now: Instant, within: RangeInclusive<u64>) {
        self.begun = now;
        let used = std::mem::take(&mut self.used);
        let (Some(shortest), Some(base)) = (self.shortest.take(), self.base) else { return };
        let rested = now.saturating_duration_since(self.last_used);
        if rested >= MAX_REST.max(base * MAX_REST_ROUNDS) {
            self.slow_start = true;
            self.window = self.window.min(self.initial);
        }
        // Few packets are acknowledged late, for the other side waits for more:
        // such a round tells nothing of a queue.
        if !used {
            return;
        }
        self.last_used = now;
        if self.probe > 0 {
            self.probe -= 1;
            if self.probe == 0 {
                (self.base, self.measured) = (Some(shortest), now);
            }
            return;
        }
        if now.saturating_duration_since(self.measured) >= BASE_LIFETIME {
            self.probe = PROBE_ROUNDS;
        }
        let aim = (base / 4).clamp(MIN_AIM, MAX_AIM);
        self.slow_start &= shortest <= base + aim / 2;
        let fair = scaled(self.window, base + aim, shortest);
        let next = if self.slow_start { self.window * 2 } else { fair.min(self.window * 2) };
        let (least, most) = within.into_inner();
        self.window = next.min(most).max(least);
        let at_least = self.window == least && shortest > base + aim;
        self.rounds_at_least = if at_least { self.rounds_at_least + 1 } else { 0 };
        if self.rounds_at_least > MAX_ROUNDS_AT_LEAST {
            self.rounds_at_least = 0;
            self.slow_start = true;
            (self.base, self.measured) = (Some(shortest), now);
        }
    }
}

/// `bytes` times `up` by `down`.
fn scaled(bytes: u64, up: Duration, down: Duration) -> u64 {
    let scaled = u128::from(bytes) * up.as_micros() / down.as_micros().max(1);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const LEAST: u64 = 5_000;
    const WITHIN: RangeInclusive<u64> = LEAST..=(64 << 20);

    /// A bottleneck of `rate` bytes a millisecond with an endless queue; what
    /// the bound has become after so many rounds.
    fn settled(rate: u64, round_trip: Duration, rounds: u32) -> u64 {
        let mut now = Instant::now();
        let mut bound = Bound::new(now, 14_000);
        for _ in 0..rounds {
            let sent = now;
            let takes = MS * u32::try_from(bound.window(LEAST) / rate).unwrap();
            now += round_trip.max(takes);
            bound.acknowledged(now, sent, true, WITHIN);
        }
        bound.window(LEAST)
    }

    #[test]
    fn it_settles_at_what_the_path_holds_and_a_short_queue() {
        for (rate, round_trip) in [(250, 50 * MS), (1_250, 20 * MS), (125_000, 10 * MS)] {
            let holds = rate * u64::try_from(round_trip.as_millis()).unwrap();
            let window = settled(rate, round_trip, 40);
            let queue_ms = window.saturating_sub(holds) / rate;
            assert!(window >= holds && queue_ms <= 20, "{rate}: {window} of {holds}");
        }
    }

    /// A round of `round_trip`.
    fn round(bound: &mut Bound, now: &mut Instant, round_trip: Duration, used: bool) {
        let sent = *now;
        *now += round_trip;
        bound.acknowledged(*now, sent, used, WITHIN);
    }

    #[test]
    fn rounds_that_do_not_use_it_neither_widen_nor_narrow_it() {
        let mut now = Instant::now();
        let mut bound = Bound::new(now, 14_000);
        round(&mut bound, &mut now, 10 * MS, true);
        assert_eq!(bound.window(LEAST), 28_000);
        // Acknowledged 25 ms late, as a lone packet is.
        for _ in 0..20 {
            round(&mut bound, &mut now, 35 * MS, false);
        }
        assert_eq!(bound.window(LEAST), 28_000);
        round(&mut bound, &mut now, 10 * MS, true);
        assert_eq!(bound.window(LEAST), 56_000, "it grows on as it did");
    }

    #[test]
    fn after_a_rest_it_begins_anew() {
        let mut now = Instant::now();
        let mut bound = Bound::new(now, 14_000);
        for _ in 0..10 {
            round(&mut bound, &mut now, 20 * MS, true);
        }
        assert!(bound.window(LEAST) > 1_000_000);
        for _ in 0..4 {
            now += Duration::from_secs(15);
            round(&mut bound, &mut now, 45 * MS, false);
            assert_eq!(bound.window(LEAST), 14_000);
        }
        assert!(bound.slow_start);
    }

    #[test]
    fn it_stays_near_what_cubic_allows() {
        let mut now = Instant::now();
        let mut bound = Bound::new(now, 14_000);
        for _ in 0..10 {
            let sent = now;
            now += 20 * MS;
            bound.acknowledged(now, sent, true, LEAST..=40_000);
        }
        assert_eq!(bound.window(LEAST), 40_000);
    }

    #[test]
    fn a_longer_route_becomes_the_new_base() {
        let mut now = Instant::now();
        let mut bound = Bound::new(now, 14_000);
        let mut rounds = |round_trip: Duration, rounds: u32| {
            for _ in 0..rounds {
                let sent = now;
                now += round_trip;
                bound.acknowledged(now, sent, true, WITHIN);
            }
            bound.window(LEAST)
        };
        assert!(rounds(20 * MS, 20) > 100_000);
        assert!(rounds(100 * MS, 10) < 100_000, "it looks like a queue");
        assert!(rounds(100 * MS, 60) > 100_000);
    }
}
