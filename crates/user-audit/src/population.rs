//! Everybody who has an account: the pack's list, and what changed in it since the accepted review.

use crate::finding::AuditFinding;
use crate::redact::Redactor;
use crate::rulebook::review;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use toban_core::evidence::csv_cell;
use toban_core::{Context, Error, Result, Severity};

/// The file in a pack.
pub(crate) const NAME: &str = "population.csv";
/// Its titles.
pub(crate) const HEAD: &str =
    "source,subject,name,state,administrator,roles,last_seen,password_set,created\r\n";
/// Changed accounts that are told one by one.
const TOLD: usize = 200;

/// One account, or one role of PostgreSQL.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    /// Who, for machines.
    pub(crate) subject: String,
    pub(crate) name: String,
    /// `active`, `disabled`; of a role `login`, `no login`.
    pub(crate) state: String,
    pub(crate) administrator: bool,
    pub(crate) roles: Vec<String>,
    pub(crate) last_seen: String,
    pub(crate) password_set: String,
    pub(crate) created: String,
}

impl Row {
    /// The row as CSV has it; no cell is a formula.
    pub(crate) fn line(&self, source: &str) -> String {
        let roles = self.roles.join("; ");
        let administrator = if self.administrator { "yes" } else { "no" };
        let cells = [
            source,
            &self.subject,
            &self.name,
            &self.state,
            administrator,
            &roles,
            &self.last_seen,
            &self.password_set,
            &self.created,
        ];
        format!("{}\r\n", cells.map(csv_cell).join(","))
    }

    /// The same, as this run may show it.
    pub(crate) fn redact_with(&self, redactor: &Redactor) -> Row {
        Row {
            name: redactor.redact_name(&self.name),
            subject: redactor.redact_text(&self.subject),
            ..self.clone()
        }
    }

    fn read(cells: &[String]) -> Option<(String, Row)> {
        let [source, subject, name, state, administrator, roles, last_seen, password_set, created] = cells
        else {
            return None;
        };
        // The apostrophe that `line` puts before what a spreadsheet would take for a formula goes again: names are
        // compared as the database has them.
        let plain = |cell: &String| match cell.strip_prefix('\'') {
            Some(rest)
                if rest.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) =>
            {
                rest.to_string()
            }
            _ => cell.clone(),
        };
        let row = Row {
            subject: plain(subject),
            name: plain(name),
            state: state.clone(),
            administrator: administrator == "yes",
            roles: roles.split("; ").filter(|r| !r.is_empty()).map(String::from).collect(),
            last_seen: last_seen.clone(),
            password_set: password_set.clone(),
            created: created.clone(),
        };
        Some((plain(source), row))
    }

    fn sum(&self) -> u64 {
        // The guard against formulas adds apostrophes, which no cell needs for being told from another.
        let bare = |text: &str| text.replace('\'', "");
        sum(&(bare(&self.name), &self.state, bare(&self.roles.join("; "))))
    }
}

fn sum(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Calls `each` for every row of the file; of all sources.
///
/// # Errors
/// When it cannot be read, or is no list of accounts.
pub(crate) fn read_rows(path: &Path, each: &mut dyn FnMut(String, Row) -> Result<()>) -> Result<()> {
    let doing = || format!("read {}", path.display());
    let mut file = BufReader::new(File::open(path).doing(doing)?);
    let (mut text, mut first) = (String::new(), true);
    while file.read_line(&mut text).doing(doing)? > 0 {
        // RFC 4180, 2.6: a cell in quotes may hold line breaks, so that a row ends where its quotes are closed.
        if text.matches('"').count() % 2 == 1 {
            continue;
        }
        if !std::mem::take(&mut first) {
            let bad = || Error::failed(format!("{}: not a row of accounts: {text:?}", path.display()));
            let (source, row) =
                Row::read(&split_cells(text.trim_end_matches(['\r', '\n']))).ok_or_else(bad)?;
            each(source, row)?;
        }
        text.clear();
    }
    match text.is_empty() {
        true => Ok(()),
        false => Err(Error::failed(format!("{} ends in the middle of a row", path.display()))),
    }
}

fn split_cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // RFC 4180, 2.7: in a quoted cell a quote is written twice.
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    cells.push(cell);
    cells
}

