//! Every quantity that the other side can make grow, and its bound.

use std::time::Duration;

use crate::frame::{INITIAL_CONNECTION_CREDIT_BYTES, INITIAL_STREAM_CREDIT_BYTES};
use crate::record::MAX_PLAINTEXT_BYTES;

/// How often something may happen: a bucket of `burst` tokens, refilled at
/// `per_second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back in each second.
    pub per_second: u32,
    /// Tokens at the start, and at most.
    pub burst: u32,
}

/// The limits of one [`Mux`](crate::Mux).
///
/// With the defaults one connection holds at most 4 MiB, whatever the other
/// side does: 2 MiB received and not consumed, half a MiB more in buffers of
/// which only a part is used, 1 MiB (4 classes) written and not sent, one record
/// each way, and what it keeps by stream. See
/// [`Mux::memory_bytes`](crate::Mux::memory_bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Streams that the other side may have open at once; one more closes the
    /// connection. Default 128: a listener asks a few dozen things at once.
    /// (Both sides must hold the same idea of it, see `max_local_streams`.)
    pub max_remote_streams: u32,
    /// Streams that this side may have open at once. Default 128; never more
    /// than the other side's `max_remote_streams`.
    pub max_local_streams: u32,
    /// Streams that the other side opens per second. Default 2000, burst 4000:
    /// each costs an allocation and an event, and one core makes 100,000.
    pub opens: Rate,
    /// Streams that the other side resets per second. Default 200, burst 400:
    /// a skip cancels all streams of a track at once, but not ten times in a
    /// second (rapid reset, CVE-2023-44487).
    pub resets: Rate,
    /// Resets that wait to be sent. Default 512, twice all streams: more only
    /// wait if the other side provokes them and does not read (CVE-2025-8671).
    pub max_pending_resets: usize,
    /// Frames and records per second that carry nothing: data without bytes or
    /// end, unknown frames that may be ignored, leftovers of closed streams.
    /// Default 50, burst 500: cancels leave some behind (CVE-2019-9518).
    pub empty_frames: Rate,
    /// Pings per second beyond one for each KiB of data, which may be a marker
    /// (see `background_delay`). Default 5, burst 20: a keep-alive needs one in
    /// 15 s (CVE-2019-9512).
    pub pings: Rate,
    /// Changes of a stream's class per second. Default 100, burst 300: a skip
    /// promotes a few streams, each once.
    pub class_changes: Rate,
    /// Credit frames beyond what our own sending explains (one for each 8 KiB
    /// sent, one for each stream). Default 256: at the start of a connection
    /// few bytes have been sent (CVE-2019-9511).
    pub spare_credit_frames: u32,
    /// Bytes received and not consumed, per stream, when it opens. Default
    /// 256 KiB, which is also the least: 20 Mbit/s at 100 ms.
    pub stream_window_bytes: u32,
    /// The same, at most: the window of a stream doubles while its sender uses
    /// it up within three round trips. Default 1 MiB: 80 Mbit/s at 100 ms.
    pub max_stream_window_bytes: u32,
    /// Bytes received and not consumed, of all streams, at the start. Default
    /// 1 MiB, which is also the least.
    pub connection_window_bytes: u32,
    /// The same, at most: it grows as that of a stream. Default 2 MiB: one peer
    /// costs at most that, and half as much again for what else it makes us
    /// keep.
    pub max_connection_window_bytes: u32,
    /// Bytes written and not sent, per stream. Default 128 KiB: two full
    /// records, so that one is filled while the other leaves.
    pub stream_write_buffer_bytes: usize,
    /// Bytes written and not sent, of all streams of one class. Default
    /// 256 KiB: two streams that the other side does not read fill it, and more
    /// would only wait here for longer. Counted by class so that an offline copy that fills its share
    /// does not stop the writer of what plays now.
    pub class_write_buffer_bytes: usize,
    /// Bytes of more urgent classes after which a waiting class may send a block's
    /// worth, 16 KiB. Default 256 KiB: a starved class keeps about 6 % of the link, so
    /// that its requests end instead of timing out.
    pub starvation_bytes: u64,
    /// Delay that prefetch and offline copies may add to what is more urgent, by
    /// filling queues on the way; `None` holds nothing back. Default 20 ms:
    /// nobody hears that, and it keeps a link busy (RFC 6817 allows 100 ms). A
    /// path with a round trip below 80 ms gets a quarter of it, 4 ms at least.
    pub background_delay: Option<Duration>,
    /// What may be under way before those classes wait, at the start. Default
    /// 16 KiB: what TCP itself sends at once (RFC 6928).
    pub initial_background_bytes: u64,
    /// The same, at least. Default 4 KiB, 65 ms at 500 kbit/s: with less, the
    /// headers would count.
    pub min_background_bytes: u64,
    /// Silence after which a ping is sent. Default 15 s: below the 30 s after
    /// which the more impatient NATs forget a mapping.
    pub keep_alive: Duration,
    /// Silence after which the connection is dead, and time for the answer to a
    /// ping. Default 45 s: three pings.
    pub idle_timeout: Duration,
    /// Time without data after which records start small again. Default 1 s:
    /// by then a congestion window may have shrunk.
    pub idle_before_small: Duration,
    /// Plaintext of a small record, in bytes. Default 4 KiB: about three
    /// packets, so that a receiver can decrypt the first bytes at once.
    pub small_record_bytes: usize,
    /// Bytes of a burst that travel in small records. Default 64 KiB: about
    /// the congestion window after two round trips.
    pub small_record_burst_bytes: u64,
    /// First bytes of an urgent stream (control, now) that travel in small
    /// records even in the course of a burst. Default 20 KiB: a click's answer
    /// and its first block, of which a listener waits for the first byte.
    pub small_record_stream_bytes: u64,
    /// Round-trip time below which a small record holds a whole block. Default
    /// 3 ms: on most paths so short a block comes in one go, and four records
    /// cost more time than they save.
    pub small_record_min_rtt: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_remote_streams: 128,
            max_local_streams: 128,
            opens: Rate { per_second: 2_000, burst: 4_000 },
            resets: Rate { per_second: 200, burst: 400 },
            max_pending_resets: 512,
            empty_frames: Rate { per_second: 50, burst: 500 },
            pings: Rate { per_second: 5, burst: 20 },
            class_changes: Rate { per_second: 100, burst: 300 },
            spare_credit_frames: 256,
            stream_window_bytes: INITIAL_STREAM_CREDIT_BYTES,
            max_stream_window_bytes: 1024 * 1024,
            connection_window_bytes: INITIAL_CONNECTION_CREDIT_BYTES,
            max_connection_window_bytes: 2 * 1024 * 1024,
            stream_write_buffer_bytes: 128 * 1024,
            class_write_buffer_bytes: 256 * 1024,
            starvation_bytes: 256 * 1024,
            background_delay: Some(Duration::from_millis(20)),
            initial_background_bytes: 16 * 1024,
            min_background_bytes: 4 * 1024,
            keep_alive: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(45),
            idle_before_small: Duration::from_secs(1),
            small_record_bytes: 4 * 1024,
            small_record_burst_bytes: 64 * 1024,
            small_record_stream_bytes: 20 * 1024,
            small_record_min_rtt: Duration::from_millis(3),
        }
    }
}

