//! What a contact tells, as it stands in an answer.
//!
//! Of a thousand answers a second to a thousand listeners each, most is text of
//! addresses. An index in memory keeps it as text, written when a listener comes or
//! moves, so that an answer copies it: see [`written`]. One that is shared keeps the
//! contact itself, which is a third as long.

use std::io::Write as _;
use std::net::Ipv6Addr;

use antiphon_types::NodeId;
use antiphon_wire::proto::{self, Message as _};

use super::{HOUSEHOLD, MAX_SHOWN, TCP, UDP, V6};

/// The first byte of what was [`written`]; no contact begins so.
const WRITTEN: u8 = 0xff;
/// It, and a length.
const HEADER_BYTES: usize = 3;
/// An address as text, with what stands before it: `[`, 39 characters, `]:65535`.
const MAX_ADDRESS_BYTES: usize = 2 + 47;
/// The longest that is [`written`]: for others and for the household, addresses of
/// both transports.
pub(crate) const MAX_TOLD_BYTES: usize = HEADER_BYTES + 2 * 2 * MAX_SHOWN * MAX_ADDRESS_BYTES;

/// Field numbers of a `Peer` with the wire type "length-delimited" (2), as in
/// `session.proto`.
const PEER_ADDRESSES: u8 = 2 << 3 | 2;
const PEER_UDP_ADDRESSES: u8 = 3 << 3 | 2;

/// A contact with what it tells, ready to be copied: a byte, the length of what is
/// told to others (two bytes, big-endian), that, and what is told to the household, or
/// nothing if that is the same.
pub(crate) fn written(contact: &[u8]) -> Vec<u8> {
    let mut out = vec![WRITTEN, 0, 0];
    put_addresses(&mut out, contact, false);
    let others = out.len() - HEADER_BYTES;
    out[1..HEADER_BYTES].copy_from_slice(&u16::try_from(others).unwrap_or(0).to_be_bytes());
    put_addresses(&mut out, contact, true);
    if out[HEADER_BYTES..][..others] == out[HEADER_BYTES + others..] {
        out.truncate(HEADER_BYTES + others);
    }
    out
}

/// The addresses in a `Peer`, encoded, as a contact tells them, written or not: to
/// the household with the inner addresses, and these first. `room` is for what has to
/// be written.
pub(crate) fn told<'a>(contact: &'a [u8], household: bool, room: &'a mut Vec<u8>) -> &'a [u8] {
    if let [WRITTEN, high, low, told @ ..] = contact {
        let others = usize::from(u16::from_be_bytes([*high, *low]));
        let (others, inner) = told.split_at_checked(others).unwrap_or_default();
        return if household && !inner.is_empty() { inner } else { others };
    }
    room.clear();
    put_addresses(room, contact, household);
    room
}

/// A peer as shown to another listener.
pub(crate) fn describe(node: NodeId, contact: &[u8], household: bool) -> proto::Peer {
    let mut room = Vec::new();
    let mut peer = proto::Peer::decode(told(contact, household, &mut room)).unwrap_or_default();
    peer.peer_key = bytes::Bytes::copy_from_slice(node.as_bytes());
    peer
}

/// An address in a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address<'a> {
    /// 4 bytes or 16.
    ip: &'a [u8],
    port: u16,
}

/// The addresses of one purpose in a contact, in their order. Ends early if
/// the bytes make no sense.
fn addresses(contact: &[u8], purpose: u8) -> impl Iterator<Item = Address<'_>> + Clone {
    let mut rest = contact;
    std::iter::from_fn(move || {
        let (&kind, after) = rest.split_first()?;
        let (ip, after) = after.split_at_checked(if kind & V6 == 0 { 4 } else { 16 })?;
        let (port, after) = after.split_first_chunk::<2>()?;
        rest = after;
        Some((kind & !V6, Address { ip, port: u16::from_be_bytes(*port) }))
    })
    .filter(move |(kind, _)| *kind == purpose)
    .map(|(_, address)| address)
    .take(MAX_SHOWN)
}

/// Where a listener is reached: to the household with the inner addresses, and these first; each once.
fn put_addresses(peer: &mut Vec<u8>, contact: &[u8], household: bool) {
    let inner = addresses(contact, HOUSEHOLD).take(if household { MAX_SHOWN } else { 0 });
    let all = |outer: u8| {
        let known = inner.clone();
        let others =
            addresses(contact, outer).filter(move |it| known.clone().all(|inner| inner != *it));
        inner.clone().chain(others).take(MAX_SHOWN)
    };
    for address in all(TCP) {
        put_address(peer, PEER_ADDRESSES, address);
    }
    // Left out where they are the same.
    if !all(TCP).eq(all(UDP)) {
        for address in all(UDP) {
            put_address(peer, PEER_UDP_ADDRESSES, address);
        }
    }
}

/// An address as text, of at most 47 bytes.
fn put_address(out: &mut Vec<u8>, tag: u8, address: Address<'_>) {
    out.push(tag);
    let length = out.len();
    out.push(0);
    if let Ok(octets) = <[u8; 16]>::try_from(address.ip) {
        // Writing to a vector does not fail.
        let _ = write!(out, "[{}]", Ipv6Addr::from(octets));
    } else {
        for (index, octet) in address.ip.iter().enumerate() {
            if index > 0 {
                out.push(b'.');
            }
            put_decimal(out, (*octet).into());
        }
    }
    out.push(b':');
    put_decimal(out, address.port);
    out[length] = u8::try_from(out.len() - length - 1).unwrap_or(0);
}

