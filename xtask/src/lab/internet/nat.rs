//! What routers do with addresses, as rules of `nft`, and what that allows.
//!
//! The words are those of RFC 4787 (UDP) and RFC 5382 (TCP). Every kind treats
//! TCP as it treats UDP, but for [`Nat::NoUdp`]. Linux keeps a connection's port
//! where it is free, so plain masquerading maps independently of the endpoint.
//! Unsolicited packets are dropped without an answer, as RFC 5382 (REQ-4) wants
//! it and routers at home do: a reset would end a simultaneous open.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// A kind of router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(in crate::lab) enum Nat {
    /// No translation, no filter: hosts have public addresses.
    None,
    /// One outside port for each inside port; anybody may send to it.
    FullCone,
    /// The same; only addresses that were sent to may.
    Address,
    /// The same; only addresses and ports that were sent to may. The most common
    /// kind at home.
    Port,
    /// Another outside port for each endpoint, of chance; only that endpoint may
    /// send to it.
    Symmetric,
    /// As `Port`, with `miniupnpd`: UPnP-IGD, PCP and NAT-PMP.
    Upnp,
    /// As `Port` for TCP; UDP does not pass at all.
    NoUdp,
}

/// Over what two are to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum Transport {
    /// TCP.
    Tcp,
    /// QUIC, over UDP.
    Quic,
}

/// Who may send to a mapping (RFC 4787, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lab) enum Filter {
    /// Anybody.
    Independent,
    /// Addresses that were sent to.
    Address,
    /// Addresses and ports that were sent to.
    AddressAndPort,
}

/// What becomes of one transport at a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab) struct Behaviour {
    /// All endpoints see the same address and port (RFC 4787, section 4.1).
    pub(in crate::lab) one_mapping: bool,
    /// Who gets in.
    pub(in crate::lab) filter: Filter,
}

impl Nat {
    pub(in crate::lab) const ALL: [Self; 7] = [
        Self::None,
        Self::FullCone,
        Self::Address,
        Self::Port,
        Self::Symmetric,
        Self::Upnp,
        Self::NoUdp,
    ];

    /// What becomes of a transport, once a port was asked for where it can be;
    /// `None` if it does not pass.
    pub(in crate::lab) const fn behaviour(self, transport: Transport) -> Option<Behaviour> {
        let (one_mapping, filter) = match (self, transport) {
            (Self::NoUdp, Transport::Quic) => return None,
            (Self::None | Self::FullCone | Self::Upnp, _) => (true, Filter::Independent),
            (Self::Address, _) => (true, Filter::Address),
            (Self::Port | Self::NoUdp, _) => (true, Filter::AddressAndPort),
            (Self::Symmetric, _) => (false, Filter::AddressAndPort),
        };
        Some(Behaviour { one_mapping, filter })
    }

    /// Whether hosts behind two routers can connect, both of them trying at once
    /// and each knowing the mapping that a third host sees of the other.
    ///
    /// One that keeps its mapping is found there. One that does not arrives from a
    /// port that nobody could know: the other's filter must look at no ports.
    pub(in crate::lab) fn can_meet(self, other: Self, transport: Transport) -> bool {
        let (Some(a), Some(b)) = (self.behaviour(transport), other.behaviour(transport)) else {
            return false;
        };
        match (a.one_mapping, b.one_mapping) {
            (true, true) => true,
            (true, false) => a.filter < Filter::AddressAndPort,
            (false, true) => b.filter < Filter::AddressAndPort,
            (false, false) => false,
        }
    }

