//! Whoever begins something and does not go on (case F2 of the threat list).

use std::time::Duration;

use antiphon_types::Timestamp;
use antiphon_wire::message::{Envelope, MessageError, MessageReader, encode_message};
use antiphon_wire::record::{MAX_RECORD_BYTES, RecordDecoder, RecordError, record_header};
use antiphon_wire::{Limits, Patience};
use bytes::Bytes;

fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// Feeds `bytes` to a decoder, one each `interval`; when it gave up, if it did.
fn feed_records(bytes: &[u8], interval: Duration) -> Option<Timestamp> {
    let mut decoder = RecordDecoder::new();
    let mut now = seconds(100);
    for byte in bytes {
        while let Some(deadline) = decoder.poll_timeout().filter(|deadline| *deadline <= now) {
            if decoder.handle_timeout(deadline).is_err() {
                return Some(deadline);
            }
        }
        decoder.push(&[*byte]);
        decoder.handle_read(now);
        decoder.next_record().unwrap();
        now = now + interval;
    }
    let deadline = decoder.poll_timeout()?;
    assert_eq!(decoder.handle_timeout(deadline), Err(RecordError::TooSlow));
    Some(deadline)
}

fn whole_record(message_bytes: usize) -> Vec<u8> {
    let mut record = record_header(message_bytes).unwrap().to_vec();
    record.resize(2 + message_bytes, 0);
    record
}

#[test]
fn f2_a_length_field_that_is_not_completed_ends_after_the_grace() {
    assert_eq!(feed_records(&[0], Duration::ZERO), Some(seconds(110)));
}

#[test]
fn f2_a_body_that_never_comes_ends_by_its_length() {
    let header = record_header(2 * 1024).unwrap();
    assert_eq!(feed_records(&header, Duration::ZERO), Some(seconds(111)));
    let header = record_header(MAX_RECORD_BYTES).unwrap();
    let longest = feed_records(&header, Duration::ZERO).unwrap();
    let limit = Limits::default().idle_timeout;
    assert!(longest.saturating_since(seconds(100)) < limit, "the idle time-out would be sooner");
}

#[test]
fn f2_a_byte_per_second_ends_and_two_kilobytes_per_second_do_not() {
    let record = whole_record(60_000);
    assert_eq!(
        feed_records(&record, Duration::from_secs(1)),
        Some(Timestamp::from_micros(139_296_875))
    );
    assert_eq!(feed_records(&record, Duration::from_micros(600)), None);
}

#[test]
fn f2_each_record_has_its_own_time() {
    let mut decoder = RecordDecoder::new();
    let bytes = [whole_record(100), whole_record(200)].concat();
    let (first, rest) = bytes.split_at(110);
    decoder.push(first);
    decoder.handle_read(seconds(9));
    assert!(decoder.poll_timeout().is_none(), "it is complete, and ours to take");
    assert!(decoder.next_record().unwrap().is_some());
    let deadline = decoder.poll_timeout().unwrap();
    assert!(deadline >= seconds(19) && deadline < seconds(20), "{deadline}");
    decoder.push(rest);
    decoder.handle_read(seconds(18));
    assert!(decoder.next_record().unwrap().is_some());
    assert_eq!(decoder.poll_timeout(), None);
    assert_eq!(decoder.handle_timeout(Timestamp::MAX), Ok(()));
}

#[test]
fn f2_a_message_that_is_not_completed_ends() {
    let message = encode_message(&[7; 4 * 1024]);
    let mut reader = MessageReader::default();
    let mut now = seconds(0);
    let mut pieces = message.chunks(10);
    let error = loop {
        reader.handle_data(now, Bytes::copy_from_slice(pieces.next().unwrap()));
        assert_eq!(reader.next(), Ok(None));
        reader.wait(now);
        now = now + Duration::from_millis(100);
        if let Err(error) = reader.handle_timeout(now) {
            break error;
        }
    };
    assert_eq!((error, now), (MessageError::TooSlow, seconds(12)));
    assert_eq!(reader.next(), Err(error));
    assert_eq!((reader.buffered(), reader.poll_timeout()), (0, None));
}

#[test]
fn f2_time_in_which_nobody_reads_does_not_count() {
    let message = encode_message(&[7; 100]);
    let mut reader = MessageReader::default();
    let mut now = seconds(0);
    for piece in message.chunks(10) {
        reader.handle_data(now, Bytes::copy_from_slice(piece));
        let whole = reader.next().unwrap();
        reader.wait(now + Duration::from_secs(60));
        assert_eq!(reader.handle_timeout(now + Duration::from_secs(60)), Ok(()));
        assert_eq!(whole.is_some(), piece.len() < 10, "{whole:?}");
        now = now + Duration::from_secs(60) + Duration::from_millis(500);
    }
}

#[test]
fn f2_waiting_for_a_message_that_has_not_begun_takes_any_time() {
    let mut reader = MessageReader::default();
    reader.wait(seconds(0));
    assert_eq!(reader.poll_timeout(), None);
    reader.handle_data(seconds(1_000), encode_message(b"late"));
    assert_eq!(reader.next(), Ok(Some(Envelope::Message("late".into()))));
}

#[test]
fn the_bound_can_be_changed_or_left_out() {
    let strict = Patience { grace: Duration::from_secs(1), bytes_per_second: 1_000 };
    assert_eq!(strict.longest(500), Duration::from_millis(1_500));
    let mut decoder = RecordDecoder::with_patience(strict);
    decoder.push(&[0]);
    decoder.handle_read(seconds(0));
    assert_eq!(decoder.poll_timeout(), Some(seconds(1)));
    let none = Patience { bytes_per_second: 0, ..strict };
    let mut reader = MessageReader::default().with_patience(none);
    reader.push(Bytes::from_static(&[0]));
    reader.wait(seconds(0));
    assert_eq!(reader.poll_timeout(), Some(Timestamp::MAX));
}
