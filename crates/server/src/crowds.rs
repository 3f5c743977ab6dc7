//! How many listeners of one address are named to others (T2).
//!
//! Keys of devices cost nothing where everybody is let in. Addresses do, so what one of
//! them can put into the index is bounded, under however many keys.

use std::collections::BTreeMap;
use std::net::IpAddr;

use antiphon_net::site;

/// Listeners at one address (of IPv6: in one /64) who are named to others. Those beyond
/// are served as all are. More than live in a house or a hall; behind a provider's NAT
/// there are more, of whom so many find each other. With all that each may announce they
/// fill a twentieth of the index.
pub(crate) const MAX_NAMED: usize = 256;

/// Counts those who are named, by their address.
#[derive(Debug, Default)]
pub(crate) struct Crowds(BTreeMap<IpAddr, usize>);

impl Crowds {
    /// One more comes from there; false if there are as many as there may be.
    pub(crate) fn enter(&mut self, from: IpAddr) -> bool {
        let Some(site) = counted(from) else { return true };
        let named = self.0.entry(site).or_default();
        let has_room = *named < MAX_NAMED;
        *named += usize::from(has_room);
        has_room
    }

    /// One who had entered goes.
    pub(crate) fn leave(&mut self, from: IpAddr) {
        let Some(site) = counted(from) else { return };
        if let Some(named) = self.0.get_mut(&site) {
            *named = named.saturating_sub(1);
            if *named == 0 {
                self.0.remove(&site);
            }
        }
    }
}

/// What is counted; `None` for those of the server's own network, where nobody comes
/// from in numbers.
fn counted(from: IpAddr) -> Option<IpAddr> {
    let is_own = match from.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    };
    (!is_own).then(|| site(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t2_one_address_has_so_many_and_others_have_their_own() {
        let mut crowds = Crowds::default();
        let of = |address: &str| -> IpAddr { address.parse().unwrap() };
        for (one, alike, other) in [
            ("203.0.113.7", "::ffff:203.0.113.7", "203.0.113.8"),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::", "2001:db8:0:2::1"),
        ] {
            assert_eq!((0..1_000).filter(|_| crowds.enter(of(one))).count(), MAX_NAMED);
            assert!(!crowds.enter(of(alike)) && crowds.enter(of(other)));
            crowds.leave(of(alike));
            assert!(crowds.enter(of(one)) && !crowds.enter(of(one)));
            (0..MAX_NAMED).for_each(|_| crowds.leave(of(one)));
            crowds.leave(of(other));
        }
        assert!(crowds.0.is_empty(), "nothing is left of those who have gone");
        assert!((0..1_000).all(|_| crowds.enter(of("127.0.0.1")) && crowds.enter(of("10.1.2.3"))));
    }
}
