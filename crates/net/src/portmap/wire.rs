//! The packets of PCP (RFC 6887) and of NAT-PMP (RFC 6886): pure, and strict in
//! what they take from a router.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Failure, Protocol};

/// Where a router listens for both.
pub(super) const ROUTER_PORT: u16 = 5351;

/// No answer of either is longer (RFC 6887 section 7).
pub(super) const MAX_BYTES: usize = 1_100;

const PCP_VERSION: u8 = 2;
const PCP_MAP: u8 = 1;
const NAT_PMP_VERSION: u8 = 0;
const NAT_PMP_ADDRESS: u8 = 0;
/// Set in the opcode of an answer.
const ANSWER: u8 = 0x80;

/// In an answer to PCP: success, and "this router speaks an older version".
const SUCCESS: u16 = 0;
const UNSUPPORTED_VERSION: u16 = 1;

/// What a router gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Granted {
    /// The outside port.
    pub(super) port: u16,
    /// The outside address; NAT-PMP says it in another packet.
    pub(super) address: Option<Ipv4Addr>,
    /// For how long, in seconds. 0 in an answer to a removal.
    pub(super) lifetime: u32,
}

/// A mapping to ask for, to renew or (with a lifetime of 0) to remove.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) protocol: Protocol,
    pub(super) internal: u16,
    /// The outside port that we had, or would like.
    pub(super) suggested: u16,
    /// Seconds.
    pub(super) lifetime: u32,
}

/// A PCP `MAP` request: 60 bytes. `nonce` proves to the router that a renewal is
/// of who asked first.
pub(super) fn pcp_request(wanted: &Wanted, client: Ipv4Addr, nonce: &[u8; 12]) -> Vec<u8> {
    let mut packet = vec![PCP_VERSION, PCP_MAP, 0, 0];
    packet.extend(wanted.lifetime.to_be_bytes());
    packet.extend(client.to_ipv6_mapped().octets());
    packet.extend(nonce);
    packet.extend([wanted.protocol.number(), 0, 0, 0]);
    packet.extend(wanted.internal.to_be_bytes());
    packet.extend(wanted.suggested.to_be_bytes());
    packet.extend(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets());
    packet
}

/// The answer to it; `None` for what answers something else, or nothing.
pub(super) fn pcp_answer(
    packet: &[u8],
    wanted: &Wanted,
    nonce: &[u8; 12],
) -> Option<Result<Granted, Failure>> {
    let mut fields = Fields(packet);
    let [version, operation] = fields.take()?;
    if version == NAT_PMP_VERSION && operation & ANSWER != 0 {
        // A router that knows only the older one says so in its words.
        let result = u16::from_be_bytes(fields.take()?);
        return (result == UNSUPPORTED_VERSION).then_some(Err(Failure::Unsupported));
    }
    let [_, result] = fields.take()?;
    let lifetime = u32::from_be_bytes(fields.take()?);
    let _epoch_and_reserved: [u8; 16] = fields.take()?;
    if version != PCP_VERSION || operation != PCP_MAP | ANSWER {
        return None;
    }
    let its_nonce: [u8; 12] = fields.take()?;
    let [protocol, _, _, _] = fields.take()?;
    let internal = u16::from_be_bytes(fields.take()?);
    let port = u16::from_be_bytes(fields.take()?);
    let address = Ipv6Addr::from_octets(fields.take()?).to_ipv4_mapped();
    let ours =
        its_nonce == *nonce && protocol == wanted.protocol.number() && internal == wanted.internal;
    ours.then(|| match u16::from(result) {
        SUCCESS => Ok(Granted { port, address, lifetime }),
        UNSUPPORTED_VERSION => Err(Failure::Unsupported),
        code => Err(Failure::Refused(code)),
    })
}