fn put_decimal(out: &mut Vec<u8>, number: u16) {
    let mut digits = [0; 5];
    let mut begin = digits.len();
    let mut rest = number;
    loop {
        begin -= 1;
        digits[begin] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use proptest::prelude::*;

    use super::*;
    use crate::contact::Contact;

    /// What is told, which is the same whether it was written before or not.
    fn shown(contact: &[u8], household: bool) -> proto::Peer {
        let node = NodeId::new([7; 32]);
        let (now, before) = (contact, written(contact));
        let [now, before] = [now, &before].map(|contact| describe(node, contact, household));
        assert_eq!(now, before);
        now
    }

    /// What is told of a contact, as plainly as can be.
    fn expected(contact: &Contact, household: bool) -> proto::Peer {
        let inner = if household { contact.local.as_slice() } else { &[] };
        let all = |outer: &[SocketAddr]| -> Vec<String> {
            let mut shown: Vec<SocketAddr> = inner.to_vec();
            for address in outer {
                if !shown.contains(address) {
                    shown.push(*address);
                }
            }
            shown.iter().take(MAX_SHOWN).map(SocketAddr::to_string).collect()
        };
        let (addresses, udp) = (all(&contact.tcp), all(&contact.udp));
        proto::Peer {
            peer_key: bytes::Bytes::copy_from_slice(&[7; 32]),
            udp_addresses: if udp == addresses { Vec::new() } else { udp },
            addresses,
        }
    }

    proptest! {
        #[test]
        fn it_is_what_a_contact_says_of_itself(
            entries in proptest::collection::vec((0..3_u8, 0..6_u8, 0..3_u16), 0..8),
            household: bool,
        ) {
            let mut entries = entries;
            entries.sort_unstable();
            entries.dedup();
            let entries = entries.into_iter().map(|(purpose, host, port)| match host {
                0..3 => entry(purpose, &format!("10.0.0.{host}:{port}")),
                _ => entry(purpose | V6, &format!("[2001:db8::{host}]:{port}")),
            });
            let contact = entries.collect::<Vec<_>>().concat();
            if let Some(known) = Contact::decode(&contact) {
                prop_assert_eq!(shown(&contact, household), expected(&known, household));
            }
        }
    }

    fn entry(kind: u8, address: &str) -> Vec<u8> {
        let address: SocketAddr = address.parse().unwrap();
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        [vec![kind], ip, address.port().to_be_bytes().to_vec()].concat()
    }

    #[test]
    fn addresses_read_as_the_standard_library_writes_them() {
        for address in
            ["0.0.0.0:0", "1.20.255.9:80", "[::]:9", "[2001:db8::5]:7000", "[::ffff:1.2.3.4]:1"]
        {
            let kind = if address.starts_with('[') { TCP | V6 } else { TCP };
            let parsed: SocketAddr = address.parse().unwrap();
            assert_eq!(shown(&entry(kind, address), false).addresses, [parsed.to_string()]);
        }
    }

    #[test]
    fn the_household_alone_sees_inner_addresses_and_sees_them_first() {
        let contact = [
            entry(TCP, "203.0.113.5:1"),
            entry(TCP, "192.168.1.2:3"),
            entry(UDP, "203.0.113.5:2"),
            entry(HOUSEHOLD, "192.168.1.2:3"),
            entry(HOUSEHOLD | V6, "[fd00::2]:3"),
        ]
        .concat();
        let peer = shown(&contact, true);
        assert_eq!(peer.addresses, ["192.168.1.2:3", "[fd00::2]:3", "203.0.113.5:1"]);
        assert_eq!(peer.udp_addresses, ["192.168.1.2:3", "[fd00::2]:3", "203.0.113.5:2"]);
        let peer = shown(&contact, false);
        assert_eq!(peer.addresses, ["203.0.113.5:1", "192.168.1.2:3"]);
        assert_eq!(peer.udp_addresses, ["203.0.113.5:2"]);
    }

    #[test]
    fn a_contact_that_makes_no_sense_is_told_as_far_as_it_does() {
        let whole = entry(TCP, "203.0.113.5:1");
        for cut in 0..whole.len() {
            assert!(shown(&whole[..cut], false).addresses.is_empty());
        }
        let text = "[1111:2222:3333:4444:5555:6666:7777:8888]:55555";
        let many = entry(HOUSEHOLD | V6, text).repeat(100);
        assert_eq!(shown(&many, true).addresses.len(), MAX_SHOWN);
        assert_eq!(describe(NodeId::new([7; 32]), &[0xfe; 200], false).addresses.len(), 0);
        for cut in 0..3 {
            let cut = &written(&whole)[..cut];
            assert_eq!(describe(NodeId::new([7; 32]), cut, false).addresses.len(), 0);
        }
    }

    #[test]
    fn no_contact_tells_more_than_its_bound() {
        let entries = |purpose: u8, count: u16| {
            let address = move |i| {
                format!(
                    "[1111:2222:3333:4444:5555:6666:7777:8888]:{}",
                    50_000 + 10 * u16::from(purpose) + i
                )
            };
            (0..count).flat_map(move |i| entry(purpose | V6, &address(i)))
        };
        let all = entries(TCP, 9).chain(entries(UDP, 9)).chain(entries(HOUSEHOLD, 1));
        let written = written(&all.collect::<Vec<_>>());
        assert_eq!(written.len(), MAX_TOLD_BYTES);
    }
}
