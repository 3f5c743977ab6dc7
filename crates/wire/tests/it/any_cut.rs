//! Any cut of the bytes, any interleaving of calls: the same messages.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_types::{Class, Timestamp};
use antiphon_wire::mux::{Limits, Mux, Role, StreamId, WriteError};
use bytes::Bytes;
use proptest::prelude::*;

use crate::pair::{End, Pair};

#[derive(Debug, Clone)]
enum Step {
    Open(Class),
    Write(usize, usize),
    Finish(usize),
    SetClass(usize, Class),
    Wait(u64),
    Run(usize),
}

fn class() -> impl Strategy<Value = Class> {
    (0u8..4).prop_map(|index| Class::from_index(index).unwrap())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => class().prop_map(Step::Open),
        6 => (any::<usize>(), 1usize..40_000).prop_map(|(which, bytes)| Step::Write(which, bytes)),
        1 => any::<usize>().prop_map(Step::Finish),
        1 => (any::<usize>(), class()).prop_map(|(which, class)| Step::SetClass(which, class)),
        1 => (0u64..3_000).prop_map(Step::Wait),
        6 => (1usize..20_000).prop_map(Step::Run),
    ]
}

/// What a side has written, by stream, and whether it has finished.
#[derive(Default)]
struct Written {
    streams: Vec<StreamId>,
    data: BTreeMap<StreamId, Vec<u8>>,
    finished: Vec<StreamId>,
    count: u8,
}

impl Written {
    fn apply(&mut self, end: &mut End, step: &Step) {
        let mux = &mut end.mux;
        let pick = |which: usize| self.streams.get(which % self.streams.len().max(1)).copied();
        match *step {
            Step::Open(class) => self.streams.extend(mux.open(class)),
            Step::Write(which, bytes) => {
                let Some(id) = pick(which) else { return };
                self.count = self.count.wrapping_add(1);
                let data = Bytes::from(vec![self.count; bytes]);
                match mux.write(id, data.clone()) {
                    Ok(()) => self.data.entry(id).or_default().extend_from_slice(&data),
                    Err(WriteError::Full { writable_bytes }) => assert!(writable_bytes < bytes),
                    Err(error) => assert!(
                        matches!(error, WriteError::Finished(_) | WriteError::NotOpen(_))
                            && self.finished.contains(&id)
                    ),
                }
            }
            Step::Finish(which) => {
                let Some(id) = pick(which) else { return };
                if !self.finished.contains(&id) {
                    mux.finish(id);
                    self.finished.push(id);
                }
            }
            Step::SetClass(which, class) => {
                if let Some(id) = pick(which) {
                    mux.set_class(id, class);
                }
            }
            Step::Wait(_) | Step::Run(_) => {}
        }
    }
}

fn check(written: &Written, end: &End) {
    assert_eq!(end.seen.data, written.data);
    let mut finished = end.seen.finished.clone();
    finished.sort_unstable();
    let mut expected = written.finished.clone();
    expected.sort_unstable();
    assert_eq!(finished, expected);
    assert_eq!(end.seen.opened, written.streams, "opened in the order of opening");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_arrives_in_any_cut_and_interleaving(
        steps in prop::collection::vec((any::<bool>(), step()), 1..60)
    ) {
        let mut pair = Pair::new(Limits::default());
        let (mut by_initiator, mut by_responder) = (Written::default(), Written::default());
        for (first, step) in &steps {
            match *step {
                Step::Run(bytes) => {
                    pair.step(bytes);
                }
                Step::Wait(millis) => pair.wait(Duration::from_millis(millis)),
                _ if *first => by_initiator.apply(&mut pair.initiator, step),
                _ => by_responder.apply(&mut pair.responder, step),
            }
        }
        pair.settle();
        check(&by_initiator, &pair.responder);
        check(&by_responder, &pair.initiator);
        prop_assert_eq!(pair.initiator.mux.queued_bytes(), 0);
        prop_assert_eq!(pair.responder.mux.unconsumed_bytes(), 0);
    }

    #[test]
    fn any_plaintext_is_an_error_or_is_borne(
        records in prop::collection::vec(hostile_record(), 1..40)
    ) {
        let mut mux = Mux::new(Role::Responder, Limits::default(), Timestamp::ZERO);
        let local = mux.open(Class::Now).unwrap();
        let mut out = bytes::BytesMut::new();
        for plaintext in records {
            let outcome = mux.handle_record(Timestamp::ZERO, plaintext);
            prop_assert_eq!(outcome.err(), mux.closed());
            while mux.poll_event().is_some() {}
            prop_assert!(mux.unconsumed_bytes() <= 1 << 20);
            prop_assert!(mux.memory_bytes() <= 4 << 20);
            prop_assert!(mux.stream_count() <= 512);
            mux.poll_record(Timestamp::ZERO, &mut out, 65_519);
            out.clear();
        }
        mux.reset(local, 0);
        mux.handle_timeout(Timestamp::MAX);
        prop_assert!(mux.closed().is_some());
    }
}

/// Frames of known types with any fields, mostly of the right length, so that
/// many pass the parser.
fn hostile_record() -> impl Strategy<Value = Bytes> {
    let frame = (0u8..9, 0u8..3, prop::option::of(0u16..40), 0u32..8, any::<[u8; 32]>());
    prop::collection::vec(frame, 0..12).prop_map(|frames| {
        let mut out = Vec::new();
        for (kind, flags, length, stream, body) in frames {
            let usual = [0, 1, 5, 4, 4, 1, 8, 6, 0][usize::from(kind)];
            let length = length.filter(|length| length % 8 == 0).unwrap_or(usual);
            out.extend([kind, flags & 1]);
            out.extend(length.to_be_bytes());
            out.extend(stream.to_be_bytes());
            // Small numbers where a code, a class or a credit stands.
            let small = [0, 0, 0, body[0] % 5];
            let body = if kind == 4 { &small[..] } else { &body[..] };
            out.extend(body.iter().map(|byte| byte % 5).cycle().take(usize::from(length)));
        }
        Bytes::from(out)
    })
}
