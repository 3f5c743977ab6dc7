//! What holds of any datagram, any address and any order of events.

use std::net::{IpAddr, SocketAddr};

use antiphon_net::lan::{Presence, PresenceKind, ServiceTag};
use antiphon_net::{Experience, PROOF_LIFETIME_MS, Proof, ProofError, ProofKey, Transport, stun};
use antiphon_types::NodeId;
use proptest::prelude::*;
use proptest::sample::Index;

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        any::<[u8; 4]>().prop_map(|v4| std::net::Ipv4Addr::from(v4).to_ipv6_mapped().into()),
    ];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// Two addresses, often alike.
fn two_addresses() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let near = (address(), any::<bool>(), any::<Index>()).prop_map(|(one, of_port, bit)| {
        let mut other = one;
        match (of_port, one.ip()) {
            (true, _) => other.set_port(one.port() ^ 1 << bit.index(16)),
            (_, IpAddr::V4(ip)) => {
                other.set_ip(std::net::Ipv4Addr::from(ip.to_bits() ^ 1 << bit.index(32)).into());
            }
            (_, IpAddr::V6(ip)) => {
                other.set_ip(std::net::Ipv6Addr::from(ip.to_bits() ^ 1 << bit.index(128)).into());
            }
        }
        (one, other)
    });
    prop_oneof![(address(), address()), near]
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Anything, or something that was a message until it was altered, cut or prolonged.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    let message = (any::<[u8; 12]>(), address(), any::<[u8; 24]>(), 0..3_u8).prop_map(
        |(id, address, proof, kind)| match kind {
            0 => stun::request(&id),
            1 => stun::indication(&id),
            _ => stun::response(&id, address, &Proof::from_slice(&proof).unwrap()),
        },
    );
    let change = (any::<Index>(), any::<u8>());
    let changes = proptest::collection::vec(change, 0..4);
    let altered =
        (message, changes, 0..4_u8, bytes.clone()).prop_map(|(mut message, changes, how, more)| {
            for (at, with) in changes {
                let at = at.index(message.len());
                message[at] ^= with;
            }
            match how {
                0 => message.truncate(more.len()),
                1 => message.extend(more),
                _ => {}
            }
            if how < 3 && message.len() >= 20 {
                let length = u16::try_from(message.len() - 20).unwrap();
                message[2..4].copy_from_slice(&length.to_be_bytes());
            }
            message
        });
    prop_oneof![bytes, altered]
}

#[derive(Debug, Clone)]
enum Noted {
    Attempt(u8, Transport, bool),
    /// Kept as text and read again.
    Restart,
}

fn noted() -> impl Strategy<Value = Noted> {
    let transport = prop_oneof![Just(Transport::Tcp), Just(Transport::Quic), Just(Transport::Auto)];
    prop_oneof![
        8 => (0..40_u8, transport, any::<bool>())
            .prop_map(|(network, over, well)| Noted::Attempt(network, over, well)),
        1 => Just(Noted::Restart),
    ]
}

