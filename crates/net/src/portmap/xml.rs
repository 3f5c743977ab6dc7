//! As much of XML as the descriptions and answers of routers need: elements in a
//! row, by their local names. No tree, no recursion, nothing is fetched.

/// A piece of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// An element begins; the name is without its prefix.
    Open(&'a str),
    /// An element ends.
    Close(&'a str),
    /// Text between tags, as it stands.
    Text(&'a str),
}

/// The pieces of a document, as far as it is one.
pub(super) fn pieces(document: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = document;
    std::iter::from_fn(move || {
        loop {
            if let Some(comment) = rest.strip_prefix("<!--") {
                rest = comment.split_once("-->")?.1;
                continue;
            }
            let Some(tag) = rest.strip_prefix('<') else {
                let text = &rest[..rest.find('<').unwrap_or(rest.len())];
                rest = &rest[text.len()..];
                return (!text.is_empty()).then_some(Piece::Text(text));
            };
            let (tag, after) = tag.split_once('>')?;
            rest = after;
            // Declarations say nothing here. An empty element is as good as none.
            if tag.starts_with(['?', '!']) || tag.ends_with('/') {
                continue;
            }
            return Some(match tag.strip_prefix('/') {
                Some(name) => Piece::Close(local(name)),
                None => Piece::Open(local(tag)),
            });
        }
    })
}

/// The text of the first element that is called `name`.
pub(super) fn text<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let mut pieces = pieces(document);
    pieces.find(|piece| *piece == Piece::Open(name))?;
    match pieces.next()? {
        Piece::Text(text) => Some(text.trim()),
        _ => None,
    }
}

/// A tag's name without prefix and attributes.
fn local(tag: &str) -> &str {
    let name = tag.split_ascii_whitespace().next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_are_found_by_their_local_names() {
        let document = "<?xml version=\"1.0\"?><!-- <a>no</a> --><s:Envelope xmlns:s=\"x\">\
                        <empty/><u:Answer><a b=\"c\"> yes </a></u:Answer></s:Envelope>";
        assert_eq!(text(document, "a"), Some("yes"));
        assert_eq!(text(document, "empty"), None);
        let names: Vec<_> = pieces(document).collect();
        assert_eq!(
            names,
            [
                Piece::Open("Envelope"),
                Piece::Open("Answer"),
                Piece::Open("a"),
                Piece::Text(" yes "),
                Piece::Close("a"),
                Piece::Close("Answer"),
                Piece::Close("Envelope"),
            ]
        );
    }

    proptest! {
        /// A router may send anything.
        #[test]
        fn nothing_panics_and_all_ends(document in "[<>/!?a: é-]{0,60}") {
            prop_assert!(pieces(&document).count() <= document.len());
            let _ = text(&document, "a");
        }
    }
}
