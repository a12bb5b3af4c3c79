//! `prune`: deletes dumps that no rule keeps, and what broken runs have left.
//!
//! The manifest goes first: from then on the dump is not there, and its parts are garbage that any later prune
//! collects. Garbage is collected only when it is a week old: a dump that is being written has no manifest yet.

use crate::catalog::{self, Contents, Stored, proof_of};
use crate::keep::{self, Dump};
use crate::manifest::{self, Id, Named};
use crate::outcome::Tally;
use crate::physical;
use crate::{cli, lock};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use toban_core::config::{Config, Keep};
use toban_core::repo::Repo;
use toban_core::run;
use toban_core::store::{Key, Object};
use toban_core::{Error, Out, Record, Result, out, shutdown};

/// Longer than any dump takes: S3 dates an object by the beginning of its upload.
const GARBAGE_AGE: Duration = Duration::from_secs(7 * 86400);

/// What becomes of one dump, or of one object that belongs to none.
#[derive(Serialize)]
struct Step {
    repo: String,
    database: String,
    id: Id,
    /// `keep` or `delete`.
    action: &'static str,
    /// What keeps it, or why it goes.
    why: Vec<String>,
    bytes: u64,
    /// Objects to remove; of a dump that is kept, proofs that a newer one replaced.
    #[serde(skip)]
    keys: Vec<Key>,
}

impl Record for Step {
    const SCHEMA: &'static str = "pg-backup.prune/1";
    const HEAD: &'static [&'static str] = &["repo", "database", "id", "action", "stored", "why"];
    fn cells(&self) -> Vec<String> {
        let why = self.why.join(", ");
        vec![
            self.repo.clone(),
            self.database.clone(),
            self.id.to_string(),
            self.action.into(),
            out::bytes(self.bytes),
            why,
        ]
    }
}

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::Prune, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    for repo in &repos {
        rules(args, repo)?;
    }
    if args.dry.dry_run {
        return act(args, &repos, out);
    }
    run::job(config, "pg-backup", "prune", &args.repos.cluster, |_| {
        let _lock = lock::take("prune", &args.repos.cluster)?;
        act(args, &repos, out)
    })
}

fn act(args: &cli::Prune, repos: &[Repo], out: &mut Out<'_>) -> Result<()> {
    let mut tally = Tally::default();
    for repo in repos {
        let done = one(args, repo, out);
        tally.copy(done, true);
    }
    tally.verdict("repositories")
}

fn one(args: &cli::Prune, repo: &Repo, out: &mut Out<'_>) -> Result<()> {
    repo.check_holds(&args.repos.cluster)?;
    let now = args.at.now();
    let contents = catalog::read_as_of(repo, &args.repos.cluster, now)?;
    let damaged = contents.damaged.len();
    for step in plan(&contents, repo, now, &rules(args, repo)?) {
        shutdown::check()?;
        if !args.dry.dry_run {
            step.keys.iter().try_for_each(|key| repo.store.remove(key))?;
        }
        out.emit(&step)?;
    }
    let damaged = damaged + physical::prune::all(args, repo, &rules(args, repo)?, out)?;
    if !args.dry.dry_run {
        let swept = repo.store.sweep(GARBAGE_AGE)?;
        log::info!("{}: {swept} unfinished uploads removed", repo.name);
    }
    match damaged {
        0 => Ok(()),
        n => Err(Error::corrupt(format!("{}: {n} manifests are damaged and were left alone", repo.name))),
    }
}

