//! How loud each of two sounds is while one fades into the other.

use std::f32::consts::PI;

/// Whose sum a fade keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    /// Of amplitudes, for two encodings of one sound: what comes out lies
    /// between them. A raised cosine.
    EqualGain,
    /// Of powers, for two different sounds: none of them dips in the middle.
    EqualPower,
}

/// A fade under way over interleaved stereo.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fade {
    curve: Curve,
    frames: usize,
    done: usize,
}

impl Fade {
    /// A fade over that many frames; none if there are none.
    pub(crate) fn new(curve: Curve, frames: usize) -> Option<Self> {
        (frames > 0).then_some(Self { curve, frames, done: 0 })
    }

    /// Frames that are still to come.
    pub(crate) fn left(&self) -> usize {
        self.frames - self.done
    }

    /// Fades from `old` into `new`, which is overwritten, as far as both and
    /// the fade go.
    pub(crate) fn mix(&mut self, old: &[f32], new: &mut [f32]) {
        let pairs = old.chunks_exact(2).zip(new.chunks_exact_mut(2));
        for (old, new) in pairs.take(self.left()) {
            let (old_gain, new_gain) = self.gains();
            for (old, new) in old.iter().zip(new) {
                *new = match self.curve {
                    Curve::EqualGain => old + new_gain * (*new - old),
                    Curve::EqualPower => old_gain * old + new_gain * *new,
                };
            }
            self.done += 1;
        }
    }

    /// At the middle of the next frame: of what goes, of what comes.
    fn gains(&self) -> (f32, f32) {
        #[expect(clippy::cast_precision_loss, reason = "30 s are 1.3 million frames, below 2^24")]
        let along = (self.done as f32 + 0.5) / self.frames as f32;
        match self.curve {
            Curve::EqualGain => {
                let new = 0.5 - 0.5 * (PI * along).cos();
                (1.0 - new, new)
            }
            Curve::EqualPower => {
                let (new, old) = (0.5 * PI * along).sin_cos();
                (old, new)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gains(curve: Curve, frames: usize) -> Vec<(f32, f32)> {
        let mut fade = Fade::new(curve, frames).unwrap();
        let mut gains = Vec::new();
        while fade.left() > 0 {
            gains.push(fade.gains());
            fade.mix(&[0.0; 2], &mut [0.0; 2]);
        }
        gains
    }

    #[test]
    fn sums_are_kept_and_gains_go_one_way() {
        for curve in [Curve::EqualGain, Curve::EqualPower] {
            let gains = gains(curve, 441);
            assert_eq!(gains.len(), 441);
            assert!(gains.windows(2).all(|pair| pair[0].1 < pair[1].1 && pair[0].0 > pair[1].0));
            for (old, new) in gains {
                let sum = match curve {
                    Curve::EqualGain => old + new,
                    Curve::EqualPower => old * old + new * new,
                };
                assert!((sum - 1.0).abs() < 1e-6, "{curve:?}: {sum}");
            }
        }
    }

    #[test]
    fn a_fade_of_nothing_is_none() {
        assert!(Fade::new(Curve::EqualGain, 0).is_none());
    }
}
