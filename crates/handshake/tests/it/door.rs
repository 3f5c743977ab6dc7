//! Cases H1, H2 and Q3: floods of strangers, seen from the door.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use antiphon_handshake::door::{Door, DoorLimits, PlaceId, Rate, Refusal};
use antiphon_types::Timestamp;
use proptest::prelude::*;

const GOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// One of 2^24 hostile addresses, none of which is [`GOOD`].
fn hostile(number: u32) -> IpAddr {
    let [_, b, c, d] = number.to_be_bytes();
    Ipv4Addr::new(10, b, c, d).into()
}

fn drain(door: &mut Door, now: Timestamp) -> Vec<PlaceId> {
    door.handle_timeout(now);
    std::iter::from_fn(|| door.poll_expired()).collect()
}

#[test]
fn h1_ten_thousand_silent_strangers_hold_no_more_places_than_there_are() {
    for addresses in [1, 10_000] {
        let limits = DoorLimits::default();
        let mut door = Door::new(limits.clone());
        let most = if addresses == 1 { limits.half_open_per_prefix } else { limits.half_open };
        for number in 0..10_000 {
            let now = Timestamp::from_micros(100 * u64::from(number));
            door.arrive(now, hostile(number % addresses)).unwrap();
            assert!(door.half_open() <= most);
        }
        assert_eq!(door.half_open(), most);
        assert!(door.prefixes() <= most, "who spent nothing is not remembered");

        // The deadline of 5 s, after which nothing is left.
        let end = Timestamp::from_millis(1_000 + 5_000);
        assert!(door.poll_timeout().unwrap() < end);
        assert_eq!(drain(&mut door, end).len(), most);
        assert_eq!((door.half_open(), door.prefixes(), door.poll_timeout()), (0, 0, None));
        let counters = door.counters();
        assert_eq!(counters.admitted, 10_000);
        assert_eq!(counters.evicted + counters.expired, 10_000);
    }
}

#[test]
fn h1_a_good_client_gets_a_place_and_keeps_it_in_the_midst_of_the_flood() {
    let mut door = Door::new(DoorLimits::default());
    let mut served = 0;
    for number in 0..20_000 {
        // 10,000 a second: a good client has 100 ms for its first message.
        let now = Timestamp::from_micros(100 * u64::from(number));
        door.arrive(now, hostile(number)).unwrap();
        if number % 1_000 == 0 {
            let good = door.arrive(now, GOOD).unwrap().place;
            for later in 0..500 {
                door.arrive(now, hostile(100_000 + later)).unwrap();
            }
            assert_eq!(door.greeted(now, good), Ok(()));
            for later in 0..2_000 {
                let evicted = door.arrive(now, hostile(200_000 + later)).unwrap().evicted;
                assert_ne!(evicted, Some(good), "it has sent its message");
            }
            door.leave(good);
            served += 1;
        }
    }
    assert_eq!((served, door.counters().greeted), (20, 20));
}

#[test]
fn h1_a_full_prefix_costs_only_itself() {
    let limits = DoorLimits { half_open_per_prefix: 3, ..DoorLimits::default() };
    let mut door = Door::new(limits);
    let now = Timestamp::ZERO;
    let good = door.arrive(now, GOOD).unwrap().place;
    let first: Vec<PlaceId> = (0..3).map(|_| door.arrive(now, hostile(1)).unwrap().place).collect();
    door.greeted(now, first[0]).unwrap();
    let newcomer = door.arrive(now, hostile(1)).unwrap();
    assert_eq!(newcomer.evicted, Some(first[1]), "the oldest silent one, not an older stranger");
    for place in [first[2], newcomer.place] {
        door.greeted(now, place).unwrap();
    }
    assert_eq!(door.arrive(now, hostile(1)), Err(Refusal::PrefixFull));
    assert_eq!(door.counters().prefix_full, 1);
    assert_eq!(door.greeted(now, good), Ok(()));
    assert_eq!(door.greeted(now, first[1]), Err(Refusal::Gone));
}

#[test]
fn h1_a_full_house_sends_newcomers_away_only_if_nobody_is_silent() {
    let mut door = Door::new(DoorLimits { half_open: 2, ..DoorLimits::default() });
    let now = Timestamp::ZERO;
    let places: Vec<PlaceId> =
        (0..2).map(|number| door.arrive(now, hostile(number)).unwrap().place).collect();
    door.greeted(now, places[0]).unwrap();
    let newcomer = door.arrive(now, GOOD).unwrap();
    assert_eq!(newcomer.evicted, Some(places[1]));
    door.greeted(now, newcomer.place).unwrap();
    assert_eq!(door.arrive(now, hostile(9)), Err(Refusal::Full));
    door.leave(places[0]);
    assert_eq!(door.arrive(now, hostile(9)).unwrap().evicted, None);
}

