use std::fs;

use antiphon_media::{MAX_TEXT_BYTES, read_tags};

/// An ID3v2.4 tag with those frames.
fn id3(frames: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let size = |length: usize| [21, 14, 7, 0].map(|shift| (length >> shift & 0x7f) as u8);
    let mut body = Vec::new();
    for (id, content) in frames {
        body.extend_from_slice(*id);
        body.extend(size(content.len()));
        body.extend([0, 0]);
        body.extend_from_slice(content);
    }
    let mut tag = b"ID3\x04\0\0".to_vec();
    tag.extend(size(body.len()));
    tag.extend(body);
    // A silent frame of MPEG 1 layer III, 128 kbit/s, so that it is an MP3.
    for _ in 0..4 {
        tag.extend([0xff, 0xfb, 0x90, 0x64]);
        tag.extend([0; 413]);
    }
    tag
}

#[test]
fn tags_are_read_and_cleaned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file name.mp3");
    let picture = [&b"\x03image/svg+xml\0\x03\0"[..], b"\x89PNG\r\n\x1a\n", &[7; 50]].concat();
    let bytes = id3(&[
        (b"TIT2", b"\x03A\nTitle\x07"),
        (b"TPE1", "\u{3}\u{202e}Someone".as_bytes()),
        (b"TALB", b"\x03Album"),
        (b"TPE2", b"\x03Everyone"),
        (b"TRCK", b"\x033/12"),
        (b"TPOS", b"\x032"),
        (b"TDRC", b"\x031999-12-31"),
        (b"TCON", b"\x03Folk"),
        (b"TSRC", b"\x03GBAYE0000351"),
        (b"APIC", &picture),
    ]);
    fs::write(&path, bytes).unwrap();
    let (tags, cover) = read_tags(&path);
    assert_eq!(tags.title, "A Title");
    assert_eq!(tags.artist.as_deref(), Some("Someone"));
    assert_eq!(tags.album.as_deref(), Some("Album"));
    assert_eq!(tags.album_artist.as_deref(), Some("Everyone"));
    assert_eq!((tags.track_number, tags.disc_number, tags.year), (Some(3), Some(2), Some(1999)));
    assert_eq!(tags.genre.as_deref(), Some("Folk"));
    assert_eq!(tags.isrc.as_deref(), Some("GBAYE0000351"));
    assert_eq!(cover.unwrap().mime, "image/png", "by its bytes, whatever the tag claims");
}

#[test]
fn texts_are_bounded_and_large_covers_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp3");
    let title = [&b"\x03"[..], &[b'x'; 5_000]].concat();
    let picture = [&b"\x03image/jpeg\0\x03\0\xff\xd8\xff"[..], &vec![7; 3 << 20]].concat();
    fs::write(&path, id3(&[(b"TIT2", &title), (b"APIC", &picture)])).unwrap();
    let (tags, cover) = read_tags(&path);
    assert_eq!(tags.title.len(), MAX_TEXT_BYTES);
    assert_eq!(cover, None);
}

#[test]
fn without_tags_the_file_name_is_the_title() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("01 - My Song.wav");
    antiphon_media::synth::write_wav(&path, 1, 1).unwrap();
    assert_eq!(read_tags(&path).0.title, "01 - My Song");
    assert_eq!(read_tags(&folder.path().join("gone.mp3")).0.title, "gone");
}