/// A NAT-PMP request for a mapping: 12 bytes.
pub(super) fn nat_pmp_request(wanted: &Wanted) -> Vec<u8> {
    let mut packet = vec![NAT_PMP_VERSION, nat_pmp_opcode(wanted.protocol), 0, 0];
    packet.extend(wanted.internal.to_be_bytes());
    // Section 3.4: a removal suggests no port.
    let suggested = if wanted.lifetime == 0 { 0 } else { wanted.suggested };
    packet.extend(suggested.to_be_bytes());
    packet.extend(wanted.lifetime.to_be_bytes());
    packet
}

/// The answer to it; `None` for what answers something else, or nothing.
pub(super) fn nat_pmp_answer(packet: &[u8], wanted: &Wanted) -> Option<Result<Granted, Failure>> {
    let mut fields = nat_pmp_fields(packet, nat_pmp_opcode(wanted.protocol))?;
    let Ok(fields) = &mut fields else { return Some(Err(fields.err()?)) };
    let internal = u16::from_be_bytes(fields.take()?);
    let port = u16::from_be_bytes(fields.take()?);
    let lifetime = u32::from_be_bytes(fields.take()?);
    (internal == wanted.internal).then_some(Ok(Granted { port, address: None, lifetime }))
}

/// A NAT-PMP request for the outside address: 2 bytes.
pub(super) fn nat_pmp_address_request() -> Vec<u8> {
    vec![NAT_PMP_VERSION, NAT_PMP_ADDRESS]
}

/// The answer to it.
pub(super) fn nat_pmp_address_answer(packet: &[u8]) -> Option<Result<Ipv4Addr, Failure>> {
    let mut fields = nat_pmp_fields(packet, NAT_PMP_ADDRESS)?;
    let Ok(fields) = &mut fields else { return Some(Err(fields.err()?)) };
    Some(Ok(Ipv4Addr::from_octets(fields.take()?)))
}

/// What follows the head of a NAT-PMP answer, or why there is nothing.
fn nat_pmp_fields(packet: &[u8], opcode: u8) -> Option<Result<Fields<'_>, Failure>> {
    let mut fields = Fields(packet);
    let [version, operation] = fields.take()?;
    let result = u16::from_be_bytes(fields.take()?);
    let _epoch: [u8; 4] = fields.take()?;
    if version != NAT_PMP_VERSION || operation != opcode | ANSWER {
        return None;
    }
    Some(match result {
        SUCCESS => Ok(fields),
        UNSUPPORTED_VERSION => Err(Failure::Unsupported),
        code => Err(Failure::Refused(code)),
    })
}

const fn nat_pmp_opcode(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Udp => 1,
        Protocol::Tcp => 2,
    }
}

