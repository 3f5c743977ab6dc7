//! Presence by multicast DNS (RFC 6762, RFC 6763), which networks let through
//! that drop broadcasts, and which speaks IPv6.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use antiphon_types::NodeId;
use mdns_sd::{DaemonStatus, Receiver, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent};
use mdns_sd::{Error, ServiceInfo};

use super::networks::Networks;
use super::{LanConfig, ServiceTag};

/// What we are called. By RFC 6763 section 7 whatever speaks more than TCP is
/// `_udp`; the port is one of both.
const SERVICE_TYPE: &str = "_antiphon._udp.local.";

/// The keys of the text record: the tag of the service and the peer key, both in
/// hexadecimal.
const TAG: &str = "t";
const PEER: &str = "p";

/// Records that the resolver may keep. It has no bound of its own; one who floods
/// the network with names ends multicast DNS here, and broadcasts go on.
const MAX_RECORDS: i64 = 4_096;

/// How long the resolver may take to say how many it has.
const PATIENCE: Duration = Duration::from_secs(1);

/// What multicast DNS says.
#[derive(Debug)]
pub(super) enum Naming {
    /// An instance of the service is this node.
    Named { name: String, node: NodeId, addresses: Vec<SocketAddr> },
    /// An instance is no more.
    Unnamed { name: String },
    /// The search has ended and begins again: all was forgotten.
    Restarted,
}

/// Our resolver and announcer: a thread of the library.
pub(super) struct Mdns {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    tag: ServiceTag,
    /// The name under which we are announced.
    ours: Option<String>,
}

impl Mdns {
    /// Begins to search, and to announce if we have a port.
    pub(super) fn start(config: &LanConfig) -> Result<Self, Error> {
        let daemon = ServiceDaemon::new()?;
        let tag = ServiceTag::of(&config.service);
        let begun = Self::begin(&daemon, config, tag);
        let (events, ours) = begun.inspect_err(|_| drop(daemon.shutdown()))?;
        Ok(Self { daemon, events, tag, ours })
    }

    fn begin(
        daemon: &ServiceDaemon,
        config: &LanConfig,
        tag: ServiceTag,
    ) -> Result<(Receiver<ServiceEvent>, Option<String>), Error> {
        let events = daemon.browse(SERVICE_TYPE)?;
        if config.port == 0 {
            return Ok((events, None));
        }
        let announced = announced(config, tag, "")?.enable_addr_auto();
        let name = announced.get_fullname().to_owned();
        daemon.register(announced)?;
        Ok((events, Some(name)))
    }

    /// The next that it says. Ends with an error when the library's thread has.
    pub(super) async fn next(&mut self, networks: &Networks) -> Result<Naming, Error> {
        loop {
            let Ok(event) = self.events.recv_async().await else {
                // So ends a search that was not heard in time.
                self.events = self.daemon.browse(SERVICE_TYPE)?;
                return Ok(Naming::Restarted);
            };
            match event {
                ServiceEvent::ServiceResolved(service) => {
                    if let Some((node, addresses)) = read(&service, self.tag, networks) {
                        return Ok(Naming::Named { name: service.fullname, node, addresses });
                    }
                }
                ServiceEvent::ServiceRemoved(_, name) => return Ok(Naming::Unnamed { name }),
                _ => {}
            }
        }
    }

    /// Whether the resolver has been made to keep more than is sound.
    pub(super) async fn is_flooded(&self) -> bool {
        let Ok(metrics) = self.daemon.get_metrics() else { return false };
        let Ok(Ok(metrics)) = tokio::time::timeout(PATIENCE, metrics.recv_async()).await else {
            return false;
        };
        let cached = metrics.iter().filter(|(name, _)| name.starts_with("cached-"));
        cached.map(|(_, count)| count).sum::<i64>() > MAX_RECORDS
    }

    /// What is needed to take our leave.
    pub(super) fn leave(&self) -> MdnsLeave {
        MdnsLeave { daemon: self.daemon.clone(), ours: self.ours.clone() }
    }
}

