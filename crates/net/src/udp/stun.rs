//! Binding requests and responses of STUN (RFC 8489), as far as we need them: what
//! travels beside QUIC on the UDP port. See `docs/protocol.md`, section 13.
//!
//! [`Acceptor`](crate::Acceptor) and [`Dialler`](crate::Dialler) do all of this; it is
//! public for those who put it to the test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::proof::Proof;

/// Tells one question from another.
pub type TransactionId = [u8; 12];

const HEADER_BYTES: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_INDICATION: [u8; 2] = [0x00, 0x11];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];

const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// Ours, among those that others may skip: the proof in a response, and the room
/// for a response in a request.
const PROOF: u16 = 0xe4a7;

/// The longest response: an IPv6 address and a proof. A request must not be
/// shorter, or somebody could make us send more to a victim than he sends.
pub const REQUEST_BYTES: usize = HEADER_BYTES + 4 + 20 + 4 + Proof::BYTES;

/// A question from where it comes, of [`REQUEST_BYTES`].
pub fn request(id: &TransactionId) -> Vec<u8> {
    let room = [0; REQUEST_BYTES - HEADER_BYTES - 4];
    message(BINDING_REQUEST, id, &[(PROOF, &room)])
}

/// Something that needs no answer.
pub fn indication(id: &TransactionId) -> Vec<u8> {
    message(BINDING_INDICATION, id, &[])
}

/// The answer to who asked from `address`, of at most [`REQUEST_BYTES`].
pub fn response(id: &TransactionId, address: SocketAddr, proof: &Proof) -> Vec<u8> {
    let attributes: [(u16, &[u8]); 2] =
        [(XOR_MAPPED_ADDRESS, &masked(id, address)), (PROOF, proof.as_bytes())];
    message(BINDING_SUCCESS, id, &attributes)
}

/// The id of a question that may be answered; `None` for all other datagrams.
pub fn read_request(datagram: &[u8]) -> Option<TransactionId> {
    let (id, _) = body(datagram, BINDING_REQUEST)?;
    (datagram.len() >= REQUEST_BYTES).then_some(id)
}

/// An answer: to which question, from where that came, and the proof of it. `None` for
/// all other datagrams.
pub fn read_response(datagram: &[u8]) -> Option<(TransactionId, SocketAddr, Proof)> {
    let (id, mut rest) = body(datagram, BINDING_SUCCESS)?;
    let (mut address, mut proof) = (None, None);
    while let Some((kind, value, behind)) = attribute(rest) {
        rest = behind;
        match kind {
            XOR_MAPPED_ADDRESS => address = address.or(unmasked(&id, value)),
            PROOF => proof = proof.or(Proof::from_slice(value)),
            _ => {}
        }
    }
    Some((id, address?, proof?))
}

/// Values have a multiple of 4 bytes here.
fn message(kind: [u8; 2], id: &TransactionId, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap_or_default().to_be_bytes();
    let body_bytes = attributes.iter().map(|(_, value)| 4 + value.len()).sum();
    let mut message = Vec::with_capacity(HEADER_BYTES + body_bytes);
    message.extend(kind);
    message.extend(length(body_bytes));
    message.extend(COOKIE);
    message.extend(id);
    for (kind, value) in attributes {
        message.extend(kind.to_be_bytes());
        message.extend(length(value.len()));
        message.extend(*value);
    }
    message
}

/// The id and the attributes of a message of this kind.
fn body(datagram: &[u8], kind: [u8; 2]) -> Option<(TransactionId, &[u8])> {
    let (header, body) = datagram.split_at_checked(HEADER_BYTES)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fits = header[..2] == kind && header[4..8] == COOKIE && length == body.len();
    fits.then_some(())?;
    Some((header[8..].try_into().ok()?, body))
}

/// The first attribute, and what is behind it.
fn attribute(body: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (header, rest) = body.split_at_checked(4)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let value = rest.get(..length)?;
    let behind = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16::from_be_bytes([header[0], header[1]]), value, behind))
}

/// What an address is masked with, so that no NAT finds and changes it.
fn mask(id: &TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE);
    mask[4..].copy_from_slice(id);
    mask
}

