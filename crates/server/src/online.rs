//! Who is online, and how listeners are brought together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use antiphon_tracker::{Health, MemoryTracker, Nearness, Place, Tracker};
use antiphon_types::{BlobId, NodeId, Timestamp};
use antiphon_wire::proto::{self, server_notice};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng};
use tokio::sync::mpsc;

use crate::bucket::{Bucket, Rate};
use crate::contact::{self, Contact, Reach, Seen};
use crate::crowds::Crowds;
use crate::introductions::Bounds;
use crate::redis_tracker::RedisTracker;
use crate::relay::Relayed;
use crate::standing::{REPORTS_OF_ONE, Standing, Voice};

/// How many holders an answer names (B32).
pub(crate) const NAMED_PEERS: usize = 10;

/// Notices that wait for a slow listener at most; more are dropped.
const QUEUED_NOTICES: usize = 64;

/// How often a listener may say anew where she is reached: when networks
/// change, that comes in threes or fours.
const REACHES: Rate = Rate { burst: 8, interval: Duration::from_secs(5) };

/// Something to tell a listener. (In a box: a queue has room for 32 from the
/// begin, and most stay empty.)
pub(crate) type Notice = Box<server_notice::Kind>;

/// Who holds what: this server's own index, or one that several share.
pub(crate) enum Index {
    Memory(Box<MemoryTracker>),
    Redis(Arc<RedisTracker>),
}

/// What a listener says of herself at the begin of a session.
pub(crate) struct Arrival {
    pub(crate) peer: NodeId,
    /// Where her session comes from.
    pub(crate) seen: Seen,
    /// Where she listens for others; 0 if nowhere.
    pub(crate) listen_port: u16,
    /// Addresses of her interfaces, as she says.
    pub(crate) local: Vec<IpAddr>,
    /// Whether others may be told of her.
    pub(crate) sharing: bool,
}

/// A listener who is online.
struct Member {
    notices: mpsc::Sender<Notice>,
    /// Tells a session from a later one of the same peer key.
    session: u64,
    seen: Seen,
    /// 0 if nobody may be told of her.
    listen_port: u16,
    place: Place,
    reaches: Bucket,
    bounds: Bounds,
    standing: Standing,
    /// Whether the index has her in bad health.
    doubted: bool,
    reports: Bucket,
}

/// Those who are online.
pub(crate) struct Online {
    index: Index,
    sessions: Mutex<BTreeMap<NodeId, Member>>,
    /// Taken while `sessions` is held, or alone.
    crowds: Mutex<Crowds>,
    rng: Mutex<StdRng>,
}

/// What came of a wish to be introduced, on the holder's side.
enum Told {
    /// She is told; the other may be told of her place.
    Yes(Place),
    /// She must not be asked for now, or is too slow to hear.
    No,
    /// She has no session with this server.
    NotHere,
}

impl Online {
    pub(crate) fn new(index: Index) -> Self {
        Self {
            index,
            sessions: Mutex::default(),
            crowds: Mutex::default(),
            rng: Mutex::new(StdRng::from_rng(&mut rand::rng())),
        }
    }

    /// Whether the index answers without waiting for anybody.
    pub(crate) fn answers_at_once(&self) -> bool {
        matches!(self.index, Index::Memory(_))
    }

    pub(crate) fn tracker(&self) -> &dyn Tracker {
        match &self.index {
            Index::Memory(tracker) => &**tracker,
            Index::Redis(tracker) => &**tracker,
        }
    }

