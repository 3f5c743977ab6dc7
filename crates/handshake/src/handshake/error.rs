//! What can go wrong in a handshake.

#[cfg(doc)]
use crate::MAX_MESSAGE_BYTES;

/// Why a handshake cannot begin: keys and pattern do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The pattern authenticates this side, but no static secret was given.
    #[error("the pattern needs a static secret of this side: give one")]
    MissingLocal,
    /// A static secret was given, but the pattern would not authenticate it.
    #[error("the pattern does not use a static secret of this side: give none")]
    UnusedLocal,
    /// The pattern needs the other side's static key beforehand.
    #[error("the pattern needs the other side's static key beforehand: give it")]
    MissingRemote,
    /// The other side's static key was given, but the pattern would not check
    /// it. Where the pattern sends it, compare it when it has come.
    #[error("the pattern does not know the other side's static key beforehand: give none")]
    UnusedRemote,
    /// A pre-shared key was given for a place at which the protocol mixes none,
    /// or has mixed it already.
    #[error("the protocol does not use a pre-shared key at place {place}: give none")]
    UnusedPsk {
        /// The number behind `psk`.
        place: usize,
    },
}

/// Why a step of a handshake failed.
///
/// [`HandshakeError::Refused`] is about the other side, and ends the handshake.
/// The others are about the call; they are found before anything is changed,
/// so that the handshake can go on with a better call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The other side is not who the pattern wants, speaks another protocol or
    /// prologue, or its message was altered, cut, or holds a key of low order.
    /// Which of these it was is deliberately not told. All secrets are wiped:
    /// close the connection without an answer.
    #[error("the handshake was refused: close the connection")]
    Refused,
    /// The handshake was refused earlier.
    #[error("the handshake was refused earlier: start a new one")]
    Failed,
    /// It is not this side's turn to write, or to read; or all is done.
    #[error("this message is out of turn")]
    OutOfTurn,
    /// The next message needs a pre-shared key that was not given.
    #[error("the pre-shared key psk{place} is missing: give it before this message")]
    MissingPsk {
        /// The number behind `psk`.
        place: usize,
    },
    /// The output buffer is too small; nothing was written.
    #[error("the output buffer is too small: {needed} bytes are needed")]
    OutputTooSmall {
        /// How many bytes it must have.
        needed: usize,
    },
    /// The payload would make a message longer than [`MAX_MESSAGE_BYTES`].
    #[error("the payload is too long: at most {max} bytes fit into this message")]
    PayloadTooLong {
        /// How many bytes of payload fit.
        max: usize,
    },
    /// Messages are missing before there is a transport.
    #[error("the handshake is not finished: messages are missing")]
    Unfinished,
    /// In a one-way pattern the initiator only sends and the responder only
    /// receives.
    #[error("the pattern is one-way: the initiator only sends, the responder only receives")]
    OneWay,
}
