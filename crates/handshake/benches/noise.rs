//! Handshakes and records beside `snow`, in turns of some milliseconds, so that
//! both see the same machine. Printed is the fastest turn of each, which noise
//! can only make slower, and the median of the ratios turn by turn.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark fails loudly, prints, and measures time"
)]

use std::hint::black_box;
use std::time::Instant;

use antiphon_handshake::{Handshake, Params, StaticSecret, TAG_BYTES, Transport};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const TURNS: usize = 200;

fn params(pattern: &str) -> Params {
    format!("Noise_{pattern}_25519_ChaChaPoly_BLAKE2s").parse().unwrap()
}

fn remote_of(pattern: &str, secret: &StaticSecret) -> Option<[u8; 32]> {
    (pattern == "IK").then(|| secret.public_key())
}

/// A whole handshake, both sides, from keys to transports.
fn ours(
    params: Params,
    (client, server): (&StaticSecret, &StaticSecret),
    remote: Option<[u8; 32]>,
    rng: &mut ChaCha20Rng,
) -> (Transport, Transport) {
    let mut reader = Handshake::responder(params, b"", Some(server), None, rng).unwrap();
    let mut writer = Handshake::initiator(params, b"", Some(client), remote, rng).unwrap();
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    while !writer.is_finished() {
        let sent = writer.write_message(b"", &mut message).unwrap();
        reader.read_message(&message[..sent], &mut payload).unwrap();
        std::mem::swap(&mut writer, &mut reader);
    }
    (writer.into_transport().unwrap(), reader.into_transport().unwrap())
}

/// The same with `snow`.
fn theirs(
    params: Params,
    (client, server): (&StaticSecret, &StaticSecret),
    remote: Option<[u8; 32]>,
) -> (snow::TransportState, snow::TransportState) {
    let name: snow::params::NoiseParams = params.to_string().parse().unwrap();
    let (client, server) = (client.to_bytes(), server.to_bytes());
    let mut builder = snow::Builder::new(name.clone()).local_private_key(&*client).unwrap();
    if let Some(remote) = &remote {
        builder = builder.remote_public_key(remote).unwrap();
    }
    let mut writer = builder.build_initiator().unwrap();
    let builder = snow::Builder::new(name).local_private_key(&*server).unwrap();
    let mut reader = builder.build_responder().unwrap();
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    while !writer.is_handshake_finished() {
        let sent = writer.write_message(b"", &mut message).unwrap();
        reader.read_message(&message[..sent], &mut payload).unwrap();
        std::mem::swap(&mut writer, &mut reader);
    }
    (writer.into_transport_mode().unwrap(), reader.into_transport_mode().unwrap())
}

/// Nanoseconds that one of `count` calls takes.
fn nanos(count: u32, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| work());
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

/// Measures both in turns of `count` calls and prints a row.
fn compare(name: &str, count: u32, mut ours: impl FnMut(), mut snow: impl FnMut()) {
    let (mut best, mut ratios) = ((f64::MAX, f64::MAX), Vec::new());
    for _ in 0..TURNS {
        let turn = (nanos(count, &mut ours), nanos(count, &mut snow));
        best = (best.0.min(turn.0), best.1.min(turn.1));
        ratios.push(turn.1 / turn.0);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{name:<14} ours {:>9.0} ns   snow {:>9.0} ns   ratio {:.2} (median of turns {:.2})",
        best.0,
        best.1,
        best.1 / best.0,
        ratios[TURNS / 2]
    );
}

fn handshakes() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let keys = (StaticSecret::generate(&mut rng), StaticSecret::generate(&mut rng));
    for pattern in ["IK", "XX"] {
        let (params, keys) = (params(pattern), (&keys.0, &keys.1));
        let remote = remote_of(pattern, keys.1);
        compare(
            &format!("handshake_{pattern}"),
            10,
            || drop(black_box(ours(params, keys, remote, &mut rng))),
            || drop(black_box(theirs(params, keys, remote))),
        );
    }
}

/// One record encrypted and decrypted.
fn records() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (client, server) = (StaticSecret::generate(&mut rng), StaticSecret::generate(&mut rng));
    let (params, remote) = (params("IK"), Some(server.public_key()));
    let (mut left, mut right) = ours(params, (&client, &server), remote, &mut rng);
    let (mut snow_left, mut snow_right) = theirs(params, (&client, &server), remote);
    for (bytes, count) in [(64, 500), (1_024, 200), (16 * 1_024, 20)] {
        let mut record = vec![7; bytes + TAG_BYTES];
        let (mut plaintext, mut ciphertext) = (vec![7; bytes], vec![0; bytes + TAG_BYTES]);
        compare(
            &format!("record_{bytes}"),
            count,
            || {
                left.sender.encrypt_in_place(&mut record).unwrap();
                right.receiver.decrypt_in_place(&mut record).unwrap();
            },
            || {
                snow_left.write_message(&plaintext, &mut ciphertext).unwrap();
                snow_right.read_message(&ciphertext, &mut plaintext).unwrap();
            },
        );
    }
}

fn main() {
    handshakes();
    records();
}
