//! Music made of a seed, for demonstrations and tests.
//!
//! Each seed gives another tempo, key, chord progression, bass line, melody
//! and drum pattern, with plucked and sustained voices, a little stereo width
//! and an echo. The same seed gives the same samples on the same platform.
//! Nothing in the product depends on this module.

use std::f32::consts::{PI, TAU};
use std::io;
use std::path::Path;

use crate::pcm::extend_i16;
use crate::sink::{Sink, WavWriter};

const RATE: f32 = 44_100.0;
/// Chord progressions as steps of the scale.
const PROGRESSIONS: [[i32; 4]; 6] =
    [[0, 4, 5, 3], [0, 5, 3, 4], [5, 3, 0, 4], [0, 3, 4, 3], [0, 2, 3, 4], [3, 4, 2, 5]];
const MAJOR: [i32; 7] = [0, 2, 4, 5, 7, 9, 11];
const MINOR: [i32; 7] = [0, 2, 3, 5, 7, 8, 10];

/// A song of `seconds` seconds: interleaved stereo at 44.1 kHz, with peaks
/// below full scale.
pub fn synthesise(seed: u64, seconds: u32) -> Vec<f32> {
    let frames = seconds as usize * 44_100;
    let mut song = Song::new(seed, frames);
    let bars = frames / song.bar_frames() + 1;
    for bar in 0..bars {
        song.play_bar(bar);
    }
    song.mix()
}

/// Writes a synthesised song as a 16-bit WAV file.
pub fn write_wav(path: &Path, seed: u64, seconds: u32) -> io::Result<()> {
    let mut samples = Vec::new();
    extend_i16(&mut samples, &synthesise(seed, seconds));
    let mut wav = WavWriter::create(path)?;
    wav.write(&samples)?;
    wav.finish()
}

/// A small generator of numbers (SplitMix64), so that no crate decides what
/// the demonstration sounds like.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: u16) -> u16 {
        u16::try_from(self.next() % u64::from(end.max(1))).unwrap_or(0)
    }

    /// From -1 to 1.
    fn noise(&mut self) -> f32 {
        f32::from(self.below(u16::MAX)) / 32_767.5 - 1.0
    }

    fn chance(&mut self, percent: u16) -> bool {
        self.below(100) < percent
    }
}

/// How a voice sounds.
#[derive(Clone, Copy)]
struct Voice {
    /// Strength of the overtones, the fundamental first.
    overtones: [f32; 4],
    /// Seconds until a struck note has fallen to 1/e; a held one fades slower.
    decay: f32,
    /// Seconds until the full level.
    attack: f32,
    gain: f32,
    /// -1 left to 1 right.
    pan: f32,
}

struct Song {
    dice: Dice,
    left: Vec<f32>,
    right: Vec<f32>,
    beat_frames: usize,
    root: i32,
    scale: [i32; 7],
    progression: [i32; 4],
    melody: [Option<i32>; 16],
    kick: [bool; 8],
    snare: [bool; 8],
    lead: Voice,
    pad: Voice,
    bass: Voice,
}

impl Song {
    fn new(seed: u64, frames: usize) -> Self {
        let mut dice = Dice(seed ^ 0x5eed_a27f_0e1c_93b5);
        let tempo = 84 + dice.below(60);
        let root = 45 + i32::from(dice.below(12));
        let scale = if dice.chance(50) { MAJOR } else { MINOR };
        let progression = PROGRESSIONS[usize::from(dice.below(6))];
        let mut step = 0;
        let melody = std::array::from_fn(|_| {
            step = (step + i32::from(dice.below(5)) - 2).clamp(-3, 6);
            dice.chance(70).then_some(step)
        });
        let kick = std::array::from_fn(|i| i == 0 || i == 4 || dice.chance(18));
        let snare = std::array::from_fn(|i| i == 2 || i == 6 || dice.chance(8));
        let bright = f32::from(dice.below(100)) / 100.0;
        let lead = Voice {
            overtones: [1.0, 0.3 + 0.4 * bright, 0.25 * bright, 0.15 * bright],
            decay: 0.25 + 0.3 * bright,
            attack: 0.004,
            gain: 0.15,
            pan: 0.35 - 0.7 * f32::from(dice.below(2)),
        };
        let pad = Voice {
            overtones: [1.0, 0.45, 0.3, 0.12],
            decay: 2.5,
            attack: 0.12,
            gain: 0.055,
            pan: 0.0,
        };
        let bass = Voice {
            overtones: [1.0, 0.5, 0.2, 0.1],
            decay: 0.5,
            attack: 0.006,
            gain: 0.2,
            pan: 0.0,
        };
        Self {
            dice,
            left: vec![0.0; frames],
            right: vec![0.0; frames],
            beat_frames: 44_100 * 60 / usize::from(tempo),
            root,
            scale,
            progression,
            melody,
            kick,
            snare,
            lead,
            pad,
            bass,
        }
    }

    fn bar_frames(&self) -> usize {
        self.beat_frames * 4
    }

    /// MIDI note of a step of the scale; 7 steps are an octave.
    fn note(&self, step: i32) -> i32 {
        let index = usize::try_from(step.rem_euclid(7)).unwrap_or(0);
        self.root + 12 * step.div_euclid(7) + self.scale[index]
    }

