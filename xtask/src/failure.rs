//! What a chore says when it fails: what happened, to what, and what to do.

use std::fmt;

/// The result of a chore.
pub type Result<T> = std::result::Result<T, Failure>;

/// A chore that failed, with a hint at the way out where there is one.
///
/// It is made from any error by `?`; for that reason it is no
/// [`std::error::Error`] itself.
#[derive(PartialEq, Eq)]
pub struct Failure {
    what: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure that says `what` happened, and to what.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(out, "\n  -> {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// Says what was tried when a step fails.
pub trait Context<T> {
    /// Puts `what` was tried in front of the error.
    ///
    /// # Errors
    ///
    /// The error that stood there, as a [`Failure`].
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::new(format!("{}: {error}", what())))
    }
}
