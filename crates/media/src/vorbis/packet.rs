//! One Vorbis packet to samples.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::CODEC_ID_VORBIS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use symphonia::default::codecs::VorbisDecoder;

use super::VorbisError;

/// The fields of an identification header that we use (Vorbis I section 4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identification {
    pub channels: u8,
    pub rate: u32,
    /// Samples of a short and of a long block, windows included.
    pub block_samples: [u32; 2],
}

impl Identification {
    /// Reads the header packet.
    pub(crate) fn parse(packet: &[u8]) -> Result<Self, VorbisError> {
        let refuse = VorbisError::Header("identification");
        let fields: &[u8; 30] = packet.first_chunk().ok_or(refuse)?;
        if !is_header(packet, 1) || fields[7..11] != [0; 4] || fields[29] & 1 == 0 {
            return Err(refuse);
        }
        let rate = u32::from_le_bytes([fields[12], fields[13], fields[14], fields[15]]);
        let (short, long) = (fields[28] & 15, fields[28] >> 4);
        if fields[11] == 0
            || rate == 0
            || !(6..=13).contains(&short)
            || !(short..=13).contains(&long)
        {
            return Err(refuse);
        }
        Ok(Self { channels: fields[11], rate, block_samples: [1 << short, 1 << long] })
    }
}

/// Whether a packet is the Vorbis header of that kind: 1 identification,
/// 3 comment, 5 setup.
pub(crate) fn is_header(packet: &[u8], kind: u8) -> bool {
    packet.first() == Some(&kind) && packet.get(1..7) == Some(b"vorbis")
}

/// Decodes packets in order. The first one primes the overlap and yields
/// nothing (Vorbis I section 4.3.8).
pub(crate) struct PacketDecoder {
    identification: Identification,
    decoder: VorbisDecoder,
    channels: Channels,
    samples: Vec<f32>,
    /// A decoder that panicked is in no known state and is not asked again.
    broken: bool,
}

impl PacketDecoder {
    /// Builds the decoder from the first and third header packet.
    pub(crate) fn new(identification: &[u8], setup: &[u8]) -> Result<Self, VorbisError> {
        let parsed = Identification::parse(identification)?;
        if !is_header(setup, 5) {
            return Err(VorbisError::Header("setup"));
        }
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(CODEC_ID_VORBIS)
            .with_extra_data([identification, setup].concat().into_boxed_slice());
        let build = || VorbisDecoder::try_new(&parameters, &AudioDecoderOptions::default());
        let decoder = catch_unwind(AssertUnwindSafe(build))
            .map_err(|_| VorbisError::Header("setup"))?
            .map_err(|_| VorbisError::Header("setup"))?;
        let channels = decoder.last_decoded().spec().channels().clone();
        Ok(Self { identification: parsed, decoder, channels, samples: Vec::new(), broken: false })
    }

    /// What the identification header said.
    pub(crate) fn identification(&self) -> Identification {
        self.identification
    }

    /// Which loudspeakers the channels are for.
    pub(crate) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Forgets the packet before: the next one primes the overlap.
    pub(crate) fn reset(&mut self) {
        self.decoder.reset();
    }

    /// Decodes one packet and appends its samples, interleaved.
    pub(crate) fn decode(&mut self, packet: &[u8], out: &mut Vec<f32>) -> Result<(), VorbisError> {
        if self.broken {
            return Err(VorbisError::Packet);
        }
        let (decoder, samples) = (&mut self.decoder, &mut self.samples);
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, packet);
        let decode = || -> Result<(), Error> {
            decoder.decode_ref(&packet)?.copy_to_vec_interleaved(samples);
            Ok(())
        };
        if !matches!(catch_unwind(AssertUnwindSafe(decode)), Ok(Ok(()))) {
            self.broken = true;
            return Err(VorbisError::Packet);
        }
        out.extend_from_slice(&self.samples);
        Ok(())
    }
}
