//! What one connection may cost, whatever the other side does.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_types::{Class, Timestamp};
use antiphon_wire::MessageReader;
use antiphon_wire::frame::{
    FRAME_CREDIT_BYTES, Frame, INITIAL_CONNECTION_CREDIT_BYTES, INITIAL_STREAM_CREDIT_BYTES,
};
use antiphon_wire::mux::{Event, Limits, Mux, Role, StreamId};
use antiphon_wire::record::{MAX_RECORD_BYTES, RecordDecoder, record_header};
use bytes::Bytes;

use crate::pair::{Pair, all_frames, record};

/// One whole record to be completed and one that is read behind it, and the
/// same on the way out.
const RECORD_BUFFERS: usize = 4 * MAX_RECORD_BYTES;

/// All that one peer may cost.
const BOUND: usize = 4 << 20;

/// The other side of a responder: opens streams, and sends as much as it has
/// credit for.
struct Greedy {
    mux: Mux,
    now: Timestamp,
    credit: u64,
    streams: BTreeMap<StreamId, u64>,
}

impl Greedy {
    fn new() -> Self {
        let mux = Mux::new(Role::Responder, Limits::default(), Timestamp::ZERO);
        let credit = u64::from(INITIAL_CONNECTION_CREDIT_BYTES);
        Self { mux, now: Timestamp::ZERO, credit, streams: BTreeMap::new() }
    }

    fn open(&mut self, class: Class) -> StreamId {
        let stream = StreamId::new(2 * self.streams.len() as u32 + 1);
        self.streams.insert(stream, u64::from(INITIAL_STREAM_CREDIT_BYTES));
        self.take(&[Frame::Open { stream, class }]);
        stream
    }

    fn take(&mut self, frames: &[Frame]) {
        self.mux.handle_record(self.now, record(frames)).unwrap();
    }

    /// Spends credit on a frame; `None` if there is too little.
    fn data(&mut self, stream: StreamId, bytes: usize) -> Option<Frame> {
        let cost = bytes as u64 + FRAME_CREDIT_BYTES;
        let of_stream = self.streams.get_mut(&stream)?;
        if self.credit < cost || *of_stream < cost {
            return None;
        }
        self.credit -= cost;
        *of_stream -= cost;
        let payload = Bytes::from(vec![7; bytes]);
        Some(Frame::Data { stream, finish: false, payload })
    }

    /// Reads what the responder sends, and takes credit.
    fn collect(&mut self) -> bool {
        let mut any = false;
        for frame in all_frames(&mut self.mux, self.now) {
            match frame {
                Frame::Credit { stream, bytes } if stream.get() == 0 => {
                    self.credit += u64::from(bytes);
                }
                Frame::Credit { stream, bytes } => {
                    *self.streams.get_mut(&stream).unwrap() += u64::from(bytes);
                }
                Frame::Ping { token } => {
                    self.now = self.now + Duration::from_millis(50);
                    self.take(&[Frame::Pong { token }]);
                }
                _ => any = true,
            }
        }
        any
    }

    /// Sends to a fast reader until the windows have their largest size.
    fn grow(&mut self) {
        self.mux.ping(self.now);
        self.collect();
        for _ in 0..4 {
            self.open(Class::Now);
        }
        for _ in 0..40 {
            for stream in self.streams.keys().copied().collect::<Vec<_>>() {
                while let Some(frame) = self.data(stream, 16_384) {
                    self.take(&[frame]);
                }
            }
            while let Some(event) = self.mux.poll_event() {
                if let Event::Data { id, data } = event {
                    self.mux.consume(id, data.len());
                }
            }
            self.now = self.now + Duration::from_millis(30);
            self.collect();
        }
    }

    /// The owner writes all that it may, in every class.
    fn let_owner_write(&mut self) {
        for class in Class::ALL {
            for _ in 0..4 {
                let id = self.open(class);
                let room = self.mux.writable_bytes(id);
                self.mux.write(id, Bytes::from(vec![1; room])).unwrap();
            }
        }
        let per_class = Limits::default().class_write_buffer_bytes;
        assert_eq!(self.mux.queued_bytes(), 4 * per_class);
    }

    fn check(&self) {
        let held = self.mux.memory_bytes() + RECORD_BUFFERS;
        assert!(held <= BOUND, "{held} bytes");
    }
}

#[test]
fn windows_grow_for_a_sender_that_they_hold_up_and_no_further() {
    let mut greedy = Greedy::new();
    greedy.grow();
    let limits = Limits::default();
    let largest = u64::from(limits.max_connection_window_bytes);
    assert!(greedy.credit <= largest && greedy.credit > largest / 4 * 3);
    for &credit in greedy.streams.values() {
        assert!(credit <= u64::from(limits.max_stream_window_bytes));
        assert!(credit > u64::from(limits.stream_window_bytes));
    }
}

#[test]
fn windows_do_not_grow_for_a_slow_reader() {
    let mut greedy = Greedy::new();
    greedy.mux.ping(greedy.now);
    greedy.collect();
    let stream = greedy.open(Class::Now);
    for _ in 0..200 {
        if let Some(frame) = greedy.data(stream, 16_384) {
            greedy.take(&[frame]);
        }
        greedy.mux.consume(stream, 16_384);
        greedy.now = greedy.now + Duration::from_millis(10);
        greedy.collect();
    }
    let credit = greedy.streams[&stream];
    assert!(credit <= u64::from(INITIAL_STREAM_CREDIT_BYTES), "{credit}");
}

