use std::time::Duration;

use antiphon_types::Timestamp;

/// How much may be uploaded in a burst at a capped rate: a tenth of a second of it,
/// but no less than two blocks.
const BURST: Duration = Duration::from_millis(100);
const BURST_LEAST: u128 = 32 * 1_024;
const MILLION: u128 = 1_000_000;

/// What a listener gives at most. Without any cap, whatever is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caps {
    /// Bytes per second.
    pub rate: Option<u64>,
    /// Bytes in a day of the calendar.
    pub per_day: Option<u64>,
    /// Bytes in a month of the calendar.
    pub per_month: Option<u64>,
    /// Only from one minute of the day to another, the second excluded; past
    /// midnight if the second is the smaller. Equal ones are the whole day.
    pub hours: Option<(u16, u16)>,
}

/// What the listener's calendar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Grows by one each day.
    pub day: u32,
    /// Grows by one each month.
    pub month: u32,
    /// Minutes since midnight, 0 to 1439.
    pub minute: u16,
}

/// What was given, to be kept from one session to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// As of when.
    pub date: Date,
    /// Bytes on that day.
    pub day_bytes: u64,
    /// Bytes in that month.
    pub month_bytes: u64,
}

/// Whether a listener may give more now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// It is counted as given.
    Now,
    /// The rate is capped: ask again after this long.
    After(Duration),
    /// Not today, not this month, or not at this hour.
    No,
}

/// Holds uploads to [`Caps`].
///
/// Of the calendar it knows what [`Allowance::handle_date`] tells it, which the
/// owner calls every minute or so.
///
/// ```
/// use std::time::Duration;
/// use antiphon_mesh::{Allowance, Allowed, Caps, Date, Given};
/// use antiphon_types::Timestamp;
///
/// let date = Date { day: 20_000, month: 300, minute: 600 };
/// let given = Given { date, day_bytes: 0, month_bytes: 0 };
/// let caps = Caps { rate: Some(100_000), per_day: Some(50_000), ..Caps::default() };
/// let mut allowance = Allowance::new(caps, given, Timestamp::ZERO);
///
/// let now = Timestamp::ZERO;
/// assert_eq!(allowance.take(now, 32_768), Allowed::Now);
/// assert_eq!(allowance.take(now, 10_000), Allowed::After(Duration::from_millis(100)));
/// let now = Timestamp::from_millis(100);
/// assert_eq!(allowance.take(now, 10_000), Allowed::Now);
/// assert_eq!(allowance.take(Timestamp::from_millis(9_000), 10_000), Allowed::No, "enough for a day");
/// allowance.handle_date(Date { day: 20_001, ..date });
/// assert_eq!(allowance.take(Timestamp::from_millis(9_000), 10_000), Allowed::Now);
/// ```
#[derive(Debug, Clone)]
pub struct Allowance {
    caps: Caps,
    given: Given,
    /// What may go now, in millionths of a byte: no rate is lost in rounding.
    level: u128,
    at: Timestamp,
}

impl Allowance {
    /// Goes on from what was given before.
    pub fn new(caps: Caps, given: Given, now: Timestamp) -> Self {
        let mut new = Self { caps, given, level: 0, at: now };
        new.level = new.burst();
        new
    }

    /// Other caps from now on; what was given stays counted.
    pub fn set_caps(&mut self, caps: Caps) {
        self.caps = caps;
        self.level = self.level.min(self.burst());
    }

    /// The caps that hold now.
    pub const fn caps(&self) -> &Caps {
        &self.caps
    }

    /// What the calendar says now.
    pub fn handle_date(&mut self, date: Date) {
        if date.day != self.given.date.day {
            self.given.day_bytes = 0;
        }
        if date.month != self.given.date.month {
            self.given.month_bytes = 0;
        }
        self.given.date = date;
    }

    /// Whether anything may be given today at this hour.
    pub fn is_open(&self) -> bool {
        let below = |given: u64, cap: Option<u64>| cap.is_none_or(|cap| given < cap);
        below(self.given.day_bytes, self.caps.per_day)
            && below(self.given.month_bytes, self.caps.per_month)
            && self.is_within_hours()
    }

    /// Asks to give so many bytes.
    pub fn take(&mut self, now: Timestamp, bytes: u32) -> Allowed {
        let bytes = u64::from(bytes);
        let fits =
            |given: u64, cap: Option<u64>| cap.is_none_or(|cap| given.saturating_add(bytes) <= cap);
        if !fits(self.given.day_bytes, self.caps.per_day)
            || !fits(self.given.month_bytes, self.caps.per_month)
            || !self.is_within_hours()
        {
            return Allowed::No;
        }
        if let Some(wait) = self.wait_for(now, bytes) {
            return Allowed::After(wait);
        }
        self.given.day_bytes = self.given.day_bytes.saturating_add(bytes);
        self.given.month_bytes = self.given.month_bytes.saturating_add(bytes);
        Allowed::Now
    }

    /// What was given, to be kept.
    pub fn given(&self) -> Given {
        self.given
    }

    /// Takes from the bucket, or says how long that has to wait.
    fn wait_for(&mut self, now: Timestamp, bytes: u64) -> Option<Duration> {
        let rate = u128::from(self.caps.rate?.max(1));
        let passed = u128::from(now.as_micros().saturating_sub(self.at.as_micros()));
        self.level = self.level.saturating_add(passed * rate).min(self.burst());
        self.at = self.at.max(now);
        // What is larger than the bucket goes when the bucket is full.
        let needed = (u128::from(bytes) * MILLION).min(self.burst());
        if self.level >= needed {
            self.level -= needed;
            return None;
        }
        let micros = (needed - self.level).div_ceil(rate);
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    fn burst(&self) -> u128 {
        let burst = self.caps.rate.map_or(0, |rate| u128::from(rate) * BURST.as_micros());
        burst.max(BURST_LEAST * MILLION)
    }

    fn is_within_hours(&self) -> bool {
        let minute = self.given.date.minute;
        match self.caps.hours {
            None => true,
            Some((from, to)) if from == to => true,
            Some((from, to)) if from < to => from <= minute && minute < to,
            Some((from, to)) => from <= minute || minute < to,
        }
    }
}
