//! Decoding a rendition as it arrives, beside symphonia's own reader, which
//! needs the whole file and seeks in it.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails should say so")]

use std::io::Cursor;

use antiphon_media::{Bitrate, StreamDecoder, encode, synth};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

fn ours(bytes: &[u8]) -> usize {
    let mut decoder = StreamDecoder::new();
    let mut samples = 0;
    for block in bytes.chunks(16 * 1024) {
        decoder.push(block);
        while let Some(chunk) = decoder.next_chunk().unwrap() {
            samples += chunk.samples.len();
        }
    }
    samples
}

fn symphonia_reader(bytes: &[u8]) -> usize {
    let source = MediaSourceStream::new(Box::new(Cursor::new(bytes.to_vec())), Default::default());
    let mut reader = symphonia::default::get_probe()
        .probe(&Hint::new(), source, FormatOptions::default(), MetadataOptions::default())
        .unwrap();
    let track = reader.default_track(TrackType::Audio).unwrap();
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else { return 0 };
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .unwrap();
    let (mut samples, mut interleaved) = (0, Vec::<f32>::new());
    while let Some(packet) = reader.next_packet().unwrap() {
        decoder.decode(&packet).unwrap().copy_to_vec_interleaved(&mut interleaved);
        samples += interleaved.len();
    }
    samples
}

fn first_sound(bytes: &[u8]) -> usize {
    let mut decoder = StreamDecoder::new();
    decoder.push(&bytes[..16 * 1024]);
    decoder.next_chunk().unwrap().unwrap().samples.len()
}

fn benches(criterion: &mut Criterion) {
    let encoded = encode(&synth::synthesise(1, 30), Bitrate::Kbps160).unwrap();
    let bytes = encoded.bytes.as_slice();
    let mut group = criterion.benchmark_group("decode_30s_160kbps");
    group.sample_size(20).throughput(Throughput::Elements(encoded.samples));
    group.bench_function("stream_decoder", |bencher| bencher.iter(|| ours(bytes)));
    group.bench_function("symphonia_reader", |bencher| bencher.iter(|| symphonia_reader(bytes)));
    group.bench_function("first_sound", |bencher| bencher.iter(|| first_sound(bytes)));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
