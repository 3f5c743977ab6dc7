//! Which transport worked on which network.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::Transport;

/// Networks remembered: the last of them.
const MAX_NETWORKS: usize = 32;

/// Bytes of a network's name that count.
const MAX_NAME_BYTES: usize = 64;

/// Attempts of one transport that count, about: more halve what was before, so
/// that a network may change.
const MAX_ATTEMPTS: u16 = 16;

/// Attempts without any success after which a transport goes second.
const HOPELESS_ATTEMPTS: u16 = 3;

/// Remembers for the last 32 networks which transport worked, so that the next
/// dial begins with it: [`Dial::first`](crate::Dial::first). A network is what
/// the caller calls so: the hardware address of a gateway, the name of a Wi-Fi.
///
/// It is kept as text, a line for each network; what cannot be read is
/// forgotten.
///
/// ```
/// use antiphon_net::{Experience, Transport};
///
/// let mut experience = Experience::default();
/// for _ in 0..3 {
///     experience.note("an office", Transport::Tcp, false);
///     experience.note("an office", Transport::Quic, true);
/// }
/// let kept = experience.to_string();
/// let experience: Experience = kept.parse().unwrap();
/// assert_eq!(experience.first("an office"), Transport::Quic);
/// assert_eq!(experience.first("at home"), Transport::Tcp);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Experience {
    /// The one used last is the last.
    networks: VecDeque<Network>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Network {
    name: String,
    tcp: Record,
    quic: Record,
}

/// How attempts went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Record {
    connected: u16,
    failed: u16,
}

impl Record {
    fn note(&mut self, connected: bool) {
        if self.connected.saturating_add(self.failed) >= MAX_ATTEMPTS {
            self.connected /= 2;
            self.failed /= 2;
        }
        let count = if connected { &mut self.connected } else { &mut self.failed };
        *count = count.saturating_add(1);
    }

    fn is_hopeless(self) -> bool {
        self.connected == 0 && self.failed >= HOPELESS_ATTEMPTS
    }
}

impl Experience {
    /// An attempt over `transport` on `network` has connected, or failed although
    /// another way was found (where nobody is, nothing is learned). Of
    /// [`Transport::Auto`] nothing is noted.
    pub fn note(&mut self, network: &str, transport: Transport, connected: bool) {
        let name = name(network);
        let known = self.networks.iter().position(|known| known.name == name);
        let mut network = known.and_then(|index| self.networks.remove(index)).unwrap_or(Network {
            name,
            tcp: Record::default(),
            quic: Record::default(),
        });
        match transport {
            Transport::Auto => {}
            Transport::Tcp => network.tcp.note(connected),
            Transport::Quic => network.quic.note(connected),
        }
        self.remember(network);
    }

    /// What to begin with on `network`: TCP, unless that has never worked of late
    /// and QUIC has.
    pub fn first(&self, network: &str) -> Transport {
        let name = name(network);
        match self.networks.iter().find(|known| known.name == name) {
            Some(known) if known.tcp.is_hopeless() && known.quic.connected > 0 => Transport::Quic,
            _ => Transport::Tcp,
        }
    }

    fn remember(&mut self, network: Network) {
        if self.networks.len() >= MAX_NETWORKS {
            self.networks.pop_front();
        }
        self.networks.push_back(network);
    }
}

/// A name as it is kept: on one line, and not too long.
fn name(network: &str) -> String {
    let mut name = String::new();
    for letter in network.chars().filter(|letter| !letter.is_control()) {
        if name.len() + letter.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        name.push(letter);
    }
    name
}

impl fmt::Display for Experience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Network { name, tcp, quic } in &self.networks {
            for Record { connected, failed } in [tcp, quic] {
                write!(f, "{connected} {failed} ")?;
            }
            f.write_str(name)?;
            f.write_char('\n')?;
        }
        Ok(())
    }
}

impl FromStr for Experience {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut experience = Self::default();
        for network in text.lines().filter_map(read) {
            experience.remember(network);
        }
        Ok(experience)
    }
}

fn read(line: &str) -> Option<Network> {
    let mut words = line.splitn(5, ' ');
    let mut number = || words.next()?.parse::<u16>().ok();
    let tcp = Record { connected: number()?, failed: number()? };
    let quic = Record { connected: number()?, failed: number()? };
    Some(Network { name: name(words.next()?), tcp, quic })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_success_makes_a_transport_first_again() {
        let mut experience = Experience::default();
        experience.note("a", Transport::Quic, true);
        for _ in 0..HOPELESS_ATTEMPTS {
            assert_eq!(experience.first("a"), Transport::Tcp);
            experience.note("a", Transport::Tcp, false);
        }
        assert_eq!(experience.first("a"), Transport::Quic);
        experience.note("a", Transport::Tcp, true);
        assert_eq!(experience.first("a"), Transport::Tcp);
        // It is forgotten in time.
        for _ in 0..40 {
            experience.note("a", Transport::Tcp, false);
        }
        assert_eq!(experience.first("a"), Transport::Quic);
    }

    #[test]
    fn it_is_bounded_and_the_last_networks_stay() {
        let mut experience = Experience::default();
        for number in 0..100 {
            experience.note(&format!("{number} {}", "é".repeat(500)), Transport::Tcp, true);
        }
        assert_eq!(experience.networks.len(), MAX_NETWORKS);
        assert!(experience.networks.iter().all(|network| network.name.len() <= MAX_NAME_BYTES));
        assert_eq!(experience.networks.back().map(|network| &network.name[..3]), Some("99 "));
        let kept = experience.to_string();
        assert_eq!(kept.parse(), Ok(experience));
    }

    #[test]
    fn names_keep_to_their_line_and_what_is_no_line_is_skipped() {
        let mut experience = Experience::default();
        experience.note("a b\n9 9 9 9 c", Transport::Quic, true);
        let kept = experience.to_string();
        assert_eq!(kept, "0 0 1 0 a b9 9 9 9 c\n");
        let read = format!("nonsense\n1 2 3\n-1 0 0 0 x\n70000 0 0 0 x\n{kept}").parse();
        assert_eq!(read, Ok(experience));
    }
}
