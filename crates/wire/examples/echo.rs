//! An echo over an in-memory pipe that cuts the bytes anywhere.
//!
//! Both ends of a connection in one process, with records but without a
//! cipher: where `TAG` is appended a driver would encrypt, and where it is cut
//! off it would decrypt.

use antiphon_types::{Class, Timestamp};
use antiphon_wire::message::{Envelope, MessageReader, encode_message};
use antiphon_wire::mux::{Event, Limits, Mux, Role};
use antiphon_wire::record::{MAX_PLAINTEXT_BYTES, RecordDecoder, TAG_BYTES, record_header};
use bytes::{Buf, BytesMut};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Stands for what a cipher would append.
const TAG: [u8; TAG_BYTES] = [0; TAG_BYTES];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let now = Timestamp::ZERO;
    let mut client = Mux::new(Role::Initiator, Limits::default(), now);
    let mut server = Mux::new(Role::Responder, Limits::default(), now);
    let mut to_server = Pipe::new(1);
    let mut to_client = Pipe::new(2);

    let stream = client.open(Class::Now)?;
    for word in ["sing", "in", "answer"] {
        client.write(stream, encode_message(word.as_bytes()))?;
    }
    client.finish(stream);

    let mut reply = MessageReader::default();
    let mut done = false;
    while !done {
        to_server.carry(&mut client, &mut server)?;
        while let Some(event) = server.poll_event() {
            match event {
                // What comes goes back as it is: no need to read messages.
                Event::Data { id, data } => {
                    server.consume(id, data.len());
                    server.write(id, data)?;
                }
                Event::Finished { id } => server.finish(id),
                _ => {}
            }
        }
        to_client.carry(&mut server, &mut client)?;
        while let Some(event) = client.poll_event() {
            match event {
                Event::Data { id, data } => {
                    client.consume(id, data.len());
                    reply.push(data);
                }
                Event::Finished { .. } => done = true,
                _ => {}
            }
        }
        while let Some(Envelope::Message(body)) = reply.next()? {
            say(&body)?;
        }
    }
    reply.finish()?;
    Ok(())
}

/// One direction of a connection.
struct Pipe {
    bytes: BytesMut,
    records: RecordDecoder,
    cuts: ChaCha8Rng,
}

impl Pipe {
    fn new(seed: u64) -> Self {
        Self {
            bytes: BytesMut::new(),
            records: RecordDecoder::new(),
            cuts: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Takes one record in, and lets a few bytes out.
    fn carry(&mut self, from: &mut Mux, to: &mut Mux) -> Result<(), Failure> {
        let mut record = BytesMut::new();
        if from.poll_record(Timestamp::ZERO, &mut record, MAX_PLAINTEXT_BYTES) > 0 {
            record.extend_from_slice(&TAG);
            self.bytes.extend_from_slice(&record_header(record.len())?);
            self.bytes.extend_from_slice(&record);
        }
        let some = usize::try_from(self.cuts.next_u32() % 16)?.min(self.bytes.len());
        self.records.push(&self.bytes[..some]);
        self.bytes.advance(some);
        while let Some(mut record) = self.records.next_record()? {
            record.truncate(record.len() - TAG_BYTES);
            to.handle_record(Timestamp::ZERO, record.freeze())?;
        }
        Ok(())
    }
}

fn say(words: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{}", String::from_utf8_lossy(words))
}
