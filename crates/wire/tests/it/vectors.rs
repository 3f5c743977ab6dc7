//! Every message as bytes: what other implementations send, of this version and
//! of newer ones.
//!
//! The bytes were not made by the encoder that this crate uses, but by hand from
//! the protobuf encoding. Keys and hashes are one byte here, to be read easily.

use antiphon_wire::proto::{
    self, Announce, BadPeer, Blocks, BlocksFollow, ClientNotice, FindPeers, Found, Have, Hello,
    Hit, Holders, Interest, Introduce, Introduction, Lease, Loudness, Manifest, Message, Peer,
    PeerHello, PeerNotice, Peers, Play, PlayEvent, Playing, PlaysReported, ProvenAddress, Query,
    Range, Reach, Refused, Rendition, RenewTicket, Reply, ReportPlays, Request, Search,
    ServerNotice, SignedManifest, SignedTicket, SwarmAnswer, SwarmQuery, Ticket, TrackSummary,
    Version, Want, Welcome, Withdraw, client_notice, peer_notice, refused, reply, request,
    server_notice,
};
use bytes::Bytes;

/// Fields that no message has, of each wire type: 1000 a number, 1001 eight
/// bytes, 1002 a string, 1003 four bytes, 1004 a group with a number in it.
const UNKNOWN: &str = "c03eac02c93e3132333435363738d23e056e65776572dd3e31323334e33e0805e43e";

fn bytes(from: &'static [u8]) -> Bytes {
    Bytes::from_static(from)
}

fn strings(from: &[&str]) -> Vec<String> {
    from.iter().map(|&text| text.to_owned()).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// That a message has these bytes, and that it is read from them also if they
/// hold what a newer version might add.
fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: &M, hex: &str) {
    let encoded = from_hex(hex);
    assert_eq!(M::decode(encoded.as_slice()).as_ref(), Ok(message));
    assert_eq!(message.encode_to_vec(), encoded, "{message:?}");
    let unknown = from_hex(UNKNOWN);
    for newer in [[&unknown[..], &encoded].concat(), [&encoded[..], &unknown].concat()] {
        assert_eq!(M::decode(newer.as_slice()).as_ref(), Ok(message));
    }
    for cut in 1..unknown.len().min(4) {
        let cut = [&encoded[..], &unknown[..cut]].concat();
        assert!(M::decode(cut.as_slice()).is_err(), "{message:?}");
    }
}

macro_rules! check_all {
    ($($message:expr => $hex:literal,)+) => {
        $(check(&$message, $hex);)+
    };
}

