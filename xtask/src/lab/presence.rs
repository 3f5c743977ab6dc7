//! Two listeners on one network with no server: how soon each finds the other.

use std::time::{Duration, Instant};

use antiphon_net::lan::{Lan, LanConfig, LanEvent};
use antiphon_types::NodeId;
use tokio::runtime::Builder;
use tokio::sync::Barrier;
use tokio::time::timeout;

use super::namespace::Namespace;
use crate::failure::{Context as _, Failure, Result};

/// How long they may take, and how long the first waits for the second.
const PATIENCE: Duration = Duration::from_secs(20);

/// How listeners say that they are there.
#[derive(Debug, Clone, Copy)]
pub struct Ways {
    /// Whether by multicast DNS.
    pub mdns: bool,
    /// Whether by broadcast.
    pub broadcast: bool,
}

/// Puts two listeners on an Ethernet of their own, with these ways. Returns what each took to find the other, at its address
/// on that network.
///
/// # Errors
///
/// No namespaces can be made (Linux, root), or one does not find the other within
/// 20 s.
pub fn meet(ways: Ways) -> Result<[Duration; 2]> {
    let sides = [Namespace::new("one")?, Namespace::new("two")?];
    let two = sides[1].path();
    let two = two.to_str().ok_or_else(|| Failure::new("a namespace with a strange name"))?;
    sides[0].ip(&["link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", two])?;
    for (side, address) in sides.iter().zip(["10.77.1.1/24", "10.77.1.2/24"]) {
        side.ip(&["address", "add", address, "dev", "lan"])?;
        side.ip(&["link", "set", "lan", "up"])?;
    }
    let both = Barrier::new(2);
    let [one, two] = &sides;
    std::thread::scope(|scope| {
        let one = scope.spawn(|| one.within(|| find(1, 2, ways, &both)));
        let two = scope.spawn(|| two.within(|| find(2, 1, ways, &both)));
        let ended = |side: std::thread::ScopedJoinHandle<'_, Result<Result<Duration>>>| {
            side.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?
        };
        Ok([ended(one)?, ended(two)?])
    })
}

/// Listens as `own` in the namespace of this thread until `other` is found, and on
/// until both have got so far.
fn find(own: u8, other: u8, ways: Ways, both: &Barrier) -> Result<Duration> {
    let key = |number| NodeId::new([number; 32]);
    let port = |number| 4_000 + u16::from(number);
    let there = format!("10.77.1.{other}:{}", port(other));
    let there = there.parse().context(|| format!("read {there}"))?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let begin = Instant::now();
        let Ways { mdns, broadcast } = ways;
        let (lan, mut events) = Lan::start(LanConfig {
            mdns,
            broadcast,
            ..LanConfig::new(key(0), key(own), port(own))
        });
        let found = async {
            while let Some(event) = events.recv().await {
                if let LanEvent::Seen { node, addresses } = event
                    && node == key(other)
                    && addresses.contains(&there)
                {
                    return Some(begin.elapsed());
                }
            }
            None
        };
        let found = timeout(PATIENCE, found).await.ok().flatten();
        // Who leaves at once may not have been heard yet.
        let _ = timeout(PATIENCE, both.wait()).await;
        lan.close().await;
        found.ok_or_else(|| Failure::new(format!("{own} has not found {other} in {PATIENCE:?}")))
    })
}
