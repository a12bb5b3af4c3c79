//! The allow-list: who answers for which finding, until when.

use crate::app::fits;
use crate::finding::Finding;
use crate::rulebook;
use crate::settings::Allow;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use toban_core::{Error, Result, Severity};

/// The entries for the rules of one verb, and which of them were needed.
pub(crate) struct AllowList {
    entries: Vec<Entry>,
    today: Date,
}

struct Entry {
    allow: Allow,
    last: Date,
    needed: bool,
}

impl AllowList {
    /// Those of `list` that speak of `verb`'s rules.
    ///
    /// # Errors
    /// Usage for a rule that there is not, for one that nobody can allow, and for a pattern over rights.
    pub(crate) fn new(list: Vec<Allow>, verb: &str, now: Timestamp) -> Result<AllowList> {
        let mut entries = Vec::new();
        for allow in list {
            if !rulebook::knows(&allow.rule) {
                return Err(Error::usage(format!("[[audit.allow]]: there is no rule {:?}", allow.rule))
                    .hint("docs/guide/audit.md lists the rules"));
            }
            if rulebook::NEVER_ALLOWED.contains(&allow.rule.as_str()) {
                return Err(Error::usage(format!("[[audit.allow]]: {} cannot be allowed", allow.rule))
                    .hint("review the change, then: user-audit accept"));
            }
            if rulebook::is_right(&allow.rule) && allow.object.contains('*') {
                let what =
                    format!("[[audit.allow]] of {} {}: a right is allowed by name", allow.rule, allow.object);
                return Err(
                    Error::usage(what).hint("a pattern would hide whoever gets it next: name each holder")
                );
            }
            if rulebook::of_verb(verb, &allow.rule) {
                entries.push(Entry { last: allow.last_day()?, allow, needed: false });
            }
        }
        Ok(AllowList { entries, today: now.to_zoned(TimeZone::UTC).date() })
    }

    /// Puts a finding at peace when an entry that has not ended allows it, and says who answers for it.
    pub(crate) fn apply(&mut self, finding: &mut Finding) {
        if finding.severity == Severity::Ok || rulebook::NEVER_ALLOWED.contains(&finding.rule) {
            return;
        }
        let key = finding.key().to_string();
        let meant =
            |a: &Allow| a.rule == finding.rule && (fits(&a.object, &finding.object) || fits(&a.object, &key));
        for entry in self.entries.iter_mut().filter(|e| meant(&e.allow)) {
            entry.needed = true;
            if self.today <= entry.last {
                finding.severity = Severity::Ok;
                let Allow { reason, owner, until, .. } = &entry.allow;
                finding.allowed = Some(format!("{reason}; {owner} answers for it until {until}"));
                return;
            }
        }
    }

    /// Entries that have ended, and those that nothing fitted: the list must not outlive its reasons.
    pub(crate) fn stale(&self) -> Vec<Finding> {
        self.entries.iter().filter_map(|e| e.stale(self.today)).collect()
    }
}

impl Entry {
    fn stale(&self, today: Date) -> Option<Finding> {
        let Allow { rule, object, owner, until, .. } = &self.allow;
        let said = match (today > self.last, self.needed) {
            (true, _) => format!("the entry of {owner} ended on {until}"),
            (false, false) => format!("the entry of {owner} fits nothing any more"),
            (false, true) => return None,
        };
        let object = format!("{rule} {object}");
        let finding = Finding::new("stale-allow", &object.replace(' ', "/"), &object, Severity::Warning);
        Some(finding.says(said).advise("renew the entry or delete it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(until: &str) -> Result<AllowList> {
        let allow = |rule: &str| Allow {
            rule: rule.into(),
            object: "svc-*@example.org".into(),
            reason: "nightly import".into(),
            owner: "ops".into(),
            until: until.into(),
        };
        AllowList::new(
            vec![allow("unused"), allow("hba-trust")],
            "app",
            "2026-11-22T00:00:00Z".parse().expect("a time"),
        )
    }

    fn finding(rule: &'static str) -> Finding {
        Finding::new(rule, "user/7", "SVC-import@example.org", Severity::Warning)
    }

    #[test]
    fn an_entry_holds_to_its_last_day_and_no_longer() {
        for (until, severity, stale) in
            [("2026-11-22", Severity::Ok, 0), ("2026-11-21", Severity::Warning, 1)]
        {
            let mut list = list(until).expect("fine");
            let mut f = finding("unused");
            list.apply(&mut f);
            assert_eq!((f.severity, list.stale().len()), (severity, stale), "{until}");
            assert_eq!(f.allowed.is_some(), severity == Severity::Ok);
        }
    }

    #[test]
    fn an_entry_that_fits_nothing_is_a_finding_and_news_cannot_be_allowed() {
        let mut list = list("2027-01-01").expect("fine");
        let mut new = finding("new-access");
        list.apply(&mut new);
        assert_eq!(new.severity, Severity::Warning);
        assert_eq!(list.stale().len(), 1, "only of this verb's rules");
        let bad = |rule: &str| {
            let allow = Allow {
                rule: rule.into(),
                object: "*".into(),
                reason: "r".into(),
                owner: "o".into(),
                until: "2027-01-01".into(),
            };
            AllowList::new(vec![allow], "app", Timestamp::UNIX_EPOCH).err().expect("refused").kind()
        };
        for rule in ["new-access", "nonsense", "admin", "superuser"] {
            assert_eq!(bad(rule), toban_core::Kind::Usage, "{rule}: of * nobody knows who it will be");
        }
    }
}
