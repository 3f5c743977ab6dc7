//! Ogg Vorbis files, by our own page and granule arithmetic.

use std::fs::File;
use std::io::Read;

use super::{DecodeError, StereoFeed};
use crate::vorbis::{PageError, VorbisError, VorbisStream, is_header};

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Whether a file that begins like this is Ogg with a Vorbis stream first.
pub(crate) fn recognises(head: &[u8]) -> bool {
    let lacing = head.get(26).copied().map_or(0, usize::from);
    head.starts_with(b"OggS") && head.get(27 + lacing..).is_some_and(|body| is_header(body, 1))
}

pub(crate) fn decode(
    mut file: &File,
    file_bytes: u64,
    feed: &mut StereoFeed<'_>,
    progress: &dyn Fn(f32),
) -> Result<(), DecodeError> {
    let mut stream = VorbisStream::new(None);
    let mut buffer = vec![0; READ_BYTES];
    let mut read_bytes: u64 = 0;
    loop {
        let count = file.read(&mut buffer).map_err(DecodeError::Read)?;
        if count == 0 {
            break;
        }
        stream.push(&buffer[..count]);
        drain(&mut stream, feed)?;
        read_bytes += count as u64;
        progress(share(read_bytes, file_bytes));
    }
    if stream.chained() {
        return Err(DecodeError::FormatChange);
    }
    if stream.ended() {
        return Ok(());
    }
    Err(DecodeError::Cut { found_seconds: feed.seconds() })
}

fn drain(stream: &mut VorbisStream, feed: &mut StereoFeed<'_>) -> Result<(), DecodeError> {
    loop {
        // The samples are copied out so that the stream can be asked for the
        // format, which is known once there is a chunk.
        let chunk = stream.next_chunk().map(|chunk| chunk.map(|chunk| chunk.samples.to_vec()));
        match chunk {
            Ok(Some(samples)) => {
                set_format(stream, feed)?;
                feed.push(&samples)?;
            }
            Ok(None) => return set_format(stream, feed),
            // Junk after the end is not ours to judge.
            Err(VorbisError::Page(PageError::Capture)) if stream.ended() => return Ok(()),
            Err(error) => {
                let (at_seconds, reason) = (feed.seconds(), error.to_string());
                return Err(DecodeError::Damaged { at_seconds, reason });
            }
        }
    }
}

fn set_format(stream: &VorbisStream, feed: &mut StereoFeed<'_>) -> Result<(), DecodeError> {
    let Some(decoder) = stream.decoder() else { return Ok(()) };
    feed.set_format(decoder.identification().rate, decoder.channels())
}

/// Which part of the whole, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a figure for a progress bar")]
pub(crate) fn share(part: u64, whole: u64) -> f32 {
    (part as f32 / whole.max(1) as f32).min(1.0)
}
