//! Asks the router of this network to map a port, prints what it says, and has
//! the mapping removed at the end.
//!
//! ```text
//! cargo run -p antiphon-net --example portmap -- [all|pcp|natpmp|upnp] [PORT] [SECONDS]
//! ```
#![expect(clippy::print_stdout, reason = "to print is what it is for")]

use std::error::Error;
use std::time::Duration;

use antiphon_net::portmap::{PortMap, PortMapConfig};
use tokio::time::{Instant, timeout_at};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let way = arguments.next().unwrap_or_else(|| "all".to_owned());
    let port = arguments.next().map_or(Ok(4_711), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let mut config = PortMapConfig::new(port, port);
    config.pcp = ["all", "pcp"].contains(&way.as_str());
    config.nat_pmp = ["all", "natpmp"].contains(&way.as_str());
    config.upnp = ["all", "upnp"].contains(&way.as_str());

    let begin = Instant::now();
    let map = PortMap::start(config);
    let mut mappings = map.watch();
    let until = begin + Duration::from_secs(seconds);
    loop {
        println!("{:>6} ms {:?}", begin.elapsed().as_millis(), *mappings.borrow_and_update());
        if !matches!(timeout_at(until, mappings.changed()).await, Ok(Ok(()))) {
            break;
        }
    }
    map.close().await;
    println!("{:>6} ms {:?}", begin.elapsed().as_millis(), *mappings.borrow());
    Ok(())
}
