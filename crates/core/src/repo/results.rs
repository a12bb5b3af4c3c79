//! What a run over several repositories, and several items in them, comes to: one message and one exit status.

use super::Repo;
use crate::error::{Error, Kind, Result};

/// Counts what was done and keeps what was not.
#[derive(Default)]
pub struct RepoResults {
    done: usize,
    failed: Vec<(Error, bool)>,
}

impl RepoResults {
    /// What comes before an item's copies: when it fails the others go on without it, and the run was partial.
    pub fn start_item<T>(&mut self, result: Result<T>) -> Option<T> {
        self.take(result, true)
    }

    /// One item's copy in a repository. Where the repository is required the item counts as not done.
    pub fn add_copy<T>(&mut self, repo: &Repo, result: Result<T>) -> Option<T> {
        self.count(result, !repo.required)
    }

    /// One of several items that were to be done, as the verification of a dump: a failure decides the status.
    pub fn add_item<T>(&mut self, result: Result<T>) -> Option<T> {
        self.count(result, false)
    }

    fn count<T>(&mut self, result: Result<T>, partial: bool) -> Option<T> {
        let taken = self.take(result, partial);
        self.done += usize::from(taken.is_some());
        taken
    }

    fn take<T>(&mut self, result: Result<T>, partial: bool) -> Option<T> {
        result.map_err(|e| self.failed.push((e, partial))).ok()
    }

    /// Whether nothing failed so far.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty()
    }

    /// Nothing failed: fine. One thing failed and nothing was done: that error. Else each is named, and the status
    /// is partial (3), or the error's own where a required repository or all failed.
    ///
    /// # Errors
    /// As said.
    pub fn verdict(mut self, items: &str) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        if self.failed.len() == 1 && (self.done == 0 || !self.failed[0].1) {
            return Err(self.failed.remove(0).0);
        }
        for (e, _) in &self.failed {
            let hint = e.find_hint().map(|c| format!(" (hint: {c})")).unwrap_or_default();
            log::error!("{}{hint}", e.chain());
        }
        // What pages somebody is never softened by what went well beside it.
        let kind = |(e, partial): &(Error, bool)| match e.kind() {
            grave @ (Kind::Corrupt | Kind::Findings) => grave,
            _ if *partial && self.done > 0 => Kind::Partial,
            own => own,
        };
        let kinds: Vec<Kind> = self.failed.iter().map(kind).collect();
        let worst = Kind::ALL.into_iter().find(|k| kinds.contains(k)).unwrap_or(Kind::Failed);
        let all = self.failed.len() + self.done;
        Err(Error::new(worst, format!("{} of {all} {items} failed", self.failed.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(items: Vec<Result<()>>) -> (u8, String) {
        let mut results = RepoResults::default();
        for item in items {
            if results.start_item(item).is_some() {
                results.add_item(Ok(()));
            }
        }
        results.verdict("dumps").map_or_else(|e| (e.kind().status(), e.chain()), |()| (0, String::new()))
    }

    #[test]
    fn the_status_tells_all_some_or_none() {
        let refused = || Err(Error::retry("refused"));
        assert_eq!(verdict(vec![Ok(())]), (0, String::new()));
        assert_eq!(verdict(vec![refused()]), (75, "refused".into()));
        assert_eq!(verdict(vec![Ok(()), refused()]), (3, "1 of 2 dumps failed".into()));
        assert_eq!(verdict(vec![refused(), refused()]), (75, "2 of 2 dumps failed".into()));
        assert_eq!(verdict(vec![Ok(()), Err(Error::corrupt("flipped"))]).0, 5);
    }

    #[test]
    fn a_required_repository_decides_an_optional_one_does_not() {
        let status = |required| {
            let mut results = RepoResults::default();
            let store = std::sync::Arc::new(crate::store::Dir::open("/nowhere").expect("a store"));
            let repo = Repo {
                name: "far".into(),
                url: String::new(),
                required,
                keep: crate::config::Keep::default(),
                hides_names: false,
                store,
            };
            results.add_item(Ok(()));
            results.add_copy::<()>(&repo, Err(Error::failed("full")));
            results.verdict("dumps").expect_err("one failed").kind()
        };
        assert_eq!((status(true), status(false)), (Kind::Failed, Kind::Partial));
    }
}
