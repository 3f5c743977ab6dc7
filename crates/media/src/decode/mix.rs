//! Any set of channels to two.

use symphonia::core::audio::{Channels, Position};

/// -3 dB: what a loudspeaker between two others adds to each of them.
const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// How much of each channel goes left and right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StereoMix {
    gains: Vec<[f32; 2]>,
}

impl StereoMix {
    /// The mix for a set of channels: ITU-R BS.775 where positions are known,
    /// even channels left and odd ones right where they are not. The sum of
    /// each side's gains is 1, so nothing clips.
    pub(crate) fn for_channels(channels: &Channels) -> Self {
        let mut gains: Vec<[f32; 2]> = match (channels, channels.count()) {
            (_, 1) => vec![[1.0, 1.0]],
            (_, 2) => vec![[1.0, 0.0], [0.0, 1.0]],
            (Channels::Positioned(positions), _) => positions.iter().map(gains_of).collect(),
            (_, count) => {
                (0..count).map(|i| if i % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect()
            }
        };
        for side in 0..2 {
            let sum: f32 = gains.iter().map(|gain| gain[side]).sum();
            if sum > 0.0 {
                gains.iter_mut().for_each(|gain| gain[side] /= sum);
            }
        }
        Self { gains }
    }

    /// Appends the stereo mix of interleaved samples.
    pub(crate) fn extend(&self, out: &mut Vec<f32>, samples: &[f32]) {
        if self.gains == [[1.0, 0.0], [0.0, 1.0]] {
            out.extend_from_slice(samples);
            return;
        }
        for frame in samples.chunks_exact(self.gains.len()) {
            for side in 0..2 {
                out.push(
                    frame.iter().zip(&self.gains).map(|(sample, gain)| sample * gain[side]).sum(),
                );
            }
        }
    }
}

/// How a loudspeaker at that position is heard through two.
fn gains_of(position: Position) -> [f32; 2] {
    let (left, right) = (
        Position::FRONT_LEFT | Position::FRONT_LEFT_CENTER,
        Position::FRONT_RIGHT | Position::FRONT_RIGHT_CENTER,
    );
    let behind_left = Position::SIDE_LEFT | Position::REAR_LEFT | Position::TOP_FRONT_LEFT;
    let behind_right = Position::SIDE_RIGHT | Position::REAR_RIGHT | Position::TOP_FRONT_RIGHT;
    let bass = Position::LFE1 | Position::LFE2;
    if left.contains(position) {
        [1.0, 0.0]
    } else if right.contains(position) {
        [0.0, 1.0]
    } else if behind_left.contains(position) {
        [HALF_POWER, 0.0]
    } else if behind_right.contains(position) {
        [0.0, HALF_POWER]
    } else if bass.contains(position) {
        // BS.775 leaves the effects channel out of a stereo mix.
        [0.0, 0.0]
    } else {
        [HALF_POWER, HALF_POWER]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(channels: &Channels, frame: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        StereoMix::for_channels(channels).extend(&mut out, frame);
        out
    }

    #[test]
    fn one_channel_is_doubled_and_two_are_kept() {
        assert_eq!(mixed(&Channels::Positioned(Position::FRONT_CENTER), &[0.5]), [0.5, 0.5]);
        assert_eq!(mixed(&Channels::Discrete(2), &[0.5, -0.25]), [0.5, -0.25]);
    }

    #[test]
    fn surround_is_mixed_without_clipping_and_without_the_effects_channel() {
        let five_one = Channels::Positioned(
            Position::FRONT_LEFT
                | Position::FRONT_RIGHT
                | Position::FRONT_CENTER
                | Position::LFE1
                | Position::REAR_LEFT
                | Position::REAR_RIGHT,
        );
        let full = mixed(&five_one, &[1.0; 6]);
        assert!(full.iter().all(|sample| (sample - 1.0).abs() < 1e-6), "{full:?}");
        let left_only = mixed(&five_one, &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert!(left_only[0] > 0.3 && left_only[1] == 0.0, "{left_only:?}");
    }

    #[test]
    fn channels_without_positions_alternate() {
        assert_eq!(mixed(&Channels::Discrete(4), &[1.0, 0.0, 1.0, 0.0]), [1.0, 0.0]);
    }
}
