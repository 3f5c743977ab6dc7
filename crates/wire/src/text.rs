//! Text of strangers, on its way to a terminal or a log.

/// Characters of foreign text that are shown.
pub const MAX_TEXT_CHARS: usize = 128;

/// Text of the other side, made fit to be shown: cut to [`MAX_TEXT_CHARS`]
/// characters, each that moves the cursor, ends a line, turns the direction of
/// writing or is not seen replaced by `U+FFFD`.
///
/// Everything that a peer wrote must pass here before it reaches a log or a
/// terminal (RUSTSEC-2025-0055 and the like).
///
/// ```
/// assert_eq!(antiphon_wire::printable("no\n\x1b[2Jsuch\u{202e}track"), "no��[2Jsuch�track");
/// ```
pub fn printable(text: &str) -> String {
    text.chars()
        .take(MAX_TEXT_CHARS)
        .map(|c| if is_harmless(c) { c } else { char::REPLACEMENT_CHARACTER })
        .collect()
}

fn is_harmless(c: char) -> bool {
    let unseen = matches!(
        c,
        // Soft hyphen, Arabic letter mark, zero width, bidirectional controls,
        // line and paragraph separator, invisible operators, byte order mark,
        // annotations, tags.
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    !c.is_control() && !unseen
}