    fn redis(&self) -> Option<&RedisTracker> {
        match &self.index {
            Index::Memory(_) => None,
            Index::Redis(tracker) => Some(tracker),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        lock(&self.sessions).len()
    }

    /// Lets a listener be named to others, and be told things. The session is
    /// over when the returned membership is dropped.
    pub(crate) fn join(
        &self,
        now: Timestamp,
        arrival: &Arrival,
    ) -> (Membership<'_>, mpsc::Receiver<Notice>) {
        let Arrival { peer, seen, sharing, .. } = *arrival;
        let (notices, queued) = mpsc::channel(QUEUED_NOTICES);
        let session = lock(&self.rng).next_u64();
        // Held to the end, so that an older session's leaving comes before or
        // after, not between.
        let mut sessions = lock(&self.sessions);
        let was_named = sessions.remove(&peer).is_some_and(|older| self.leave_crowd(&older));
        let wanted_port = if sharing { arrival.listen_port } else { 0 };
        let listen_port = self.port_in_crowd(seen, wanted_port);
        if was_named && listen_port == 0 {
            self.tracker().disconnect(peer);
        }
        let member = Member {
            notices,
            session,
            seen,
            listen_port,
            place: place(seen, listen_port, &arrival.local, &Reach::default()),
            reaches: Bucket::default(),
            bounds: Bounds::default(),
            standing: Standing::default(),
            doubted: false,
            reports: Bucket::default(),
        };
        self.enter(now, peer, &member);
        sessions.insert(peer, member);
        drop(sessions);
        (Membership { online: self, peer, session }, queued)
    }

    /// The port, unless too many of the same address are named; 0 then.
    fn port_in_crowd(&self, seen: Seen, listen_port: u16) -> u16 {
        let from = seen.address.ip();
        if listen_port == 0 || lock(&self.crowds).enter(from) {
            return listen_port;
        }
        tracing::debug!(%from, "one more is named to nobody: too many of one address");
        0
    }

    /// Whether she was named at all.
    fn leave_crowd(&self, member: &Member) -> bool {
        let was_named = member.listen_port != 0;
        if was_named {
            lock(&self.crowds).leave(member.seen.address.ip());
        }
        was_named
    }

    /// A listener says anew where she may be reached.
    pub(crate) fn reach(&self, now: Timestamp, peer: NodeId, local: &[IpAddr], reach: &Reach) {
        let mut sessions = lock(&self.sessions);
        let Some(member) = sessions.get_mut(&peer) else { return };
        if !member.reaches.take(now, REACHES) {
            tracing::debug!(?peer, "says too often where it is reached");
            return;
        }
        member.place = place(member.seen, member.listen_port, local, reach);
        self.enter(now, peer, member);
    }

    /// Puts a listener, or where she is now, into the index.
    fn enter(&self, now: Timestamp, peer: NodeId, member: &Member) {
        if member.listen_port == 0 {
            return;
        }
        let place = match &self.index {
            // What answers copy.
            Index::Memory(_) => {
                member.place.clone().with_contact(contact::written(&member.place.contact))
            }
            Index::Redis(_) => member.place.clone(),
        };
        if let Err(error) = self.tracker().connect(now, peer, place) {
            tracing::warn!(?peer, "not in the tracker: {error}");
        }
    }

    /// Notes what a listener holds.
    pub(crate) fn announce(&self, peer: NodeId, blobs: &[BlobId]) {
        if let Err(error) = self.tracker().announce(peer, blobs) {
            tracing::debug!(?peer, "announcement refused: {error}");
        }
    }

    /// Notes what a listener holds no longer.
    pub(crate) fn withdraw(&self, peer: NodeId, blobs: &[BlobId]) {
        self.tracker().withdraw(peer, blobs);
    }

    /// Listeners who hold a blob, the nearest first, if there are at least
    /// `fewest`. An index elsewhere may take its time-out to answer.
    pub(crate) fn find(&self, blob: BlobId, asker: NodeId, fewest: usize) -> Vec<proto::Peer> {
        // A generator of its own: an answer from elsewhere is waited for.
        let mut rng = StdRng::from_rng(&mut *lock(&self.rng));
        let found = self.tracker().find(blob, asker, NAMED_PEERS, &mut rng);
        if found.len() < fewest {
            return Vec::new();
        }
        let describe = |holder: antiphon_tracker::Holder| {
            let household = holder.nearness <= Nearness::PublicAddress;
            contact::describe(holder.node, &holder.contact, household)
        };
        found.into_iter().map(describe).collect()
    }

    /// Tells `asker` and `holder` of each other, both at once, so that they
    /// connect at once; or nobody, if a bound forbids it or one is not there.
    /// An index elsewhere may take its time-out to answer.
    pub(crate) fn introduce(&self, now: Timestamp, asker: NodeId, holder: NodeId) {
        if asker == holder {
            return;
        }
        let Some((place, notices)) = self.let_ask(now, asker, holder) else { return };
        let id = lock(&self.rng).next_u64().to_be_bytes();
        let told = match self
            .tell_holder(now, asker, holder, id, |there| describe(asker, &place, there))
        {
            Told::Yes(there) => there,
            Told::No => return,
            Told::NotHere => {
                let Some(there) = self.tell_elsewhere(asker, &place, holder, id) else { return };
                there
            }
        };
        let Some(peer) = describe(holder, &told, &place) else { return };
        if notices.try_send(introduction(peer, id, true)).is_ok()
            && let Some(member) = lock(&self.sessions).get_mut(&asker)
        {
            member.bounds.note(now, holder);
        }
    }

    /// Whether `asker` may ask for `holder` now, and where she is.
    fn let_ask(
        &self,
        now: Timestamp,
        asker: NodeId,
        holder: NodeId,
    ) -> Option<(Place, mpsc::Sender<Notice>)> {
        let mut sessions = lock(&self.sessions);
        let member = sessions.get_mut(&asker)?;
        let may = member.listen_port != 0 && member.bounds.may_ask(now, holder);
        may.then(|| (member.place.clone(), member.notices.clone()))
    }

    /// Tells a holder with a session here that `asker` wants to meet her;
    /// `describe` says where that one is, for someone at the holder's place.
    fn tell_holder(
        &self,
        now: Timestamp,
        asker: NodeId,
        holder: NodeId,
        id: [u8; 8],
        describe: impl FnOnce(&Place) -> Option<proto::Peer>,
    ) -> Told {
        let mut sessions = lock(&self.sessions);
        let Some(member) = sessions.get_mut(&holder) else { return Told::NotHere };
        let faults = member.standing.faults(now);
        if faults == 0 && std::mem::take(&mut member.doubted) {
            self.tracker().handle_health(holder, Health::default());
        }
        let may =
            member.listen_port != 0 && faults == 0 && member.bounds.may_be_asked_for(now, asker);
        let Some(peer) = may.then(|| describe(&member.place)).flatten() else { return Told::No };
        if member.notices.try_send(introduction(peer, id, false)).is_err() {
            tracing::debug!(?holder, "too slow to be introduced");
            return Told::No;
        }
        member.bounds.note(now, asker);
        Told::Yes(member.place.clone())
    }

    /// Has another server tell a holder of `asker`; answers with her place.
    fn tell_elsewhere(
        &self,
        asker: NodeId,
        place: &Place,
        holder: NodeId,
        id: [u8; 8],
    ) -> Option<Place> {
        let redis = self.redis()?;
        let record = redis.look_up(holder)?;
        let peer = describe(asker, place, &record.place)?;
        let message = Relayed::Introduction { holder, asker, id, peer };
        redis.tell(record.server, message.encode());
        (record.health.faults == 0).then_some(record.place)
    }

    /// A listener says that `peer` sent a bad block.
    pub(crate) fn report(&self, now: Timestamp, reporter: NodeId, peer: NodeId) {
        let voice = {
            let mut sessions = lock(&self.sessions);
            let Some(member) = sessions.get_mut(&reporter) else { return };
            if reporter == peer || !member.reports.take(now, REPORTS_OF_ONE) {
                return;
            }
            Voice::of(member.seen.address.ip())
        };
        if !self.note_report(now, peer, voice)
            && let Some(redis) = self.redis()
            && let Some(record) = redis.look_up(peer)
        {
            redis.tell(record.server, Relayed::Report { peer, voice }.encode());
        }
    }

    /// Notes what was said of a listener who is here; false if she is not.
    fn note_report(&self, now: Timestamp, peer: NodeId, voice: Voice) -> bool {
        let mut sessions = lock(&self.sessions);
        let Some(member) = sessions.get_mut(&peer) else { return false };
        member.standing.report(now, voice);
        let faults = member.standing.faults(now);
        if faults > 0 {
            tracing::info!(?peer, faults, "reported from several networks for bad blocks");
            member.doubted = true;
            self.tracker().handle_health(peer, Health { faults, load: 0 });
        }
        true
    }

    /// What another server passed on for a listener here.
    pub(crate) fn handle_relayed(&self, now: Timestamp, message: &[u8]) {
        match Relayed::decode(message) {
            Some(Relayed::Introduction { holder, asker, id, peer }) => {
                self.tell_holder(now, asker, holder, id, |_| Some(peer));
            }
            Some(Relayed::Report { peer, voice }) => {
                self.note_report(now, peer, voice);
            }
            None => tracing::warn!("another server passed on what makes no sense; is it newer?"),
        }
    }
}

/// The place of a listener, with what others are told of it.
fn place(seen: Seen, listen_port: u16, local: &[IpAddr], reach: &Reach) -> Place {
    let contact = Contact::new(seen, listen_port, local, reach).encode();
    let public = seen.address.ip().to_canonical();
    Place::new(public, local.iter().copied()).with_contact(contact)
}

/// A listener at `place`, as shown to one at `other`.
fn describe(peer: NodeId, place: &Place, other: &Place) -> Option<proto::Peer> {
    let household = place.nearness(other) <= Nearness::PublicAddress;
    Some(Contact::decode(&place.contact)?.describe(peer, household))
}

fn introduction(peer: proto::Peer, id: [u8; 8], asked: bool) -> Notice {
    let id = bytes::Bytes::copy_from_slice(&id);
    Box::new(server_notice::Kind::Introduction(proto::Introduction { peer: Some(peer), id, asked }))
}

/// A listener's place among those online; given up when dropped.
pub(crate) struct Membership<'a> {
    online: &'a Online,
    peer: NodeId,
    session: u64,
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        let mut sessions = lock(&self.online.sessions);
        // A listener who came back over a new connection is still here.
        if sessions.get(&self.peer).is_some_and(|member| member.session == self.session) {
            if let Some(member) = sessions.remove(&self.peer) {
                self.online.leave_crowd(&member);
            }
            self.online.tracker().disconnect(self.peer);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use antiphon_tracker::Limits;

    use super::*;
    use crate::crowds::MAX_NAMED;

    fn arrival(number: usize, from: [u8; 4]) -> Arrival {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        Arrival {
            peer: NodeId::new(key),
            seen: Seen { address: (from, 5_000).into(), quic: false },
            listen_port: 7_700,
            local: Vec::new(),
            sharing: true,
        }
    }

    /// T2: many keys of devices, one address.
    #[test]
    fn t2_of_one_address_so_many_are_named_and_who_comes_again_is_no_more() {
        let tracker = MemoryTracker::new(Limits::default(), [7; 16]);
        let online = Online::new(Index::Memory(Box::new(tracker)));
        let named = |number: usize| {
            let peer = arrival(number, [0; 4]).peer;
            online.tracker().announce(peer, &[]).is_ok()
        };
        let join = |number, from| online.join(Timestamp::ZERO, &arrival(number, from)).0;
        let (attacker, other) = ([203, 0, 113, 7], [203, 0, 113, 8]);
        let mut crowd: Vec<_> = (0..MAX_NAMED + 50).map(|number| join(number, attacker)).collect();
        assert_eq!((0..crowd.len()).filter(|number| named(*number)).count(), MAX_NAMED);
        assert_eq!(online.count(), MAX_NAMED + 50, "all are served");
        // A new session in the place of an old one changes nothing, from wherever.
        let again = join(0, attacker);
        assert!(named(0) && !named(MAX_NAMED));
        let moved = join(1_000, other);
        assert!(named(1_000));
        let back = join(1_000, attacker);
        assert!(!named(1_000), "there is no room where she is now");
        drop((moved, back));
        // With one who leaves there is room for one.
        drop(crowd.remove(0));
        let newcomer = join(2_000, attacker);
        assert!(!named(2_000), "that was the older session");
        drop((again, newcomer));
        let _newcomer = join(2_000, attacker);
        assert!(named(2_000));
        drop(crowd);
        assert!((0..MAX_NAMED).map(|number| join(number, attacker)).all(|_| true));
    }
}
