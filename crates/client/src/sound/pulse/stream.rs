//! The stream at the server: feeds it and knows where it is.

use std::io::{self, Cursor, ErrorKind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use antiphon_types::SAMPLE_RATE;
use pulseaudio::protocol::{
    Command, CorkStreamParams, LatencyParams, PlaybackLatency, TagStructReader,
};

use super::connection::{Connection, FRAME_BYTES, Lost};
use crate::sound::Condition;
use crate::sound::queue::DeviceEnd;
use crate::sound::tape::Tape;

/// How often the server is asked where it is while it plays.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
/// The same until it has told a first time.
const ASK_SOON: Duration = Duration::from_millis(20);

/// A server that does not answer for so long is as good as gone.
const SILENCE: Duration = Duration::from_secs(3);

/// How long the server may wait for a beginning to be complete. What is shorter
/// is all there is.
const BEGIN_WITHIN: Duration = Duration::from_millis(30);

/// A stream, with the thread's end of the queue.
pub(super) struct Stream<'a> {
    connection: Connection,
    end: &'a mut DeviceEnd,
    tape: &'a mut Tape,
    corked: bool,
    /// Frames of silence before the first music. The device takes back the
    /// silence that it had from nobody and was about to play, as far as it can,
    /// and plays what it gets now instead. Who listens at its monitor has heard
    /// that silence, and does not hear what comes in its place.
    lead_in: usize,
    /// Up to here frames were dropped.
    dropped: u64,
    /// The question of where the server is, what had been sent before it, and when
    /// it was asked.
    asked: Option<(u32, u64, Instant)>,
    /// When to ask again.
    ask_at: Option<Instant>,
    /// When to tell the server to begin with what it has.
    begin_at: Option<Instant>,
    /// It is known that the server plays.
    started: bool,
    /// The server said that it has nothing to play, and got nothing since.
    dry: bool,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        connection: Connection,
        corked: bool,
        end: &'a mut DeviceEnd,
        tape: &'a mut Tape,
    ) -> Self {
        let dropped = tape.next();
        Self {
            lead_in: connection.latency,
            connection,
            end,
            tape,
            corked,
            dropped,
            asked: None,
            ask_at: None,
            begin_at: None,
            started: false,
            dry: false,
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the player's end is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.end.shared.closed.load(Ordering::Acquire)
    }

    /// When [`work`](Self::work) is due although nothing happened.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.ask_at.into_iter().chain(self.begin_at).min()
    }

    /// Does what is to be done now.
    pub(super) fn work(&mut self) -> Result<(), Lost> {
        loop {
            while let Some(length) = self.connection.message()? {
                self.take(length)?;
                self.connection.consume(length);
            }
            if !self.connection.fill()? {
                break;
            }
        }
        self.connection.flush()?;
        self.drop_unwanted()?;
        self.cork()?;
        self.feed()?;
        self.ask()
    }

    /// What a discard wants gone is gone from here and from the server.
    fn drop_unwanted(&mut self) -> Result<(), Lost> {
        let until = self.end.shared.drop_until.load(Ordering::Acquire);
        if until <= self.dropped {
            return Ok(());
        }
        self.dropped = until;
        skip(self.end, self.tape, until);
        (self.asked, self.begin_at) = (None, None);
        (self.started, self.dry) = (false, false);
        // A server that is fed again at once does not say that it began anew.
        self.ask_at = (!self.corked).then(|| Instant::now() + ASK_SOON);
        self.connection.send(&Command::FlushPlaybackStream(self.connection.channel()))?;
        Ok(())
    }

    fn cork(&mut self) -> Result<(), Lost> {
        let cork = self.end.shared.paused.load(Ordering::Acquire);
        if cork == self.corked {
            return Ok(());
        }
        self.corked = cork;
        // What comes after a pause is no late continuation.
        self.dry = false;
        let channel = self.connection.channel();
        self.connection.send(&Command::CorkPlaybackStream(CorkStreamParams { channel, cork }))?;
        // An answer from before the pause says nothing of what comes after it.
        self.asked = None;
        self.ask_at = (!cork).then(|| Instant::now() + ASK_SOON);
        self.begin_at = (!cork && !self.started).then(|| Instant::now() + BEGIN_WITHIN);
        Ok(())
    }

    /// Gives the server what it wants, as far as it is there.
    fn feed(&mut self) -> Result<(), Lost> {
        let Self { connection, end, tape, lead_in, .. } = self;
        let mut fed = false;
        while !connection.is_full() && connection.wanted >= FRAME_BYTES {
            let sent = connection.send_frames(|| {
                if tape.unsent() == 0 {
                    tape.record(end.frames.pop().ok()?);
                }
                if *lead_in > 0 {
                    *lead_in -= 1;
                    return Some([0; 2]);
                }
                tape.play()
            })?;
            if sent == 0 {
                break;
            }
            fed = true;
        }
        if fed && std::mem::take(&mut self.dry) {
            let _ = end.conditions.send(Condition::RanDry);
        }
        if fed && !self.started && !self.corked {
            self.begin_at.get_or_insert_with(|| Instant::now() + BEGIN_WITHIN);
        }
        Ok(())
    }

    /// Asks where the server is, and has it begin, when it is time.
    fn ask(&mut self) -> Result<(), Lost> {
        let now = Instant::now();
        let channel = self.connection.channel();
        if self.begin_at.is_some_and(|at| at <= now) {
            self.begin_at = None;
            self.connection.send(&Command::TriggerPlaybackStream(channel))?;
            self.ask_at = Some(now);
        }
        if self.ask_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        if let Some((.., at)) = self.asked {
            if now.saturating_duration_since(at) > SILENCE {
                return Err(Lost::Io(io::Error::new(ErrorKind::TimedOut, "it does not answer")));
            }
            self.ask_at = Some(now + ASK_SOON);
        } else {
            let clock = LatencyParams { channel, now: SystemTime::now() };
            let number = self.connection.send(&Command::GetPlaybackLatency(clock))?;
            self.asked = Some((number, self.tape.next(), now));
            self.ask_at = Some(now + if self.started { ASK_INTERVAL } else { ASK_SOON });
        }
        Ok(())
    }

    /// Takes a message of the server.
    fn take(&mut self, length: usize) -> Result<(), Lost> {
        let version = self.connection.version();
        let mut payload = Cursor::new(self.connection.payload(length));
        let (number, command) = match Command::read_tag_prefixed(&mut payload, version) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!("a message of the sound server is not understood: {error}");
                return Ok(());
            }
        };
        match command {
            Command::Reply if self.asked.is_some_and(|(asked, ..)| asked == number) => {
                let mut reader = TagStructReader::new(&mut payload, version);
                let place: PlaybackLatency = reader.read()?;
                self.anchor(&place);
            }
            Command::Request(request) => self.connection.wanted += request.length as usize,
            Command::Started(_) => {
                (self.started, self.begin_at) = (true, None);
                self.ask_at = Some(Instant::now());
            }
            Command::Underflow(_) => {
                (self.started, self.dry, self.ask_at) = (false, true, None);
            }
            Command::PlaybackStreamKilled(_) => return Err(Lost::Killed),
            Command::PlaybackStreamMoved(moved) => {
                let device = moved.device_name.to_string_lossy().into_owned();
                let _ = self.end.conditions.send(Condition::Moved { device });
                self.ask_at = Some(Instant::now());
            }
            Command::Error(error) => tracing::debug!("the sound server says: {error:?}"),
            _ => {}
        }
        Ok(())
    }

    /// Sets the clock by what the server says of where it is.
    fn anchor(&mut self, place: &PlaybackLatency) {
        let Some((_, sent, _)) = self.asked.take() else { return };
        let shared = &self.end.shared;
        let overtaken = shared.drop_until.load(Ordering::Acquire) > self.dropped
            || shared.paused.load(Ordering::Acquire);
        // Without sound from us in it, the device's latency is that of silence.
        if overtaken || self.corked || !place.playing || place.playing_for == 0 {
            return;
        }
        self.started = true;
        let queued = (place.write_offset - place.read_offset) / FRAME_BYTES as i64;
        let latency = place.sink_usec.min(10_000_000) * u64::from(SAMPLE_RATE) / 1_000_000;
        let sent = i64::try_from(sent).unwrap_or(i64::MAX >> 1);
        let latency = i64::try_from(latency).unwrap_or(0);
        shared.clock.run(sent - queued.max(0) - latency, Instant::now());
    }
}

/// Drops what the queue holds before frame `until`.
fn skip(end: &mut DeviceEnd, tape: &mut Tape, until: u64) {
    for _ in tape.end()..until {
        if end.frames.pop().is_err() {
            break;
        }
    }
    tape.skip_to(until);
}
