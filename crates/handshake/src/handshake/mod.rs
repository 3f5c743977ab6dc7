//! One handshake, from one side (Noise section 5.3).

mod error;
mod live;
mod turn;

use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use error::{HandshakeError, SetupError};
use live::{Live, PSK_PLACES};
pub use turn::{Finished, ReadTurn, Turn, WriteTurn};

use crate::cipher_state::CipherState;
use crate::keys::{StaticSecret, random_secret};
use crate::params::Params;
use crate::pattern::{Role, Token};
use crate::primitives::Unauthentic;
use crate::stateless::{StatelessReceiver, StatelessSender, StatelessTransport};
use crate::symmetric::SymmetricState;
use crate::transport::{Receiver, Sender, Transport};
use crate::{KEY_BYTES, MAX_MESSAGE_BYTES};

/// A handshake in progress.
///
/// Write and read in turn until [`is_finished`](Self::is_finished), then call
/// [`into_transport`](Self::into_transport). A payload rides on each message;
/// how well it is protected depends on the pattern (Noise section 7.7), and
/// what comes with the first message can be replayed to another responder.
///
/// It allocates nothing and its size is fixed; secrets are wiped when it is
/// dropped, and at once when a message is refused.
pub struct Handshake {
    params: Params,
    role: Role,
    /// How many messages were written and read.
    done: usize,
    /// None once a message was refused.
    live: Option<Live>,
}