/// The flags, if any is given; else the repository's section.
fn rules(args: &cli::Prune, repo: &Repo) -> Result<Keep> {
    let k = &args.keep;
    let flags = Keep {
        last: k.keep_last,
        within: k.keep_within,
        hourly: k.keep_hourly,
        daily: k.keep_daily,
        weekly: k.keep_weekly,
        monthly: k.keep_monthly,
        yearly: k.keep_yearly,
        min: k.keep_min,
        wal: k.keep_wal,
    };
    let rules = if flags == Keep::default() { repo.keep.clone() } else { flags };
    if (Keep { min: None, wal: None, ..rules.clone() }) == Keep::default() {
        let e = Error::usage(format!("nothing says what to keep in {}", repo.name));
        return Err(e.hint("give --keep-within 30d or the like, or `keep` in its [repo.NAME] section"));
    }
    Ok(rules)
}

/// Pure: what becomes of every dump and of every leftover.
fn plan(contents: &Contents, repo: &Repo, now: Timestamp, keep: &Keep) -> Vec<Step> {
    // Safety dumps are a series of their own: they must not push a nightly dump out.
    let mut series: BTreeMap<(&str, bool), Vec<&Stored>> = BTreeMap::new();
    for stored in &contents.dumps {
        let of = (stored.manifest.database.name.as_str(), stored.manifest.is_safety());
        series.entry(of).or_default().push(stored);
    }
    let mut steps = Vec::new();
    for dumps in series.values() {
        let dump = |s: &&Stored| Dump { taken: s.taken, verified: s.verified.is_some(), whole: s.is_whole() };
        let facts: Vec<Dump> = dumps.iter().map(dump).collect();
        let reasons = keep::reasons(&facts, now, keep);
        steps.extend(dumps.iter().zip(reasons).map(|(stored, why)| step(stored, contents, why)));
    }
    // Never by a day to come: what is being written now would be garbage then.
    steps.extend(garbage(contents, repo, now.min(Timestamp::now())));
    steps
}

fn step(stored: &Stored, contents: &Contents, why: Vec<String>) -> Step {
    let manifest = &stored.manifest;
    let database = manifest::encode(&manifest.database.name);
    let own = |(named, _): &&(Named, Object)| named.id == manifest.id && named.database == database;
    let mut objects: Vec<&(Named, Object)> = contents.objects.iter().filter(own).collect();
    objects.sort_by_key(|(named, _)| named.suffix != "json");
    let delete = why.is_empty();
    // The newest proof says all that older ones do.
    let times = || objects.iter().filter_map(|(n, _)| proof_of(&n.suffix)).map(|(_, at)| at);
    let newest_proof = times().max();
    let superseded = |n: &Named| proof_of(&n.suffix).is_some_and(|(_, at)| Some(at) < newest_proof);
    let goes = objects.iter().filter(|(named, _)| delete || superseded(named));
    Step {
        repo: stored.repo.name.clone(),
        database: manifest.database.name.clone(),
        id: manifest.id.clone(),
        action: if delete { "delete" } else { "keep" },
        why: if delete { vec!["no rule keeps it".into()] } else { why },
        bytes: manifest.stored_bytes(),
        keys: goes.map(|(_, o)| o.key.clone()).collect(),
    }
}

/// Objects of dumps that have no manifest: of runs that died, or of a prune that did.
fn garbage(contents: &Contents, repo: &Repo, now: Timestamp) -> Vec<Step> {
    let whole: BTreeSet<(&str, &Id)> = contents
        .objects
        .iter()
        .filter(|(n, _)| n.suffix == "json")
        .map(|(n, _)| (n.database.as_str(), &n.id))
        .collect();
    let old = |o: &Object| now.as_second() - o.modified.as_second() > GARBAGE_AGE.as_secs().cast_signed();
    let orphaned = |(n, o): &&(Named, Object)| !whole.contains(&(n.database.as_str(), &n.id)) && old(o);
    let step = |(named, object): &(Named, Object)| Step {
        repo: repo.name.clone(),
        database: named.database.clone(),
        id: named.id.clone(),
        action: "delete",
        why: vec!["left by a run that did not finish".into()],
        bytes: object.size,
        keys: vec![object.key.clone()],
    };
    contents.objects.iter().filter(orphaned).map(step).collect()
}
