//! Records that are kept because slices of them are.

use crate::record::MAX_RECORD_BYTES;

/// Records kept at once. A slice of 8 KiB keeps a buffer of 64 KiB, so their
/// number is bounded and not only their bytes; more are copied. A reader that
/// keeps up holds two or three.
const MAX_PINNED_RECORDS: usize = 8;

/// The place of a pinned record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pin(u8);

/// Which records are pinned, and by how many slices.
#[derive(Debug, Default)]
pub(super) struct Pins {
    slices: [u8; MAX_PINNED_RECORDS],
    /// Where the record stands that is being read, if it is pinned.
    current: Option<Pin>,
}

impl Pins {
    /// A record is read from here on.
    pub(super) fn begin_record(&mut self) {
        self.current = None;
    }

    /// Pins the current record for one slice more; `None` if too many are
    /// pinned, so that the slice must be copied.
    pub(super) fn pin(&mut self) -> Option<Pin> {
        let pin = self.current.or_else(|| {
            let free = self.slices.iter().position(|&slices| slices == 0)?;
            u8::try_from(free).ok().map(Pin)
        })?;
        let slices = self.slices.get_mut(usize::from(pin.0))?;
        *slices = slices.checked_add(1)?;
        self.current = Some(pin);
        Some(pin)
    }

    /// A slice is no longer held.
    pub(super) fn unpin(&mut self, pin: Pin) {
        if let Some(slices) = self.slices.get_mut(usize::from(pin.0)) {
            *slices = slices.saturating_sub(1);
            // Its place may go to another record, of which this one would
            // otherwise take itself for a part.
            if *slices == 0 && self.current == Some(pin) {
                self.current = None;
            }
        }
    }

    /// The most memory that the pinned records hold.
    pub(super) fn bytes(&self) -> usize {
        self.slices.iter().filter(|&&slices| slices > 0).count() * MAX_RECORD_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_one_record_share_its_place_and_places_are_few() {
        let mut pins = Pins::default();
        let mut held = Vec::new();
        while let Some(pin) = pins.pin() {
            assert_eq!(pins.pin(), Some(pin), "the same record");
            held.push(pin);
            pins.begin_record();
        }
        assert_eq!(held.len(), MAX_PINNED_RECORDS);
        assert_eq!(pins.bytes(), MAX_PINNED_RECORDS * MAX_RECORD_BYTES);
        pins.unpin(held[3]);
        assert_eq!(pins.pin(), None, "the other slice is still there");
        pins.unpin(held[3]);
        assert_eq!(pins.pin(), Some(held[3]));
    }
}
