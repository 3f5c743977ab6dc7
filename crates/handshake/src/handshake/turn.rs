//! The same handshake as values of which each can do only what is its turn.

use super::{Handshake, HandshakeError};
use crate::transport::Transport;

/// What there is to do next in a handshake.
///
/// [`Handshake`] checks at run time that a call is in its turn; here the
/// compiler does. Each step consumes the one before it. An error consumes it
/// too, with all its secrets, even if only a buffer was too small. What a step
/// knows is asked of the [`handshake`](Turn::handshake) inside.
///
/// ```
/// use antiphon_handshake::{Handshake, HandshakeError, Params, StaticSecret, Transport, Turn};
/// # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// /// Runs a handshake without payloads over whatever sends and receives.
/// fn shake_hands(
///     handshake: Handshake,
///     mut send: impl FnMut(&[u8]),
///     mut receive: impl FnMut() -> Vec<u8>,
/// ) -> Result<Transport, HandshakeError> {
///     let mut buffer = [0; 256];
///     let mut turn = handshake.turn()?;
///     loop {
///         turn = match turn {
///             Turn::Write(step) => {
///                 let (next, sent) = step.write(b"", &mut buffer)?;
///                 send(&buffer[..sent]);
///                 next
///             }
///             Turn::Read(step) => step.read(&receive(), &mut buffer)?.0,
///             Turn::Done(finished) => return finished.into_transport(),
///         };
///     }
/// }
/// # let mut rng = ChaCha20Rng::seed_from_u64(1);
/// # let params: Params = "Noise_NN_25519_ChaChaPoly_BLAKE2s".parse()?;
/// # let handshake = Handshake::initiator(params, b"", None, None, &mut rng)?;
/// # let mut responder = Handshake::responder(params, b"", None, None, &mut rng)?;
/// # let message = std::cell::RefCell::new(Vec::new());
/// # let answer = || {
/// #     let (mut payload, mut answer) = ([0; 32], vec![0; 48]);
/// #     responder.read_message(&message.borrow(), &mut payload).unwrap();
/// #     responder.write_message(b"", &mut answer).unwrap();
/// #     answer
/// # };
/// # shake_hands(handshake, |sent| *message.borrow_mut() = sent.to_vec(), answer)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A message cannot be written twice, nor records be sent before the end:
///
/// ```compile_fail,E0382
/// # use antiphon_handshake::WriteTurn;
/// fn twice(step: WriteTurn, out: &mut [u8]) {
///     let _ = step.write(b"once", out);
///     let _ = step.write(b"again", out); // used after it was moved
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use antiphon_handshake::{HandshakeError, Transport, WriteTurn};
/// fn too_early(step: WriteTurn) -> Result<Transport, HandshakeError> {
///     step.into_transport() // only a finished handshake has it
/// }
/// ```
#[derive(Debug)]
#[must_use = "a handshake that is not carried on is dropped"]
pub enum Turn {
    /// This side writes the next message.
    Write(WriteTurn),
    /// This side reads the next message.
    Read(ReadTurn),
    /// All messages are exchanged.
    Done(Finished),
}

/// A handshake in which it is this side's turn to write.
#[derive(Debug)]
pub struct WriteTurn(Handshake);

/// A handshake in which it is this side's turn to read.
#[derive(Debug)]
pub struct ReadTurn(Handshake);

/// A handshake that went well.
#[derive(Debug)]
pub struct Finished(Handshake);

impl Handshake {
    /// What there is to do next, as a value that can do that and nothing else.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Failed`], if a message was refused before.
    pub fn turn(self) -> Result<Turn, HandshakeError> {
        if self.live.is_none() {
            return Err(HandshakeError::Failed);
        }
        Ok(if self.is_finished() {
            Turn::Done(Finished(self))
        } else if self.is_my_turn() {
            Turn::Write(WriteTurn(self))
        } else {
            Turn::Read(ReadTurn(self))
        })
    }
}

impl Turn {
    /// The handshake as it stands, to look at.
    pub fn handshake(&self) -> &Handshake {
        match self {
            Self::Write(step) => step.handshake(),
            Self::Read(step) => step.handshake(),
            Self::Done(finished) => finished.handshake(),
        }
    }
}

impl WriteTurn {
    /// [`Handshake::write_message`]: the next turn, and the message's length.
    ///
    /// # Errors
    ///
    /// Those of [`Handshake::write_message`].
    pub fn write(
        mut self,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<(Turn, usize), HandshakeError> {
        let bytes = self.0.write_message(payload, out)?;
        Ok((self.0.turn()?, bytes))
    }

    /// The handshake as it stands, to look at.
    pub fn handshake(&self) -> &Handshake {
        &self.0
    }
}

impl ReadTurn {
    /// [`Handshake::read_message`]: the next turn, and the payload's length.
    ///
    /// # Errors
    ///
    /// Those of [`Handshake::read_message`].
    pub fn read(
        mut self,
        message: &[u8],
        payload_out: &mut [u8],
    ) -> Result<(Turn, usize), HandshakeError> {
        let bytes = self.0.read_message(message, payload_out)?;
        Ok((self.0.turn()?, bytes))
    }

    /// The handshake as it stands, to look at.
    pub fn handshake(&self) -> &Handshake {
        &self.0
    }
}

impl Finished {
    /// [`Handshake::handshake_hash`], which is there now.
    pub fn handshake_hash(&self) -> &[u8] {
        self.0.handshake_hash().unwrap_or_default()
    }

    /// The handshake as it stands, to look at.
    pub fn handshake(&self) -> &Handshake {
        &self.0
    }

    /// [`Handshake::into_transport`].
    ///
    /// # Errors
    ///
    /// [`HandshakeError::OneWay`].
    pub fn into_transport(self) -> Result<Transport, HandshakeError> {
        self.0.into_transport()
    }

    /// The handshake, for the other kinds of transport.
    pub fn into_handshake(self) -> Handshake {
        self.0
    }
}
