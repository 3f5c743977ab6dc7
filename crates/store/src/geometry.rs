//! The shape of a blob's hash tree, down to blocks.
//!
//! BLAKE3 splits an input so that the left part is the largest power of two of
//! chunks that leaves something for the right (BLAKE3 paper, section 2.1). A
//! block is 16 chunks, so the same rule holds in units of blocks, and what lies
//! below a block is nobody's business but the hasher's.
//!
//! An inner node is named by its *middle*: the first block of its right half.
//! Each of the numbers 1 to `block_count - 1` is the middle of exactly one node,
//! which makes it an index into anything that holds one item per pair.

/// A subtree: the blocks `start..end`, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    start: u32,
    end: u32,
}

impl Node {
    /// The whole tree of a blob of `block_count` blocks.
    pub(crate) const fn root(block_count: u32) -> Self {
        Self { start: 0, end: block_count }
    }

    /// The first block below it.
    pub(crate) const fn start(self) -> u32 {
        self.start
    }

    /// How many blocks are below it.
    pub(crate) const fn len(self) -> u32 {
        self.end - self.start
    }

    /// The first block of its right half; none if it is a leaf.
    pub(crate) const fn middle(self) -> Option<u32> {
        match self.len() {
            0 | 1 => None,
            len => Some(self.start + (1 << (u32::BITS - 1 - (len - 1).leading_zeros()))),
        }
    }

    /// Its middle and its two halves; none if it is a leaf.
    pub(crate) fn split(self) -> Option<(u32, Self, Self)> {
        let middle = self.middle()?;
        let left = Self { start: self.start, end: middle };
        let right = Self { start: middle, end: self.end };
        Some((middle, left, right))
    }
}

/// The inner nodes from the root down to `block`, the root first.
pub(crate) fn path(block_count: u32, block: u32) -> impl Iterator<Item = Node> {
    let mut next = Some(Node::root(block_count));
    std::iter::from_fn(move || {
        let node = next?;
        let (middle, left, right) = node.split()?;
        next = Some(if block < middle { left } else { right });
        Some(node)
    })
}

/// All inner nodes in pre-order: a node before its left half, that before its right.
pub(crate) fn pre_order(block_count: u32) -> impl Iterator<Item = Node> {
    let mut waiting = vec![Node::root(block_count)];
    std::iter::from_fn(move || {
        loop {
            let node = waiting.pop()?;
            if let Some((_, left, right)) = node.split() {
                waiting.push(right);
                waiting.push(left);
                return Some(node);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_middle_names_one_node() {
        for block_count in 1..200 {
            let mut middles: Vec<_> =
                pre_order(block_count).map(|node| node.middle().unwrap()).collect();
            middles.sort_unstable();
            assert_eq!(middles, (1..block_count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_left_half_is_the_largest_power_of_two() {
        for len in 2..500 {
            let bytes = u64::from(len) * 16_384;
            let expected = blake3::hazmat::left_subtree_len(bytes) / 16_384;
            assert_eq!(Node::root(len).middle().map(u64::from), Some(expected));
        }
    }

    #[test]
    fn a_path_narrows_to_its_block() {
        let block_count = 77;
        for block in 0..block_count {
            let path: Vec<_> = path(block_count, block).collect();
            assert!(path.iter().all(|node| node.start <= block && block < node.end));
            assert!(path.len() <= 7);
        }
        assert_eq!(path(1, 0).count(), 0);
        assert_eq!(path(1 << 22, 12_345).count(), 22, "the deepest there is");
    }
}
