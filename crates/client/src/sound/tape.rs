//! What was taken from the queue, kept until it was surely heard.

use antiphon_types::CHANNELS;

const STEREO: usize = CHANNELS as usize;

/// How many frames a tape remembers, 743 ms: more than a server holds.
pub(super) const TAPE_FRAMES: usize = 1 << 15;

/// A loop of samples between the queue and the server. What was sent stays on it
/// for a while, so that a server that died with it in its buffer gets it again.
/// Never allocates after it was made.
#[derive(Debug)]
pub(super) struct Tape {
    samples: Box<[i16]>,
    /// Nothing before this frame is on it.
    start: u64,
    /// The frame after the last one on it.
    end: u64,
    /// The frame that is sent next.
    next: u64,
}

impl Tape {
    pub(super) fn new() -> Self {
        Self { samples: vec![0; TAPE_FRAMES * STEREO].into(), start: 0, end: 0, next: 0 }
    }

    /// The frame that is sent next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The frame after the last one on it.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Frames on it that are still to be sent.
    pub(super) fn unsent(&self) -> usize {
        usize::try_from(self.end - self.next).unwrap_or(TAPE_FRAMES)
    }

    /// Records a frame.
    pub(super) fn record(&mut self, frame: [i16; STEREO]) {
        let at = place(self.end);
        self.samples[at..at + STEREO].copy_from_slice(&frame);
        self.end += 1;
        self.start = self.start.max(self.end.saturating_sub(TAPE_FRAMES as u64));
        self.next = self.next.max(self.start);
    }

    /// The next frame to be sent.
    pub(super) fn play(&mut self) -> Option<[i16; STEREO]> {
        let at = place(self.next);
        (self.next < self.end).then(|| {
            self.next += 1;
            [self.samples[at], self.samples[at + 1]]
        })
    }

    /// What comes after frame `heard` is sent again, as far as it is known.
    pub(super) fn rewind(&mut self, heard: u64) {
        self.next = heard.clamp(self.start, self.next);
    }

    /// Nothing before `frame` is of use; it comes next from the queue.
    pub(super) fn skip_to(&mut self, frame: u64) {
        (self.start, self.next, self.end) = (frame, frame, frame);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "less than the length of the tape")]
fn place(frame: u64) -> usize {
    (frame % TAPE_FRAMES as u64) as usize * STEREO
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tape: &mut Tape, frames: std::ops::Range<i16>) {
        frames.for_each(|frame| tape.record([frame, -frame]));
    }

    fn drain(tape: &mut Tape) -> Vec<i16> {
        std::iter::from_fn(|| tape.play()).map(|[left, _]| left).collect()
    }

    #[test]
    fn what_was_not_heard_is_sent_again() {
        let mut tape = Tape::new();
        record(&mut tape, 0..100);
        assert_eq!(tape.unsent(), 100);
        assert_eq!(drain(&mut tape), (0..100).collect::<Vec<_>>());
        tape.rewind(40);
        record(&mut tape, 100..110);
        assert_eq!(drain(&mut tape), (40..110).collect::<Vec<_>>());
    }

    #[test]
    fn it_never_sends_what_it_forgot_nor_what_it_did_not_get() {
        let mut tape = Tape::new();
        for _ in 0..3 {
            record(&mut tape, 0..i16::MAX);
            drain(&mut tape);
        }
        let end = tape.next();
        tape.rewind(0);
        assert_eq!(tape.unsent(), TAPE_FRAMES);
        tape.rewind(end + 7);
        assert_eq!(tape.next(), end - TAPE_FRAMES as u64);
        assert_eq!(drain(&mut tape).len(), TAPE_FRAMES);
    }

    #[test]
    fn what_was_dropped_is_not_sent() {
        let mut tape = Tape::new();
        record(&mut tape, 0..100);
        tape.skip_to(200);
        assert_eq!((tape.unsent(), tape.play()), (0, None));
        record(&mut tape, 5..7);
        tape.rewind(0);
        assert_eq!(drain(&mut tape), [5, 6]);
        tape.rewind(0);
        assert_eq!(tape.next(), 200);
    }
}
