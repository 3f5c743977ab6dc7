//! From addresses to a connection: several addresses and transports, and the
//! first that stands.
//!
//! Attempts begin one after another (RFC 8305): the next while the one before
//! has not answered, at once if it has failed. They race for the connection,
//! never for a request: what was written before waits for the winner.

use std::io;
use std::iter::Peekable;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::{Closed, Dial, Shared};
use crate::quic::{self, QuicLink};
use crate::tcp::driver::{self, Dialled};
use crate::{Transport, socket};

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a TCP connection may take to answer the greeting, before the next
/// is tried: a round trip and a lost packet.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the next address waits for the one before (RFC 8305 section 5).
const ADDRESS_DELAY: Duration = Duration::from_millis(250);

/// How long QUIC waits for TCP at the same address: a round trip across a
/// continent, so that near servers shake hands once and not twice.
const QUIC_DELAY: Duration = Duration::from_millis(100);

/// How long QUIC may still take when TCP was refused: a round trip, and one
/// packet lost.
const QUIC_AFTER_REFUSAL: Duration = Duration::from_millis(1_300);

/// Addresses tried for one connection: they come from strangers.
const MAX_ADDRESSES: usize = 8;

/// An attempt that got through.
enum Through {
    Tcp(TcpStream),
    Quic(QuicLink),
}

/// A connection that stands.
enum Connected {
    Tcp(Box<Dialled>),
    Quic(QuicLink),
}

