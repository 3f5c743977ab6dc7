use std::time::Duration;

/// Every quantity of a [`Mesh`](crate::Mesh) that others could make grow, and
/// the weights by which it judges them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Above this the least useful neighbour goes. Default 50 (B31).
    pub soft_neighbours: usize,
    /// Never more than this. Default 60 (B31).
    pub hard_neighbours: usize,
    /// Of these, how many may have come to us rather than we to them. Default 40:
    /// strangers, however many, leave room for those whom the tracker names.
    pub inbound_neighbours: usize,
    /// Neighbours from one network ([`Network`](crate::Network)) that may have come
    /// to us. Default 8: addresses of one network are cheap, of many are not.
    pub inbound_per_network: usize,
    /// Neighbours that gave the most in the last hour and never make room for
    /// others. Default 16: enough to hear music from, whoever else comes.
    pub protected: usize,
    /// A newcomer is not judged before this has passed. Default 30 s: it takes
    /// a while until a neighbour could have been of use.
    pub grace: Duration,
    /// How long who had to go is not taken again. Default 10 min: nobody comes
    /// and goes and comes.
    pub rest: Duration,
    /// What a neighbour is worth.
    pub weights: Weights,
    /// How long a peer that sent a bad block stays out. Default 6 h, the life
    /// of a peer key: it will not come back under this name later.
    pub ban_duration: Duration,
    /// How many bans, and how many that rest, are remembered; the one that ends
    /// first is forgotten. Default 1,024, about 64 KiB.
    pub bans: usize,
    /// Peers served at a time. Default 4 (B35): more would give each too
    /// little to matter. One of them is the newcomers' slot.
    pub upload_slots: usize,
    /// After how long in a slot its peer makes room for one who waits and has a
    /// better claim, as soon as its requests are answered. Default 10 s: a
    /// request for a few seconds of music is over by then.
    pub slot_turn: Duration,
    /// After how long over one request a peer loses its slot to one who asks for
    /// something as urgent. Default 30 s: 16 blocks, the most that a listener has
    /// asked of one peer, at the lowest bitrate are 22 s of music, and who takes them
    /// no faster than she hears them is of no use to herself.
    pub slot_longest: Duration,
    /// How long an idle slot is kept for its peer. Default 200 ms: about a
    /// round trip, in which the next request of a pipeline arrives.
    pub slot_linger: Duration,
    /// After how long a peer that found no slot may ask again. Default 500 ms.
    pub busy_retry: Duration,
    /// Requests that a peer may make in vain, in a burst. One more, and it goes.
    /// Default 120: a window of requests at each of several blobs.
    pub vain_burst: u32,
    /// And for longer, in a second. Default 20.
    pub vain_per_second: u32,
    /// Rate assumed of a source that has not delivered yet, bytes per second.
    /// Default 125,000 (1 Mbit/s): a modest uplink.
    pub prior_rate: u64,
    /// Blobs that are wanted at a time, of us and of each neighbour. Default 8:
    /// three renditions of what plays and of what follows, and two copies.
    pub wanted: usize,
    /// How often a neighbour is told that we hold more of what it wants. Default
    /// 250 ms: a message for about 16 blocks of a fast download.
    pub have_interval: Duration,
    /// Notices that a neighbour may send in a burst; those beyond are dropped, and
    /// of so many again it goes. Default 200.
    pub notice_burst: u32,
    /// And for longer, in a second. Default 20: four blobs that grow.
    pub notices_per_second: u32,
    /// Neighbours to whom one query goes. Default 12: at distance 2 that is 156
    /// listeners, of whom one has a popular track.
    pub fan_out: usize,
    /// Queries that a neighbour may have us pass on, in a burst. Default 20.
    pub query_burst: u32,
    /// And for longer, in a second. Default 2: a listener who skips once a second
    /// through tracks that nobody near holds.
    pub queries_per_second: u32,
    /// How long a query is remembered: it is not handled again, and answers find
    /// their way back. Default 10 s.
    pub query_life: Duration,
    /// How many are remembered. Default 1,024, about 100 KiB.
    pub queries: usize,
    /// Answers to one query that are passed back. Default 10 (B32).
    pub hits_per_query: usize,
}

/// What a neighbour is worth, in points. All weights by which neighbours are
/// compared stand here; only their proportion matters.
///
/// Bytes are what the mesh is for, so they are the measure: one point is a KiB
/// received in the last hour. The rest is what promises bytes to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// For each KiB received in the last ten minutes, beyond its point as one of
    /// the last hour. Default 4: who gives now will rather give next than who gave
    /// before.
    pub recent_kib: u64,
    /// For each KiB received in the last hour. Default 1.
    pub lasting_kib: u64,
    /// For each holder found through it that delivered, in the last hour. Default
    /// 512: a quarter of a track that came from elsewhere thanks to it.
    pub hit: u64,
    /// For each track that both had or wanted, of the last 32. Default 256: taste
    /// in common is what makes the next hit (B30).
    pub common: u64,
    /// For each millisecond that its round trip is below 200 ms. Default 2: it
    /// decides among those who gave nothing yet, and no more.
    pub near_ms: u64,
    /// Taken away for each promise it broke in the last hour: blocks that it had
    /// and did not send in time. Default 128: eight blocks.
    pub broken: u64,
    /// How much more, in percent, a newcomer must be worth than who was there
    /// before. Default 25: equals do not take turns.
    pub incumbent_percent: u64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            recent_kib: 4,
            lasting_kib: 1,
            hit: 512,
            common: 256,
            near_ms: 2,
            broken: 128,
            incumbent_percent: 25,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            soft_neighbours: 50,
            hard_neighbours: 60,
            inbound_neighbours: 40,
            inbound_per_network: 8,
            protected: 16,
            grace: Duration::from_secs(30),
            rest: Duration::from_secs(10 * 60),
            weights: Weights::default(),
            ban_duration: Duration::from_secs(6 * 60 * 60),
            bans: 1_024,
            upload_slots: 4,
            slot_turn: Duration::from_secs(10),
            slot_longest: Duration::from_secs(30),
            slot_linger: Duration::from_millis(200),
            busy_retry: Duration::from_millis(500),
            vain_burst: 120,
            vain_per_second: 20,
            prior_rate: 125_000,
            wanted: 8,
            have_interval: Duration::from_millis(250),
            notice_burst: 200,
            notices_per_second: 20,
            fan_out: 12,
            query_burst: 20,
            queries_per_second: 2,
            query_life: Duration::from_secs(10),
            queries: 1_024,
            hits_per_query: 10,
        }
    }
}
