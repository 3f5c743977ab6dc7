//! Texts that people paste: links, ids, names of protocols.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use antiphon_handshake::{Params, Pattern};
use antiphon_net::ServerLink;
use antiphon_types::{Bitrate, BlobId, NodeId, TrackId};

/// What is read from a text prints as a text that reads as the same; what is
/// not, says so in a short line.
///
/// Input: the text.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    round_trip::<ServerLink>(text);
    round_trip::<NodeId>(text);
    round_trip::<BlobId>(text);
    round_trip::<TrackId>(text);
    round_trip::<Bitrate>(text);
    round_trip::<Pattern>(text);
    round_trip::<Params>(text);
}

fn round_trip<T>(text: &str)
where
    T: FromStr<Err: Display + Debug> + Display + Debug + PartialEq,
{
    match text.parse::<T>() {
        Ok(value) => {
            let again = value.to_string().parse::<T>();
            assert_eq!(again.expect("what was printed can be read"), value);
        }
        Err(error) => assert!(error.to_string().chars().count() < 2_500, "{error}"),
    }
}
