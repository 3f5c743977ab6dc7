//! What somebody sees who sees all that travels.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use antiphon_catalog::Catalog;
use antiphon_net::identity::NodeSecret;
use antiphon_types::{Bitrate, BlobId, NodeId};
use xtask::tools::Tool;

use crate::support::listener::ended;
use crate::support::music::ARTIST;
use crate::support::{Process, Service, music, wait_for};

const SECRET: &str = "correct horse battery staple";
/// Sent as they are, to prove that the capture works, and when it is complete.
const FIRST_PROOF: &[u8] = b"this stands in the clear at the begin";
const LAST_PROOF: &[u8] = b"this stands in the clear at the end";

#[test]
fn nothing_readable_travels_between_processes() {
    if !Tool::Tcpdump.present_or_skip() {
        return;
    }
    let (service, track) = (Service::start_with(&["--join-secret", SECRET]), &music().middle);
    let (port_a, port_b) = (free_port(), free_port());
    let capture = service.folder().join("loopback.pcap");
    let server = service.address().rsplit_once(':').unwrap().1;
    let filter = format!("tcp and (port {server} or port {port_a} or port {port_b})");
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.args(["-i", "lo", "-U", "--immediate-mode", "-B", "16384", "-w"]).arg(&capture);
    let tcpdump = Process::start(service.folder(), "tcpdump", tcpdump.arg(&filter));
    tcpdump.wait_for_words("listening on");
    let say = |proof: &[u8]| TcpStream::connect(service.address()).unwrap().write_all(proof);
    say(FIRST_PROOF).unwrap();

    let a = service.stranger("a").at(([127, 0, 0, 1], port_a).into());
    let b = service.stranger("b").at(([127, 0, 0, 1], port_b).into());
    for listener in [&a, &b] {
        let login = ["--peers", "on", "login", service.link(), "--secret", SECRET];
        assert!(listener.run(&login).status.success());
        assert!(listener.run(&["search", "xylophone"]).status.success());
    }
    let holder = a.hold(track, &[]);
    let mut play = b.click(track, 8, &[]);
    let play = ended(&b, &mut play);
    play.assert_heard(track);
    assert!(play.bytes("peers") > 0, "{play:?}");
    let peers = [a.wait_for_event("peer_up"), b.wait_for_event("peer_up")];
    drop(holder);
    say(LAST_PROOF).unwrap();
    let seen = wait_for("the end of the capture", || {
        let seen = Seen::read(&capture);
        seen.has(LAST_PROOF).then_some(seen)
    });
    drop(tcpdump);

    // It saw all of it.
    assert!(seen.has(FIRST_PROOF));
    let plaintext = music().export(track);
    let bytes: usize = seen.flows.values().map(Vec::len).sum();
    assert!(bytes > 2 * plaintext.len(), "{bytes} bytes are too few");

    let catalog = Catalog::open(service.data().join("catalog.sqlite")).unwrap();
    let entry = catalog.track(track.id).unwrap().unwrap();
    let rendition = entry.renditions.iter().find(|known| known.bitrate == Bitrate::Kbps160);
    let blob = rendition.unwrap().blob;
    let device = |listener: &crate::support::Listener| {
        let key = fs::read(listener.data().join("device.key")).unwrap();
        NodeSecret::from_bytes(&key.try_into().unwrap()).node_id()
    };
    let peer =
        |event: &serde_json::Value| -> NodeId { event["peer"].as_str().unwrap().parse().unwrap() };
    // Tickets and introductions carry keys of peers.
    let names = [device(&a), device(&b), peer(&peers[0]), peer(&peers[1])];
    seen.assert_hides(track.id.as_bytes(), "a track's id");
    seen.assert_hides(track.id.to_string().as_bytes(), "a track's id in letters");
    seen.assert_hides(track.title.as_bytes(), "a title");
    seen.assert_hides(ARTIST.as_bytes(), "an artist");
    seen.assert_hides(b"ylophone", "a word that was searched for");
    seen.assert_hides(SECRET.as_bytes(), "the join secret");
    seen.assert_hides(blob.as_bytes(), "a blob's id");
    for name in names {
        seen.assert_hides(name.as_bytes(), "a key that names somebody");
        seen.assert_hides(name.to_string().as_bytes(), "a key in letters");
    }
    seen.assert_hides(b"OggS", "a page of Ogg");
    seen.assert_hides(b"vorbis", "a header of Vorbis");
    seen.assert_shares_nothing(&plaintext, "music");
    let ciphertext = blob_file(&service.data().join("blobs"), blob, plaintext.len());
    seen.assert_shares_nothing(&ciphertext, "a blob, which whoever has the key can read");
}

/// A port on which nobody listens now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The file of a blob: it is the one that hashes to its name.
fn blob_file(folder: &Path, blob: BlobId, length: usize) -> Vec<u8> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.len() == length as u64 {
                let bytes = fs::read(entry.path()).unwrap();
                if blake3::hash(&bytes).as_bytes() == blob.as_bytes() {
                    return bytes;
                }
            }
        }
    }
    panic!("there is no file of the blob {blob}");
}

/// What was captured: the bytes of each direction of each connection.
struct Seen {
    flows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Seen {
    /// Reads a capture of Ethernet frames with IPv4 or IPv6 and TCP. On the loopback
    /// nothing is lost and nothing overtakes.
    fn read(capture: &Path) -> Self {
        const GLOBAL_HEADER: usize = 24;
        const PACKET_HEADER: usize = 16;
        const ETHERNET_HEADER: usize = 14;
        let file = fs::read(capture).unwrap();
        let mut rest = file.get(GLOBAL_HEADER..).unwrap_or_default();
        let mut flows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        while let Some((header, after)) = rest.split_at_checked(PACKET_HEADER) {
            let length = u32::from_ne_bytes(header[8..12].try_into().unwrap()) as usize;
            // The last packet may not be written whole yet.
            let Some((packet, after)) = after.split_at_checked(length) else { break };
            rest = after;
            let ip = &packet[ETHERNET_HEADER..];
            let length = |at: usize| usize::from(u16::from_be_bytes([ip[at], ip[at + 1]]));
            let (addresses, tcp) = match ip[0] >> 4 {
                4 => (&ip[12..20], &ip[usize::from(ip[0] & 15) * 4..length(2)]),
                _ => (&ip[8..40], &ip[40..40 + length(4)]),
            };
            let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
            let ends = [addresses, &tcp[..4]].concat();
            flows.entry(ends).or_default().extend(payload);
        }
        Self { flows }
    }

    fn has(&self, needle: &[u8]) -> bool {
        self.flows.values().any(|flow| flow.windows(needle.len()).any(|window| window == needle))
    }

    fn assert_hides(&self, needle: &[u8], what: &str) {
        assert!(!self.has(needle), "{what} travels in the clear");
    }

    /// No 32 bytes in a row of `secret` travel: they would hold 16 bytes that
    /// begin at a multiple of 16.
    fn assert_shares_nothing(&self, secret: &[u8], what: &str) {
        let pieces: HashSet<&[u8]> = secret.chunks_exact(16).collect();
        assert!(pieces.len() > 10_000, "{what} has little to show");
        let shared = |flow: &Vec<u8>| flow.windows(16).any(|window| pieces.contains(window));
        assert!(!self.flows.values().any(shared), "{what} travels in the clear");
    }
}
