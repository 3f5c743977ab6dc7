//! The task that asks, renews and removes.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::pcp::PcpRouter;
use super::route::{Route, client_towards};
use super::upnp::{Igd, SEARCH};
use super::wire::{Granted, ROUTER_PORT, Wanted};
use super::{Failure, MapState, Mappings, Method, PortMapConfig, Protocol, REMOVAL};

/// For how long a mapping is asked, seconds.
const LIFETIME: u32 = 3_600;

/// Bounds of the time to a renewal, whatever lifetime the router gives.
const RENEWAL_SECONDS: (u64, u64) = (30, 43_200);

/// The time to the next attempt after one that has failed; it doubles to the
/// second.
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_AT_MOST: Duration = Duration::from_secs(1_800);

/// How often it is looked whether the network is still the same.
const LOOK_AROUND: Duration = Duration::from_secs(15);

/// A router that answers, and by what.
enum Router {
    Pcp(PcpRouter),
    NatPmp(PcpRouter),
    Upnp(Igd),
}

/// What is mapped: a router and what it has granted.
struct Held {
    router: Router,
    tcp: Option<Granted>,
    udp: Option<Granted>,
}

/// Keeps mappings until it is told to stop.
pub(super) async fn run(
    config: PortMapConfig,
    mappings: watch::Sender<Mappings>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut held = None;
    // Whatever goes on is left where it is: a lease that nobody renews ends.
    tokio::select! {
        _ = &mut stopped => {}
        () = keep(&config, &mappings, &mut held) => {}
    }
    if let Some(held) = held {
        let _ = timeout(REMOVAL, held.remove(&config)).await;
    }
    mappings.send_replace(Mappings::none(MapState::Closed));
}

/// Asks and renews, for ever. What is held stands in `held` all the while.
async fn keep(config: &PortMapConfig, mappings: &watch::Sender<Mappings>, held: &mut Option<Held>) {
    let mut again = AGAIN;
    loop {
        let route = route(config);
        let outcome = match held {
            Some(held) => held.renew(config).await,
            None => match &route {
                Ok(route) => establish(config, *route, held).await,
                Err(failure) => Err(*failure),
            },
        };
        let pause = match (outcome, held.as_ref()) {
            (Ok(()), Some(held)) => {
                again = AGAIN;
                publish(mappings, held.mappings());
                held.renewal()
            }
            (Err(_), Some(_)) => {
                // Perhaps another router, or another method.
                *held = None;
                publish(mappings, Mappings::none(MapState::Asking));
                continue;
            }
            (outcome, None) => {
                let failure = outcome.err().unwrap_or(Failure::Silent);
                publish(mappings, Mappings::none(MapState::Failed(failure)));
                let pause = again;
                again = (again * 2).min(AGAIN_AT_MOST);
                pause
            }
        };
        if changed(config, &route, pause).await {
            *held = None;
            again = AGAIN;
            publish(mappings, Mappings::none(MapState::Asking));
        }
    }
}

fn publish(mappings: &watch::Sender<Mappings>, now: Mappings) {
    let news = mappings.send_if_modified(|before| std::mem::replace(before, now) != now);
    if news {
        tracing::debug!(?now, "port mappings");
    }
}

/// Waits until `pause` is over, or the network another: then `true`.
async fn changed(config: &PortMapConfig, before: &Result<Route, Failure>, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        sleep(left.min(LOOK_AROUND)).await;
        if route(config) != *before {
            return true;
        }
    }
}

/// The way to the router.
fn route(config: &PortMapConfig) -> Result<Route, Failure> {
    match &config.router {
        None => Route::read(),
        Some(router) => client_towards(*router.pcp.ip())
            .map(|client| Route { router: Some(*router.pcp.ip()), client }),
    }
    .map_err(Failure::io)
}

/// Tries one method after the other. What was granted is in `held` as soon as it
/// is, so that it is removed even if we are stopped in between.
async fn establish(
    config: &PortMapConfig,
    route: Route,
    held: &mut Option<Held>,
) -> Result<(), Failure> {
    let mut worst = Failure::Silent;
    for method in [Method::Pcp, Method::NatPmp, Method::Upnp] {
        let found = match method {
            Method::Upnp if config.upnp => find(config, route).await,
            Method::Pcp if config.pcp => at(config, route).await.map(Router::Pcp),
            Method::NatPmp if config.nat_pmp => at(config, route).await.map(Router::NatPmp),
            _ => continue,
        };
        let outcome = match found {
            Ok(router) => held.insert(Held { router, tcp: None, udp: None }).renew(config).await,
            Err(failure) => Err(failure),
        };
        let Err(failure) = outcome else { return Ok(()) };
        tracing::debug!(?method, "no port mapping: {failure}");
        *held = None;
        // To have been refused says more than silence.
        if !matches!(failure, Failure::Silent | Failure::Unsupported) {
            worst = failure;
        }
    }
    Err(worst)
}

