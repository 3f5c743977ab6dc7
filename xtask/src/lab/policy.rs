//! `cargo xtask lab policy`: eviction policies of the store on generated plays.
//!
//! A listener of many, with a taste, playlists, favourites and habits, plays
//! from a catalogue that has the popularity and order of B71 and B74. The plays
//! and what is prefetched run through a cache of whole blobs under each
//! policy. All is drawn from a seed.

mod cache;
mod catalogue;
mod draws;
mod fit;
mod listener;
mod report;

use antiphon_store::{Policy, PolicyKind, S3FifoPolicy, TinyLfuPolicy};

use self::cache::{Tally, run_clairvoyant, run_policy};
use self::catalogue::Catalogue;
use self::draws::Draws;
use self::listener::{Event, Habits, Listener};
use self::report::{Report, Row};
use crate::failure::{Failure, Result};

/// Days before those that are counted: a cache is warm then.
const WARM_UP_DAYS: u32 = 45;

/// Arguments of `cargo xtask lab policy`.
#[derive(Debug, clap::Args)]
pub struct PolicyArgs {
    /// What is drawn follows from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Listeners of each kind, each with a seed of their own; the table has the
    /// mean over them.
    #[arg(long, default_value_t = 12)]
    listeners: u64,
    /// Days that are counted, after 45 that are not.
    #[arg(long, default_value_t = 90)]
    days: u32,
    /// Tracks of the catalogue.
    #[arg(long, default_value_t = 20_000)]
    tracks: usize,
    /// What the cache may hold, in MB.
    #[arg(long, value_delimiter = ',', default_value = "50,200,1000,5000,10000")]
    budget: Vec<u64>,
    /// A scan (a shuffled catalogue, a playlist or two albums synchronised, in
    /// turn) on every so many days; 0 is never.
    #[arg(long, default_value_t = 10)]
    scan_every: u32,
    /// Try shares of the small queue and of the window too.
    #[arg(long)]
    sweep: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Listeners: as much as B74 says, and less.
const KINDS: [(&str, usize); 2] = [("heavy", 40), ("light", 12)];

/// A policy to compare.
struct Contestant {
    name: String,
    make: Box<dyn Fn() -> Box<dyn Policy>>,
}

/// Runs `cargo xtask lab policy`.
///
/// # Errors
///
/// The arguments leave nothing to play.
pub fn run(args: &PolicyArgs) -> Result<()> {
    if args.tracks < 2_000 || args.days == 0 || args.listeners == 0 {
        return Err(Failure::new("too little to play from")
            .hint("give 2000 tracks, one day and one listener, or more"));
    }
    let mut draws = Draws::new(args.seed);
    let days = WARM_UP_DAYS + args.days;
    let catalogue = Catalogue::new(args.tracks, days, &mut draws);
    let report = Report {
        seed: args.seed,
        listeners: args.listeners,
        days: args.days,
        fit: fit::measure(&catalogue, args.scan_every, args.seed),
        rows: compare(args, &catalogue),
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

fn compare(args: &PolicyArgs, catalogue: &Catalogue) -> Vec<Row> {
    let contestants = contestants(args.sweep);
    let mut rows = Vec::new();
    for (kind, plays_per_day) in KINDS {
        let habits = Habits { plays_per_day, scan_every: args.scan_every };
        let plays: Vec<Plays> = (0..args.listeners)
            .map(|number| Plays::new(catalogue, habits, args.days, seed_of(args.seed, number)))
            .collect();
        for budget_mb in &args.budget {
            let budget = budget_mb.saturating_mul(1_000_000);
            let mut first: Option<Vec<Tally>> = None;
            let mut row = |policy: &str, run: &dyn Fn(&Plays) -> Tally| {
                let tallies: Vec<Tally> = plays.iter().map(run).collect();
                let first = first.get_or_insert_with(|| tallies.clone());
                rows.push(Row::new(kind, *budget_mb, policy, &tallies, first));
            };
            for contestant in &contestants {
                row(&contestant.name, &|plays| {
                    let make = &*contestant.make;
                    run_policy(catalogue, &plays.events, plays.counted_from, budget, make)
                });
            }
            row("clairvoyant", &|plays| {
                run_clairvoyant(catalogue, &plays.events, plays.counted_from, budget)
            });
        }
    }
    rows
}

/// One seed for each listener, none that the catalogue or the fit has.
fn seed_of(seed: u64, number: u64) -> u64 {
    seed.wrapping_mul(1_000_003).wrapping_add(number)
}

fn contestants(sweep: bool) -> Vec<Contestant> {
    let mut all: Vec<Contestant> = PolicyKind::ALL
        .into_iter()
        .map(|kind| Contestant { name: kind.to_string(), make: Box::new(move || kind.policy()) })
        .collect();
    if sweep {
        for per_mille in [10, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900] {
            all.push(Contestant {
                name: format!("s3-fifo {}%", per_mille / 10),
                make: Box::new(move || Box::new(S3FifoPolicy::with_small_share(per_mille))),
            });
            all.push(Contestant {
                name: format!("w-tinylfu {}%", per_mille / 10),
                make: Box::new(move || Box::new(TinyLfuPolicy::with_window_share(per_mille))),
            });
        }
    }
    all
}

/// What happens to one listener's cache.
struct Plays {
    events: Vec<Event>,
    /// Events before are not counted.
    counted_from: usize,
}

impl Plays {
    fn new(catalogue: &Catalogue, habits: Habits, days: u32, seed: u64) -> Self {
        let mut listener = Listener::new(catalogue, habits, Draws::new(seed));
        let mut events: Vec<Event> = (0..WARM_UP_DAYS).flat_map(|_| listener.next_day()).collect();
        let counted_from = events.len();
        events.extend((0..days).flat_map(|_| listener.next_day()));
        Self { events, counted_from }
    }
}
