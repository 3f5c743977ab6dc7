//! Cases I of the threats: files that are out to harm whoever ingests them.
//! Each ends as one reported file, and a good one beside it is taken.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use antiphon_media::{Bitrate, MAX_COVER_BYTES, encode, synth};

use crate::made::{Flac, m4a, mp3, mp4_box, ogg_page, seal, vorbis_head, wav};
use crate::support::{Bench, Outcomes};

/// Ingests those files beside a good one; all of them must be skipped.
fn refused(files: &[(&str, Vec<u8>)]) -> Outcomes {
    let bench = Bench::new();
    for (name, bytes) in files {
        bench.put(name, bytes);
    }
    bench.put_music("good.wav", 1);
    let mut outcomes = bench.ingest();
    assert_eq!(outcomes.remove("good.wav").as_deref(), Some("added"));
    assert_eq!(outcomes.len(), files.len());
    for (name, outcome) in &outcomes {
        assert_ne!(outcome, "added", "{name}");
    }
    outcomes
}

/// Two seconds of music as an Ogg Vorbis file.
fn ogg() -> Vec<u8> {
    encode(&synth::synthesise(3, 2), Bitrate::Kbps96).unwrap().bytes
}

/// Where the last page of an Ogg file begins.
fn last_page(ogg: &[u8]) -> usize {
    (0..ogg.len() - 4).rev().find(|at| ogg[*at..].starts_with(b"OggS")).unwrap()
}

#[test]
fn i1_lengths_near_the_largest_number_neither_hang_nor_fill_memory() {
    let flac = |stated_samples| Flac { rate: 44_100, channels: 2, stated_samples, frames: 2 };
    let endless_box = [b"\0\0\0\x01moov", &u64::MAX.to_be_bytes()[..], &[0; 64]].concat();
    let mut xing = mp3(&[]);
    xing[10 + 36..10 + 48].copy_from_slice(b"Xing\0\0\0\x01\xff\xff\xff\xff");
    let outcomes = refused(&[
        ("36 bits.flac", flac(u64::MAX).bytes()),
        ("half.flac", flac(1 << 35).bytes()),
        ("box.m4a", [mp4_box(b"ftyp", b"M4A \0\0\0\0"), endless_box].concat()),
        ("duration.m4a", m4a(u32::MAX, u32::MAX, 4)),
        ("xing.mp3", xing),
    ]);
    for name in ["36 bits.flac", "half.flac", "duration.m4a"] {
        assert!(outcomes[name].contains("longer than"), "{name}: {}", outcomes[name]);
    }
}

#[test]
fn i1_what_is_there_counts_where_a_length_was_not_known_or_is_absurd() {
    let bench = Bench::new();
    let streamed = Flac { rate: 44_100, channels: 2, stated_samples: 0, frames: 2 };
    bench.put("streamed.flac", &streamed.bytes());
    let mut late = ogg();
    let at = last_page(&late);
    late[at + 6..at + 14].copy_from_slice(&(i64::MAX as u64).to_le_bytes());
    seal(&mut late[at..]);
    bench.put("granule.ogg", &late);
    let outcomes = bench.ingest();
    assert!(outcomes.values().all(|outcome| outcome == "added"), "{outcomes:?}");
    let seconds: Vec<serde_json::Value> = bench
        .list()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seconds"].clone())
        .collect();
    assert_eq!(seconds, [2, 2]);
}

#[test]
fn i2_headers_that_ask_for_giant_buffers_get_none() {
    let mut block = b"fLaC\x00\0\0\x22".to_vec();
    block.extend([0; 34]);
    block.extend(b"\x86\xff\xff\xff\0\0\0\x03\x7f\xff\xff\xff");
    let mut setup = b"\x05vorbis\xffBCV".to_vec();
    setup.extend([0xff; 400]);
    let comment = b"\x03vorbis\xff\xff\xff\x7f\xff\xff\xff\x7f";
    let codebooks = [
        ogg_page(2, 0, 0, &[&vorbis_head(2, 44_100)]),
        ogg_page(0, 0, 1, &[comment, &setup]),
        ogg_page(4, 1_000, 2, &[&[0; 30]]),
    ];
    let id3 = [b"ID3\x04\0\0\x7f\x7f\x7f\x7fAPIC\x7f\x7f\x7f\x0f\0\0", &[0xff; 300][..]].concat();
    refused(&[
        ("block.flac", block),
        ("codebooks.ogg", codebooks.concat()),
        ("tag.mp3", id3),
        ("sizes.m4a", m4a(44_100, u32::MAX, 0)),
        ("sample.m4a", m4a(44_100, 43, u32::MAX)),
        ("chunk.wav", b"RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\xfe".to_vec()),
    ]);
}

#[test]
fn i3_absurd_rates_and_channels_are_refused_before_they_cost_anything() {
    let vorbis = |channels, rate| ogg_page(2, 0, 0, &[&vorbis_head(channels, rate)]);
    refused(&[
        ("no channels.wav", wav(0, 44_100, 1_000, 1_000)),
        ("255 channels.wav", wav(255, 44_100, 51_000, 51_000)),
        ("65535 channels.wav", wav(u16::MAX, 44_100, 131_070, 131_070)),
        ("no rate.wav", wav(2, 0, 1_000, 1_000)),
        ("a hertz.wav", wav(2, 1, 1_000, 1_000)),
        ("four gigahertz.wav", wav(2, u32::MAX, 1_000, 1_000)),
        ("no channels.ogg", vorbis(0, 44_100)),
        ("255 channels.ogg", vorbis(255, 44_100)),
        ("four gigahertz.ogg", vorbis(2, u32::MAX)),
        ("no rate.flac", Flac { rate: 0, channels: 2, stated_samples: 0, frames: 2 }.bytes()),
    ]);
}

