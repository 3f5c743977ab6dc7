//! Handshakes, and records of 16 KiB, beside `snow` in the same run.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may fail loudly")]

use std::hint::black_box;

use antiphon_handshake::{Handshake, Params, StaticSecret, TAG_BYTES, Transport};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const RECORD_BYTES: usize = 16 * 1024;

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

fn handshakes(criterion: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let keys = (StaticSecret::generate(&mut rng), StaticSecret::generate(&mut rng));
    for pattern in ["IK", "XX"] {
        let (params, keys) = (params(pattern), (&keys.0, &keys.1));
        let remote = remote_of(pattern, keys.1);
        let mut group = criterion.benchmark_group(format!("handshake_{pattern}"));
        group.bench_function("ours", |bench| {
            bench.iter(|| black_box(ours(params, keys, remote, &mut rng)));
        });
        group.bench_function("snow", |bench| {
            bench.iter(|| black_box(theirs(params, keys, remote)));
        });
        group.finish();
    }
}

/// One record encrypted and decrypted.
fn records(criterion: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (client, server) = (StaticSecret::generate(&mut rng), StaticSecret::generate(&mut rng));
    let (params, remote) = (params("IK"), Some(server.public_key()));
    let mut group = criterion.benchmark_group("record_16k");
    group.throughput(Throughput::Bytes(RECORD_BYTES as u64));
    let (mut left, mut right) = ours(params, (&client, &server), remote, &mut rng);
    group.bench_function("ours", |bench| {
        bench.iter_batched_ref(
            || vec![7; RECORD_BYTES + TAG_BYTES],
            |record| {
                left.sender.encrypt_in_place(record).unwrap();
                right.receiver.decrypt_in_place(record).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    let (mut left, mut right) = theirs(params, (&client, &server), remote);
    group.bench_function("snow", |bench| {
        bench.iter_batched_ref(
            || (vec![7; RECORD_BYTES], vec![0; RECORD_BYTES + TAG_BYTES]),
            |(plaintext, record)| {
                left.write_message(plaintext, record).unwrap();
                right.read_message(record, plaintext).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, handshakes, records);
criterion_main!(benches);
