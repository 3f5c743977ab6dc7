//! A `SwarmAnswer`, written as bytes.
//!
//! Of a thousand answers a second to a thousand listeners each, most is text of
//! addresses. It is written once, where it belongs: by way of the generated
//! types it would be forty small allocations for each blob.

use std::io::Write as _;
use std::net::Ipv6Addr;

use antiphon_tracker::{Holder, Nearness};
use bytes::Bytes;

use crate::contact::{HOUSEHOLD, MAX_SHOWN, TCP, UDP, V6};

/// From here on nobody more is named: a receiver takes 64 KiB.
pub(super) const MAX_ANSWER_BYTES: usize = 48 * 1024;

/// Field numbers with the wire type "length-delimited" (2), as in
/// `session.proto`; of `id` "varint" (0).
mod tag {
    pub(super) const SERVER_NOTICE_SWARM_ANSWER: u8 = 5 << 3 | 2;
    pub(super) const SWARM_ANSWER_ID: u8 = 1 << 3;
    pub(super) const SWARM_ANSWER_FOUND: u8 = 2 << 3 | 2;
    pub(super) const HOLDERS_PEERS: u8 = 1 << 3 | 2;
    pub(super) const PEER_KEY: u8 = 1 << 3 | 2;
    pub(super) const PEER_ADDRESSES: u8 = 2 << 3 | 2;
    pub(super) const PEER_UDP_ADDRESSES: u8 = 3 << 3 | 2;
}

/// An answer that grows by one blob at a time.
pub(super) struct Answer {
    /// The `SwarmAnswer`, encoded.
    body: Vec<u8>,
    /// One `Holders` and one `Peer`, while they grow.
    holders: Vec<u8>,
    peer: Vec<u8>,
}

impl Answer {
    pub(super) fn new(id: u64) -> Self {
        let mut body = Vec::with_capacity(1024);
        if id != 0 {
            body.push(tag::SWARM_ANSWER_ID);
            put_varint(&mut body, id);
        }
        Self { body, holders: Vec::with_capacity(1024), peer: Vec::with_capacity(128) }
    }

    pub(super) fn len(&self) -> usize {
        self.body.len()
    }

    /// The holders of the next blob.
    pub(super) fn push(&mut self, found: &[Holder]) {
        self.holders.clear();
        for holder in found {
            self.peer.clear();
            self.peer.push(tag::PEER_KEY);
            put_bytes(&mut self.peer, holder.node.as_bytes());
            put_addresses(&mut self.peer, holder);
            self.holders.push(tag::HOLDERS_PEERS);
            put_bytes(&mut self.holders, &self.peer);
        }
        self.body.push(tag::SWARM_ANSWER_FOUND);
        put_bytes(&mut self.body, &self.holders);
    }

