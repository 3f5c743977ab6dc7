//! The task that drives it all: sockets and clock on one side, the schedule and
//! the table of peers on the other.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::mdns::{Mdns, Naming};
use super::networks::Networks;
use super::peers::Peers;
use super::schedule::{Announcement, Schedule};
use super::{LanConfig, LanEvent, Presence, PresenceKind, broadcast};

/// How often the networks of this machine are looked at, and the table of peers
/// with them: who opens the lid of a laptop wants its peers soon.
const LOOK_AROUND: Duration = Duration::from_secs(5);

/// How often the resolver's memory is looked at, in rounds of [`LOOK_AROUND`].
const ROUNDS_TO_FLOOD: u32 = 6;

/// See [`super::Lan`].
pub(super) struct Engine {
    config: LanConfig,
    here: Presence,
    events: mpsc::Sender<LanEvent>,
    mdns: Option<Mdns>,
    socket: Option<UdpSocket>,
    networks: Networks,
    peers: Peers,
    schedule: Schedule,
}

/// What has happened.
enum Happening {
    Packet(io::Result<(usize, SocketAddr)>),
    Naming(Result<Naming, mdns_sd::Error>),
    Due,
    LookAround,
}

impl Engine {
    pub(super) fn new(
        config: LanConfig,
        here: Presence,
        mdns: Option<Mdns>,
        events: mpsc::Sender<LanEvent>,
    ) -> Self {
        let (networks, schedule) = (networks(), Schedule::start(Instant::now()));
        let socket = config.broadcast.then(|| broadcast::listen(config.broadcast_port));
        let socket = socket.and_then(|bound| bound.inspect_err(deaf).ok());
        Self { config, here, events, mdns, socket, networks, peers: Peers::default(), schedule }
    }

    /// Goes on until nobody listens.
    pub(super) async fn run(mut self) {
        // A byte more than a packet has: what is longer is not one.
        let mut buffer = [0; Presence::BYTES + 1];
        let mut look = interval(LOOK_AROUND);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rounds = 0_u32;
        loop {
            let Self { events, mdns, socket, networks, schedule, .. } = &mut self;
            let happening = tokio::select! {
                () = events.closed() => return,
                received = receive(socket.as_ref(), &mut buffer) => Happening::Packet(received),
                said = next(mdns.as_mut(), networks) => Happening::Naming(said),
                () = sleep_until(schedule.due()) => Happening::Due,
                _ = look.tick() => Happening::LookAround,
            };
            let news = match happening {
                Happening::Packet(Ok((length, from))) => {
                    self.packet(&buffer[..length], from).into_iter().collect()
                }
                Happening::Packet(Err(error)) => {
                    deaf(&error);
                    self.socket = None;
                    Vec::new()
                }
                Happening::Naming(Ok(naming)) => self.naming(naming),
                Happening::Naming(Err(error)) => self.end_mdns(&error.to_string()),
                Happening::Due => {
                    self.announce();
                    Vec::new()
                }
                Happening::LookAround => {
                    rounds = rounds.wrapping_add(1);
                    self.look_around(rounds.is_multiple_of(ROUNDS_TO_FLOOD)).await
                }
            };
            for event in news {
                if self.events.send(event).await.is_err() {
                    return;
                }
            }
        }
    }

    /// What a packet says, if it is one of our service, from a neighbour.
    fn packet(&mut self, packet: &[u8], from: SocketAddr) -> Option<LanEvent> {
        let presence = Presence::decode(packet)?;
        if presence.tag != self.here.tag || presence.peer == self.here.peer {
            return None;
        }
        let host = from.ip();
        if !self.networks.believes(host) {
            tracing::debug!(%from, "a broadcast from another network");
            return None;
        }
        match presence.kind {
            PresenceKind::Leaving => self.peers.left(presence.peer, host),
            PresenceKind::Here => self.here(&presence, host),
        }
    }

    fn here(&mut self, presence: &Presence, host: IpAddr) -> Option<LanEvent> {
        let (now, known) = (Instant::now(), self.peers.contains(&presence.peer));
        let event = self.peers.heard(presence.peer, SocketAddr::new(host, presence.port), now);
        if let Some(network) = self.networks.around(host).filter(|_| !known && event.is_some()) {
            self.schedule.newcomer(*network, now, &mut rand::rng());
        }
        event
    }

    fn naming(&mut self, naming: Naming) -> Vec<LanEvent> {
        match naming {
            Naming::Named { node, .. } if node == self.here.peer => Vec::new(),
            Naming::Named { name, node, addresses } => {
                self.peers.named(node, &name, addresses).into_iter().collect()
            }
            Naming::Unnamed { name } => self.peers.unnamed(&name).into_iter().collect(),
            Naming::Restarted => self.peers.unname_all(),
        }
    }

    fn announce(&mut self) {
        let Some(announcement) = self.schedule.take(Instant::now(), &mut rand::rng()) else {
            return;
        };
        if !self.config.broadcast || self.config.port == 0 {
            return;
        }
        let (packet, port) = (self.here.encode(), self.config.broadcast_port);
        match announcement {
            Announcement::Everywhere => broadcast::announce(&packet, port, &self.networks),
            Announcement::Greeting(networks) => {
                networks.iter().for_each(|network| broadcast::greet(&packet, port, network));
            }
        }
    }

    /// Sees what has changed of itself: networks come and go, peers fall silent.
    async fn look_around(&mut self, flood: bool) -> Vec<LanEvent> {
        let (networks, now) = (networks(), Instant::now());
        if networks != self.networks {
            self.networks = networks;
            self.schedule.restart(now);
        }
        let mut news = self.peers.expire(now);
        if flood
            && let Some(mdns) = &self.mdns
            && mdns.is_flooded().await
        {
            news.extend(self.end_mdns("the network is full of names"));
        }
        news
    }

    fn end_mdns(&mut self, why: &str) -> Vec<LanEvent> {
        tracing::warn!("multicast DNS ends, so some peers nearby are not found: {why}");
        if let Some(mdns) = self.mdns.take() {
            mdns.leave().go();
        }
        self.peers.unname_all()
    }
}

/// A packet; never, without a socket.
async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

/// What multicast DNS says next; nothing, without it.
async fn next(mdns: Option<&mut Mdns>, networks: &Networks) -> Result<Naming, mdns_sd::Error> {
    match mdns {
        Some(mdns) => mdns.next(networks).await,
        None => std::future::pending().await,
    }
}

/// The networks now; none if the system does not say.
fn networks() -> Networks {
    Networks::read().unwrap_or_else(|error| {
        tracing::debug!("the system does not name its networks: {error}");
        Networks::default()
    })
}

fn deaf(error: &io::Error) {
    tracing::warn!("cannot hear broadcasts, so some peers nearby are not found: {error}");
}
