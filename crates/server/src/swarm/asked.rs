//! What a swarm query asks, read off its bytes.
//!
//! By way of the generated types each name would be a handle to the message of its own,
//! counted and given back. What is read here is the ordinary form, which every encoder
//! writes; any other is decoded as every message is.

use antiphon_types::BlobId;
use antiphon_wire::proto::{ClientNotice, Message as _, SwarmQuery, client_notice};

/// Blobs of `announce`, and of `withdraw`, that are looked at.
const MAX_TOLD: usize = 1000;
/// Blobs of `find` that are looked at.
const MAX_WANTED: usize = 64;

/// A query, as far as it makes sense.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) id: u64,
    pub(super) announce: Vec<BlobId>,
    pub(super) withdraw: Vec<BlobId>,
    /// In the order of the answer; `None` is no blob and held by nobody.
    pub(super) find: Vec<Option<BlobId>>,
}

/// Field numbers with their wire types, as in `session.proto`.
mod tag {
    pub(super) const CLIENT_NOTICE_SWARM_QUERY: u8 = 8 << 3 | 2;
    pub(super) const ID: u8 = 1 << 3;
    pub(super) const ANNOUNCE: u8 = 2 << 3 | 2;
    pub(super) const WITHDRAW: u8 = 3 << 3 | 2;
    pub(super) const FIND: u8 = 4 << 3 | 2;
}

/// Names that were looked at, of which some may be none.
#[derive(Default)]
struct Seen {
    announce: usize,
    withdraw: usize,
}

impl Asked {
    /// Reads a `ClientNotice` in place of what was read before; false if it is no query.
    pub(super) fn read(&mut self, notice: &[u8]) -> bool {
        if self.read_ordinary(notice).is_some() {
            return true;
        }
        // A query may also stand behind what is not known, or in place of another kind.
        match ClientNotice::decode(notice).map(|notice| notice.kind) {
            Ok(Some(client_notice::Kind::SwarmQuery(query))) => {
                self.take_in(&query);
                true
            }
            _ => false,
        }
    }

    pub(super) fn blobs(&self) -> u32 {
        let blobs = self.announce.len() + self.withdraw.len() + self.find.len();
        u32::try_from(blobs).unwrap_or(u32::MAX)
    }

    fn clear(&mut self) {
        self.id = 0;
        self.announce.clear();
        self.withdraw.clear();
        self.find.clear();
    }

    fn take_in(&mut self, query: &SwarmQuery) {
        self.clear();
        self.id = query.id;
        let mut seen = Seen::default();
        query.announce.iter().for_each(|name| self.announce(name, &mut seen));
        query.withdraw.iter().for_each(|name| self.withdraw(name, &mut seen));
        query.find.iter().for_each(|name| self.find(name));
    }

    /// `None` if it has any other form.
    fn read_ordinary(&mut self, notice: &[u8]) -> Option<()> {
        self.clear();
        let mut rest = notice.strip_prefix(&[tag::CLIENT_NOTICE_SWARM_QUERY])?;
        if take_varint(&mut rest)? != rest.len() as u64 {
            return None;
        }
        let mut seen = Seen::default();
        while let Some((tag, value)) = rest.split_first() {
            rest = value;
            let number = take_varint(&mut rest)?;
            if *tag == tag::ID {
                self.id = number;
                continue;
            }
            let (name, after) = rest.split_at_checked(usize::try_from(number).ok()?)?;
            rest = after;
            match *tag {
                tag::ANNOUNCE => self.announce(name, &mut seen),
                tag::WITHDRAW => self.withdraw(name, &mut seen),
                tag::FIND => self.find(name),
                _ => return None,
            }
        }
        Some(())
    }

    fn announce(&mut self, name: &[u8], seen: &mut Seen) {
        seen.announce += 1;
        if seen.announce <= MAX_TOLD {
            self.announce.extend(BlobId::from_slice(name));
        }
    }

    fn withdraw(&mut self, name: &[u8], seen: &mut Seen) {
        seen.withdraw += 1;
        if seen.withdraw <= MAX_TOLD {
            self.withdraw.extend(BlobId::from_slice(name));
        }
    }

