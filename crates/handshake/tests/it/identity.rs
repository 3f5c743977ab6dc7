//! Node ids, their X25519 form, and signatures.

use antiphon_handshake::StaticSecret;
use antiphon_handshake::identity::{
    self, IdentityError, NodeSecret, SignatureError, matches, noise_public, verify,
};
use antiphon_types::NodeId;

use crate::support::{Keys, XX, rng, run};

fn node(text: &str) -> NodeId {
    text.parse().unwrap()
}

/// RFC 8032 section 7.1, test 1: the public key of a seed.
#[test]
fn a_node_id_is_the_ed25519_key_of_the_seed() {
    let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let secret = NodeSecret::from_bytes(&seed.unwrap().try_into().unwrap());
    assert_eq!(
        secret.node_id(),
        node("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    );
    assert_eq!(NodeSecret::from_bytes(&secret.to_bytes()).node_id(), secret.node_id());
}

#[test]
fn public_and_secret_form_belong_together() {
    let mut rng = rng(1);
    for _ in 0..20 {
        let secret = NodeSecret::generate(&mut rng);
        let noise = secret.noise_secret();
        assert_eq!(noise_public(&secret.node_id()), Ok(noise.public_key()));
        let recomputed = StaticSecret::from_bytes(&noise.to_bytes());
        assert_eq!(recomputed.public_key(), noise.public_key());
    }
}

#[test]
fn a_handshake_proves_the_node_and_no_other() {
    let mut rng = rng(2);
    let (client, server) = (NodeSecret::generate(&mut rng), NodeSecret::generate(&mut rng));
    let keys = Keys { initiator: client.noise_secret(), responder: server.noise_secret() };
    let (mut initiator, mut responder) = keys.pair(XX, &mut rng);
    run(&mut initiator, &mut responder, 3);
    let proven = responder.remote_static().unwrap();
    assert!(matches(&client.node_id(), &proven));
    assert!(!matches(&server.node_id(), &proven));
    assert!(!matches(&NodeId::new([0; 32]), &proven));
}

#[test]
fn weak_keys_are_refused() {
    for weak in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ] {
        assert_eq!(noise_public(&node(weak)), Err(IdentityError::Weak), "{weak}");
        let refused = Err(SignatureError::Identity(IdentityError::Weak));
        assert_eq!(verify(&node(weak), b"", b"", &[0; 64]), refused, "{weak}");
    }
}

#[test]
fn keys_that_are_no_canonical_points_are_refused() {
    for other in [
        // y = p, p + 1 and 2^255 - 1, which mean 0, 1 and 18.
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        // x = 0 with the sign of a negative number.
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        // On no point.
        "0200000000000000000000000000000000000000000000000000000000000000",
    ] {
        assert_eq!(noise_public(&node(other)), Err(IdentityError::NotCanonical), "{other}");
    }
}

/// Two ids share one X25519 form, so the id itself must be told and used.
#[test]
fn the_negated_key_has_the_same_x25519_form_but_signs_nothing() {
    let secret = NodeSecret::generate(&mut rng(3));
    let mut bytes = *secret.node_id().as_bytes();
    bytes[31] ^= 0x80;
    let negated = NodeId::new(bytes);
    assert_ne!(negated, secret.node_id());
    assert_eq!(noise_public(&negated), noise_public(&secret.node_id()));
    let signature = secret.sign(b"context", b"message");
    assert_eq!(verify(&negated, b"context", b"message", &signature), Err(SignatureError::Refused));
}

#[test]
fn a_signature_holds_for_its_node_context_and_message_alone() {
    let mut rng = rng(4);
    let (secret, other) = (NodeSecret::generate(&mut rng), NodeSecret::generate(&mut rng));
    let node = secret.node_id();
    let signature = secret.sign(b"ticket", b"message");
    assert_eq!(verify(&node, b"ticket", b"message", &signature), Ok(()));
    let refused = Err(SignatureError::Refused);
    assert_eq!(verify(&other.node_id(), b"ticket", b"message", &signature), refused);
    assert_eq!(verify(&node, b"manifest", b"message", &signature), refused);
    assert_eq!(verify(&node, b"ticketm", b"essage", &signature), refused, "moved the border");
    assert_eq!(verify(&node, b"ticket", b"massage", &signature), refused);
    for position in 0..identity::SIGNATURE_BYTES {
        let mut altered = signature;
        altered[position] ^= 1;
        assert_eq!(verify(&node, b"ticket", b"message", &altered), refused);
    }
    for length in [0, 63, 65] {
        let mut resized = signature.to_vec();
        resized.resize(length, 0);
        assert_eq!(verify(&node, b"ticket", b"message", &resized), refused);
    }
}

/// The same signature with the group order added to its scalar.
#[test]
fn a_signature_in_another_form_is_refused() {
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let secret = NodeSecret::generate(&mut rng(5));
    let mut signature = secret.sign(b"", b"message");
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(hex::decode(ORDER).unwrap()) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let refused = Err(SignatureError::Refused);
    assert_eq!(verify(&secret.node_id(), b"", b"message", &signature), refused);
}

#[test]
fn a_node_secret_is_not_printed() {
    let secret = NodeSecret::from_bytes(&[0x11; 32]);
    let printed = format!("{secret:?}");
    assert!(!printed.contains("1111"), "{printed}");
    assert!(printed.contains(&format!("{:?}", secret.node_id())), "{printed}");
}
