//! The verified part of a blob's hash tree, in memory.

use antiphon_types::{BlobId, BlobSize, BlockSet};

use crate::geometry::{self, Node};
use crate::hashing::{Hash, PAIR_BYTES, Pair, block_hash};
use crate::proof::ProofCursor;

/// Why a block is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The blob has no block of this number.
    #[error("the blob has no such block")]
    OutOfRange,
    /// The data is longer or shorter than that block.
    #[error("the data is not as long as the block")]
    WrongLength,
    /// Proof and data do not lead to the blob's hash.
    #[error("the block does not belong to this blob: drop it, and do not ask its sender again")]
    Unverified,
}

/// A blob's hash tree, as far as it is known: it checks blocks and proves them.
///
/// It begins with the root alone, which is the blob's id, and takes in pairs
/// that verify against what it has; so all it holds is true. [`Store`] keeps one
/// for each blob it works on. Alone it checks blocks that will not be kept.
///
/// Memory: 48 bytes per block and two bits. A pair of blocks costs no hash of
/// its own: it is computed from the two.
///
/// [`Store`]: crate::Store
///
/// ```
/// use antiphon_store::{BlobTree, ProofCursor};
/// use antiphon_types::BlobSize;
///
/// let bytes = vec![7; 40_000];
/// let size = BlobSize::new(40_000)?;
/// let whole = BlobTree::of(&bytes).unwrap();
/// let proof = whole.proof(2, &mut ProofCursor::new()).unwrap();
///
/// let mut other = BlobTree::new(antiphon_store::hash(&bytes), size);
/// assert!(other.accept(2, &proof, &bytes[32_768..]).is_ok());
/// assert!(other.accept(1, &proof, &bytes[16_384..32_768]).is_err(), "another block's proof");
/// # Ok::<(), antiphon_types::BlobSizeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BlobTree {
    blob: BlobId,
    size: BlobSize,
    /// The middles of the nodes whose pair is known. With a node's pair its
    /// parent's is known too.
    known: BlockSet,
    /// Hashes of the blocks. While the pair over two blocks is not known, the
    /// first one's place holds the hash of the two.
    leaves: Vec<Hash>,
    /// Hashes of the nodes above those, by half their middle, less one.
    upper: Vec<Hash>,
}

/// What a block brings that the tree does not know yet: pairs that verified,
/// from the top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NewPairs(Vec<(Node, Pair)>);

impl NewPairs {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The middles of the nodes that they are of.
    pub(crate) fn middles(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().filter_map(|(node, _)| node.middle())
    }
}

impl BlobTree {
    /// Knows the root, and that it is over `size` bytes.
    pub fn new(blob: BlobId, size: BlobSize) -> Self {
        let blocks = size.block_count() as usize;
        Self {
            blob,
            size,
            known: BlockSet::empty(size),
            leaves: vec![[0; 32]; blocks],
            upper: vec![[0; 32]; blocks.saturating_sub(1) / 2],
        }
    }

