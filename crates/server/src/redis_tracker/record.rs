//! What Redis knows of a peer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use antiphon_tracker::{Health, Place};
use rand::Rng;

/// A server, for as long as it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerId([u8; 16]);

impl ServerId {
    pub(crate) fn draw(rng: &mut impl Rng) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        Self(id)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A peer with a session at some server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) server: ServerId,
    pub(crate) place: Place,
    pub(crate) health: Health,
}

impl Record {
    /// The server's 16 bytes (a script looks at them), faults and load with
    /// two bytes each, the public address, a byte with the number of local ones,
    /// these, and the contact. An address is a byte, 4 or 16, and so many more.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.server.as_bytes().to_vec();
        bytes.extend(self.health.faults.to_be_bytes());
        bytes.extend(self.health.load.to_be_bytes());
        put_address(&mut bytes, self.place.public);
        let local = self.place.local.iter().take(usize::from(u8::MAX));
        bytes.push(u8::try_from(local.len()).unwrap_or(u8::MAX));
        for address in local {
            put_address(&mut bytes, *address);
        }
        bytes.extend(&*self.place.contact);
        bytes
    }

    /// `None` if the bytes are not of this form.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (server, rest) = bytes.split_first_chunk::<16>()?;
        let (faults, rest) = rest.split_first_chunk::<2>()?;
        let (load, rest) = rest.split_first_chunk::<2>()?;
        let (public, rest) = take_address(rest)?;
        let (&count, mut rest) = rest.split_first()?;
        let mut local = Vec::new();
        for _ in 0..count {
            let (address, behind) = take_address(rest)?;
            local.push(address);
            rest = behind;
        }
        let health =
            Health { faults: u16::from_be_bytes(*faults), load: u16::from_be_bytes(*load) };
        let place = Place::new(public, local).with_contact(rest);
        Some(Self { server: ServerId(*server), place, health })
    }
}

fn put_address(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(ip) => {
            bytes.push(4);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(16);
            bytes.extend(ip.octets());
        }
    }
}

fn take_address(bytes: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    match length {
        4 => {
            let (octets, rest) = rest.split_first_chunk::<4>()?;
            Some((Ipv4Addr::from(*octets).into(), rest))
        }
        16 => {
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            Some((Ipv6Addr::from(*octets).into(), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_survives_redis(
            server: [u8; 16], faults: u16, load: u16, public: IpAddr,
            local in prop::collection::vec(any::<IpAddr>(), 0..9),
            contact in prop::collection::vec(any::<u8>(), 0..99),
        ) {
            let record = Record {
                server: ServerId(server),
                place: Place::new(public, local).with_contact(contact),
                health: Health { faults, load },
            };
            prop_assert_eq!(Record::decode(&record.encode()), Some(record));
        }

        #[test]
        fn bytes_of_others_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Record::decode(&bytes);
        }
    }
}
