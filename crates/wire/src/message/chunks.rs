//! Bytes in the pieces in which they came.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A queue of bytes that is taken in other pieces than it was filled.
///
/// A piece is a slice of a record and keeps all of it, or is so small that its
/// bookkeeping outweighs it. So what must wait for more is copied together by
/// [`gather`](Self::gather); taking it would have copied it then, if it spans
/// pieces.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// What was gathered; stands before the pieces.
    gathered: BytesMut,
    pieces: VecDeque<Bytes>,
    piece_bytes: usize,
}

impl Chunks {
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.piece_bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.gathered.len() + self.piece_bytes
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Memory held beside itself, except records of which pieces are slices.
    pub(super) fn memory_bytes(&self) -> usize {
        let pieces = self.pieces.capacity() * size_of::<Bytes>();
        self.gathered.capacity() + pieces + self.piece_bytes
    }

    /// Copies all pieces together, so that what they are slices of is let go.
    pub(super) fn gather(&mut self) {
        self.gather_first(usize::MAX);
        self.pieces = VecDeque::new();
    }

    /// The `N` bytes at `offset`, if they are there.
    pub(super) fn peek<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if self.len() < offset.checked_add(N)? {
            return None;
        }
        let mut skip = offset;
        let mut out = [0; N];
        let mut filled = 0;
        let pieces = self.pieces.iter().map(Bytes::as_ref);
        for piece in std::iter::once(self.gathered.as_ref()).chain(pieces) {
            let from = skip.min(piece.len());
            skip -= from;
            let take = (piece.len() - from).min(N - filled);
            out[filled..filled + take].copy_from_slice(&piece[from..from + take]);
            filled += take;
            if filled == N {
                break;
            }
        }
        Some(out)
    }

    /// Takes the first `count` bytes, fewer if there are fewer: a slice if
    /// they lie in one piece, else a copy.
    pub(super) fn take(&mut self, count: usize) -> Bytes {
        let count = count.min(self.len());
        let in_first = self.pieces.front().is_some_and(|first| first.len() >= count);
        if self.gathered.is_empty() && in_first {
            return self.take_of_first(count);
        }
        self.gather_first(count);
        let taken = self.gathered.split_to(count);
        if self.gathered.is_empty() {
            self.gathered = BytesMut::new();
        }
        taken.freeze()
    }

    /// Takes from the first piece, which has that much.
    fn take_of_first(&mut self, count: usize) -> Bytes {
        self.piece_bytes -= count;
        match self.pieces.front_mut() {
            Some(first) if first.len() > count => first.split_to(count),
            _ => self.pieces.pop_front().unwrap_or_default(),
        }
    }

    /// Gathers until `count` bytes are gathered, or all.
    fn gather_first(&mut self, count: usize) {
        while self.gathered.len() < count
            && let Some(first) = self.pieces.front()
        {
            let wanted = first.len().min(count - self.gathered.len());
            let piece = self.take_of_first(wanted);
            self.gathered.extend_from_slice(&piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_one_piece_is_not_copied() {
        let piece = Bytes::from(vec![1; 100]);
        let begin = piece.as_ptr();
        let mut chunks = Chunks::default();
        chunks.push(Bytes::from_static(b"abc"));
        chunks.gather();
        chunks.push(piece);
        assert_eq!(chunks.take(3), "abc");
        assert_eq!(chunks.take(60).as_ptr(), begin);
        assert_eq!(chunks.len(), 40);
    }

    #[test]
    fn pieces_are_looked_at_and_joined_across_their_ends() {
        for gathered in 0..5 {
            let mut chunks = Chunks::default();
            for (i, piece) in [&b"ab"[..], b"", b"c", b"def"].into_iter().enumerate() {
                if i == gathered {
                    chunks.gather();
                }
                chunks.push(Bytes::from_static(piece));
            }
            assert_eq!(chunks.peek(1), Some(*b"bcd"));
            assert_eq!(chunks.peek(4), Some(*b"ef"));
            assert_eq!(chunks.peek::<2>(5), None);
            assert_eq!(chunks.peek::<2>(usize::MAX), None);
            assert_eq!(chunks.take(4), "abcd");
            assert_eq!(chunks.take(9), "ef");
            assert_eq!(chunks.take(1), "");
        }
    }

    #[test]
    fn what_waits_lets_the_records_go_that_it_was_a_slice_of() {
        let record = Bytes::from(vec![1; 60_000]);
        let mut chunks = Chunks::default();
        chunks.push(record.slice(..10_000));
        assert!(!record.is_unique());
        chunks.gather();
        assert!(record.is_unique());
        assert!(chunks.memory_bytes() <= 20_000);
    }
}
