//! What is urgent goes first.

use std::time::Duration;

use antiphon_types::{Class, Timestamp};
use antiphon_wire::frame::{Frame, MAX_FRAME_PAYLOAD_BYTES};
use antiphon_wire::mux::{Event, Limits, Mux, Role, StreamId};
use antiphon_wire::record::MAX_PLAINTEXT_BYTES;
use bytes::{Bytes, BytesMut};

use crate::pair::{Pair, all_frames, next_frames, record};

const MIB: usize = 1 << 20;

fn roomy() -> Limits {
    Limits {
        stream_write_buffer_bytes: 8 * MIB,
        class_write_buffer_bytes: 64 * MIB,
        background_delay: None,
        ..Limits::default()
    }
}

/// A side that may send without end.
fn sender(limits: Limits) -> Mux {
    let mut mux = Mux::new(Role::Initiator, limits, Timestamp::ZERO);
    credit(&mut mux, StreamId::new(0));
    mux
}

fn credit(mux: &mut Mux, stream: StreamId) {
    let frame = Frame::Credit { stream, bytes: 1 << 30 };
    mux.handle_record(Timestamp::ZERO, record(&[frame])).unwrap();
}

/// Opens a stream with so much to send and unlimited credit; its opening is
/// sent already.
fn bulk(mux: &mut Mux, class: Class, bytes: usize) -> StreamId {
    let id = mux.open(class).unwrap();
    next_frames(mux, Timestamp::ZERO);
    credit(mux, id);
    mux.write(id, Bytes::from(vec![0; bytes])).unwrap();
    id
}

/// Whose data comes in which order, and how much.
fn data_order(mux: &mut Mux, records: usize) -> Vec<(StreamId, usize)> {
    let mut order = Vec::new();
    for _ in 0..records {
        for frame in next_frames(mux, Timestamp::ZERO) {
            if let Frame::Data { stream, payload, .. } = frame {
                order.push((stream, payload.len()));
            }
        }
    }
    order
}

#[test]
fn m8_what_plays_now_overtakes_megabytes_of_an_offline_copy() {
    let mut mux = sender(roomy());
    for _ in 0..4 {
        bulk(&mut mux, Class::Offline, 4 * MIB);
    }
    data_order(&mut mux, 40);
    let now = mux.open(Class::Now).unwrap();
    mux.write(now, Bytes::from_static(b"click")).unwrap();
    mux.finish(now);

    let frames = next_frames(&mut mux, Timestamp::ZERO);
    assert_eq!(frames[0], Frame::Open { stream: now, class: Class::Now });
    let payload = Bytes::from_static(b"click");
    assert_eq!(frames[1], Frame::Data { stream: now, finish: true, payload });
    assert!(matches!(frames[2], Frame::Data { stream, .. } if stream != now), "the rest is filled");
}

#[test]
fn classes_are_served_in_their_order() {
    let mut mux = sender(Limits { starvation_bytes: u64::MAX, ..roomy() });
    let by_urgency: Vec<_> =
        Class::ALL.into_iter().rev().map(|class| bulk(&mut mux, class, 30_000)).rev().collect();
    let mut order: Vec<_> = data_order(&mut mux, 40).into_iter().map(|(id, _)| id).collect();
    // The first went out while the more urgent ones did not exist yet.
    order.dedup();
    let tail = order.split_off(order.len() - 4);
    assert_eq!(tail, by_urgency);
}

#[test]
fn a_starved_class_gets_one_frame_after_its_bound() {
    let mut mux = sender(roomy());
    let copy = bulk(&mut mux, Class::Offline, MIB);
    data_order(&mut mux, 20);
    let playing = bulk(&mut mux, Class::Now, 4 * MIB);
    let order = data_order(&mut mux, 40);
    let mut since_copy = 0;
    let mut copies = 0;
    for (id, bytes) in order {
        if id == copy {
            copies += 1;
            since_copy = 0;
        } else {
            assert_eq!(id, playing);
            since_copy += bytes;
        }
        assert!(since_copy <= 256 * 1024 + MAX_FRAME_PAYLOAD_BYTES, "starved for {since_copy}");
    }
    assert!((4..=10).contains(&copies), "a small share: {copies} frames");
}

#[test]
fn streams_of_one_class_take_turns() {
    let mut mux = sender(roomy());
    let streams: Vec<_> = (0..3).map(|_| bulk(&mut mux, Class::Prefetch, 2 * MIB)).collect();
    let order = data_order(&mut mux, 40);
    let sent = |id| order.iter().filter(|(of, _)| *of == id).map(|(_, bytes)| bytes).sum::<usize>();
    let shares: Vec<_> = streams.into_iter().map(sent).collect();
    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
    assert!(most - least <= 5 * MAX_FRAME_PAYLOAD_BYTES, "{shares:?}");
}

#[test]
fn a_promoted_stream_is_promoted_at_both_ends() {
    let mut pair = Pair::new(Limits::default());
    let slow = pair.initiator.mux.open(Class::Prefetch).unwrap();
    let promoted = pair.initiator.mux.open(Class::Offline).unwrap();
    pair.settle();
    pair.responder.mux.write(slow, Bytes::from(vec![1; 50_000])).unwrap();
    pair.responder.mux.write(promoted, Bytes::from(vec![2; 50_000])).unwrap();
    pair.initiator.mux.set_class(promoted, Class::Now);
    let told = next_frames(&mut pair.initiator.mux, pair.now);
    assert_eq!(told, [Frame::Class { stream: promoted, class: Class::Now }]);
    pair.responder.mux.handle_record(pair.now, record(&told)).unwrap();
    let event = pair.responder.mux.poll_event();
    assert_eq!(event, Some(Event::ClassChanged { id: promoted, class: Class::Now }));
    assert_eq!(data_order(&mut pair.responder.mux, 1)[0].0, promoted);
}