/// What is left of a packet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: [u8; 12] = *b"twelve bytes";
    const WANTED: Wanted =
        Wanted { protocol: Protocol::Udp, internal: 4_711, suggested: 4_712, lifetime: 3_600 };
    const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

    /// RFC 6887 figures 2, 3 and 9.
    fn pcp_packet(result: u8) -> Vec<u8> {
        let mut packet = vec![2, 0x81, 0, result];
        packet.extend(1_800_u32.to_be_bytes());
        packet.extend([0; 16]);
        packet.extend(NONCE);
        packet.extend([17, 0, 0, 0]);
        packet.extend(4_711_u16.to_be_bytes());
        packet.extend(5_000_u16.to_be_bytes());
        packet.extend(OUTSIDE.to_ipv6_mapped().octets());
        packet
    }

    /// RFC 6886 section 3.3.
    fn nat_pmp_packet(result: u8) -> Vec<u8> {
        let mut packet = vec![0, 0x81, 0, result, 0, 0, 0, 9];
        packet.extend(4_711_u16.to_be_bytes());
        packet.extend(5_000_u16.to_be_bytes());
        packet.extend(1_800_u32.to_be_bytes());
        packet
    }

    #[test]
    fn requests_are_laid_out_as_the_standards_say() {
        let packet = pcp_request(&WANTED, Ipv4Addr::new(10, 0, 0, 2), &NONCE);
        assert_eq!(packet.len(), 60);
        assert_eq!(packet[..8], [2, 1, 0, 0, 0, 0, 0x0e, 0x10]);
        assert_eq!(packet[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2]);
        assert_eq!(packet[24..36], NONCE);
        assert_eq!(packet[36..44], [17, 0, 0, 0, 0x12, 0x67, 0x12, 0x68]);
        assert_eq!(packet[44..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]);

        let packet = nat_pmp_request(&WANTED);
        assert_eq!(packet, [0, 1, 0, 0, 0x12, 0x67, 0x12, 0x68, 0, 0, 0x0e, 0x10]);
        let removal = Wanted { lifetime: 0, protocol: Protocol::Tcp, ..WANTED };
        assert_eq!(nat_pmp_request(&removal), [0, 2, 0, 0, 0x12, 0x67, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_granted_is_read() {
        let granted = Granted { port: 5_000, address: Some(OUTSIDE), lifetime: 1_800 };
        assert_eq!(pcp_answer(&pcp_packet(0), &WANTED, &NONCE), Some(Ok(granted)));
        let granted = Granted { address: None, ..granted };
        assert_eq!(nat_pmp_answer(&nat_pmp_packet(0), &WANTED), Some(Ok(granted)));
        let address = [0, 0x80, 0, 0, 0, 0, 0, 1, 198, 51, 100, 7];
        assert_eq!(nat_pmp_address_answer(&address), Some(Ok(OUTSIDE)));
    }

    #[test]
    fn refusals_are_told_from_an_older_router() {
        let refused = Some(Err(Failure::Refused(2)));
        assert_eq!(pcp_answer(&pcp_packet(2), &WANTED, &NONCE), refused);
        assert_eq!(nat_pmp_answer(&nat_pmp_packet(2), &WANTED), refused);
        let older = Some(Err(Failure::Unsupported));
        assert_eq!(pcp_answer(&pcp_packet(1), &WANTED, &NONCE), older);
        // RFC 6887 appendix A: the answer of a router that knows NAT-PMP alone.
        assert_eq!(pcp_answer(&[0, 0x81, 0, 1, 0, 0, 0, 9], &WANTED, &NONCE), older);
    }

    #[test]
    fn answers_to_others_are_not_ours() {
        let packet = pcp_packet(0);
        assert_eq!(pcp_answer(&packet, &WANTED, &[0; 12]), None);
        assert_eq!(pcp_answer(&packet, &Wanted { internal: 1, ..WANTED }, &NONCE), None);
        let tcp = Wanted { protocol: Protocol::Tcp, ..WANTED };
        assert_eq!(pcp_answer(&packet, &tcp, &NONCE), None);
        assert_eq!(nat_pmp_answer(&nat_pmp_packet(0), &tcp), None);
        assert_eq!(nat_pmp_address_answer(&nat_pmp_packet(0)), None);
        // A request that comes back.
        assert_eq!(pcp_answer(&pcp_request(&WANTED, OUTSIDE, &NONCE), &WANTED, &NONCE), None);
    }

    proptest! {
        /// A router may say anything.
        #[test]
        fn nothing_panics(mut packet in prop::collection::vec(any::<u8>(), 0..70), cut in 0..61_usize) {
            for packet in [&packet, &pcp_packet(0)[..cut], &nat_pmp_packet(0)[..cut.min(16)]] {
                let whole = packet.len() >= 60;
                let read = pcp_answer(packet, &WANTED, &NONCE);
                prop_assert!(whole || !matches!(read, Some(Ok(_))));
                let _ = nat_pmp_answer(packet, &WANTED);
                let _ = nat_pmp_address_answer(packet);
            }
            packet.truncate(1);
            prop_assert_eq!(pcp_answer(&packet, &WANTED, &NONCE), None);
        }
    }
}