/// Ten seconds of 10,000 first messages a second, each from `address(number)`;
/// how many of them were read.
fn flood(door: &mut Door, address: impl Fn(u32) -> IpAddr) -> u32 {
    let mut read = 0;
    for number in 0..100_000 {
        let now = Timestamp::from_micros(100 * u64::from(number));
        let place = door.arrive(now, address(number)).unwrap().place;
        if door.greeted(now, place).is_ok() {
            read += 1;
        }
        door.leave(place);
    }
    read
}

#[test]
fn h2_ten_thousand_first_messages_a_second_from_many_addresses_cost_a_bounded_work() {
    let mut door = Door::new(DoorLimits::default());
    let read = flood(&mut door, hostile);
    assert!((23_990..=24_000).contains(&read), "burst and ten seconds' worth: {read}");
    assert!(door.prefixes() <= DoorLimits::default().prefixes);
    let counters = door.counters();
    assert_eq!((counters.greeted, counters.rate), (read.into(), u64::from(100_000 - read)));
}

#[test]
fn h2_one_prefix_gets_half_and_the_others_are_unaffected() {
    // A network of 256 homes with as many addresses as it likes, and IPv4
    // written as IPv6.
    let home = |number: u32| {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0x4200, 0, 0, 0, number.to_be_bytes()[3].into()).into()
    };
    let mapped = |number: u32| match number % 2 {
        0 => Ipv4Addr::new(10, 0, 0, 1).into(),
        _ => Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into(),
    };
    let addresses: [&dyn Fn(u32) -> IpAddr; 2] = [&home, &mapped];
    for address in addresses {
        let mut door = Door::new(DoorLimits::default());
        let read = flood(&mut door, address);
        assert!((11_990..=12_000).contains(&read), "burst and ten seconds' worth: {read}");
        let now = Timestamp::from_millis(10_000);
        for _ in 0..100 {
            let place = door.arrive(now, GOOD).unwrap().place;
            assert_eq!(door.greeted(now, place), Ok(()));
            door.leave(place);
        }
    }
}

#[test]
fn h2_a_prefix_cannot_refill_its_budget_by_leaving() {
    let limits = DoorLimits {
        work_per_prefix: Rate { per_second: 1, burst: 2 },
        prefixes: 2,
        ..DoorLimits::default()
    };
    let mut door = Door::new(limits);
    let ask = |door: &mut Door, now, from| {
        let place = door.arrive(now, from).unwrap().place;
        let answer = door.greeted(now, place);
        door.leave(place);
        answer
    };
    let now = Timestamp::ZERO;
    assert_eq!(ask(&mut door, now, hostile(1)), Ok(()));
    assert_eq!(ask(&mut door, now, hostile(1)), Ok(()));
    assert_eq!(ask(&mut door, now, hostile(1)), Err(Refusal::PrefixRate));
    assert_eq!(ask(&mut door, now, hostile(2)), Ok(()));
    assert_eq!(ask(&mut door, now, hostile(1)), Err(Refusal::PrefixRate), "it is remembered");
    assert_eq!(ask(&mut door, Timestamp::from_millis(1_000), hostile(1)), Ok(()));
    // The price of bounded memory: two others later it is unknown again.
    assert_eq!(ask(&mut door, Timestamp::from_millis(1_000), hostile(3)), Ok(()));
    assert_eq!(door.prefixes(), 2);
}

#[test]
fn q3_an_address_is_to_be_proven_above_the_threshold_only() {
    let mut door = Door::new(DoorLimits { prove_address_above: 3, ..DoorLimits::default() });
    let mut places = Vec::new();
    for number in 0..4 {
        assert!(!door.must_prove_address(GOOD));
        places.push(door.arrive(Timestamp::ZERO, hostile(number)).unwrap().place);
    }
    assert!(door.must_prove_address(GOOD));
    door.leave(places[0]);
    assert!(!door.must_prove_address(GOOD));
}

#[test]
fn q3_packets_forged_in_the_name_of_one_address_do_not_fill_its_places() {
    let limits = DoorLimits { prove_address_above_per_prefix: 2, ..DoorLimits::default() };
    let mut door = Door::new(limits);
    let mut forged = 0;
    while !door.must_prove_address(GOOD) {
        door.arrive(Timestamp::ZERO, GOOD).unwrap();
        forged += 1;
    }
    assert_eq!(forged, 3, "the rest of its 64 places are left to whoever proves it");
    assert!(!door.must_prove_address(hostile(1)), "others are spared the round trip");
}

