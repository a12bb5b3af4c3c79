//! `prune`, of physical backups, in two phases: what no manifest needs is marked, and removed by a later prune when
//! the mark is a day old. A run that began meanwhile, and builds on what is marked, has said so by its intent.

use super::backup::{self, MANIFEST, Named};
use super::catalog::{self, Contents, Stored};
use crate::cli;
use crate::keep::{self, Dump};
use crate::manifest::Id;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use toban_core::config::Keep;
use toban_core::repo::Repo;
use toban_core::repo::keys::System;
use toban_core::store::{Attrs, Key, Object};
use toban_core::{Out, Record, Result, out, stop};

/// How long a mark stands before what it marks is removed.
const MARK_AGE: Duration = Duration::from_secs(86400);
/// Longer than any run takes.
const RUN_AGE: Duration = Duration::from_secs(7 * 86400);

/// What becomes of one backup, or of what is left of one.
#[derive(Serialize)]
struct Step {
    repo: String,
    id: Id,
    /// `keep`, `delete` (the manifest goes, the rest is marked), `mark` or `remove` (what no manifest needs).
    action: &'static str,
    why: Vec<String>,
    bytes: u64,
    #[serde(skip)]
    system: System,
    #[serde(skip)]
    keys: Vec<Key>,
}

impl Record for Step {
    const SCHEMA: &'static str = "pg-backup.prune-backup/1";
    const HEAD: &'static [&'static str] = &["repo", "backup", "id", "action", "stored", "why"];
    fn cells(&self) -> Vec<String> {
        let why = self.why.join(", ");
        let bytes = out::bytes(self.bytes);
        vec![self.repo.clone(), "cluster".into(), self.id.to_string(), self.action.into(), bytes, why]
    }
}

/// Prunes one repository; how many manifests are damaged there.
///
/// # Errors
/// When the store refuses.
pub(crate) fn all(args: &cli::Prune, repo: &Repo, keep: &Keep, out: &mut Out<'_>) -> Result<usize> {
    let contents = catalog::read(repo, &args.repos.cluster)?;
    for step in plan(&contents, repo, args.at.now(), keep) {
        stop::check()?;
        if !args.dry.dry_run {
            step.act(repo)?;
        }
        out.emit(&step)?;
    }
    Ok(contents.damaged.len())
}

/// Pure: every step, in the order to take them.
fn plan(contents: &Contents, repo: &Repo, now: Timestamp, keep: &Keep) -> Vec<Step> {
    let stored: Vec<&Stored> = contents.backups.iter().collect();
    let facts: Vec<Dump> =
        stored.iter().map(|s| Dump { at: s.backup.started, verified: s.verified.is_some() }).collect();
    let reasons = keep::reasons(&facts, now, keep);
    let mut steps = Vec::new();
    let mut needed = BTreeSet::new();
    for (stored, why) in stored.iter().zip(reasons) {
        if !why.is_empty() {
            needed.insert(stored.backup.id.clone());
            needed.extend(stored.backup.packs.iter().filter_map(|p| p.of.clone()));
        }
        steps.extend(one(contents, stored, why));
    }
    // Never by a day to come: what is being written now would be left over then.
    steps.extend(leftovers(contents, repo, now.min(Timestamp::now()), &needed));
    steps
}

fn one(contents: &Contents, stored: &Stored, why: Vec<String>) -> Option<Step> {
    let backup = &stored.backup;
    let system = backup.system().ok()?;
    let delete = why.is_empty();
    let manifest = backup::key(&system, &backup.id, MANIFEST).ok()?;
    let keys = if delete { vec![manifest] } else { old_proofs(contents, &backup.id) };
    Some(Step {
        repo: stored.repo.name.clone(),
        id: backup.id.clone(),
        action: if delete { "delete" } else { "keep" },
        why: if delete { vec!["no rule keeps it".into()] } else { why },
        bytes: backup.stored_bytes(),
        system,
        keys,
    })
}

