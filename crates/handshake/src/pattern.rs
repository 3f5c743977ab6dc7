//! Every handshake pattern, in the notation of the specification.
//!
//! All that the crate knows about a pattern stands in the one table below:
//! what each side must know beforehand, what a message carries, which keys it
//! needs and how long it is are derived from there.

use std::fmt;
use std::str::FromStr;

use crate::params::ParseParamsError;

/// Which side of a handshake this is (Noise section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The side that writes the first message.
    Initiator,
    /// The side that reads the first message.
    Responder,
}

/// What a message does, step by step (Noise section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// The sender's ephemeral key, in the clear.
    E,
    /// The sender's static key, encrypted once there is a key to do so.
    S,
    /// A Diffie-Hellman of two keys: the initiator's is named first.
    Dh(KeyKind, KeyKind),
    /// The pre-shared key of that place; it comes from a modifier, not from the
    /// table.
    Psk(usize),
}

/// Which of a party's two keys takes part in a Diffie-Hellman.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Ephemeral,
    Static,
}

/// One row of the table.
struct Description {
    name: &'static str,
    /// Whether the responder knows the initiator's static key beforehand.
    initiator_known: bool,
    /// Whether the initiator knows the responder's static key beforehand.
    responder_known: bool,
    /// Messages alternate; the initiator writes the first.
    messages: &'static [&'static [Token]],
}

macro_rules! token {
    (e) => {
        Token::E
    };
    (s) => {
        Token::S
    };
    (ee) => {
        Token::Dh(KeyKind::Ephemeral, KeyKind::Ephemeral)
    };
    (es) => {
        Token::Dh(KeyKind::Ephemeral, KeyKind::Static)
    };
    (se) => {
        Token::Dh(KeyKind::Static, KeyKind::Ephemeral)
    };
    (ss) => {
        Token::Dh(KeyKind::Static, KeyKind::Static)
    };
}

macro_rules! known {
    () => {
        false
    };
    (s) => {
        true
    };
}

