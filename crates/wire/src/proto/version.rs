//! What two sides of different age may use with each other.

use std::collections::BTreeSet;

use super::{Hello, PeerHello, Welcome};

/// The minor version, told in the first message. A newer one only adds what an
/// older one may ignore.
pub const MINOR_VERSION: u32 = 0;

/// Names of the optional features that this crate understands; none yet.
pub const FEATURES: &[&str] = &[];

/// The longest name of a feature.
pub const MAX_FEATURE_BYTES: usize = 32;

/// Features of a first message that are looked at.
pub const MAX_FEATURES: usize = 32;

/// A minor version and features: what one side knows, or what both may use.
///
/// The major version stands in the handshake's prologue, so that sides of
/// different ones never meet. Everything newer is negotiated so: each side tells
/// what it knows in its first message ([`Hello`], [`Welcome`], [`PeerHello`]),
/// and until it has read the other's it uses nothing beyond minor version 0 and
/// no feature. Then both may use [`common_with`](Self::common_with).
///
/// ```
/// use antiphon_wire::proto::{Hello, Version};
///
/// let ours = Version::new(2, ["fast-search"]);
/// let hello = Hello { minor: 5, features: vec!["video".into()], ..Hello::default() };
/// let common = ours.common_with(&Version::from(&hello));
/// assert_eq!(common.minor(), 2);
/// assert!(!common.has("fast-search"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    minor: u32,
    features: BTreeSet<String>,
}

impl Version {
    /// What this crate knows.
    pub fn ours() -> Self {
        Self::new(MINOR_VERSION, FEATURES)
    }

    /// A minor version and names of features. Names that no feature can have
    /// (other than lower-case letters, digits and hyphens, 1 to
    /// [`MAX_FEATURE_BYTES`] of them) are left out, as is what follows the first
    /// [`MAX_FEATURES`].
    pub fn new(minor: u32, features: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let features = features
            .into_iter()
            .take(MAX_FEATURES)
            .filter(|name| is_feature(name.as_ref()))
            .map(|name| name.as_ref().to_owned())
            .collect();
        Self { minor, features }
    }

    /// What both sides may use: the lower minor version, and the features that
    /// both name.
    #[must_use]
    pub fn common_with(&self, other: &Self) -> Self {
        Self {
            minor: self.minor.min(other.minor),
            features: self.features.intersection(&other.features).cloned().collect(),
        }
    }

    /// The minor version.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// Whether a feature is in it.
    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }

    /// The features, as a first message carries them.
    pub fn features(&self) -> Vec<String> {
        self.features.iter().cloned().collect()
    }
}

fn is_feature(name: &str) -> bool {
    let fits = (1..=MAX_FEATURE_BYTES).contains(&name.len());
    fits && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! from_first_messages {
    ($($message:ty),+) => {
        $(impl From<&$message> for Version {
            /// What the sender knows.
            fn from(message: &$message) -> Self {
                Self::new(message.minor, &message.features)
            }
        })+
    };
}

from_first_messages!(Hello, Welcome, PeerHello);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_use_the_lower_version_and_what_both_understand() {
        let old = Version::new(1, ["a", "b"]);
        let new = Version::new(3, ["b", "c"]);
        let common = Version::new(1, ["b"]);
        assert_eq!(old.common_with(&new), common);
        assert_eq!(new.common_with(&old), common);
        assert_eq!(common.features(), ["b"]);
        assert!(common.has("b") && !common.has("a"));
    }

    #[test]
    fn names_that_no_feature_has_and_too_many_are_left_out() {
        let long = "x".repeat(33);
        let odd = ["", "Upper", "sp ace", "\u{1b}[2J", "ünder", &long, "good-1"];
        assert_eq!(Version::new(0, odd).features(), ["good-1"]);
        let many: Vec<_> = (0..10_000).map(|i| format!("f{i:05}")).collect();
        assert_eq!(Version::new(0, &many).features().len(), MAX_FEATURES);
    }

    #[test]
    fn what_this_crate_offers_passes_its_own_rules() {
        assert_eq!(Version::ours().features().len(), FEATURES.len());
        assert_eq!(Version::ours().minor(), MINOR_VERSION);
    }
}
