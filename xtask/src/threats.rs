//! Whether each test that `docs/threats.md` names is there.

use std::fs;

use crate::failure::{Context as _, Failure, Result};
use crate::workspace;

const PAGE: &str = "docs/threats.md";

/// Looks for every `PATH.rs::NAME` of the page.
///
/// # Errors
///
/// The page names none, or one that is not there.
pub fn check() -> Result<()> {
    let read = |path: &str| {
        let path = workspace::root().join(path);
        fs::read_to_string(&path).context(|| format!("read {}", path.display()))
    };
    let page = read(PAGE)?;
    let mut named = 0;
    for (path, name) in tests_in(&page) {
        named += 1;
        if !read(path)?.contains(&format!("fn {name}(")) {
            return Err(
                Failure::new(format!("{path} has no test {name}")).hint(format!("correct {PAGE}"))
            );
        }
    }
    if named == 0 {
        return Err(Failure::new(format!("{PAGE} names no test")));
    }
    Ok(())
}

/// What stands in backquotes and has a path and a name.
fn tests_in(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = page.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| text.split_once("::")).filter(|(path, _)| path.ends_with(".rs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_other_words() {
        let page = "`a/b.rs::c`, and `net::lan` or `d.rs`; `e.rs::f`.";
        let found: Vec<_> = tests_in(page).collect();
        assert_eq!(found, [("a/b.rs", "c"), ("e.rs", "f")]);
    }

    #[test]
    fn the_page_names_tests_that_are_there() {
        check().unwrap_or_else(|failure| panic!("{failure}"));
    }
}
