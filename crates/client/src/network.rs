//! What was learned of the network, from one session to the next.

use std::fs;
use std::path::Path;

use antiphon_listener::Learned;

use crate::settings::replace_file;

/// What earlier sessions learned. A file that is not there, or damaged, is as
/// good as none.
pub(crate) fn read(path: &Path) -> Option<Learned> {
    fs::read_to_string(path).ok()?.parse().ok()
}

/// Keeps it for the next session. It is no loss if that fails.
pub(crate) fn keep(path: &Path, learned: &Learned) {
    if let Err(error) = replace_file(path, learned.to_string().as_bytes(), false) {
        tracing::debug!("what was learned of the network is not kept: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_a_session_and_garbage_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network");
        assert_eq!(read(&path), None);
        let learned: Learned = "12>13:4.00 13>12:3.50".parse().unwrap();
        keep(&path, &learned);
        assert_eq!(read(&path), Some(learned));
        for garbage in [b"".as_slice(), b"1>2", b"99>1:1", b"1>1:-3", b"1>1:inf", b"\xff\xfe"] {
            fs::write(&path, garbage).unwrap();
            assert_eq!(read(&path), None, "{garbage:?}");
        }
    }
}
