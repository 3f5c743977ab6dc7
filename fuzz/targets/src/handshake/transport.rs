//! Records of a session in the hands of whoever owns the network.

use std::num::NonZeroU64;

use antiphon_handshake::{
    Hash, MAX_MESSAGE_BYTES, Params, Pattern, Role, TAG_BYTES, Transport, TransportError,
};

use super::Keys;
use crate::script::Script;

/// A receiver takes exactly the next message, unaltered and under the same
/// key; everything else is refused and changes nothing, so that the true one
/// can still be read.
///
/// Input: the rekey interval (one byte, 0: never), then operations, see `step`.
pub fn transport(data: &[u8]) {
    let mut script = Script::new(data);
    let interval = NonZeroU64::new(script.byte().into());
    let (one, other) = session();
    let mut line = Line {
        transport: one.with_rekey_interval(interval),
        receiver: other.with_rekey_interval(interval),
        sent: Vec::new(),
        rekeys: (0, 0),
        received: 0,
    };
    while !script.is_over() {
        line.step(&mut script);
    }
}

/// A session that cost as little as one can.
fn session() -> (Transport, Transport) {
    let params = Params::new(Pattern::NN, Hash::Blake2s);
    let mut sides =
        [Role::Initiator, Role::Responder].map(|role| Keys::get().begin(role, params, b""));
    let (mut message, mut payload) = ([0; 64], [0; 64]);
    for (writer, reader) in [(0, 1), (1, 0)] {
        let sent = sides[writer].write_message(b"", &mut message).expect("it is its turn");
        sides[reader].read_message(&message[..sent], &mut payload).expect("nobody altered it");
    }
    let [one, other] = sides.map(|side| side.into_transport().expect("all messages were read"));
    (one, other)
}

struct Sent {
    plaintext: Vec<u8>,
    message: Vec<u8>,
    /// How often the sender had been told to rekey.
    rekeys: u64,
}

/// One direction of a session.
struct Line {
    transport: Transport,
    receiver: Transport,
    sent: Vec<Sent>,
    /// Rekeys by hand of sender and receiver.
    rekeys: (u64, u64),
    received: u64,
}

impl Line {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 8 {
            0 | 1 => self.send(script.piece().to_vec()),
            2 => self.send(vec![0; usize::from(script.u16())]),
            3 => {
                self.transport.sender.rekey();
                self.rekeys.0 += 1;
            }
            4 => {
                self.receiver.receiver.rekey();
                self.rekeys.1 += 1;
            }
            5 => self.receive(&mut script.long_piece().to_vec(), None),
            6 => {
                let which = script.below(self.sent.len());
                self.receive_altered(which, script);
            }
            _ => {
                // The next one, as it should be.
                let next = usize::try_from(self.received).expect("it fits");
                if let Some(sent) = self.sent.get(next) {
                    self.receive(&mut sent.message.clone(), Some(next));
                }
            }
        }
        assert_eq!(self.transport.sender.nonce(), self.sent.len() as u64);
        assert_eq!(self.receiver.receiver.nonce(), self.received);
    }

    fn send(&mut self, plaintext: Vec<u8>) {
        let mut message = plaintext.clone();
        message.resize(plaintext.len() + TAG_BYTES, 0);
        let too_long = message.len() > MAX_MESSAGE_BYTES;
        let untouched = message.clone();
        match self.transport.sender.encrypt_in_place(&mut message) {
            Ok(()) => {
                assert!(!too_long);
                self.sent.push(Sent { plaintext, message, rekeys: self.rekeys.0 });
            }
            Err(TransportError::Length { bytes }) => {
                assert!(too_long && bytes == untouched.len() && message == untouched);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn receive_altered(&mut self, which: usize, script: &mut Script<'_>) {
        let Some(sent) = self.sent.get(which) else { return };
        let mut message = sent.message.clone();
        let place = script.below(message.len());
        match script.byte() % 4 {
            0 => message[place] ^= 1 << (script.byte() % 8),
            1 => message.truncate(place),
            2 => message.extend(script.piece()),
            _ => {}
        }
        let altered = message != sent.message;
        self.receive(&mut message, (!altered).then_some(which));
    }

    /// Delivers a message; `which` of those sent it is, if it is one.
    fn receive(&mut self, message: &mut [u8], which: Option<usize>) {
        let next = which.and_then(|which| {
            let sent = &self.sent[which];
            (which as u64 == self.received && sent.rekeys == self.rekeys.1).then_some(sent)
        });
        match (self.receiver.receiver.decrypt_in_place(message), next) {
            (Ok(length), Some(sent)) => {
                assert_eq!(message[..length], sent.plaintext);
                self.received += 1;
            }
            (Err(TransportError::Refused), None) => {}
            (result, next) => panic!("{result:?}, but it is the next: {}", next.is_some()),
        }
    }
}
