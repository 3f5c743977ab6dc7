//! Credit, back-pressure, and what a cancel frees.

use antiphon_types::{Class, Timestamp};
use antiphon_wire::frame::{Frame, INITIAL_CONNECTION_CREDIT_BYTES, INITIAL_STREAM_CREDIT_BYTES};
use antiphon_wire::mux::{Event, Limits, WriteError};
use antiphon_wire::reset_code;
use bytes::Bytes;
use proptest::prelude::*;

use crate::pair::{Pair, all_frames, next_frames, record};

fn zeros(bytes: usize) -> Bytes {
    Bytes::from(vec![0; bytes])
}

/// Writes as much as there is room for; says how much.
fn fill(pair: &mut Pair, id: antiphon_wire::StreamId) -> usize {
    let room = pair.initiator.mux.writable_bytes(id);
    pair.initiator.mux.write(id, zeros(room)).unwrap();
    room
}

#[test]
fn a_reader_that_does_not_read_stops_the_writer() {
    let mut pair = Pair::new(Limits::default());
    pair.responder.consumes = false;
    let id = pair.initiator.mux.open(Class::Now).unwrap();
    let mut written = 0;
    for _ in 0..20 {
        written += fill(&mut pair, id);
        pair.settle();
    }
    let window = INITIAL_STREAM_CREDIT_BYTES as usize;
    assert!(pair.responder.seen.data[&id].len() <= window);
    assert!(written <= window + Limits::default().stream_write_buffer_bytes);
    let error = pair.initiator.mux.write(id, zeros(1)).unwrap_err();
    assert_eq!(error, WriteError::Full { writable_bytes: 0 });

    pair.initiator.drain_events();
    pair.initiator.seen.others.clear();
    pair.responder.mux.consume(id, window);
    pair.settle();
    assert_eq!(pair.initiator.seen.others, [Event::Writable { id }]);
    assert!(pair.initiator.mux.writable_bytes(id) > 0);
}

#[test]
fn a_writer_that_found_its_class_full_is_told_of_room() {
    let mut pair = Pair::new(Limits::default());
    let ids: Vec<_> = (0..5).map(|_| pair.initiator.mux.open(Class::Offline).unwrap()).collect();
    for &id in &ids[..4] {
        fill(&mut pair, id);
    }
    assert_eq!(pair.initiator.mux.writable_bytes(ids[4]), 0, "the class is full");
    let urgent = pair.initiator.mux.open(Class::Now).unwrap();
    assert!(pair.initiator.mux.writable_bytes(urgent) > 0, "another class is not");
    pair.settle();
    for id in ids {
        assert!(pair.initiator.seen.others.contains(&Event::Writable { id }));
    }
}

#[test]
fn what_can_never_be_queued_says_so() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.initiator.mux.open(Class::Now).unwrap();
    let max_bytes = Limits::default().stream_write_buffer_bytes;
    assert_eq!(
        pair.initiator.mux.write(id, zeros(max_bytes + 1)),
        Err(WriteError::TooLarge { max_bytes })
    );
    assert_eq!(pair.initiator.mux.write(id, zeros(max_bytes)), Ok(()));
}

#[test]
fn all_streams_together_stay_within_the_connection_window() {
    let mut pair = Pair::new(Limits::default());
    pair.responder.consumes = false;
    for _ in 0..100 {
        let id = pair.initiator.mux.open(Class::Control).unwrap();
        fill(&mut pair, id);
        pair.settle();
    }
    let held = pair.responder.mux.unconsumed_bytes();
    assert!(held <= u64::from(INITIAL_CONNECTION_CREDIT_BYTES));
    assert!(held > u64::from(INITIAL_CONNECTION_CREDIT_BYTES) / 2);
    let queued = pair.initiator.mux.queued_bytes();
    assert!(queued <= Limits::default().class_write_buffer_bytes);
}

#[test]
fn consumed_data_returns_credit_in_few_frames() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.initiator.mux.open(Class::Now).unwrap();
    let mut credit_frames = 0;
    for _ in 0..64 {
        pair.initiator.mux.write(id, zeros(16_384)).unwrap();
        pair.initiator.drain_events();
        for frame in all_frames(&mut pair.initiator.mux, pair.now) {
            pair.responder.mux.handle_record(pair.now, crate::pair::record(&[frame])).unwrap();
        }
        pair.responder.drain_events();
        for frame in all_frames(&mut pair.responder.mux, pair.now) {
            assert!(matches!(frame, Frame::Credit { .. }));
            credit_frames += 1;
            pair.initiator.mux.handle_record(pair.now, crate::pair::record(&[frame])).unwrap();
        }
    }
    assert_eq!(pair.responder.seen.data[&id].len(), 1 << 20);
    assert!(credit_frames <= 24, "{credit_frames} credit frames for a megabyte");
}