#[test]
fn every_message_has_its_bytes_and_bears_newer_fields() {
    check_all! {
        SignedManifest { manifest: bytes(b"m"), signature: bytes(b"s") } => "0a016d120173",
        SignedTicket { ticket: bytes(b"t"), signature: bytes(b"s") } => "0a0174120173",
        Loudness { source_lufs: -9.5, source_true_peak_dbtp: 0.5, gain_db: -4.5 } => "0d000018c1150000003f1d000090c0",
        Rendition { kbps: 160, blob: bytes(b"b"), bytes: 300_000, header_bytes: 3_500, samples: 661_500, segment_offset_deltas: vec![3_500, 119_956], segment_lead_samples: vec![0, 1_000] } => "08a00112016218e0a71220ac1b28fcaf283205ac1b94a9073a0300e807",
        Peer { peer_key: bytes(b"k"), addresses: strings(&["192.0.2.1:1", "[2001:db8::1]:2"]), udp_addresses: strings(&["192.0.2.1:3"]) } => "0a016b120b3139322e302e322e313a31120f5b323030313a6462383a3a315d3a321a0b3139322e302e322e313a33",
        Range { start: 3, end: 1_000 } => "080310e807",
        Refused { reason: refused::Reason::Busy.into(), message: "later".into(), retry_after_ms: 1_500 } => "080512056c6174657218dc0b",
        Manifest { track: bytes(b"t"), title: "T".into(), artist: "A".into(), album: "L".into(), album_artist: "AA".into(), track_number: 1, disc_number: 2, year: 1999, genre: "G".into(), isrc: "I".into(), loudness: Some(Loudness { source_lufs: -9.5, source_true_peak_dbtp: 0.5, gain_db: -4.5 }), cover: bytes(b"c"), cover_mime: "image/png".into(), renditions: vec![Rendition { kbps: 160, blob: bytes(b"b"), bytes: 300_000, header_bytes: 3_500, samples: 661_500, segment_offset_deltas: vec![3_500, 119_956], segment_lead_samples: vec![0, 1_000] }] } => "0a01741201541a014122014c2a0241413001380240cf0f4a01475201495a0f0d000018c1150000003f1d000090c06201636a09696d6167652f706e67721d08a00112016218e0a71220ac1b28fcaf283205ac1b94a9073a0300e807",
        Ticket { peer_key: bytes(b"k"), service: bytes(b"s"), tier: 2, issued_ms: 1_790_000_000_000, expires_ms: 1_790_021_600_000 } => "0a016b12017318022080d8c1a28c34288086e8ac8c34",
        Hello { minor: 7, features: strings(&["a-1", "b"]), agent: "x/1".into(), peer_key: bytes(b"k"), peer_key_proof: bytes(b"p"), join_secret: "j".into(), sharing: true, listen_port: 4_000, local_addresses: strings(&["192.0.2.1"]) } => "08071203612d311201621a03782f3122016b2a017032016a380140a01f4a093139322e302e322e31",
        Welcome { minor: 7, features: strings(&["a-1"]), service: "S".into(), ticket: Some(SignedTicket { ticket: bytes(b"t"), signature: bytes(b"s") }), observed_address: "192.0.2.1:4".into() } => "08071203612d311a015322060a01741201732a0b3139322e302e322e313a34",
        PeerHello { minor: 7, features: strings(&["a-1"]), ticket: Some(SignedTicket { ticket: bytes(b"t"), signature: bytes(b"s") }) } => "08071203612d311a060a0174120173",
        Announce { blobs: vec![bytes(b"x"), bytes(b"y")] } => "0a01780a0179",
        Withdraw { blobs: vec![bytes(b"x")] } => "0a0178",
        Introduce { peer_key: bytes(b"k"), blob: bytes(b"b") } => "0a016b120162",
        Introduction { peer: Some(Peer { peer_key: bytes(b"k"), addresses: strings(&["192.0.2.1:1", "[2001:db8::1]:2"]), udp_addresses: strings(&["192.0.2.1:3"]) }), id: bytes(b"i"), asked: true } => "0a2e0a016b120b3139322e302e322e313a31120f5b323030313a6462383a3a315d3a321a0b3139322e302e322e313a331201691801",
        Reach { mapped_tcp_port: 4_000, mapped_udp_port: 4_001, observed: vec![ProvenAddress { address: "192.0.2.1:4".into(), proof: bytes(b"p") }], local_addresses: strings(&["10.0.0.1"]), from_listening_port: true } => "08a01f10a11f1a100a0b3139322e302e322e313a34120170220831302e302e302e312801",
        ProvenAddress { address: "192.0.2.1:4".into(), proof: bytes(b"p") } => "0a0b3139322e302e322e313a34120170",
        SwarmQuery { id: 300, announce: vec![bytes(b"x")], withdraw: vec![bytes(b"y")], find: vec![bytes(b"b")] } => "08ac021201781a0179220162",
        Holders { peers: vec![Peer { peer_key: bytes(b"k"), addresses: strings(&["192.0.2.1:1", "[2001:db8::1]:2"]), udp_addresses: strings(&["192.0.2.1:3"]) }] } => "0a2e0a016b120b3139322e302e322e313a31120f5b323030313a6462383a3a315d3a321a0b3139322e302e322e313a33",
        SwarmAnswer { id: 300, found: vec![Holders { peers: vec![Peer { peer_key: bytes(b"k"), addresses: strings(&["192.0.2.1:1", "[2001:db8::1]:2"]), udp_addresses: strings(&["192.0.2.1:3"]) }] }] } => "08ac0212300a2e0a016b120b3139322e302e322e313a31120f5b323030313a6462383a3a315d3a321a0b3139322e302e322e313a33",
        Interest { blob: bytes(b"b"), class: 1 } => "0a01621001",
        Want { interests: vec![Interest { blob: bytes(b"b"), class: 1 }] } => "0a050a01621001",
        Have { blob: bytes(b"b"), ranges: vec![Range { start: 3, end: 1_000 }] } => "0a01621205080310e807",
        Query { id: bytes(b"q"), blob: bytes(b"b"), hops: 2 } => "0a01711201621802",
        Hit { id: bytes(b"q"), peer_key: bytes(b"k") } => "0a017112016b",
        BadPeer { peer_key: bytes(b"k"), blob: bytes(b"b"), block: 300 } => "0a016b12016218ac02",
        RenewTicket {} => "",
        Play { track: bytes(b"t"), kbps: 320, held: vec![Range { start: 3, end: 1_000 }], push_ms: 15_000, push_kbps: 640 } => "0a017410c0021a05080310e807209875288005",
        Lease { kbps: 96, key: bytes(b"k"), expires_ms: 1_790_000_000_000 } => "086012016b1880d8c1a28c34",
        Playing { manifest: Some(SignedManifest { manifest: bytes(b"m"), signature: bytes(b"s") }), leases: vec![Lease { kbps: 96, key: bytes(b"k"), expires_ms: 1_790_000_000_000 }], peers: vec![Peer { peer_key: bytes(b"k"), addresses: strings(&["192.0.2.1:1", "[2001:db8::1]:2"]), udp_addresses: strings(&["192.0.2.1:3"]) }], edges: strings(&["https://e"]), push: Some(Range { start: 3, end: 1_000 }) } => "0a060a016d120173120c086012016b1880d8c1a28c341a2e0a016b120b3139322e302e322e313a31120f5b323030313a6462383a3a315d3a321a0b3139322e302e322e313a33220968747470733a2f2f652a05080310e807",
        Blocks { blob: bytes(b"b"), start: 1, end: 300, class: 3 } => "0a0162100118ac022003",
        BlocksFollow {} => "",
        Search { words: "w".into(), limit: 200, offset: 1 } => "0a017710c8011801",
        TrackSummary { track: bytes(b"t"), title: "T".into(), artist: "A".into(), album: "L".into(), samples: 661_500 } => "0a01741201541a014122014c28fcaf28",
        Found { tracks: vec![TrackSummary { track: bytes(b"t"), title: "T".into(), artist: "A".into(), album: "L".into(), samples: 661_500 }], total: 300 } => "0a100a01741201541a014122014c28fcaf2810ac02",
        FindPeers { blob: bytes(b"b") } => "0a0162",
        Peers { peers: vec![Peer { peer_key: bytes(b"k"), addresses: strings(&["192.0.2.1:1", "[2001:db8::1]:2"]), udp_addresses: strings(&["192.0.2.1:3"]) }] } => "0a2e0a016b120b3139322e302e322e313a31120f5b323030313a6462383a3a315d3a321a0b3139322e302e322e313a33",
        PlayEvent { id: bytes(b"i"), track: bytes(b"t"), kbps: 160, started_ms: 1_790_000_000_000, listened_ms: 200_000, bytes_cache: 1, bytes_peers: 2, bytes_edge: 3, bytes_server: 300, first_byte_us: 40_000, first_sound_us: 50_000, stalls: 1, stalled_us: 9, finished: true } => "0a016912017418a0012080d8c1a28c3428c09a0c30013802400348ac0250c0b80258d08603600168097001",
        ReportPlays { plays: vec![PlayEvent { id: bytes(b"i"), track: bytes(b"t"), kbps: 160, started_ms: 1_790_000_000_000, listened_ms: 200_000, bytes_cache: 1, bytes_peers: 2, bytes_edge: 3, bytes_server: 300, first_byte_us: 40_000, first_sound_us: 50_000, stalls: 1, stalled_us: 9, finished: true }] } => "0a2b0a016912017418a0012080d8c1a28c3428c09a0c30013802400348ac0250c0b80258d08603600168097001",
        PlaysReported {} => "",
        Request { kind: Some(request::Kind::Blocks(Blocks { blob: bytes(b"b"), start: 1, end: 300, class: 3 })) } => "120a0a0162100118ac022003",
        Reply { kind: Some(reply::Kind::Refused(Refused { reason: refused::Reason::Busy.into(), message: "later".into(), retry_after_ms: 1_500 })) } => "0a0c080512056c6174657218dc0b",
        ClientNotice { kind: Some(client_notice::Kind::Announce(Announce { blobs: vec![bytes(b"x"), bytes(b"y")] })) } => "12060a01780a0179",
        ServerNotice { kind: Some(server_notice::Kind::Ticket(SignedTicket { ticket: bytes(b"t"), signature: bytes(b"s") })) } => "22060a0174120173",
        PeerNotice { kind: Some(peer_notice::Kind::Hello(PeerHello { minor: 7, features: strings(&["a-1"]), ticket: Some(SignedTicket { ticket: bytes(b"t"), signature: bytes(b"s") }) })) } => "0a0f08071203612d311a060a0174120173",
    }
}

