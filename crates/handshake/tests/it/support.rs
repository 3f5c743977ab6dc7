//! What the tests share: an RNG that says what it was told, key pairs, and
//! handshakes run to their end.

use std::convert::Infallible;

use antiphon_handshake::{Handshake, HandshakeError, Hash, Params, Pattern, Role, StaticSecret};
use rand_chacha::rand_core::{SeedableRng, TryCryptoRng, TryRng};

pub(crate) type Rng = rand_chacha::ChaCha20Rng;

pub(crate) fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}

/// Yields 32 given bytes, once: the ephemeral secret of a vector.
pub(crate) struct FixedRng(pub(crate) Option<[u8; 32]>);

impl TryRng for FixedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("only bytes are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("only bytes are drawn")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0.take().expect("one call, of 32 bytes"));
        Ok(())
    }
}

impl TryCryptoRng for FixedRng {}

pub(crate) const IK: Params = Params::new(Pattern::IK, Hash::Blake2s);
pub(crate) const XX: Params = Params::new(Pattern::XX, Hash::Blake2s);

/// The pre-shared keys of both sides, for every place.
pub(crate) const PSKS: [[u8; 32]; 5] = [[1; 32], [2; 32], [3; 32], [4; 32], [5; 32]];

/// The static keys of both sides.
pub(crate) struct Keys {
    pub(crate) initiator: StaticSecret,
    pub(crate) responder: StaticSecret,
}

impl Keys {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self { initiator: StaticSecret::generate(rng), responder: StaticSecret::generate(rng) }
    }

    pub(crate) fn of(&self, role: Role) -> &StaticSecret {
        match role {
            Role::Initiator => &self.initiator,
            Role::Responder => &self.responder,
        }
    }

    /// One side of a handshake, with the keys that its pattern wants.
    pub(crate) fn begin(
        &self,
        role: Role,
        params: Params,
        prologue: &[u8],
        rng: &mut Rng,
    ) -> Handshake {
        let pattern = params.pattern;
        let local = pattern.has_static(role).then(|| self.of(role));
        let remote =
            pattern.static_known_beforehand(role.peer()).then(|| self.of(role.peer()).public_key());
        let mut handshake = match role {
            Role::Initiator => Handshake::initiator(params, prologue, local, remote, rng),
            Role::Responder => Handshake::responder(params, prologue, local, remote, rng),
        }
        .unwrap();
        for place in (0..PSKS.len()).filter(|&place| params.has_psk(place)) {
            handshake.set_psk(place, &PSKS[place]).unwrap();
        }
        handshake
    }

    /// Both sides of a handshake.
    pub(crate) fn pair(&self, params: Params, rng: &mut Rng) -> (Handshake, Handshake) {
        (
            self.begin(Role::Initiator, params, b"prologue", rng),
            self.begin(Role::Responder, params, b"prologue", rng),
        )
    }
}

/// Writes one message to a buffer of its own.
pub(crate) fn write(from: &mut Handshake, payload: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let mut message = vec![0; payload.len() + from.next_overhead_bytes()];
    let sent = from.write_message(payload, &mut message)?;
    assert_eq!(sent, message.len());
    Ok(message)
}

/// Reads one message into a buffer of its own.
pub(crate) fn read(to: &mut Handshake, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let mut payload = vec![0; message.len()];
    let received = to.read_message(message, &mut payload)?;
    payload.truncate(received);
    Ok(payload)
}

/// Runs `count` messages of a handshake that goes well, the initiator's first.
pub(crate) fn run(initiator: &mut Handshake, responder: &mut Handshake, count: usize) {
    for message in 0..count {
        let (writer, reader) = if message % 2 == 0 {
            (&mut *initiator, &mut *responder)
        } else {
            (&mut *responder, &mut *initiator)
        };
        let sent = write(writer, b"payload").unwrap();
        assert_eq!(read(reader, &sent).unwrap(), b"payload");
    }
}

/// Replays the same handshake up to message `messages`, whose reader is
/// returned with the message itself. Ephemerals are the same every time.
pub(crate) fn reader_of(params: Params, messages: usize) -> (Handshake, Handshake, Vec<u8>) {
    let mut rng = rng(42);
    let (mut initiator, mut responder) = Keys::new(&mut rng).pair(params, &mut rng);
    run(&mut initiator, &mut responder, messages);
    let (mut writer, reader) =
        if messages.is_multiple_of(2) { (initiator, responder) } else { (responder, initiator) };
    let message = write(&mut writer, b"payload").unwrap();
    (reader, writer, message)
}

/// The handshake is dead and has forgotten everything.
pub(crate) fn assert_forgotten(handshake: &mut Handshake) {
    assert!(!handshake.is_finished() && !handshake.is_my_turn());
    assert_eq!(handshake.remote_static(), None);
    assert_eq!(handshake.handshake_hash(), None);
    let mut buffer = [0; 300];
    assert_eq!(handshake.write_message(b"", &mut buffer), Err(HandshakeError::Failed));
    assert_eq!(handshake.read_message(&[0; 200], &mut buffer), Err(HandshakeError::Failed));
}

/// Every pattern with a pre-shared key at each of its places, and at all.
pub(crate) fn psk_params() -> impl Iterator<Item = Params> {
    Pattern::ALL.iter().flat_map(|&pattern| {
        let plain = Params::new(pattern, Hash::Blake2s);
        let places = 0..=pattern.message_count();
        let all = places.clone().fold(plain, |params, place| params.with_psk(place).unwrap());
        places.map(move |place| plain.with_psk(place).unwrap()).chain([all])
    })
}

/// Every protocol that the crate speaks, without pre-shared keys.
pub(crate) fn all_params() -> impl Iterator<Item = Params> {
    Pattern::ALL
        .iter()
        .flat_map(|&pattern| Hash::ALL.iter().map(move |&hash| Params::new(pattern, hash)))
}

/// Room for a tag after the plaintext.
pub(crate) fn with_room(plaintext: &[u8]) -> Vec<u8> {
    let mut record = plaintext.to_vec();
    record.resize(plaintext.len() + antiphon_handshake::TAG_BYTES, 0);
    record
}
