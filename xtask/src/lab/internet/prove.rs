//! Proof that routers of ours do what their kind is said to do.
//!
//! Hosts ask a third host with two addresses and two ports on each who they are,
//! and to be called back from all four: RFC 4787's tests of mapping and
//! filtering. Then hosts behind each pair of kinds try to meet as simply as can
//! be. What they cannot do no program can; what they can, ours should.

mod tcp;
mod udp;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::nat::{Behaviour, Filter, Nat, Transport};
use super::{House, Internet, public};
use crate::failure::{Context as _, Failure, Result};

/// Where the third host listens: two ports on each of its two addresses. The
/// first is the one that is contacted.
const STUN_PORTS: [u16; 2] = [3478, 3479];
/// Ports of hosts that ask, and of those that meet: many, each used once.
const FIRST_PORT: u16 = 31_000;
const FIRST_MEETING_PORT: u16 = 33_000;
/// How long two that try to meet go on.
const MEETING: Duration = Duration::from_secs(3);
/// How long callbacks may take.
const CALLBACK: Duration = Duration::from_millis(700);

/// The four places at which the third host listens.
fn stun() -> [SocketAddr; 4] {
    let [first, second] = STUN_PORTS;
    let at = |last, port| SocketAddr::from((public(super::SERVER, 0, last), port));
    [at(1, first), at(1, second), at(2, first), at(2, second)]
}

/// A kind of which a router does something else than it should.
#[derive(Debug)]
pub(in crate::lab) struct Lie {
    pub(in crate::lab) what: String,
}

/// Tries every kind and every pair on an internet with two households of each
/// kind, in the order of `kinds`, first one of each, then the other; what is not
/// as it should be.
///
/// # Errors
///
/// A probe cannot be made.
pub(in crate::lab) fn all(internet: &Internet, kinds: &[Nat]) -> Result<Vec<Lie>> {
    with_stun(internet, || {
        let mut lies = each_kind(internet, kinds)?;
        lies.extend(each_pair(internet, kinds)?);
        Ok(lies)
    })
}

/// Runs `work` while the third host answers.
fn with_stun<T: Send>(internet: &Internet, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, is_ready) = mpsc::channel();
    thread::scope(|scope| {
        let answering = scope.spawn(move || {
            internet.server().within(|| {
                runtime()?.block_on(async {
                    udp::answer().await?;
                    tcp::answer().await?;
                    let _ = ready.send(());
                    let _ = stopped.await;
                    Ok::<_, Failure>(())
                })
            })?
        });
        let outcome = match is_ready.recv() {
            Ok(()) => Some(work()),
            Err(_) => None,
        };
        drop(stop);
        let answered = answering.join().map_err(|_| Failure::new("the third host panicked"))?;
        answered?;
        outcome.unwrap_or_else(|| Err(Failure::new("the third host does not answer")))
    })
}

fn each_kind(internet: &Internet, kinds: &[Nat]) -> Result<Vec<Lie>> {
    let probes: Vec<(usize, Transport)> = (0..kinds.len())
        .flat_map(|house| [(house, Transport::Tcp), (house, Transport::Quic)])
        .collect();
    let seen = at_once(&probes, |index, (house, transport)| {
        observe(internet.house(*house), *transport, FIRST_PORT + 4 * index)
    })?;
    let lies = probes.iter().zip(seen).filter_map(|((house, transport), seen)| {
        let kind = kinds[*house];
        let told = kind.behaviour(*transport);
        let what = format!("{kind}, {transport}: {seen:?} instead of {told:?}");
        (seen != told).then_some(Lie { what })
    });
    Ok(lies.collect())
}

fn each_pair(internet: &Internet, kinds: &[Nat]) -> Result<Vec<Lie>> {
    let count = kinds.len();
    let mut pairs = Vec::new();
    for transport in [Transport::Tcp, Transport::Quic] {
        pairs.extend((0..count * count).map(|pair| (pair / count, pair % count, transport)));
    }
    let met = at_once(&pairs, |index, (a, b, transport)| {
        let houses = [internet.house(*a), internet.house(count + b)];
        meet(houses, *transport, FIRST_MEETING_PORT + 2 * index)
    })?;
    let lies = pairs.iter().zip(met).filter_map(|((a, b, transport), met)| {
        let (a, b) = (kinds[*a], kinds[*b]);
        let can = a.can_meet(b, *transport);
        let said = |can| if can { "meet" } else { "do not meet" };
        let what = format!("{a} and {b}, {transport}: {} but {}", said(met), said(can));
        (met != can).then_some(Lie { what })
    });
    Ok(lies.collect())
}