#[test]
fn i3_a_rate_that_has_nothing_in_common_with_ours_takes_bounded_memory() {
    let bench = Bench::new();
    bench.put("prime.wav", &wav(2, 383_987, 383_987 * 4, 383_987 * 4));
    assert_eq!(bench.ingest()["prime.wav"], "added");
}

#[test]
fn i3_years_of_silence_in_a_small_file_are_refused() {
    let flac = |stated_samples| Flac { rate: 44_100, channels: 2, stated_samples, frames: 20 };
    // Nine days, in a header.
    let outcomes = refused(&[("silence.flac", flac(44_100 * 800_000).bytes())]);
    assert!(outcomes["silence.flac"].contains("longer than"), "{outcomes:?}");
}

#[test]
fn i3_a_giant_cover_is_dropped_and_the_music_kept() {
    let bench = Bench::new();
    let mut picture = b"\0image/png\0\x03\0\x89PNG\r\n\x1a\n".to_vec();
    picture.resize(8 * MAX_COVER_BYTES, 0x55);
    bench.put("cover.mp3", &mp3(&[(b"TIT2", b"\x03Covered"), (b"APIC", &picture)]));
    let text = [&b"\x03"[..], &vec![b'A'; 8 << 20]].concat();
    bench.put("title.mp3", &mp3(&[(b"TIT2", &text)]));
    let outcomes = bench.ingest();
    assert!(outcomes.values().all(|outcome| outcome == "added"), "{outcomes:?}");
    assert!(bench.list().contains("Covered"));
    assert!(bench.list().len() < 4_000, "titles are cut");
}

#[test]
fn i4_streams_without_end_are_refused_and_do_not_block() {
    let bench = Bench::new();
    let pipe = bench.music().join("pipe.ogg");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let zero = PathBuf::from("/dev/zero");
    let good = bench.put_music("good.wav", 1);
    let outcomes = bench.ingest_these(&[&pipe, &zero, &good]);
    assert_eq!(outcomes["good.wav"], "added");
    for name in ["pipe.ogg", "zero"] {
        assert!(outcomes[name].contains("not a regular file"), "{name}: {}", outcomes[name]);
    }
    let chained = [ogg(), ogg(), ogg()].concat();
    let outcomes = refused(&[("chained.ogg", chained)]);
    assert!(outcomes["chained.ogg"].contains("changes its format"), "{outcomes:?}");
}

#[test]
fn i5_names_are_never_paths() {
    let bench = Bench::new();
    let names =
        ["a..wav", "con.wav", "-rf.wav", "~.wav", "$(touch x).wav", "a\nb\u{7}.wav", "%00.wav"];
    for (seconds, name) in (1..).zip(names) {
        bench.put_music(name, seconds);
    }
    let tags: [(&[u8; 4], &[u8]); 3] = [
        (b"TIT2", b"\x03../../../escaped\0more"),
        (b"TALB", b"\x03/etc/passwd"),
        (b"TPE1", b"\x03CON\x1b[2J"),
    ];
    bench.put("tags.mp3", &mp3(&tags));
    let outcomes = bench.ingest();
    assert_eq!(outcomes.len(), names.len() + 1);
    assert!(outcomes.values().all(|outcome| outcome == "added"), "{outcomes:?}");
    let list = bench.list();
    assert!(!list.contains("\\u001b") && !list.contains("\\u0000"), "{list}");
    // Blobs are named by their content, and there is nothing else.
    let known = ["blobs", "catalog.sqlite", "content.key", "ingest", "node.key"];
    for entry in fs::read_dir(bench.data()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.iter().any(|known| name.starts_with(known)), "{name}");
    }
    for entry in fs::read_dir(bench.data().join("blobs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (id, ending) = name.split_once('.').unwrap();
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        assert!(["blob", "obao4"].contains(&ending), "{name}");
    }
    let beside = fs::read_dir(bench.data().parent().unwrap()).unwrap().count();
    assert_eq!(beside, 2, "nothing was written beside the data");
}

#[test]
fn i6_an_address_in_a_playlist_or_a_tag_is_only_text() {
    let bench = Bench::new();
    bench.put("list.ogg", b"#EXTM3U\nhttp://127.0.0.1:1/latest/meta-data\n");
    bench.put(
        "tag.mp3",
        &mp3(&[(b"TIT2", b"\x03http://127.0.0.1:1/x"), (b"WOAF", b"http://127.0.0.1:1/")]),
    );
    let outcomes = bench.ingest();
    assert!(outcomes["list.ogg"].contains("not audio"), "{outcomes:?}");
    assert_eq!(outcomes["tag.mp3"], "added");
}

#[test]
fn i7_a_name_is_never_an_option() {
    let bench = Bench::new();
    let names = ["--memory-bytes=1", "--help", "-", "--", "--name", "-h.wav", "; exit 1"];
    for (seconds, name) in (1..).zip(names) {
        bench.put_music(name, seconds);
    }
    let outcomes = bench.ingest();
    assert_eq!(outcomes.len(), names.len());
    assert!(outcomes.values().all(|outcome| outcome == "added"), "{outcomes:?}");
}

#[test]
fn i8_script_in_a_title_is_text_and_a_drawing_is_no_cover() {
    let bench = Bench::new();
    let svg = b"\0image/png\0\x03\0<svg onload='alert(1)'/>";
    bench.put("a.mp3", &mp3(&[(b"TIT2", b"\x03<script>alert(1)</script>"), (b"APIC", svg)]));
    assert_eq!(bench.ingest()["a.mp3"], "added");
    assert!(bench.list().contains("<script>"));
    let catalogue = fs::read(bench.data().join("catalog.sqlite")).unwrap();
    assert!(!catalogue.windows(4).any(|window| window == b"<svg"));
}
