use antiphon_types::Class;

/// How soon a play needs a block, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Its instant has passed: the decoder waits for it, or nearly.
    Overdue,
    /// Within the emergency reserve.
    Emergency,
    /// Beyond the reserve, but near.
    Soon,
    /// Of this play, some time.
    Later,
    /// Behind the position: wanted for the cache, not for this play.
    Hole,
}

impl Urgency {
    /// The class in which a request for it travels.
    ///
    /// Everything that the running play will need is [`Class::Now`]: order
    /// within a play is kept by asking in order.
    pub const fn class(self) -> Class {
        match self {
            Self::Overdue | Self::Emergency | Self::Soon | Self::Later => Class::Now,
            Self::Hole => Class::Prefetch,
        }
    }
}
