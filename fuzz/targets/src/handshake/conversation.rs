//! A handshake in the hands of whoever owns the network.

use antiphon_handshake::{
    Handshake, HandshakeError, Hash, MAX_MESSAGE_BYTES, Params, Pattern, Role, TAG_BYTES, Transport,
};

use super::Keys;
use crate::script::Script;

/// Who alters, cuts, replays, reflects or reorders messages, and calls in any
/// order, gets an error value and never a session: a side that finishes by
/// reading has read exactly what the other wrote, and two that finish have the
/// same hash if, and only if, they saw the same messages.
///
/// Input: pattern, hash and prologues (one byte each), then operations, see
/// `step`.
pub fn handshake(data: &[u8]) {
    let mut script = Script::new(data);
    let params = Params::new(script.choose(Pattern::ALL), script.choose(Hash::ALL));
    let same_prologue = !script.flag();
    let prologues = [&b"one"[..], if same_prologue { b"one" } else { b"two" }];
    let mut network = Network {
        sides: [
            Side::new(Role::Initiator, params, prologues[0]),
            Side::new(Role::Responder, params, prologues[1]),
        ],
        written: Vec::new(),
    };
    while !script.is_over() {
        network.step(&mut script);
    }
    network.judge(params, same_prologue);
}

struct Side {
    handshake: Handshake,
    /// Every message written or read, in order.
    transcript: Vec<Vec<u8>>,
    failed: bool,
    finished_by_reading: bool,
}

impl Side {
    fn new(role: Role, params: Params, prologue: &[u8]) -> Self {
        Self {
            handshake: Keys::get().begin(role, params, prologue),
            transcript: Vec::new(),
            failed: false,
            finished_by_reading: false,
        }
    }

    /// Writes if it may; every reason why it may not is an error value.
    fn write(&mut self, payload: &[u8], room: usize) -> Option<Vec<u8>> {
        let my_turn = self.handshake.is_my_turn();
        let needed = payload.len() + self.handshake.next_overhead_bytes();
        let mut out = vec![0; room];
        match self.handshake.write_message(payload, &mut out) {
            Ok(length) => {
                assert!(my_turn && length == needed && length <= room);
                out.truncate(length);
                self.transcript.push(out.clone());
                return Some(out);
            }
            Err(HandshakeError::OutputTooSmall { needed: told }) => {
                assert!(my_turn && told == needed && room < needed);
            }
            Err(HandshakeError::PayloadTooLong { max }) => {
                assert!(my_turn && max < payload.len() && needed > MAX_MESSAGE_BYTES);
            }
            Err(error) => self.note(error),
        }
        None
    }

    fn read(&mut self, message: &[u8], room: usize) {
        let overhead = self.handshake.next_overhead_bytes();
        let mut payload = vec![0; room];
        match self.handshake.read_message(message, &mut payload) {
            Ok(length) => {
                assert_eq!(length + overhead, message.len());
                self.transcript.push(message.to_vec());
                self.finished_by_reading = self.handshake.is_finished();
            }
            Err(HandshakeError::OutputTooSmall { needed }) => {
                assert!(room < needed && needed + overhead == message.len());
            }
            Err(error) => self.note(error),
        }
    }

    fn note(&mut self, error: HandshakeError) {
        match error {
            HandshakeError::Refused => {
                assert!(!self.failed, "refused twice");
                self.failed = true;
            }
            HandshakeError::Failed => assert!(self.failed),
            HandshakeError::OutOfTurn => assert!(!self.failed),
            other => panic!("{other} is no answer to this call"),
        }
        self.check();
    }

    /// Who failed knows nothing any more.
    fn check(&self) {
        let handshake = &self.handshake;
        assert_eq!(handshake.handshake_hash().is_some(), handshake.is_finished());
        if self.failed {
            assert!(!handshake.is_finished() && !handshake.is_my_turn());
            assert_eq!((handshake.remote_static(), handshake.next_overhead_bytes()), (None, 0));
        }
    }
}

struct Network {
    sides: [Side; 2],
    written: Vec<Vec<u8>>,
}

