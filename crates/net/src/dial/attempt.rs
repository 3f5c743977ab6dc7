//! One attempt: one address, one transport.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Dial, Effort};
use crate::attempts::{AttemptKind, Outcome};
use crate::connection::Shared;
use crate::quic::{self, QuicLink};
use crate::tcp::driver::{self, Dialled};
use crate::tcp::greeting::GreetingError;
use crate::{Transport, socket};

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a TCP connection may take to answer the greeting, before the next
/// is tried: a round trip and a lost packet.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause before a TCP connection that was refused is tried again, when a hole is
/// to be punched. A NAT that has not heard of the other side may refuse it, and
/// ours then takes our packet for answered: the two must be under way at one
/// time, so the first pauses are short against a round trip. They grow, for
/// whoever refuses may be no NAT: it gets about 30 packets in all.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// How long QUIC opens only our own NAT, by packets that go no further, before any
/// go to the other side: the time by which the two may begin apart. A packet that
/// comes to a NAT too early may make it give the other side another port than it
/// had (Linux does, without a firewall).
const KNOCKING: Duration = Duration::from_millis(150);

/// Pause between packets that open the way for QUIC.
const FIRST_OPENER_PAUSE: Duration = Duration::from_millis(50);

/// The longest that a pause grows to.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// What got through.
pub(super) enum Through {
    /// Hands are not shaken yet.
    Tcp(TcpStream),
    Greeted(Box<Dialled>),
    Quic(QuicLink),
}

/// Why nothing did.
pub(super) enum Failure {
    Io(io::Error),
    /// Somebody else, or who was called and does not want to.
    Mistaken(String),
    /// The other side's call came the same way.
    Met,
}

impl Failure {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => Outcome::Refused,
                io::ErrorKind::TimedOut => Outcome::TimedOut,
                _ => Outcome::Failed,
            },
            Self::Mistaken(_) => Outcome::Mistaken,
            Self::Met => Outcome::Met,
        }
    }
}

/// What is tried, for whom.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) shared: Arc<Shared>,
    pub(super) dial: Arc<Dial>,
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
}

impl Attempt {
    /// Tries. Of a TCP connection that is made once, the greeting is left to
    /// the caller: it carries requests, of which one at a time is enough.
    pub(super) async fn run(self) -> Result<Through, Failure> {
        self.count(Outcome::Begun);
        let deadline = Instant::now() + ATTEMPT_TIMEOUT;
        let through = match (self.transport, self.dial.effort) {
            (Transport::Quic, Effort::Once) => self.quic(deadline).await,
            (Transport::Quic, Effort::Punch) => self.punch_quic(deadline).await,
            (_, Effort::Once) => self.tcp(deadline).await.map(Through::Tcp),
            (_, Effort::Punch) => self.punch_tcp(deadline).await,
        };
        match &through {
            Ok(Through::Tcp(_)) => {}
            Ok(_) => self.count(Outcome::Connected),
            Err(failure) => self.count(failure.outcome()),
        }
        through
    }

    /// Shakes hands over a TCP connection that was made.
    pub(super) async fn greet(&self, stream: TcpStream) -> Result<Box<Dialled>, Failure> {
        let greeted = self.shake_hands(stream).await.map_err(mistaken);
        self.count(greeted.as_ref().err().map_or(Outcome::Connected, Failure::outcome));
        greeted
    }

    fn count(&self, outcome: Outcome) {
        let kind = AttemptKind {
            transport: self.transport,
            is_ipv6: self.address.ip().to_canonical().is_ipv6(),
            effort: self.dial.effort,
        };
        self.dial.attempts.count(kind, outcome);
    }

    async fn shake_hands(&self, stream: TcpStream) -> Result<Box<Dialled>, GreetingError> {
        let greeting = driver::greet(&self.shared, stream, &self.dial);
        match tokio::time::timeout(GREETING_TIMEOUT, greeting).await {
            Ok(greeted) => greeted.map(Box::new),
            Err(_) => Err(GreetingError::Silence),
        }
    }

    async fn tcp(&self, deadline: Instant) -> Result<TcpStream, Failure> {
        let local = self.dial.from.as_ref().map(|from| from.local_address());
        in_time(deadline, socket::connect(self.address, local)).await
    }

    async fn quic(&self, deadline: Instant) -> Result<Through, Failure> {
        in_time(deadline, quic::connect(self.address, &self.dial)).await.map(Through::Quic)
    }

    /// Connects again and again. Either our packet or the other side's is the
    /// first that finds the way open; the kernel joins both to one connection if
    /// they cross (RFC 9293 section 3.5), and if ours is not under way when
    /// theirs comes, we are listening.
    async fn punch_tcp(&self, deadline: Instant) -> Result<Through, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.tcp(deadline).await {
                Ok(stream) => match self.shake_hands(stream).await {
                    Ok(dialled) => return Ok(Through::Greeted(dialled)),
                    // A NAT or a firewall that has changed its mind.
                    Err(GreetingError::Io(error)) => Failure::Io(error),
                    Err(error) => return Err(mistaken(error)),
                },
                Err(failure) => failure,
            };
            if Instant::now() + pause >= deadline {
                return Err(failure);
            }
            // Not in step with the other side, or the two might miss each other
            // for ever.
            tokio::time::sleep(pause.mul_f32(rand::random_range(0.5..1.5))).await;
            pause = (pause * 5 / 4).min(LONGEST_PAUSE);
        }
    }

    /// Opens our side, then connects, and sends packets meanwhile that cost
    /// little and open the way: those that quinn repeats are few and large.
    async fn punch_quic(&self, deadline: Instant) -> Result<Through, Failure> {
        if let Some(from) = self.dial.from.as_ref().filter(|_| self.address.is_ipv4()) {
            for _ in 0..KNOCKING.as_millis() / FIRST_OPENER_PAUSE.as_millis() {
                from.knock(self.address);
                tokio::time::sleep(FIRST_OPENER_PAUSE).await;
            }
        }
        tokio::select! {
            through = self.quic(deadline) => through,
            () = self.open_way() => Err(Failure::Io(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn open_way(&self) {
        let mut pause = FIRST_OPENER_PAUSE;
        loop {
            if let Some(from) = &self.dial.from {
                from.open_way(self.address);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}

fn mistaken(error: GreetingError) -> Failure {
    match error {
        GreetingError::Met => Failure::Met,
        error => Failure::Mistaken(error.to_string()),
    }
}

async fn in_time<T>(
    deadline: Instant,
    attempt: impl Future<Output = io::Result<T>>,
) -> Result<T, Failure> {
    tokio::time::timeout_at(deadline, attempt)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(Failure::Io)
}