impl Limits {
    /// The largest window: credit is counted in 32 bits with room to add.
    const MAX_WINDOW_BYTES: u32 = 1 << 30;
    /// The smallest record must hold the largest control frame and some data.
    const MIN_SMALL_RECORD_BYTES: usize = 1024;

    /// The same limits, each moved into the range in which the protocol works.
    pub(crate) fn clamped(self) -> Self {
        let mut limits = self;
        limits.stream_window_bytes =
            limits.stream_window_bytes.clamp(INITIAL_STREAM_CREDIT_BYTES, Self::MAX_WINDOW_BYTES);
        limits.connection_window_bytes = limits
            .connection_window_bytes
            .clamp(INITIAL_CONNECTION_CREDIT_BYTES, Self::MAX_WINDOW_BYTES);
        limits.max_stream_window_bytes = limits
            .max_stream_window_bytes
            .clamp(limits.stream_window_bytes, Self::MAX_WINDOW_BYTES);
        limits.max_connection_window_bytes = limits
            .max_connection_window_bytes
            .clamp(limits.connection_window_bytes, Self::MAX_WINDOW_BYTES);
        limits.small_record_bytes =
            limits.small_record_bytes.clamp(Self::MIN_SMALL_RECORD_BYTES, MAX_PLAINTEXT_BYTES);
        // A frame that is worth sending must fit, and nothing overflow.
        limits.min_background_bytes = limits.min_background_bytes.clamp(2 * 1024, 1 << 20);
        limits.initial_background_bytes =
            limits.initial_background_bytes.clamp(limits.min_background_bytes, 16 << 20);
        limits.stream_write_buffer_bytes = limits.stream_write_buffer_bytes.max(1);
        limits.class_write_buffer_bytes = limits.class_write_buffer_bytes.max(1);
        limits
    }
}
