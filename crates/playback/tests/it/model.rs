//! Throughput, starts and bitrates through the public interface.

use std::time::Duration;

use antiphon_playback::{
    BitratePolicy, BitrateReason, Candidate, Chooser, Learned, Outlook, Situation, StartPolicy,
    StartReason, Throughput, UserPolicy, count_stalled,
};
use antiphon_types::{Bitrate, Timestamp};
use proptest::prelude::*;

const PRIOR: u64 = 1_250_000;

fn at(seconds: f64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs_f64(seconds)
}

/// A link that delivered so many kbit/s, a second each.
fn seen(kbps: impl IntoIterator<Item = u32>, learned: Option<Learned>) -> Throughput {
    let mut link = Throughput::new(PRIOR, learned);
    link.handle_asked(at(0.0), Duration::ZERO);
    let mut now = 0.0;
    for rate in kbps {
        for _ in 0..10 {
            now += 0.1;
            link.handle_delivered(at(now), rate * 25 / 2);
        }
    }
    link
}

fn steady(kbps: u32) -> Throughput {
    seen(std::iter::repeat_n(kbps, 300), None)
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

fn candidates(cached: &[Bitrate]) -> Vec<Candidate> {
    let candidate = |bitrate: Bitrate| Candidate {
        bitrate,
        bytes_per_second: f64::from(bitrate.kbps()) * 125.0,
        cached: cached.contains(&bitrate),
    };
    Bitrate::ALL.map(candidate).to_vec()
}

fn situation<'a>(
    link: &'a Throughput,
    current: Bitrate,
    buffered: u64,
    candidates: &'a [Candidate],
) -> Situation<'a> {
    Situation {
        link,
        current,
        buffered: Duration::from_secs(buffered),
        remaining: Duration::from_secs(200),
        most_buffered: Duration::from_secs(30),
        candidates,
        seed: 5,
    }
}

#[test]
fn a_steady_link_is_believed_and_a_slow_one_is_not_hoped_for() {
    let link = steady(1_000);
    assert!((link.rate() / 125_000.0 - 1.0).abs() < 0.2, "{}", link.rate());
    assert!(count_stalled(&link, &outlook(3.0, 160.0), 1_000, 7) <= 20);
    let slow = steady(100);
    assert!(count_stalled(&slow, &outlook(3.0, 160.0), 1_000, 7) >= 950);
    let learned = link.learned().unwrap();
    let next = Throughput::new(PRIOR, Some(learned));
    assert!(next.is_known());
    assert!(count_stalled(&next, &outlook(5.0, 160.0), 1_000, 7) <= 50, "it was learned");
}

#[test]
fn ignorance_does_not_delay_and_equal_seeds_decide_alike() {
    let unknown = Throughput::new(PRIOR, None);
    assert!(!unknown.is_known());
    let policy = StartPolicy::default();
    let decision = policy.decide(&unknown, &outlook(1.5, 160.0), 3);
    assert!(decision.start, "{decision:?}");
    assert_eq!(decision, policy.decide(&unknown, &outlook(1.5, 160.0), 3));
}

#[test]
fn b08_sound_waits_on_a_slow_link_and_no_longer_than_helps() {
    let slow = steady(120);
    let policy = StartPolicy::default();
    let early = policy.decide(&slow, &outlook(2.0, 160.0), 1);
    assert!(!early.start && early.predicted_stall_share > 0.5, "{early:?}");
    let late = policy.decide(&slow, &outlook(20.0, 160.0), 1);
    assert!(late.start && matches!(late.reason, StartReason::Patience { .. }), "{late:?}");
    assert!(late.predicted_stall_share > 0.5, "it is honest about it: {late:?}");
    let nothing = policy.decide(&slow, &outlook(0.0, 160.0), 1);
    assert_eq!((nothing.start, nothing.reason), (false, StartReason::NothingThere));
    let all = policy.decide(&slow, &outlook(240.0, 160.0), 1);
    assert_eq!((all.start, all.reason), (true, StartReason::AllThere));
}

#[test]
fn the_plain_policies_do_what_they_are_called() {
    let link = steady(1_000);
    let fixed = StartPolicy::Fixed(Duration::from_secs(15));
    assert!(!fixed.decide(&link, &outlook(14.9, 160.0), 1).start);
    assert!(fixed.decide(&link, &outlook(15.0, 160.0), 1).start);
    let threshold = StartPolicy::Threshold;
    assert!(threshold.decide(&link, &outlook(0.5, 160.0), 1).start);
    assert!(!threshold.decide(&steady(100), &outlook(2.0, 160.0), 1).start);
}

