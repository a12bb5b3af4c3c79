//! `list`: what the repositories hold.

use crate::catalog::{self, Stored};
use crate::cli;
use crate::manifest::{Form, Id};
use crate::physical;
use jiff::Timestamp;
use serde::Serialize;
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
    const HEAD: &'static [&'static str] =
        &["repo", "database", "id", "label", "as", "size", "stored", "seconds", "rows", "pg", "verified"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.clone(),
            self.database.clone(),
            self.id.to_string(),
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
        (None, Some(at)) => at.strftime("%Y-%m-%dT%H:%MZ").to_string(),
        (None, None) => "never".into(),
    }
}

fn row(stored: &Stored) -> Row {
    let m = &stored.manifest;
    Row {
        repo: stored.repo.name.clone(),
        database: m.database.name.clone(),
        id: m.id.clone(),
        label: m.label.clone(),
        started: m.started,
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
    let mut damaged = Vec::new();
    if args.databases.is_empty() {
        let contents = physical::catalog::read(repo, &args.repos.cluster)?;
        let ways = physical::reach::Ways::read(repo, &contents)?;
        physical::list::emit(&contents, &ways, out)?;
        damaged.extend(contents.damaged);
    }
    let contents = catalog::read(repo, &args.repos.cluster)?;
    contents.dumps.iter().filter(wanted).try_for_each(|stored| out.emit(&row(stored)))?;
    damaged.extend(contents.damaged);
    Ok(damaged)
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
