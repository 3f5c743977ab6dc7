//! Who is known on the local network: a bounded table, without clock or socket.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use antiphon_types::NodeId;
use tokio::time::Instant;

use super::LanEvent;

/// Peers known at a time; who comes when the table is full is not heard.
pub(super) const MAX_PEERS: usize = 256;

/// Peers known at one address of a host: a household has few listeners on one
/// machine, and one machine shall not fill the table.
pub(super) const MAX_PEERS_OF_HOST: usize = 16;

/// Addresses known of one peer, by each of the two ways.
pub(super) const MAX_ADDRESSES: usize = 8;

/// How long a peer is believed after its last broadcast: three intervals.
pub(super) const EXPIRY: Duration = Duration::from_secs(105);

/// What is known of one peer. Of addresses the first come stay while they last,
/// so that a stranger who repeats a peer's key cannot push them out.
#[derive(Debug, Default)]
struct Known {
    /// Where its broadcasts came from, and when the last did.
    heard: Vec<(SocketAddr, Instant)>,
    /// What multicast DNS says, until it says otherwise.
    named: Option<Named>,
}

#[derive(Debug)]
struct Named {
    /// Of the service instance: by this name it is withdrawn.
    name: String,
    addresses: Vec<SocketAddr>,
}

impl Known {
    /// All addresses, each once; first those that a packet came from.
    fn addresses(&self) -> Vec<SocketAddr> {
        let mut addresses: Vec<_> = self.heard.iter().map(|&(address, _)| address).collect();
        for address in self.named.iter().flat_map(|named| &named.addresses) {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        addresses
    }

    /// The event, if other addresses are known than before; their order is no news.
    fn news(&self, node: NodeId, before: &[SocketAddr]) -> Option<LanEvent> {
        let addresses = self.addresses();
        let same = addresses.len() == before.len()
            && addresses.iter().all(|address| before.contains(address));
        (!same).then_some(LanEvent::Seen { node, addresses })
    }

    fn is_at(&self, host: IpAddr) -> bool {
        let named = self.named.iter().flat_map(|named| &named.addresses);
        self.heard.iter().map(|(address, _)| address).chain(named).any(|one| one.ip() == host)
    }
}

/// The table. What changes in it comes back as an event.
#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<NodeId, Known>);

impl Peers {
    /// Whether `node` is one of them.
    pub(super) fn contains(&self, node: &NodeId) -> bool {
        self.0.contains_key(node)
    }

    /// A broadcast of `node` came from there, with its port.
    pub(super) fn heard(
        &mut self,
        node: NodeId,
        address: SocketAddr,
        now: Instant,
    ) -> Option<LanEvent> {
        let known = self.known(node, &[address])?;
        if let Some((_, at)) = known.heard.iter_mut().find(|(one, _)| *one == address) {
            *at = now;
            return None;
        }
        if known.heard.len() >= MAX_ADDRESSES {
            return None;
        }
        let news = !known.addresses().contains(&address);
        known.heard.push((address, now));
        news.then(|| LanEvent::Seen { node, addresses: known.addresses() })
    }

    /// A broadcast from `host` says that `node` leaves. Only what was heard from
    /// there is forgotten.
    pub(super) fn left(&mut self, node: NodeId, host: IpAddr) -> Option<LanEvent> {
        self.change(node, |known| known.heard.retain(|(address, _)| address.ip() != host))
    }

    /// Multicast DNS says that the instance `name` is `node`, at `addresses`. Of
    /// two names for one node the first stays.
    pub(super) fn named(
        &mut self,
        node: NodeId,
        name: &str,
        mut addresses: Vec<SocketAddr>,
    ) -> Option<LanEvent> {
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return None;
        }
        let known = self.known(node, &addresses)?;
        if known.named.as_ref().is_some_and(|named| named.name != name) {
            return None;
        }
        let before = known.addresses();
        known.named = Some(Named { name: name.to_owned(), addresses });
        known.news(node, &before)
    }

    /// Multicast DNS knows the instance `name` no more.
    pub(super) fn unnamed(&mut self, name: &str) -> Option<LanEvent> {
        let is_it = |known: &Known| known.named.as_ref().is_some_and(|named| named.name == name);
        let node = *self.0.iter().find(|(_, known)| is_it(known))?.0;
        self.change(node, |known| known.named = None)
    }

    /// Forgets what multicast DNS has said of anybody.
    pub(super) fn unname_all(&mut self) -> Vec<LanEvent> {
        let nodes: Vec<NodeId> = self.0.keys().copied().collect();
        nodes.into_iter().filter_map(|node| self.change(node, |known| known.named = None)).collect()
    }

    /// Forgets what has not been heard for [`EXPIRY`].
    pub(super) fn expire(&mut self, now: Instant) -> Vec<LanEvent> {
        let nodes: Vec<NodeId> = self.0.keys().copied().collect();
        let fresh = |at: Instant| now.saturating_duration_since(at) < EXPIRY;
        nodes
            .into_iter()
            .filter_map(|node| self.change(node, |known| known.heard.retain(|&(_, at)| fresh(at))))
            .collect()
    }

