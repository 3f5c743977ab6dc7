//! An index that several servers share, in a real Redis of the test's own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_server::{RedisSettings, RedisTracker};
use antiphon_tracker::{Health, Holder, Limits, Nearness, Place, Tracker};
use antiphon_types::{BlobId, NodeId, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::guests::{Guest, House, blob, eventually};

/// Longer than anything here takes, even on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A Redis that keeps nothing on disk, on a socket in a folder of its own.
struct Redis {
    folder: tempfile::TempDir,
    child: Child,
}

impl Redis {
    /// `None` where it is not installed; but in CI nothing is left out.
    fn start() -> Option<Self> {
        let mut probe = Command::new("redis-server");
        probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        if probe.status().is_err() {
            let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!ci, "CI needs redis-server; Debian has it in the package redis-server");
            eprintln!(
                "skipped, for want of redis-server: Debian has it in the package redis-server"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let child = Self::spawn(&folder);
        let redis = Self { folder, child };
        redis.wait_until_up();
        Some(redis)
    }

    fn spawn(folder: &tempfile::TempDir) -> Child {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]);
        command.arg(folder.path().join("socket")).arg("--dir").arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn url(&self) -> String {
        let socket: PathBuf = self.folder.path().join("socket");
        format!("redis+unix://{}", socket.display())
    }

    fn connect(&self) -> Option<redis::Connection> {
        redis::Client::open(self.url()).unwrap().get_connection().ok()
    }

    fn wait_until_up(&self) {
        wait_for("a Redis", || {
            let mut connection = self.connect()?;
            redis::cmd("PING").exec(&mut connection).ok()
        });
    }

    /// `kill -9`.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// There again, and empty.
    fn restart(&mut self) {
        self.child = Self::spawn(&self.folder);
        self.wait_until_up();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// All keys that begin so.
    fn keys(&self, kind: char) -> Vec<Vec<u8>> {
        let mut connection = self.connect().unwrap();
        redis::cmd("KEYS").arg(format!("antiphon:*:{kind}:*")).query(&mut connection).unwrap()
    }

    /// An index in it, as a server of the one service would have it.
    fn tracker(&self) -> RedisTracker {
        let mut settings = RedisSettings::new(&self.url(), NodeId::new([7; 32])).unwrap();
        settings.jitter = Duration::from_millis(50);
        let tracker = RedisTracker::open(settings, Limits::default()).unwrap().0;
        wait_for("an answer", || tracker.is_up().then_some(()));
        tracker
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn node(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

fn place(public: &str, contact: &[u8]) -> Place {
    Place::new(public.parse().unwrap(), []).with_contact(contact)
}

fn find(tracker: &RedisTracker, blob: BlobId, asker: NodeId) -> Vec<Holder> {
    tracker.find(blob, asker, 10, &mut StdRng::seed_from_u64(1))
}

fn names(tracker: &RedisTracker, blob: BlobId, asker: NodeId) -> Vec<NodeId> {
    find(tracker, blob, asker).into_iter().map(|holder| holder.node).collect()
}

fn wait_for_names(tracker: &RedisTracker, asker: NodeId, expected: &[NodeId]) {
    wait_for(&format!("{expected:?}"), || {
        (names(tracker, blob(1), asker) == expected).then_some(())
    });
}

#[test]
fn what_one_server_is_told_another_finds_and_the_nearest_come_first() {
    let Some(redis) = Redis::start() else { return };
    let (here, there) = (redis.tracker(), redis.tracker());
    let now = Timestamp::ZERO;
    here.connect(now, node(9), place("203.0.113.5", b"")).unwrap();
    for (number, public) in [(1, "198.51.100.1"), (2, "203.0.113.5"), (3, "203.0.7.7")] {
        there.connect(now, node(number), place(public, &[number; 20])).unwrap();
        there.announce(node(number), &[blob(1)]).unwrap();
    }
    wait_for_names(&here, node(9), &[node(2), node(3), node(1)]);
    let nearest = find(&here, blob(1), node(9)).swap_remove(0);
    assert_eq!((nearest.nearness, &*nearest.contact), (Nearness::PublicAddress, &[2; 20][..]));
    // In bad health she comes last among those equally near.
    there.connect(now, node(4), place("203.0.7.8", b"")).unwrap();
    there.announce(node(4), &[blob(1)]).unwrap();
    there.handle_health(node(3), Health { faults: 3, load: 0 });
    wait_for_names(&here, node(9), &[node(2), node(4), node(3), node(1)]);
    there.withdraw(node(2), &[blob(1)]);
    there.disconnect(node(4));
    wait_for_names(&here, node(9), &[node(3), node(1)]);
    for number in [1, 2, 3] {
        there.disconnect(node(number));
    }
    here.disconnect(node(9));
    wait_for_names(&here, node(9), &[]);
    wait_for("an empty index", || {
        (redis.keys('s').is_empty() && redis.keys('p').is_empty()).then_some(())
    });
}

#[test]
fn a_redis_that_is_killed_and_comes_back_empty_is_filled_by_all() {
    let Some(mut redis) = Redis::start() else { return };
    let (here, there) = (redis.tracker(), redis.tracker());
    for (tracker, number) in [(&here, 1), (&there, 2)] {
        tracker.connect(Timestamp::ZERO, node(number), place("192.0.2.1", b"")).unwrap();
        tracker.announce(node(number), &[blob(1)]).unwrap();
    }
    wait_for_names(&here, node(1), &[node(2)]);
    wait_for_names(&there, node(2), &[node(1)]);
    redis.kill();
    // Each names its own, and takes what it is told.
    wait_for_names(&here, node(9), &[node(1)]);
    here.connect(Timestamp::ZERO, node(3), place("192.0.2.1", b"")).unwrap();
    here.announce(node(3), &[blob(1)]).unwrap();
    there.connect(Timestamp::ZERO, node(4), place("192.0.2.1", b"")).unwrap();
    there.disconnect(node(4));
    wait_for("its absence to be known", || (!here.is_up() && !there.is_up()).then_some(()));
    redis.restart();
    for tracker in [&here, &there] {
        wait_for("all three", || {
            let mut found = names(tracker, blob(1), node(9));
            found.sort_unstable();
            (found == [node(1), node(2), node(3)]).then_some(())
        });
    }
}

#[test]
fn a_redis_that_forgets_without_a_word_is_told_anew() {
    let Some(redis) = Redis::start() else { return };
    let (here, there) = (redis.tracker(), redis.tracker());
    there.connect(Timestamp::ZERO, node(2), place("192.0.2.1", b"")).unwrap();
    there.announce(node(2), &[blob(1)]).unwrap();
    wait_for_names(&here, node(1), &[node(2)]);
    redis::cmd("FLUSHALL").exec(&mut redis.connect().unwrap()).unwrap();
    wait_for_names(&here, node(1), &[node(2)]);
    assert_eq!(redis.keys('p').len(), 1);
}

#[test]
fn peers_of_a_server_that_died_are_not_named_and_expire() {
    let Some(redis) = Redis::start() else { return };
    let here = redis.tracker();
    // As one leaves it that was killed: all is there but its life.
    let there = redis.tracker();
    there.connect(Timestamp::ZERO, node(2), place("192.0.2.1", b"")).unwrap();
    there.announce(node(2), &[blob(1)]).unwrap();
    wait_for_names(&here, node(1), &[node(2)]);
    let mut connection = redis.connect().unwrap();
    for kind in ['s', 'p', 'v'] {
        for key in redis.keys(kind) {
            let seconds: i64 = redis::cmd("TTL").arg(key).query(&mut connection).unwrap();
            let most = if kind == 'v' { 15 } else { 1_800 };
            assert!((1..=most).contains(&seconds), "{kind}: {seconds} s");
        }
    }
    // Gone with a goodbye, which leaves the records to expire.
    drop(there);
    wait_for_names(&here, node(1), &[]);
    assert_eq!(redis.keys('p').len(), 1);
}

#[test]
fn a_session_that_has_moved_outlives_its_old_server_s_farewell() {
    let Some(redis) = Redis::start() else { return };
    let (old, new) = (redis.tracker(), redis.tracker());
    old.connect(Timestamp::ZERO, node(1), place("192.0.2.1", b"old")).unwrap();
    old.announce(node(1), &[blob(1)]).unwrap();
    wait_for_names(&new, node(9), &[node(1)]);
    new.connect(Timestamp::ZERO, node(1), place("192.0.2.1", b"new")).unwrap();
    new.announce(node(1), &[blob(1)]).unwrap();
    wait_for("the new place", || {
        let found = find(&old, blob(1), node(9));
        (found.first().is_some_and(|holder| &*holder.contact == b"new")).then_some(())
    });
    old.disconnect(node(1));
    // Something behind it, so that it is known to have been dealt with.
    old.connect(Timestamp::ZERO, node(2), place("192.0.2.2", b"")).unwrap();
    old.announce(node(2), &[blob(2)]).unwrap();
    wait_for("what came behind", || (names(&new, blob(2), node(9)) == [node(2)]).then_some(()));
    assert_eq!(names(&old, blob(1), node(9)), [node(1)]);
}

#[test]
fn a_swarm_keeps_the_twenty_most_recent() {
    let Some(redis) = Redis::start() else { return };
    let (here, there) = (redis.tracker(), redis.tracker());
    for number in 1..=30 {
        here.connect(Timestamp::ZERO, node(number), place("192.0.2.1", b"")).unwrap();
        here.announce(node(number), &[blob(1)]).unwrap();
    }
    let mut connection = redis.connect().unwrap();
    wait_for("the last one", || {
        let [key] = &redis.keys('s')[..] else { return None };
        let last: Option<u64> =
            redis::cmd("ZSCORE").arg(key).arg(node(30).as_bytes()).query(&mut connection).unwrap();
        last
    });
    let key = redis.keys('s').swap_remove(0);
    let count: usize = redis::cmd("ZCARD").arg(key).query(&mut connection).unwrap();
    assert_eq!(count, 20);
    assert_eq!(names(&there, blob(1), node(99)).len(), 10);
}

#[test]
fn a_redis_that_hangs_holds_nobody_up_for_long_and_then_not_at_all() {
    let Some(redis) = Redis::start() else { return };
    let here = Arc::new(redis.tracker());
    here.connect(Timestamp::ZERO, node(1), place("192.0.2.1", b"")).unwrap();
    here.announce(node(1), &[blob(1)]).unwrap();
    redis.signal(rustix::process::Signal::STOP);
    // All that ask are answered, of its own listeners.
    for _ in 0..200 {
        assert_eq!(names(&here, blob(1), node(9)), [node(1)]);
    }
    wait_for("that it is known", || (!here.is_up()).then_some(()));
    for number in 10..=50 {
        here.connect(Timestamp::ZERO, node(number), place("192.0.2.1", b"")).unwrap();
        here.announce(node(number), &[blob(1)]).unwrap();
    }
    redis.signal(rustix::process::Signal::CONT);
    let there = redis.tracker();
    wait_for("what was told meanwhile", || {
        (names(&there, blob(1), node(9)).len() == 10).then_some(())
    });
}

#[test]
fn an_index_begins_without_its_redis() {
    let Some(mut redis) = Redis::start() else { return };
    redis.kill();
    let settings = RedisSettings::new(&redis.url(), NodeId::new([7; 32])).unwrap();
    let here = RedisTracker::open(settings, Limits::default()).unwrap().0;
    here.connect(Timestamp::ZERO, node(1), place("192.0.2.1", b"")).unwrap();
    here.announce(node(1), &[blob(1)]).unwrap();
    assert_eq!(names(&here, blob(1), node(9)), [node(1)]);
    redis.restart();
    let there = redis.tracker();
    wait_for_names(&there, node(9), &[node(1)]);
}

#[test]
fn an_address_that_makes_no_sense_is_refused_and_not_shown() {
    for url in ["http://user:hunter2@host", "redis:", "nonsense hunter2", ""] {
        let error = RedisSettings::new(url, node(1)).err().expect(url).to_string();
        assert!(error.contains("redis://HOST:PORT") && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_of_two_servers_find_each_other_and_are_introduced() {
    let Some(mut redis) = Redis::start() else { return };
    let url = redis.url();
    let one = House::open_with(None, |service| service.share_index(&url).unwrap()).await;
    let two = House::open_with(Some(&one), |service| service.share_index(&url).unwrap()).await;
    assert_eq!(one.node, two.node, "one service");
    wait_for("both to hear", || {
        let mut connection = redis.connect()?;
        let heard: Vec<Vec<u8>> =
            redis::cmd("PUBSUB").arg("CHANNELS").query(&mut connection).unwrap();
        (heard.len() == 2).then_some(())
    });
    let (mut a, mut b) = (Guest::arrive(&one, 7001).await, Guest::arrive(&two, 7002).await);
    b.announce(&[blob(1)]).await;
    let peers = eventually("her at the other server", async || {
        let peers = a.find(blob(1)).await;
        (!peers.is_empty()).then_some(peers)
    })
    .await;
    assert_eq!(peers[0].addresses, ["127.0.0.1:7002"]);
    let mut wanted = Vec::new();
    // The first may come before the other server hears.
    while wanted.is_empty() {
        a.ask_for(b.peer, blob(1).as_bytes()).await;
        wanted = a.introductions().await;
    }
    let told = loop {
        if let Some(told) = b.introductions().await.pop() {
            break told;
        }
    };
    assert_eq!((wanted[0].asked, told.asked, &told.id), (true, false, &wanted[0].id));
    assert_eq!(told.peer.unwrap().peer_key, a.peer.as_bytes()[..]);
    // Asked again, nobody is told again.
    for _ in 0..20 {
        a.ask_for(b.peer, blob(1).as_bytes()).await;
    }
    assert_eq!(a.introductions().await, []);
    // With Redis gone all goes on, but for what is elsewhere.
    redis.kill();
    eventually("her not to be named", async || a.find(blob(1)).await.is_empty().then_some(()))
        .await;
    a.announce(&[blob(2)]).await;
    let asker = Guest::arrive(&one, 7003).await;
    assert_eq!(asker.holders(blob(2)).await, [a.peer]);
    redis.restart();
    eventually("her again", async || (a.holders(blob(1)).await == [b.peer]).then_some(())).await;
    two.close().await;
    eventually("her leaving", async || a.find(blob(1)).await.is_empty().then_some(())).await;
    one.close().await;
}
