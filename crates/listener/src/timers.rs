use antiphon_types::Timestamp;

/// What a listener may have to do without anything happening outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A block on its way will count as late.
    Late,
    /// A source will have been silent for too long.
    Patience,
    /// A block comes near enough to be asked of the server.
    Wanted,
    /// A source that was choked or paused may be asked again.
    Unblocked,
    /// Peers may be searched again.
    FindPeers,
    /// It is to be decided which rendition is fetched next.
    Decide,
}

/// All deadlines of a listener. Each plan sets them anew.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    at: [Option<Timestamp>; 6],
}

impl Timers {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Sets a timer, unless it is set to something sooner.
    pub(crate) fn set(&mut self, timer: Timer, at: Timestamp) {
        let slot = &mut self.at[timer as usize];
        *slot = Some(slot.map_or(at, |set| set.min(at)));
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.at.iter().flatten().min().copied()
    }
}