proptest! {
    /// T1: whatever comes is read or not, and nobody is sent more than he has sent.
    #[test]
    fn no_datagram_is_answered_with_a_longer_one(
        datagram in datagram(), from in address(), key in any::<[u8; 32]>(), now in any::<u64>(),
    ) {
        let answer = stun::read_request(&datagram).map(|id| {
            let proof = ProofKey::from_bytes(&key).prove(from, now);
            (id, stun::response(&id, from, &proof), proof)
        });
        if let Some((id, answer, proof)) = answer {
            prop_assert!(answer.len() <= datagram.len());
            prop_assert_eq!(stun::read_response(&answer), Some((id, from, proof)));
            prop_assert_eq!(stun::read_request(&answer), None, "two who answer do not go on");
            prop_assert_eq!(stun::read_response(&datagram), None);
        }
        if let Some((id, address, proof)) = stun::read_response(&datagram) {
            let again = stun::response(&id, address, &proof);
            prop_assert_eq!(stun::read_response(&again), Some((id, address, proof)));
        }
    }

    /// What proves one address proves no other, under no other key and at no other time.
    #[test]
    fn a_proof_is_of_one_address(
        (one, other) in two_addresses(),
        (key, other_key) in (any::<[u8; 32]>(), any::<[u8; 32]>()),
        made_ms in 0..u64::MAX / 2,
        later_ms in 0..2 * PROOF_LIFETIME_MS,
        forged in any::<[u8; 24]>(),
        (index, with) in (any::<Index>(), 1..=u8::MAX),
    ) {
        let keys = (ProofKey::from_bytes(&key), ProofKey::from_bytes(&other_key));
        let (proof, now) = (keys.0.prove(one, made_ms), made_ms + later_ms);
        let of_one = match later_ms <= PROOF_LIFETIME_MS {
            true => Ok(()),
            false => Err(ProofError::Expired),
        };
        prop_assert_eq!(keys.0.check(one, &proof, now), of_one);
        prop_assert_eq!(keys.0.check(canonical(one), &proof, now), of_one, "by whatever name");
        if canonical(one) != canonical(other) {
            prop_assert_eq!(keys.0.check(other, &proof, now), Err(ProofError::Wrong));
        }
        if key != other_key {
            prop_assert_eq!(keys.1.check(one, &proof, now), Err(ProofError::Wrong));
        }
        let forged = Proof::from_slice(&forged).unwrap();
        prop_assert_eq!(keys.0.check(one, &forged, now), Err(ProofError::Wrong));
        let mut altered = *proof.as_bytes();
        altered[index.index(Proof::BYTES)] ^= with;
        let altered = Proof::from_slice(&altered).unwrap();
        prop_assert_eq!(keys.0.check(one, &altered, now), Err(ProofError::Wrong));
    }

    /// A packet of presence is the one that would be written, or none.
    #[test]
    fn a_presence_is_read_from_its_own_packet_alone(
        tag in any::<[u8; 32]>(), peer in any::<[u8; 32]>(), port in 1..=u16::MAX,
        leaves in any::<bool>(),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        length in prop_oneof![4 => Just(Presence::BYTES), 1 => 0..100_usize],
    ) {
        let kind = if leaves { PresenceKind::Leaving } else { PresenceKind::Here };
        let tag = ServiceTag::of(&NodeId::new(tag));
        let presence = Presence { kind, tag, peer: NodeId::new(peer), port };
        let mut packet = presence.encode().to_vec();
        prop_assert_eq!(Presence::decode(&packet), Some(presence));
        for (at, with) in changes {
            packet[at.index(Presence::BYTES)] ^= with;
        }
        packet.resize(length, 0);
        for packet in [packet, garbage] {
            if let Some(read) = Presence::decode(&packet) {
                let written = read.encode();
                prop_assert_eq!(written.as_slice(), packet);
                prop_assert!(read.port != 0);
            }
        }
    }

    /// What is remembered of networks stays bounded and survives being kept; with one
    /// success TCP goes first again.
    #[test]
    fn experience_of_networks_survives_being_kept(
        events in proptest::collection::vec(noted(), 0..200),
        garbage in ".{0,200}",
    ) {
        let mut experience = Experience::default();
        let mut kept = experience.clone();
        for event in events {
            match event {
                Noted::Attempt(network, over, well) => {
                    let name = format!("network {network}\n");
                    experience.note(&name, over, well);
                    kept.note(&name, over, well);
                    if (over, well) == (Transport::Tcp, true) {
                        prop_assert_eq!(experience.first(&name), Transport::Tcp);
                    }
                }
                Noted::Restart => kept = kept.to_string().parse().unwrap(),
            }
        }
        prop_assert_eq!(&kept, &experience);
        prop_assert!(experience.to_string().lines().count() <= 32);
        // A file that somebody has damaged is read as far as it goes.
        let read: Experience = format!("{garbage}\n{experience}").parse().unwrap();
        prop_assert_eq!(read.to_string().parse(), Ok(read));
    }
}
