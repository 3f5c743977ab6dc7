//! What a server signs, and how others check it.

use antiphon_handshake::identity::{NodeSecret, verify};
use antiphon_types::NodeId;
use antiphon_wire::proto::{Manifest, Message as _, SignedManifest, SignedTicket, Ticket, context};
use bytes::Bytes;

/// How long a ticket is good, in milliseconds: 6 hours.
pub const TICKET_LIFETIME_MS: u64 = 6 * 60 * 60 * 1000;

/// How far the clocks of two listeners may differ, in milliseconds.
const CLOCK_SKEW_MS: u64 = 5 * 60 * 1000;

/// Why something signed is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There is none.
    #[error("it is missing")]
    Missing,
    /// It cannot be decoded.
    #[error("it is malformed")]
    Malformed,
    /// The signature is not the service's.
    #[error("it is not signed by this service")]
    Signature,
    /// It names another peer than the one who shows it.
    #[error("it is another peer's")]
    Stranger,
    /// It is for another service.
    #[error("it is for another service")]
    Service,
    /// Its time is over, or has not come.
    #[error("it has expired, or this computer's clock is wrong")]
    Expired,
}

/// Certifies a peer key for [`TICKET_LIFETIME_MS`] from `now_ms` (milliseconds
/// since 1970).
pub fn issue_ticket(server: &NodeSecret, peer: &NodeId, tier: u32, now_ms: u64) -> SignedTicket {
    let ticket = Ticket {
        peer_key: Bytes::copy_from_slice(peer.as_bytes()),
        service: Bytes::copy_from_slice(server.node_id().as_bytes()),
        tier,
        issued_ms: now_ms,
        expires_ms: now_ms.saturating_add(TICKET_LIFETIME_MS),
    }
    .encode_to_vec();
    let signature = server.sign(context::TICKET, &ticket);
    SignedTicket { ticket: ticket.into(), signature: Bytes::copy_from_slice(&signature) }
}

/// Checks that `service` certified `peer` and that the ticket is good at
/// `now_ms` (milliseconds since 1970).
pub fn check_ticket(
    signed: Option<&SignedTicket>,
    service: &NodeId,
    peer: &NodeId,
    now_ms: u64,
) -> Result<Ticket, CredentialError> {
    let signed = signed.ok_or(CredentialError::Missing)?;
    check_signature(service, context::TICKET, &signed.ticket, &signed.signature)?;
    let ticket = Ticket::decode(signed.ticket.clone()).map_err(|_| CredentialError::Malformed)?;
    if ticket.service != service.as_bytes().as_slice() {
        return Err(CredentialError::Service);
    }
    if ticket.peer_key != peer.as_bytes().as_slice() {
        return Err(CredentialError::Stranger);
    }
    let issued = ticket.issued_ms.saturating_sub(CLOCK_SKEW_MS);
    let expires = ticket.expires_ms.saturating_add(CLOCK_SKEW_MS);
    if !(issued..expires).contains(&now_ms) {
        return Err(CredentialError::Expired);
    }
    Ok(ticket)
}

/// Signs a manifest.
pub fn sign_manifest(server: &NodeSecret, manifest: &Manifest) -> SignedManifest {
    let manifest = manifest.encode_to_vec();
    let signature = server.sign(context::MANIFEST, &manifest);
    SignedManifest { manifest: manifest.into(), signature: Bytes::copy_from_slice(&signature) }
}

/// Checks that `service` signed a manifest, and decodes it.
pub fn check_manifest(
    signed: &SignedManifest,
    service: &NodeId,
) -> Result<Manifest, CredentialError> {
    check_signature(service, context::MANIFEST, &signed.manifest, &signed.signature)?;
    Manifest::decode(signed.manifest.clone()).map_err(|_| CredentialError::Malformed)
}

/// Proves to `server` that whoever holds the device key also holds `peer`.
pub fn prove_peer_key(peer: &NodeSecret, device: &NodeId, server: &NodeId) -> Bytes {
    Bytes::copy_from_slice(&peer.sign(context::PEER_KEY, &peer_key_statement(device, server)))
}

/// Checks what [`prove_peer_key`] made.
pub fn check_peer_key(
    peer: &NodeId,
    device: &NodeId,
    server: &NodeId,
    proof: &[u8],
) -> Result<(), CredentialError> {
    check_signature(peer, context::PEER_KEY, &peer_key_statement(device, server), proof)
}

fn peer_key_statement(device: &NodeId, server: &NodeId) -> Vec<u8> {
    [device.as_bytes().as_slice(), server.as_bytes()].concat()
}

fn check_signature(
    signer: &NodeId,
    context: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), CredentialError> {
    let signature: &[u8; 64] = signature.try_into().map_err(|_| CredentialError::Malformed)?;
    verify(signer, context, message, signature).map_err(|_| CredentialError::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(seed: u8) -> NodeSecret {
        NodeSecret::from_bytes(&[seed; 32])
    }

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn a_ticket_is_good_for_its_peer_its_service_and_six_hours() {
        let (server, peer) = (node(1), node(2).node_id());
        let ticket = issue_ticket(&server, &peer, 3, NOW);
        let check = |service: &NodeId, peer: &NodeId, now| {
            check_ticket(Some(&ticket), service, peer, now).map(|ticket| ticket.tier)
        };
        let service = server.node_id();
        assert_eq!(check(&service, &peer, NOW), Ok(3));
        assert_eq!(check(&service, &peer, NOW + TICKET_LIFETIME_MS), Ok(3), "clocks differ");
        assert_eq!(
            check(&service, &peer, NOW + TICKET_LIFETIME_MS + CLOCK_SKEW_MS),
            Err(CredentialError::Expired)
        );
        assert_eq!(check(&service, &peer, NOW - CLOCK_SKEW_MS - 1), Err(CredentialError::Expired));
        assert_eq!(check(&service, &node(3).node_id(), NOW), Err(CredentialError::Stranger));
        assert_eq!(check(&node(4).node_id(), &peer, NOW), Err(CredentialError::Signature));
        assert_eq!(check_ticket(None, &service, &peer, NOW), Err(CredentialError::Missing));
    }

    #[test]
    fn a_forged_ticket_or_manifest_is_refused() {
        let (server, peer) = (node(1), node(2).node_id());
        let mut ticket = issue_ticket(&server, &peer, 0, NOW);
        let mut bytes = ticket.ticket.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        ticket.ticket = bytes.into();
        assert_eq!(
            check_ticket(Some(&ticket), &server.node_id(), &peer, NOW),
            Err(CredentialError::Signature)
        );
        let mut manifest = sign_manifest(&server, &Manifest::default());
        assert_eq!(check_manifest(&manifest, &server.node_id()), Ok(Manifest::default()));
        manifest.signature.truncate(63);
        assert_eq!(check_manifest(&manifest, &server.node_id()), Err(CredentialError::Malformed));
    }

    #[test]
    fn nobody_can_have_anothers_peer_key_certified() {
        let (device, server, peer) = (node(1).node_id(), node(2).node_id(), node(3));
        let proof = prove_peer_key(&peer, &device, &server);
        assert_eq!(check_peer_key(&peer.node_id(), &device, &server, &proof), Ok(()));
        let thief = node(4).node_id();
        assert!(check_peer_key(&peer.node_id(), &thief, &server, &proof).is_err());
    }
}
