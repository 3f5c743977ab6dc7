//! Bytes in the pieces in which they came.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A queue of bytes that is taken in other pieces than it was filled.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Chunks {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.bytes += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The `N` bytes at `offset`, if they are there.
    pub(super) fn peek<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if self.bytes < offset.checked_add(N)? {
            return None;
        }
        let mut skip = offset;
        let mut out = [0; N];
        let mut filled = 0;
        for chunk in &self.chunks {
            let from = skip.min(chunk.len());
            skip -= from;
            let take = (chunk.len() - from).min(N - filled);
            out[filled..filled + take].copy_from_slice(&chunk[from..from + take]);
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
        let count = count.min(self.bytes);
        self.bytes -= count;
        match self.chunks.front_mut() {
            None => Bytes::new(),
            Some(front) if front.len() > count => front.split_to(count),
            Some(front) if front.len() == count => self.chunks.pop_front().unwrap_or_default(),
            Some(_) => self.join(count),
        }
    }

    fn join(&mut self, count: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(count);
        while out.len() < count {
            let Some(mut front) = self.chunks.pop_front() else { break };
            let left = count - out.len();
            if front.len() > left {
                out.extend_from_slice(&front.split_to(left));
                self.chunks.push_front(front);
            } else {
                out.extend_from_slice(&front);
            }
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_one_piece_is_not_copied() {
        let chunk = Bytes::from(vec![1; 100]);
        let begin = chunk.as_ptr();
        let mut chunks = Chunks::default();
        chunks.push(Bytes::from_static(b"abc"));
        chunks.push(chunk);
        assert_eq!(chunks.take(3), "abc");
        assert_eq!(chunks.take(60).as_ptr(), begin);
        assert_eq!(chunks.len(), 40);
    }

    #[test]
    fn pieces_are_looked_at_and_joined_across_their_ends() {
        let mut chunks = Chunks::default();
        for piece in [&b"ab"[..], b"", b"c", b"def"] {
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
