//! Parts of different renditions become one sound: exact in length, never
//! further from a rendition than the renditions are from each other, no click.

use antiphon_media::{
    Entry, Join, PartChunk, PartSpan, SPLICE_FADE_SAMPLES, SPLICE_TAIL_BYTES, SpliceError, Splicer,
};
use antiphon_types::Rendition;
use proptest::prelude::*;

use crate::material::{Material, play_part, real_material, rms, synthetic};

/// 50 ms.
const AROUND: usize = 2_205;
/// What rounding can add to a sample.
const ROUNDING: f32 = 3e-7;
/// Ladders that together go from each bitrate to each other.
const ORDERS: [&[usize]; 4] = [&[0, 1, 2, 1], &[2, 1, 0, 1], &[0, 2, 0, 2], &[1, 1, 2, 0]];

/// A rendition until a place, another one from there on.
struct Switch {
    at: usize,
    from: usize,
    to: usize,
}

fn play(material: &Material, parts: &[(u64, u64, usize)], entry: Entry) -> (Vec<f32>, Vec<Switch>) {
    let (mut splicer, mut out, mut switches) = (Splicer::new(), Vec::new(), Vec::<Switch>::new());
    let mut last = None;
    for (from, to, rung) in parts.iter().copied() {
        let encoded = &material.renditions[rung];
        let boundary = to.div_ceil(Rendition::SEGMENT_SAMPLES);
        // No byte more than the documentation says.
        let end =
            encoded.segments.get(boundary as usize).map(|next| next.offset + SPLICE_TAIL_BYTES);
        let end = end.filter(|_| entry == Entry::Segment).unwrap_or(u64::MAX);
        let span = PartSpan::new(from, to).with_splice_tail();
        if let Some(last) = last.replace(rung) {
            splicer.begin(Join::Splice);
            switches.push(Switch { at: from as usize, from: last, to: rung });
        }
        play_part(encoded, (span, entry), end, &mut splicer, &mut out);
    }
    assert_eq!(out.len() as u64, 2 * material.samples(), "{}", material.name);
    (out, switches)
}

/// Each segment from the next rung of the order.
fn switch_at_every_boundary(material: &Material, order: &[usize]) {
    let samples = material.samples();
    let starts = (0..samples).step_by(Rendition::SEGMENT_SAMPLES as usize);
    let parts: Vec<_> = starts
        .zip(order.iter().copied().cycle())
        .map(|(from, rung)| (from, (from + Rendition::SEGMENT_SAMPLES).min(samples), rung))
        .collect();
    let (out, switches) = play(material, &parts, Entry::Segment);
    assert_eq!(switches.len(), parts.len() - 1);
    for switch in &switches {
        check_switch(material, &out, switch);
    }
    // Between switches the renditions are untouched.
    for (from, to, rung) in parts {
        let from = if from == 0 { 0 } else { from + u64::from(SPLICE_FADE_SAMPLES) };
        let range = 2 * from.min(to) as usize..2 * to as usize;
        assert!(out[range.clone()] == material.pure[rung][range], "{} {from}", material.name);
    }
}

fn check_switch(material: &Material, out: &[f32], switch: &Switch) {
    let range = 2 * (switch.at - AROUND.min(switch.at))..out.len().min(2 * (switch.at + AROUND));
    let name = format!("{} at {}: {} to {}", material.name, switch.at, switch.from, switch.to);
    let (a, b) =
        (&material.pure[switch.from][range.clone()], &material.pure[switch.to][range.clone()]);
    let out = &out[range];
    let difference = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x - y).collect::<Vec<_>>();
    let apart = difference(a, b);
    for pure in [a, b] {
        let error = difference(out, pure);
        let further =
            error.iter().zip(&apart).find(|(error, apart)| error.abs() > apart.abs() + ROUNDING);
        assert_eq!(further, None, "{name}");
        assert!(
            rms(error.into_iter()) <= rms(apart.iter().copied()) + f64::from(ROUNDING),
            "{name}"
        );
    }
    let step =
        |x: &[f32]| x.iter().zip(&x[2..]).fold(0.0_f32, |most, (x, y)| most.max((y - x).abs()));
    let steepest = std::f32::consts::FRAC_PI_2 / SPLICE_FADE_SAMPLES as f32;
    let slope = steepest * apart.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let pure = step(a).max(step(b));
    assert!(step(out) <= pure + slope + ROUNDING, "{name}: {} after {pure}", step(out));
}

#[test]
fn switching_at_every_boundary_keeps_to_the_renditions() {
    for material in synthetic() {
        for order in ORDERS {
            switch_at_every_boundary(material, order);
        }
    }
}

#[test]
fn switching_at_every_boundary_of_real_music_keeps_to_the_renditions() {
    for material in real_material() {
        for order in ORDERS {
            switch_at_every_boundary(&material, order);
        }
    }
}

#[test]
fn a_switch_can_be_anywhere() {
    for material in synthetic() {
        let samples = material.samples();
        let cuts = [0, 1, 500, 12_345, 441_000, 441_003, 600_001, samples - 1, samples];
        let parts: Vec<_> = cuts
            .windows(2)
            .enumerate()
            .map(|(i, cut)| (cut[0], cut[1], [2, 0, 1][i % 3]))
            .collect();
        let (out, _) = play(material, &parts, Entry::Guess);
        for pure in &material.pure {
            let error = rms(out.iter().zip(pure).map(|(x, y)| x - y));
            let apart = rms(material.pure[0].iter().zip(&material.pure[2]).map(|(x, y)| x - y));
            assert!(error <= 2.0 * apart, "{}: {error}, {apart}", material.name);
        }
    }
}

