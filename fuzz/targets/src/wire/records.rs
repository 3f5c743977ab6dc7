//! The bytes of a connection, cut anywhere.

use antiphon_wire::record::{
    MAX_RECORD_BYTES, RECORD_HEADER_BYTES, RecordDecoder, RecordError, record_header,
};
use bytes::BufMut;

use crate::script::{Script, pieces};

/// What the read buffer may hold in all: one record, as much again while it
/// moves to a new allocation, and the rounding of an allocator.
const MAX_CAPACITY_BYTES: usize = 4 * (RECORD_HEADER_BYTES + MAX_RECORD_BYTES);

/// Any bytes in any cut give the same records and the same end, and the buffer
/// never holds more than one record once it is drained.
///
/// Input: cuts (length u8 and bytes), then the bytes of the connection.
pub fn records(data: &[u8]) {
    let mut script = Script::new(data);
    let cuts = script.piece();
    let stream = script.rest();

    let whole = read(std::iter::once(stream), stream.len());
    let cut = read(pieces(cuts, stream), 0);
    assert_eq!(whole.records, cut.records, "the records depend on the cut");
    assert_eq!(whole.end, cut.end, "the end depends on the cut");
    if whole.end.is_ok() {
        assert_eq!(whole.left, cut.left, "what is left depends on the cut");
    }

    let mut written = Vec::new();
    for record in &whole.records {
        written.put_slice(&record_header(record.len()).expect("such a record was read"));
        written.put_slice(record);
    }
    assert!(stream.starts_with(&written), "the records are not what came");
    assert!(whole.end.is_err() || written.len() + whole.left == stream.len(), "bytes are lost");
}

struct Read {
    records: Vec<Vec<u8>>,
    end: Result<(), RecordError>,
    left: usize,
}

fn read<'data>(pieces: impl Iterator<Item = &'data [u8]>, largest_piece: usize) -> Read {
    let mut decoder = RecordDecoder::new();
    let mut read = Read { records: Vec::new(), end: Ok(()), left: 0 };
    for (number, piece) in pieces.enumerate() {
        // In the two ways that there are, which must not differ.
        if number % 2 == 0 {
            decoder.push(piece);
        } else {
            decoder.buffer().put_slice(piece);
        }
        loop {
            match decoder.next_record() {
                Ok(Some(record)) => read.records.push(record.to_vec()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_record(), Err(error), "the error is forgotten");
                    read.end = Err(error);
                    return read;
                }
            }
        }
        assert!(decoder.buffered() < RECORD_HEADER_BYTES + MAX_RECORD_BYTES, "it keeps too much");
        let capacity = decoder.buffer().capacity();
        assert!(capacity <= MAX_CAPACITY_BYTES.max(4 * largest_piece), "{capacity} bytes of room");
    }
    read.left = decoder.buffered();
    read
}
