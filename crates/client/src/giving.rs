//! How much is passed on to other listeners: caps, and what was given so far.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use antiphon_mesh::{Allowance, Allowed, Caps, Date, Given};
use antiphon_net::{Clock, wall_clock_ms};
use antiphon_types::Timestamp;

use crate::settings::{Upload, replace_file};

/// Given in a month where the listener said nothing else, in megabytes: a tenth of
/// what many providers call fair use.
const DEFAULT_MONTH_MB: u64 = 50_000;

/// What of the uplink is given at most where the listener said nothing else, in
/// percent. What goes out slower than the uplink bears does not queue in her router,
/// and what she sends herself finds the way free.
const UPLINK_PERCENT: u64 = 98;

/// The uplink is never taken for slower than this, in bytes per second.
const LEAST_UPLINK: u64 = 64_000;

/// Over how long the uplink is measured at a time.
const WINDOW: Duration = Duration::from_secs(1);

/// How often the cap is lifted for one window, to see whether the uplink bears more.
const PROBE_EVERY: u64 = 30;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Holds what is given to what may be given. Clones are one.
#[derive(Clone)]
pub(crate) struct Giving {
    clock: Clock,
    path: PathBuf,
    state: Arc<Mutex<State>>,
    /// Those who wait are served in the order in which they came: a block that was
    /// asked for first is needed first.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct State {
    allowance: Allowance,
    caps: Caps,
    /// Whether the rate is ours to find out.
    measures: bool,
    /// Nothing is given now, whatever the caps.
    closed: bool,
    uplink: Uplink,
}

/// How fast the uplink was seen to be. Only time counts in which something was being
/// sent throughout: what was asked for slowly says nothing of what could be given.
#[derive(Default)]
struct Uplink {
    /// How many are being sent to.
    sending: u32,
    window: Option<Timestamp>,
    /// Whether buffers on the way are full: what goes into them was not sent yet.
    warm: bool,
    bytes: u64,
    best: u64,
    /// Windows since the cap was lifted.
    windows: u64,
}

/// Something is being sent, for as long as this lives.
pub(crate) struct Sending(Arc<Mutex<State>>);

impl Drop for Sending {
    fn drop(&mut self) {
        let uplink = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).uplink;
        uplink.sending -= 1;
        if uplink.sending == 0 {
            (uplink.window, uplink.warm, uplink.bytes) = (None, false, 0);
        }
    }
}

impl Giving {
    /// Goes on from what the file says was given. One that cannot be read counts as
    /// nothing.
    pub(crate) fn open(path: PathBuf, upload: &Upload, clock: Clock) -> Self {
        let caps = Caps {
            rate: upload.kbit_s.map(|kbit| kbit.saturating_mul(1_000) / 8),
            per_day: upload.day_mb.map(megabytes),
            per_month: Some(megabytes(upload.month_mb.unwrap_or(DEFAULT_MONTH_MB))),
            hours: upload.hours.as_deref().and_then(parse_hours),
        };
        let given = fs::read_to_string(&path).ok().and_then(|text| parse_given(&text));
        let given = given.unwrap_or(Given { date: today(), day_bytes: 0, month_bytes: 0 });
        let mut allowance = Allowance::new(caps.clone(), given, clock.now());
        allowance.handle_date(today());
        let measures = caps.rate.is_none();
        let uplink = Uplink::default();
        let state = State { allowance, caps, measures, closed: false, uplink };
        Self { clock, path, state: Arc::new(Mutex::new(state)), turn: Arc::default() }
    }

    /// Whether anything may be given at this hour.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.lock();
        !state.closed && state.allowance.is_open()
    }

    /// Gives nothing any more, or goes on (a metered network).
    pub(crate) fn close(&self, closed: bool) {
        self.lock().closed = closed;
    }

    /// Tells that something is being sent from now on.
    pub(crate) fn begin(&self) -> Sending {
        self.lock().uplink.sending += 1;
        Sending(Arc::clone(&self.state))
    }

    /// Waits until so many bytes may be given; false if that will not be today.
    pub(crate) async fn take(&self, bytes: u32) -> bool {
        let _turn = self.turn.lock().await;
        loop {
            let allowed = {
                let mut state = self.lock();
                let now = self.clock.now();
                match state.closed {
                    true => Allowed::No,
                    false => state.take(now, bytes),
                }
            };
            match allowed {
                Allowed::Now => return true,
                Allowed::After(wait) => tokio::time::sleep(wait).await,
                Allowed::No => return false,
            }
        }
    }

    /// Looks at the calendar and keeps what was given.
    pub(crate) fn keep(&self) {
        let given = {
            let mut state = self.lock();
            state.allowance.handle_date(today());
            state.allowance.given()
        };
        let text = format!(
            "{} {} {} {}\n",
            given.date.day, given.date.month, given.day_bytes, given.month_bytes
        );
        if let Err(error) = replace_file(&self.path, text.as_bytes(), false) {
            tracing::debug!("what was given is not kept: {error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, now: Timestamp, bytes: u32) -> Allowed {
        let allowed = self.allowance.take(now, bytes);
        if self.measures && allowed == Allowed::Now {
            self.measure(now, u64::from(bytes));
        }
        allowed
    }

    /// Learns the uplink from what it took in a second, and caps the rate at a share
    /// of it. Now and then a second without a cap shows whether it bears more, or less
    /// than it did.
    fn measure(&mut self, now: Timestamp, bytes: u64) {
        let uplink = &mut self.uplink;
        let began = *uplink.window.get_or_insert(now);
        uplink.bytes = uplink.bytes.saturating_add(bytes);
        let passed = now.saturating_since(began);
        if passed < WINDOW {
            return;
        }
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
        let seen = uplink.bytes.saturating_mul(1_000) / millis;
        let (warm, probed) = (uplink.warm, uplink.windows == 0);
        (uplink.window, uplink.warm, uplink.bytes) = (Some(now), true, 0);
        if !warm {
            return;
        }
        uplink.best = if probed { seen } else { uplink.best.max(seen) };
        uplink.windows = (uplink.windows + 1) % PROBE_EVERY;
        let share = (uplink.best / 100).saturating_mul(UPLINK_PERCENT).max(LEAST_UPLINK);
        let rate = (uplink.windows > 0).then_some(share);
        self.allowance.set_caps(Caps { rate, ..self.caps.clone() });
    }
}

fn megabytes(count: u64) -> u64 {
    count.saturating_mul(1_000_000)
}

/// The calendar by UTC: days and months of the Gregorian calendar since 1970.
fn today() -> Date {
    let now_ms = wall_clock_ms();
    let days = now_ms / DAY_MS;
    let minute = u16::try_from(now_ms % DAY_MS / 60_000).unwrap_or(0);
    let day = u32::try_from(days).unwrap_or(u32::MAX);
    Date { day, month: month_of(days), minute }
}

/// Months since 1970 of a day since 1970, by the civil calendar's usual reckoning
/// from March to February.
fn month_of(days: u64) -> u32 {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let months = (era * 400 + year_of_era) * 12 + march_month + 2;
    u32::try_from(months.saturating_sub(1_970 * 12)).unwrap_or(u32::MAX)
}

/// `HH:MM-HH:MM`, in minutes of the day.
pub(crate) fn parse_hours(text: &str) -> Option<(u16, u16)> {
    let minute = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        (hour < 24 && minute < 60).then_some(hour * 60 + minute)
    };
    let (from, to) = text.split_once('-')?;
    Some((minute(from)?, minute(to)?))
}

