//! Reading what is known of a blob, when it is first used.

use std::sync::atomic::Ordering;

use super::Blob;
use super::home::Home;
use crate::disk::{self, FileError};
use crate::hashing::{PAIR_BYTES, Pair};
use crate::head;
use crate::sync::{lock, read, write};
use crate::tree::BlobTree;

impl Blob {
    /// Reads the tree from disk if that was not done yet, and drops the claims
    /// that it does not bear out.
    pub(super) fn load(&self) -> Result<(), FileError> {
        if read(&self.state).tree.is_some() {
            return Ok(());
        }
        // Nobody writes before there is a tree, so this needs no lock.
        match self.read_tree() {
            Ok((tree, is_sound)) => self.take_tree(tree, is_sound),
            Err(error) if error.is_passing() => return Err(error),
            Err(_) => self.leave_alone(),
        }
        Ok(())
    }

    /// The tree as far as the head on disk has it, and whether the head's first
    /// part is as it should be.
    fn read_tree(&self) -> Result<(BlobTree, bool), FileError> {
        let path = self.path();
        let head = disk::read_all(&*self.common.disk, &path, head::head_bytes(self.size))?;
        let head = head.unwrap_or_default();
        let mut tree = BlobTree::new(self.id, self.size);
        tree.load(|middle| {
            let at = usize::try_from(head::pair_offset(self.size, middle)).ok()?;
            Pair::from_slice(head.get(at..at + PAIR_BYTES)?)
        });
        let header = head.first_chunk();
        let size = header.map(|header| head::parse_header(self.layout, self.id, header));
        Ok((tree, size == Some(Ok(self.size))))
    }

    fn take_tree(&self, tree: BlobTree, is_sound: bool) {
        let mut fill = lock(&self.fill);
        let mut state = write(&self.state);
        if state.tree.is_some() {
            return;
        }
        let claimed = state.have.ranges().flat_map(|range| range.iter());
        let unfounded: Vec<u32> = claimed.filter(|&block| !tree.knows_block(block)).collect();
        for &block in &unfounded {
            self.unclaim(&mut state, block);
        }
        fill.notes.everything |= !unfounded.is_empty() || !is_sound;
        state.tree = Some(tree);
    }

    /// The disk does not give the head. The blob goes on in memory, and the file
    /// is not written to: once the disk is well, all may still be there.
    fn leave_alone(&self) {
        let mut fill = lock(&self.fill);
        let mut state = write(&self.state);
        if state.tree.is_some() {
            return;
        }
        fill.home = Home::Unreadable;
        let claimed: Vec<u32> = state.have.ranges().flat_map(|range| range.iter()).collect();
        for block in claimed {
            self.take_out(&mut state, block);
            self.common.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        state.tree = Some(BlobTree::new(self.id, self.size));
    }
}
