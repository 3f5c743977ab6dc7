//! The handshake, what follows it, and the keys it proves.

mod conversation;
mod identity;
mod transport;

use std::sync::OnceLock;

use antiphon_handshake::{Handshake, Params, Role, StaticSecret};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

pub use conversation::handshake;
pub use identity::identity;
pub use transport::transport;

/// The static keys of both sides, the same in all runs.
struct Keys {
    initiator: StaticSecret,
    responder: StaticSecret,
}

impl Keys {
    fn get() -> &'static Self {
        static KEYS: OnceLock<Keys> = OnceLock::new();
        KEYS.get_or_init(|| Self {
            initiator: StaticSecret::from_bytes(&[0x11; 32]),
            responder: StaticSecret::from_bytes(&[0x22; 32]),
        })
    }

    fn of(&self, role: Role) -> &StaticSecret {
        match role {
            Role::Initiator => &self.initiator,
            Role::Responder => &self.responder,
        }
    }

    /// One side, with the keys that its pattern wants.
    fn begin(&self, role: Role, params: Params, prologue: &[u8]) -> Handshake {
        let pattern = params.pattern;
        let local = pattern.has_static(role).then(|| self.of(role));
        let remote =
            pattern.static_known_beforehand(role.peer()).then(|| self.of(role.peer()).public_key());
        let begin = match role {
            Role::Initiator => Handshake::initiator,
            Role::Responder => Handshake::responder,
        };
        // Random numbers from a script would let it choose equal ones.
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(role == Role::Initiator));
        begin(params, prologue, local, remote, &mut rng).expect("these are the keys it wants")
    }
}
