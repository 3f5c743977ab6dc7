//! Node ids and signatures from strangers.

use antiphon_handshake::identity::{NodeSecret, SIGNATURE_BYTES, matches, noise_public, verify};
use antiphon_types::NodeId;

use crate::script::Script;

/// Any 32 bytes are a node id with one Noise key, or are refused; a signature
/// is good for exactly its node, context and message.
///
/// Input: a flag, then either id, signature (u8 and bytes) and message; or a
/// seed (one byte), context, message and a change.
pub fn identity(data: &[u8]) {
    let mut script = Script::new(data);
    if script.flag() { signed(&mut script) } else { anything(&mut script) }
}

fn anything(script: &mut Script<'_>) {
    let bytes = script.array();
    let node = NodeId::new(bytes);
    let signature = script.piece();
    let verified = verify(&node, b"context", script.rest(), signature);
    assert!(verified.is_err() || signature.len() == SIGNATURE_BYTES);
    let Ok(public) = noise_public(&node) else {
        assert!(verified.is_err() && !matches(&node, &[0; 32]));
        return;
    };
    assert!(matches(&node, &public));
    assert_ne!(public, [0; 32], "a key of low order was let pass");
    // The other node with the same Noise key is the one with the other sign.
    let mut mirrored = bytes;
    mirrored[31] ^= 0x80;
    if let Ok(other) = noise_public(&NodeId::new(mirrored)) {
        assert_eq!(other, public);
    }
}

fn signed(script: &mut Script<'_>) {
    let secret = NodeSecret::from_bytes(&[script.byte(); 32]);
    let (context, message) = (script.piece(), script.piece());
    let mut signature = secret.sign(context, message).to_vec();
    let (mut node, mut context, mut message) =
        (*secret.node_id().as_bytes(), context.to_vec(), message.to_vec());

    let change = script.byte();
    let changed: &mut Vec<u8> = match change % 4 {
        0 => &mut signature,
        1 => &mut context,
        2 => &mut message,
        _ => {
            node[script.below(32)] ^= 1 << (change / 4 % 8);
            &mut Vec::new()
        }
    };
    let place = script.below(changed.len());
    let altered = match changed.get_mut(place) {
        Some(byte) => {
            let mask = script.byte();
            *byte ^= mask;
            mask != 0
        }
        None => change % 4 == 3,
    };
    let verified = verify(&NodeId::new(node), &context, &message, &signature);
    assert_eq!(verified.is_err(), altered);
}