/// Does all of it at once; the number of each is handed along.
fn at_once<I: Sync, T: Send>(
    items: &[I],
    work: impl Fn(u16, &I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let work = &work;
    thread::scope(|scope| {
        let working: Vec<_> = (0_u16..)
            .zip(items)
            .map(|(index, item)| scope.spawn(move || work(index, item)))
            .collect();
        let joined = working
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::new("a probe panicked"))));
        joined.collect()
    })
}

/// What a router does, seen from behind it. Uses two ports from `port` on.
fn observe(house: &House, transport: Transport, port: u16) -> Result<Option<Behaviour>> {
    let host = house.host(0);
    house.open_port(host, port + 1, transport == Transport::Quic)?;
    host.within(|| {
        runtime()?.block_on(async {
            match transport {
                Transport::Tcp => tcp::observe(port).await,
                Transport::Quic => udp::observe(port).await,
            }
        })
    })?
}

/// From where callbacks came, as numbers of [`stun`]; who gets in, then.
fn filter_of(callers: &[u8]) -> Filter {
    match callers.iter().max() {
        Some(2..) => Filter::Independent,
        Some(1) => Filter::Address,
        _ => Filter::AddressAndPort,
    }
}

/// Whether two hosts meet.
fn meet(houses: [&House; 2], transport: Transport, port: u16) -> Result<bool> {
    let ((to_b, from_a), (to_a, from_b)) = (mpsc::channel(), mpsc::channel());
    let sides = [(houses[0], to_b, from_b), (houses[1], to_a, from_a)];
    let met = thread::scope(|scope| {
        let trying = sides.map(|(house, tell, hear)| {
            scope.spawn(move || try_to_meet(house, transport, port, Exchange { tell, hear }))
        });
        trying.map(|side| side.join().unwrap_or_else(|_| Err(Failure::new("a side panicked"))))
    });
    let [a, b] = met;
    Ok(a? && b?)
}

fn try_to_meet(house: &House, transport: Transport, port: u16, exchange: Exchange) -> Result<bool> {
    let host = house.host(0);
    let mapped = house.open_port(host, port, transport == Transport::Quic)?;
    let mapped = mapped.map(|port| SocketAddr::from((house.wan(), port)));
    host.within(move || {
        runtime()?.block_on(async {
            match transport {
                Transport::Tcp => tcp::meet(port, mapped, &exchange).await,
                Transport::Quic => udp::meet(port, mapped, &exchange).await,
            }
        })
    })?
}

/// How two that try to meet learn of each other.
struct Exchange {
    tell: mpsc::Sender<Option<SocketAddr>>,
    hear: mpsc::Receiver<Option<SocketAddr>>,
}

impl Exchange {
    /// Tells the other where we are seen, and hears it of the other; `None` if one
    /// of them is not seen at all.
    fn swap(&self, own: Option<SocketAddr>) -> Option<SocketAddr> {
        let _ = self.tell.send(own);
        own.and(self.hear.recv().ok().flatten())
    }
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context(|| "start a runtime".to_owned())
}

const fn any(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))
}

#[cfg(test)]
mod tests {
    use super::super::Access;
    use super::*;
    use crate::tools::Tool;

    /// Two households of each kind, those of the second round behind the others.
    fn internet(kinds: &[Nat]) -> Internet {
        let mut internet = Internet::new(Access::default(), 1).unwrap();
        for nat in kinds.iter().chain(kinds) {
            internet.add_house(*nat, Access::default(), 1).unwrap();
        }
        internet
    }

    #[test]
    fn routers_are_what_they_are_said_to_be_and_a_lie_is_found_out() {
        if !Tool::Link.present_or_skip() || !Tool::Nft.present_or_skip() {
            return;
        }
        let kinds = [Nat::Address, Nat::Port, Nat::Symmetric, Nat::NoUdp];
        let lies = all(&internet(&kinds), &kinds).unwrap();
        assert!(lies.is_empty(), "{lies:?}");
        let told = [Nat::FullCone, Nat::Symmetric, Nat::Symmetric, Nat::NoUdp];
        let lies = all(&internet(&kinds), &told).unwrap();
        let about = |what: &str| lies.iter().any(|lie| lie.what.starts_with(what));
        assert!(about("full-cone, tcp") && about("full-cone, quic"), "{lies:?}");
        assert!(about("symmetric, tcp") && about("symmetric, quic"), "{lies:?}");
        assert!(about("symmetric and symmetric, quic: meet"), "{lies:?}");
        assert!(!about("no-udp, "), "{lies:?}");
    }
}
