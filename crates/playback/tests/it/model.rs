//! Throughput, starts and bitrates through the public interface.

use std::time::Duration;

use antiphon_playback::{Learned, Outlook, Throughput, count_stalled};
use antiphon_types::Timestamp;

fn at(seconds: f64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs_f64(seconds)
}

/// A link that delivered at these rates, in bytes per second, a second each.
fn seen(rates: impl IntoIterator<Item = f64>, learned: Option<Learned>) -> Throughput {
    let mut link = Throughput::new(1_250_000, learned);
    link.handle_asked(at(0.0), Duration::ZERO);
    let mut now = 0.0;
    for rate in rates {
        for _ in 0..10 {
            now += 0.1;
            link.handle_delivered(at(now), (rate / 10.0) as u32);
        }
    }
    link
}

fn outlook(buffered: f64, kbps: f64) -> Outlook {
    Outlook {
        buffered: Duration::from_secs_f64(buffered),
        remaining: Duration::from_secs(240),
        bytes_per_second: kbps * 125.0,
        lowest_bytes_per_second: kbps * 125.0,
        most_buffered: Duration::from_secs(30),
    }
}

#[test]
fn a_steady_link_is_believed() {
    let link = seen(std::iter::repeat_n(125_000.0, 240), None);
    assert!((link.rate() / 125_000.0 - 1.0).abs() < 0.2, "{}", link.rate());
    for buffered in [0.5, 1.0, 2.0, 5.0, 12.0] {
        let stalled = count_stalled(&link, &outlook(buffered, 160.0), 1000, 7);
        eprintln!("{buffered} s: {stalled} of 1000");
    }
    let learned = link.learned().unwrap();
    eprintln!("{learned}");
    let link = Throughput::new(1_250_000, Some(learned));
    for buffered in [0.5, 1.0, 2.0, 5.0, 12.0] {
        let stalled = count_stalled(&link, &outlook(buffered, 160.0), 1000, 7);
        eprintln!("learned: {buffered} s: {stalled} of 1000");
    }
    let link = Throughput::new(1_250_000, None);
    for buffered in [0.5, 1.0, 2.0, 5.0, 12.0] {
        let stalled = count_stalled(&link, &outlook(buffered, 160.0), 1000, 7);
        eprintln!("cold: {buffered} s: {stalled} of 1000");
    }
}
