use antiphon_types::Timestamp;

/// One token.
const TOKEN: u64 = 1_000_000;

/// So many at once, and so many a second after that.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// In millionths of a token.
    level: u64,
    at: Timestamp,
}

impl Bucket {
    /// A full one.
    pub(crate) fn full(now: Timestamp, burst: u32) -> Self {
        Self { level: u64::from(burst) * TOKEN, at: now }
    }

    /// Takes a token; false if there is none.
    pub(crate) fn take(&mut self, now: Timestamp, burst: u32, per_second: u32) -> bool {
        let passed = now.as_micros().saturating_sub(self.at.as_micros());
        let filled = self.level.saturating_add(passed.saturating_mul(u64::from(per_second)));
        self.level = filled.min(u64::from(burst) * TOKEN);
        self.at = self.at.max(now);
        let there = self.level >= TOKEN;
        self.level = if there { self.level - TOKEN } else { self.level };
        there
    }
}
