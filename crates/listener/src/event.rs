//! What goes into a [`Listener`](crate::Listener) and what comes out of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use antiphon_mesh::{DropReason, Notice};
use antiphon_playback::{BitrateReason, StartReason, UserPolicy};
use antiphon_types::{
    Bitrate, BlobId, BlockRange, BlockSet, Class, NodeId, Rendition, SAMPLE_RATE, Timestamp,
};

/// One play of a track. The owner numbers them; answers to an older one are
/// ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayId(pub u64);

/// One request for a run of blocks. Given out by the listener, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub u64);

impl TransferId {
    /// What the server sends unasked as the answer to a play. It never stands
    /// in an [`Output::Fetch`].
    pub const PUSH: Self = Self(0);
}

/// Where a block comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The server, on the session.
    Server,
    /// A neighbour.
    Peer(NodeId),
}

/// What is to be played.
#[derive(Debug, Clone)]
pub struct Play {
    /// Its number.
    pub id: PlayId,
    /// The track at one bitrate.
    pub rendition: Rendition,
    /// Blocks in the cache.
    pub held: BlockSet,
    /// The sample with which it begins.
    pub from: u64,
    /// How many times faster than music the sink consumes, 1 to 1000.
    pub speed: f64,
    /// Blocks that the server is already sending, in order (B02).
    pub pushed: Option<BlockRange>,
    /// The track's renditions from the lowest, with the blocks of each that are
    /// in the cache: what may take over on the way ([`Output::Switch`]). Without
    /// any, nothing does.
    pub ladder: Arc<[Rung]>,
    /// What the listener wants of the bitrate.
    pub user: UserPolicy,
}

/// One of a track's renditions.
#[derive(Debug, Clone)]
pub struct Rung {
    /// The track at one bitrate.
    pub rendition: Rendition,
    /// Blocks in the cache.
    pub held: BlockSet,
}

/// How a play continues what is before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Another rendition of the same track takes over.
    Splice {
        /// From this sample on, a segment's boundary.
        at: u64,
    },
    /// The next track begins where the one before ends. It is fetched ahead as
    /// B05 says.
    Next,
}

/// Why a source did not send what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It serves others.
    Choked {
        /// After how long it may be asked again.
        retry_after: Duration,
    },
    /// It does not have the blob.
    NotHeld,
    /// It could not, or the request broke off.
    Failed,
    /// It sent a block that this request did not ask for. The request is over.
    Unasked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pushed => "sent with the answer to the play",
            Self::PeerInTime => "this peer is expected soonest, and in time",
            Self::PeerOnly => "this peer is expected soonest",
            Self::DueTooSoon => "due sooner than any peer can bring it",
            Self::NoPeer => "no peer is usable",
            Self::PeersTried => "enough peers were tried",
            Self::Overtakes => "another source is late with it",
            Self::Leisure => "nothing waits for it",
        })
    }
}

/// Why a transfer was asked of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The server began to send it with its answer to the play (B02).
    Pushed,
    /// This peer is expected soonest, and in time.
    PeerInTime,
    /// No server, or none that may be asked now: this peer is expected soonest.
    PeerOnly,
    /// Due sooner than any peer can deliver.
    DueTooSoon,
    /// No peer is usable.
    NoPeer,
    /// As many peers as may were tried.
    PeersTried,
    /// Another source is late with it.
    Overtakes,
    /// Nothing waits for it: the copy in the cache is being completed.
    Leisure,
}

/// What the owner of a listener has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Ask `source` for a run of blocks of the current play's blob.
    Fetch {
        /// Names the request in what follows.
        transfer: TransferId,
        /// For which play.
        play: PlayId,
        /// Whom to ask.
        source: Source,
        /// Consecutive blocks, at least one.
        blocks: BlockRange,
        /// How urgent it is.
        class: Class,
        /// Why of this source.
        reason: Reason,
    },
    /// Nothing more of this request is wanted; nothing need be said of it any
    /// more. Blocks of it that arrive nevertheless are welcome.
    Cancel {
        /// Which request.
        transfer: TransferId,
        /// Of whom it was asked.
        source: Source,
    },
    /// Nothing more of the server's push for this play is wanted.
    CancelPush {
        /// Which play.
        play: PlayId,
    },
    /// Another rendition is to take over. The owner says
    /// [`Listener::follow`](crate::Listener::follow) with [`Join::Splice`] if it
    /// can be had, and nothing if not.
    Switch {
        /// Which play it continues.
        play: PlayId,
        /// From which sample on, a segment's boundary.
        at: u64,
        /// Which rendition.
        bitrate: Bitrate,
    },
    /// Something was decided. Nothing need be done.
    Decided(Decision),
    /// Search peers that hold the current play's blob.
    FindPeers {
        /// Which play.
        play: PlayId,
    },
    /// Connect to a peer that a neighbour found, by way of the server.
    Meet {
        /// Whom.
        peer: NodeId,
        /// What it is said to hold.
        blob: BlobId,
    },
    /// Tell a neighbour something.
    Tell {
        /// Whom to tell.
        peer: NodeId,
        /// What.
        notice: Notice,
    },
    /// Close the link to this peer.
    DropPeer {
        /// Whom.
        peer: NodeId,
        /// Why.
        reason: DropReason,
    },
    /// Break off what is being sent to this peer: something more urgent took
    /// its slot.
    CutUpload {
        /// Whom.
        peer: NodeId,
        /// After how long it may ask again.
        retry_after: Duration,
    },
}

