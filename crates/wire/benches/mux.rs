//! Multiplexer to multiplexer, without cipher and socket: what a byte costs
//! beyond them.

use antiphon_types::{Class, Timestamp};
use antiphon_wire::mux::{Event, Limits, Mux, Role, StreamId};
use antiphon_wire::record::MAX_PLAINTEXT_BYTES;
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const NOW: Timestamp = Timestamp::ZERO;
const BLOCK_BYTES: usize = 16 * 1024;
const BLOCKS: usize = 256;

struct Ends {
    sender: Mux,
    receiver: Mux,
    streams: Vec<StreamId>,
    received: usize,
}

impl Ends {
    fn new(streams: usize) -> Self {
        let mut sender = Mux::new(Role::Initiator, Limits::default(), NOW);
        let streams = (0..streams).map(|_| sender.open(Class::Now).expect("it is new")).collect();
        let receiver = Mux::new(Role::Responder, Limits::default(), NOW);
        Self { sender, receiver, streams, received: 0 }
    }

    /// Sends so many blocks over all streams in turn, as a server does.
    fn transfer(&mut self, block: &Bytes) {
        let expected = self.received + BLOCKS * BLOCK_BYTES;
        let mut written = 0;
        while self.received < expected {
            while written < BLOCKS {
                let id = self.streams[written % self.streams.len()];
                if self.sender.write(id, block.clone()).is_err() {
                    break;
                }
                written += 1;
            }
            self.carry();
        }
    }

    fn carry(&mut self) {
        let mut record = BytesMut::with_capacity(MAX_PLAINTEXT_BYTES);
        while self.sender.poll_record(NOW, &mut record, MAX_PLAINTEXT_BYTES) > 0 {
            self.receiver.handle_record(NOW, record.split().freeze()).expect("it is ours");
            while let Some(event) = self.receiver.poll_event() {
                if let Event::Data { id, data } = event {
                    self.received += data.len();
                    self.receiver.consume(id, data.len());
                }
            }
            while self.receiver.poll_record(NOW, &mut record, MAX_PLAINTEXT_BYTES) > 0 {
                self.sender.handle_record(NOW, record.split().freeze()).expect("it is ours");
            }
            record.reserve(MAX_PLAINTEXT_BYTES);
        }
        while self.sender.poll_event().is_some() {}
    }
}

fn bulk(criterion: &mut Criterion) {
    let block = Bytes::from(vec![0xa5; BLOCK_BYTES]);
    let mut group = criterion.benchmark_group("mux_bulk");
    group.throughput(Throughput::Bytes((BLOCKS * BLOCK_BYTES) as u64));
    for streams in [1, 100] {
        let mut ends = Ends::new(streams);
        group.bench_function(format!("{streams}_streams"), |bencher| {
            bencher.iter(|| ends.transfer(&block));
        });
    }
    group.finish();
}

fn request(criterion: &mut Criterion) {
    let limits = Limits {
        opens: antiphon_wire::Rate { per_second: u32::MAX, burst: u32::MAX },
        ..Limits::default()
    };
    let block = Bytes::from(vec![0xa5; BLOCK_BYTES]);
    criterion.bench_function("mux_request_16k", |bencher| {
        // Time stands still here, so the ids of one connection serve all.
        let mut client = Mux::new(Role::Initiator, limits.clone(), NOW);
        let mut server = Mux::new(Role::Responder, limits.clone(), NOW);
        bencher.iter(|| {
            let id = client.open(Class::Now).expect("one is open at a time");
            client.write(id, Bytes::from_static(&[0; 64])).expect("it is new");
            client.finish(id);
            carry(&mut client, &mut server);
            server.write(id, block.clone()).expect("it is new");
            server.finish(id);
            carry(&mut server, &mut client);
        });
    });
}

fn carry(from: &mut Mux, to: &mut Mux) {
    let mut record = BytesMut::new();
    while from.poll_record(NOW, &mut record, MAX_PLAINTEXT_BYTES) > 0 {
        to.handle_record(NOW, record.split().freeze()).expect("it is ours");
        while let Some(event) = to.poll_event() {
            if let Event::Data { id, data } = event {
                to.consume(id, data.len());
            }
        }
    }
}

criterion_group!(benches, bulk, request);
criterion_main!(benches);