fn masked(id: &TransactionId, address: SocketAddr) -> Vec<u8> {
    let (family, octets) = match address.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let mask = mask(id);
    let port = address.port().to_be_bytes();
    let mut value = vec![0, family];
    value.extend(port.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    value.extend(octets.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    value
}

fn unmasked(id: &TransactionId, value: &[u8]) -> Option<SocketAddr> {
    let mask = mask(id);
    let (head, octets) = value.split_at_checked(4)?;
    let port = u16::from_be_bytes([head[2] ^ mask[0], head[3] ^ mask[1]]);
    let octets: Vec<u8> = octets.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    let ip: IpAddr = match (head[1], value.len()) {
        (1, 8) => Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into(),
        (2, 20) => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::ProofKey;

    /// RFC 5769 sections 2.2 and 2.3: the masked addresses there.
    #[test]
    fn addresses_are_masked_as_the_rfc_does_it() {
        let id = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let v4 = [0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        let v6 = [
            0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25,
            0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        for (address, value) in [
            ("192.0.2.1:32853", v4.as_slice()),
            ("[2001:db8:1234:5678:11:2233:4455:6677]:32853", v6.as_slice()),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(masked(&id, address), value);
            assert_eq!(unmasked(&id, value), Some(address));
        }
    }

    #[test]
    fn questions_and_answers_are_read_and_an_answer_is_never_longer() {
        let (id, key) = ([3; 12], ProofKey::from_bytes(&[1; 32]));
        assert_eq!(request(&id).len(), REQUEST_BYTES);
        assert_eq!(read_request(&request(&id)), Some(id));
        assert_eq!(read_response(&request(&id)), None);
        assert_eq!(read_request(&indication(&id)), None);
        for address in ["192.0.2.1:7", "[2001:db8::1]:7"] {
            let address = address.parse().unwrap();
            let proof = key.prove(address, 9);
            let response = response(&id, address, &proof);
            assert!(response.len() <= REQUEST_BYTES);
            assert_eq!(read_response(&response), Some((id, address, proof)));
            assert_eq!(read_request(&response), None);
        }
    }

    /// The example of docs/protocol.md, section 13, from another program.
    #[test]
    fn the_worked_bytes_are_ours() {
        let id = std::array::from_fn(|index| u8::try_from(index).unwrap() + 1);
        let key = ProofKey::from_bytes(&[7; 32]);
        let answer = |address: &str| {
            let address = address.parse().unwrap();
            response(&id, address, &key.prove(address, 1_700_000_000_000))
        };
        let hex =
            |bytes: Vec<u8>| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let asked = format!("000100342112a4420102030405060708090a0b0ce4a70030{}", "00".repeat(48));
        assert_eq!(hex(request(&id)), asked);
        assert_eq!(
            hex(answer("192.0.2.1:32853")),
            "010100282112a4420102030405060708090a0b0c002000080001a147e112a643\
             e4a700180000018bcfe5680095b8a346dcaa3ad5988668a244c71e78"
        );
        assert_eq!(
            hex(answer("[2001:db8::1]:32853")),
            "010100342112a4420102030405060708090a0b0c002000140002a1470113a9fa\
             0102030405060708090a0b0de4a700180000018bcfe5680007040e7b75644df8\
             ade9f748b08786df"
        );
    }

    /// T1: who asks with few bytes gets none.
    #[test]
    fn t1_a_short_question_is_not_answered() {
        let plain = message(BINDING_REQUEST, &[3; 12], &[]);
        assert_eq!(read_request(&plain), None);
        let mut lying = plain;
        lying[3] = 52;
        assert_eq!(read_request(&lying), None);
    }

    /// Whatever comes, reading it ends, and a cut message is none.
    #[test]
    fn garbage_is_nothing() {
        let address = "[2001:db8::1]:7".parse().unwrap();
        let proof = ProofKey::from_bytes(&[1; 32]).prove(address, 9);
        let whole = response(&[3; 12], address, &proof);
        for length in 0..whole.len() {
            assert_eq!(read_response(&whole[..length]), None);
            assert_eq!(read_request(&whole[..length]), None);
        }
        for index in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[index] ^= 1 << bit;
                let _ = (read_response(&flipped), read_request(&flipped));
                // With the right length, so that the attributes are looked at.
                flipped.truncate(index.max(HEADER_BYTES));
                let length = u16::try_from(flipped.len() - HEADER_BYTES).unwrap();
                flipped[2..4].copy_from_slice(&length.to_be_bytes());
                assert_eq!(read_response(&flipped), None);
            }
        }
    }
}