    /// The entry of `node`, a new one if there is room for who says to be at
    /// `addresses`.
    fn known(&mut self, node: NodeId, addresses: &[SocketAddr]) -> Option<&mut Known> {
        let crowded = |host| self.0.values().filter(|known| known.is_at(host)).count();
        let room = self.0.len() < MAX_PEERS
            && addresses.iter().all(|address| crowded(address.ip()) < MAX_PEERS_OF_HOST);
        if !room && !self.0.contains_key(&node) {
            return None;
        }
        Some(self.0.entry(node).or_default())
    }

    /// Takes something away, and says so if it was the last or changed anything.
    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Known)) -> Option<LanEvent> {
        let known = self.0.get_mut(&node)?;
        let before = known.addresses();
        change(known);
        if known.addresses().is_empty() {
            self.0.remove(&node);
            return Some(LanEvent::Gone { node });
        }
        known.news(node, &before)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Heard(u16, u8, u16),
        Left(u16, u8),
        Named(u16, u16, Vec<(u8, u16)>),
        Unnamed(u16),
        UnnameAll,
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let node = || prop_oneof![0..8_u16, 0..600_u16];
        let host = || prop_oneof![0..3_u8, any::<u8>()];
        let place = (host(), 1..20_u16);
        prop_oneof![
            12 => (node(), host(), 1..20_u16).prop_map(|(n, h, p)| Step::Heard(n, h, p)),
            2 => (node(), host()).prop_map(|(n, h)| Step::Left(n, h)),
            6 => (node(), node(), proptest::collection::vec(place, 0..12))
                .prop_map(|(n, name, at)| Step::Named(n, name, at)),
            2 => node().prop_map(Step::Unnamed),
            1 => (0..20_u8).prop_map(|n| if n == 0 { Step::UnnameAll } else { Step::Pass(0) }),
            2 => (0..60_u64).prop_map(Step::Pass),
        ]
    }

    fn node(number: u16) -> NodeId {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_be_bytes());
        NodeId::new(key)
    }

    fn host(number: u8) -> IpAddr {
        IpAddr::from([192, 168, 0, number])
    }

    /// What those know who were told of the changes alone.
    type Told = BTreeMap<NodeId, BTreeSet<SocketAddr>>;

    fn tell(told: &mut Told, events: impl IntoIterator<Item = LanEvent>) {
        for event in events {
            match event {
                LanEvent::Seen { node, addresses } => {
                    told.insert(node, addresses.into_iter().collect());
                }
                LanEvent::Gone { node } => {
                    assert!(told.remove(&node).is_some(), "gone, and was never there");
                }
            }
        }
    }

    proptest! {
        /// Whatever anybody on the network says, in whatever order: the table is bounded,
        /// and whoever is told of its changes knows what is in it.
        #[test]
        fn what_is_told_is_what_is_known_and_it_is_bounded(
            steps in proptest::collection::vec(step(), 0..900),
        ) {
            let (mut now, mut peers, mut told) = (Instant::now(), Peers::default(), Told::new());
            for step in steps {
                let events: Vec<LanEvent> = match step {
                    Step::Heard(n, h, port) => {
                        let at = SocketAddr::new(host(h), port);
                        peers.heard(node(n), at, now).into_iter().collect()
                    }
                    Step::Left(n, h) => peers.left(node(n), host(h)).into_iter().collect(),
                    Step::Named(n, name, at) => {
                        let at = at.into_iter().map(|(h, p)| SocketAddr::new(host(h), p));
                        let named = peers.named(node(n), &format!("name {name}"), at.collect());
                        named.into_iter().collect()
                    }
                    Step::Unnamed(n) => peers.unnamed(&format!("name {n}")).into_iter().collect(),
                    Step::UnnameAll => peers.unname_all(),
                    Step::Pass(seconds) => {
                        now += Duration::from_secs(seconds);
                        peers.expire(now)
                    }
                };
                tell(&mut told, events);
                prop_assert!(peers.0.len() <= MAX_PEERS);
            }
            let known: Told = peers
                .0
                .iter()
                .map(|(node, known)| (*node, known.addresses().into_iter().collect()))
                .collect();
            prop_assert!(known.values().all(|at| (1..=2 * MAX_ADDRESSES).contains(&at.len())));
            prop_assert_eq!(known, told);
        }

        /// However many names one machine gives itself, there is room for others.
        #[test]
        fn one_machine_does_not_keep_others_out(
            names in proptest::collection::vec((0..600_u16, 1..2_000_u16), 0..900),
        ) {
            let (now, mut peers) = (Instant::now(), Peers::default());
            for (n, port) in names {
                peers.heard(node(n), SocketAddr::new(host(66), port), now);
                prop_assert!(peers.0.len() <= MAX_PEERS_OF_HOST);
            }
            let honest = SocketAddr::new(host(7), 7);
            prop_assert!(peers.heard(node(1_000), honest, now).is_some());
        }
    }
}
