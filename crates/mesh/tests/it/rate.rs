//! Measuring a source.

use antiphon_mesh::RateMeter;
use antiphon_types::Timestamp;

use crate::{RTT, at};

#[test]
fn a_steady_source_is_measured_within_a_tenth() {
    for rate in [20_000_u64, 250_000, 5_000_000] {
        let mut meter = RateMeter::new(125_000);
        let mut micros = 0;
        meter.handle_asked(at(0), RTT);
        while micros < 4_000_000 {
            micros += 16_384 * 1_000_000 / rate;
            meter.handle_delivered(Timestamp::from_micros(20_000 + micros), 16_384);
        }
        assert!(meter.rate().abs_diff(rate) * 10 < rate, "{} for {rate}", meter.rate());
    }
}

#[test]
fn idle_time_does_not_count_and_silence_does() {
    let mut meter = RateMeter::new(100_000);
    meter.handle_asked(at(0), RTT);
    meter.handle_delivered(at(1_020), 100_000);
    meter.handle_idle();
    let before = meter.rate();
    meter.handle_asked(at(60_000), RTT);
    meter.handle_delivered(at(61_020), 100_000);
    assert!(meter.rate().abs_diff(before) < 20_000);
    meter.handle_delivered(at(64_020), 0);
    assert!(meter.rate() < before / 2);
}