#[test]
fn b09_the_ladder_goes_by_its_two_rules() {
    let (fast, slow) = (steady(4_000), steady(1_000));
    let all = candidates(&[]);
    let chooser = Chooser::new(UserPolicy::Auto, BitratePolicy::Ladder);
    let next =
        |link, current, buffered| chooser.next(&situation(link, current, buffered, &all)).bitrate;
    assert_eq!(next(&fast, Bitrate::Kbps320, 1), Bitrate::Kbps160, "less than 2 s");
    assert_eq!(next(&fast, Bitrate::Kbps96, 1), Bitrate::Kbps96, "there is none below");
    assert_eq!(next(&fast, Bitrate::Kbps160, 11), Bitrate::Kbps320);
    assert_eq!(next(&slow, Bitrate::Kbps160, 11), Bitrate::Kbps160, "1.5 Mbit/s are wanted");
    assert_eq!(next(&fast, Bitrate::Kbps160, 9), Bitrate::Kbps160, "10 s are wanted");
}

#[test]
fn the_default_takes_what_the_link_bears() {
    let all = candidates(&[]);
    let chooser = Chooser::default();
    let next = |link: &Throughput, current, buffered| {
        chooser.next(&situation(link, current, buffered, &all)).bitrate
    };
    assert_eq!(next(&steady(4_000), Bitrate::Kbps160, 25), Bitrate::Kbps320);
    assert_eq!(next(&steady(70), Bitrate::Kbps320, 10), Bitrate::Kbps96);
    assert_eq!(chooser.first(&Throughput::new(PRIOR, None), &[]).bitrate, Bitrate::Kbps160);
    let learned = steady(8_000).learned();
    let first = chooser.first(&Throughput::new(PRIOR, learned), &[]);
    assert_eq!((first.bitrate, first.reason), (Bitrate::Kbps320, BitrateReason::LinkKnown));
}

#[test]
fn what_is_in_the_cache_beats_what_is_not_by_the_rule() {
    let fast = steady(8_000);
    let decide = |user, cached: &[Bitrate]| {
        let all = candidates(cached);
        Chooser::new(user, BitratePolicy::Predictive)
            .next(&situation(&fast, Bitrate::Kbps160, 25, &all))
            .bitrate
    };
    assert_eq!(decide(UserPolicy::Auto, &[Bitrate::Kbps160]), Bitrate::Kbps160);
    assert_eq!(decide(UserPolicy::Auto, &[Bitrate::Kbps96]), Bitrate::Kbps320);
    assert_eq!(decide(UserPolicy::DataSaver, &[]), Bitrate::Kbps96);
    assert_eq!(decide(UserPolicy::DataSaver, &[Bitrate::Kbps320]), Bitrate::Kbps320);
    assert_eq!(decide(UserPolicy::Metered, &[]), Bitrate::Kbps160);
    let wanted = UserPolicy::Fixed(Bitrate::Kbps96);
    assert_eq!(decide(wanted, &[Bitrate::Kbps320]), Bitrate::Kbps96);
}

proptest! {
    #[test]
    fn no_text_harms_and_what_was_learned_survives(text in "[0-9>:. \\-einfa]{0,60}") {
        if let Ok(learned) = text.parse::<Learned>() {
            let again: Learned = learned.to_string().parse().unwrap();
            let link = Throughput::new(PRIOR, Some(again));
            prop_assert!(link.rate().is_finite() && link.rate() >= 0.0);
            count_stalled(&link, &outlook(1.0, 160.0), 10, 1);
        }
    }

    #[test]
    fn any_life_of_a_link_leaves_finite_figures(
        life in prop::collection::vec((0_u8..4, 0_u32..3_000, 0_u32..2_000_000), 0..200),
        seed in any::<u64>(),
    ) {
        let mut link = Throughput::new(PRIOR, None);
        let mut now = Timestamp::ZERO;
        for (kind, millis, bytes) in life {
            now = now + Duration::from_millis(millis.into());
            match kind {
                0 => link.handle_asked(now, Duration::from_millis((bytes % 300).into())),
                1 => link.handle_delivered(now, bytes),
                2 => link.handle_idle(now),
                _ => link.handle_time(now),
            }
        }
        prop_assert!(link.rate().is_finite() && link.rate() >= 0.0);
        let stalled = count_stalled(&link, &outlook(2.0, 160.0), 50, seed);
        prop_assert!(stalled <= 50);
        let all = candidates(&[]);
        Chooser::default().next(&situation(&link, Bitrate::Kbps160, 5, &all));
        if let Some(learned) = link.learned() {
            let read = learned.to_string().parse::<Learned>();
            prop_assert!(read.is_ok());
        }
    }
}