impl Handshake {
    /// Begins as the side that writes first.
    ///
    /// Both sides must give the same `params` and `prologue`. `local` is given
    /// if [`Pattern::has_static`](crate::Pattern::has_static) for this side,
    /// `remote` if
    /// [`Pattern::static_known_beforehand`](crate::Pattern::static_known_beforehand)
    /// for the other. Exactly 32 bytes are drawn from `rng`, by one call: the
    /// ephemeral secret, which must never be the same twice.
    ///
    /// # Errors
    ///
    /// A [`SetupError`] if a key is missing, or given without use.
    pub fn initiator(
        params: Params,
        prologue: &[u8],
        local: Option<&StaticSecret>,
        remote: Option<[u8; KEY_BYTES]>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, SetupError> {
        Self::new(Role::Initiator, params, prologue, local, remote, random_secret(rng))
    }

    /// Begins as the side that reads first; the arguments and errors are those
    /// of [`Handshake::initiator`].
    ///
    /// # Errors
    ///
    /// A [`SetupError`] if a key is missing, or given without use.
    pub fn responder(
        params: Params,
        prologue: &[u8],
        local: Option<&StaticSecret>,
        remote: Option<[u8; KEY_BYTES]>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, SetupError> {
        Self::new(Role::Responder, params, prologue, local, remote, random_secret(rng))
    }

    /// `Initialize` of the specification.
    fn new(
        role: Role,
        params: Params,
        prologue: &[u8],
        local: Option<&StaticSecret>,
        remote: Option<[u8; KEY_BYTES]>,
        ephemeral_seed: Zeroizing<[u8; KEY_BYTES]>,
    ) -> Result<Self, SetupError> {
        let pattern = params.pattern;
        match (pattern.has_static(role), local) {
            (true, None) => return Err(SetupError::MissingLocal),
            (false, Some(_)) => return Err(SetupError::UnusedLocal),
            _ => {}
        }
        match (pattern.static_known_beforehand(role.peer()), remote) {
            (true, None) => return Err(SetupError::MissingRemote),
            (false, Some(_)) => return Err(SetupError::UnusedRemote),
            _ => {}
        }
        let mut symmetric = SymmetricState::new(params, prologue);
        for owner in [Role::Initiator, Role::Responder] {
            if pattern.static_known_beforehand(owner) {
                let known =
                    if owner == role { local.map(StaticSecret::public_key) } else { remote };
                symmetric.mix_hash(&known.unwrap_or_default());
            }
        }
        let live = Live {
            role,
            symmetric,
            local_static: local.cloned(),
            ephemeral_seed,
            local_ephemeral: None,
            remote_static: remote,
            remote_ephemeral: None,
            has_psks: params.has_psks(),
            psks: [const { None }; PSK_PLACES],
        };
        Ok(Self { params, role, done: 0, live: Some(live) })
    }

    /// Gives the pre-shared key of a place (Noise section 9), 32 bytes that
    /// nobody could guess: before the message that mixes it, which may be after
    /// one that has told who the other side is. Given twice, the last counts.
    ///
    /// # Errors
    ///
    /// [`SetupError::UnusedPsk`].
    pub fn set_psk(&mut self, place: usize, psk: &[u8; KEY_BYTES]) -> Result<(), SetupError> {
        let to_come = self.params.has_psk(place) && place.saturating_sub(1) >= self.done;
        let slot = self.live.as_mut().and_then(|live| live.psks.get_mut(place));
        let slot = slot.filter(|_| to_come).ok_or(SetupError::UnusedPsk { place })?;
        *slot = Some(Zeroizing::new(*psk));
        Ok(())
    }

    /// Which protocol this is.
    pub fn params(&self) -> Params {
        self.params
    }

    /// Which side this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether all messages are written and read.
    pub fn is_finished(&self) -> bool {
        self.live.is_some() && self.done == self.params.pattern.message_count()
    }

    /// Whether the next message is for this side to write. If it is not, and
    /// the handshake neither finished nor failed, it is to be read.
    pub fn is_my_turn(&self) -> bool {
        !self.is_finished() && self.live.is_some() && Role::writer_of(self.done) == self.role
    }

    /// How many bytes the next message, of either side, is longer than its
    /// payload: 0 to 112 (and 0 if there is none).
    pub fn next_overhead_bytes(&self) -> usize {
        let tokens = self.params.message(self.done);
        match (&self.live, tokens) {
            (Some(live), Some(tokens)) => live.overhead_bytes(tokens),
            _ => 0,
        }
    }

    /// The other side's static key, once it is known.
    ///
    /// It is proven only by a message that came after it and was accepted: in
    /// IK a responder has it after the first message, which may be a replay.
    pub fn remote_static(&self) -> Option<[u8; KEY_BYTES]> {
        self.live.as_ref()?.remote_static
    }

    /// A value that names this session, the same on both sides and nowhere
    /// else, once the handshake is finished: 32 or 64 bytes (Noise section
    /// 11.2, channel binding).
    pub fn handshake_hash(&self) -> Option<&[u8]> {
        if !self.is_finished() {
            return None;
        }
        self.live.as_ref().map(|live| live.symmetric.transcript())
    }

    /// Writes the next message, with `payload` in it, to the start of `out`
    /// and returns its length: that of the payload and
    /// [`next_overhead_bytes`](Self::next_overhead_bytes).
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Refused`] if the other side's key turns out to be of
    /// low order; the others if the call does not fit.
    pub fn write_message(
        &mut self,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, HandshakeError> {
        let tokens = self.next_tokens(self.role)?;
        let overhead_bytes = self.next_overhead_bytes();
        let message_bytes = overhead_bytes.saturating_add(payload.len());
        if message_bytes > MAX_MESSAGE_BYTES {
            return Err(HandshakeError::PayloadTooLong { max: MAX_MESSAGE_BYTES - overhead_bytes });
        }
        let out = out
            .get_mut(..message_bytes)
            .ok_or(HandshakeError::OutputTooSmall { needed: message_bytes })?;
        self.step(|live| live.write(tokens, payload, out))?;
        Ok(message_bytes)
    }

    /// Reads the next message, writes its payload to the start of
    /// `payload_out` and returns the payload's length: that of the message less
    /// [`next_overhead_bytes`](Self::next_overhead_bytes). On failure
    /// `payload_out` holds nothing of use.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Refused`] for every fault of the message; the others
    /// if the call does not fit.
    pub fn read_message(
        &mut self,
        message: &[u8],
        payload_out: &mut [u8],
    ) -> Result<usize, HandshakeError> {
        let tokens = self.next_tokens(self.role.peer())?;
        let payload_bytes = message
            .len()
            .checked_sub(self.next_overhead_bytes())
            .filter(|_| message.len() <= MAX_MESSAGE_BYTES);
        let Some(payload_bytes) = payload_bytes else {
            self.live = None;
            return Err(HandshakeError::Refused);
        };
        let payload_out = payload_out
            .get_mut(..payload_bytes)
            .ok_or(HandshakeError::OutputTooSmall { needed: payload_bytes })?;
        self.step(|live| live.read(tokens, message, payload_out))?;
        Ok(payload_bytes)
    }

    /// The ciphers of the session, for both directions.
    ///
    /// # Errors
    ///
    /// If the handshake is not finished, was refused, or is one-way.
    pub fn into_transport(self) -> Result<Transport, HandshakeError> {
        let [sender, receiver] = self.split_both_ways()?;
        Ok(Transport { sender: Sender::new(sender), receiver: Receiver::new(receiver) })
    }

    /// The ciphers of the session for messages that come in any order, or not
    /// at all: over datagrams. Read first what [`StatelessTransport`] asks of
    /// its caller.
    ///
    /// # Errors
    ///
    /// If the handshake is not finished, was refused, or is one-way.
    pub fn into_stateless_transport(self) -> Result<StatelessTransport, HandshakeError> {
        let [sender, receiver] = self.split_both_ways()?;
        Ok(StatelessTransport {
            sender: StatelessSender::new(sender),
            receiver: StatelessReceiver::new(receiver),
        })
    }

    /// The cipher of a one-way session for its initiator; for others what
    /// [`into_transport`](Self::into_transport) gives, without the receiver.
    ///
    /// # Errors
    ///
    /// If the handshake is not finished, was refused, or is one-way and this
    /// is the responder.
    pub fn into_sender(self) -> Result<Sender, HandshakeError> {
        if self.params.pattern.is_one_way() && self.role == Role::Responder {
            return Err(HandshakeError::OneWay);
        }
        self.split().map(|[sender, _]| Sender::new(sender))
    }

    /// The cipher of a one-way session for its responder; for others what
    /// [`into_transport`](Self::into_transport) gives, without the sender.
    ///
    /// # Errors
    ///
    /// If the handshake is not finished, was refused, or is one-way and this
    /// is the initiator.
    pub fn into_receiver(self) -> Result<Receiver, HandshakeError> {
        if self.params.pattern.is_one_way() && self.role == Role::Initiator {
            return Err(HandshakeError::OneWay);
        }
        self.split().map(|[_, receiver]| Receiver::new(receiver))
    }

    fn split_both_ways(self) -> Result<[CipherState; 2], HandshakeError> {
        if self.params.pattern.is_one_way() {
            return Err(HandshakeError::OneWay);
        }
        self.split()
    }

    /// `Split`: the cipher of what this side sends, then of what it receives.
    fn split(self) -> Result<[CipherState; 2], HandshakeError> {
        let finished = self.is_finished();
        let live = self.live.ok_or(HandshakeError::Failed)?;
        if !finished {
            return Err(HandshakeError::Unfinished);
        }
        let mut ciphers = live.symmetric.split();
        if self.role == Role::Responder {
            ciphers.reverse();
        }
        Ok(ciphers)
    }

    /// The tokens of the next message, if it is for `writer` to write.
    fn next_tokens(
        &self,
        writer: Role,
    ) -> Result<impl Iterator<Item = Token> + Clone + use<>, HandshakeError> {
        let live = self.live.as_ref().ok_or(HandshakeError::Failed)?;
        if Role::writer_of(self.done) != writer {
            return Err(HandshakeError::OutOfTurn);
        }
        let tokens = self.params.message(self.done).ok_or(HandshakeError::OutOfTurn)?;
        for token in tokens.clone() {
            if let Token::Psk(place) = token
                && live.psks.get(place).is_none_or(Option::is_none)
            {
                return Err(HandshakeError::MissingPsk { place });
            }
        }
        Ok(tokens)
    }

    /// Does one message, and forgets everything if that fails.
    fn step(
        &mut self,
        work: impl FnOnce(&mut Live) -> Result<(), Unauthentic>,
    ) -> Result<(), HandshakeError> {
        let live = self.live.as_mut().ok_or(HandshakeError::Failed)?;
        if work(live).is_err() {
            self.live = None;
            return Err(HandshakeError::Refused);
        }
        self.done += 1;
        Ok(())
    }
}

impl fmt::Debug for Handshake {
    /// Nothing secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("params", &format_args!("{}", self.params))
            .field("role", &self.role)
            .field("messages_done", &self.done)
            .field("failed", &self.live.is_none())
            .finish_non_exhaustive()
    }
}
