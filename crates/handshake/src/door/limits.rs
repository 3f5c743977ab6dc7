//! How much strangers may cost.

use std::time::Duration;

#[cfg(doc)]
use super::Door;

/// How often something may happen: a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run, so many times a second.
    pub per_second: u32,
    /// So many times at once, after a rest. With 0 it never happens.
    pub burst: u32,
}

/// What strangers may cost before they have shown who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorLimits {
    /// Handshakes in progress, in all. Default 1,024: what a good client needs
    /// is one round trip, so that this is room for thousands of them a second,
    /// while sockets and buffers stay below some 16 MiB.
    pub half_open: usize,
    /// Handshakes in progress from one prefix. Default 64: a household, or an
    /// office behind one address.
    pub half_open_per_prefix: usize,
    /// How many leading bits of an IPv4 address count as one origin, 0 to 32.
    /// Default 32: one address may stand for many subscribers already (carrier
    /// NAT), so that anything wider would punish neighbours.
    pub ipv4_prefix_bits: u8,
    /// How many leading bits of an IPv6 address count as one origin, 0 to 128.
    /// Default 56: what providers delegate to a home (RFC 6177). A host has
    /// 2^64 addresses at least, and with /64 a home had 256 origins.
    pub ipv6_prefix_bits: u8,
    /// Time from arrival to leaving. Default 5 s: a good client's message takes
    /// one round trip, and a lost packet one second more.
    pub patience: Duration,
    /// Handshakes that Diffie-Hellman is computed for, in all. Default 2,000 a
    /// second and 4,000 at once: IK costs its responder 0.12 ms with AWS-LC and
    /// 0.25 ms without, so that strangers get a quarter or a half of one core.
    pub work: Rate,
    /// The same from one prefix. Default 1,000 a second and 2,000 at once: half
    /// of it, so that one address alone never takes all, and good clients behind
    /// the same address as a flood of that size are not locked out.
    pub work_per_prefix: Rate,
    /// How many prefixes are remembered for what they spent, of those that have
    /// no handshake in progress; the one that left first is forgotten first, and
    /// has its burst anew. Default 8,192, about 1 MiB: by the defaults above
    /// a bucket is full again after 2 s, and in 2 s no more than 8,000 prefixes
    /// can have spent anything.
    pub prefixes: usize,
    /// With more handshakes in progress than this a newcomer has to prove first
    /// that its address is its own ([`Door::must_prove_address`]). Default 128:
    /// the round trip that it costs is spared as long as all is well.
    pub prove_address_above: usize,
    /// The same for one prefix: forged packets that name a victim must not fill
    /// its places. Default 4: a household seldom connects more at once.
    pub prove_address_above_per_prefix: usize,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            half_open: 1_024,
            half_open_per_prefix: 64,
            ipv4_prefix_bits: 32,
            ipv6_prefix_bits: 56,
            patience: Duration::from_secs(5),
            work: Rate { per_second: 2_000, burst: 4_000 },
            work_per_prefix: Rate { per_second: 1_000, burst: 2_000 },
            prefixes: 8_192,
            prove_address_above: 128,
            prove_address_above_per_prefix: 4,
        }
    }
}
