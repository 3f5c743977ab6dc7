//! Messages and blocks out of the bytes of a stream.

use antiphon_wire::message::{
    Envelope, MAX_BLOCK_DATA_BYTES, MAX_MESSAGE_BYTES, MAX_PROOF_BYTES, MessageError,
    MessageReader, begin_message, encode_block_header, encode_message, end_message,
};
use bytes::Bytes;
use proptest::prelude::*;

fn encode(envelopes: &[Envelope]) -> Vec<u8> {
    let mut out = Vec::new();
    for envelope in envelopes {
        match envelope {
            Envelope::Message(body) => out.extend_from_slice(&encode_message(body)),
            Envelope::Block { index, proof, data } => {
                out.extend_from_slice(&encode_block_header(*index, proof, data.len()));
                out.extend_from_slice(data);
            }
        }
    }
    out
}

fn read_all(reader: &mut MessageReader) -> Vec<Envelope> {
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let bytes = |range| prop::collection::vec(any::<u8>(), range).prop_map(Bytes::from);
    prop_oneof![
        bytes(0..2_000usize).prop_map(Envelope::Message),
        (any::<u32>(), bytes(0..MAX_PROOF_BYTES + 1), 1..=MAX_BLOCK_DATA_BYTES).prop_map(
            |(index, proof, length)| {
                let data = Bytes::from(vec![index as u8; length]);
                Envelope::Block { index, proof, data }
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cut_gives_the_same_envelopes(
        envelopes in prop::collection::vec(envelope(), 0..8),
        cuts in prop::collection::vec(1usize..9_000, 1..20),
    ) {
        let bytes = Bytes::from(encode(&envelopes));
        let mut reader = MessageReader::default();
        let mut read = Vec::new();
        let mut rest = bytes;
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            reader.push(rest.split_to(cut.min(rest.len())));
            read.extend(read_all(&mut reader));
        }
        prop_assert_eq!(read, envelopes);
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn any_bytes_are_refused_or_bounded(
        pieces in prop::collection::vec(prop::collection::vec(0u8..4, 0..50), 0..50)
    ) {
        let mut reader = MessageReader::new(100);
        for piece in pieces {
            reader.push(piece.into());
            while let Ok(Some(_)) = reader.next() {}
            prop_assert!(reader.buffered() <= 20_000);
        }
    }
}

#[test]
fn envelopes_have_the_bytes_of_the_protocol_page() {
    assert_eq!(encode_message(b"hi"), [0, 0, 0, 0, 2, b'h', b'i'].as_slice());
    let mut several = Vec::new();
    for body in [&b"hi"[..], b"", b"you"] {
        let begin = begin_message(&mut several);
        several.extend(body);
        end_message(&mut several, begin);
    }
    assert_eq!(several, b"\0\0\0\0\x02hi\0\0\0\0\0\0\0\0\0\x03you");
    let header = encode_block_header(0x0102_0304, &[9, 8], 3);
    assert_eq!(header, [1, 0, 0, 0, 11, 1, 2, 3, 4, 0, 2, 9, 8].as_slice());
}

#[test]
fn a_block_that_lies_in_one_piece_is_not_copied() {
    let data = Bytes::from(vec![5; MAX_BLOCK_DATA_BYTES]);
    let place = data.as_ptr();
    let mut reader = MessageReader::default();
    reader.push(encode_block_header(3, &[1; 640], data.len()));
    reader.push(data);
    let Ok(Some(Envelope::Block { index: 3, proof, data })) = reader.next() else { panic!() };
    assert_eq!((proof.len(), data.as_ptr()), (640, place));
}

#[test]
fn the_first_byte_of_a_block_is_noticed() {
    let header = encode_block_header(0, &[0; 64], 10);
    let mut reader = MessageReader::default();
    for byte in header {
        assert!(!reader.block_bytes_begun());
        reader.push(Bytes::copy_from_slice(&[byte]));
        assert_eq!(reader.next(), Ok(None));
    }
    assert!(!reader.block_bytes_begun());
    reader.push(Bytes::from_static(b"1"));
    assert!(reader.block_bytes_begun());
    reader.push(Bytes::from_static(b"234567890"));
    assert!(reader.next().unwrap().is_some());
    assert!(!reader.block_bytes_begun());
}

#[test]
fn a_stream_that_ends_within_a_message_is_noticed() {
    let whole = encode_message(b"whole");
    for cut in 1..whole.len() {
        let mut reader = MessageReader::default();
        reader.push(whole.slice(..cut));
        assert_eq!(reader.next(), Ok(None));
        assert_eq!(reader.finish(), Err(MessageError::Cut(cut)));
    }
}

#[test]
fn f1_a_length_is_refused_before_anything_is_kept_for_it() {
    let refused = |bytes: &'static [u8]| {
        let mut reader = MessageReader::new(1_000);
        reader.push(Bytes::from_static(bytes));
        let error = reader.next().unwrap_err();
        assert_eq!(reader.buffered(), 0);
        reader.push(Bytes::from_static(&[0; 100]));
        assert_eq!(reader.next(), Err(error), "and stays refused");
        assert_eq!(reader.finish(), Err(error));
        assert_eq!(reader.buffered(), 0);
        error
    };
    assert_eq!(refused(&[2]), MessageError::Kind(2));
    assert_eq!(refused(&[0xff]), MessageError::Kind(0xff));
    let too_long = |length| MessageError::TooLong { length, max: 1_000 };
    assert_eq!(refused(&[0, 0, 0, 3, 0xe9]), too_long(1_001));
    assert_eq!(refused(&[0, 0xff, 0xff, 0xff, 0xff]), too_long(0xffff_ffff));
    assert_eq!(refused(&[1, 0, 0, 0, 6]), MessageError::BlockLength(6));
    assert_eq!(refused(&[1, 0, 0xff, 0, 0]), MessageError::BlockLength(0xff_0000));
}

#[test]
fn m6_a_message_in_endless_crumbs_costs_little_more_than_its_bytes() {
    let mut reader = MessageReader::default();
    let mut header = vec![0];
    header.extend((MAX_MESSAGE_BYTES as u32).to_be_bytes());
    reader.push(header.into());
    for _ in 1..MAX_MESSAGE_BYTES {
        reader.push(Bytes::from_static(b"x"));
        assert_eq!(reader.next(), Ok(None));
        assert!(reader.memory_bytes() <= 2 * MAX_MESSAGE_BYTES + 1_024);
    }
    reader.push(Bytes::from_static(b"x"));
    let Ok(Some(Envelope::Message(message))) = reader.next() else { panic!() };
    assert_eq!(message.len(), MAX_MESSAGE_BYTES);
    assert!(reader.memory_bytes() < 1_024, "and lets it go");
}

#[test]
fn m6_a_message_that_waits_keeps_no_record() {
    let plaintext = Bytes::from(vec![0; 60_000]);
    let mut reader = MessageReader::default();
    reader.push(Bytes::from_static(&[0, 0, 0, 0xff, 0]));
    reader.push(plaintext.slice(..10_000));
    assert_eq!(reader.next(), Ok(None));
    assert!(plaintext.is_unique(), "nothing but this test holds it");
}

#[test]
fn f9_no_kind_of_message_is_compressed() {
    for kind in 2..=u8::MAX {
        let mut reader = MessageReader::default();
        reader.push(Bytes::copy_from_slice(&[kind, 0, 0, 0, 1, 0]));
        assert_eq!(reader.next(), Err(MessageError::Kind(kind)));
    }
}

#[test]
fn f6_a_proof_that_leaves_no_data_or_too_much_is_refused() {
    for (proof, length) in [(1u16, 7u32), (0xffff, 7), (2_049, 2_100), (0, 16_391)] {
        let mut bytes = vec![1];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(proof.to_be_bytes());
        let mut reader = MessageReader::default();
        reader.push(bytes.into());
        let (proof, length) = (usize::from(proof), length as usize);
        assert_eq!(reader.next(), Err(MessageError::ProofLength { proof, length }));
    }
}
