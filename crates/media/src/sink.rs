//! Where decoded sound goes: a WAV file or a file of bare samples. What only
//! keeps time without making a sound is the player engine's own.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use antiphon_types::{CHANNELS, SAMPLE_RATE};

/// Bytes of the header that [`WavWriter`] writes.
pub const WAV_HEADER_BYTES: usize = 44;

/// Takes decoded sound, in order.
pub trait Sink: Send {
    /// Takes interleaved 44.1 kHz stereo samples.
    fn write(&mut self, samples: &[i16]) -> io::Result<()>;

    /// Completes what was written. Nothing may be written afterwards.
    fn finish(&mut self) -> io::Result<()>;
}

/// Writes 16-bit stereo 44.1 kHz WAV.
///
/// The header first states the largest length there is, which readers take to
/// mean "until the end of the file", so a file whose writer was killed can
/// still be played; [`finish`](Sink::finish) puts the true length there.
#[derive(Debug)]
pub struct WavWriter<W> {
    out: W,
    data_bytes: u64,
}

impl<W: Write + Seek> WavWriter<W> {
    /// Writes the header.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&wav_header(None))?;
        Ok(Self { out, data_bytes: 0 })
    }

    /// Samples written so far, of one channel.
    pub fn samples(&self) -> u64 {
        self.data_bytes / (2 * u64::from(CHANNELS))
    }

    /// The file or buffer below.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl WavWriter<BufWriter<File>> {
    /// Creates the file, or empties it.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::new(BufWriter::new(File::create(path)?))
    }
}

impl<W: Write + Seek + Send> Sink for WavWriter<W> {
    fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        write_samples(&mut self.out, samples)?;
        self.data_bytes += samples.len() as u64 * 2;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&wav_header(u32::try_from(self.data_bytes).ok()))?;
        self.out.seek(SeekFrom::End(0))?;
        self.out.flush()
    }
}

/// Writes bare samples, 16-bit little-endian interleaved stereo at 44.1 kHz.
#[derive(Debug)]
pub struct RawPcmWriter<W> {
    out: W,
}

impl<W: Write> RawPcmWriter<W> {
    /// Writes to `out` from where it stands.
    pub const fn new(out: W) -> Self {
        Self { out }
    }

    /// The file or buffer below.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl RawPcmWriter<BufWriter<File>> {
    /// Creates the file, or empties it.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufWriter::new(File::create(path)?)))
    }
}

impl<W: Write + Send> Sink for RawPcmWriter<W> {
    fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        write_samples(&mut self.out, samples)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn write_samples(out: &mut impl Write, samples: &[i16]) -> io::Result<()> {
    let mut bytes = [0; 2048];
    for piece in samples.chunks(bytes.len() / 2) {
        for (pair, sample) in bytes.chunks_exact_mut(2).zip(piece) {
            pair.copy_from_slice(&sample.to_le_bytes());
        }
        out.write_all(&bytes[..piece.len() * 2])?;
    }
    Ok(())
}

/// A canonical WAV header; without a length for a file that is being written
/// or has outgrown the format's 4 GiB.
fn wav_header(data_bytes: Option<u32>) -> [u8; WAV_HEADER_BYTES] {
    let riff_bytes = data_bytes.and_then(|bytes| bytes.checked_add(36));
    let frame_bytes = CHANNELS * 2;
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &riff_bytes.unwrap_or(u32::MAX).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &CHANNELS.to_le_bytes(),
        &SAMPLE_RATE.to_le_bytes(),
        &(SAMPLE_RATE * u32::from(frame_bytes)).to_le_bytes(),
        &frame_bytes.to_le_bytes(),
        &16_u16.to_le_bytes(),
        b"data",
        &riff_bytes.and(data_bytes).unwrap_or(u32::MAX).to_le_bytes(),
    ];
    let mut header = [0; WAV_HEADER_BYTES];
    let mut rest = &mut header[..];
    for field in fields {
        let (place, after) = rest.split_at_mut(field.len());
        place.copy_from_slice(field);
        rest = after;
    }
    header
}
