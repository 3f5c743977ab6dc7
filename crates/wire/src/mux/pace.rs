//! How large the next record may be.

use antiphon_types::Timestamp;

use crate::limits::Limits;

/// Small records at the start of a burst, large ones in its course.
///
/// A record can be used only when its last byte is there. At the start of a
/// burst that would cost the listener whole round trips; later it costs
/// nothing, and large records are cheaper to encrypt.
#[derive(Debug, Default)]
pub(super) struct Pace {
    burst_bytes: u64,
    last_data: Option<Timestamp>,
}

impl Pace {
    /// Whether a record that leaves now is one of the first of a burst.
    pub(super) fn begins(&mut self, limits: &Limits, now: Timestamp) -> bool {
        let idle = self
            .last_data
            .is_none_or(|last| now.saturating_since(last) >= limits.idle_before_small);
        if idle {
            self.burst_bytes = 0;
        }
        self.burst_bytes < limits.small_record_burst_bytes
    }

    /// A record with that much data left.
    pub(super) fn sent(&mut self, now: Timestamp, data_bytes: usize) {
        if data_bytes > 0 {
            self.burst_bytes = self.burst_bytes.saturating_add(data_bytes as u64);
            self.last_data = Some(now);
        }
    }
}
