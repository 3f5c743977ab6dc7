//! Where others may reach us: told to the server as we learn it.

use std::time::Duration;

use antiphon_net::portmap::{Mappings, PortMap, PortMapConfig};
use antiphon_net::{Dialler, Observed, lan};
use antiphon_wire::proto;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;

use crate::session::Session;

/// How often the server is asked where it sees our UDP port. That also keeps a NAT's
/// mapping, which lasts 30 s and more without packets.
const OBSERVE_EVERY: Duration = Duration::from_secs(15);

/// Asks the router for mappings and the server for our address, and tells the server
/// what comes of it, for as long as the session lives.
pub(crate) async fn tell_reach(session: Session, dialler: Dialler) {
    let port = dialler.local_address().port();
    // No router leads to the loopback.
    let is_reachable = !dialler.local_address().ip().is_loopback();
    let map = is_reachable.then(|| PortMap::start(PortMapConfig::new(port, port)));
    let mut mappings = map.as_ref().map(PortMap::watch);
    let mut welcomes = session.welcomes();
    let mut told: Option<proto::Reach> = None;
    let mut due = tokio::time::interval(OBSERVE_EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            changed = changed(&mut mappings) => if changed.is_err() { break },
            changed = welcomes.changed() => {
                if changed.is_err() {
                    break;
                }
                // Another session knows nothing of us yet.
                told = None;
            }
        }
        let Some(server) = session.server_address() else { continue };
        // Asked each time: a NAT may map anew at any time.
        let observed = dialler.observe(server).await.ok();
        let at_port = session.is_at_listening_port();
        let reach = reach(mapped(&mut mappings), observed, at_port);
        if told.as_ref().is_none_or(|told| !says_the_same(told, &reach)) {
            session.tell_reach(reach.clone());
            told = Some(reach);
        }
    }
    if let Some(map) = map {
        map.close().await;
    }
}

/// Waits for other mappings; for ever if none was asked for.
async fn changed(mappings: &mut Option<watch::Receiver<Mappings>>) -> Result<(), RecvError> {
    match mappings {
        Some(mappings) => mappings.changed().await,
        None => std::future::pending().await,
    }
}

fn mapped(mappings: &mut Option<watch::Receiver<Mappings>>) -> Option<Mappings> {
    mappings.as_mut().map(|mappings| *mappings.borrow_and_update())
}

/// Whether nothing but the proofs differs: they are looked at when they come, once.
fn says_the_same(told: &proto::Reach, now: &proto::Reach) -> bool {
    let addresses = |reach: &proto::Reach| {
        let observed = reach.observed.iter();
        observed.map(|observed| observed.address.clone()).collect::<Vec<_>>()
    };
    let rest = |reach: &proto::Reach| proto::Reach { observed: Vec::new(), ..reach.clone() };
    addresses(told) == addresses(now) && rest(told) == rest(now)
}

fn reach(mappings: Option<Mappings>, observed: Option<Observed>, at_port: bool) -> proto::Reach {
    let port = |mapped: Option<std::net::SocketAddrV4>| {
        mapped.map_or(0, |address| u32::from(address.port()))
    };
    let proven = observed.map(|observed| proto::ProvenAddress {
        address: observed.address.to_string(),
        proof: Bytes::copy_from_slice(observed.proof.as_bytes()),
    });
    proto::Reach {
        mapped_tcp_port: port(mappings.and_then(|mappings| mappings.tcp)),
        mapped_udp_port: port(mappings.and_then(|mappings| mappings.udp)),
        observed: proven.into_iter().collect(),
        local_addresses: lan::own_addresses().iter().map(ToString::to_string).collect(),
        from_listening_port: at_port,
    }
}
