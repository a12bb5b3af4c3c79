//! One dump or backup that goes into several repositories.

use toban_core::Result;
use toban_core::repo::{Answers, RepoSet};

/// What was made, and which repositories have it.
pub(crate) struct Copies<'r, T> {
    /// None when no repository took it.
    pub(crate) made: Option<T>,
    /// For each repository whether it has all of it.
    pub(crate) stored: Answers<'r, ()>,
}

impl<'r, T> Copies<'r, T> {
    /// Ends the writing to `set`.
    ///
    /// # Errors
    /// That of `made`, unless no repository is left: then theirs are the errors to report.
    pub(crate) fn finish(set: RepoSet<'r>, made: Result<T>) -> Result<Copies<'r, T>> {
        let made = match made {
            Err(_) if set.active().is_empty() => None,
            made => Some(made?),
        };
        Ok(Copies { made, stored: set.finish() })
    }
}
