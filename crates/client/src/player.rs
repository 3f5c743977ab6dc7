//! The thread that turns blocks into sound.
//!
//! It takes blocks in order as they come, decrypts and decodes them, and hands
//! samples to a sink at the pace of a device. Sound starts with the first
//! packet that can be decoded.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use antiphon_media::StreamDecoder;
use antiphon_media::{PcmHasher, extend_i16};
use antiphon_media::{RawPcmWriter, Sink, WavWriter};
use antiphon_media::{RenditionKey, apply_keystream};
use antiphon_store::Store;
use antiphon_types::{CHANNELS, Rendition};
use bytes::BytesMut;

use crate::device::VirtualDevice;
use crate::gate::{Gate, Waited};

/// How often the position is told.
const REPORT_INTERVAL: Duration = Duration::from_millis(50);

/// Where the music goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkKind {
    /// Nowhere, in real time.
    Null,
    /// Into a WAV file, in real time.
    Wav(PathBuf),
    /// Into a file of bare samples (16 bit, little-endian, interleaved), in
    /// real time.
    Pcm(PathBuf),
}

impl std::str::FromStr for SinkKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "null" => Ok(Self::Null),
            Some(("wav", file)) if !file.is_empty() => Ok(Self::Wav(file.into())),
            Some(("pcm", file)) if !file.is_empty() => Ok(Self::Pcm(file.into())),
            _ => Err("expected null, wav:FILE or pcm:FILE".to_owned()),
        }
    }
}

/// What a play is to be turned into.
pub(crate) struct PlayerConfig {
    pub(crate) rendition: Rendition,
    pub(crate) key: RenditionKey,
    pub(crate) speed: f64,
    pub(crate) sink: SinkKind,
}

/// What the thread tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlayerEvent {
    /// The first samples were handed to the sink.
    FirstSound { at: Instant },
    /// So much was heard, and the device consumes.
    Position { sample: u64 },
    /// The device ran dry.
    Stalled { sample: u64 },
    /// It consumes again.
    Resumed,
    /// A block that was thought to be in the store is not.
    LostBlock { block: u32 },
    /// The end, however it came.
    Ended(Outcome),
}

/// What came of a play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) samples: u64,
    pub(crate) pcm_blake3: [u8; 32],
    pub(crate) stalls: u32,
    pub(crate) stalled: Duration,
    /// Whether every sample was heard.
    pub(crate) finished: bool,
    /// What went wrong, if something did.
    pub(crate) failure: Option<String>,
}

/// How often a block is read again while the process has no file or no memory to
/// read it with.
const READ_ATTEMPTS: u32 = 50;
/// What passes in between.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// Starts the thread. `tell` is called from it.
pub(crate) fn start(
    config: PlayerConfig,
    store: Store,
    gate: Gate,
    tell: impl FnMut(PlayerEvent) + Send + 'static,
) -> std::io::Result<()> {
    std::thread::Builder::new().name("antiphon-player".to_owned()).spawn(move || {
        let device = VirtualDevice::new(config.speed);
        let mut player = Player {
            store,
            gate,
            tell,
            device,
            hasher: PcmHasher::new(),
            pcm: Vec::new(),
            last_report: None,
            dry_told: false,
            config,
        };
        let played = player.play();
        player.end(played);
    })?;
    Ok(())
}

struct Player<F> {
    config: PlayerConfig,
    store: Store,
    gate: Gate,
    tell: F,
    device: VirtualDevice,
    hasher: PcmHasher,
    pcm: Vec<i16>,
    last_report: Option<Instant>,
    dry_told: bool,
}

/// Why a play did not come to its end.
enum Broken {
    Stopped,
    Failed(String),
}

impl<F: FnMut(PlayerEvent)> Player<F> {
    fn play(&mut self) -> Result<(), Broken> {
        let mut sink = self.open_sink()?;
        let mut decoder = StreamDecoder::new();
        let size = self.config.rendition.size();
        for block in size.blocks() {
            let mut bytes = self.take_block(block.get())?;
            apply_keystream(&self.config.key, block.offset(), &mut bytes).map_err(fail)?;
            decoder.push(&bytes);
            while let Some(chunk) = decoder.next_chunk().map_err(fail)? {
                self.pcm.clear();
                extend_i16(&mut self.pcm, chunk.samples);
                self.sound(&mut *sink)?;
            }
        }
        decoder.finish().map_err(fail)?;
        sink.finish().map_err(fail)?;
        self.wait_until(self.device.dry_at())
    }

