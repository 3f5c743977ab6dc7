use std::time::Duration;

/// The numbers by which a [`Playout`](crate::Playout) judges.
///
/// Durations that end in `_media` are media time, those that end in `_wall`
/// pass on the clock whatever the speed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Less than this ahead of the position is an emergency. Default 3 s (B07).
    pub emergency_media: Duration,
    /// What comes after the reserve but is still near. Default 15 s (B06): the
    /// farthest that a server is asked ahead while peers serve.
    pub soon_media: Duration,
    /// Audio bytes that must be there beyond the headers before play can start.
    /// Default 1: sound starts as soon as the decoder has its first packet.
    pub start_bytes: u64,
    /// How much sooner than its sample is heard a block is due. Default 500 ms:
    /// between the ends of a segment the map from time to bytes is a straight
    /// line, and music is not; and a decoder wants whole Ogg pages.
    pub decode_ahead_media: Duration,
    /// The same for what does not shrink with speed: scheduling, decryption,
    /// the sink's own buffer. Default 100 ms.
    pub decode_ahead_wall: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            emergency_media: Duration::from_secs(3),
            soon_media: Duration::from_secs(15),
            start_bytes: 1,
            decode_ahead_media: Duration::from_millis(500),
            decode_ahead_wall: Duration::from_millis(100),
        }
    }
}
