//! One track after the other: nothing lost, added or silenced at the join.

use antiphon_media::{
    Bitrate, Entry, Join, MAX_CROSSFADE_SAMPLES, PartChunk, PartSpan, Splicer, encode,
};

use crate::material::{clicks, play_part, real, rms, song, sweep, tone};
use crate::support::decoded;

/// 20 ms, the length over which errors are compared, in samples of one channel.
const WINDOW: usize = 882;

/// Encodes both halves as tracks of their own and plays them in a row.
fn cut_and_joined(recording: &[f32], cut: usize, bitrate: Bitrate) -> Vec<f32> {
    let (head, tail) = recording.split_at(2 * cut);
    let (mut splicer, mut out) = (Splicer::new(), Vec::new());
    for (i, track) in [head, tail].into_iter().enumerate() {
        if i > 0 {
            splicer.begin(Join::Gapless);
        }
        let encoded = encode(track, bitrate).unwrap();
        let all = PartSpan::new(0, u64::MAX).with_splice_tail();
        play_part(&encoded, (all, Entry::Segment), u64::MAX, &mut splicer, &mut out);
    }
    out
}

fn errors(heard: &[f32], recording: &[f32]) -> Vec<f32> {
    heard.iter().zip(recording).map(|(heard, truth)| heard - truth).collect()
}

/// The error level that one in twenty windows of the uncut recording passes.
fn usual_error(errors: &[f32]) -> f64 {
    let mut levels: Vec<f64> =
        errors.chunks(2 * WINDOW).map(|window| rms(window.iter().copied())).collect();
    levels.sort_by(f64::total_cmp);
    levels[levels.len() * 19 / 20]
}

/// The largest error of a step from one sample to the next.
fn step_error(errors: &[f32]) -> f32 {
    errors.iter().zip(&errors[2..]).fold(0.0, |most, (x, y)| most.max((y - x).abs()))
}