/// Copies the rows of one source, which become what later runs compare with; gives their number.
///
/// # Errors
/// Those of reading and of `out`.
pub(crate) fn copy_accounts(path: &Path, of: &str, out: &mut dyn Write) -> Result<u64> {
    let mut n = 0;
    let doing = || "write the accounts of the review".to_string();
    out.write_all(HEAD.as_bytes()).doing(doing)?;
    read_rows(path, &mut |source, row| {
        if source == of {
            n += 1;
            out.write_all(row.line(&source).as_bytes()).doing(doing)?;
        }
        Ok(())
    })?;
    Ok(n)
}

/// The accounts of the accepted review: 16 bytes for each, and what this run found to be different.
pub(crate) struct Before {
    path: std::path::PathBuf,
    sums: HashMap<u64, u64>,
    new: Changes,
    changed: BTreeMap<String, Row>,
    more_changed: u64,
}

#[derive(Default)]
struct Changes {
    rows: Vec<Row>,
    more: u64,
    without_role: u64,
}

impl Before {
    /// Reads them; `accounts` is how many there must be.
    ///
    /// # Errors
    /// When the list is damaged.
    pub(crate) fn load(path: &Path, accounts: u64, redactor: &Redactor) -> Result<Before> {
        let mut sums = HashMap::new();
        let mut n = 0_u64;
        read_rows(path, &mut |_, row| {
            let row = row.redact_with(redactor);
            n += 1;
            // Sums and not rows: a million accounts are 16 MB, and what one was before is read again when it is told.
            sums.insert(sum(&row.subject), row.sum());
            Ok(())
        })?;
        // Fewer lines than were reviewed would make accounts look new; so a list that lost some is no list.
        if n != accounts {
            let said = format!("{} holds {n} accounts; the review was of {accounts}", path.display());
            return Err(Error::failed(said));
        }
        Ok(Before {
            path: path.into(),
            sums,
            new: Changes::default(),
            changed: BTreeMap::new(),
            more_changed: 0,
        })
    }

    /// Compares one account of now, as it is shown.
    pub(crate) fn compare_account(&mut self, row: &Row) {
        match self.sums.remove(&sum(&row.subject)) {
            // 16 bytes an account, not its text: a million accounts fit into what a small machine has. Of those that differ
            // the text is read from the review's list again.
            Some(before) if before == row.sum() => {}
            Some(_) if self.changed.len() < TOLD => {
                self.changed.insert(row.subject.clone(), row.clone());
            }
            Some(_) => self.more_changed += 1,
            None if row.roles.is_empty() => self.new.without_role += 1,
            None if self.new.rows.len() < TOLD => self.new.rows.push(row.clone()),
            None => self.new.more += 1,
        }
    }

    /// What changed, but of the subjects that are told already because of a right.
    ///
    /// # Errors
    /// When the list of the review cannot be read again.
    pub(crate) fn list_changes(
        self,
        told: &BTreeSet<String>,
        redactor: &Redactor,
    ) -> Result<Vec<AuditFinding>> {
        let mut found: Vec<AuditFinding> =
            self.new.rows.iter().filter(|r| !told.contains(&r.subject)).map(new_account).collect();
        let (mut gone, mut gone_bare) = (Vec::new(), 0_u64);
        read_rows(&self.path, &mut |_, row| {
            let row = row.redact_with(redactor);
            if let Some(now) = self.changed.get(&row.subject) {
                if !told.contains(&row.subject) {
                    found.push(changed_account(&row, now));
                }
            } else if self.sums.contains_key(&sum(&row.subject)) {
                match row.roles.is_empty() || gone.len() >= TOLD {
                    true => gone_bare += 1,
                    false => gone.push(removed_account(&row)),
                }
            }
            Ok(())
        })?;
        found.extend(gone);
        let more = self.new.more + self.more_changed;
        let counted = |severity, said: String| {
            AuditFinding::new(&review::CHANGED_ACCOUNT, "more", "accounts", severity).says(said)
        };
        if more > 0 {
            found.push(counted(
                Severity::Warning,
                format!("{more} more accounts with a role are new or changed"),
            ));
        }
        if self.new.without_role + gone_bare > 0 {
            found.push(counted(
                Severity::Ok,
                format!("{} new accounts without a role; {gone_bare} others are gone", self.new.without_role),
            ));
        }
        Ok(found)
    }
}

