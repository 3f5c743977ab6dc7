//! Misbehaviour on purpose, for tests of those who must survive it. Without
//! the feature `faults` there is none.

use bytes::Bytes;

/// What to do wrong.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Alter every block that is sent to peers.
    #[cfg(feature = "faults")]
    pub alter_uploads: bool,
}

impl Faults {
    /// A block on its way to a peer.
    #[cfg(feature = "faults")]
    pub(crate) fn alter(self, data: Bytes) -> Bytes {
        if !self.alter_uploads {
            return data;
        }
        let mut altered = data.to_vec();
        if let Some(byte) = altered.get_mut(data.len() / 2) {
            *byte ^= 1;
        }
        altered.into()
    }

    /// A block on its way to a peer.
    #[cfg(not(feature = "faults"))]
    pub(crate) fn alter(self, data: Bytes) -> Bytes {
        data
    }
}
