//! Attempts begin one after another (RFC 8305): the next while the one before
//! has not answered, at once if it has failed. They race for the connection,
//! never for a request: what was written before waits for the winner. (When a
//! hole is punched they do race: who answers is found out side by side.)

use std::io;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempt::{Attempt, Failure, Through};
use super::plan::{Planned, plan};
use super::{Connected, Dial, Effort};
use crate::Transport;
use crate::connection::{Closed, Shared};

/// How long QUIC may still take when TCP was refused: a round trip, and one
/// packet lost.
const QUIC_AFTER_REFUSAL: Duration = Duration::from_millis(1_300);

/// Attempts that begin one after another and go on side by side.
pub(super) struct Race {
    shared: Arc<Shared>,
    dial: Arc<Dial>,
    waiting: Peekable<std::vec::IntoIter<Planned>>,
    racing: JoinSet<(Attempt, Result<Through, Failure>)>,
    /// What the last attempt that has begun was planned for, and when it began.
    planned: Duration,
    began: Instant,
    /// What was found out: the last of each.
    failure: Option<io::Error>,
    mistake: Option<String>,
    has_met: bool,
    /// TCP attempts under way, and when one was refused last: somebody is there,
    /// and nothing listens.
    tcp_racing: usize,
    refused_at: Option<Instant>,
}

impl Race {
    pub(super) async fn begin(shared: &Arc<Shared>, dial: Arc<Dial>) -> Self {
        let (planned, failure) = plan(&dial).await;
        Self {
            shared: Arc::clone(shared),
            dial,
            waiting: planned.into_iter().peekable(),
            racing: JoinSet::new(),
            planned: Duration::ZERO,
            began: Instant::now(),
            failure,
            mistake: None,
            has_met: false,
            tcp_racing: 0,
            refused_at: None,
        }
    }

    /// The first that gets through to who was called.
    pub(super) async fn winner(&mut self) -> Option<Connected> {
        loop {
            let (attempt, through) = self.next().await?;
            let stream = match through {
                Through::Quic(link) => return Some(Connected::Quic(link)),
                Through::Greeted(dialled) => return Some(Connected::Tcp(dialled)),
                Through::Tcp(stream) => stream,
            };
            match attempt.greet(stream).await {
                Ok(dialled) => return Some(Connected::Tcp(dialled)),
                Err(failure) => self.note(failure),
            }
        }
    }

    /// Why there was none.
    pub(super) fn verdict(self) -> Closed {
        match (self.has_met, self.mistake) {
            (true, _) => Closed::Met,
            (_, Some(mistake)) => Closed::Handshake(mistake),
            _ => Closed::Unreachable {
                address: self.dial.addresses.join(", "),
                reason: self.failure.unwrap_or(io::ErrorKind::AddrNotAvailable.into()).to_string(),
            },
        }
    }

    /// The next that gets through; `None` when all have failed.
    async fn next(&mut self) -> Option<(Attempt, Through)> {
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
                () = tokio::time::sleep_until(due), if pause.is_some() => self.start_next(),
                Some(ended) = self.racing.join_next(), if !self.racing.is_empty() => {
                    let Ok((attempt, outcome)) = ended else { continue };
                    self.tcp_racing -= usize::from(attempt.transport != Transport::Quic);
                    match outcome {
                        Ok(through) => return Some((attempt, through)),
                        Err(failure) => self.note(failure),
                    }
                }
            }
        }
    }

    fn start_next(&mut self) {
        let Some((at, address, transport)) = self.waiting.next() else { return };
        (self.planned, self.began) = (at, Instant::now());
        self.tcp_racing += usize::from(transport != Transport::Quic);
        let (shared, dial) = (Arc::clone(&self.shared), Arc::clone(&self.dial));
        let attempt = Attempt { shared, dial, address, transport };
        self.racing.spawn(async move { (attempt.clone(), attempt.run().await) });
    }

    fn note(&mut self, failure: Failure) {
        match failure {
            Failure::Met => self.has_met = true,
            Failure::Mistaken(mistake) => self.mistake = Some(mistake),
            Failure::Io(error) => {
                // Somebody who refuses TCP while a hole is punched is a NAT.
                let is_final = self.dial.effort == Effort::Once;
                if is_final && error.kind() == io::ErrorKind::ConnectionRefused {
                    self.refused_at = Some(Instant::now());
                }
                self.failure = Some(error);
            }
        }
    }
}
