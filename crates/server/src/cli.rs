//! The command line of `antiphon-server`.

mod peers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use antiphon_catalog::TrackSummary;
use antiphon_net::ServerLink;
use antiphon_types::{Bitrate, SAMPLE_RATE, TrackId};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::export::export;
use crate::ingest::{
    ChildArgs, Observer, Outcome, Worker, find_files, ingest_files, name_of, run_child,
};
use crate::keys::write_secret;
use crate::{Join, Running, Service};

/// Serves a catalogue of music to those who listen with `antiphon`.
#[derive(Parser)]
#[command(name = "antiphon-server", version, arg_required_else_help = true)]
struct Cli {
    /// Where the catalogue, the renditions and the keys live
    #[arg(long, global = true, env = "ANTIPHON_SERVER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take music files or folders into the catalogue
    Ingest(IngestArgs),
    /// Serve the catalogue until told to stop (SIGTERM or Ctrl-C)
    Run(RunArgs),
    /// List the tracks of the catalogue, or those that match some words
    List(ListArgs),
    /// Say how far listeners may have music from each other, or change it
    Peers(peers::PeersArgs),
    /// Write a rendition as a plain Ogg Vorbis file
    Export(ExportArgs),
    /// Decode and encode one file; what `ingest` runs for each, with limits
    #[command(hide = true)]
    IngestOne(ChildArgs),
}

#[derive(Args)]
struct IngestArgs {
    /// Files and folders; folders are searched for music
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Files to work on at once; default: one for each core
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Print a line of JSON for each file
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct RunArgs {
    /// Address and TCP port to listen on
    #[arg(long, default_value = "[::]:7700", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Name or address under which listeners reach this host; for the link
    #[arg(long, value_name = "HOST")]
    public_host: Option<String>,
    /// Name of the service, for the listeners' eyes
    #[arg(long, default_value = "Antiphon")]
    name: String,
    /// Let in whoever has the link
    #[arg(long, conflicts_with = "join_secret")]
    open: bool,
    /// What a new listener must know besides the link; default: a secret
    /// drawn on the first run and kept in the data folder
    #[arg(long, env = "ANTIPHON_JOIN_SECRET", hide_env_values = true, value_name = "SECRET")]
    join_secret: Option<String>,
    /// The Redis in which several servers of this service share who holds
    /// what: redis://HOST:PORT or redis+unix:///PATH; default: own memory
    #[arg(long, env = "ANTIPHON_TRACKER", hide_env_values = true, value_name = "URL")]
    tracker: Option<String>,
}

#[derive(Args)]
struct ListArgs {
    /// Words to search for
    words: Vec<String>,
    /// Print a line of JSON for each track
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ExportArgs {
    /// The track's id
    track: TrackId,
    /// 96, 160 or 320
    #[arg(long)]
    bitrate: Bitrate,
    /// Where to write
    file: PathBuf,
}

type Failure = Box<dyn std::error::Error>;

/// Parses the arguments and does what they say.
///
/// Exit status: 0 all well; 1 something failed, or a file was skipped; 2 the
/// arguments make no sense.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::IngestOne(args) = &cli.command {
        return run_child(args);
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_target(false)
        .init();
    let outcome = match data_dir(cli.data_dir) {
        Ok(folder) => match cli.command {
            Command::Ingest(args) => ingest(&folder, &args),
            Command::Run(args) => run(&folder, args),
            Command::List(args) => list(&folder, &args),
            Command::Peers(args) => peers::peers(&folder, &args),
            Command::Export(args) => export_one(&folder, &args),
            Command::IngestOne(_) => unreachable!("it was run above"),
        },
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("antiphon-server: {error}");
        ExitCode::FAILURE
    })
}

fn data_dir(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(folder) = named {
        return Ok(folder);
    }
    let folders = directories::ProjectDirs::from("", "", "antiphon-server")
        .ok_or("no folder for data is known on this system; name one with --data-dir")?;
    Ok(folders.data_dir().to_owned())
}

/// Opens the service for commands that let nobody in.
fn open_locally(folder: &Path) -> Result<Service, Failure> {
    Ok(Service::open(folder, String::new(), Join::Secret(String::new()))?)
}

