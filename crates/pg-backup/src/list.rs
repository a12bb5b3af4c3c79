//! `list`: what the repositories hold.

use crate::catalog::{self, Stored};
use crate::cli;
use crate::manifest::{Form, Id};
use crate::physical;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::{Error, Kind, Out, Record, Result, out};

/// One dump in one repository.
#[derive(Serialize)]
struct Row {
    repo: String,
    database: String,
    id: Id,
    label: Option<String>,
    started: Timestamp,
    age_seconds: i64,
    seconds: f64,
    form: Form,
    database_bytes: u64,
    stored_bytes: u64,
    tables: u64,
    rows: u64,
    major: u32,
    verified: Option<Timestamp>,
    damaged: Option<Timestamp>,
}

impl Record for Row {
    const SCHEMA: &'static str = "pg-backup.list/1";
    const HEAD: &'static [&'static str] = &[
        "repo", "database", "id", "taken", "age", "label", "as", "size", "stored", "seconds", "rows", "pg",
        "verified",
    ];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            self.database.clone(),
            self.id.to_string(),
            local(self.started),
            age(self.age_seconds),
            self.label.clone().unwrap_or("-".into()),
            self.form.suffix().into(),
            out::bytes(self.database_bytes),
            out::bytes(self.stored_bytes),
            format!("{:.1}", self.seconds),
            self.rows.to_string(),
            self.major.to_string(),
            shown(self.damaged, self.verified),
        ]
    }
}

/// What verify said last, for a table.
pub(crate) fn shown(damaged: Option<Timestamp>, verified: Option<Timestamp>) -> String {
    match (damaged, verified) {
        (Some(_), _) => "DAMAGED".into(),
        (None, Some(at)) => local(at),
        (None, None) => "never".into(),
    }
}

/// A time by this machine's clock, with its distance from UTC: `2026-11-21 04:00 +01:00`.
pub(crate) fn local(at: Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M %:z").to_string()
}

/// Seconds since then, for people: `45 min`, `30 h`, `12 d`.
pub(crate) fn age(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    match seconds {
        ..0 => "in the future".into(),
        0..=7199 => format!("{} min", seconds / 60),
        7200..=259_199 => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / (24 * HOUR)),
    }
}

fn row(stored: &Stored, now: Timestamp) -> Row {
    let m = &stored.manifest;
    Row {
        repo: stored.repo.name.clone(),
        database: m.database.name.clone(),
        id: m.id.clone(),
        label: m.label.clone(),
        started: m.started,
        age_seconds: now.as_second() - m.started.as_second(),
        seconds: m.seconds(),
        form: m.form,
        database_bytes: m.database_bytes,
        stored_bytes: m.stored_bytes(),
        tables: m.tables,
        rows: m.rows,
        major: m.major,
        verified: stored.verified,
        damaged: stored.damaged,
    }
}

/// Runs the verb. A repository that cannot be asked does not hide the others.
pub(crate) fn run(args: &cli::List, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    let mut trouble = Vec::new();
    for repo in &repos {
        match one(args, repo, out) {
            Ok(damaged) => trouble.extend(damaged),
            Err(e) => trouble.push(Error::new(e.kind(), format!("list {}", repo.name)).because(e)),
        }
    }
    verdict(trouble, repos.len())
}

/// Lists one repository; the errors are its damaged manifests.
fn one(args: &cli::List, repo: &Repo, out: &mut Out<'_>) -> Result<Vec<Error>> {
    let wanted =
        |s: &&Stored| args.databases.is_empty() || args.databases.contains(&s.manifest.database.name);
    let now = Timestamp::now();
    let (mut damaged, mut backups) = (Vec::new(), 0);
    if args.databases.is_empty() {
        let contents = physical::catalog::read(repo, &args.repos.cluster)?;
        let ways = physical::reach::Ways::read(repo, &contents)?;
        physical::list::emit(&contents, &ways, now, out)?;
        backups = contents.backups.len();
        damaged.extend(contents.damaged);
    }
    let contents = catalog::read(repo, &args.repos.cluster)?;
    contents.dumps.iter().filter(wanted).try_for_each(|stored| out.emit(&row(stored, now)))?;
    damaged.extend(contents.damaged);
    if damaged.is_empty() && backups == 0 && contents.dumps.iter().filter(wanted).count() == 0 {
        return Err(nothing(args, repo, &contents.dumps));
    }
    Ok(damaged)
}

/// An empty list says why: a mistyped name must not pass for a repository without backups.
fn nothing(args: &cli::List, repo: &Repo, dumps: &[Stored]) -> Error {
    let there: BTreeSet<&str> = dumps.iter().map(|s| s.manifest.database.name.as_str()).collect();
    if there.is_empty() {
        return repo.lacks("no backup or dump", &args.repos.cluster);
    }
    let there: Vec<&str> = there.into_iter().collect();
    let e = Error::usage(format!("repository {} holds no dump of {}", repo.name, args.databases.join(", ")));
    e.hint(format!("it holds dumps of {}", there.join(", ")))
}

fn verdict(mut trouble: Vec<Error>, repos: usize) -> Result<()> {
    match trouble.len() {
        0 => Ok(()),
        1 if repos == 1 || trouble[0].kind() == Kind::Corrupt => Err(trouble.remove(0)),
        n => {
            trouble.iter().for_each(|e| log::error!("{}", e.chain()));
            let corrupt = trouble.iter().any(|e| e.kind() == Kind::Corrupt);
            let kind = if corrupt { Kind::Corrupt } else { Kind::Partial };
            Err(Error::new(kind, format!("not everything could be listed: {n} errors")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_for_people() {
        let said: Vec<String> = [-1, 0, 7199, 7200, 259_199, 259_200, 40 * 86_400].map(age).to_vec();
        assert_eq!(said, ["in the future", "0 min", "119 min", "2 h", "71 h", "3 d", "40 d"]);
    }
}
