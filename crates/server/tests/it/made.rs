//! Files that are written to be a nuisance.

/// A FLAC file: what its header says, and frames of 65,535 samples of silence.
pub(crate) struct Flac {
    pub(crate) rate: u32,
    pub(crate) channels: u8,
    pub(crate) stated_samples: u64,
    pub(crate) frames: u32,
}

impl Flac {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"fLaC\x80\0\0\x22".to_vec();
        bytes.extend([0xff, 0xff, 0xff, 0xff]);
        bytes.extend([0; 6]);
        let packed = u64::from(self.rate) << 44
            | u64::from(self.channels - 1) << 41
            | 15 << 36
            | self.stated_samples & 0xf_ffff_ffff;
        bytes.extend(packed.to_be_bytes());
        bytes.extend([0; 16]);
        for number in 0..self.frames {
            bytes.extend(self.frame(number));
        }
        bytes
    }

    fn frame(&self, number: u32) -> Vec<u8> {
        let mut frame = vec![0xff, 0xf8, 0x79, (self.channels - 1) << 4 | 8];
        let number = char::from_u32(number).unwrap();
        frame.extend(number.encode_utf8(&mut [0; 4]).bytes());
        frame.extend([0xff, 0xfe]);
        frame.push(crc(&frame, 8, 0x07) as u8);
        for _ in 0..self.channels {
            frame.extend([0, 0, 0]);
        }
        frame.extend((crc(&frame, 16, 0x8005) as u16).to_be_bytes());
        frame
    }
}

fn crc(bytes: &[u8], bits: u32, polynomial: u32) -> u32 {
    let mut sum = 0_u32;
    for byte in bytes {
        sum ^= u32::from(*byte) << (bits - 8);
        for _ in 0..8 {
            let top = sum >> (bits - 1) & 1;
            sum = ((sum << 1) ^ (top * polynomial)) & ((1_u64 << bits) - 1) as u32;
        }
    }
    sum
}

/// A WAV header with those numbers, and some samples.
pub(crate) fn wav(channels: u16, rate: u32, stated_bytes: u32, bytes: usize) -> Vec<u8> {
    let frame_bytes = channels.wrapping_mul(2);
    let mut wav = b"RIFF".to_vec();
    wav.extend(stated_bytes.saturating_add(36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    wav.extend(channels.to_le_bytes());
    wav.extend(rate.to_le_bytes());
    wav.extend(rate.wrapping_mul(u32::from(frame_bytes)).to_le_bytes());
    wav.extend(frame_bytes.to_le_bytes());
    wav.extend(b"\x10\0data");
    wav.extend(stated_bytes.to_le_bytes());
    wav.resize(wav.len() + bytes, 0);
    wav
}

/// A box of an MP4 file.
pub(crate) fn mp4_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes(), &kind[..], content].concat()
}

/// An M4A file with those tables and no sound.
pub(crate) fn m4a(duration: u32, samples: u32, sample_bytes: u32) -> Vec<u8> {
    let full = |kind, content: &[u8]| mp4_box(kind, &[&[0; 4], content].concat());
    let number = u32::to_be_bytes;
    let time = [&[0; 8], &number(44_100)[..], &number(duration)].concat();
    let esds =
        [&[3, 25, 0, 1, 0, 4, 17, 0x40, 0x15, 0, 0, 0][..], &[0; 8], &[5, 2, 0x12, 0x10, 6, 1, 2]];
    let sound = [
        &[0, 0, 0, 0, 0, 0, 0, 1][..],
        &[0; 8],
        &[0, 2, 0, 16, 0, 0, 0, 0],
        &number(44_100 << 16),
        &full(b"esds", &esds.concat()),
    ];
    let table = [
        full(b"stsd", &[&number(1)[..], &mp4_box(b"mp4a", &sound.concat())].concat()),
        full(b"stts", &[number(1), number(samples), number(1024)].concat()),
        full(b"stsc", &[number(1), number(1), number(samples), number(1)].concat()),
        full(b"stsz", &[number(sample_bytes), number(samples)].concat()),
        full(b"stco", &[number(1), number(40)].concat()),
    ];
    let media = [
        full(b"mdhd", &[&time[..], &[0x55, 0xc4, 0, 0]].concat()),
        full(b"hdlr", &[&[0; 4], &b"soun"[..], &[0; 13]].concat()),
        mp4_box(b"minf", &[full(b"smhd", &[0; 4]), mp4_box(b"stbl", &table.concat())].concat()),
    ];
    let track = [
        full(b"tkhd", &[&[0; 8], &number(1)[..], &[0; 4], &number(duration), &[0; 60]].concat()),
        mp4_box(b"mdia", &media.concat()),
    ];
    let movie = [full(b"mvhd", &[&time[..], &[0; 80]].concat()), mp4_box(b"trak", &track.concat())];
    let head = mp4_box(b"ftyp", b"M4A \0\0\0\0");
    [head, mp4_box(b"mdat", &[0; 64]), mp4_box(b"moov", &movie.concat())].concat()
}

/// An ID3v2.4 tag with those frames, and some silence in MPEG layer III.
pub(crate) fn mp3(frames: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let size = |length: usize| [21, 14, 7, 0].map(|shift| (length >> shift & 0x7f) as u8);
    let mut body = Vec::new();
    for (id, content) in frames {
        body.extend_from_slice(*id);
        body.extend(size(content.len()));
        body.extend([0, 0]);
        body.extend_from_slice(content);
    }
    let mut bytes = [b"ID3\x04\0\0", &size(body.len())[..], &body].concat();
    for _ in 0..40 {
        bytes.extend([0xff, 0xfb, 0x90, 0x64]);
        bytes.extend([0; 413]);
    }
    bytes
}

/// A page of Ogg with a right checksum.
pub(crate) fn ogg_page(flags: u8, granule: u64, sequence: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut lacing = Vec::new();
    for packet in packets {
        lacing.extend(vec![255; packet.len() / 255]);
        lacing.push((packet.len() % 255) as u8);
    }
    let mut page = [&b"OggS\0"[..], &[flags], &granule.to_le_bytes()].concat();
    page.extend(7_u32.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    page.push(lacing.len() as u8);
    page.extend(lacing);
    page.extend(packets.concat());
    seal(&mut page);
    page
}

/// Makes the checksum of a page right.
pub(crate) fn seal(page: &mut [u8]) {
    page[22..26].fill(0);
    let sum = page.iter().fold(0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    });
    page[22..26].copy_from_slice(&sum.to_le_bytes());
}

/// A Vorbis identification header.
pub(crate) fn vorbis_head(channels: u8, rate: u32) -> Vec<u8> {
    let mut head = b"\x01vorbis\0\0\0\0".to_vec();
    head.push(channels);
    head.extend(rate.to_le_bytes());
    head.extend([0; 12]);
    head.extend([0xb8, 1]);
    head
}
