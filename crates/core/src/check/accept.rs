//! What somebody answers for: findings that the configuration accepts, with a reason, an owner and an end.

use super::finding::Finding;
use super::rule::{Acceptable, Rule};
use super::{ACCEPT_EXPIRED, ACCEPT_UNUSED};
use crate::config::{Accept, Config};
use crate::error::{Error, Result};
use crate::out::Severity;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Who answers for a finding, why, and to which day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Why it may be so.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day (UTC).
    pub until: Date,
}

impl std::fmt::Display for Acceptance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {} answers for it until {}", self.reason, self.owner, self.until)
    }
}

/// A tool's entries, and which of them this run needed.
#[derive(Debug)]
pub struct AcceptList {
    entries: Vec<Entry>,
    today: Date,
    /// The run looks at less than entries may be about.
    part: bool,
}

#[derive(Debug)]
struct Entry {
    accept: Accept,
    needed: bool,
}

impl AcceptList {
    /// The entries of `tool`, whose rules are `rules`, as of `now`.
    ///
    /// # Errors
    /// Usage for an id that the tool does not have, for one that cannot be accepted, and for a pattern where only a
    /// whole name is taken.
    pub fn new(config: &Config, tool: &str, rules: &[&'static Rule], now: Timestamp) -> Result<AcceptList> {
        let own: Vec<&Accept> = config.accept.iter().filter(|a| a.tool == tool).collect();
        own.iter().try_for_each(|a| a.validate(rules))?;
        let entries = own.into_iter().map(|a| Entry { accept: a.clone(), needed: false }).collect();
        Ok(AcceptList { entries, today: now.to_zoned(TimeZone::UTC).date(), part: false })
    }

    /// The same without entries of rules that this run does not look for: nothing follows from their fitting nothing.
    #[must_use]
    pub fn only(mut self, looked_for: impl Fn(&str) -> bool) -> AcceptList {
        self.entries.retain(|e| looked_for(&e.accept.id));
        self
    }

    /// The same of a run that looks at a part only of what entries may be about, where `part` is true: a flag names some
    /// of it, or something could not be asked. That an entry fits nothing then means nothing.
    #[must_use]
    pub fn of_part(self, part: bool) -> AcceptList {
        AcceptList { part: self.part || part, ..self }
    }

    /// Makes a finding count as OK where an entry that has not ended accepts it, and records who answers for it.
    pub fn apply(&mut self, finding: &mut Finding) {
        if finding.severity == Severity::Ok || finding.rule.acceptable == Acceptable::Never {
            return;
        }
        for entry in self.entries.iter_mut().filter(|e| e.accept.covers(finding)) {
            // Needed, even when it has ended: then it is reported as ended, and not as one that fits nothing.
            entry.needed = true;
            if self.today <= entry.accept.until {
                finding.severity = Severity::Ok;
                finding.accepted = Some(entry.accept.acceptance());
                return;
            }
        }
    }

    /// Entries that have ended, and those that fit nothing unless the run looks at a part only: warnings, because the list
    /// must not outlive its reasons.
    pub fn leftovers(&self) -> Vec<Finding> {
        self.entries.iter().filter_map(|e| e.leftover(self.today, self.part)).collect()
    }
}

impl Accept {
    fn validate(&self, rules: &[&'static Rule]) -> Result<()> {
        let entry = format!("[[accept]] of {} {} {}", self.tool, self.id, self.object);
        let Some(rule) = rules.iter().find(|r| r.id == self.id) else {
            return Err(Error::usage(format!("{entry}: {} has no finding with this id", self.tool))
                .hint("docs/reference/findings.md lists the ids of every tool"));
        };
        match rule.acceptable {
            Acceptable::Never => {
                Err(Error::usage(format!("{entry}: {} cannot be accepted", self.id)).hint(rule.action))
            }
            Acceptable::ByName if self.object.contains('*') => {
                Err(Error::usage(format!("{entry}: {} is accepted by name", self.id))
                    .hint("a pattern would hide whoever comes next: name each object"))
            }
            _ => Ok(()),
        }
    }

    fn acceptance(&self) -> Acceptance {
        Acceptance { reason: self.reason.clone(), owner: self.owner.clone(), until: self.until }
    }

    fn covers(&self, finding: &Finding) -> bool {
        self.id == finding.rule.id
            && matches_pattern(&self.source, &finding.source)
            && (matches_pattern(&self.object, &finding.object) || matches_pattern(&self.object, &finding.key))
    }
}

impl Entry {
    fn leftover(&self, today: Date, part: bool) -> Option<Finding> {
        let Accept { id, object, owner, until, .. } = &self.accept;
        let (rule, text) = match (today > *until, self.needed) {
            (true, _) => (&ACCEPT_EXPIRED, format!("the entry of {owner} ended on {until}")),
            (false, false) if !part => {
                (&ACCEPT_UNUSED, format!("the entry of {owner} fits nothing any more"))
            }
            (false, _) => return None,
        };
        let finding = Finding::new(rule, Severity::Warning).says(text);
        let object = format!("{id} {object}");
        Some(finding.with_key(object.replace(' ', "/")).about(object))
    }
}

/// Whether `text` fits `pattern`, where `*` stands for any characters; case does not count.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    rules! {
        UNUSED = "unused" in "use": "not used", "disable it";
        ADMIN = "admin" in "rights", by_name: "may do everything", "review it";
        NEW = "new" in "review", never: "new since the review", "review it";
    }