/// Ends the library's thread, in one way or the other.
#[derive(Clone)]
pub(super) struct MdnsLeave {
    daemon: ServiceDaemon,
    ours: Option<String>,
}

impl MdnsLeave {
    /// Withdraws our name and ends the thread, which answers when it is done.
    pub(super) fn go(&self) -> Option<Receiver<DaemonStatus>> {
        if let Some(name) = &self.ours {
            // It may have ended before.
            let _ = self.daemon.unregister(name);
        }
        self.daemon.shutdown().ok()
    }
}

/// What we say of ourselves: names made of the peer key, never of the machine.
fn announced(config: &LanConfig, tag: ServiceTag, addresses: &str) -> Result<ServiceInfo, Error> {
    let peer = config.peer.to_string();
    // A label of a name holds 63 bytes, a key has 64 digits.
    let name = &peer[..32];
    let host = format!("antiphon-{}.local.", &peer[..16]);
    let tag = hex::encode(tag.as_bytes());
    let text = [(TAG, tag.as_str()), (PEER, peer.as_str())];
    ServiceInfo::new(SERVICE_TYPE, name, &host, addresses, config.port, &text[..])
}

/// Who an instance is, if it is one of our service, and where; addresses behind
/// routers are left out.
fn read(
    service: &ResolvedService,
    tag: ServiceTag,
    networks: &Networks,
) -> Option<(NodeId, Vec<SocketAddr>)> {
    if service.get_property_val_str(TAG)? != hex::encode(tag.as_bytes()) {
        return None;
    }
    let node = service.get_property_val_str(PEER)?.parse().ok()?;
    let port = service.port;
    let addresses = service
        .addresses
        .iter()
        .filter(|address| networks.believes(address.to_ip_addr()))
        .filter_map(|address| match (address, address.to_ip_addr()) {
            // Such an address means nothing without its interface.
            (ScopedIp::V6(scoped), IpAddr::V6(v6)) if v6.is_unicast_link_local() => {
                let scope = scoped.scope_id().index;
                (scope != 0).then(|| SocketAddrV6::new(v6, port, 0, scope).into())
            }
            (_, other) => Some(SocketAddr::new(other, port)),
        })
        .collect();
    (port != 0).then_some((node, addresses))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> LanConfig {
        LanConfig::new(NodeId::new([1; 32]), NodeId::new([2; 32]), 4_711)
    }

    /// As another machine would see us at `addresses`.
    fn seen(addresses: &str) -> ResolvedService {
        let tag = ServiceTag::of(&config().service);
        announced(&config(), tag, addresses).unwrap().as_resolved_service()
    }

    #[test]
    fn what_we_announce_is_read_by_our_service_alone() {
        let networks = Networks::test("192.168.7.20", 22);
        let service = seen("192.168.7.1");
        let tag = ServiceTag::of(&config().service);
        let (node, addresses) = read(&service, tag, &networks).unwrap();
        assert_eq!(node, config().peer);
        assert_eq!(addresses, ["192.168.7.1:4711".parse().unwrap()]);
        let other = ServiceTag::of(&NodeId::new([9; 32]));
        assert_eq!(read(&service, other, &networks), None);
    }

    #[test]
    fn addresses_behind_routers_are_left_out() {
        let networks = Networks::test("192.168.7.20", 22);
        let service = seen("8.8.8.8,192.168.9.1,2001:db8::1");
        let tag = ServiceTag::of(&config().service);
        assert_eq!(read(&service, tag, &networks), Some((config().peer, Vec::new())));
    }

    #[test]
    fn names_say_nothing_but_the_peer_key() {
        let service = seen("192.168.7.1");
        let digits = config().peer.to_string();
        assert_eq!(service.fullname, format!("{}.{SERVICE_TYPE}", &digits[..32]));
        assert_eq!(service.host, format!("antiphon-{}.local.", &digits[..16]));
        assert_eq!(service.txt_properties.len(), 2);
    }
}
