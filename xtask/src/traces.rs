//! `cargo xtask traces`: start and bitrate policies on recorded and made-up
//! links.

mod picture;
mod play;
mod recording;
mod synthetic;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use antiphon_playback::{BitratePolicy, StartPolicy, UserPolicy};
use antiphon_types::Bitrate;
use serde::Serialize;

use self::play::{LENGTH, Outcome, Policies};
use self::recording::Recording;
use crate::failure::{Context as _, Result};
use crate::workspace;

/// Plays of each recording, begun at so many places spread over it.
const OFFSETS: u32 = 10;
/// Where recordings lie if no folder is named, from the workspace's root.
const RECORDINGS: &str = "../shared/traces";

/// Arguments of `cargo xtask traces`.
#[derive(Debug, clap::Args)]
pub struct TracesArgs {
    /// A folder of recordings: CSV files of `seconds,kbit_per_s`. Without it, the
    /// made-up links, and `../shared/traces` where that is.
    folder: Option<PathBuf>,
    /// What all rates are multiplied by.
    #[arg(long, default_value_t = 1.0, value_parser = positive, value_name = "F")]
    scale: f64,
    /// What is drawn follows from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Show the rows of all recordings together only.
    #[arg(long)]
    brief: bool,
    /// Draw pictures of all recordings together into this folder.
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Write all rows to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn positive(text: &str) -> std::result::Result<f64, String> {
    text.parse()
        .ok()
        .filter(|f: &f64| f.is_finite() && *f > 0.0)
        .ok_or("expected a number above 0".into())
}

/// What became of the plays of one recording, or of all, under two policies.
#[derive(Debug, Clone, Serialize)]
struct Row {
    trace: String,
    scale: f64,
    start_policy: &'static str,
    bitrate_policy: &'static str,
    start_delay_ms_p50: f64,
    start_delay_ms_p95: f64,
    stalled_play_share: f64,
    predicted_stall_share: f64,
    stalled_s_per_h: f64,
    mean_kbps: f64,
    switches_per_h: f64,
    qoe: f64,
    /// Mean rate of the recording, scaled.
    link_kbps: f64,
    plays: usize,
}

fn start_policies() -> [(&'static str, StartPolicy); 3] {
    [
        ("markov", StartPolicy::default()),
        ("fixed15", StartPolicy::Fixed(std::time::Duration::from_secs(15))),
        ("threshold", StartPolicy::Threshold),
    ]
}

fn bitrate_policies() -> [(&'static str, UserPolicy, BitratePolicy); 5] {
    let fixed = |name, bitrate| (name, UserPolicy::Fixed(bitrate), BitratePolicy::Predictive);
    [
        ("default", UserPolicy::Auto, BitratePolicy::Predictive),
        ("ladder", UserPolicy::Auto, BitratePolicy::Ladder),
        fixed("96", Bitrate::Kbps96),
        fixed("160", Bitrate::Kbps160),
        fixed("320", Bitrate::Kbps320),
    ]
}

/// Runs it.
///
/// # Errors
///
/// A recording cannot be read, or the results not written.
pub fn run(args: &TracesArgs) -> Result<()> {
    let links = links(args)?;
    let rows = all_rows(&links, args.scale, args.seed);
    print(&rows, args.brief);
    if let Some(folder) = &args.pictures {
        picture::draw(&rows, folder)?;
    }
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&rows).context(|| "write JSON".to_owned())?;
        fs::write(file, text).context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

fn links(args: &TracesArgs) -> Result<Vec<Recording>> {
    let beside = workspace::root().join(RECORDINGS);
    let folder = args.folder.clone().or_else(|| beside.is_dir().then_some(beside));
    let mut links = folder.as_deref().map(recording::read_all).transpose()?.unwrap_or_default();
    links.extend(synthetic::all(args.seed)?);
    Ok(links)
}

/// The rows of each pair of policies: of all recordings, and of each.
fn all_rows(links: &[Recording], scale: f64, seed: u64) -> Vec<Row> {
    let pairs = start_policies()
        .into_iter()
        .flat_map(|start| bitrate_policies().into_iter().map(move |bitrate| (start, bitrate)));
    let pairs = pairs.collect::<Vec<_>>();
    let jobs = pairs.iter().flat_map(|pair| links.iter().map(move |link| (pair, link)));
    let jobs = jobs.collect::<Vec<_>>();
    let outcomes = in_parallel(&jobs, |(((_, start), (_, user, bitrate)), link)| {
        let policies = Policies { start: *start, user: *user, bitrate: *bitrate };
        plays(link, scale, policies, seed)
    });
    let mut rows = Vec::new();
    for (((start, _), (bitrate, ..)), outcomes) in pairs.iter().zip(outcomes.chunks(links.len())) {
        let names = Row::names("all", scale, start, bitrate);
        let all = outcomes.iter().flatten().copied().collect::<Vec<_>>();
        let mean = mean(links.iter().map(Recording::mean_rate)) * scale;
        rows.push(Row::of(names, mean, &all));
        for (link, outcomes) in links.iter().zip(outcomes) {
            let names = Row::names(&link.name, scale, start, bitrate);
            rows.push(Row::of(names, link.mean_rate() * scale, outcomes));
        }
    }
    rows
}

/// The plays of one recording. The first is by a listener who knows nothing of
/// the link; the others know what those before have learned, as a listener does
/// from one session to the next: how often the rate changes to what, never when.
fn plays(link: &Recording, scale: f64, policies: Policies, seed: u64) -> Vec<Outcome> {
    let mut learned = None;
    let mut outcomes = Vec::new();
    for nth in 0..OFFSETS {
        let offset = link.length() * f64::from(nth) / f64::from(OFFSETS);
        let seed = seed.wrapping_mul(1_000).wrapping_add(u64::from(nth));
        let (outcome, after) = play::play(link, scale, offset, policies, seed, learned.take());
        learned = after;
        outcomes.push(outcome);
    }
    outcomes
}

impl Row {
    fn names(trace: &str, scale: f64, start: &'static str, bitrate: &'static str) -> Names {
        Names { trace: trace.to_owned(), scale, start, bitrate }
    }

    fn of(names: Names, link_kbps: f64, outcomes: &[Outcome]) -> Self {
        let mut delays = outcomes.iter().map(|play| play.start_delay * 1e3).collect::<Vec<_>>();
        delays.sort_by(f64::total_cmp);
        let hours = LENGTH / 3_600.0;
        let of = |value: fn(&Outcome) -> f64| mean(outcomes.iter().map(value));
        Self {
            trace: names.trace,
            scale: names.scale,
            start_policy: names.start,
            bitrate_policy: names.bitrate,
            start_delay_ms_p50: quantile(&delays, 0.5),
            start_delay_ms_p95: quantile(&delays, 0.95),
            stalled_play_share: of(|play| f64::from(u32::from(play.stalls > 0))),
            predicted_stall_share: of(|play| play.predicted_stall_share),
            stalled_s_per_h: of(|play| play.stalled) / hours,
            mean_kbps: of(|play| play.kbps),
            switches_per_h: of(|play| f64::from(play.switches)) / hours,
            qoe: of(qoe),
            link_kbps,
            plays: outcomes.len(),
        }
    }
}

struct Names {
    trace: String,
    scale: f64,
    start: &'static str,
    bitrate: &'static str,
}

/// Mean kbit/s, less 64 for each second a minute that it stood still, 5 for each
/// switch a minute, and 16 for each second until it began.
fn qoe(play: &Outcome) -> f64 {
    let minutes = LENGTH / 60.0;
    play.kbps
        - 64.0 * play.stalled / minutes
        - 5.0 * f64::from(play.switches) / minutes
        - 16.0 * play.start_delay
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

/// Of sorted values.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a short list"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = (last as f64 * share).round() as usize;
    sorted.get(place).copied().unwrap_or(0.0)
}

fn in_parallel<T: Sync, R: Send>(jobs: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((nth, job)) = {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(nth).map(|job| (nth, job))
                } {
                    let result = work(job);
                    done.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((nth, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(nth, _)| *nth);
    done.into_iter().map(|(_, result)| result).collect()
}

fn print(rows: &[Row], brief: bool) {
    println!(
        "{:24} {:>9} {:>8} {:>9} {:>9} {:>8} {:>9} {:>9} {:>6} {:>8} {:>7}",
        "trace",
        "start",
        "bitrate",
        "p50 ms",
        "p95 ms",
        "stalled",
        "predicted",
        "stall s/h",
        "kbit/s",
        "switch/h",
        "qoe"
    );
    for row in rows.iter().filter(|row| !brief || row.trace == "all") {
        println!(
            "{:24.24} {:>9} {:>8} {:>9.0} {:>9.0} {:>7.1}% {:>8.1}% {:>9.1} {:>6.0} {:>8.1} {:>7.1}",
            row.trace,
            row.start_policy,
            row.bitrate_policy,
            row.start_delay_ms_p50,
            row.start_delay_ms_p95,
            row.stalled_play_share * 100.0,
            row.predicted_stall_share * 100.0,
            row.stalled_s_per_h,
            row.mean_kbps,
            row.switches_per_h,
            row.qoe
        );
    }
}
