//! The command line of `antiphon`.

mod cache;
mod consent;
mod control;
mod play;
mod progress;
mod time;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use antiphon_net::{ServerLink, Transport};
use antiphon_types::{SAMPLE_RATE, TrackId};
use antiphon_wire::proto::{self, reply, request};
use clap::{Args, Parser, Subcommand};

use crate::engine::{Engine, EngineConfig};
use crate::faults::Faults;
use crate::library::name_of;
use crate::session::{RequestError, ask_once};
use crate::settings::{DataDir, Peers, Settings};

/// Hear any song at once.
#[derive(Parser)]
#[command(name = "antiphon", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Common {
    /// Where the cache, the keys and the choices of this listener live
    #[arg(long, global = true, env = "ANTIPHON_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Whether to share with other listeners; remembered
    #[arg(long, global = true, value_enum)]
    peers: Option<Peers>,
    /// Address and port, of TCP and UDP, where other listeners may connect; port 0 takes
    /// any that is free
    #[arg(long, global = true, default_value = "[::]:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Over what to connect: auto, tcp or quic
    #[arg(long, global = true, env = "ANTIPHON_TRANSPORT", default_value_t, value_name = "NAME")]
    transport: Transport,
    /// Most that the cache may hold, in megabytes; default: a tenth of the
    /// free disk, 50 to 10000
    #[arg(long, global = true, value_name = "MB")]
    cache_mb: Option<u64>,
    /// Print JSON, a line each
    #[arg(long, global = true)]
    json: bool,
    /// Alter every block that is sent to other listeners
    #[cfg(feature = "faults")]
    #[arg(long, global = true)]
    alter_uploads: bool,
    /// Send blocks to other listeners at a trickle
    #[cfg(feature = "faults")]
    #[arg(long, global = true)]
    trickle_uploads: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make a server known to this device, and this device to it
    Login(LoginArgs),
    /// Find tracks by title, artist or album
    Search(SearchArgs),
    /// Play the track that fits best, a track by its id, or a file of ids
    Play(play::PlayArgs),
    /// Stay online: pass on to other listeners what is in the cache
    Daemon,
    /// Look at the cache, pin music in it, check it or empty it
    Cache(cache::CacheArgs),
}

#[derive(Args)]
struct LoginArgs {
    /// antiphon://HOST:PORT/NODEID, as the server prints it
    link: ServerLink,
    /// The secret that the operator gave you, if the server asks for one
    #[arg(long, env = "ANTIPHON_JOIN_SECRET", hide_env_values = true, default_value = "")]
    secret: String,
}

#[derive(Args)]
struct SearchArgs {
    /// Words of the title, the artist or the album; none lists everything
    words: Vec<String>,
    /// Most tracks to show
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
}

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Parses the arguments and does what they say.
///
/// Exit status: 0 all well; 1 something failed; 2 the arguments make no sense.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_target(false)
        .init();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(run(cli)));
    outcome.unwrap_or_else(|error| {
        eprintln!("antiphon: {error}");
        ExitCode::FAILURE
    })
}

async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let data = DataDir::open(cli.common.data_dir.clone())?;
    match cli.command {
        Command::Login(args) => login(&cli.common, &data, args).await,
        Command::Search(args) => search(&cli.common, &data, &args).await,
        Command::Play(args) => play::play(&cli.common, &data, args).await,
        Command::Daemon => daemon(&cli.common, &data).await,
        Command::Cache(args) => cache::cache(&cli.common, &data, args),
    }
}

impl Common {
    /// Starts the engine for commands that play or serve; asks about sharing
    /// where that was never said.
    async fn engine(&self, data: &DataDir) -> Result<Engine, Failure> {
        let mut settings = data.settings()?;
        let link = linked(data, &settings)?;
        consent::settle(self.peers, &mut settings, data)?;
        let peers = settings.peers.unwrap_or(Peers::Off);
        let config = EngineConfig {
            data: data.clone(),
            link,
            peers,
            upload: settings.upload.clone(),
            listen: self.listen,
            transport: self.transport,
            cache_bytes: self.cache_mb.map(|megabytes| megabytes.saturating_mul(1_000_000)),
            faults: self.faults(),
        };
        Ok(Engine::start(config).await?)
    }

    #[cfg(feature = "faults")]
    fn faults(&self) -> Faults {
        Faults { alter_uploads: self.alter_uploads, trickle_uploads: self.trickle_uploads }
    }

    #[cfg(not(feature = "faults"))]
    #[expect(clippy::unused_self, reason = "with the feature there is something to say")]
    fn faults(&self) -> Faults {
        Faults::default()
    }
}

fn linked(data: &DataDir, settings: &Settings) -> Result<ServerLink, Failure> {
    data.link(settings)?.ok_or_else(|| {
        "no server is known yet; log in with `antiphon login LINK`, \
         where LINK is what `antiphon-server run` prints"
            .into()
    })
}

async fn login(common: &Common, data: &DataDir, args: LoginArgs) -> Result<ExitCode, Failure> {
    let mut settings = data.settings()?;
    consent::settle(common.peers, &mut settings, data)?;
    let everything = search_for("", 1);
    let device = data.device_key()?;
    let (link, secret) = (args.link.clone(), args.secret);
    let total = found(ask_once(link, device, secret, common.transport, everything).await)?.total;
    settings.server = Some(args.link.to_string());
    data.save_settings(&settings)?;
    if common.json {
        let line = serde_json::json!({
            "server": args.link.to_string(), "tracks": total,
            "peers": settings.peers,
        });
        println!("{line}");
    } else {
        println!("logged in; the server has {total} tracks");
    }
    Ok(ExitCode::SUCCESS)
}

async fn search(common: &Common, data: &DataDir, args: &SearchArgs) -> Result<ExitCode, Failure> {
    let link = linked(data, &data.settings()?)?;
    let wanted = search_for(&args.words.join(" "), args.limit);
    let (device, secret) = (data.device_key()?, String::new());
    let found = found(ask_once(link, device, secret, common.transport, wanted).await)?;
    for track in &found.tracks {
        let id = TrackId::from_slice(&track.track).ok_or("the server's answer makes no sense")?;
        let seconds = track.samples / u64::from(SAMPLE_RATE);
        if common.json {
            let line = serde_json::json!({
                "track": id.to_string(), "title": track.title, "artist": track.artist,
                "album": track.album, "seconds": seconds,
            });
            println!("{line}");
        } else {
            let name = plain(&name_of(&track.artist, &track.title));
            println!("{id}  {:>3}:{:02}  {name}", seconds / 60, seconds % 60);
        }
    }
    if !common.json && u64::from(found.total) > found.tracks.len() as u64 {
        println!("{} of {}; --limit shows more", found.tracks.len(), found.total);
    }
    Ok(ExitCode::SUCCESS)
}

fn search_for(words: &str, limit: u32) -> request::Kind {
    request::Kind::Search(proto::Search { words: words.to_owned(), limit, offset: 0 })
}

fn found(answer: Result<reply::Kind, RequestError>) -> Result<proto::Found, RequestError> {
    match answer? {
        reply::Kind::Found(found) => Ok(found),
        _ => Err(RequestError::Nonsense),
    }
}

/// A stranger's text, fit for a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

async fn daemon(common: &Common, data: &DataDir) -> Result<ExitCode, Failure> {
    let engine = common.engine(data).await?;
    eprintln!("online; Ctrl-C ends");
    stopped().await?;
    if let Err(error) = engine.flush().await {
        eprintln!("antiphon: {error}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Ready when the process is told to stop.
async fn stopped() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            outcome = tokio::signal::ctrl_c() => outcome,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