#[test]
fn m8_frames_of_any_size_that_nobody_consumes_stay_within_the_bound() {
    for bytes in [1, 2, 40, 150, 1_000, 8_191, 8_192, 16_384, 17_408] {
        let mut greedy = Greedy::new();
        greedy.grow();
        greedy.let_owner_write();
        while greedy.streams.len() < 128 {
            greedy.open(Class::Now);
        }
        for stream in greedy.streams.keys().copied().collect::<Vec<_>>() {
            while let Some(frame) = greedy.data(stream, bytes) {
                greedy.take(&[frame]);
            }
        }
        let held = greedy.mux.unconsumed_bytes();
        assert!(held > u64::from(Limits::default().max_connection_window_bytes) / 4 * 3, "{held}");
        greedy.check();
    }
}

#[test]
fn m8_slices_that_keep_whole_records_stay_within_the_bound() {
    let mut greedy = Greedy::new();
    greedy.grow();
    greedy.let_owner_write();
    // Of each record a slice stays, and the rest is consumed.
    let gone = greedy.open(Class::Now);
    while greedy.streams.len() < 64 {
        greedy.open(Class::Now);
    }
    let mut records = 0;
    for kept in greedy.streams.keys().copied().filter(|id| *id > gone).collect::<Vec<_>>() {
        while let Some(frame) = greedy.data(kept, 8_192) {
            let mut frames = vec![frame];
            frames.extend((0..3).filter_map(|_| greedy.data(gone, 17_000)));
            greedy.take(&frames);
            greedy.mux.consume(gone, usize::MAX);
            greedy.collect();
            records += 1;
        }
    }
    assert!(records > 150, "{records} records of 64 KiB would be 9 MiB");
    greedy.check();
}

#[test]
fn m2_what_waits_to_be_sent_to_a_side_that_does_not_read_stays_within_the_bound() {
    let mut greedy = Greedy::new();
    greedy.let_owner_write();
    for count in 0..20_000_u32 {
        let stream = StreamId::new(2 * count + 1001);
        let class = Class::Now;
        let reset = Frame::Reset { stream, code: 0 };
        let frames = [Frame::Open { stream, class }, reset];
        if greedy.mux.handle_record(greedy.now, record(&frames)).is_err() {
            break;
        }
        greedy.check();
    }
    assert!(greedy.mux.closed().is_some());
    greedy.check();
}

/// What a quiet connection may cost here, of the 16 KiB that it may cost in
/// all.
const IDLE_BOUND: usize = 4 * 1024;

#[test]
fn a_new_connection_costs_little() {
    let mux = Mux::new(Role::Responder, Limits::default(), Timestamp::ZERO);
    let decoder = RecordDecoder::new();
    let reader = MessageReader::default();
    let held = mux.memory_bytes() + decoder.memory_bytes() + size_of_val(&reader);
    assert!(held < 2 * 1024, "{held} bytes");
}

#[test]
fn a_connection_is_small_again_after_a_burst() {
    let mut pair = Pair::new(Limits::default());
    let session = pair.initiator.mux.open(Class::Control).unwrap();
    pair.initiator.mux.write(session, Bytes::from_static(b"hello")).unwrap();
    pair.settle();
    for class in Class::ALL {
        let ids: Vec<_> = (0..100).map(|_| pair.initiator.mux.open(class).unwrap()).collect();
        for &id in &ids {
            for _ in 0..100 {
                // Some find no room, which is what a burst is.
                let _ = pair.initiator.mux.write(id, Bytes::from_static(b"a crumb"));
            }
            pair.initiator.mux.finish(id);
        }
        pair.settle();
        for &id in &ids {
            pair.responder.mux.finish(id);
        }
        pair.settle();
    }
    for end in [&pair.initiator, &pair.responder] {
        assert_eq!(end.mux.stream_count(), 1);
        let held = end.mux.memory_bytes();
        assert!(held <= IDLE_BOUND, "{held} bytes");
    }
}

#[test]
fn a_crowd_of_small_frames_leaves_no_large_queue_behind() {
    let mut greedy = Greedy::new();
    let stream = greedy.open(Class::Now);
    let frames: Vec<_> = (0..1_500).map_while(|_| greedy.data(stream, 1)).collect();
    greedy.take(&frames);
    assert!(greedy.mux.memory_bytes() > 50_000);
    while let Some(event) = greedy.mux.poll_event() {
        if let Event::Data { id, data } = event {
            greedy.mux.consume(id, data.len());
        }
    }
    assert!(greedy.mux.memory_bytes() <= IDLE_BOUND, "{}", greedy.mux.memory_bytes());
}

#[test]
fn a_decoder_that_holds_nothing_gives_its_buffer_back() {
    let mut decoder = RecordDecoder::new();
    let record = [&record_header(16).unwrap()[..], &[0; 16]].concat();
    decoder.buffer().extend_from_slice(&record);
    decoder.buffer().extend_from_slice(&record[..1]);
    assert!(decoder.memory_bytes() > MAX_RECORD_BYTES);
    assert!(decoder.next_record().unwrap().is_some());
    decoder.release_if_empty();
    assert_eq!(decoder.buffered(), 1, "what has begun stays");

    decoder.buffer().extend_from_slice(&record[1..]);
    assert!(decoder.next_record().unwrap().is_some());
    decoder.release_if_empty();
    assert!(decoder.memory_bytes() < 256, "{}", decoder.memory_bytes());
    decoder.buffer().extend_from_slice(&record);
    assert!(decoder.next_record().unwrap().is_some(), "and goes on");
}