#[test]
fn larger_windows_are_announced() {
    let limits = Limits {
        stream_window_bytes: 1 << 20,
        connection_window_bytes: 4 << 20,
        ..Limits::default()
    };
    let mut pair = Pair::new(limits);
    let id = pair.initiator.mux.open(Class::Now).unwrap();
    pair.settle();
    pair.responder.consumes = false;
    let mut written = 0;
    for _ in 0..20 {
        written += fill(&mut pair, id);
        pair.settle();
    }
    assert!(written > 1 << 20);
    assert!(pair.responder.seen.data[&id].len() > 1_000_000);
}

/// Classes changed to and fro by the other side move what is queued, and make
/// no room for more than all classes may queue.
#[test]
fn changing_classes_makes_no_room_beyond_all_classes() {
    let limits = Limits::default();
    let most = 4 * limits.class_write_buffer_bytes;
    let mut pair = Pair::new(limits);
    let mut streams = Vec::new();
    for number in 0..100 {
        let asked = Class::ALL[number % 4];
        let id = pair.initiator.mux.open(asked).unwrap();
        pair.settle();
        streams.push(id);
    }
    for round in 1..4 {
        for (number, &id) in streams.iter().enumerate() {
            while pair.responder.mux.write(id, zeros(16 * 1024)).is_ok() {}
            let class = Class::ALL[(number + round) % 4];
            let change = record(&[Frame::Class { stream: id, class }]);
            pair.responder.mux.handle_record(pair.now, change).unwrap();
            assert!(pair.responder.mux.queued_bytes() <= most);
        }
        // The changes are not to be many in a second.
        pair.now = pair.now + std::time::Duration::from_secs(5);
    }
    for &id in &streams {
        pair.responder.mux.finish(id);
    }
    pair.settle();
    assert_eq!(pair.responder.mux.queued_bytes(), 0, "all of it is sent in the end");
}

#[test]
fn a_cancel_frees_what_is_queued_at_once() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.initiator.mux.open(Class::Now).unwrap();
    pair.initiator.mux.write(id, zeros(100_000)).unwrap();
    let next = next_frames(&mut pair.initiator.mux, pair.now);
    assert!(matches!(next[0], Frame::Open { .. }));
    pair.initiator.mux.reset(id, reset_code::CANCELLED);
    assert_eq!(pair.initiator.mux.queued_bytes(), 0);
    assert_eq!(pair.initiator.mux.stream_count(), 0);
    let rest = all_frames(&mut pair.initiator.mux, pair.now);
    assert_eq!(rest, [Frame::Reset { stream: id, code: reset_code::CANCELLED }]);
}

#[test]
fn a_cancel_returns_the_credit_of_what_was_not_consumed() {
    let mut pair = Pair::new(Limits::default());
    pair.responder.consumes = false;
    // Far more than the window of the connection in all.
    for _ in 0..20 {
        let id = pair.initiator.mux.open(Class::Now).unwrap();
        while fill(&mut pair, id) > 0 {
            pair.settle();
        }
        assert!(pair.responder.seen.data[&id].len() > 200_000);
        pair.responder.mux.reset(id, reset_code::CANCELLED);
        pair.settle();
        assert_eq!(pair.initiator.seen.reset[&id], reset_code::CANCELLED);
        assert_eq!(pair.responder.mux.unconsumed_bytes(), 0);
    }
}

#[test]
fn data_under_way_when_a_stream_is_cancelled_is_borne() {
    let mut pair = Pair::new(Limits::default());
    for _ in 0..20 {
        let id = pair.initiator.mux.open(Class::Now).unwrap();
        pair.initiator.mux.write(id, zeros(128 * 1024)).unwrap();
        pair.initiator.mux.finish(id);
        pair.step(0);
        pair.step(70_000);
        // The rest is on its way when the receiver loses interest.
        while pair.step(0) && pair.initiator.mux.queued_bytes() > 0 {}
        pair.responder.mux.reset(id, reset_code::CANCELLED);
        pair.settle();
        assert_eq!(pair.responder.mux.stream_count(), 0);
        assert_eq!(pair.initiator.mux.stream_count(), 0);
    }
}