fn new_account(row: &Row) -> AuditFinding {
    AuditFinding::new(&review::NEW_ACCOUNT, &row.subject, &row.name, Severity::Warning)
        .of_person()
        .says(format!("new since the review, {}: {}", row.state, row.roles.join(", ")))
}

fn removed_account(row: &Row) -> AuditFinding {
    AuditFinding::new(&review::REMOVED_ACCOUNT, &row.subject, &row.name, Severity::Ok)
        .of_person()
        .says(format!("gone since the review; it held: {}", row.roles.join(", ")))
}

/// More than before wants a look; less does not.
fn changed_account(before: &Row, now: &Row) -> AuditFinding {
    let (old, new): (BTreeSet<&String>, BTreeSet<&String>) =
        (before.roles.iter().collect(), now.roles.iter().collect());
    let list = |a: &BTreeSet<&String>, b: &BTreeSet<&String>| {
        a.difference(b).map(|r| r.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (more, less) = (list(&new, &old), list(&old, &new));
    let enabled = before.state != now.state && ["active", "login"].contains(&now.state.as_str());
    let mut said = Vec::new();
    said.extend((!more.is_empty()).then(|| format!("new roles: {more}")));
    said.extend((!less.is_empty()).then(|| format!("no longer: {less}")));
    said.extend((before.state != now.state).then(|| format!("was {}, is {}", before.state, now.state)));
    said.extend((before.name != now.name).then(|| format!("was called {}", before.name)));
    let grown = !more.is_empty() || (enabled && !new.is_empty());
    let severity = if grown { Severity::Warning } else { Severity::Ok };
    let finding = AuditFinding::new(&review::CHANGED_ACCOUNT, &now.subject, &now.name, severity);
    finding.of_person().says(said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_was() {
        for name in ["anna@x.org", "=cmd", "a,b", "say \"hi\"", "two\nlines", "-1", "'quoted"] {
            let row = Row {
                subject: "user/7".into(),
                name: name.into(),
                state: "active".into(),
                administrator: true,
                roles: vec!["a".into(), "b, c".into()],
                ..Row::default()
            };
            let line = row.line("main/app");
            let (source, back) = Row::read(&split_cells(line.trim_end_matches(['\r', '\n']))).expect("a row");
            assert_eq!((source.as_str(), back), ("main/app", row));
        }
    }

    #[test]
    fn more_than_before_is_a_warning_and_less_is_not() {
        let row = |state: &str, roles: &[&str]| Row {
            state: state.into(),
            roles: roles.iter().map(ToString::to_string).collect(),
            ..Row::default()
        };
        for (before, now, severity) in [
            (row("active", &["a"]), row("active", &["a", "b"]), Severity::Warning),
            (row("active", &["a"]), row("active", &[]), Severity::Ok),
            (row("disabled", &["a"]), row("active", &["a"]), Severity::Warning),
            (row("disabled", &[]), row("active", &[]), Severity::Ok),
            (row("active", &["a"]), row("disabled", &["a"]), Severity::Ok),
            (row("active", &["a"]), row("active", &["b"]), Severity::Warning),
        ] {
            assert_eq!(changed_account(&before, &now).base.severity, severity, "{before:?} {now:?}");
        }
    }
}