#[test]
fn kinds_of_a_newer_version_are_no_kind_and_no_error() {
    // Field 99: a message with a number in it.
    let newer = from_hex("9a06020805");
    assert_eq!(Request::decode(newer.as_slice()).unwrap().kind, None);
    assert_eq!(Reply::decode(newer.as_slice()).unwrap().kind, None);
    assert_eq!(ClientNotice::decode(newer.as_slice()).unwrap().kind, None);
    assert_eq!(ServerNotice::decode(newer.as_slice()).unwrap().kind, None);
    assert_eq!(PeerNotice::decode(newer.as_slice()).unwrap().kind, None);
}

#[test]
fn a_reason_of_a_newer_version_is_an_unspecified_one() {
    let refused = Refused::decode(from_hex("0863").as_slice()).unwrap();
    assert_eq!(refused.reason(), refused::Reason::Unspecified);
    assert_eq!(refused.to_string(), "REASON_UNSPECIFIED");
}

#[test]
fn a_newer_side_is_met_at_our_version() {
    let check = |theirs: Version| {
        assert_eq!(theirs.minor(), 7);
        let common = Version::ours().common_with(&theirs);
        assert_eq!(common.minor(), proto::MINOR_VERSION);
        assert!(!common.has("a-1"));
    };
    check(Version::from(&Hello::decode(from_hex("08071203612d31").as_slice()).unwrap()));
    check(Version::from(&Welcome::decode(from_hex("08071203612d31").as_slice()).unwrap()));
    check(Version::from(&PeerHello::decode(from_hex("08071203612d31").as_slice()).unwrap()));
}

#[test]
fn the_last_of_two_kinds_counts() {
    // A `Search`, then a `FindPeers`: protobuf says that the last one wins.
    let both = from_hex("1a030a017722030a0162");
    let kind = Request::decode(both.as_slice()).unwrap().kind;
    assert_eq!(kind, Some(request::Kind::FindPeers(proto::FindPeers { blob: bytes(b"b") })));
}
