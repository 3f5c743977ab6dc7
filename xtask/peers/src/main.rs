//! Ours and its peers behind the same roles of one program, for
//! `cargo xtask bench --compare`.
//!
//! Each role measures one thing once, on the core it is told, and prints one
//! line of JSON. What is paired with what is decided by `cargo xtask bench`.

mod handshake;
mod link;
mod machine;
mod store;
mod times;
mod tls;
mod tracker;

use clap::Parser as _;

/// A benchmark may fail with whatever a stack says.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Ours and its peers, each behind the same roles.
#[derive(Debug, clap::Parser)]
struct Cli {
    /// The core that the whole process is pinned to
    #[arg(long, global = true, value_name = "N")]
    core: Option<usize>,
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Shake hands in memory, both sides, one after the other
    Handshake(handshake::Args),
    /// Serve blocks on loopback until standard input ends; prints the address
    Serve(link::ServeArgs),
    /// Fetch blocks from such a server
    Fetch(link::FetchArgs),
    /// Fill blobs into a folder and read them
    Store(store::Args),
    /// Announce and ask who holds what
    Tracker(tracker::Args),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Some(core) = cli.core {
        machine::pin(core)?;
    }
    match cli.role {
        Role::Handshake(args) => handshake::run(&args),
        Role::Serve(args) => link::serve(&args),
        Role::Fetch(args) => link::fetch(&args),
        Role::Store(args) => store::run(&args),
        Role::Tracker(args) => tracker::run(&args),
    }
}
