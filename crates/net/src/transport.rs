//! Over what a connection travels.

use std::fmt;
use std::str::FromStr;

/// Which transports a dial may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Whichever stands first. TCP starts; QUIC follows 100 ms later, so that
    /// it costs nothing where TCP answers at once and is there where TCP is
    /// slow or blocked.
    #[default]
    Auto,
    /// TCP, Noise and the multiplexer of `antiphon-wire`.
    Tcp,
    /// QUIC (RFC 9000), with the node ids as raw public keys (RFC 7250).
    Quic,
}

/// A text that names no transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no transport: it is auto, tcp or quic")]
pub struct ParseTransportError(String);

impl Transport {
    const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Transport {
    type Err = ParseTransportError;

    fn from_str(text: &str) -> Result<Self, ParseTransportError> {
        [Self::Auto, Self::Tcp, Self::Quic]
            .into_iter()
            .find(|transport| transport.name() == text)
            .ok_or_else(|| ParseTransportError(text.chars().take(40).collect()))
    }
}