fn chunk(first_sample: u64, samples: &[f32], tail: bool) -> PartChunk<'_> {
    PartChunk { first_sample, samples, tail }
}

/// Stereo frames, which are easy to tell from each other.
fn ramp(from: u64, frames: usize, scale: f32) -> Vec<f32> {
    (from..from + frames as u64).flat_map(|i| [i as f32 * scale, -(i as f32) * scale]).collect()
}

proptest! {
    #[test]
    fn however_chunks_and_tails_are_cut_a_splice_is_exact(
        boundary in 1_u64..2_000, after in 1_usize..2_000, tail in 0_usize..1_500,
        overlap in 0_u64..800, step in 1_usize..600,
    ) {
        let (mut splicer, mut out) = (Splicer::new(), Vec::new());
        let (a, b_from) = (ramp(0, boundary as usize + tail, 1.0), boundary.saturating_sub(overlap));
        let b = ramp(b_from, after + (boundary - b_from) as usize, 2.0);
        let (body, a_tail) = a.split_at(2 * boundary as usize);
        for (first, part, tail) in [(0, body, false), (boundary, a_tail, true)] {
            for (i, piece) in part.chunks(2 * step).enumerate() {
                splicer.push(&chunk(first + (i * step) as u64, piece, tail), &mut out).unwrap();
            }
        }
        splicer.begin(Join::Splice);
        let mut next = boundary;
        for (i, piece) in b.chunks(2 * step).enumerate() {
            let placed = splicer.push(&chunk(b_from + (i * step) as u64, piece, false), &mut out).unwrap();
            prop_assert_eq!(placed.first_sample, next);
            next += placed.frames as u64;
        }
        prop_assert_eq!(out.len(), 2 * (boundary as usize + after));
        prop_assert_eq!(splicer.position(), Some(boundary + after as u64));
        let fade = tail.min(SPLICE_FADE_SAMPLES as usize);
        for (i, frame) in out.chunks_exact(2).enumerate() {
            let (low, high) = match i.checked_sub(boundary as usize) {
                None => (1.0, 1.0),
                Some(after) if after < fade => (1.0, 2.0),
                Some(_) => (2.0, 2.0),
            };
            let sample = i as f32;
            prop_assert!((low * sample..=high * sample).contains(&frame[0]), "{i} {frame:?}");
            prop_assert_eq!(frame[0], -frame[1]);
        }
    }
}

#[test]
fn a_part_that_begins_late_is_bridged_by_the_tail_or_refused() {
    let mut out = Vec::new();
    let tail = ramp(100, 30, 1.0);
    for (late, fits) in [(20, true), (30, true), (31, false)] {
        let mut splicer = Splicer::new();
        out.clear();
        splicer.push(&chunk(0, &ramp(0, 100, 1.0), false), &mut out).unwrap();
        splicer.push(&chunk(100, &tail, true), &mut out).unwrap();
        splicer.begin(Join::Splice);
        let from = 100 + late;
        let joined = splicer.push(&chunk(from, &ramp(from, 50, 1.0), false), &mut out);
        if fits {
            assert_eq!(joined.unwrap().first_sample, 100);
            assert_eq!(out, ramp(0, 150 + late as usize, 1.0));
        } else {
            assert_eq!(joined, Err(SpliceError { expected: 100, found: 131 }));
        }
    }
    let mut splicer = Splicer::new();
    splicer.push(&chunk(0, &ramp(0, 10, 1.0), false), &mut out).unwrap();
    let gap = splicer.push(&chunk(11, &ramp(11, 1, 1.0), false), &mut out);
    assert_eq!(gap, Err(SpliceError { expected: 10, found: 11 }), "within a part");
}

#[test]
fn a_seek_fades_where_it_leaves_and_goes_on_where_it_arrives() {
    let (mut splicer, mut out) = (Splicer::new(), Vec::new());
    splicer.push(&chunk(0, &[1.0; 200], false), &mut out).unwrap();
    splicer.push(&chunk(100, &[1.0; 882], true), &mut out).unwrap();
    splicer.begin(Join::Seek);
    let placed = splicer.push(&chunk(5_000, &[-1.0; 1_000], false), &mut out).unwrap();
    assert_eq!((placed.first_sample, placed.frames), (5_000, 500));
    let steps = out.chunks_exact(2).zip(out[2..].chunks_exact(2)).map(|(x, y)| (y[0] - x[0]).abs());
    assert!(steps.fold(0.0, f32::max) < 0.01);
    assert_eq!(out[out.len() - 1], -1.0);
}

#[test]
fn nothing_is_allocated_once_buffers_have_grown() {
    let (mut splicer, mut out) = (Splicer::new(), Vec::new());
    let mut capacity = None;
    for _ in 0..10 {
        out.clear();
        for (tail, frames) in [(false, 1_000), (true, 441)] {
            let first = splicer.position().unwrap_or(0);
            splicer.push(&chunk(first, &ramp(first, frames, 1.0), tail), &mut out).unwrap();
        }
        splicer.begin(Join::Splice);
        assert_eq!(*capacity.get_or_insert(out.capacity()), out.capacity());
    }
}
