//! Who is told that there is room again.

use std::ops::Bound::{Excluded, Included, Unbounded};

use antiphon_types::Class;

use super::schedule::Waiting;
use super::stream::Direction;
use super::{Event, Mux};
use crate::frame::MAX_FRAME_PAYLOAD_BYTES;

impl Mux {
    /// Tells writers that wait for room in a class, when its queue falls to
    /// half of its bound, or to nothing.
    pub(super) fn wake_writers(&mut self, class: Class, queued_before: usize) {
        let limit = self.limits.class_write_buffer_bytes;
        let queued = self.schedule.queued_bytes(class);
        if !(queued_before > limit / 2 && queued <= limit / 2 || queued == 0) {
            return;
        }
        let waiting = self.schedule.take_waiting(class);
        if waiting == Waiting::Nobody {
            return;
        }
        // A hundred writers for whom there is room for eight would only go back
        // to sleep. When nothing is queued all are told: those told before may
        // have had nothing to write.
        let quota = if queued == 0 {
            usize::MAX
        } else {
            (limit - queued).div_ceil(MAX_FRAME_PAYLOAD_BYTES)
        };
        self.wake(class, waiting, quota);
    }

    /// Tells up to `quota` writers, in turn.
    fn wake(&mut self, class: Class, waiting: Waiting, mut quota: usize) {
        let full = self.limits.stream_write_buffer_bytes;
        let last = self.schedule.last_woken(class);
        let mut woken = last;
        for range in [(Excluded(last), Unbounded), (Unbounded, Included(last))] {
            for (&id, stream) in self.streams.range_mut(range) {
                let send = &mut stream.send;
                let waits = send.writer_waits || waiting == Waiting::All;
                if stream.account != class || send.state != Direction::Open || !waits {
                    continue;
                }
                if quota == 0 {
                    self.schedule.wait(class, waiting);
                    break;
                }
                if send.queued_bytes() < full {
                    quota -= 1;
                    woken = id;
                    send.writer_waits = false;
                    self.events.push_back(Event::Writable { id });
                } else if send.writer_waits {
                    // No room of its own yet; it is told when it has sent some,
                    // or with the next.
                    self.schedule.wait(class, Waiting::Marked);
                }
            }
        }
        self.schedule.set_last_woken(class, woken);
    }
}