    fn open_sink(&self) -> Result<Box<dyn Sink>, Broken> {
        let named = |path: &PathBuf| {
            let path = path.display().to_string();
            move |error| Broken::Failed(format!("cannot write {path}: {error}"))
        };
        Ok(match &self.config.sink {
            SinkKind::Null => Box::new(Nowhere),
            SinkKind::Wav(path) => Box::new(WavWriter::create(path).map_err(named(path))?),
            SinkKind::Pcm(path) => Box::new(RawPcmWriter::create(path).map_err(named(path))?),
        })
    }

    /// The ciphertext of a block, waited for if need be.
    fn take_block(&mut self, block: u32) -> Result<BytesMut, Broken> {
        let mut patience = READ_ATTEMPTS;
        loop {
            self.wait_for_block(block)?;
            match self.store.read(self.config.rendition.blob(), block) {
                // Read for us alone, so it is not copied.
                Ok(Some(bytes)) => return Ok(bytes.into()),
                Ok(None) => {
                    self.gate.shut(block);
                    (self.tell)(PlayerEvent::LostBlock { block });
                }
                Err(error) if patience == 0 => return Err(fail(error)),
                Err(error) => {
                    tracing::debug!(block, "trying again: {error}");
                    patience -= 1;
                    self.wait_until(Some(Instant::now() + READ_PAUSE))?;
                }
            }
        }
    }

    fn wait_for_block(&mut self, block: u32) -> Result<(), Broken> {
        loop {
            let wake = if self.dry_told {
                None
            } else {
                let report = self.last_report.map(|last| last + REPORT_INTERVAL);
                report.into_iter().chain(self.device.dry_at()).min()
            };
            match self.gate.wait(block, wake) {
                Waited::There => return Ok(()),
                Waited::Stopped => return Err(Broken::Stopped),
                Waited::TimedOut => self.report(),
            }
        }
    }

    /// Hands samples to the sink, as soon as the device has room for them.
    fn sound(&mut self, sink: &mut dyn Sink) -> Result<(), Broken> {
        if self.pcm.is_empty() {
            return Ok(());
        }
        self.wait_until(self.device.writable_at())?;
        sink.write(&self.pcm).map_err(fail)?;
        self.hasher.update(&self.pcm);
        let now = Instant::now();
        let first = self.device.dry_at().is_none();
        let samples = self.pcm.len() as u64 / u64::from(CHANNELS);
        self.device.write(samples, now);
        if first {
            (self.tell)(PlayerEvent::FirstSound { at: now });
        } else if std::mem::take(&mut self.dry_told) {
            (self.tell)(PlayerEvent::Resumed);
        }
        if self.last_report.is_none_or(|last| now >= last + REPORT_INTERVAL) {
            self.report();
        }
        Ok(())
    }

    /// Sleeps, telling the position now and then.
    fn wait_until(&mut self, until: Option<Instant>) -> Result<(), Broken> {
        let Some(until) = until else { return Ok(()) };
        loop {
            if self.gate.is_stopped() {
                return Err(Broken::Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(REPORT_INTERVAL));
            if self.last_report.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
                self.report();
            }
        }
    }

    fn report(&mut self) {
        let now = Instant::now();
        let sample = self.device.heard(now);
        self.last_report = Some(now);
        match self.device.dry_at() {
            None => {}
            Some(dry) if dry <= now && sample < self.config.rendition.samples() => {
                let told = std::mem::replace(&mut self.dry_told, true);
                if !told {
                    (self.tell)(PlayerEvent::Stalled { sample });
                }
            }
            Some(_) => (self.tell)(PlayerEvent::Position { sample }),
        }
    }

    fn end(mut self, played: Result<(), Broken>) {
        let (stalls, stalled) = self.device.stalls();
        let (complete, failure) = match played {
            Ok(()) => {
                let (there, decoded) =
                    (self.config.rendition.samples(), self.hasher.samples() / u64::from(CHANNELS));
                let failure = (there != decoded)
                    .then(|| format!("the track has {there} samples, but {decoded} were decoded"));
                (true, failure)
            }
            Err(Broken::Failed(reason)) => (false, Some(reason)),
            Err(Broken::Stopped) => (false, None),
        };
        let outcome = Outcome {
            samples: self.device.heard(Instant::now()),
            pcm_blake3: self.hasher.finish(),
            stalls,
            stalled,
            finished: complete && failure.is_none(),
            failure,
        };
        (self.tell)(PlayerEvent::Ended(outcome));
    }
}

fn fail(error: impl std::fmt::Display) -> Broken {
    Broken::Failed(error.to_string())
}

/// A sink that keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _samples: &[i16]) -> std::io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
