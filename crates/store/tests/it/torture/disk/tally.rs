//! What happened, counted: a run in which nothing happened shows nothing.

use std::collections::BTreeMap;

/// Counters by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub(crate) fn add(&mut self, what: &str, times: u64) {
        if times > 0 {
            match self.0.get_mut(what) {
                Some(count) => *count += times,
                None => drop(self.0.insert(what.to_owned(), times)),
            }
        }
    }

    pub(crate) fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    pub(crate) fn get(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add(what, *times);
        }
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(what, times)| format!("{times:>9} {what}"))
    }
}
