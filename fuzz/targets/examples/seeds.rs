//! Writes the seeds of the corpora: inputs of the kind that an honest side
//! sends, from which a fuzzer gets further than from nothing.
//!
//! `cargo run -p antiphon-fuzz-targets --example seeds`

use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use antiphon_handshake::identity::NodeSecret;
use antiphon_media::{encode, extend_i16, synth};
use antiphon_net::lan::{Presence, PresenceKind, ServiceTag};
use antiphon_net::{ProofKey, stun};
use antiphon_types::{Bitrate, BlobId, BlobSize, NodeId, Segment};
use antiphon_wire::message::{encode_block_header, encode_message};
use antiphon_wire::proto::{
    Announce, Blocks, ClientNotice, Hello, Lease, Manifest, Message, Peer, PeerHello, PeerNotice,
    Play, PlayEvent, Playing, Range, Refused, Rendition, Reply, ReportPlays, Request, ServerNotice,
    SignedManifest, SignedTicket, Ticket, Welcome, client_notice, peer_notice, refused, reply,
    request, server_notice,
};
use antiphon_wire::record::record_header;
use bytes::Bytes;

/// Corpus, name, input.
type Seed = (&'static str, String, Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("corpus");
    let mut seeds = messages();
    seeds.extend(protobuf());
    seeds.extend([records()?, names(), identity()]);
    seeds.extend(handshakes());
    seeds.extend(folders());
    seeds.extend(music()?);
    seeds.extend(datagrams());
    for (target, name, input) in seeds {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("seed-{name}")), input)?;
    }
    Ok(())
}

/// What comes at a UDP port, and on a local network.
fn datagrams() -> Vec<Seed> {
    let id = [0x1d; 12];
    let seed = |name: &str, input: Vec<u8>| ("stun", name.to_owned(), input);
    let answer = |ip: IpAddr| {
        let (address, key) = (SocketAddr::new(ip, 7_700), ProofKey::from_bytes(&[1; 32]));
        stun::response(&id, address, &key.prove(address, 1_700_000_000_000))
    };
    let presence = |name: &str, kind: PresenceKind| {
        let (tag, peer) = (ServiceTag::of(&NodeId::new([1; 32])), NodeId::new([2; 32]));
        let packet = Presence { kind, tag, peer, port: 4_711 }.encode();
        ("presence", name.to_owned(), packet.to_vec())
    };
    vec![
        seed("question", stun::request(&id)),
        seed("indication", stun::indication(&id)),
        seed("answer-v4", answer(Ipv4Addr::LOCALHOST.into())),
        seed("answer-v6", answer(Ipv6Addr::LOCALHOST.into())),
        presence("here", PresenceKind::Here),
        presence("leaving", PresenceKind::Leaving),
    ]
}

fn records() -> Result<Seed, Box<dyn Error>> {
    let mut input = vec![3, 1, 0, 20];
    for length in [16, 17, 300] {
        input.extend(record_header(length)?);
        input.resize(input.len() + length, 7);
    }
    Ok(("records", "three".to_owned(), input))
}

fn messages() -> Vec<Seed> {
    let seed = |name: &str, stream: &[u8]| {
        let input = [&[2, 3, 40, 255, 255], stream].concat();
        ("messages", name.to_owned(), input)
    };
    let block = [&encode_block_header(9, &[1; 64], 500), &[2; 500][..]].concat();
    vec![
        seed("block", &block),
        seed("message", &[encode_message(b"hello"), encode_message(b"")].concat()),
    ]
}

fn names() -> Seed {
    let link = format!("antiphon://[2001:db8::1]:7700/{}", "09".repeat(32));
    ("names", "link".to_owned(), link.into_bytes())
}

fn identity() -> Seed {
    let secret = NodeSecret::from_bytes(&[5; 32]);
    let signature = secret.sign(b"context", b"message");
    let input = [&[0], &secret.node_id().as_bytes()[..], &[64], &signature, b"message"].concat();
    ("identity", "signature".to_owned(), input)
}

