//! Two listeners on one network find each other with no server, by each of the two
//! ways alone.

use xtask::lab::presence::{self, Ways};
use xtask::tools::Tool;

fn find_each_other(ways: Ways) {
    if !Tool::Link.present_or_skip() {
        return;
    }
    let took = presence::meet(ways).unwrap();
    eprintln!("{ways:?}: {took:?}");
}

#[test]
fn listeners_find_each_other_by_multicast_dns() {
    find_each_other(Ways { mdns: true, broadcast: false });
}

#[test]
fn listeners_find_each_other_by_broadcast() {
    find_each_other(Ways { mdns: false, broadcast: true });
}
