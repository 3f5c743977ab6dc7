//! The presence packet: 60 bytes in which a listener says that it is there.
//!
//! Fixed in length and without any choice, so that there is little to get wrong
//! in reading what anybody on the network may send.

use antiphon_types::NodeId;
use sha2::{Digest as _, Sha256};

/// What every packet begins with.
const MAGIC: &[u8; 8] = b"antiphon";

/// The version of the packet; others are not ours to read.
const VERSION: u8 = 1;

/// What is hashed before a service's key.
const TAG_CONTEXT: &[u8] = b"antiphon presence v1";

/// Stands for a service on a local network: 16 bytes of a hash of its key.
///
/// It tells listeners of one service from those of another, and whoever does not
/// know the service from its link learns nothing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceTag([u8; 16]);

impl ServiceTag {
    /// The tag of `service`.
    pub fn of(service: &NodeId) -> Self {
        let hash = Sha256::new().chain_update(TAG_CONTEXT).chain_update(service.as_bytes());
        let mut tag = [0; 16];
        tag.copy_from_slice(&hash.finalize()[..16]);
        Self(tag)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Whether a listener is there or takes its leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceKind {
    /// It listens on the port.
    Here,
    /// It stops.
    Leaving,
}

/// What a listener says of itself by broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// Whether it comes or goes.
    pub kind: PresenceKind,
    /// The service that it listens to.
    pub tag: ServiceTag,
    /// Its peer key of this session.
    pub peer: NodeId,
    /// Where it can be reached over TCP and QUIC, at the address from which the
    /// packet comes. Never 0.
    pub port: u16,
}

impl Presence {
    /// Length of a packet.
    pub const BYTES: usize = 60;

    /// The packet: `docs/protocol.md`, section 12.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut packet = [0; Self::BYTES];
        packet[..8].copy_from_slice(MAGIC);
        packet[8] = VERSION;
        packet[9] = u8::from(self.kind == PresenceKind::Leaving);
        packet[10..12].copy_from_slice(&self.port.to_be_bytes());
        packet[12..28].copy_from_slice(&self.tag.0);
        packet[28..].copy_from_slice(self.peer.as_bytes());
        packet
    }

    /// Reads a packet from anybody; `None` for all that is not one.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let packet: &[u8; Self::BYTES] = packet.try_into().ok()?;
        let rest = packet.strip_prefix(MAGIC)?;
        let (&[version, kind], rest) = rest.split_first_chunk()?;
        let (port, rest) = rest.split_first_chunk()?;
        let (tag, peer) = rest.split_first_chunk()?;
        let kind = match kind {
            0 => PresenceKind::Here,
            1 => PresenceKind::Leaving,
            _ => return None,
        };
        let port = u16::from_be_bytes(*port);
        if version != VERSION || port == 0 {
            return None;
        }
        Some(Self { kind, tag: ServiceTag(*tag), peer: NodeId::from_slice(peer)?, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence() -> Presence {
        Presence {
            kind: PresenceKind::Here,
            tag: ServiceTag::of(&NodeId::new([1; 32])),
            peer: NodeId::new([2; 32]),
            port: 4_711,
        }
    }

    /// The bytes of `docs/protocol.md`, section 12, so that the page stays true.
    #[test]
    fn the_packet_is_as_the_protocol_says() {
        let page = include_str!("../../../../docs/protocol.md");
        let (_, section) = page.split_once("## 12. On a local network").unwrap();
        let (_, section) = section.split_once("```text\npacket").unwrap();
        let (digits, _) = section.split_once("```").unwrap();
        let digits: String = digits.split_whitespace().collect();
        let written: String =
            presence().encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digits, written);
    }

    #[test]
    fn what_is_written_is_read() {
        for kind in [PresenceKind::Here, PresenceKind::Leaving] {
            let presence = Presence { kind, ..presence() };
            assert_eq!(Presence::decode(&presence.encode()), Some(presence));
        }
    }

    #[test]
    fn services_have_tags_of_their_own_that_are_not_their_keys() {
        let (one, two) = (NodeId::new([1; 32]), NodeId::new([3; 32]));
        assert_ne!(ServiceTag::of(&one), ServiceTag::of(&two));
        assert_ne!(ServiceTag::of(&one).as_bytes(), &one.as_bytes()[..16]);
    }

    #[test]
    fn other_packets_are_not_read() {
        let packet = presence().encode();
        let mut wrong = Vec::new();
        // The magic, the version, the kind; a port of 0.
        for at in 0..10 {
            let mut other = packet;
            other[at] ^= 0x40;
            wrong.push(other);
        }
        let mut no_port = packet;
        no_port[10..12].fill(0);
        wrong.push(no_port);
        for packet in wrong {
            assert_eq!(Presence::decode(&packet), None, "{packet:02x?}");
        }
        assert_eq!(Presence::decode(&packet[..59]), None);
        assert_eq!(Presence::decode(&[packet.as_slice(), &[0]].concat()), None);
        assert_eq!(Presence::decode(&[]), None);
    }
}