/// The one bit of a key that X25519 ignores, turned over on its way: only the
/// transcript tells.
fn handshakes() -> Vec<Seed> {
    let (initiator_writes, responder_reads_altered) = ([0, 5], [14, 0, 31, 1, 7]);
    let (responder_writes, initiator_reads) = ([8, 3], [3]);
    let seed = |name: &str, pattern: u8| {
        let mut input = vec![pattern, 0, 0];
        input.extend(initiator_writes);
        input.extend(responder_reads_altered);
        input.extend(responder_writes);
        input.extend(initiator_reads);
        ("handshake", format!("top-bit-{name}"), input)
    };
    vec![seed("nn", 3), seed("xx", 8), seed("ik", 13)]
}

/// Changes of each file of a store, at places that mean something: four of blobs,
/// two copies of the index.
fn folders() -> Vec<Seed> {
    let (bytes, emptied, gone, renamed, header_right, index_right) = (0, 4, 5, 6, 7, 8);
    let seed = |name: &str, file: u8, rest: &[u8]| {
        ("folder", format!("{name}-{file}"), [&[file], rest].concat())
    };
    let of_blobs = (0..4).flat_map(|file| {
        [
            seed("bitmap", file, &[bytes, 64, 1, 0xff]),
            seed("pair", file, &[bytes, 140, 1, 0xff]),
            seed("size", file, &[bytes, 16, 1, 9, file, header_right]),
            seed("version", file, &[bytes, 8, 1, 3, file, header_right]),
            seed("gone", file, &[gone]),
            seed("renamed", file, &[renamed, file]),
            seed("empty", file, &[2]),
            seed("zeros", file, &[emptied, 0x50, 0]),
        ]
    });
    let of_indices = (4..6).flat_map(|file| {
        [
            seed("generation", file, &[bytes, 16, 1, 0xff, file, index_right]),
            seed("flags", file, &[bytes, 64, 2, 0xff, 0xff, file, index_right]),
            seed("version", file, &[bytes, 8, 1, 3, file, index_right]),
        ]
    });
    of_blobs.chain(of_indices).collect()
}

/// A tenth of a second in each format that is made without an encoder of others.
fn music() -> Result<Vec<Seed>, Box<dyn Error>> {
    let samples = &synth::synthesise(5, 1)[..8_820];
    let seed =
        |name: &str, kind: u8, file: &[u8]| ("music", name.to_owned(), [&[kind], file].concat());
    let mut pcm = Vec::new();
    extend_i16(&mut pcm, samples);
    let mut wav = b"RIFF\x5e\x11\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x44\xac\0\0".to_vec();
    wav.extend(b"\x88\x58\x01\0\x02\0\x10\0data\x3a\x11\0\0");
    wav.extend(pcm.iter().step_by(4).flat_map(|sample| sample.to_le_bytes()));
    let ogg = encode(samples, Bitrate::Kbps96)?.bytes;
    let tag = b"ID3\x04\0\0\0\0\0\x1fTIT2\0\0\0\x05\0\0\x03NameTDRC\0\0\0\x06\0\0\x031999\0";
    let mp3 = [&tag[..], &[&[0xff, 0xfb, 0x90, 0x64][..], &[0; 413]].concat().repeat(3)].concat();
    // One frame of 4,096 samples that are all 0, of one channel.
    let flac = [
        &b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0\x0a\xc4\x40\xf0\0\0\x10\0"[..],
        &[0; 16],
        b"\xff\xf8\xc9\x08\0\x95\0\0\0\x21\xbd",
    ];
    let flac = flac.concat();
    // A length of 36 bits; a picture of 256 MiB; a box that ends beyond 2^64.
    let mut long = flac.clone();
    long[21..26].fill(0xff);
    let giant = b"ID3\x04\0\0\x7f\x7f\x7f\x7fAPIC\x7f\x7f\x7f\x0f\0\0\0image/png\0\x03\0";
    let mut endless = b"\0\0\0\x0cftypM4A \0\0\0\x01moov".to_vec();
    endless.extend([0xff; 8]);
    Ok(vec![
        seed("wav", 0, &wav),
        seed("flac", 1, &flac),
        seed("mp3", 2, &mp3),
        seed("ogg", 0x84, &ogg),
        seed("flac-long", 1, &long),
        seed("picture", 2, giant),
        seed("box", 3, &endless),
    ])
}