async fn at(config: &PortMapConfig, route: Route) -> Result<PcpRouter, Failure> {
    let router = config.router.map(|router| router.pcp);
    let router = router.or_else(|| Some(SocketAddrV4::new(route.router?, ROUTER_PORT)));
    PcpRouter::at(router.ok_or(Failure::Silent)?, route.client).await
}

async fn find(config: &PortMapConfig, route: Route) -> Result<Router, Failure> {
    let search = config.router.map_or(SEARCH, |router| router.search);
    Igd::find(search, route.router, route.client).await.map(Router::Upnp)
}

impl Held {
    /// Asks for all ports, anew or once more. It is enough if one is granted.
    async fn renew(&mut self, config: &PortMapConfig) -> Result<(), Failure> {
        let mut failure = None;
        let mut granted = false;
        for (protocol, port) in [(Protocol::Tcp, config.tcp), (Protocol::Udp, config.udp)] {
            let Some(internal) = port else { continue };
            let suggested = self.slot(protocol).map_or(internal, |granted| granted.port);
            let wanted = Wanted { protocol, internal, suggested, lifetime: LIFETIME };
            match self.map(&wanted).await {
                Ok(new) => {
                    *self.slot(protocol) = Some(new);
                    granted = true;
                }
                Err(why) => {
                    *self.slot(protocol) = None;
                    failure = Some(why);
                    // Nobody there: the other port would wait for nobody too.
                    if matches!(why, Failure::Silent | Failure::Unsupported) {
                        break;
                    }
                }
            }
        }
        if granted { Ok(()) } else { Err(failure.unwrap_or(Failure::Silent)) }
    }

    /// Asks for one; what is no mapping for us is given back.
    async fn map(&self, wanted: &Wanted) -> Result<Granted, Failure> {
        let granted = self.router.map(wanted).await?;
        if let Err(failure) = sensible(granted) {
            let useless = Wanted { suggested: granted.port, lifetime: 0, ..*wanted };
            let _ = self.router.unmap(&useless).await;
            return Err(failure);
        }
        Ok(granted)
    }

    /// Gives all back.
    async fn remove(self, config: &PortMapConfig) {
        let tcp = self.tcp.zip(config.tcp).map(|both| (Protocol::Tcp, both));
        let udp = self.udp.zip(config.udp).map(|both| (Protocol::Udp, both));
        for (protocol, (granted, internal)) in tcp.into_iter().chain(udp) {
            let wanted = Wanted { protocol, internal, suggested: granted.port, lifetime: 0 };
            if let Err(failure) = self.router.unmap(&wanted).await {
                tracing::debug!(?protocol, "a port mapping is left to end by itself: {failure}");
            }
        }
    }

    /// When to renew: at half of the shorter lifetime.
    fn renewal(&self) -> Duration {
        let lifetimes = [self.tcp, self.udp].into_iter().flatten().map(|granted| granted.lifetime);
        let half = u64::from(lifetimes.min().unwrap_or(LIFETIME)) / 2;
        Duration::from_secs(half.clamp(RENEWAL_SECONDS.0, RENEWAL_SECONDS.1))
    }

    fn mappings(&self) -> Mappings {
        let address = |granted: Option<Granted>| {
            granted.and_then(|granted| Some(SocketAddrV4::new(granted.address?, granted.port)))
        };
        let method = match &self.router {
            Router::Pcp(_) => Method::Pcp,
            Router::NatPmp(_) => Method::NatPmp,
            Router::Upnp(_) => Method::Upnp,
        };
        Mappings {
            tcp: address(self.tcp),
            udp: address(self.udp),
            method: Some(method),
            state: MapState::Mapped,
        }
    }

    fn slot(&mut self, protocol: Protocol) -> &mut Option<Granted> {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
        }
    }
}

impl Router {
    async fn map(&self, wanted: &Wanted) -> Result<Granted, Failure> {
        match self {
            Self::Pcp(router) => router.pcp(wanted).await,
            Self::NatPmp(router) => router.nat_pmp(wanted).await,
            Self::Upnp(device) => device.map(wanted).await,
        }
    }

    /// With a lifetime of 0.
    async fn unmap(&self, wanted: &Wanted) -> Result<(), Failure> {
        match self {
            Self::Pcp(router) => router.pcp(wanted).await.map(drop),
            Self::NatPmp(router) => router.nat_pmp(wanted).await.map(drop),
            Self::Upnp(device) => device.unmap(wanted.protocol, wanted.suggested).await,
        }
    }
}

/// A mapping that could be one: to a port, at an address of a host, with an end.
fn sensible(granted: Granted) -> Result<(), Failure> {
    let host = |address: Ipv4Addr| {
        !(address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || address.is_broadcast())
    };
    match granted {
        Granted { lifetime: 0, .. } => Err(Failure::OnlyPermanent),
        Granted { port: 1.., address: Some(address), .. } if host(address) => Ok(()),
        _ => Err(Failure::Garbage),
    }
}