    /// The `ServerNotice`, encoded.
    pub(super) fn finish(self) -> Bytes {
        let mut notice = self.holders;
        notice.clear();
        notice.reserve(self.body.len() + 8);
        notice.push(tag::SERVER_NOTICE_SWARM_ANSWER);
        put_bytes(&mut notice, &self.body);
        notice.into()
    }
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

/// Where a holder is reached, as [`Contact::describe`](crate::contact::Contact::describe)
/// says it: for one of the same household with the inner addresses, and these
/// first; each once.
fn put_addresses(peer: &mut Vec<u8>, holder: &Holder) {
    let contact = &holder.contact;
    let near = holder.nearness <= Nearness::PublicAddress;
    let inner = addresses(contact, HOUSEHOLD).take(if near { MAX_SHOWN } else { 0 });
    let all = |outer: u8| {
        let known = inner.clone();
        let others =
            addresses(contact, outer).filter(move |it| known.clone().all(|inner| inner != *it));
        inner.clone().chain(others).take(MAX_SHOWN)
    };
    for address in all(TCP) {
        put_address(peer, tag::PEER_ADDRESSES, address);
    }
    // Left out where they are the same.
    if !all(TCP).eq(all(UDP)) {
        for address in all(UDP) {
            put_address(peer, tag::PEER_UDP_ADDRESSES, address);
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

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use antiphon_types::NodeId;
    use antiphon_wire::proto::{Message as _, Peer, ServerNotice, SwarmAnswer, server_notice};

    use proptest::prelude::*;

    use super::*;
    use crate::contact::Contact;

    proptest! {
        #[test]
        fn it_is_what_a_contact_says_of_itself(
            entries in proptest::collection::vec((0..3_u8, 0..6_u8, 0..3_u16), 0..8),
            near: bool,
        ) {
            let mut entries = entries;
            entries.sort_unstable();
            entries.dedup();
            let entries = entries.into_iter().map(|(purpose, host, port)| match host {
                0..3 => entry(purpose, &format!("10.0.0.{host}:{port}")),
                _ => entry(purpose | V6, &format!("[2001:db8::{host}]:{port}")),
            });
            let contact = entries.collect::<Vec<_>>().concat();
            let nearness = if near { Nearness::PublicAddress } else { Nearness::Region };
            if let Some(known) = Contact::decode(&contact) {
                prop_assert_eq!(told(nearness, &contact), known.describe(NodeId::new([7; 32]), near));
            }
        }
    }

    fn holder(number: u8, nearness: Nearness, contact: &[u8]) -> Holder {
        Holder { node: NodeId::new([number; 32]), nearness, contact: contact.into() }
    }

    fn decode(answer: Answer) -> SwarmAnswer {
        match ServerNotice::decode(answer.finish()).unwrap().kind {
            Some(server_notice::Kind::SwarmAnswer(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn told(nearness: Nearness, contact: &[u8]) -> Peer {
        let mut answer = Answer::new(1);
        answer.push(&[holder(7, nearness, contact)]);
        decode(answer).found.remove(0).peers.remove(0)
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
    fn what_is_written_is_what_the_generated_types_read() {
        for id in [0, 1, 127, 128, u64::MAX] {
            let mut answer = Answer::new(id);
            let address = "203.0.113.5:65535";
            let contact = [entry(TCP, address), entry(UDP, address)].concat();
            answer.push(&[]);
            answer.push(&vec![holder(7, Nearness::Any, &contact); 10]);
            answer.push(&[holder(8, Nearness::Any, &[])]);
            let answer = decode(answer);
            assert_eq!(answer.id, id);
            let counts: Vec<usize> = answer.found.iter().map(|it| it.peers.len()).collect();
            assert_eq!(counts, [0, 10, 1]);
            let peer = &answer.found[1].peers[9];
            assert_eq!(peer.peer_key, [7; 32].as_slice());
            assert_eq!(peer.addresses, ["203.0.113.5:65535"]);
            assert!(peer.udp_addresses.is_empty(), "they are the same");
            assert!(answer.found[2].peers[0].addresses.is_empty());
        }
    }

    #[test]
    fn addresses_read_as_the_standard_library_writes_them() {
        for address in
            ["0.0.0.0:0", "1.20.255.9:80", "[::]:9", "[2001:db8::5]:7000", "[::ffff:1.2.3.4]:1"]
        {
            let kind = if address.starts_with('[') { TCP | V6 } else { TCP };
            let parsed: SocketAddr = address.parse().unwrap();
            assert_eq!(told(Nearness::Any, &entry(kind, address)).addresses, [parsed.to_string()]);
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
        for near in [Nearness::LocalNetwork, Nearness::PublicAddress] {
            let peer = told(near, &contact);
            assert_eq!(peer.addresses, ["192.168.1.2:3", "[fd00::2]:3", "203.0.113.5:1"]);
            assert_eq!(peer.udp_addresses, ["192.168.1.2:3", "[fd00::2]:3", "203.0.113.5:2"]);
        }
        for far in [Nearness::Region, Nearness::Any] {
            let peer = told(far, &contact);
            assert_eq!(peer.addresses, ["203.0.113.5:1", "192.168.1.2:3"]);
            assert_eq!(peer.udp_addresses, ["203.0.113.5:2"]);
        }
    }

    #[test]
    fn a_contact_that_makes_no_sense_is_told_as_far_as_it_does() {
        let whole = entry(TCP, "203.0.113.5:1");
        for cut in 0..whole.len() {
            assert!(told(Nearness::Any, &whole[..cut]).addresses.is_empty());
        }
        let many =
            entry(HOUSEHOLD | V6, "[1111:2222:3333:4444:5555:6666:7777:8888]:55555").repeat(100);
        assert_eq!(told(Nearness::LocalNetwork, &many).addresses.len(), MAX_SHOWN);
        let mut answer = Answer::new(1);
        answer.push(&[holder(1, Nearness::Any, &[0xff; 200])]);
        assert_eq!(decode(answer).found[0].peers[0].addresses, Vec::<String>::new());
    }

    #[test]
    fn the_largest_answer_is_one_that_a_receiver_takes() {
        let text = "[1111:2222:3333:4444:5555:6666:7777:8888]:55555";
        let contact = [
            entry(TCP | V6, text).repeat(8),
            entry(UDP | V6, &text.replace("55555", "44444")).repeat(8),
        ]
        .concat();
        let mut answer = Answer::new(u64::MAX);
        while answer.len() < MAX_ANSWER_BYTES {
            answer.push(&vec![holder(1, Nearness::Any, &contact); 10]);
        }
        (0..64).for_each(|_| answer.push(&[]));
        assert!(answer.finish().len() <= antiphon_wire::message::MAX_MESSAGE_BYTES);
    }
}
