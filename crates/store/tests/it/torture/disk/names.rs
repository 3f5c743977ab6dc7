//! The names in a folder, to those who run and to those who come after a power
//! cut.

use std::collections::BTreeMap;

use super::inode::{Losses, Unsynced};
use crate::torture::draw::Draw;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    File(usize),
    Folder,
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
enum Change {
    Added(String, Node),
    Removed(String),
    Renamed { from: String, to: String, node: Node },
}

#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    now: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    /// Since the last sync, oldest first.
    changes: Vec<Change>,
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<Node> {
        self.now.get(name).copied()
    }

    pub(super) fn now(&self) -> impl Iterator<Item = (&String, Node)> {
        self.now.iter().map(|(name, node)| (name, *node))
    }

    pub(super) fn add(&mut self, name: &str, node: Node) {
        self.change(Change::Added(name.to_owned(), node));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.change(Change::Removed(name.to_owned()));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, node: Node) {
        self.change(Change::Renamed { from: from.to_owned(), to: to.to_owned(), node });
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.changes.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.changes.clear();
        self.durable = self.now.clone();
    }

    /// Leaves what a power cut leaves.
    pub(super) fn cut(&mut self, draw: &mut Draw, how: Unsynced) -> Losses {
        let changes = std::mem::take(&mut self.changes);
        let first_lost = draw.below(changes.len() + 1);
        let mut losses = Losses::default();
        for (number, change) in changes.iter().enumerate() {
            let is_kept = match how {
                Unsynced::Lost => false,
                Unsynced::Kept => true,
                Unsynced::Beginning => number < first_lost,
                Unsynced::Torn => draw.coin(),
            };
            if is_kept {
                change.apply(&mut self.durable);
            } else {
                losses.lost += 1;
            }
        }
        self.now = self.durable.clone();
        losses
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Added(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
            Self::Renamed { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
        }
    }
}