    /// Knows all of the tree over `bytes`; none if they are no blob.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let outboard = crate::outboard::encode(bytes)?;
        crate::outboard::decode(crate::hash(bytes), &outboard).ok()
    }

    /// The blob it is the tree of.
    pub fn blob(&self) -> BlobId {
        self.blob
    }

    /// The blob's size.
    pub fn size(&self) -> BlobSize {
        self.size
    }

    /// Checks a block against the blob's id and keeps what its proof brings.
    ///
    /// The form of `proof` is described in [`format`](crate::format). After an
    /// error nothing is changed.
    pub fn accept(&mut self, block: u32, proof: &[u8], data: &[u8]) -> Result<(), VerifyError> {
        let new = self.check(block, proof, data)?;
        self.learn(&new);
        Ok(())
    }

    /// The pairs that prove `block`, less those that `cursor` has seen; none if
    /// they are not all known.
    pub fn proof(&self, block: u32, cursor: &mut ProofCursor) -> Option<Vec<u8>> {
        if !self.knows_block(block) {
            return None;
        }
        let sent = cursor.sent(self.blob, self.size);
        let mut proof = Vec::new();
        for node in geometry::path(self.size.block_count(), block) {
            let Some((middle, pair)) = self.pair(node) else { continue };
            if sent.insert(middle) {
                proof.extend_from_slice(&pair.to_bytes());
            }
        }
        Some(proof)
    }

    /// Checks a block; what it brings is to be learnt by [`Self::learn`].
    pub(crate) fn check(
        &self,
        block: u32,
        proof: &[u8],
        data: &[u8],
    ) -> Result<NewPairs, VerifyError> {
        let index = self.size.block(block).ok_or(VerifyError::OutOfRange)?;
        if data.len() != self.size.block_bytes(index) as usize {
            return Err(VerifyError::WrongLength);
        }
        self.check_path(block, proof, data).ok_or(VerifyError::Unverified)
    }

    /// Walks from the root: pairs that the proof leaves out must be known, the
    /// others must hash to what the walk expects.
    fn check_path(&self, block: u32, proof: &[u8], data: &[u8]) -> Option<NewPairs> {
        let block_count = self.size.block_count();
        let depth = geometry::path(block_count, block).count();
        let (given, rest) = proof.as_chunks::<PAIR_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let omitted = depth.checked_sub(given.len())?;
        let mut new = NewPairs::default();
        // None while all above is known, and with it what is expected.
        let mut expected = None;
        for (level, node) in geometry::path(block_count, block).enumerate() {
            let middle = node.middle()?;
            let Some(place) = level.checked_sub(omitted) else {
                if !self.known.contains(middle) {
                    return None;
                }
                continue;
            };
            let pair = Pair::from_slice(given.get(place)?)?;
            if self.pair(node).is_none_or(|(_, known)| known != pair) {
                let is_root = node == Node::root(block_count);
                let above = expected.unwrap_or_else(|| self.hash(node));
                if pair.parent(is_root) != above {
                    return None;
                }
                new.0.push((node, pair));
            }
            expected = Some(if block < middle { pair.left } else { pair.right });
        }
        let expected = expected.or_else(|| self.block_hash(block))?;
        (block_hash(block_count, block, data) == expected).then_some(new)
    }

    /// Takes in pairs that [`Self::check`] of this tree, or of an earlier state
    /// of it, found true.
    pub(crate) fn learn(&mut self, new: &NewPairs) {
        for (node, pair) in &new.0 {
            self.set(*node, pair);
        }
    }

    /// Takes in what verifies of the pairs that `load` gives for a middle. It is
    /// asked in pre-order, and not for what lies below a pair that failed.
    pub(crate) fn load(&mut self, mut load: impl FnMut(u32) -> Option<Pair>) {
        let root = Node::root(self.size.block_count());
        let mut waiting = vec![(root, *self.blob.as_bytes())];
        while let Some((node, expected)) = waiting.pop() {
            let Some((middle, left, right)) = node.split() else { continue };
            if let Some(pair) = load(middle)
                && pair.parent(node == root) == expected
            {
                self.set(node, &pair);
                waiting.push((right, pair.right));
                waiting.push((left, pair.left));
            }
        }
    }

    /// Whether all of it is known.
    pub(crate) fn is_complete(&self) -> bool {
        // No node has the middle 0.
        self.known.len() + 1 == self.size.block_count()
    }

    /// Whether the hash of this block is known.
    pub(crate) fn knows_block(&self, block: u32) -> bool {
        block < self.size.block_count() && self.block_hash(block).is_some()
    }

    /// Whether these bytes are that block; false also if its hash is not known.
    pub(crate) fn is_block(&self, block: u32, data: &[u8]) -> bool {
        self.block_hash(block)
            .is_some_and(|expected| block_hash(self.size.block_count(), block, data) == expected)
    }

    /// The hash of a block, if known.
    pub(crate) fn block_hash(&self, block: u32) -> Option<Hash> {
        let block_count = self.size.block_count();
        if block_count == 1 {
            return (block == 0).then_some(*self.blob.as_bytes());
        }
        // The node right above the block is the last of its path; blocks come
        // in twos but for a last odd one, whose parent is higher up.
        let paired = block | 1;
        let parent_known = if paired < block_count {
            self.known.contains(paired)
        } else {
            geometry::path(block_count, block)
                .last()
                .and_then(Node::middle)
                .is_some_and(|middle| self.known.contains(middle))
        };
        parent_known.then(|| self.leaves[block as usize])
    }

    /// The pair of the node with this middle, if known.
    pub(crate) fn pair_of(&self, middle: u32) -> Option<Pair> {
        let path = geometry::path(self.size.block_count(), middle);
        let node = path.into_iter().find(|node| node.middle() == Some(middle))?;
        self.pair(node).map(|(_, pair)| pair)
    }

    /// All known pairs with their middles, in no particular order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (u32, Pair)> + '_ {
        geometry::pre_order(self.size.block_count()).filter_map(|node| self.pair(node))
    }

    /// The middle and the pair of an inner node, if known.
    fn pair(&self, node: Node) -> Option<(u32, Pair)> {
        let (middle, left, right) = node.split()?;
        if !self.known.contains(middle) {
            return None;
        }
        Some((middle, Pair { left: self.stored(left), right: self.stored(right) }))
    }

    /// The hash of the root, or of a node whose parent's pair is known.
    fn hash(&self, node: Node) -> Hash {
        match node == Node::root(self.size.block_count()) {
            true => *self.blob.as_bytes(),
            false => self.stored(node),
        }
    }

    /// The hash of a node below the root whose parent's pair is known.
    fn stored(&self, node: Node) -> Hash {
        let start = node.start() as usize;
        match node.middle() {
            None => self.leaves[start],
            Some(middle) if node.len() > 2 => self.upper[middle as usize / 2 - 1],
            Some(middle) if self.known.contains(middle) => {
                Pair { left: self.leaves[start], right: self.leaves[start + 1] }.parent(false)
            }
            Some(_) => self.leaves[start],
        }
    }

    /// Stores the pair of a node. It must be true, and its parent's be known.
    fn set(&mut self, node: Node, pair: &Pair) {
        let Some((middle, left, right)) = node.split() else { return };
        if !self.known.insert(middle) {
            return;
        }
        for (half, hash) in [(left, pair.left), (right, pair.right)] {
            match half.middle() {
                Some(middle) if half.len() > 2 => self.upper[middle as usize / 2 - 1] = hash,
                _ => self.leaves[half.start() as usize] = hash,
            }
        }
    }
}
