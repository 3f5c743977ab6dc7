//! Why a file is not ingested, in words for whoever owns it.

/// Why a file cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Read(#[source] std::io::Error),
    /// It is a folder, a pipe or a device.
    #[error("this is not a regular file")]
    NotAFile,
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// It is larger than allowed.
    #[error("the file has {bytes} bytes, more than the {limit} that are allowed")]
    FileTooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Its content is of no format that we know.
    #[error(
        "this is not audio, or of a format that is not supported (FLAC, MP3, AAC/M4A, Ogg Vorbis and WAV are)"
    )]
    NotAudio,
    /// It is a known container without any audio.
    #[error("the file holds no audio track")]
    NoAudioTrack,
    /// Its codec is not supported.
    #[error("the audio codec is not supported: {0}")]
    UnsupportedCodec(String),
    /// It ends before the length that it states.
    #[error("the file is truncated: it ends after {found_seconds:.1} s of {stated_seconds:.1} s")]
    Truncated {
        /// Seconds that are there.
        found_seconds: f64,
        /// Seconds that should be there.
        stated_seconds: f64,
    },
    /// It ends in the middle of its data.
    #[error("the file is truncated: its data ends abruptly after {found_seconds:.1} s")]
    Cut {
        /// Seconds that are there.
        found_seconds: f64,
    },
    /// Its data is damaged.
    #[error("the file is damaged after {at_seconds:.1} s: {reason}")]
    Damaged {
        /// Seconds that were decoded before.
        at_seconds: f64,
        /// What the decoder says.
        reason: String,
    },
    /// A decoder crashed on it.
    #[error("the file is malformed: it made the decoder fail")]
    Crashed,
    /// It is longer than allowed.
    #[error("the audio is longer than the {limit_seconds} s that a file of its size may have")]
    TooLong {
        /// The limit in seconds.
        limit_seconds: u32,
    },
    /// Its sample rate is out of bounds.
    #[error("a sample rate of {0} Hz is not supported")]
    Rate(u32),
    /// Its number of channels is out of bounds.
    #[error("{0} channels are not supported")]
    Channels(usize),
    /// Rate or channels change on the way.
    #[error("the audio changes its format on the way, which is not supported")]
    FormatChange,
    /// Whoever takes the samples wants no more.
    #[error("decoding was stopped")]
    Stopped,
    /// It decodes to nothing.
    #[error("the file holds no sound: its length is zero")]
    NoSamples,
}
