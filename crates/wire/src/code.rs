//! Codes that say why a connection or a stream ended.

use std::fmt;

macro_rules! close_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal, $text:literal;)+) => {
        /// Why a connection ends: travels in a go-away frame.
        ///
        /// A code of a newer version survives decoding and printing.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct CloseCode(pub u32);

        impl CloseCode {
            $($(#[doc = $doc])+ pub const $name: Self = Self($value);)+
        }

        impl fmt::Display for CloseCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(Self::$name => f.write_str($text),)+
                    Self(other) => write!(f, "code {other}"),
                }
            }
        }
    };
}

close_codes! {
    /// Nothing is wrong: the node goes down or has no more use for the link.
    SHUTDOWN = 0, "the other side shuts down";
    /// A frame broke the format or the order of a stream's life.
    PROTOCOL = 1, "a frame broke the protocol";
    /// Data beyond the credit, or credit beyond its bound.
    FLOW_CONTROL = 2, "flow control was not kept";
    /// Too much of what costs the sender little and the receiver more.
    FLOOD = 3, "too many frames that carry nothing";
    /// More streams than the receiver bears.
    TOO_MANY_STREAMS = 4, "too many streams at once";
    /// Nothing was heard for the idle time-out.
    IDLE = 5, "nothing was heard for too long";
    /// The first code that means what the application wants it to.
    APPLICATION = 16, "the application closed";
}

/// Why a stream was reset. Codes from 16 on are the application's.
pub mod reset_code {
    /// The sender has no more use for the stream.
    pub const CANCELLED: u32 = 0;
    /// The stream was never looked at: it is safe to ask again elsewhere.
    pub const REFUSED: u32 = 1;
    /// What came on the stream could not be read as messages.
    pub const BAD_MESSAGE: u32 = 2;
    /// The first code that means what the application wants it to.
    pub const APPLICATION: u32 = 16;
}
