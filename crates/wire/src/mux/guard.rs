//! Buckets that tell use from abuse.

use antiphon_types::Timestamp;

use super::ConnectionError;
use super::background::BYTES_PER_MARKER;
use crate::limits::{Limits, Rate};

/// Payload that we send for each credit frame that the other side may send.
/// A receiver owes at least a quarter of a window, so it needs far fewer.
const SENT_BYTES_PER_CREDIT_FRAME: u64 = 8 * 1024;

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// Millionths of a token, so that microseconds count without rounding.
    level: u64,
    at: Timestamp,
}

impl Bucket {
    const TOKEN: u64 = 1_000_000;

    fn new(rate: Rate, now: Timestamp) -> Self {
        Self { rate, level: u64::from(rate.burst) * Self::TOKEN, at: now }
    }

    fn take(&mut self, now: Timestamp, error: ConnectionError) -> Result<(), ConnectionError> {
        let elapsed = now.as_micros().saturating_sub(self.at.as_micros());
        let refill = elapsed.saturating_mul(u64::from(self.rate.per_second));
        let full = u64::from(self.rate.burst) * Self::TOKEN;
        self.level = self.level.saturating_add(refill).min(full);
        self.at = self.at.max(now);
        self.level = self.level.checked_sub(Self::TOKEN).ok_or(error)?;
        Ok(())
    }
}

/// Pings that data has explained and that have not come. The markers of one
/// window, sixteen, may all stand behind the last of its data.
const MAX_EXPLAINED_PINGS: u64 = 64;

/// All buckets of one connection.
#[derive(Debug)]
pub(super) struct Guard {
    opens: Bucket,
    resets: Bucket,
    empty_frames: Bucket,
    pings: Bucket,
    /// Data that explains pings beyond their rate.
    marked_bytes: u64,
    class_changes: Bucket,
    credit_frames: u64,
    sent_bytes: u64,
    /// Bytes that the other side may have sent on streams before it heard of
    /// our resets.
    late_bytes: u64,
}

impl Guard {
    pub(super) fn new(limits: &Limits, now: Timestamp) -> Self {
        Self {
            opens: Bucket::new(limits.opens, now),
            resets: Bucket::new(limits.resets, now),
            empty_frames: Bucket::new(limits.empty_frames, now),
            pings: Bucket::new(limits.pings, now),
            marked_bytes: 0,
            class_changes: Bucket::new(limits.class_changes, now),
            credit_frames: u64::from(limits.spare_credit_frames),
            sent_bytes: 0,
            late_bytes: 0,
        }
    }

    pub(super) fn open(&mut self, now: Timestamp) -> Result<(), ConnectionError> {
        self.credit_frames = self.credit_frames.saturating_add(1);
        self.opens.take(now, ConnectionError::OpensTooFast)
    }

    pub(super) fn reset(&mut self, now: Timestamp) -> Result<(), ConnectionError> {
        self.resets.take(now, ConnectionError::ResetsTooFast)
    }

    pub(super) fn empty_frame(&mut self, now: Timestamp) -> Result<(), ConnectionError> {
        self.empty_frames.take(now, ConnectionError::EmptyFramesTooFast)
    }

    /// Data came, behind which a ping may stand.
    pub(super) fn data(&mut self, payload_bytes: usize) {
        let most = MAX_EXPLAINED_PINGS * BYTES_PER_MARKER;
        self.marked_bytes = most.min(self.marked_bytes + payload_bytes as u64);
    }

    pub(super) fn ping(&mut self, now: Timestamp) -> Result<(), ConnectionError> {
        match self.marked_bytes.checked_sub(BYTES_PER_MARKER) {
            Some(left) => {
                self.marked_bytes = left;
                Ok(())
            }
            None => self.pings.take(now, ConnectionError::PingsTooFast),
        }
    }

    pub(super) fn class_change(&mut self, now: Timestamp) -> Result<(), ConnectionError> {
        self.class_changes.take(now, ConnectionError::ClassChangesTooFast)
    }

    pub(super) fn credit_frame(&mut self) -> Result<(), ConnectionError> {
        self.credit_frames =
            self.credit_frames.checked_sub(1).ok_or(ConnectionError::CreditTooOften)?;
        Ok(())
    }

    /// This side opened a stream, for which a window may be announced.
    pub(super) fn opened(&mut self) {
        self.credit_frames = self.credit_frames.saturating_add(1);
    }

    /// This side sent data, which explains credit frames.
    pub(super) fn sent(&mut self, payload_bytes: usize) {
        self.sent_bytes += payload_bytes as u64;
        self.credit_frames =
            self.credit_frames.saturating_add(self.sent_bytes / SENT_BYTES_PER_CREDIT_FRAME);
        self.sent_bytes %= SENT_BYTES_PER_CREDIT_FRAME;
    }

    /// This side reset a stream on which `bytes` may still come.
    pub(super) fn expect_late(&mut self, bytes: u64) {
        self.late_bytes = self.late_bytes.saturating_add(bytes);
    }

    /// Data of a stream that is gone; false if it cannot be late.
    #[must_use]
    pub(super) fn late(&mut self, bytes: u64) -> bool {
        let left = self.late_bytes.checked_sub(bytes);
        self.late_bytes = left.unwrap_or(self.late_bytes);
        left.is_some()
    }
}