/// What was decided, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Whether sound begins, or goes on after a stall. Told when the answer
    /// changes.
    Start {
        /// It does.
        starts: bool,
        /// Why, or why not.
        reason: StartReason,
        /// What is buffered.
        buffered: Duration,
    },
    /// Which rendition is fetched next. Told when it changes, or the reason does.
    Bitrate {
        /// From which sample on.
        at: u64,
        /// What was fetched so far.
        from: Bitrate,
        /// What will be.
        to: Bitrate,
        /// Why.
        reason: BitrateReason,
        /// What is buffered.
        buffered: Duration,
    },
    /// The buffer fell below the reserve, or is above it again: meanwhile the
    /// server is asked at once and nobody is served (B07).
    Emergency {
        /// It fell.
        begins: bool,
        /// What is buffered.
        buffered: Duration,
    },
    /// The next track is fetched ahead from now on (B05).
    Prefetch {
        /// Which play.
        play: PlayId,
        /// What is left of the current one.
        left: Duration,
    },
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |duration: &Duration| duration.as_secs_f64();
        match self {
            Self::Start { starts: true, reason, buffered } => {
                write!(f, "sound begins with {:.1} s buffered: {reason}", seconds(buffered))
            }
            Self::Start { starts: false, reason, buffered } => {
                write!(f, "sound waits with {:.1} s buffered: {reason}", seconds(buffered))
            }
            Self::Bitrate { at, from, to, reason, buffered } => {
                let at = *at / u64::from(SAMPLE_RATE);
                let what = match from == to {
                    true => format!("{to} kbit/s stays from {at} s on"),
                    false => format!("{to} kbit/s takes over from {from} at {at} s"),
                };
                write!(f, "{what} with {:.1} s buffered: {reason}", seconds(buffered))
            }
            Self::Emergency { begins: true, buffered } => {
                write!(f, "emergency: only {:.1} s are buffered", seconds(buffered))
            }
            Self::Emergency { begins: false, buffered } => {
                write!(f, "the emergency is over: {:.1} s are buffered", seconds(buffered))
            }
            Self::Prefetch { left, .. } => {
                write!(f, "the next track is fetched ahead: {:.0} s are left", seconds(left))
            }
        }
    }
}

/// What a play waits for when its buffer is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitingFor {
    /// Nothing: there is audio to play, or no play.
    Nothing,
    /// A block that the server is sending.
    Server,
    /// A block that peers are sending.
    Peers,
    /// A source: neither the server nor a usable peer is there.
    AnySource,
}

/// How a source does, for display and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceStatus {
    /// Who.
    pub source: Source,
    /// Measured (or, before the first block, assumed) bytes per second.
    pub rate: u64,
    /// Round-trip time.
    pub rtt: Duration,
    /// Blocks asked of it and not there yet, pushed ones included.
    pub outstanding: u32,
    /// Bytes of the current play that it gave first.
    pub bytes: u64,
    /// Whether it could be asked now for blocks of the current play.
    pub usable: bool,
}

/// A request under way, for display and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferStatus {
    /// Which.
    pub transfer: TransferId,
    /// Of whom.
    pub source: Source,
    /// Which run was asked for.
    pub blocks: BlockRange,
    /// How many of them are still to come.
    pub missing: u32,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Why it was asked there.
    pub reason: Reason,
}

/// Counters since the listener was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Blocks that came a second time.
    pub duplicates: u64,
    /// Blocks of plays that are over.
    pub stale: u64,
    /// Blocks that a peer sent and that did not verify.
    pub bad_from_peers: u64,
    /// Blocks that the server sent and that did not verify.
    pub bad_from_server: u64,
    /// Requests that a peer answered with a block that was not asked for.
    pub unasked_from_peers: u64,
    /// Blocks asked elsewhere while their source was late.
    pub overtaken: u64,
    /// Requests whose source was silent for longer than our patience.
    pub timed_out: u64,
}
