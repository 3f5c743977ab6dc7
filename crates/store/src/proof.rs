//! What was already sent of a tree.

use antiphon_types::{BlobId, BlobSize, BlockSet};

/// Which pairs a response has already carried, so that none is sent twice.
///
/// One cursor belongs to one response: to a receiver who takes in every block
/// of it, in order. If a block with a proof is not sent after all, or the
/// receiver may have lost what it had, begin a new one. A run of blocks then
/// costs about one pair, 64 bytes, for each.
///
/// Memory: one bit for each block of the blob.
#[derive(Debug, Clone, Default)]
pub struct ProofCursor {
    sent: Option<(BlobId, BlockSet)>,
}

impl ProofCursor {
    /// Nothing was sent.
    pub fn new() -> Self {
        Self::default()
    }

    /// The middles of the nodes whose pair was sent; a cursor that comes from
    /// another blob begins anew.
    pub(crate) fn sent(&mut self, blob: BlobId, size: BlobSize) -> &mut BlockSet {
        let fits = |sent: &(BlobId, BlockSet)| {
            sent.0 == blob && sent.1.block_count() == size.block_count()
        };
        let kept = self.sent.take().filter(fits);
        &mut self.sent.insert(kept.unwrap_or_else(|| (blob, BlockSet::empty(size)))).1
    }
}