/// The longest run of frames that are as good as zero.
fn silent_frames(samples: &[f32]) -> usize {
    let silent = samples.chunks_exact(2).map(|frame| frame.iter().all(|x| x.abs() < 2e-5));
    let (mut longest, mut run) = (0, 0);
    for silent in silent {
        run = if silent { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// Cuts, joins and compares with the recording left whole; `slack` is how much
/// louder than usual the error at the join may be, `least_step` what may be wrong
/// with a step there in any case.
fn check(name: &str, recording: &[f32], cut: usize, slack: f64, least_step: f32) {
    for bitrate in Bitrate::ALL {
        let name = format!("{name} {bitrate} cut at {cut}");
        let joined = cut_and_joined(recording, cut, bitrate);
        assert_eq!(joined.len(), recording.len(), "{name}");
        let whole = errors(&decoded(&encode(recording, bitrate).unwrap()), recording);
        let error = errors(&joined, recording);
        let usual = usual_error(&whole).max(1e-4) * slack;
        for window in [2 * (cut - WINDOW)..2 * cut, 2 * cut..2 * (cut + WINDOW)] {
            let level = rms(error[window].iter().copied());
            assert!(level <= usual, "{name}: {level} where {usual} is usual");
        }
        let step = step_error(&error[2 * (cut - 2)..2 * (cut + 2)]);
        let usual = (step_error(&whole) * slack as f32).max(least_step);
        assert!(step <= usual, "{name}: a step of {step} where {usual} is usual");
        let near = 2 * (cut - WINDOW)..2 * (cut + WINDOW);
        let (silent, truly) =
            (silent_frames(&joined[near.clone()]), silent_frames(&recording[near]));
        assert!(silent <= truly + 8, "{name}: {silent} frames of silence where {truly} were");
    }
}

#[test]
fn a_song_cut_in_two_goes_on_as_it_did() {
    let song = &song()[..2 * 12 * 44_100];
    for cut in [4 * 44_100, 222_222, 300_001] {
        check("song", song, cut, 1.0, 1e-3);
    }
}

#[test]
fn real_music_cut_in_two_goes_on_as_it_did() {
    for (name, samples) in real() {
        let samples = &samples[..samples.len().min(2 * 12 * 44_100)];
        check(name, samples, samples.len() / 5, 1.5, 1e-3);
    }
}

#[test]
fn a_sweep_and_clicks_cut_in_two_go_on_as_they_did() {
    check("sweep", &sweep(12 * 44_100), 265_001, 1.5, 1e-3);
    check("clicks", &clicks(12 * 44_100), 5_443 * 40, 1.5, 1e-3);
    check("clicks", &clicks(12 * 44_100), 5_443 * 40 + 1, 1.5, 1e-3);
}

/// The hardest case: a low pure tone, where nothing hides an error and hardly
/// any is usual. libvorbis continues a track by linear prediction before its
/// start and after its end. What that leaves is at most 12 dB louder than usual
/// and 30 dB below the tone; a step of up to 0.03 at 96 kbit/s, of 0.006 above.
#[test]
fn a_tone_cut_in_two_goes_on_nearly_as_it_did() {
    check("tone", &tone(8 * 44_100), 200_123, 4.0, 0.03);
}

#[test]
fn a_tiny_track_between_two_is_all_there() {
    let song = &song()[..2 * 100_000];
    for middle in [1, 70, 1_000] {
        let mut joined = cut_and_joined(&song[..2 * 50_000], 50_000 - middle, Bitrate::Kbps160);
        joined.extend(decoded(&encode(&song[2 * 50_000..], Bitrate::Kbps160).unwrap()));
        assert_eq!(joined.len(), song.len());
        let middle = 2 * (50_000 - middle)..2 * 50_000;
        let error = rms(errors(&joined[middle.clone()], &song[middle]).into_iter());
        assert!(error < 0.1, "{error}");
    }
}

fn chunk(first_sample: u64, samples: &[f32], tail: bool) -> PartChunk<'_> {
    PartChunk { first_sample, samples, tail }
}

#[test]
fn a_crossfade_keeps_power_and_shortens_by_its_length() {
    let frames = 44_100;
    // Two tones without relation.
    let tone = |hertz: f32| -> Vec<f32> {
        let step = hertz * std::f32::consts::TAU / 44_100.0;
        (0..3 * frames).flat_map(|i| [0.3 * (i as f32 * step).sin(); 2]).collect()
    };
    let (first, second) = (tone(440.0), tone(567.0));
    let (mut splicer, mut out) = (Splicer::new(), Vec::new());
    let body = 4 * frames;
    splicer.push(&chunk(0, &first[..body], false), &mut out).unwrap();
    splicer.push(&chunk(2 * frames as u64, &first[body..], true), &mut out).unwrap();
    assert_eq!((out.len(), splicer.tail_samples()), (body, frames));
    splicer.begin(Join::Crossfade);
    for (i, piece) in second.chunks(2 * 1_001).enumerate() {
        let placed = splicer.push(&chunk(i as u64 * 1_001, piece, false), &mut out).unwrap();
        assert_eq!(placed.first_sample, i as u64 * 1_001);
    }
    assert_eq!(out.len(), first.len() + second.len() - 2 * frames);
    assert_eq!(splicer.tail_samples(), 0);
    let loudness = rms(first.iter().copied());
    for tenth in out.chunks(8_820) {
        let level = rms(tenth.iter().copied()) / loudness;
        assert!((0.9..1.1).contains(&level), "{level}");
    }
    assert_eq!(out[out.len() - 50_000..], second[second.len() - 50_000..]);
}

#[test]
fn a_tail_that_waits_in_vain_is_played() {
    let (mut splicer, mut out) = (Splicer::new(), Vec::new());
    splicer.push(&chunk(0, &[0.1; 20], false), &mut out).unwrap();
    splicer.push(&chunk(10, &[0.2; 40], true), &mut out).unwrap();
    let placed = splicer.release_tail(&mut out);
    assert_eq!((placed.first_sample, placed.frames, out.len()), (10, 20, 60));
    splicer.begin(Join::Crossfade);
    let placed = splicer.push(&chunk(0, &[0.3; 10], false), &mut out).unwrap();
    assert_eq!((placed.first_sample, placed.frames), (0, 5), "there is nothing left to fade");
    assert_eq!(out[60..], [0.3; 10]);
}

#[test]
fn no_tail_grows_past_the_longest_fade() {
    let (mut splicer, mut out) = (Splicer::new(), Vec::new());
    for _ in 0..40 {
        splicer.push(&chunk(0, &[0.0; 2 * 44_100], true), &mut out).unwrap();
    }
    assert_eq!(splicer.tail_samples(), MAX_CROSSFADE_SAMPLES as usize);
}
