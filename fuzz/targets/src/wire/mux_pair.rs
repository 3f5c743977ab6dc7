//! Two honest multiplexers.

mod end;

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon_types::{Class, Timestamp};
use antiphon_wire::CloseCode;
use antiphon_wire::mux::{Limits, Rate, Role, StreamId};

use crate::script::Script;
use end::End;

/// Steps after which two that have little to say must have come to rest.
const MAX_STEPS: usize = 20_000;

/// Any order of commands and any cut of the bytes between two that keep the
/// rules: neither ever fails the other, every byte arrives once and in order,
/// every writer that was told to wait is told to go on, all credit comes back,
/// and both come to nothing.
///
/// Input: limits (one byte), then operations, see `step`.
pub fn mux_pair(data: &[u8]) {
    let mut script = Script::new(data);
    let limits = limits(script.flag());
    let mut pair = Pair {
        now: Timestamp::from_millis(1),
        ends: [Role::Initiator, Role::Responder].map(|role| End::new(role, limits.clone())),
        reset: BTreeSet::new(),
    };
    while !script.is_over() {
        pair.step(&mut script);
    }
    pair.everything_arrives();
    pair.all_streams_end();
    pair.credit_is_back();
    pair.go_away();
}

/// As fast as one likes, since this is no flood; `narrow` bounds are reached by
/// short scripts.
fn limits(narrow: bool) -> Limits {
    let rate = Rate { per_second: 1_000_000, burst: 1_000_000 };
    let wide = Limits {
        opens: rate,
        resets: rate,
        empty_frames: rate,
        pings: rate,
        class_changes: rate,
        ..Limits::default()
    };
    if !narrow {
        return wide;
    }
    Limits {
        max_remote_streams: 3,
        max_local_streams: 3,
        stream_write_buffer_bytes: 4_096,
        class_write_buffer_bytes: 6_000,
        starvation_bytes: 2_000,
        small_record_burst_bytes: 8_192,
        ..wide
    }
}

struct Pair {
    now: Timestamp,
    ends: [End; 2],
    /// Streams that one of the two gave up: what was sent on them may be lost.
    reset: BTreeSet<StreamId>,
}

impl Pair {
    fn step(&mut self, script: &mut Script<'_>) {
        let operation = script.byte();
        let side = usize::from(operation / 16 % 2);
        let end = &mut self.ends[side];
        match operation % 16 {
            0 | 1 => end.open(class(script)),
            2..=4 => end.write(script.byte(), script.u16().into()),
            5 => end.finish(script.byte()),
            6 => self.reset.extend(end.reset(script.byte())),
            7 => end.set_class(script.byte(), class(script)),
            8 => end.consume(script.byte(), script.u16().into()),
            9 => end.consumes = script.flag(),
            10 => end.mux.ping(self.now),
            11 => self.wait(Duration::from_millis(u64::from(script.u16()) % 14_000)),
            12 => self.settle(),
            _ => drop(self.travel(side, script.u16().into(), script.byte())),
        }
    }

    /// One record leaves `from`, and some bytes of what travels arrive.
    fn travel(&mut self, from: usize, max_bytes: usize, cut: u8) -> bool {
        let [first, second] = &mut self.ends;
        let (from, to) = if from == 0 { (first, second) } else { (second, first) };
        let sent = from.send(self.now, max_bytes, &mut to.incoming);
        let arriving = match cut {
            0..200 => usize::from(cut),
            _ => usize::MAX,
        };
        let busy = !to.incoming.is_empty();
        to.deliver(self.now, arriving);
        sent || busy
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        for end in &mut self.ends {
            end.mux.handle_timeout(self.now);
        }
        self.settle();
    }

    /// Lets all that can travel do so.
    fn settle(&mut self) {
        for _ in 0..MAX_STEPS {
            let moved = self.travel(0, usize::MAX, u8::MAX) | self.travel(1, usize::MAX, u8::MAX);
            if !moved {
                return;
            }
        }
        panic!("the two never come to rest");
    }

    fn everything_arrives(&mut self) {
        for end in &mut self.ends {
            end.consume_all();
        }
        self.settle();
        let [first, second] = &self.ends;
        for (from, to) in [(first, second), (second, first)] {
            for (stream, written) in from.written.iter().filter(|(id, _)| !self.reset.contains(id))
            {
                let received = to.received.get(stream).copied().unwrap_or(0);
                assert_eq!(received, *written, "bytes on stream {stream}");
            }
            assert!(
                from.finished.is_subset(&to.saw_finished.union(&self.reset).copied().collect())
            );
            assert!(from.waiting.is_empty(), "writers wait for ever: {:?}", from.waiting);
            assert_eq!((from.mux.queued_bytes(), from.mux.unconsumed_bytes()), (0, 0));
        }
    }

    fn all_streams_end(&mut self) {
        for end in &mut self.ends {
            end.finish_all();
        }
        self.settle();
        for end in &self.ends {
            assert_eq!(end.mux.stream_count(), 0);
        }
    }

    /// A stream may fill its window though nobody consumes (a receiver may keep
    /// back a quarter of it, and frames cost a little), and so much more goes
    /// when someone does that each side gives back what it owes.
    fn credit_is_back(&mut self) {
        for (side, class) in [(0, Class::Control), (1, Class::Now)] {
            self.ends[1 - side].consumes = false;
            self.fill(side, class);
            let held = self.ends[1 - side].mux.unconsumed_bytes();
            assert!(held >= 180_000, "only {held} bytes of credit came back");
            self.ends[1 - side].consume_all();
            self.fill(side, class);
        }
        self.all_streams_end();
    }

    fn fill(&mut self, side: usize, class: Class) {
        for _ in 0..60 {
            self.ends[side].fill(class);
            self.settle();
        }
    }

    fn go_away(&mut self) {
        for end in &mut self.ends {
            end.mux.go_away(CloseCode::SHUTDOWN, "done");
        }
        self.settle();
        for end in &self.ends {
            assert!(end.mux.is_drained());
        }
    }
}

fn class(script: &mut Script<'_>) -> Class {
    Class::from_index(script.byte() % 4).expect("there are four")
}
