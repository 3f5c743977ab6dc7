//! What servers that share an index pass on to each other: a byte for the
//! kind, the 32 bytes of the listener whom it is for, and the rest.

use std::net::IpAddr;

use antiphon_types::NodeId;
use antiphon_wire::proto::{self, Message as _};

use crate::standing::Voice;

const INTRODUCTION: u8 = 1;
const REPORT: u8 = 2;

/// For a listener whose session is with the server that gets it.
#[derive(Debug, PartialEq)]
pub(crate) enum Relayed {
    /// `asker` wants to meet her; `peer` says where that one is reached.
    Introduction { holder: NodeId, asker: NodeId, id: [u8; 8], peer: proto::Peer },
    /// She is said to have sent a bad block.
    Report { peer: NodeId, voice: Voice },
}

impl Relayed {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Introduction { holder, id, peer, .. } => {
                let mut bytes = vec![INTRODUCTION];
                bytes.extend(holder.as_bytes());
                bytes.extend(id);
                // The asker's key stands in it.
                bytes.extend(peer.encode_to_vec());
                bytes
            }
            Self::Report { peer, voice } => {
                let mut bytes = vec![REPORT];
                bytes.extend(peer.as_bytes());
                bytes.extend(voice.address().to_string().as_bytes());
                bytes
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        let (node, rest) = rest.split_first_chunk::<32>()?;
        let node = NodeId::new(*node);
        match kind {
            INTRODUCTION => {
                let (id, rest) = rest.split_first_chunk::<8>()?;
                let peer = proto::Peer::decode(rest).ok()?;
                let asker = NodeId::from_slice(&peer.peer_key)?;
                Some(Self::Introduction { holder: node, asker, id: *id, peer })
            }
            REPORT => {
                let address: IpAddr = std::str::from_utf8(rest).ok()?.parse().ok()?;
                Some(Self::Report { peer: node, voice: Voice::of(address) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_passed_on_arrives() {
        let asker = NodeId::new([2; 32]);
        let peer = proto::Peer {
            peer_key: bytes::Bytes::copy_from_slice(asker.as_bytes()),
            addresses: vec!["192.0.2.1:7000".into()],
            udp_addresses: Vec::new(),
        };
        let voice = Voice::of([192, 0, 2, 1].into());
        for message in [
            Relayed::Introduction { holder: NodeId::new([1; 32]), asker, id: [3; 8], peer },
            Relayed::Report { peer: NodeId::new([1; 32]), voice },
        ] {
            assert_eq!(Relayed::decode(&message.encode()), Some(message));
        }
    }

    proptest! {
        #[test]
        fn bytes_of_others_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Relayed::decode(&bytes);
        }
    }
}