#[test]
fn a_stream_cancelled_before_its_opening_was_sent_never_existed() {
    let mut pair = Pair::new(Limits::default());
    for _ in 0..1_000 {
        let id = pair.initiator.mux.open(Class::Now).unwrap();
        pair.initiator.mux.write(id, zeros(100)).unwrap();
        pair.initiator.mux.reset(id, reset_code::CANCELLED);
    }
    assert_eq!(all_frames(&mut pair.initiator.mux, Timestamp::ZERO), []);
}

#[test]
fn large_data_is_handed_on_without_a_copy() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.initiator.mux.open(Class::Now).unwrap();
    next_frames(&mut pair.initiator.mux, pair.now);
    let open = Frame::Open { stream: id, class: Class::Now };
    let data = Frame::Data { stream: id, finish: false, payload: zeros(17_084) };
    let plaintext = crate::pair::record(&[open, data]);
    let within = plaintext.as_ptr_range();
    pair.responder.mux.handle_record(pair.now, plaintext).unwrap();
    pair.responder.mux.poll_event();
    let Some(Event::Data { data, .. }) = pair.responder.mux.poll_event() else { panic!() };
    assert!(within.contains(&data.as_ptr()));
}

#[test]
fn only_as_many_writers_are_told_of_room_as_there_is_room_for() {
    let mut pair = Pair::new(Limits::default());
    let ids: Vec<_> = (0..100).map(|_| pair.initiator.mux.open(Class::Now).unwrap()).collect();
    pair.settle();
    let mut told = std::collections::BTreeMap::new();
    let mut writes = 0;
    let mut awake = ids;
    for _ in 0..400 {
        for id in awake.drain(..) {
            while pair.initiator.mux.write(id, zeros(16_384)).is_ok() {
                writes += 1;
            }
        }
        pair.step(usize::MAX);
        for event in pair.initiator.seen.others.drain(..) {
            if let Event::Writable { id } = event {
                *told.entry(id).or_insert(0) += 1;
                awake.push(id);
            }
        }
    }
    assert!(told.len() == 100, "each has its turn: {}", told.len());
    let told: usize = told.values().sum();
    assert!(told <= writes, "{told} told, for {writes} writes");
}

/// A writer that sleeps when it finds no room, until it is told of some.
struct Writer {
    id: antiphon_wire::StreamId,
    left: usize,
    piece: usize,
    /// Whether it looks for room first, or learns from `Full`.
    looks: bool,
    awake: bool,
}

impl Writer {
    fn run(&mut self, pair: &mut Pair) {
        let mux = &mut pair.initiator.mux;
        while self.awake && self.left > 0 {
            let wanted = self.left.min(self.piece);
            let bytes = if self.looks { wanted.min(mux.writable_bytes(self.id)) } else { wanted };
            self.awake = bytes > 0 && mux.write(self.id, zeros(bytes)).is_ok();
            if self.awake {
                self.left -= bytes;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_writer_sleeps_for_ever(
        writers in prop::collection::vec((0u8..4, 1usize..40_000, 1usize..3_000, any::<bool>()), 1..12),
        changes in prop::collection::vec((any::<usize>(), 0u8..4), 0..12),
    ) {
        let mut pair = Pair::new(Limits {
            stream_write_buffer_bytes: 3_000,
            class_write_buffer_bytes: 5_000,
            ..Limits::default()
        });
        let mut writers: Vec<_> = writers
            .into_iter()
            .map(|(class, left, piece, looks)| {
                let id = pair.initiator.mux.open(Class::from_index(class).unwrap()).unwrap();
                Writer { id, left, piece, looks, awake: true }
            })
            .collect();
        let mut changes = changes.into_iter();
        loop {
            for writer in &mut writers {
                writer.run(&mut pair);
            }
            if let Some((which, class)) = changes.next() {
                let id = writers[which % writers.len()].id;
                pair.initiator.mux.set_class(id, Class::from_index(class).unwrap());
                pair.initiator.drain_events();
            }
            let busy = pair.step(usize::MAX);
            for event in pair.initiator.seen.others.drain(..) {
                if let Event::Writable { id } = event {
                    for writer in writers.iter_mut().filter(|writer| writer.id == id) {
                        writer.awake = true;
                    }
                }
            }
            let idle = writers.iter().all(|writer| !writer.awake || writer.left == 0);
            if !busy && idle {
                break;
            }
        }
        prop_assert!(writers.iter().all(|writer| writer.left == 0), "somebody still sleeps");
    }
}
