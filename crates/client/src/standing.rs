//! The peer key of a session, and its ticket.
//!
//! A new process draws a new key, so that what other listeners see does not outlive
//! a session. It cannot do so while the server is away: nobody would certify the key,
//! and listeners of one household could not find each other. So key and ticket are
//! kept for as long as the ticket is good, six hours at most, and taken up again by a
//! process that starts within that time.

use std::fs;
use std::path::{Path, PathBuf};

use antiphon_net::identity::NodeSecret;
use antiphon_net::{TICKET_LIFETIME_MS, check_ticket, wall_clock_ms};
use antiphon_types::NodeId;
use antiphon_wire::proto::{self, Message as _};

use crate::settings::replace_file;

/// A key and when it was drawn stand before the ticket in the file.
const HEAD_BYTES: usize = 32 + 8;

/// Where key and ticket are kept.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    path: PathBuf,
    drawn_ms: u64,
}

impl Standing {
    /// The key that was kept, with its ticket, or a new one.
    pub(crate) fn open(
        path: &Path,
        service: &NodeId,
    ) -> (Self, NodeSecret, Option<proto::SignedTicket>) {
        let now_ms = wall_clock_ms();
        if let Some((secret, drawn_ms, ticket)) = read(path, service, now_ms) {
            return (Self { path: path.to_owned(), drawn_ms }, secret, Some(ticket));
        }
        let secret = NodeSecret::generate(&mut rand::rng());
        (Self { path: path.to_owned(), drawn_ms: now_ms }, secret, None)
    }

    /// Keeps a ticket for the key.
    pub(crate) fn keep(&self, secret: &NodeSecret, ticket: &proto::SignedTicket) {
        let mut bytes = secret.to_bytes().to_vec();
        bytes.extend(self.drawn_ms.to_le_bytes());
        bytes.extend(ticket.encode_to_vec());
        if let Err(error) = replace_file(&self.path, &bytes, true) {
            tracing::debug!("the ticket is not kept: {error}");
        }
    }
}

fn read(
    path: &Path,
    service: &NodeId,
    now_ms: u64,
) -> Option<(NodeSecret, u64, proto::SignedTicket)> {
    let bytes = fs::read(path).ok()?;
    let (head, ticket) = bytes.split_at_checked(HEAD_BYTES)?;
    let (secret, drawn) = head.split_at_checked(32)?;
    let secret = NodeSecret::from_bytes(secret.try_into().ok()?);
    let drawn_ms = u64::from_le_bytes(drawn.try_into().ok()?);
    let ticket = proto::SignedTicket::decode(ticket).ok()?;
    let is_young = now_ms.checked_sub(drawn_ms)? < TICKET_LIFETIME_MS;
    let is_good = check_ticket(Some(&ticket), service, &secret.node_id(), now_ms).is_ok();
    (is_young && is_good).then_some((secret, drawn_ms, ticket))
}

#[cfg(test)]
mod tests {
    use antiphon_net::issue_ticket;

    use super::*;

    #[test]
    fn a_key_lives_as_long_as_its_ticket_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("standing");
        let server = NodeSecret::generate(&mut rand::rng());
        let service = server.node_id();
        let (standing, secret, ticket) = Standing::open(&path, &service);
        assert_eq!(ticket, None);
        let now_ms = wall_clock_ms();
        let issued = |issued_ms| issue_ticket(&server, &secret.node_id(), 0, issued_ms);

        standing.keep(&secret, &issued(now_ms));
        let (_, again, ticket) = Standing::open(&path, &service);
        assert_eq!(again.node_id(), secret.node_id());
        assert_eq!(ticket, Some(issued(now_ms)));

        standing.keep(&secret, &issued(now_ms - 2 * TICKET_LIFETIME_MS));
        assert_ne!(Standing::open(&path, &service).1.node_id(), secret.node_id(), "expired");

        let old = Standing { drawn_ms: now_ms - TICKET_LIFETIME_MS, ..standing.clone() };
        old.keep(&secret, &issued(now_ms));
        assert_ne!(Standing::open(&path, &service).1.node_id(), secret.node_id(), "drawn long ago");

        let other = NodeSecret::generate(&mut rand::rng()).node_id();
        standing.keep(&secret, &issued(now_ms));
        assert_ne!(Standing::open(&path, &other).1.node_id(), secret.node_id(), "another service");
        fs::write(&path, [7; 50]).unwrap();
        assert_ne!(Standing::open(&path, &service).1.node_id(), secret.node_id(), "garbage");
    }
}
