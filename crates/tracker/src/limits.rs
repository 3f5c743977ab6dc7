//! What strangers can make grow, and how far.

/// Bounds of a tracker. Every quantity that peers can make grow is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Peers connected at once. Default 1,000,000: at about 200 bytes each, and
    /// where it is reached, what one machine can hold sessions for.
    pub peers: usize,
    /// Holders kept for a blob, the most recent. Default 20: the published
    /// figure (B32), twice what an answer names. One public address makes no more than
    /// half of those leave who are of others.
    pub holders_per_blob: usize,
    /// Blobs that one peer may have in the index. Default 4096: a full cache
    /// of 10 GB holds about 2,400 tracks of 3.5 minutes at 160 kbit/s. It
    /// bounds what one identity can fill with invented names.
    pub blobs_per_peer: usize,
    /// Announcements in all. Default 20,000,000: a catalogue of a million
    /// tracks with full swarms. An entry takes about 65 bytes, its share of peer
    /// and blob included, so that is 1.3 GB.
    pub entries: usize,
    /// Peers named in an answer. Default 10 (B32): more would be addresses
    /// given away for nothing.
    pub answer: usize,
    /// Local addresses of a peer that are looked at, the first ones given.
    /// Default 8: as many as a client may tell. They cost memory and every
    /// comparison looks at all.
    pub local_addresses: usize,
    /// Length of [`Place::contact`](crate::Place::contact), in bytes. Default
    /// 512: eight addresses of each transport and what says which server to ask.
    pub contact_bytes: usize,
    /// Holders that a blob must have before any is named; below that, nobody
    /// is. Default 1. An operator raises it where being named as one of few
    /// would tell too much; above [`holders_per_blob`](Self::holders_per_blob)
    /// nobody is ever named.
    pub smallest_swarm: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peers: 1_000_000,
            holders_per_blob: 20,
            blobs_per_peer: 4096,
            entries: 20_000_000,
            answer: 10,
            local_addresses: 8,
            contact_bytes: 512,
            smallest_swarm: 1,
        }
    }
}