impl Network {
    fn step(&mut self, script: &mut Script<'_>) {
        let operation = script.byte();
        let side = &mut self.sides[usize::from(operation / 8 % 2)];
        match operation % 8 {
            0..=2 => {
                let payload = vec![0x5a; payload_bytes(script.byte())];
                let needed = payload.len() + side.handshake.next_overhead_bytes();
                let room = if operation < 0x80 { needed } else { usize::from(script.byte()) };
                self.written.extend(side.write(&payload, room));
            }
            3 | 4 => {
                if let Some(latest) = self.written.last() {
                    side.read(latest, latest.len());
                }
            }
            5 => side.read(script.long_piece(), MAX_MESSAGE_BYTES),
            6 => {
                if let Some(message) = Self::altered(&self.written, script) {
                    side.read(&message, message.len());
                }
            }
            _ => {
                if let Some(latest) = self.written.last() {
                    side.read(latest, usize::from(script.byte()));
                }
            }
        }
    }

    /// One of the messages that were written, with a change.
    fn altered(written: &[Vec<u8>], script: &mut Script<'_>) -> Option<Vec<u8>> {
        let mut message = written.get(script.below(written.len()))?.clone();
        let place = script.below(message.len().min(300));
        match script.byte() % 6 {
            0 => {}
            1 => *message.get_mut(place)? ^= 1 << (script.byte() % 8),
            2 => message.truncate(place),
            3 => message.extend(script.piece()),
            // A key of low order, whose shared secret everybody knows.
            4 => message.get_mut(..32)?.copy_from_slice(&low_order(script.byte())),
            _ => {
                let other = written.get(script.below(written.len()))?;
                let end = message.len().min(other.len()).min(place);
                message[..end].copy_from_slice(&other[..end]);
            }
        }
        Some(message)
    }

    fn judge(self, params: Params, same_prologue: bool) {
        let [initiator, responder] = self.sides;
        for (reader, writer) in [(&initiator, &responder), (&responder, &initiator)] {
            reader.check();
            if reader.finished_by_reading {
                assert!(same_prologue, "a session across two prologues");
                let seen = reader.transcript.len();
                assert_eq!(writer.transcript.get(..seen), Some(&reader.transcript[..]));
                check_key(&reader.handshake);
            }
        }
        if !initiator.handshake.is_finished() || !responder.handshake.is_finished() {
            return;
        }
        let same = same_prologue && initiator.transcript == responder.transcript;
        let hashes = [&initiator, &responder].map(|side| side.handshake.handshake_hash());
        assert_eq!(hashes[0] == hashes[1], same, "the hash does not name the session");
        if !params.pattern.is_one_way() {
            let transport = |side: Side| side.handshake.into_transport().expect("it is finished");
            check_talk(transport(initiator), transport(responder), same);
        }
    }
}

/// The other side's static key is proven, so it is the true one.
fn check_key(handshake: &Handshake) {
    let peer = handshake.role().peer();
    let expected = handshake.params().pattern.has_static(peer).then(|| Keys::get().of(peer));
    assert_eq!(handshake.remote_static(), expected.map(|key| key.public_key()));
}

/// Two sessions that are the same understand each other, others never do.
fn check_talk(mut one: Transport, mut other: Transport, same: bool) {
    for (sender, receiver) in
        [(&mut one.sender, &mut other.receiver), (&mut other.sender, &mut one.receiver)]
    {
        let mut record = [7; 5 + TAG_BYTES];
        sender.encrypt_in_place(&mut record).expect("it has many left");
        assert_eq!(receiver.decrypt_in_place(&mut record).is_ok(), same);
        assert!(!same || record[..5] == [7; 5]);
    }
}

/// Short payloads as they are, and lengths about the bound of a message.
fn payload_bytes(choice: u8) -> usize {
    match choice {
        0..224 => usize::from(choice),
        _ => MAX_MESSAGE_BYTES - 16 * usize::from(255 - choice),
    }
}

/// Points of low order on the curve and its twist (RFC 7748 section 7), in
/// encodings that X25519 takes.
fn low_order(choice: u8) -> [u8; 32] {
    const ORDER_8: [u8; 32] = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ];
    let mut point = match choice % 4 {
        0 => [0; 32],
        1 => std::array::from_fn(|i| u8::from(i == 0)),
        2 => ORDER_8,
        // The prime itself, which is zero again.
        _ => std::array::from_fn(|i| match i {
            0 => 0xed,
            31 => 0x7f,
            _ => 0xff,
        }),
    };
    point[31] |= choice & 0x80;
    point
}
