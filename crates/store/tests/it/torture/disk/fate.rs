//! What befalls a disk between two operations: crashes, and strangers.

use std::io;
use std::path::{Path, PathBuf};

use super::inode::Inode;
use super::names::Node;
use super::state::{Crash, State, name_of};

impl State {
    /// Ends this life; the next begins with what it left.
    pub(super) fn restart(&mut self, crash: Crash) {
        self.life += 1;
        self.is_dead = false;
        self.last_mutation = u64::MAX;
        self.locks.clear();
        self.inodes.iter_mut().for_each(|inode| inode.handles = 0);
        let Crash::PowerCut { names, bytes } = crash else { return self.tally.count("kill") };
        self.tally.count("power cut");
        for folder in self.folders.values_mut() {
            let losses = folder.cut(&mut self.draw, names);
            self.tally.add("names lost", losses.lost);
        }
        for inode in &mut self.inodes {
            let losses = inode.cut(&mut self.draw, bytes);
            self.tally.add("writes lost", losses.lost);
            self.tally.add("writes torn", losses.torn);
            self.tally.add("files left empty", losses.emptied);
            inode.names = 0;
        }
        self.forget_lost_folders();
        for folder in self.folders.values() {
            for (_, node) in folder.now() {
                if let Node::File(inode) = node {
                    self.inodes[inode].names += 1;
                }
            }
        }
    }

    /// A folder whose name is gone is gone, with all that is in it.
    fn forget_lost_folders(&mut self) {
        let paths: Vec<PathBuf> = self.folders.keys().cloned().collect();
        for path in paths {
            let Some(parent) = path.parent() else { continue };
            let is_named = self
                .folders
                .get(parent)
                .is_some_and(|names| names.get(name_of(&path)) == Some(Node::Folder));
            if !is_named {
                self.folders.remove(&path);
                self.tally.count("folders lost");
            }
        }
    }

    /// All files, in the order of their paths.
    pub(super) fn files(&self) -> Vec<(PathBuf, usize)> {
        let files = self.folders.iter().flat_map(|(folder, names)| {
            names.now().filter_map(move |(name, node)| match node {
                Node::File(inode) => Some((folder.join(name), inode)),
                Node::Folder => None,
            })
        });
        files.collect()
    }

    pub(super) fn inode(&mut self, inode: usize) -> &mut Inode {
        &mut self.inodes[inode]
    }

    /// All is well from now on.
    pub(super) fn mend(&mut self) {
        self.faults.mend();
        self.last_mutation = u64::MAX;
        self.inodes.iter_mut().for_each(|inode| inode.unreadable.clear());
    }

    /// Puts a file there, as if it had always been.
    pub(super) fn place(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let inode = match self.file(path) {
            Ok(inode) => inode,
            Err(_) => self.make(path)?,
        };
        self.inodes[inode].empty();
        self.inodes[inode].write(0, bytes);
        self.inodes[inode].sync();
        self.parent(path)?.sync();
        Ok(())
    }

    /// Takes a file away, behind everyone's back.
    pub(super) fn take_away(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.file(path)?;
        self.inodes[inode].names -= 1;
        self.parent(path)?.remove(name_of(path));
        self.parent(path)?.sync();
        Ok(())
    }

    /// Takes a folder away with all that is in it.
    pub(super) fn take_folder_away(&mut self, folder: &Path) -> io::Result<()> {
        for (path, _) in self.files() {
            if path.starts_with(folder) {
                self.take_away(&path)?;
            }
        }
        self.folders.retain(|path, _| !path.starts_with(folder));
        self.parent(folder)?.remove(name_of(folder));
        self.parent(folder)?.sync();
        Ok(())
    }
}
