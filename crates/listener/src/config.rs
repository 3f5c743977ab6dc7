use std::time::Duration;

use antiphon_mesh::Limits;
use antiphon_playback::{BitratePolicy, Learned, Policy, StartPolicy};

/// Every number by which a [`Listener`](crate::Listener) decides.
///
/// Durations that end in `_media` are media time; the others pass on the clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Deadlines and the emergency reserve.
    pub policy: Policy,
    /// Neighbours and upload slots.
    pub mesh: Limits,
    /// When sound begins, and goes on after a stall (B08).
    pub start: StartPolicy,
    /// How the next rendition is chosen where the listener leaves it open.
    pub bitrate: BitratePolicy,
    /// Time between two looks at which rendition is to be fetched next. Default
    /// 1 s (B09).
    pub decide_interval: Duration,
    /// Rate assumed of all sources together before any delivered and nothing was
    /// learned, bytes per second. Default 1,250,000 (10 Mbit/s): ignorance does
    /// not delay the music, and a slow link shows itself with the first block.
    pub link_prior_rate: u64,
    /// What earlier sessions learned of the network.
    pub learned: Option<Learned>,
    /// How far ahead of the position the server is asked while usable peers
    /// serve. Default 15 s (B06).
    pub server_ahead_with_peers_media: Duration,
    /// By how much less, as chance has it, while neighbours want the same: one asks
    /// first, and the others have it from that one. Default 9 s, which leaves twice
    /// the emergency reserve.
    pub server_spread_media: Duration,
    /// What is asked of the server farther ahead than this, while neighbours want the
    /// same, makes room for what others need sooner. Default 6 s, twice the emergency
    /// reserve. What has not come when the reserve begins is asked again, with all
    /// urgency.
    pub server_patient_media: Duration,
    /// How far ahead it is asked when no peer is usable. Default 30 s (B11).
    pub server_ahead_alone_media: Duration,
    /// How far ahead it is asked while peers that were just named may come up. Default
    /// 6 s, twice the emergency reserve: the rest may come from them.
    pub server_ahead_expecting_media: Duration,
    /// How long after they were named peers may come up. Default 2 s: a few round
    /// trips through both their routers.
    pub peers_expected: Duration,
    /// How long before the end of a track peers are asked for the next one.
    /// Default 30 s (B05).
    pub prefetch_peers_media: Duration,
    /// How long before the end the server is, for what no peer brings in time.
    /// Default 10 s (B05).
    pub prefetch_server_media: Duration,
    /// Rate assumed of the server before it delivered, bytes per second.
    /// Default 250,000 (2 Mbit/s).
    pub server_prior_rate: u64,
    /// How much of a source's expected rate is kept outstanding, beyond its
    /// round trip. Default 500 ms: enough that a pipe never runs dry between
    /// two of our decisions, little enough that what it holds is not stale.
    pub pipeline: Duration,
    /// Fewest blocks outstanding at a peer that has more to give. Default 2:
    /// with one, each block costs a round trip.
    pub peer_window_least: u32,
    /// Most blocks outstanding at a peer. Default 16 (256 KiB): what a freeze
    /// of one peer can hold back.
    pub peer_window_most: u32,
    /// Fewest blocks outstanding at the server. Default 4.
    pub server_window_least: u32,
    /// Most blocks outstanding at the server. Default 32.
    pub server_window_most: u32,
    /// Blocks in a run that is asked of the server at leisure. Default 4: one
    /// request a run, and a peer that comes up meanwhile finds the rest.
    pub leisure_run: u32,
    /// How long a source may be silent with blocks outstanding before they are
    /// asked elsewhere. Default 2 s (B36).
    pub patience: Duration,
    /// Added to a round trip where an arrival is expected. Default 50 ms:
    /// scheduling, disks and jitter.
    pub slack: Duration,
    /// Peers asked for one block before only the server is. Default 3 (B36).
    pub peers_per_block: usize,
    /// Copies of one block outstanding at the same time. Default 2: the late
    /// one and the one that overtakes it.
    pub copies_per_block: usize,
    /// First pause after a source failed or fell silent; doubles each time up
    /// to `backoff_most`, and starts anew with the next block. Default 500 ms.
    pub backoff_least: Duration,
    /// Longest such pause. Default 30 s.
    pub backoff_most: Duration,
    /// Requests that a peer may answer with blocks that were not asked for. With
    /// the next one it is banned. Default 3.
    pub unasked_most: u32,
    /// Longest pause that a choking source can ask for. Default 10 s: it shall
    /// not sideline itself for a whole track.
    pub choke_most: Duration,
    /// How long a peer that refused a block as not held is not asked again,
    /// even if the tracker still names it. Default 30 s.
    pub not_held_pause: Duration,
    /// Holders remembered for the current play. Default 64: all neighbours.
    pub holders: usize,
    /// Neighbours that are asked on suspicion when a play begins without a server.
    /// Default 4: a household, or those nearest.
    pub suspects: usize,
    /// Time between two searches for peers. Default 5 s.
    pub find_peers_interval: Duration,
    /// The server's push stops once peers deliver this share of what the sink
    /// consumes, in percent. Default 150.
    pub push_cancel_percent: u32,
    /// Steps of one plan over blocks that nobody can be asked for now. Default
    /// 128: more than 15 s at the highest bitrate.
    pub scan: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            mesh: Limits::default(),
            start: StartPolicy::default(),
            bitrate: BitratePolicy::default(),
            decide_interval: Duration::from_secs(1),
            link_prior_rate: 1_250_000,
            learned: None,
            server_ahead_with_peers_media: Duration::from_secs(15),
            server_spread_media: Duration::from_secs(9),
            server_patient_media: Duration::from_secs(6),
            server_ahead_alone_media: Duration::from_secs(30),
            server_ahead_expecting_media: Duration::from_secs(6),
            peers_expected: Duration::from_secs(2),
            prefetch_peers_media: Duration::from_secs(30),
            prefetch_server_media: Duration::from_secs(10),
            server_prior_rate: 250_000,
            pipeline: Duration::from_millis(500),
            peer_window_least: 2,
            peer_window_most: 16,
            server_window_least: 4,
            server_window_most: 32,
            leisure_run: 4,
            patience: Duration::from_secs(2),
            slack: Duration::from_millis(50),
            peers_per_block: 3,
            copies_per_block: 2,
            backoff_least: Duration::from_millis(500),
            backoff_most: Duration::from_secs(30),
            unasked_most: 3,
            choke_most: Duration::from_secs(10),
            not_held_pause: Duration::from_secs(30),
            holders: 64,
            suspects: 4,
            find_peers_interval: Duration::from_secs(5),
            push_cancel_percent: 150,
            scan: 128,
        }
    }
}
