//! What one direction of a link does to packets: a state machine without
//! sockets or clock.
//!
//! A packet waits until those before it have left, takes its size divided by
//! the rate to leave itself, and arrives after the delay. Where more waits than
//! the queue holds, the packet that comes last is dropped. A lost packet has
//! taken its time on the link all the same.
//!
//! What befalls the n-th packet of a direction (lost or not, how much jitter)
//! depends on the seed and on n alone.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::units::{QueueLength, Rate, Share};

/// How one direction of a link behaves.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shape {
    /// What it carries.
    pub rate: Rate,
    /// How long a packet travels once it has left.
    pub delay: Duration,
    /// What is added to the delay of each packet: uniform from 0 to this.
    pub jitter: Duration,
    /// How often a packet is lost on its way.
    pub loss: Share,
    /// What may wait for the link; the packet that is leaving counts too. An
    /// idle link takes a packet of any size.
    pub queue: QueueLength,
    /// Whether jitter may bring a packet past one that left before it.
    pub reorder: bool,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It comes out at this time.
    Arrives(Duration),
    /// It is lost on its way.
    Lost,
    /// It found the queue full.
    Dropped,
}

/// One direction of a link. Times are counted from the start of the link.
#[derive(Debug)]
pub struct Direction {
    shape: Shape,
    draws: ChaCha8Rng,
    /// When the last packet that was taken will have left.
    free_at: Duration,
    /// When the last packet that was taken arrives, if order is kept.
    last_arrival: Duration,
}

impl Direction {
    /// A direction that draws from stream `number` of `seed`.
    #[must_use]
    pub fn new(shape: Shape, seed: u64, number: u64) -> Self {
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        draws.set_stream(number);
        Self { shape, draws, free_at: Duration::ZERO, last_arrival: Duration::ZERO }
    }

