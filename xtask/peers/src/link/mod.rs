//! Links over loopback: a server process that answers requests with blocks
//! from memory, and a client process that fetches and drops them.
//!
//! Every stack answers the same requests with the same pieces; see [`request`].
//! Both processes run on a tokio runtime of one thread.

mod ours;
mod quic;
mod request;
mod stack;
mod tls;
mod work;
mod yamux;

use std::net::SocketAddr;

use ours::{Ours, Quic, Tcp, TcpOffline};
use quic::Quinn;
use stack::Stack;
use tls::TokioRustls;
use work::Work;
use yamux::YamuxNoise;

use crate::{Result, machine};

/// Arguments of `bench-peers serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Over what
    #[arg(long)]
    stack: Kind,
}

/// Arguments of `bench-peers fetch`.
#[derive(Debug, clap::Args)]
pub(crate) struct FetchArgs {
    /// Over what
    #[arg(long)]
    stack: Kind,
    /// Where `serve` listens
    #[arg(long, value_name = "ADDRESS")]
    server: SocketAddr,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    OursTcp,
    OursTcpOffline,
    OursQuic,
    TokioRustls,
    YamuxNoise,
    Quinn,
}

/// Runs `bench-peers serve`: until standard input ends, as it does when
/// whoever started it is gone.
pub(crate) fn serve(args: &ServeArgs) -> Result<()> {
    machine::raise_descriptor_limit()?;
    std::thread::spawn(|| {
        // Nothing is expected there but the end.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = runtime()?;
    match args.stack {
        Kind::OursTcp => runtime.block_on(Ours::<Tcp>::serve(announce)),
        Kind::OursTcpOffline => runtime.block_on(Ours::<TcpOffline>::serve(announce)),
        Kind::OursQuic => runtime.block_on(Ours::<Quic>::serve(announce)),
        Kind::TokioRustls => runtime.block_on(TokioRustls::serve(announce)),
        Kind::YamuxNoise => runtime.block_on(YamuxNoise::serve(announce)),
        Kind::Quinn => runtime.block_on(Quinn::serve(announce)),
    }
}

/// Runs `bench-peers fetch`.
pub(crate) fn fetch(args: &FetchArgs) -> Result<()> {
    machine::raise_descriptor_limit()?;
    let (runtime, work, server) = (runtime()?, args.work.clone(), args.server);
    // As a task, as programs do: waking the future that a runtime blocks on
    // costs a system call more, for each reply that another task reads.
    let fetching = match args.stack {
        Kind::OursTcp => runtime.spawn(work.run::<Ours<Tcp>>(server)),
        Kind::OursTcpOffline => runtime.spawn(work.run::<Ours<TcpOffline>>(server)),
        Kind::OursQuic => runtime.spawn(work.run::<Ours<Quic>>(server)),
        Kind::TokioRustls => runtime.spawn(work.run::<TokioRustls>(server)),
        Kind::YamuxNoise => runtime.spawn(work.run::<YamuxNoise>(server)),
        Kind::Quinn => runtime.spawn(work.run::<Quinn>(server)),
    };
    let figures = runtime.block_on(fetching)??;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn announce(address: SocketAddr) {
    println!("{address}");
}

/// Where servers listen: on any port.
fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