    fn play_bar(&mut self, bar: usize) {
        let start = bar * self.bar_frames();
        let chord = self.progression[bar % 4];
        // Songs have parts: every fourth group of bars rests the drums, and
        // the melody waits for the second bar.
        let (drums, sings) = (bar % 16 < 12 || bar < 4, bar > 0 && bar % 8 != 7);
        for (voice, pan) in [(0, -0.5), (2, 0.0), (4, 0.5)] {
            let pad = Voice { pan, ..self.pad };
            self.play(start, self.bar_frames(), self.note(chord + voice) + 12, pad);
        }
        let eighth = self.beat_frames / 2;
        for i in 0..8 {
            let at = start + i * eighth;
            if i % 2 == 0 || self.dice.chance(35) {
                let step = if i == 6 { chord + 4 } else { chord };
                self.play(at, eighth, self.note(step) - 12, self.bass);
            }
            if sings && let Some(step) = self.melody[(bar % 2) * 8 + i] {
                let length = eighth * if self.dice.chance(25) { 2 } else { 1 };
                self.play(at, length, self.note(chord + step) + 24, self.lead);
            }
            if drums {
                self.strike(at, i);
            }
        }
    }

    /// One note, by a rotating phasor: no sine is computed per sample.
    fn play(&mut self, at: usize, length: usize, midi: i32, voice: Voice) {
        let pitch = 440.0 * 2_f32.powf((small(midi) - 69.0) / 12.0);
        let end = (at + length).min(self.left.len());
        if at >= end {
            return;
        }
        let right = (voice.pan + 1.0) * PI / 4.0;
        let (right_gain, left_gain) = right.sin_cos();
        let fall = (-1.0 / (voice.decay * RATE)).exp();
        let rise = 1.0 / (voice.attack * RATE);
        let release = 1.0 / (0.01 * RATE);
        let (step_sin, step_cos) = (pitch * TAU / RATE).sin_cos();
        let (mut sin, mut cos) = (0.0_f32, 1.0_f32);
        let (mut level, mut swell) = (voice.gain, 0.0_f32);
        let [one, two, three, four] = voice.overtones;
        let mut left_over = small(i32::try_from(end - at).unwrap_or(0));
        for (left, right) in self.left[at..end].iter_mut().zip(&mut self.right[at..end]) {
            // Overtones by the Chebyshev recurrence sin(nx) = 2 cos x sin((n-1)x) - sin((n-2)x).
            let second = 2.0 * cos * sin;
            let third = 2.0 * cos * second - sin;
            let fourth = 2.0 * cos * third - second;
            let wave = one * sin + two * second + three * third + four * fourth;
            let sample = wave * level * swell.min(1.0) * (left_over * release).min(1.0);
            *left += sample * left_gain;
            *right += sample * right_gain;
            (sin, cos) = (sin * step_cos + cos * step_sin, cos * step_cos - sin * step_sin);
            level *= fall;
            swell += rise;
            left_over -= 1.0;
        }
    }

    fn strike(&mut self, at: usize, eighth: usize) {
        let hat = if eighth.is_multiple_of(2) { 0.035 } else { 0.055 };
        self.noise_burst(at, 0.03, hat, 0.25, true);
        if self.snare[eighth] {
            self.noise_burst(at, 0.11, 0.16, -0.1, false);
        }
        if self.kick[eighth] {
            let end = (at + 11_025).min(self.left.len());
            let mut phase = 0.0_f32;
            let mut level = 0.5_f32;
            let mut pitch = 140.0_f32;
            for i in at.min(end)..end {
                phase += pitch * TAU / RATE;
                let sample = phase.sin() * level;
                self.left[i] += sample;
                self.right[i] += sample;
                level *= 0.9995;
                pitch = 48.0 + (pitch - 48.0) * 0.9992;
            }
        }
    }

    fn noise_burst(&mut self, at: usize, decay: f32, gain: f32, pan: f32, high: bool) {
        let length = if high { 4_000 } else { 14_000 };
        let end = (at + length).min(self.left.len());
        let fall = (-1.0 / (decay * RATE)).exp();
        let (mut level, mut last) = (gain, 0.0);
        for i in at.min(end)..end {
            let white = self.dice.noise();
            let sample = if high { (white - last) * 0.7 } else { (white + last) * 0.6 } * level;
            last = white;
            self.left[i] += sample * (1.0 - pan);
            self.right[i] += sample * (1.0 + pan);
            level *= fall;
        }
    }

    /// Adds an echo that crosses sides, and keeps peaks below full scale.
    fn mix(self) -> Vec<f32> {
        let delay = self.beat_frames * 3 / 4;
        let (mut left, mut right) = (self.left, self.right);
        for i in delay..left.len() {
            let (from_left, from_right) = (left[i - delay], right[i - delay]);
            left[i] += from_right * 0.22;
            right[i] += from_left * 0.22;
        }
        left.iter().zip(&right).flat_map(|(left, right)| [soft(*left), soft(*right)]).collect()
    }
}

/// Bends peaks towards full scale without reaching it.
fn soft(sample: f32) -> f32 {
    sample / (1.0 + 0.4 * sample.abs().min(8.0)).max(sample.abs() * 1.05)
}

/// Numbers of notes and samples are far below 2^24.
#[expect(clippy::cast_precision_loss, reason = "far below 2^24")]
fn small(number: i32) -> f32 {
    number as f32
}
