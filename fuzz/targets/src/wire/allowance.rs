//! Whether a side gives back exactly the credit that is due.

use antiphon_wire::frame::{FRAME_CREDIT_BYTES, Frame, INITIAL_CONNECTION_CREDIT_BYTES};
use bytes::Bytes;

/// The connection's credit as an onlooker counts it.
///
/// A credit frame for the connection carries all that is owed. Just after it,
/// what the other side may still send and what is not consumed make up the
/// whole window: less, and credit was lost; more, and it was made from nothing.
#[derive(Debug)]
pub(super) struct Allowance {
    granted: u64,
    received: u64,
    window: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        let initial = u64::from(INITIAL_CONNECTION_CREDIT_BYTES);
        Self { granted: initial, received: 0, window: initial }
    }
}

impl Allowance {
    /// Notes a record that the side has taken.
    pub(super) fn receive(&mut self, plaintext: Bytes) {
        for frame in frames(plaintext) {
            if let Frame::Data { payload, .. } = frame
                && !payload.is_empty()
            {
                self.received += payload.len() as u64 + FRAME_CREDIT_BYTES;
            }
        }
    }

    /// Notes a record of the side, which holds `unconsumed` bytes of credit,
    /// and checks the window: it never shrinks, nor grows beyond `bound`.
    pub(super) fn send(&mut self, plaintext: Bytes, unconsumed: u64, bound: u32) {
        let before = self.granted;
        for frame in frames(plaintext) {
            if let Frame::Credit { stream, bytes } = frame
                && stream.get() == 0
            {
                self.granted += u64::from(bytes);
            }
        }
        if self.granted > before {
            let window = (self.granted + unconsumed).checked_sub(self.received);
            let window = window.expect("more came than was allowed");
            assert!(window >= self.window, "{} bytes of credit are lost", self.window - window);
            assert!(window <= bound.into(), "{window} bytes may come, the bound is {bound}");
            self.window = window;
        }
    }
}

/// The frames of a record, as far as they can be read.
pub(super) fn frames(mut plaintext: Bytes) -> impl Iterator<Item = Frame> {
    std::iter::from_fn(move || {
        (!plaintext.is_empty()).then(|| Frame::decode(&mut plaintext).ok()).flatten()
    })
}
