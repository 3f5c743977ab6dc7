//! Finding tracks by words.

use rusqlite::params;

use crate::{Catalog, DatabaseError, TrackSummary, rows};

/// The longest list that [`Catalog::search`] gives at once.
pub const MAX_PAGE: u32 = 200;

/// Words of a search that are looked at, and letters of each. What is cut
/// off can only make more tracks match, never fewer.
const MAX_WORDS: usize = 16;
const MAX_LETTERS: usize = 64;

impl Catalog {
    /// Tracks in whose title, artist or album every one of `words` begins a
    /// word, the best match first: at most `limit` ([`MAX_PAGE`] in any case)
    /// after the first `offset`.
    ///
    /// Case and accents make no difference. Nothing in `words` has a special
    /// meaning; a word without any letter or digit is passed over, and words of
    /// that kind alone find nothing. No words at all list every track by
    /// artist, album and place on it.
    pub fn search(
        &self,
        words: &str,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<TrackSummary>, DatabaseError> {
        let limit = limit.min(MAX_PAGE);
        let connection = self.connection();
        let found: rusqlite::Result<Vec<TrackSummary>> = match expression(words) {
            None => connection
                .prepare(
                    "SELECT id, title, artist, album, samples FROM tracks
                     ORDER BY artist COLLATE NOCASE, album COLLATE NOCASE,
                         disc_number, track_number, number
                     LIMIT ?1 OFFSET ?2",
                )?
                .query_map([limit, offset], rows::track_summary)?
                .collect(),
            // A hit in a title weighs most, then in an artist, then in an album.
            Some(expression) => connection
                .prepare(
                    "SELECT id, tracks.title, tracks.artist, tracks.album, samples
                     FROM search JOIN tracks ON tracks.number = search.rowid
                     WHERE search MATCH ?1
                     ORDER BY bm25(search, 4.0, 3.0, 1.0),
                         tracks.artist COLLATE NOCASE, tracks.album COLLATE NOCASE,
                         disc_number, track_number, number
                     LIMIT ?2 OFFSET ?3",
                )?
                .query_map(params![expression, limit, offset], rows::track_summary)?
                .collect(),
        };
        Ok(found?)
    }

    /// How many tracks [`search`](Self::search) would list in all.
    pub fn count_found(&self, words: &str) -> Result<u64, DatabaseError> {
        let Some(expression) = expression(words) else { return self.count() };
        let count = self.connection().query_row(
            "SELECT count(*) FROM search WHERE search MATCH ?1",
            [expression],
            |row| row.get(0),
        )?;
        Ok(count)
    }
}

/// The words as an expression of FTS5: each one a quoted string, as the
/// beginning of a word. `None` if there are none.
///
/// Inside quotes only the quote itself means anything, and doubling it takes
/// that away. SQLite reads an expression up to the first NUL, so control
/// characters separate words like white space does.
fn expression(words: &str) -> Option<String> {
    let quoted: Vec<String> = words
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(|word| {
            let begin: String = word.chars().take(MAX_LETTERS).collect();
            format!("\"{}\"*", begin.replace('"', "\"\""))
        })
        .collect();
    (!quoted.is_empty()).then(|| quoted.join(" "))
}