/// Connects, shakes hands and runs the connection to its end.
pub(crate) async fn run(shared: Arc<Shared>, dial: Dial) {
    let connected = tokio::select! {
        connected = connect(&shared, &dial) => connected,
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
async fn connect(shared: &Shared, dial: &Dial) -> Result<Connected, Closed> {
    let mut race = Race::begin(dial).await;
    let mut refused = None;
    while let Some(through) = race.next(dial).await {
        let stream = match through {
            Through::Quic(link) => return Ok(Connected::Quic(link)),
            Through::Tcp(stream) => stream,
        };
        let greeting = driver::greet(shared, stream, dial);
        refused = Some(match tokio::time::timeout(GREETING_TIMEOUT, greeting).await {
            Ok(Ok(dialled)) => return Ok(Connected::Tcp(Box::new(dialled))),
            Ok(Err(error)) => Closed::Handshake(error.to_string()),
            Err(_) => Closed::Handshake("the handshake was not answered".to_owned()),
        });
    }
    Err(refused.unwrap_or_else(|| Closed::Unreachable {
        address: dial.addresses.join(", "),
        reason: race.failure.unwrap_or(io::ErrorKind::AddrNotAvailable.into()).to_string(),
    }))
}

/// Attempts that begin one after another and go on side by side.
struct Race {
    waiting: Peekable<std::vec::IntoIter<Planned>>,
    racing: JoinSet<(Transport, io::Result<Through>)>,
    /// What the last attempt that has begun was planned for, and when it began.
    planned: Duration,
    began: Instant,
    failure: Option<io::Error>,
    /// TCP attempts under way, and when one was refused last: somebody is there,
    /// and nothing listens.
    tcp_racing: usize,
    refused_at: Option<Instant>,
}

/// When to try what, counted from the begin.
type Planned = (Duration, SocketAddr, Transport);

impl Race {
    async fn begin(dial: &Dial) -> Self {
        let (addresses, failure) = resolve(&dial.addresses).await;
        Self {
            waiting: attempts(&addresses, dial.transport).into_iter().peekable(),
            racing: JoinSet::new(),
            planned: Duration::ZERO,
            began: Instant::now(),
            failure,
            tcp_racing: 0,
            refused_at: None,
        }
    }

    /// The next that gets through; `None` when all have failed.
    async fn next(&mut self, dial: &Dial) -> Option<Through> {
        loop {
            let planned = self.waiting.peek().map(|(at, ..)| at.saturating_sub(self.planned));
            if self.racing.is_empty() && planned.is_none() {
                return None;
            }
            // Nothing is waited for once all before have failed.
            let pause =
                planned.map(|pause| if self.racing.is_empty() { Duration::ZERO } else { pause });
            let due = self.began + pause.unwrap_or_default();
            // Where TCP is refused, QUIC is seldom there, and never says so.
            let last_call = self.refused_at.filter(|_| pause.is_none() && self.tcp_racing == 0);
            let last_call = last_call.map(|refused| refused + QUIC_AFTER_REFUSAL);
            tokio::select! {
                () = tokio::time::sleep_until(last_call.unwrap_or(due)), if last_call.is_some() => {
                    return None;
                }
                () = tokio::time::sleep_until(due), if pause.is_some() => {
                    if let Some((at, address, transport)) = self.waiting.next() {
                        (self.planned, self.began) = (at, Instant::now());
                        self.tcp_racing += usize::from(transport != Transport::Quic);
                        let dial = dial.clone();
                        self.racing.spawn(async move {
                            (transport, attempt(address, transport, dial).await)
                        });
                    }
                }
                Some(ended) = self.racing.join_next(), if !self.racing.is_empty() => {
                    let Ok((transport, outcome)) = ended else { continue };
                    self.tcp_racing -= usize::from(transport != Transport::Quic);
                    match outcome {
                        Ok(through) => return Some(through),
                        Err(error) => {
                            if error.kind() == io::ErrorKind::ConnectionRefused {
                                self.refused_at = Some(Instant::now());
                            }
                            self.failure = Some(error);
                        }
                    }
                }
            }
        }
    }
}

/// When to try what, in this order.
fn attempts(addresses: &[SocketAddr], transport: Transport) -> Vec<Planned> {
    let mut attempts = Vec::new();
    let mut at = Duration::ZERO;
    for &address in addresses {
        match transport {
            Transport::Auto => {
                attempts.push((at, address, Transport::Tcp));
                attempts.push((at + QUIC_DELAY, address, Transport::Quic));
            }
            one => attempts.push((at, address, one)),
        }
        at += ADDRESS_DELAY;
    }
    attempts
}

/// Addresses of names, families in turn (RFC 8305 section 4), and what failed.
async fn resolve(names: &[String]) -> (Vec<SocketAddr>, Option<io::Error>) {
    let mut failure = None;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for name in names.iter().take(MAX_ADDRESSES) {
        match lookup_host(name.as_str()).await {
            Ok(found) => found.for_each(|address: SocketAddr| {
                let family = first.first().map_or(address.is_ipv6(), SocketAddr::is_ipv6);
                if address.is_ipv6() == family { &mut first } else { &mut second }.push(address);
            }),
            Err(error) => failure = Some(error),
        }
    }
    let mut second = second.into_iter();
    let mut addresses: Vec<SocketAddr> =
        first.into_iter().flat_map(|address| [Some(address), second.next()]).flatten().collect();
    addresses.extend(second);
    addresses.truncate(MAX_ADDRESSES);
    (addresses, failure)
}

async fn attempt(address: SocketAddr, transport: Transport, dial: Dial) -> io::Result<Through> {
    let attempt = async {
        Ok(match transport {
            Transport::Quic => {
                Through::Quic(quic::connect(address, &dial.secret, dial.node, &dial.service).await?)
            }
            Transport::Auto | Transport::Tcp => Through::Tcp(socket::connect(address).await?),
        })
    };
    tokio::time::timeout(ATTEMPT_TIMEOUT, attempt)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quic_follows_tcp_and_the_next_address_both() {
        let addresses = ["10.0.0.1:7".parse().unwrap(), "10.0.0.2:7".parse().unwrap()];
        let planned: Vec<_> = attempts(&addresses, Transport::Auto)
            .into_iter()
            .map(|(at, address, transport)| (at.as_millis(), address, transport))
            .collect();
        assert_eq!(
            planned,
            [
                (0, addresses[0], Transport::Tcp),
                (100, addresses[0], Transport::Quic),
                (250, addresses[1], Transport::Tcp),
                (350, addresses[1], Transport::Quic),
            ]
        );
        assert_eq!(attempts(&addresses, Transport::Quic).len(), 2);
    }

    #[tokio::test]
    async fn families_take_turns_and_addresses_are_bounded() {
        let names: Vec<String> =
            ["[::1]:1", "[::1]:2", "[::1]:3", "127.0.0.1:4", "nowhere"].map(str::to_owned).to_vec();
        let (addresses, failure) = resolve(&names).await;
        let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [1, 4, 2, 3]);
        assert!(failure.is_some(), "a name without a port is none");
        let many = vec!["127.0.0.1:1".to_owned(); 100];
        assert_eq!(resolve(&many).await.0.len(), MAX_ADDRESSES);
    }
}
