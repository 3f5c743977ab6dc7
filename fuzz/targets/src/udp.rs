//! Datagrams that anybody may send: at the UDP port, and on a local network.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use antiphon_net::lan::Presence;
use antiphon_net::{Proof, ProofError, ProofKey, stun};

/// A key that no input can know anything of: nobody computes a proof by it here.
const KEY: [u8; 32] = [0x6b; 32];

/// A question is answered by no more bytes than it has, an answer says the same when it
/// is written again, and of no address is anything proven by it.
///
/// Input: the datagram.
pub fn stun(data: &[u8]) {
    let question = stun::read_request(data);
    let answer = stun::read_response(data);
    assert!(question.is_none() || answer.is_none(), "a question and an answer at once");
    if let Some(id) = question {
        let longest = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 7);
        let proof = Proof::from_slice(&[0; Proof::BYTES]).expect("of the right length");
        let answer = stun::response(&id, longest, &proof);
        assert!(answer.len() <= data.len(), "{} bytes for {}", answer.len(), data.len());
        assert_eq!(stun::read_response(&answer), Some((id, longest, proof)));
        assert_eq!(stun::read_request(&answer), None, "an answer is answered");
    }
    if let Some((id, address, proof)) = answer {
        let again = stun::response(&id, address, &proof);
        assert_eq!(stun::read_response(&again), Some((id, address, proof)));
        let key = ProofKey::from_bytes(&KEY);
        for now_ms in [0, 1_700_000_000_000, u64::MAX] {
            assert_eq!(key.check(address, &proof, now_ms), Err(ProofError::Wrong));
        }
    }
}

/// A packet of presence is the one that would be written, byte for byte, or none.
///
/// Input: the packet.
pub fn presence(data: &[u8]) {
    if let Some(presence) = Presence::decode(data) {
        assert_eq!(presence.encode().as_slice(), data);
        assert_ne!(presence.port, 0, "nobody can be reached there");
    }
}