#[test]
fn time_does_not_run_back_and_a_place_left_twice_is_left_once() {
    let mut door = Door::new(DoorLimits::default());
    let one = door.arrive(Timestamp::from_millis(10_000), GOOD).unwrap().place;
    let other = door.arrive(Timestamp::ZERO, GOOD).unwrap().place;
    assert_eq!(door.poll_timeout(), Some(Timestamp::from_millis(15_000)));
    assert_eq!(drain(&mut door, Timestamp::from_millis(14_999)), []);
    door.leave(one);
    door.leave(one);
    assert_eq!(door.half_open(), 1);
    assert_eq!(drain(&mut door, Timestamp::from_millis(15_000)), [other]);
    assert_eq!(door.greeted(Timestamp::ZERO, other), Err(Refusal::Gone));
}

#[derive(Debug, Clone)]
enum Call {
    Arrive(u32),
    Greeted(prop::sample::Index),
    Leave(prop::sample::Index),
    Wait(u64),
    Drain,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (0..6_u32).prop_map(Call::Arrive),
        3 => any::<prop::sample::Index>().prop_map(Call::Greeted),
        2 => any::<prop::sample::Index>().prop_map(Call::Leave),
        2 => (0..2_000_000_u64).prop_map(Call::Wait),
        1 => Just(Call::Drain),
    ]
}

/// What a place is, as the caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    from: u32,
    silent: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// H1: whatever the order of calls, what is kept is bounded, and it is the
    /// oldest silent one that makes room.
    #[test]
    fn h1_no_order_of_calls_exceeds_the_limits(calls in prop::collection::vec(call(), 0..300)) {
        let limits = DoorLimits {
            half_open: 5,
            half_open_per_prefix: 3,
            patience: Duration::from_secs(3),
            work: Rate { per_second: 3, burst: 6 },
            work_per_prefix: Rate { per_second: 1, burst: 2 },
            prefixes: 2,
            ..DoorLimits::default()
        };
        let mut door = Door::new(limits.clone());
        let mut now = Timestamp::ZERO;
        let mut inside: BTreeMap<PlaceId, Seen> = BTreeMap::new();
        let mut ever = BTreeSet::new();
        for call in calls {
            match call {
                Call::Arrive(from) => match door.arrive(now, hostile(from)) {
                    Ok(arrival) => {
                        if let Some(evicted) = arrival.evicted {
                            let gone = inside.remove(&evicted).unwrap();
                            prop_assert!(gone.silent);
                            let older = inside.range(..evicted).any(|(_, seen)| {
                                seen.silent && seen.from == gone.from
                            });
                            prop_assert!(!older);
                        }
                        prop_assert!(ever.insert(arrival.place), "no place is given twice");
                        inside.insert(arrival.place, Seen { from, silent: true });
                    }
                    Err(Refusal::PrefixFull) => {
                        prop_assert!(!inside.values().any(|seen| seen.from == from && seen.silent));
                    }
                    Err(refusal) => {
                        prop_assert_eq!(refusal, Refusal::Full);
                        prop_assert!(!inside.values().any(|seen| seen.silent));
                    }
                },
                Call::Greeted(index) if !ever.is_empty() => {
                    let &place = index.get(&ever.iter().collect::<Vec<_>>());
                    match (door.greeted(now, *place), inside.get_mut(place)) {
                        (Ok(()), Some(seen)) => seen.silent = false,
                        (Err(Refusal::Rate | Refusal::PrefixRate), Some(_))
                        | (Err(Refusal::Gone), None) => {}
                        (answer, seen) => prop_assert!(false, "{answer:?} for {seen:?}"),
                    }
                }
                Call::Leave(index) if !ever.is_empty() => {
                    let &place = index.get(&ever.iter().collect::<Vec<_>>());
                    door.leave(*place);
                    inside.remove(place);
                }
                Call::Wait(micros) => {
                    now = now + Duration::from_micros(micros);
                    door.handle_timeout(now);
                }
                Call::Drain => {
                    for place in drain(&mut door, now) {
                        prop_assert!(inside.remove(&place).is_some());
                    }
                    prop_assert!(door.poll_timeout().is_none_or(|at| at > now));
                }
                Call::Greeted(_) | Call::Leave(_) => {}
            }
            prop_assert_eq!(door.half_open(), inside.len());
            prop_assert!(door.half_open() <= limits.half_open);
            for from in 0..6 {
                let here = inside.values().filter(|seen| seen.from == from).count();
                prop_assert!(here <= limits.half_open_per_prefix);
            }
            let origins: BTreeSet<u32> = inside.values().map(|seen| seen.from).collect();
            prop_assert!(door.prefixes() <= origins.len() + limits.prefixes);
        }
        for place in ever {
            door.leave(place);
        }
        prop_assert_eq!((door.half_open(), door.poll_timeout()), (0, None));
        prop_assert!(door.prefixes() <= limits.prefixes);
        let counters = door.counters();
        prop_assert!(counters.greeted <= 6 + 3 * (now.as_micros() / 1_000_000 + 1));
    }
}