fn protobuf() -> Vec<Seed> {
    let id = Bytes::from_static(&[7; 32]);
    let ticket = Ticket {
        peer_key: id.clone(),
        service: id.clone(),
        tier: 1,
        issued_ms: 1_000,
        expires_ms: 2_000,
    };
    let signed = SignedTicket { ticket: ticket.encode_to_vec().into(), signature: id.clone() };
    let hello = Hello {
        features: vec!["a".to_owned()],
        peer_key: id.clone(),
        sharing: true,
        local_addresses: vec!["192.0.2.1".to_owned()],
        ..Hello::default()
    };
    let welcome = Welcome { ticket: Some(signed.clone()), ..Welcome::default() };
    let refusal = Refused::new(refused::Reason::Busy, "later").retry_after_ms(5);
    let signed_manifest =
        SignedManifest { manifest: manifest().encode_to_vec().into(), signature: id.clone() };
    vec![
        top(0, "hello", &notice(client_notice::Kind::Hello(hello))),
        top(
            0,
            "announce",
            &notice(client_notice::Kind::Announce(Announce { blobs: vec![id.clone()] })),
        ),
        top(1, "welcome", &ServerNotice { kind: Some(server_notice::Kind::Welcome(welcome)) }),
        top(
            2,
            "peer-hello",
            &PeerNotice {
                kind: Some(peer_notice::Kind::Hello(PeerHello {
                    ticket: Some(signed.clone()),
                    ..PeerHello::default()
                })),
            },
        ),
        top(3, "play", &ask(request::Kind::Play(play()))),
        top(
            3,
            "blocks",
            &ask(request::Kind::Blocks(Blocks { blob: id.clone(), start: 1, end: 5, class: 1 })),
        ),
        top(
            3,
            "plays",
            &ask(request::Kind::ReportPlays(ReportPlays {
                plays: vec![PlayEvent {
                    id: id.slice(..16),
                    kbps: 160,
                    finished: true,
                    ..PlayEvent::default()
                }],
            })),
        ),
        top(
            4,
            "playing",
            &Reply { kind: Some(reply::Kind::Playing(playing(signed_manifest.clone()))) },
        ),
        top(5, "signed-manifest", &signed_manifest),
        top(6, "signed-ticket", &signed),
        top(7, "ticket", &ticket),
        top(8, "manifest", &manifest()),
        top(9, "refused", &refusal),
    ]
}

fn top(kind: u8, name: &str, message: &impl Message) -> Seed {
    ("protobuf", name.to_owned(), [vec![kind], message.encode_to_vec()].concat())
}

fn notice(kind: client_notice::Kind) -> ClientNotice {
    ClientNotice { kind: Some(kind) }
}

fn ask(kind: request::Kind) -> Request {
    Request { kind: Some(kind) }
}

fn play() -> Play {
    Play {
        track: Bytes::from_static(&[1; 16]),
        kbps: 160,
        held: vec![Range { start: 0, end: 4 }],
        push_ms: 15_000,
        push_kbps: 0,
    }
}

fn playing(manifest: SignedManifest) -> Playing {
    let key = Bytes::from_static(&[3; 32]);
    let peer = Peer {
        peer_key: key.clone(),
        addresses: vec!["192.0.2.1:7".to_owned()],
        udp_addresses: Vec::new(),
    };
    Playing {
        manifest: Some(manifest),
        leases: vec![Lease { kbps: 160, key, expires_ms: 9 }],
        peers: vec![peer],
        edges: vec!["https://edge.example/".to_owned()],
        push: Some(Range { start: 0, end: 9 }),
    }
}

fn manifest() -> Manifest {
    let rendition = antiphon_types::Rendition::new(
        Bitrate::Kbps96,
        BlobId::new([7; 32]),
        BlobSize::new(300_000).expect("it is not empty"),
        3_500,
        15 * 44_100,
        vec![Segment { offset: 3_500, sample: 0 }, Segment { offset: 123_456, sample: 440_000 }],
    )
    .expect("its parts fit");
    Manifest {
        track: Bytes::from_static(&[1; 16]),
        title: "Song".to_owned(),
        renditions: vec![Rendition::from(&rendition)],
        ..Manifest::default()
    }
}
