//! Questions and answers beside QUIC.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::udp::Transmit;
use quinn::{AsyncUdpSocket, Runtime as _, TokioRuntime};
use socket2::Socket;
use tokio::sync::oneshot;

use super::Observed;
use super::proof::ProofKey;
use super::stun::{self, TransactionId};
use crate::bucket::Bucket;
use crate::socket::{Hops, canonical};
use crate::{Clock, wall_clock_ms};

/// Questions that are answered in a second, and at once after a rest: a listener
/// asks every 15 s, so these are 75,000 listeners.
const ANSWERS_PER_SECOND: u32 = 5_000;
const ANSWERS_AT_ONCE: u32 = 10_000;

/// When a question is asked again, counted from the time before, and the last
/// wait (RFC 8489 section 6.2.1, with less patience).
const ASKED_AGAIN_AFTER: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
];

/// Questions of ours that are open at a time.
const MAX_QUESTIONS: usize = 16;

/// What uses a UDP socket beside QUIC.
pub(crate) struct Aside {
    socket: Arc<dyn AsyncUdpSocket>,
    /// The same, for what quinn does not know of.
    options: Mutex<Socket>,
    clock: Clock,
    answers: Mutex<Option<Answers>>,
    questions: Mutex<BTreeMap<TransactionId, Question>>,
}

/// What is needed to answer others.
struct Answers {
    key: ProofKey,
    bucket: Bucket,
}

/// One of ours.
struct Question {
    server: SocketAddr,
    answer: oneshot::Sender<Observed>,
}

impl Aside {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let options = Mutex::new(Socket::from(socket.try_clone()?));
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        let (answers, questions) = (Mutex::new(None), Mutex::default());
        Ok(Self { socket, options, clock: Clock::start(), answers, questions })
    }

    pub(super) fn socket(&self) -> &Arc<dyn AsyncUdpSocket> {
        &self.socket
    }

    /// Answers others from now on.
    pub(crate) fn answer_with(&self, key: ProofKey) {
        let bucket = Bucket::new(ANSWERS_PER_SECOND, ANSWERS_AT_ONCE, self.clock.now());
        *lock(&self.answers) = Some(Answers { key, bucket });
    }

    /// Sends a packet that needs no answer.
    pub(crate) fn open_way(&self, address: SocketAddr) {
        self.send(address, None, &stun::indication(&rand::random()));
    }

    /// The same with a packet that goes no further than the second router.
    pub(crate) fn knock(&self, address: SocketAddr) {
        // One at a time: the range is the socket's. If quinn sends a packet in
        // this moment, that is lost, and sent again.
        let options = lock(&self.options);
        let Ok(hops) = Hops::limit(&options, address) else { return };
        self.open_way(address);
        if let Err(error) = hops.restore() {
            tracing::error!("packets of the UDP socket go no further than two routers: {error}");
        }
    }

    /// Asks `server` where it sees us.
    pub(crate) async fn observe(&self, server: SocketAddr) -> io::Result<Observed> {
        if server.is_ipv6() && self.socket.local_addr()?.is_ipv4() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let id: TransactionId = rand::random();
        let (answer, mut answered) = oneshot::channel();
        {
            let mut questions = lock(&self.questions);
            if questions.len() >= MAX_QUESTIONS {
                return Err(io::Error::other("too many addresses are asked for at a time"));
            }
            questions.insert(id, Question { server: canonical(server), answer });
        }
        let _open = Open { aside: self, id };
        for wait in ASKED_AGAIN_AFTER {
            self.send(server, None, &stun::request(&id));
            if let Ok(Ok(observed)) = tokio::time::timeout(wait, &mut answered).await {
                return Ok(observed);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// A packet has come that is not QUIC's, from `from` to our address `to`.
    pub(super) fn hear(&self, datagram: &[u8], from: SocketAddr, to: Option<IpAddr>) {
        if let Some(id) = stun::read_request(datagram) {
            self.answer(id, from, to);
        } else if let Some((id, address, proof)) = stun::read_response(datagram) {
            let mut questions = lock(&self.questions);
            if questions.get(&id).is_some_and(|asked| asked.server == canonical(from))
                && let Some(question) = questions.remove(&id)
            {
                let address = canonical(address);
                // Whoever asked may have gone.
                let _ = question.answer.send(Observed { address, proof });
            }
        }
    }

    fn answer(&self, id: TransactionId, from: SocketAddr, to: Option<IpAddr>) {
        let address = canonical(from);
        let proof = {
            let mut answers = lock(&self.answers);
            let Some(answers) = answers.as_mut() else { return };
            if !answers.bucket.take(self.clock.now()) {
                return;
            }
            answers.key.prove(address, wall_clock_ms())
        };
        self.send(from, to, &stun::response(&id, address, &proof));
    }

    /// Sends, or does not: nothing here is worth a queue.
    fn send(&self, to: SocketAddr, from: Option<IpAddr>, contents: &[u8]) {
        let destination = match (self.socket.local_addr(), to) {
            // An IPv6 socket knows addresses of IPv4 by another form.
            (Ok(SocketAddr::V6(_)), SocketAddr::V4(to)) => {
                SocketAddr::new(to.ip().to_ipv6_mapped().into(), to.port())
            }
            (Ok(SocketAddr::V4(_)), SocketAddr::V6(_)) | (Err(_), _) => return,
            (Ok(_), to) => to,
        };
        let transmit =
            Transmit { destination, ecn: None, contents, segment_size: None, src_ip: from };
        if let Err(error) = self.socket.try_send(&transmit) {
            tracing::debug!(%to, "a packet was not sent: {error}");
        }
    }
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Forgets a question when nobody waits for its answer any more.
struct Open<'a> {
    aside: &'a Aside,
    id: TransactionId,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        lock(&self.aside.questions).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
