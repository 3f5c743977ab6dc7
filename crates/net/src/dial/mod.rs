//! From addresses to a connection: several addresses and transports, and the
//! first that stands.

mod attempt;
mod plan;
mod race;

use std::sync::Arc;

use antiphon_handshake::identity::NodeSecret;
use antiphon_types::NodeId;

use crate::connection::{Closed, Shared};
use crate::quic::{self, QuicLink};
use crate::tcp::driver::{self, Dialled};
use crate::{Attempts, Dialler, Transport};
use race::Race;

/// Whom to connect to, and as whom.
#[derive(Clone)]
pub struct Dial {
    /// `HOST:PORT` each; the first that answers is used. At most 8 are tried.
    pub addresses: Vec<String>,
    /// The same for UDP, if its ports are others; empty if they are the same.
    pub udp_addresses: Vec<String>,
    /// Who must answer.
    pub node: NodeId,
    /// The service that both belong to: the key of its server.
    pub service: NodeId,
    /// Who calls.
    pub secret: NodeSecret,
    /// Over what.
    pub transport: Transport,
    /// What [`Transport::Auto`] begins with: TCP, or QUIC where it is known that
    /// TCP does not get through (see [`Experience`](crate::Experience)).
    pub first: Transport,
    /// Where we listen, to leave from that port. Without it any port will do.
    pub from: Option<Dialler>,
    /// How hard to try.
    pub effort: Effort,
    /// What counts the attempts.
    pub attempts: Attempts,
}

/// How hard to try to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// The addresses one after the other, each once: for who is likely to be
    /// reachable.
    #[default]
    Once,
    /// All addresses at once, IPv6 first, again and again for 5 s: for two
    /// sides behind NATs or firewalls who were told of each other and dial at
    /// the same moment, each with [`Dial::from`]. What one sends opens the way
    /// for the other.
    Punch,
}

impl Dial {
    /// With any transport, from any port, once.
    pub fn new(addresses: Vec<String>, node: NodeId, service: NodeId, secret: NodeSecret) -> Self {
        Self {
            addresses,
            udp_addresses: Vec::new(),
            node,
            service,
            secret,
            transport: Transport::default(),
            first: Transport::Tcp,
            from: None,
            effort: Effort::default(),
            attempts: Attempts::default(),
        }
    }
}

/// A connection that stands.
enum Connected {
    Tcp(Box<Dialled>),
    Quic(QuicLink),
}

/// Connects, shakes hands and runs the connection to its end.
pub(crate) async fn run(shared: Arc<Shared>, dial: Dial) {
    let connected = tokio::select! {
        connected = connect(&shared, dial) => connected,
        reason = closed_by_us(&shared) => Err(reason),
    };
    match connected {
        Err(reason) => shared.close(reason),
        Ok(Connected::Tcp(dialled)) => driver::dialled(&shared, *dialled).await,
        Ok(Connected::Quic(link)) => {
            quic::driver::established(&shared, &link);
            shared.news.notify_waiters();
            quic::driver::run(shared).await;
        }
    }
}

/// Waits until nobody wants the connection any more.
async fn closed_by_us(shared: &Shared) -> Closed {
    loop {
        shared.work.notified().await;
        if let Some(reason) = &shared.lock().closing {
            return Closed::ByUs(reason.clone());
        }
    }
}

/// The first attempt that gets through and finds who was called. Another host,
/// or a box in the middle that takes TCP and says nothing, does not end the
/// search.
async fn connect(shared: &Arc<Shared>, dial: Dial) -> Result<Connected, Closed> {
    let mut race = Race::begin(shared, Arc::new(dial)).await;
    race.winner().await.ok_or_else(|| race.verdict())
}