    /// Behaves otherwise from now on. What is under way is not touched.
    pub fn reshape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// Takes a packet of `bytes` at `now`.
    pub fn send(&mut self, now: Duration, bytes: usize) -> Fate {
        // Both are drawn for every packet, so that dropping one does not
        // change what befalls the next.
        let lost = self.draw() < self.shape.loss.0;
        let jitter = self.shape.jitter.mul_f64(self.draw());

        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let waiting = self.free_at.saturating_sub(now);
        let leaving = self.time_to_leave(bytes);
        if !waiting.is_zero() && waiting + leaving > self.longest_wait() {
            return Fate::Dropped;
        }
        self.free_at = now.max(self.free_at) + leaving;
        if lost {
            return Fate::Lost;
        }
        let mut arrival = self.free_at + self.shape.delay + jitter;
        if !self.shape.reorder {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        Fate::Arrives(arrival)
    }

    /// How long the link is taken by so many bytes.
    fn time_to_leave(&self, bytes: u64) -> Duration {
        let Some(rate) = self.shape.rate.0 else { return Duration::ZERO };
        let nanoseconds = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(rate);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// What the queue holds, as the time that the link takes for it.
    fn longest_wait(&self) -> Duration {
        match self.shape.queue {
            QueueLength::Bytes(bytes) => self.time_to_leave(bytes),
            QueueLength::Time(time) => time,
        }
    }

    /// Uniform from 0 up to but without 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn draw(&mut self) -> f64 {
        (self.draws.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn megabit() -> Shape {
        Shape { rate: Rate::bits_per_second(1_000_000), ..Shape::default() }
    }

    #[test]
    fn an_open_link_lets_a_packet_through_at_once() {
        let mut direction = Direction::new(Shape::default(), 1, 0);
        assert_eq!(direction.send(MS, 1500), Fate::Arrives(MS));
    }

    #[test]
    fn a_packet_takes_its_size_over_the_rate_and_then_the_delay() {
        let shape = Shape { delay: 25 * MS, ..megabit() };
        let mut direction = Direction::new(shape, 1, 0);
        assert_eq!(direction.send(Duration::ZERO, 1250), Fate::Arrives(35 * MS));
        assert_eq!(direction.send(Duration::ZERO, 1250), Fate::Arrives(45 * MS), "waits its turn");
        assert_eq!(direction.send(100 * MS, 1250), Fate::Arrives(135 * MS), "idle again");
    }

    #[test]
    fn a_full_queue_drops_what_comes_last() {
        let shape = Shape { queue: QueueLength::Bytes(2500), ..megabit() };
        let mut direction = Direction::new(shape, 1, 0);
        let fates: Vec<Fate> = (0..4).map(|_| direction.send(Duration::ZERO, 1250)).collect();
        let expected =
            [Fate::Arrives(10 * MS), Fate::Arrives(20 * MS), Fate::Dropped, Fate::Dropped];
        assert_eq!(fates, expected);
        assert_eq!(direction.send(10 * MS, 1250), Fate::Arrives(30 * MS), "room for one again");
    }

    #[test]
    fn a_queue_in_time_holds_what_the_link_carries_in_it() {
        let shape = Shape { queue: QueueLength::Time(20 * MS), ..megabit() };
        let mut direction = Direction::new(shape, 1, 0);
        let taken =
            (0..10).filter(|_| direction.send(Duration::ZERO, 1250) != Fate::Dropped).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn an_idle_link_takes_a_packet_longer_than_its_queue() {
        let shape = Shape { queue: QueueLength::Bytes(100), ..megabit() };
        let mut direction = Direction::new(shape, 1, 0);
        assert_ne!(direction.send(Duration::ZERO, 1500), Fate::Dropped);
        assert_eq!(direction.send(Duration::ZERO, 1500), Fate::Dropped);
    }

    #[test]
    fn jitter_keeps_the_order_unless_told_otherwise() {
        let shape = Shape { delay: 10 * MS, jitter: 10 * MS, ..Shape::default() };
        let arrivals = |shape| -> Vec<Duration> {
            let mut direction = Direction::new(shape, 7, 0);
            let fates = (0..200).map(|sent| direction.send(sent * MS / 10, 100));
            let arrival = |fate| match fate {
                Fate::Arrives(at) => at,
                other => panic!("{other:?}"),
            };
            fates.map(arrival).collect()
        };
        let ordered = arrivals(shape);
        assert!(ordered.is_sorted());
        assert!(ordered[0] >= 10 * MS && ordered[0] < 20 * MS);
        assert!(!arrivals(Shape { reorder: true, ..shape }).is_sorted());
    }

    #[test]
    fn loss_is_as_often_as_asked_and_replays_from_the_seed() {
        let shape = Shape { loss: Share(0.1), ..Shape::default() };
        let fates = |seed, number| -> Vec<Fate> {
            let mut direction = Direction::new(shape, seed, number);
            (0..10_000).map(|_| direction.send(Duration::ZERO, 100)).collect()
        };
        let lost = fates(1, 0).iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((900..=1100).contains(&lost), "{lost} of 10,000");
        assert_eq!(fates(1, 0), fates(1, 0));
        assert_ne!(fates(1, 0), fates(2, 0), "another seed");
        assert_ne!(fates(1, 0), fates(1, 1), "the other direction");
    }

    #[test]
    fn a_lost_packet_has_taken_its_time() {
        let mut direction = Direction::new(Shape { loss: Share(1.0), ..megabit() }, 1, 0);
        assert_eq!(direction.send(Duration::ZERO, 1250), Fate::Lost);
        direction.reshape(megabit());
        assert_eq!(direction.send(Duration::ZERO, 1250), Fate::Arrives(20 * MS));
    }

    #[test]
    fn dropping_a_packet_does_not_change_the_fate_of_the_next() {
        let lossy = Shape { loss: Share(0.5), ..Shape::default() };
        let short = Shape { queue: QueueLength::Bytes(1), loss: Share(0.5), ..megabit() };
        let mut wide = Direction::new(lossy, 3, 0);
        let mut narrow = Direction::new(short, 3, 0);
        for _ in 0..10 {
            wide.send(Duration::ZERO, 1250);
            narrow.send(Duration::ZERO, 1250);
        }
        let later = Duration::from_secs(1);
        for sent in 0..50 {
            let now = later + sent * 20 * MS;
            let lost = wide.send(now, 1250) == Fate::Lost;
            assert_eq!(narrow.send(now, 1250) == Fate::Lost, lost);
        }
    }
}