    fn find(&mut self, name: &[u8]) {
        if self.find.len() < MAX_WANTED {
            self.find.push(BlobId::from_slice(name));
        }
    }
}

/// A number at the begin of `rest`, of at most 9 bytes.
fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (index, byte) in rest.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *rest = &rest[index + 1..];
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn encoded(query: SwarmQuery) -> Vec<u8> {
        ClientNotice { kind: Some(client_notice::Kind::SwarmQuery(query)) }.encode_to_vec()
    }

    fn name(byte: u8) -> Bytes {
        Bytes::copy_from_slice(&[byte; 32])
    }

    #[test]
    fn a_query_is_looked_at_as_far_as_it_may_go() {
        let query = SwarmQuery {
            id: 7,
            announce: vec![name(1); 1001],
            withdraw: vec![Bytes::from_static(b"short"), name(2)],
            find: [vec![Bytes::from_static(b"short")], vec![name(3); 70]].concat(),
        };
        let mut asked = Asked::default();
        assert!(asked.read(&encoded(query)));
        assert_eq!(asked.id, 7);
        assert_eq!((asked.announce.len(), asked.withdraw.len()), (1000, 1));
        assert_eq!((asked.find.len(), asked.find[0]), (64, None));
    }

    #[test]
    fn what_was_read_before_is_forgotten_and_other_notices_are_none() {
        let mut asked = Asked::default();
        let query = SwarmQuery {
            id: 7,
            announce: vec![name(1)],
            find: vec![name(2)],
            ..SwarmQuery::default()
        };
        assert!(asked.read(&encoded(query)));
        assert!(asked.read(&encoded(SwarmQuery::default())));
        assert_eq!(asked, Asked::default());
        let announce = proto_announce();
        assert!(!asked.read(&announce) && !asked.read(&[]));
        // Behind a field that nobody knows.
        let notice = [&[9 << 3, 0], &*encoded(SwarmQuery { id: 8, ..SwarmQuery::default() })];
        assert!(asked.read(&notice.concat()));
        assert_eq!(asked.id, 8);
    }

    fn proto_announce() -> Vec<u8> {
        let announce = antiphon_wire::proto::Announce { blobs: vec![name(1)] };
        ClientNotice { kind: Some(client_notice::Kind::Announce(announce)) }.encode_to_vec()
    }

    /// What decoding makes of a notice.
    fn decoded(notice: &[u8]) -> Option<Asked> {
        match ClientNotice::decode(notice).ok()?.kind? {
            client_notice::Kind::SwarmQuery(query) => {
                let mut asked = Asked::default();
                asked.take_in(&query);
                Some(asked)
            }
            _ => None,
        }
    }

    fn read(notice: &[u8]) -> Option<Asked> {
        let mut asked = Asked::default();
        asked.read(notice).then_some(asked)
    }

    proptest! {
        /// Fields in any order and number, unknown ones, a query in two parts: all is
        /// read as every decoder reads it.
        #[test]
        fn it_is_read_as_the_generated_types_read_it(
            fields in proptest::collection::vec((1..6_u8, any::<u8>(), 30..34_usize), 0..8),
            id: u64,
            parts in 1..3_usize,
            change in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut body = Vec::new();
            for (field, byte, length) in fields {
                if field == 1 {
                    body.extend(SwarmQuery { id, ..SwarmQuery::default() }.encode_to_vec());
                } else {
                    body.push(field << 3 | 2);
                    body.push(u8::try_from(length).unwrap());
                    body.extend(vec![byte; length]);
                }
            }
            let mut notice = Vec::new();
            for _ in 0..parts {
                notice.push(tag::CLIENT_NOTICE_SWARM_QUERY);
                let mut rest = body.len();
                while rest >= 0x80 {
                    notice.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
                    rest >>= 7;
                }
                notice.push(u8::try_from(rest).unwrap());
                notice.extend(&body);
            }
            if let Some((index, byte)) = change {
                let index = index.index(notice.len());
                notice[index] = byte;
            }
            prop_assert_eq!(read(&notice), decoded(&notice));
        }
    }
}
