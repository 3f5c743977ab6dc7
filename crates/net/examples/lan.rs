//! Says that a listener is there, and prints who else is.
//!
//! ```text
//! cargo run -p antiphon-net --example lan -- [both|mdns|broadcast] [SECONDS]
//! ```
//!
//! All who run it are of one service, made up for it, with a peer key of their
//! own.
#![expect(clippy::print_stdout, reason = "to print is what it is for")]

use std::error::Error;
use std::time::Duration;

use antiphon_net::identity::NodeSecret;
use antiphon_net::lan::{Lan, LanConfig};
use antiphon_types::NodeId;
use tokio::time::{Instant, timeout_at};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let way = arguments.next().unwrap_or_else(|| "both".to_owned());
    let seconds = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let peer = NodeSecret::generate(&mut rand::rng()).node_id();
    let mut config = LanConfig::new(NodeId::new([7; 32]), peer, 4_711);
    config.mdns = way != "broadcast";
    config.broadcast = way != "mdns";

    println!("we are {peer}");
    let begin = Instant::now();
    let (lan, mut events) = Lan::start(config);
    let until = begin + Duration::from_secs(seconds);
    while let Ok(Some(event)) = timeout_at(until, events.recv()).await {
        println!("{:>6} ms {event:?}", begin.elapsed().as_millis());
    }
    lan.close().await;
    Ok(())
}
