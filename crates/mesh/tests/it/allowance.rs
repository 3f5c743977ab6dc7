//! Caps on what is given.

use antiphon_mesh::{Allowance, Allowed, Caps, Date, Given};
use antiphon_types::Timestamp;
use proptest::prelude::*;

use crate::at;

fn date(day: u32, minute: u16) -> Date {
    Date { day, month: day / 30, minute }
}

fn allowance(caps: Caps) -> Allowance {
    let given = Given { date: date(0, 0), day_bytes: 0, month_bytes: 0 };
    Allowance::new(caps, given, at(0))
}

#[test]
fn a_month_is_used_up_over_days() {
    let caps = Caps { per_day: Some(100), per_month: Some(250), ..Caps::default() };
    let mut allowance = allowance(caps);
    let mut given = Vec::new();
    for day in 0..35 {
        allowance.handle_date(date(day, 0));
        let mut today = 0;
        while allowance.take(at(0), 50) == Allowed::Now {
            today += 50;
        }
        given.push(today);
    }
    assert_eq!(given[..4], [100, 100, 50, 0]);
    assert_eq!(given[30..34], [100, 100, 50, 0], "a new month");
}

#[test]
fn hours_may_go_past_midnight() {
    let open = |hours, minute| {
        let mut allowance = allowance(Caps { hours: Some(hours), ..Caps::default() });
        allowance.handle_date(date(1, minute));
        assert_eq!(allowance.is_open(), allowance.take(at(0), 1) == Allowed::Now);
        allowance.is_open()
    };
    assert!(open((60, 120), 60) && !open((60, 120), 120) && !open((60, 120), 59));
    assert!(open((1_380, 60), 1_439) && open((1_380, 60), 0) && !open((1_380, 60), 60));
    assert!(open((5, 5), 700));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Who asks, waits as told and asks again gets the rate, and no more than a
    /// burst beyond it.
    #[test]
    fn a_capped_rate_is_kept(rate in 1_000_u64..20_000_000, block in 1_u32..20_000) {
        let mut allowance = allowance(Caps { rate: Some(rate), ..Caps::default() });
        let (mut now, mut given) = (0_u64, 0_u64);
        let end = 20_000_000;
        while now < end && given < 60 * rate {
            match allowance.take(Timestamp::from_micros(now), block) {
                Allowed::Now => given += u64::from(block),
                Allowed::After(wait) => {
                    prop_assert!(!wait.is_zero());
                    now += u64::try_from(wait.as_micros()).unwrap();
                }
                Allowed::No => prop_assert!(false),
            }
        }
        let due = rate * now / 1_000_000;
        let burst = (rate / 10).max(32_768);
        prop_assert!(given <= due + burst + u64::from(block), "{given} of {due}");
        prop_assert!(given * 100 >= due * 95, "{given} of {due}");
    }
}
