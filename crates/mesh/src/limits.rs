use std::time::Duration;

/// Every quantity of a [`Mesh`](crate::Mesh) that others could make grow, and
/// the weights by which it judges them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Above this the least useful neighbour goes. Default 50 (B31).
    pub soft_neighbours: usize,
    /// Never more than this. Default 60 (B31).
    pub hard_neighbours: usize,
    /// A newcomer is not judged before this has passed. Default 30 s: it takes
    /// a while until a neighbour could have been of use.
    pub grace: Duration,
    /// Usefulness counts the bytes received in this long, and up to as long
    /// again before it. Default 5 min: what somebody gave an hour ago says
    /// little about the next track.
    pub usefulness_window: Duration,
    /// How long a peer that sent a bad block stays out. Default 6 h, the life
    /// of a peer key: it will not come back under this name later.
    pub ban_duration: Duration,
    /// How many bans are remembered; the one that ends first is forgotten.
    /// Default 1,024, about 64 KiB.
    pub bans: usize,
    /// Peers served at a time. Default 4 (B35): more would give each too
    /// little to matter.
    pub upload_slots: usize,
    /// How long an idle slot is kept for its peer. Default 200 ms: about a
    /// round trip, in which the next request of a pipeline arrives.
    pub slot_linger: Duration,
    /// After how long a peer that found no slot may ask again. Default 500 ms.
    pub busy_retry: Duration,
    /// Rate assumed of a source that has not delivered yet, bytes per second.
    /// Default 125,000 (1 Mbit/s): a modest uplink.
    pub prior_rate: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            soft_neighbours: 50,
            hard_neighbours: 60,
            grace: Duration::from_secs(30),
            usefulness_window: Duration::from_secs(5 * 60),
            ban_duration: Duration::from_secs(6 * 60 * 60),
            bans: 1_024,
            upload_slots: 4,
            slot_linger: Duration::from_millis(200),
            busy_retry: Duration::from_millis(500),
            prior_rate: 125_000,
        }
    }
}