fn parse_given(text: &str) -> Option<Given> {
    let mut numbers = text.split_whitespace();
    let (day, month) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    let (day_bytes, month_bytes) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    Some(Given { date: Date { day, month, minute: 0 }, day_bytes, month_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        // Days since 1970, by another program.
        for (days, year, month) in [
            (0, 1970, 1),
            (30, 1970, 1),
            (31, 1970, 2),
            (59, 1970, 3),
            (11_015, 2000, 2),
            (11_016, 2000, 2),
            (11_017, 2000, 3),
            (20_782, 2026, 11),
            (47_540, 2100, 2),
            (47_541, 2100, 3),
        ] {
            assert_eq!(month_of(days), (year - 1970) * 12 + month - 1, "day {days}");
        }
    }

    #[test]
    fn hours_are_read_or_refused() {
        assert_eq!(parse_hours("22:00-07:30"), Some((1_320, 450)));
        for bad in ["22-7", "24:00-07:00", "22:60-07:00", "", "a:b-c:d", "22:00"] {
            assert_eq!(parse_hours(bad), None, "{bad}");
        }
    }

    /// Gives so many blocks of 10 kB, each taking so long; when that is over.
    fn given(state: &mut State, from: Timestamp, each: Duration, blocks: u32) -> Timestamp {
        (0..blocks).fold(from, |now, _| {
            state.measure(now, 10_000);
            now + each
        })
    }

    #[test]
    fn the_uplink_is_what_it_takes_when_something_is_always_being_sent() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let giving = Giving::open(folder.path().join("given"), &Upload::default(), clock);
        let capped = |giving: &Giving| giving.lock().allowance.caps().rate;
        let mut now = clock.now();
        // One that asks for 10 kB every half a second is no measure of anything.
        for _ in 0..20 {
            let sending = giving.begin();
            giving.lock().measure(now, 10_000);
            drop(sending);
            now = now + Duration::from_millis(500);
        }
        assert_eq!(capped(&giving), None);
        // A second fills the buffers, and the next one counts: 1 MB.
        let sending = giving.begin();
        now = given(&mut giving.lock(), now, Duration::from_millis(2), 500);
        now = given(&mut giving.lock(), now, Duration::from_millis(10), 102);
        let rate = capped(&giving).expect("a whole second was busy");
        assert!((960_000..=1_000_000).contains(&rate), "{rate}");
        // Less is given, for what it was capped at or asked for: it stays.
        now = given(&mut giving.lock(), now, Duration::from_millis(20), 51 * 27);
        assert_eq!(capped(&giving), Some(rate));
        now = given(&mut giving.lock(), now, Duration::from_millis(20), 51 * 2);
        assert_eq!(capped(&giving), None, "it is never tried whether there is more");
        // It has become slower.
        given(&mut giving.lock(), now, Duration::from_millis(20), 52);
        let rate = capped(&giving).unwrap();
        assert!((480_000..=500_000).contains(&rate), "{rate}");
        drop(sending);
    }

    #[tokio::test]
    async fn what_was_given_outlives_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("given");
        let upload = Upload { month_mb: Some(1), ..Upload::default() };
        let giving = Giving::open(path.clone(), &upload, Clock::start());
        assert!(giving.take(600_000).await);
        giving.keep();
        let giving = Giving::open(path.clone(), &upload, Clock::start());
        assert!(!giving.take(600_000).await, "that is more than a megabyte in a month");
        assert!(giving.take(300_000).await);
        giving.close(true);
        assert!(!giving.is_open() && !giving.take(1).await);
        fs::write(&path, "not numbers").unwrap();
        assert!(Giving::open(path, &upload, Clock::start()).is_open());
    }
}
