//! Everything that symphonia recognises.

use std::fs::File;
use std::io::ErrorKind;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{
    FORMAT_ID_FLAC, FORMAT_ID_ISOMP4, FORMAT_ID_MP3, FORMAT_ID_WAVE,
};
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::ogg_vorbis::share;
use super::stereo::seconds;
use super::{DecodeError, StereoFeed, trim};

/// Samples that a lossy file may lack of its stated length: encoders count
/// their own delay differently.
const LOSSY_SLACK: u64 = 2 * 1152;

/// The track that is decoded, as its container describes it.
struct Stated {
    id: u32,
    parameters: AudioCodecParameters,
    /// Samples of one channel, where the container knows (and does not guess).
    frames: Option<u64>,
    /// How many of them may be missing.
    slack: u64,
}

pub(crate) fn decode(
    file: &File,
    ending: Option<&str>,
    head: &[u8],
    feed: &mut StereoFeed<'_>,
    progress: &dyn Fn(f32),
) -> Result<(), DecodeError> {
    let edit = trim::mp4_edit(file);
    let mp3_states_length = trim::mp3_states_length(file);
    let mut reader = open(file, ending, head)?;
    let stated = describe(reader.as_ref(), mp3_states_length)?;
    let channels = stated.parameters.channels.as_ref().map(|channels| channels.count());
    feed.check(stated.parameters.sample_rate, channels)?;
    if let (Some(frames), Some(rate)) = (stated.frames, stated.parameters.sample_rate) {
        feed.check_length(frames, rate)?;
    }
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(&stated.parameters, &AudioDecoderOptions::default())
        .map_err(|error| DecodeError::UnsupportedCodec(error.to_string()))?;
    if let Some(edit) = edit {
        let (start, length) = edit.in_samples(stated.parameters.sample_rate.unwrap_or(0));
        feed.trim(start, length);
    }
    decode_packets(reader.as_mut(), decoder.as_mut(), &stated, feed, progress)?;
    check_complete(&stated, feed)
}

/// Finds out the container.
fn open(
    file: &File,
    ending: Option<&str>,
    head: &[u8],
) -> Result<Box<dyn FormatReader>, DecodeError> {
    let mut hint = Hint::new();
    if let Some(ending) = ending {
        hint.with_extension(ending);
    }
    let own = file.try_clone().map_err(DecodeError::Read)?;
    let source = MediaSourceStream::new(Box::new(own), MediaSourceStreamOptions::default());
    let probed = symphonia::default::get_probe().probe(
        &hint,
        source,
        FormatOptions::default(),
        MetadataOptions::default(),
    );
    probed.map_err(|error| {
        if is_mp4(head) && trim::mp4_lacks_index(file) {
            DecodeError::Cut { found_seconds: 0.0 }
        } else if is_mp4(head) || is_known_container(head) {
            // A known container whose inside cannot be read is damaged.
            damaged(&error, 0.0)
        } else {
            DecodeError::NotAudio
        }
    })
}

fn is_mp4(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp")
}

fn is_known_container(head: &[u8]) -> bool {
    let starts = [&b"fLaC"[..], b"OggS", b"RIFF", b"RF64", b"ID3"];
    starts.iter().any(|start| head.starts_with(start))
}

/// Chooses the track and learns what the container says of it.
fn describe(reader: &dyn FormatReader, mp3_states_length: bool) -> Result<Stated, DecodeError> {
    let track = reader.default_track(TrackType::Audio).ok_or(DecodeError::NoAudioTrack)?;
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
        return Err(DecodeError::NoAudioTrack);
    };
    let format = reader.format_info().format;
    // MPEG streams without a Xing or VBRI header, and raw AAC, state no
    // length: symphonia guesses one from the file's size.
    let (certain, slack) = match format {
        FORMAT_ID_FLAC | FORMAT_ID_WAVE => (true, 0),
        FORMAT_ID_MP3 => (mp3_states_length, LOSSY_SLACK),
        FORMAT_ID_ISOMP4 => (true, LOSSY_SLACK),
        _ => (false, LOSSY_SLACK),
    };
    let frames = track.num_frames.filter(|frames| certain && *frames > 0);
    // Writers to a pipe leave the largest length there is.
    let frames =
        frames.filter(|_| format != FORMAT_ID_WAVE || !is_open_ended(parameters, track.num_frames));
    Ok(Stated { id: track.id, parameters: parameters.clone(), frames, slack })
}

/// Whether a WAV's length is that of a writer which did not know it.
fn is_open_ended(parameters: &AudioCodecParameters, frames: Option<u64>) -> bool {
    let bytes =
        u64::from(parameters.bits_per_coded_sample.or(parameters.bits_per_sample).unwrap_or(16))
            / 8;
    let channels = parameters.channels.as_ref().map_or(1, |channels| channels.count()) as u64;
    let frame_bytes = (bytes * channels).max(1);
    frames.is_some_and(|frames| frames >= u64::from(u32::MAX - 4096) / frame_bytes)
}

fn decode_packets(
    reader: &mut dyn FormatReader,
    decoder: &mut dyn AudioDecoder,
    stated: &Stated,
    feed: &mut StereoFeed<'_>,
    progress: &dyn Fn(f32),
) -> Result<(), DecodeError> {
    let mut samples = Vec::new();
    let mut first = true;
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(()),
            Err(Error::ResetRequired) => return Err(DecodeError::FormatChange),
            Err(error) => return Err(damaged(&error, feed.seconds())),
        };
        if packet.track_id != stated.id {
            continue;
        }
        match decoder.decode(&packet) {
            Ok(decoded) => {
                feed.set_format(decoded.spec().rate(), decoded.spec().channels())?;
                decoded.copy_to_vec_interleaved(&mut samples);
                feed.push(&samples)?;
            }
            // A recording cut out of a longer MP3 may begin with a frame that
            // needs the one before it.
            Err(Error::DecodeError(_)) if first => {}
            Err(error) => return Err(damaged(&error, feed.seconds())),
        }
        first = false;
        if let Some(frames) = stated.frames {
            progress(share(feed.frames(), frames));
        }
    }
}

/// Refuses a track that is shorter than its container says.
fn check_complete(stated: &Stated, feed: &StereoFeed<'_>) -> Result<(), DecodeError> {
    let (Some(frames), found) = (stated.frames, feed.frames()) else { return Ok(()) };
    if found.saturating_add(stated.slack) >= frames {
        return Ok(());
    }
    let rate = stated.parameters.sample_rate.unwrap_or(0);
    Err(DecodeError::Truncated {
        found_seconds: seconds(found, rate),
        stated_seconds: seconds(frames, rate),
    })
}

fn damaged(error: &Error, at_seconds: f64) -> DecodeError {
    match error {
        Error::IoError(io) if io.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Cut { found_seconds: at_seconds }
        }
        Error::Unsupported(what) => DecodeError::UnsupportedCodec((*what).to_owned()),
        error => DecodeError::Damaged { at_seconds, reason: error.to_string() },
    }
}