/// `NAME -> (initiator's pre-message) <- (responder's pre-message) : messages`.
macro_rules! patterns {
    ($(
        $(#[$doc:meta])*
        $name:ident -> ($($initiator:ident)?) <- ($($responder:ident)?) : $([$($token:ident)*])+;
    )+) => {
        /// A handshake pattern: who authenticates whom, by what, and when.
        ///
        /// The letters are those of the specification. The first is about the
        /// initiator's static key, the second about the responder's: `N` there
        /// is none, `K` the other side knows it beforehand, `X` it is sent
        /// during the handshake, `I` it is sent at once, at the price of less
        /// privacy. A `1` defers the Diffie-Hellman that proves the key by one
        /// message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Pattern {
            $($(#[$doc])* $name,)+
        }

        impl Pattern {
            /// Every pattern, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            const fn description(self) -> &'static Description {
                match self {
                    $(Self::$name => &Description {
                        name: stringify!($name),
                        initiator_known: known!($($initiator)?),
                        responder_known: known!($($responder)?),
                        messages: &[$(&[$(token!($token)),*]),+],
                    },)+
                }
            }
        }
    };
}

patterns! {
    /// One way, to a known recipient, from nobody in particular (section 7.4).
    N    -> ()  <- (s) : [e es];
    /// One way, both static keys known beforehand (section 7.4).
    K    -> (s) <- (s) : [e es ss];
    /// One way, to a known recipient, the sender's key inside (section 7.4).
    X    -> ()  <- (s) : [e es s ss];

    /// Nobody is authenticated (section 7.5).
    NN   -> ()  <- ()  : [e] [e ee];
    /// The responder is known beforehand; the initiator stays anonymous.
    NK   -> ()  <- (s) : [e es] [e ee];
    /// The responder sends its key; the initiator stays anonymous.
    NX   -> ()  <- ()  : [e] [e ee s es];
    /// The initiator sends its key; the responder has none.
    XN   -> ()  <- ()  : [e] [e ee] [s se];
    /// The responder is known beforehand; the initiator sends its key last.
    XK   -> ()  <- (s) : [e es] [e ee] [s se];
    /// Both send their keys, hidden from all who only listen.
    XX   -> ()  <- ()  : [e] [e ee s es] [s se];
    /// The initiator is known beforehand; the responder has no key.
    KN   -> (s) <- ()  : [e] [e ee se];
    /// Both are known beforehand.
    KK   -> (s) <- (s) : [e es ss] [e ee se];
    /// The initiator is known beforehand; the responder sends its key.
    KX   -> (s) <- ()  : [e] [e ee se s es];
    /// The initiator sends its key at once, in the clear.
    IN   -> ()  <- ()  : [e s] [e ee se];
    /// The responder is known beforehand; the initiator sends its key at once,
    /// encrypted. One round trip, and the first message can carry a request.
    IK   -> ()  <- (s) : [e es s ss] [e ee se];
    /// Both send their keys as early as they can.
    IX   -> ()  <- ()  : [e s] [e ee se s es];

    /// [`Pattern::NK`] with `es` deferred (section 18.1, as all that follow).
    NK1  -> ()  <- (s) : [e] [e ee es];
    /// [`Pattern::NX`] with `es` deferred.
    NX1  -> ()  <- ()  : [e] [e ee s] [es];
    /// [`Pattern::XN`] with `se` deferred.
    X1N  -> ()  <- ()  : [e] [e ee] [s] [se];
    /// [`Pattern::XK`] with `se` deferred.
    X1K  -> ()  <- (s) : [e es] [e ee] [s] [se];
    /// [`Pattern::XK`] with `es` deferred.
    XK1  -> ()  <- (s) : [e] [e ee es] [s se];
    /// [`Pattern::XK`] with both deferred.
    X1K1 -> ()  <- (s) : [e] [e ee es] [s] [se];
    /// [`Pattern::XX`] with `se` deferred.
    X1X  -> ()  <- ()  : [e] [e ee s es] [s] [se];
    /// [`Pattern::XX`] with `es` deferred.
    XX1  -> ()  <- ()  : [e] [e ee s] [es s se];
    /// [`Pattern::XX`] with both deferred.
    X1X1 -> ()  <- ()  : [e] [e ee s] [es s] [se];
    /// [`Pattern::KN`] with `se` deferred.
    K1N  -> (s) <- ()  : [e] [e ee] [se];
    /// [`Pattern::KK`] with `se` deferred.
    K1K  -> (s) <- (s) : [e es] [e ee] [se];
    /// [`Pattern::KK`] with `es` deferred.
    KK1  -> (s) <- (s) : [e] [e ee se es];
    /// [`Pattern::KK`] with both deferred.
    K1K1 -> (s) <- (s) : [e] [e ee es] [se];
    /// [`Pattern::KX`] with `se` deferred.
    K1X  -> (s) <- ()  : [e] [e ee s es] [se];
    /// [`Pattern::KX`] with `es` deferred.
    KX1  -> (s) <- ()  : [e] [e ee se s] [es];
    /// [`Pattern::KX`] with both deferred.
    K1X1 -> (s) <- ()  : [e] [e ee s] [se es];
    /// [`Pattern::IN`] with `se` deferred.
    I1N  -> ()  <- ()  : [e s] [e ee] [se];
    /// [`Pattern::IK`] with `se` deferred.
    I1K  -> ()  <- (s) : [e es s] [e ee] [se];
    /// [`Pattern::IK`] with `es` deferred.
    IK1  -> ()  <- (s) : [e s] [e ee se es];
    /// [`Pattern::IK`] with both deferred.
    I1K1 -> ()  <- (s) : [e s] [e ee es] [se];
    /// [`Pattern::IX`] with `se` deferred.
    I1X  -> ()  <- ()  : [e s] [e ee s es] [se];
    /// [`Pattern::IX`] with `es` deferred.
    IX1  -> ()  <- ()  : [e s] [e ee se s] [es];
    /// [`Pattern::IX`] with both deferred.
    I1X1 -> ()  <- ()  : [e s] [e ee s] [se es];
}

impl Role {
    /// The other side.
    pub const fn peer(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    /// Who writes the message of that number, counted from 0.
    pub(crate) const fn writer_of(message: usize) -> Self {
        if message.is_multiple_of(2) { Self::Initiator } else { Self::Responder }
    }
}

impl Pattern {
    /// Its name as in the specification, such as `IK`.
    pub const fn name(self) -> &'static str {
        self.description().name
    }

    /// How many messages the handshake has: 1 to 4.
    pub const fn message_count(self) -> usize {
        self.description().messages.len()
    }

    /// Whether only the initiator ever sends, after the handshake too
    /// (section 7.4).
    pub const fn is_one_way(self) -> bool {
        self.message_count() == 1
    }

    /// Whether the side in `role` has a static key in this pattern.
    pub fn has_static(self, role: Role) -> bool {
        self.static_known_beforehand(role)
            || self.description().messages.iter().enumerate().any(|(message, tokens)| {
                Role::writer_of(message) == role && tokens.contains(&Token::S)
            })
    }

    /// Whether the static key of the side in `role` must be known to the other
    /// side before the handshake.
    pub const fn static_known_beforehand(self, role: Role) -> bool {
        match role {
            Role::Initiator => self.description().initiator_known,
            Role::Responder => self.description().responder_known,
        }
    }

    /// The tokens of the message of that number, counted from 0.
    pub(crate) fn message(self, message: usize) -> Option<&'static [Token]> {
        self.description().messages.get(message).copied()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Pattern {
    type Err = ParseParamsError;

    fn from_str(text: &str) -> Result<Self, ParseParamsError> {
        Self::ALL
            .iter()
            .copied()
            .find(|pattern| pattern.name() == text)
            .ok_or(ParseParamsError::Pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 7.3: what makes a pattern valid.
    #[test]
    fn every_pattern_keeps_the_validity_rules() {
        for &pattern in Pattern::ALL {
            let mut sent = Vec::new();
            let mut mixed = Vec::new();
            for role in [Role::Initiator, Role::Responder] {
                if pattern.static_known_beforehand(role) {
                    sent.push((role, KeyKind::Static));
                }
            }
            for message in 0..pattern.message_count() {
                for &token in pattern.message(message).unwrap() {
                    let writer = Role::writer_of(message);
                    match token {
                        Token::E => sent.push((writer, KeyKind::Ephemeral)),
                        Token::S => sent.push((writer, KeyKind::Static)),
                        Token::Dh(initiator, responder) => {
                            let other = match writer {
                                Role::Initiator => responder,
                                Role::Responder => initiator,
                            };
                            assert!(sent.contains(&(writer.peer(), other)), "{pattern}: unknown");
                            mixed.push((initiator, responder));
                        }
                        Token::Psk(_) => panic!("{pattern} has a modifier's token"),
                    }
                }
            }
            for (i, key) in sent.iter().enumerate() {
                assert!(!sent[..i].contains(key), "{pattern} sends a key twice");
            }
            for (i, pair) in mixed.iter().enumerate() {
                assert!(!mixed[..i].contains(pair), "{pattern} repeats a Diffie-Hellman");
            }
            for role in [Role::Initiator, Role::Responder] {
                let proven = mixed.iter().any(|&(initiator, responder)| {
                    [initiator, responder][usize::from(role == Role::Responder)] == KeyKind::Static
                });
                assert_eq!(proven, pattern.has_static(role), "{pattern} proves what it names");
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for &pattern in Pattern::ALL {
            assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
        assert!("XXX".parse::<Pattern>().is_err());
    }
}
