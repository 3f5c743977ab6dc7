//! Records out of bytes in any pieces.

use antiphon_wire::record::{
    MAX_RECORD_BYTES, MIN_RECORD_BYTES, RecordDecoder, RecordError, record_header,
};
use bytes::BufMut;
use proptest::prelude::*;

fn encode(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        out.extend(record_header(message.len()).unwrap());
        out.extend(message);
    }
    out
}

/// The records that come out when `bytes` go in in pieces of these sizes.
fn decode(bytes: &[u8], mut cuts: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
    let mut decoder = RecordDecoder::new();
    let mut records = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let buffer = decoder.buffer();
        let room = buffer.capacity() - buffer.len();
        let (piece, after) = rest.split_at(cuts.next().unwrap().min(room).min(rest.len()));
        buffer.put_slice(piece);
        rest = after;
        while let Some(record) = decoder.next_record().unwrap() {
            records.push(record.to_vec());
        }
    }
    assert_eq!(decoder.buffered(), 0);
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cut_gives_the_same_records(
        lengths in prop::collection::vec(prop_oneof![16usize..200, 16usize..=65_535], 1..12),
        cuts in prop::collection::vec(1usize..70_000, 1..20),
    ) {
        let messages: Vec<Vec<u8>> =
            lengths.iter().zip(1u8..).map(|(&length, byte)| vec![byte; length]).collect();
        let bytes = encode(&messages);
        prop_assert_eq!(decode(&bytes, cuts.into_iter().cycle()), messages);
    }
}

#[test]
fn byte_by_byte_gives_the_same_records() {
    let messages = [vec![1; 16], vec![2; 300], vec![3; 17]];
    assert_eq!(decode(&encode(&messages), std::iter::repeat(1)), messages);
}

#[test]
fn f6_a_record_too_short_for_a_tag_is_refused_at_once() {
    for length in [0, 1, 15] {
        let mut decoder = RecordDecoder::new();
        decoder.push(&[0]);
        assert_eq!(decoder.next_record(), Ok(None));
        decoder.push(&[length]);
        let error = RecordError::Length(usize::from(length));
        assert_eq!(decoder.next_record(), Err(error));
        assert_eq!(decoder.next_record(), Err(error), "and stays refused");
    }
}

#[test]
fn f6_only_lengths_of_records_are_encoded() {
    assert_eq!(record_header(MIN_RECORD_BYTES), Ok([0, 16]));
    assert_eq!(record_header(MAX_RECORD_BYTES), Ok([0xff, 0xff]));
    for length in [0, 15, 65_536, usize::MAX] {
        assert_eq!(record_header(length), Err(RecordError::Length(length)));
    }
}

#[test]
fn f1_the_largest_record_that_never_comes_holds_one_buffer() {
    let mut decoder = RecordDecoder::new();
    decoder.push(&[0xff, 0xff]);
    for _ in 0..65_534 {
        decoder.buffer().put_u8(0);
        assert!(decoder.next_record().unwrap().is_none());
    }
    assert!(decoder.buffer().capacity() <= 2 * (MAX_RECORD_BYTES + 2));
}