    /// The rules of the router, for `nft`; the interfaces are `wan` and `lan`.
    pub(super) fn rules(self) -> Option<String> {
        let (state, through) = match self {
            Self::None => return None,
            Self::FullCone => (CONE.to_owned(), format!("{REMEMBER}{ESTABLISHED}{ASKED_FOR}")),
            Self::Address => (
                format!("{CONE}{CONTACTED}"),
                format!("{REMEMBER}{REMEMBER_CONTACT}{ESTABLISHED}{FROM_CONTACT}"),
            ),
            Self::Port | Self::Symmetric => (String::new(), ESTABLISHED.to_owned()),
            Self::Upnp => (String::new(), format!("{ESTABLISHED}{ASKED_FOR}")),
            Self::NoUdp => (String::new(), format!("    meta l4proto udp drop\n{ESTABLISHED}")),
        };
        let how = if self == Self::Symmetric { " fully-random" } else { "" };
        Some(format!(
            r#"table ip lab {{
{state}  chain itself {{
    type filter hook input priority filter
    ct state established,related accept
    iifname "wan" drop
  }}
  chain through {{
    type filter hook forward priority filter
{through}    iifname "wan" drop
  }}
  chain out {{
    type nat hook postrouting priority srcnat
    oifname "wan" masquerade{how}
  }}
}}
"#
        ))
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::None => "none",
            Self::FullCone => "full-cone",
            Self::Address => "address",
            Self::Port => "port",
            Self::Symmetric => "symmetric",
            Self::Upnp => "upnp",
            Self::NoUdp => "no-udp",
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        })
    }
}

/// Whoever sends to an outside port reaches the inside host that sent from it
/// last: masquerading keeps ports, and hosts of a home use different ones.
const CONE: &str = r#"  map inside_udp {
    type inet_service : ipv4_addr . inet_service
    flags dynamic,timeout
    timeout 5m
    size 4096
  }
  map inside_tcp {
    type inet_service : ipv4_addr . inet_service
    flags dynamic,timeout
    timeout 5m
    size 4096
  }
  chain in {
    type nat hook prerouting priority dstnat
    iifname "wan" dnat ip to udp dport map @inside_udp
    iifname "wan" dnat ip to tcp dport map @inside_tcp
  }
"#;

const REMEMBER: &str = r#"    oifname "wan" update @inside_udp { udp sport : ip saddr . udp sport }
    oifname "wan" update @inside_tcp { tcp sport : ip saddr . tcp sport }
"#;

/// Inside address and port, outside address.
const CONTACTED: &str = r"  set contacted_udp {
    type ipv4_addr . inet_service . ipv4_addr
    flags dynamic,timeout
    timeout 5m
    size 4096
  }
  set contacted_tcp {
    type ipv4_addr . inet_service . ipv4_addr
    flags dynamic,timeout
    timeout 5m
    size 4096
  }
";

const REMEMBER_CONTACT: &str = r#"    oifname "wan" update @contacted_udp { ip saddr . udp sport . ip daddr }
    oifname "wan" update @contacted_tcp { ip saddr . tcp sport . ip daddr }
"#;

const ESTABLISHED: &str = "    ct state established,related accept\n";

const FROM_CONTACT: &str = r#"    iifname "wan" ip daddr . udp dport . ip saddr @contacted_udp accept
    iifname "wan" ip daddr . tcp dport . ip saddr @contacted_tcp accept
"#;

/// What a mapping has let in.
const ASKED_FOR: &str = "    ct status dnat accept\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn theory_is_the_same_from_both_sides_and_holds_the_known_cases() {
        for transport in [Transport::Tcp, Transport::Quic] {
            for a in Nat::ALL {
                for b in Nat::ALL {
                    assert_eq!(a.can_meet(b, transport), b.can_meet(a, transport), "{a} {b}");
                }
            }
            assert!(Nat::Port.can_meet(Nat::Port, transport));
            assert!(Nat::Symmetric.can_meet(Nat::Address, transport));
            assert!(Nat::Symmetric.can_meet(Nat::Upnp, transport));
            assert!(!Nat::Symmetric.can_meet(Nat::Port, transport));
            assert!(!Nat::Symmetric.can_meet(Nat::Symmetric, transport));
        }
        assert!(Nat::NoUdp.can_meet(Nat::Port, Transport::Tcp));
        assert!(!Nat::NoUdp.can_meet(Nat::None, Transport::Quic));
    }
}