/// The newest proof says all that older ones do.
fn old_proofs(contents: &Contents, id: &Id) -> Vec<Key> {
    let proofs = contents.objects.iter().filter_map(|(_, named, o)| match named {
        Named::Proof(of, at) | Named::Damage(of, at) if of == id => Some((*at, o.key.clone())),
        _ => None,
    });
    let mut proofs: Vec<(Timestamp, Key)> = proofs.collect();
    proofs.sort();
    proofs.pop();
    proofs.into_iter().map(|(_, key)| key).collect()
}

/// What lies in the folder of a backup that no manifest needs, with its mark, intent and proofs.
#[derive(Default)]
struct Rest<'a> {
    objects: Vec<&'a Object>,
    beside: Vec<&'a Object>,
    marked: Option<Timestamp>,
    /// The newest sign of life.
    touched: Option<Timestamp>,
    manifest: bool,
}

fn leftovers(contents: &Contents, repo: &Repo, now: Timestamp, needed: &BTreeSet<Id>) -> Vec<Step> {
    let mut rests: BTreeMap<(System, Id), Rest<'_>> = BTreeMap::new();
    for (system, named, object) in &contents.objects {
        let (Named::Part(id, _)
        | Named::Intent(id)
        | Named::Mark(id, _)
        | Named::Proof(id, _)
        | Named::Damage(id, _)) = named;
        rests.entry((system.clone(), id.clone())).or_default().add(named, object);
    }
    let unneeded = rests.into_iter().filter(|((_, id), rest)| !rest.manifest && !needed.contains(id));
    unneeded.filter_map(|((system, id), rest)| rest.step(repo, system, id, now)).collect()
}

impl<'a> Rest<'a> {
    fn add(&mut self, named: &Named, object: &'a Object) {
        match named {
            Named::Part(_, part) => {
                self.manifest |= part == MANIFEST;
                self.objects.push(object);
                self.touched = self.touched.max(Some(object.modified));
            }
            Named::Intent(_) => {
                self.beside.push(object);
                self.touched = self.touched.max(Some(object.modified));
            }
            Named::Mark(_, at) => {
                self.beside.push(object);
                self.marked = Some(self.marked.map_or(*at, |m| m.min(*at)));
            }
            Named::Proof(..) | Named::Damage(..) => self.beside.push(object),
        }
    }

    fn step(self, repo: &Repo, system: System, id: Id, now: Timestamp) -> Option<Step> {
        let age = |at: Timestamp| now.as_second().saturating_sub(at.as_second()).max(0).unsigned_abs();
        let bytes = self.objects.iter().map(|o| o.size).sum();
        let step = |action, why: &str, keys| {
            let (repo, why) = (repo.name.clone(), vec![why.to_string()]);
            Some(Step { repo, id: id.clone(), action, why, bytes, system: system.clone(), keys })
        };
        match self.marked {
            Some(at) if age(at) >= MARK_AGE.as_secs() => {
                // Marks go last: a prune that dies in between finds the rest again.
                let all = self.objects.iter().chain(&self.beside);
                step("remove", "no backup needs it since it was marked", all.map(|o| o.key.clone()).collect())
            }
            Some(_) => None,
            // A run that is under way has no manifest yet.
            None if self.touched.is_some_and(|at| age(at) < RUN_AGE.as_secs()) => None,
            None => step("mark", "left by a run that did not finish", Vec::new()),
        }
    }
}

impl Step {
    /// Does it.
    ///
    /// # Errors
    /// When the store refuses.
    fn act(&self, repo: &Repo) -> Result<()> {
        if ["delete", "mark"].contains(&self.action) {
            let key = backup::stamped_key(&self.system, "mark", &self.id, Timestamp::now())?;
            // The mark comes first: a manifest that is gone without it would leave its packs for a week.
            repo.store.put(&key, &mut &b"{\"format\":1}\n"[..], &Attrs::new())?;
        }
        self.keys.iter().try_for_each(|key| repo.store.remove(key))
    }
}
