//! Misbehaviour on purpose, for tests of those who must survive it. Without
//! the feature `faults` there is none.

#[cfg(feature = "faults")]
use std::time::Duration;

use bytes::Bytes;

/// Between two blocks at a trickle: no silence by which anybody would notice, and a
/// quarter of what music needs.
#[cfg(feature = "faults")]
const TRICKLE: Duration = Duration::from_millis(1_500);

/// What to do wrong.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Alter every block that is sent to peers.
    #[cfg(feature = "faults")]
    pub alter_uploads: bool,
    /// Send blocks to peers at a trickle.
    #[cfg(feature = "faults")]
    pub trickle_uploads: bool,
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

    /// Waits as long as a block is held back.
    #[cfg(feature = "faults")]
    pub(crate) async fn hold_back(self) {
        if self.trickle_uploads {
            tokio::time::sleep(TRICKLE).await;
        }
    }

    /// Waits as long as a block is held back.
    #[cfg(not(feature = "faults"))]
    pub(crate) fn hold_back(self) -> std::future::Ready<()> {
        std::future::ready(())
    }

    /// A block on its way to a peer.
    #[cfg(not(feature = "faults"))]
    pub(crate) fn alter(self, data: Bytes) -> Bytes {
        data
    }
}