fn ingest(folder: &Path, args: &IngestArgs) -> Result<ExitCode, Failure> {
    let service = open_locally(folder)?;
    let files = find_files(&args.paths);
    if files.is_empty() {
        return Err("there are no music files in what you named".into());
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let program = std::env::current_exe()
        .map_err(|error| format!("the program that runs is not to be found: {error}"))?;
    let worker = Worker::new(program, folder)
        .map_err(|error| format!("{} cannot be used: {error}", folder.display()))?;
    let report = IngestReport::new(files.len(), args.json);
    ingest_files(&service, &worker, files, args.jobs.unwrap_or(cores), &report);
    Ok(report.finish())
}

/// Shows how an ingest goes: a bar on a terminal, lines of JSON elsewhere.
struct IngestReport {
    bar: ProgressBar,
    json: bool,
    state: Mutex<IngestState>,
}

#[derive(Default)]
struct IngestState {
    under_way: BTreeMap<PathBuf, f32>,
    added: u64,
    already: u64,
    skipped: Vec<(PathBuf, String)>,
}

/// Steps of the bar for each file.
const STEPS: f32 = 100.0;

impl IngestReport {
    fn new(files: usize, json: bool) -> Self {
        let bar = ProgressBar::new(files as u64 * 100);
        let style = ProgressStyle::with_template("{bar:32} {percent:>3} %  {elapsed}  {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar, json, state: Mutex::default() }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "shares between 0 and 1, times 100"
    )]
    fn show(&self, state: &IngestState) {
        let finished = state.added + state.already + state.skipped.len() as u64;
        let share: f32 = state.under_way.values().sum();
        self.bar.set_position(finished * STEPS as u64 + (share * STEPS) as u64);
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    fn finish(self) -> ExitCode {
        self.bar.finish_and_clear();
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !self.json {
            println!(
                "{} added, {} already there, {} skipped",
                state.added,
                state.already,
                state.skipped.len()
            );
            for (path, reason) in &state.skipped {
                println!("  skipped {}: {reason}", printable(&path.to_string_lossy()));
            }
        }
        if state.skipped.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Observer for IngestReport {
    fn progress(&self, path: &Path, share: f32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.under_way.insert(path.to_owned(), share.clamp(0.0, 1.0));
        self.bar.set_message(
            printable(&path.file_name().unwrap_or_default().to_string_lossy())
                .chars()
                .take(40)
                .collect::<String>(),
        );
        self.show(&state);
    }

    fn done(&self, path: &Path, outcome: &Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.under_way.remove(path);
        let shown = path.display().to_string();
        let line = match outcome {
            Outcome::Added { track, name } => {
                state.added += 1;
                if !self.json {
                    self.say(&format!("{track}  {name}"));
                }
                serde_json::json!({"path": shown, "status": "added", "track": track.to_string(), "name": name})
            }
            Outcome::AlreadyThere { track } => {
                state.already += 1;
                serde_json::json!({"path": shown, "status": "already", "track": track.to_string()})
            }
            Outcome::Skipped(reason) => {
                let reason = reason.to_string();
                state.skipped.push((path.to_owned(), reason.clone()));
                serde_json::json!({"path": shown, "status": "skipped", "reason": reason})
            }
        };
        self.show(&state);
        drop(state);
        if self.json {
            self.say(&line.to_string());
        }
    }
}

/// A file's name for a terminal, to which control characters are commands.
fn printable(name: &str) -> String {
    name.replace(char::is_control, "\u{fffd}")
}

fn list(folder: &Path, args: &ListArgs) -> Result<ExitCode, Failure> {
    const PAGE: u32 = 200;
    let service = open_locally(folder)?;
    let words = args.words.join(" ");
    let mut offset = 0;
    loop {
        let found = service.catalog.search(&words, PAGE, offset)?;
        let Ok(count) = u32::try_from(found.len()) else { break };
        if count == 0 {
            break;
        }
        offset += count;
        for track in &found {
            print_track(track, args.json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_track(track: &TrackSummary, json: bool) {
    let seconds = track.samples / u64::from(SAMPLE_RATE);
    let TrackSummary { id, title, artist, album, .. } = track;
    if json {
        let line = serde_json::json!({
            "track": id.to_string(), "title": title, "artist": artist, "album": album,
            "seconds": seconds,
        });
        println!("{line}");
    } else {
        println!("{id}  {:>3}:{:02}  {}", seconds / 60, seconds % 60, name_of(artist, title));
    }
}

fn export_one(folder: &Path, args: &ExportArgs) -> Result<ExitCode, Failure> {
    let service = open_locally(folder)?;
    let bytes = export(&service, args.track, args.bitrate, &args.file)?;
    println!("{} bytes written to {}", bytes, args.file.display());
    Ok(ExitCode::SUCCESS)
}

fn run(folder: &Path, args: RunArgs) -> Result<ExitCode, Failure> {
    crate::descriptors::allow_all();
    std::fs::create_dir_all(folder)?;
    let join = match (args.open, args.join_secret) {
        (true, _) => Join::Open,
        (false, Some(secret)) if secret.is_empty() => {
            return Err("an empty join secret lets nobody in; say --open to let everyone in".into());
        }
        (false, Some(secret)) => Join::Secret(secret),
        (false, None) => Join::Secret(kept_join_secret(&folder.join("join.secret"))?),
    };
    let mut service = Service::open(folder, args.name, join)?;
    if let Some(url) = &args.tracker {
        service.share_index(url)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = stop_signal()?;
        let running = Running::start(service, args.listen)
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
        announce(&running, args.public_host);
        running.serve(stop).await;
        Ok::<_, Failure>(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints how to reach the server: connections are accepted from here on.
fn announce(running: &Running, public_host: Option<String>) {
    let address = running.local_address();
    let host = public_host.unwrap_or_else(|| {
        if address.ip().is_unspecified() {
            "127.0.0.1".to_owned()
        } else {
            address.ip().to_string()
        }
    });
    let node = running.service().node();
    let link = ServerLink { host, port: address.port(), node };
    println!("{link}");
    match &running.service().join {
        Join::Open => eprintln!("anyone with the link may log in: antiphon login {link}"),
        Join::Secret(secret) => {
            eprintln!("listeners log in with: antiphon login {link} --secret {secret}");
        }
    }
}

fn kept_join_secret(path: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Ok(secret) if !secret.trim().is_empty() => Ok(secret.trim().to_owned()),
        Ok(_) => {
            Err(format!("{} is empty; delete it to have a new one drawn", path.display()).into())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let bytes: [u8; 16] = rand::random();
            let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            write_secret(path, secret.as_bytes())?;
            Ok(secret)
        }
        Err(error) => Err(format!("cannot read {}: {error}", path.display()).into()),
    }
}

/// Ready when the process is told to stop. Heard from the moment this returns.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
