//! The audio side of Antiphon: what becomes of a music file at ingest, and of
//! a rendition's bytes when it is played. No network, no store, no clock.
//!
//! Read [`Encoded`] and [`StreamDecoder`] first. [`encode_file`] writes a
//! rendition of every bitrate of whatever a user has: decoded, brought to
//! 44.1 kHz and to a common loudness, encoded, and laid out in pages so that
//! sound starts early and decoding can begin exactly at every 10 s; [`encode`]
//! does the last two in memory. A
//! `StreamDecoder` takes its bytes as they arrive and yields samples that have
//! an exact place in the track.
//!
//! A player follows a listener about: she seeks, the network asks for another
//! bitrate, the next track begins. A [`PartDecoder`] decodes from any sample to
//! any other and says which bytes that takes; a [`Splicer`] joins such parts,
//! out of one rendition or several, of one track or two; a [`GainRamp`] makes
//! them louder or quieter, on top of the gain that ingest gave them.
//!
//! Left to others: where files and blobs are kept, names and proofs of blobs,
//! who gets keys, when to fetch what, and the pace of playing.
//!
//! ```
//! use antiphon_media::{Bitrate, RenditionKey, StreamDecoder, apply_keystream, encode, synth};
//!
//! let music = synth::synthesise(7, 12);
//! let encoded = encode(&music, Bitrate::Kbps160)?;
//! assert_eq!(encoded.samples, 12 * 44_100);
//!
//! // The server keeps ciphertext, under a key that follows from the plaintext.
//! let key = RenditionKey::derive(&[1; 32], &[2; 32]);
//! let mut blob = encoded.bytes.clone();
//! apply_keystream(&key, 0, &mut blob)?;
//!
//! // A listener decrypts and decodes block by block as they come.
//! let mut decoder = StreamDecoder::new();
//! let mut samples: u64 = 0;
//! for (index, block) in blob.chunks_mut(16 * 1024).enumerate() {
//!     apply_keystream(&key, index as u64 * 16 * 1024, block)?;
//!     decoder.push(block);
//!     while let Some(chunk) = decoder.next_chunk()? {
//!         assert_eq!(chunk.first_sample, samples);
//!         samples += chunk.samples.len() as u64 / 2;
//!     }
//! }
//! decoder.finish()?;
//! assert_eq!(samples, encoded.samples);
//!
//! // A seek begins at a segment, exact from its first sample on.
//! let segment = encoded.segments[1];
//! let headers = &encoded.bytes[..encoded.header_bytes as usize];
//! let mut decoder = StreamDecoder::resume_at(headers, segment)?;
//! decoder.push(&encoded.bytes[segment.offset as usize..]);
//! assert_eq!(decoder.next_chunk()?.map(|chunk| chunk.first_sample), Some(segment.sample));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From 4.2 s on, at 320 kbit/s after 10 s, quieter by 6 dB:
//!
//! ```
//! use antiphon_media::{Bitrate, Entry, GainRamp, Join, PartDecoder, PartSpan, Splicer};
//! use antiphon_media::{encode, extend_i16, gain_factor, synth};
//! use antiphon_types::{BLOCK_BYTES, BlobId};
//!
//! let music = synth::synthesise(7, 12);
//! let parts = [
//!     (encode(&music, Bitrate::Kbps96)?, PartSpan::new(185_220, 441_000), Entry::Guess),
//!     (encode(&music, Bitrate::Kbps320)?, PartSpan::new(441_000, u64::MAX), Entry::Segment),
//! ];
//! let (mut splicer, mut gain) = (Splicer::new(), GainRamp::new(gain_factor(Some(-6.0))));
//! let (mut samples, mut sound) = (Vec::new(), Vec::new());
//! for (encoded, span, entry) in parts {
//!     let rendition = encoded.rendition(BlobId::new([3; 32]))?;
//!     let mut part = PartDecoder::new(rendition, span.with_splice_tail(), entry);
//!     splicer.begin(Join::Splice);
//!     while let Some(wanted) = part.wanted() {
//!         // Whichever block it is: here it is there already.
//!         let block = (wanted.start / u64::from(BLOCK_BYTES)) as usize;
//!         let bytes = encoded.bytes.chunks(BLOCK_BYTES as usize).nth(block).unwrap_or_default();
//!         part.push(block as u64 * u64::from(BLOCK_BYTES), bytes)?;
//!         while let Some(chunk) = part.next_chunk()? {
//!             samples.clear();
//!             splicer.push(&chunk, &mut samples)?;
//!             gain.apply(&mut samples);
//!             extend_i16(&mut sound, &samples);
//!         }
//!     }
//! }
//! assert_eq!(sound.len() as u64 / 2, 12 * 44_100 - 185_220);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cipher;
mod crossfade;
mod decode;
mod encode;
mod gain;
mod ingest;
mod layout;
mod loudness;
mod part;
mod pcm;
mod player;
mod resample;
mod seek;
mod sink;
mod splice;
mod spool;
pub mod synth;
mod tags;
mod vorbis;

pub use antiphon_types::{Bitrate, Segment};

pub use cipher::{KeystreamError, RenditionKey, apply_keystream};
pub use decode::{DecodeError, DecodeLimits, Pcm, decode_file};
pub use encode::{EncodeError, Encoded, Rendered, encode};
pub use gain::{
    GAIN_RAMP_SAMPLES, GainRamp, Normalise, ParseVolumeError, TrackLevel, Volume, gain_factor,
    playback_gain_db,
};
pub use ingest::{EncodedTrack, IngestError, Source, encode_file};
pub use layout::LayoutError;
pub use loudness::{
    Loudness, LoudnessError, PEAK_CEILING_DBTP, SILENCE_LUFS, TARGET_LUFS, measure,
};
pub use part::{Entry, PartChunk, PartDecoder, PartSpan, SPLICE_TAIL_BYTES};
pub use pcm::{PcmHasher, extend_i16, to_i16};
pub use player::{StreamDecoder, StreamError};
pub use resample::{ResampleError, resampled_length, to_44100};
pub use seek::start_offset_guess;
pub use sink::{RawPcmWriter, Sink, WAV_HEADER_BYTES, WavWriter};
pub use splice::{Join, MAX_CROSSFADE_SAMPLES, SPLICE_FADE_SAMPLES, SpliceError, Spliced, Splicer};
pub use tags::{Cover, MAX_COVER_BYTES, MAX_TEXT_BYTES, Tags, clean_text, read as read_tags};
pub use vorbis::{DecodedChunk, PageError, VorbisError};