    fn list(id: &str, object: &str, until: &str) -> Result<AcceptList> {
        let text = format!(
            "[[accept]]\ntool = 'x'\nid = '{id}'\nobject = '{object}'\nreason = 'nightly'\nowner = 'ops'\nuntil = '{until}'"
        );
        let now = "2026-11-22T00:00:00Z".parse().expect("a time");
        AcceptList::new(&Config::parse(&text)?, "x", RULES, now)
    }

    #[test]
    fn an_entry_holds_to_its_last_day_and_no_longer() {
        for (until, severity, left) in [("2026-11-22", Severity::Ok, 0), ("2026-11-21", Severity::Warning, 1)]
        {
            let mut list = list("unused", "svc-*@example.org", until).expect("fine");
            let mut f = Finding::new(&UNUSED, Severity::Warning).about("SVC-import@example.org");
            list.apply(&mut f);
            assert_eq!((f.severity, list.leftovers().len()), (severity, left), "{until}");
            assert_eq!(f.accepted.is_some(), severity == Severity::Ok);
        }
    }

    #[test]
    fn an_entry_that_fits_nothing_is_a_finding() {
        let list = list("unused", "user/7", "2027-01-01").expect("fine");
        let left = list.leftovers();
        assert_eq!((left[0].severity, left[0].rule), (Severity::Warning, &ACCEPT_UNUSED));
        assert!(list.only(|id| id != "unused").leftovers().is_empty(), "not looked for in this run");
        let list = super::tests::list("unused", "user/7", "2027-01-01").expect("fine");
        assert!(list.of_part(true).leftovers().is_empty(), "it may fit what this run did not look at");
    }

    #[test]
    fn what_nobody_has_looked_at_cannot_be_accepted() {
        for (id, object) in [("new", "x"), ("nonsense", "x"), ("admin", "*")] {
            assert_eq!(list(id, object, "2027-01-01").expect_err(id).kind(), crate::Kind::Usage, "{id}");
        }
        assert!(list("admin", "alice", "2027-01-01").is_ok());
        assert!(list("unused", "x", "soon").expect_err("no date").chain().contains("line 7"));
    }

    #[test]
    fn patterns() {
        for (pattern, text) in
            [("*", "x"), ("svc-*@x.org", "SVC-a@x.org"), ("a*b*c", "a1b2c"), ("abc", "ABC")]
        {
            assert!(matches_pattern(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*b", "acd"), ("ab*b", "ab"), ("svc-*", "asvc-")] {
            assert!(!matches_pattern(pattern, text), "{pattern} {text}");
        }
    }
}