#[test]
fn m8_a_slow_reader_of_a_copy_leaves_credit_for_what_plays_now() {
    let mut pair = Pair::new(roomy());
    pair.responder.consumes = false;
    let copies: Vec<_> = (0..8).map(|_| pair.initiator.mux.open(Class::Offline).unwrap()).collect();
    loop {
        let room = copies.iter().find(|id| pair.initiator.mux.writable_bytes(**id) > 0);
        let Some(&id) = room else { break };
        let bytes = pair.initiator.mux.writable_bytes(id);
        pair.initiator.mux.write(id, Bytes::from(vec![0; bytes])).unwrap();
        pair.settle();
    }
    assert!(pair.responder.mux.unconsumed_bytes() > 700 * 1024);
    let now = pair.initiator.mux.open(Class::Now).unwrap();
    pair.initiator.mux.write(now, Bytes::from(vec![7; 16_384])).unwrap();
    pair.settle();
    assert_eq!(pair.responder.seen.data[&now].len(), 16_384);
}

#[test]
fn records_are_small_at_the_start_of_a_burst_and_after_idleness() {
    let mut mux = sender(roomy());
    let id = bulk(&mut mux, Class::Now, 6 * MIB);
    let mut poll = |now: Timestamp| mux.poll_record(now, &mut BytesMut::new(), MAX_PLAINTEXT_BYTES);
    let start = Timestamp::ZERO;
    for _ in 0..16 {
        assert_eq!(poll(start), 4_096);
    }
    poll(start);
    assert!(poll(start) > 50_000);
    let soon = start + Duration::from_millis(999);
    assert!(poll(soon) > 50_000, "not idle for long enough");
    let later = soon + Duration::from_secs(1);
    assert_eq!(poll(later), 4_096);
    let _ = id;
}

#[test]
fn on_a_path_that_takes_its_time_no_block_waits_for_the_next_one() {
    let mut pair = Pair::new(roomy());
    pair.initiator.mux.ping(pair.now);
    let asked = next_frames(&mut pair.initiator.mux, pair.now);
    pair.responder.mux.handle_record(pair.now, record(&asked)).unwrap();
    let answered = next_frames(&mut pair.responder.mux, pair.now);
    let now = pair.now + Duration::from_millis(40);
    pair.initiator.mux.handle_record(now, record(&answered)).unwrap();
    assert_eq!(pair.initiator.mux.rtt(), Some(Duration::from_millis(40)));

    let id = pair.initiator.mux.open(Class::Now).unwrap();
    for _ in 0..12 {
        pair.initiator.mux.write(id, Bytes::from(vec![1; 600])).unwrap();
        pair.initiator.mux.write(id, Bytes::from(vec![2; 16_384])).unwrap();
    }
    // Where in the stream its records end.
    let (mut ends, mut sent) = (Vec::new(), 0);
    loop {
        let frames = next_frames(&mut pair.initiator.mux, now);
        let payloads = frames.iter().filter_map(|frame| match frame {
            Frame::Data { payload, .. } => Some(payload.len()),
            _ => None,
        });
        match payloads.sum::<usize>() {
            0 => break,
            bytes => sent += bytes,
        }
        ends.push(sent);
    }
    assert_eq!(sent, 12 * 16_984);
    for block in 1..=12 {
        // The header of the next one may travel along.
        let record_ends = ends.iter().find(|end| **end >= block * 16_984).unwrap();
        assert!(record_ends - block * 16_984 <= 600, "block {block} waits: {ends:?}");
    }
}

#[test]
fn a_record_has_no_more_bytes_than_the_caller_takes() {
    let mut mux = sender(roomy());
    bulk(&mut mux, Class::Now, MIB);
    let mut out = BytesMut::from(&b"kept"[..]);
    assert_eq!(mux.poll_record(Timestamp::ZERO, &mut out, 1_000), 1_000);
    assert_eq!(out.len(), 1_004);
    assert!(out.starts_with(b"kept"));
    assert_eq!(mux.poll_record(Timestamp::ZERO, &mut out, 255), 0);
}

#[test]
fn a_block_is_not_divided_between_frames() {
    let mut mux = sender(roomy());
    let id = bulk(&mut mux, Class::Now, 80_000);
    data_order(&mut mux, 30);
    for _ in 0..20 {
        mux.write(id, Bytes::from(vec![1; 700])).unwrap();
        mux.write(id, Bytes::from(vec![2; 16_384])).unwrap();
    }
    let mut blocks = 0;
    for frame in all_frames(&mut mux, Timestamp::ZERO) {
        let Frame::Data { payload, .. } = frame else { panic!("{frame:?}") };
        let of_block = payload.iter().filter(|&&byte| byte == 2).count();
        assert!(of_block == 16_384 || of_block == 0, "{of_block} bytes");
        blocks += usize::from(of_block > 0);
    }
    assert_eq!(blocks, 20);
}
