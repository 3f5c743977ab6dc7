use std::io::Cursor;

use antiphon_media::{PcmHasher, RawPcmWriter, Sink, WavWriter, to_i16};

#[test]
fn samples_are_rounded_to_even_and_clipped() {
    let step = 1.0 / 32_768.0;
    assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(|x| to_i16(x * step)), [0, 2, 2, 0, -2]);
    assert_eq!([1.0, 9.0, -1.0, -9.0, f32::NAN].map(to_i16), [32_767, 32_767, -32_768, -32_768, 0]);
}

#[test]
fn a_finished_wav_reads_back() {
    let samples: Vec<i16> = (0..5_000).map(|i| (i * 13 % 30_011) as i16 - 15_000).collect();
    let mut wav = WavWriter::new(Cursor::new(Vec::new())).unwrap();
    samples.chunks(700).for_each(|piece| wav.write(piece).unwrap());
    wav.finish().unwrap();
    let bytes = wav.into_inner().into_inner();
    let reader = hound::WavReader::new(&bytes[..]).unwrap();
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 44_100, 16));
    assert_eq!(reader.into_samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), samples);
}

#[test]
fn an_unfinished_wav_still_has_a_header_and_its_samples() {
    let mut wav = WavWriter::new(Cursor::new(Vec::new())).unwrap();
    wav.write(&[1, 2, 3, 4]).unwrap();
    let bytes = wav.into_inner().into_inner();
    assert_eq!(&bytes[..4], b"RIFF");
    assert_eq!(&bytes[44..], [1, 0, 2, 0, 3, 0, 4, 0]);
}

#[test]
fn raw_samples_and_their_hash_agree() {
    let samples = [1_i16, -2, 300, -32_768];
    let mut raw = RawPcmWriter::new(Vec::new());
    raw.write(&samples[..1]).unwrap();
    raw.write(&samples[1..]).unwrap();
    raw.finish().unwrap();
    let mut hasher = PcmHasher::new();
    hasher.update(&samples);
    assert_eq!(hasher.finish(), *blake3::hash(&raw.into_inner()).as_bytes());
    assert_eq!(hasher.samples(), 4);
}
