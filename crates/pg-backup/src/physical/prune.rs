//! `prune`, of physical backups, in two phases: what no manifest needs is marked, and removed by a later prune when
//! the mark is a day old. A run that began meanwhile, and builds on what is marked, has said so by its intent.

use super::backup::{self, MANIFEST, Named};
use super::catalog::{self, Contents, Stored};
use super::process;
use super::prune_wal::{self, Kept};
use crate::cli;
use crate::keep::{self, Dump};
use crate::manifest::Id;
use crate::order::Taken;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use toban_core::config::Keep;
use toban_core::repo::Repo;
use toban_core::repo::drills;
use toban_core::repo::keys::System;
use toban_core::store::{Attrs, Key, Object, read_small};
use toban_core::{Out, Record, Result, out, shutdown};

/// How long a mark stands before what it marks is removed.
const MARK_AGE: Duration = Duration::from_secs(86400);
const LARGEST_PROOF: u64 = 16 << 20;
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
    let now = args.at.now();
    let contents = catalog::read_as_of(repo, &args.repos.cluster, now)?;
    let facts = Facts {
        failed: failed_drills(repo, &contents)?,
        dead: dead_runs(repo, &contents)?,
        wal: with_wal(repo, &contents)?,
    };
    let (steps, kept) = plan(&contents, repo, now, keep, &facts);
    for step in steps {
        shutdown::check()?;
        if !args.dry.dry_run {
            step.act(repo)?;
        }
        out.emit(&step)?;
    }
    // The manifests went first: no backup ever lacks WAL that it needs.
    let kept = Kept { contents: &contents, ids: &kept, keep, now };
    for step in prune_wal::plan(args, repo, &kept)? {
        shutdown::check()?;
        if !args.dry.dry_run {
            step.act(repo)?;
        }
        out.emit(&step)?;
    }
    if !contents.damaged.is_empty() {
        log::warn!("{}: a damaged manifest may need any of the WAL: none was removed", repo.name);
    }
    Ok(contents.damaged.len())
}

/// What besides the manifests decides.
#[derive(Default)]
struct Facts {
    /// Backups whose last drill failed: they do not count as backups.
    failed: BTreeSet<Id>,
    /// Runs that died on this machine.
    dead: BTreeSet<Id>,
    /// Systems that have WAL beside their backups.
    wal: BTreeSet<System>,
}

/// Pure: every step, in the order to take them, and which backups are kept.
fn plan(
    contents: &Contents,
    repo: &Repo,
    now: Timestamp,
    keep: &Keep,
    facts: &Facts,
) -> (Vec<Step>, BTreeSet<Id>) {
    let stored: Vec<&Stored> = contents.backups.iter().collect();
    let whole = |s: &Stored| s.is_whole() && !facts.failed.contains(&s.backup.id);
    let dump = |s: &&Stored| Dump { taken: s.taken, verified: s.verified.is_some(), whole: whole(s) };
    let dumps: Vec<Dump> = stored.iter().map(dump).collect();
    let mut reasons = keep::reasons(&dumps, now, keep);
    // A moment at the beginning of the window is restored from the backup before it.
    let before = |s: &&Stored| match (keep.within, s.taken) {
        (Some(span), Taken::At(at)) => {
            now.as_second().saturating_sub(at.as_second())
                > i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX)
                && whole(s)
                && s.backup.system().is_ok_and(|s| facts.wal.contains(&s))
        }
        _ => false,
    };
    if let (Some(i), Some(span)) = (stored.iter().rposition(before), keep.within) {
        reasons[i].push(format!("the first moments of {span} begin with it"));
    }
    let (mut steps, mut kept, mut needed) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (stored, why) in stored.iter().zip(reasons) {
        if !why.is_empty() {
            kept.insert(stored.backup.id.clone());
            needed.extend(stored.backup.packs.iter().filter_map(|p| p.of.clone()));
        }
        steps.extend(one(contents, stored, why));
    }
    needed.extend(kept.iter().cloned());
    // Never by a day to come: what is being written now would be left over then. What a dead run left goes first: on a
    // full disk there is no room for a mark before.
    let mut rests = leftovers(contents, repo, now.min(Timestamp::now()), &needed, &facts.dead);
    rests.sort_by_key(|s| s.action != "remove");
    let (freed, marked): (Vec<Step>, Vec<Step>) =
        rests.into_iter().partition(|s| s.action == "remove" && facts.dead.contains(&s.id));
    (freed.into_iter().chain(steps).chain(marked).collect(), kept)
}

/// Backups whose last drill failed, by the proofs that the repository has of drills.
fn failed_drills(repo: &Repo, contents: &Contents) -> Result<BTreeSet<Id>> {
    #[derive(Deserialize)]
    struct Proof {
        backup: Option<Id>,
    }
    let systems: BTreeSet<System> = contents.backups.iter().filter_map(|s| s.backup.system().ok()).collect();
    let mut failed = BTreeSet::new();
    for system in systems {
        let drills = drills::all(&*repo.store, &system)?;
        // Most never fail, and then no proof need be read.
        if drills.iter().all(|d| d.passed) {
            continue;
        }
        for drill in drills {
            let Some(json) = read_small(&*repo.store, &drill.key, LARGEST_PROOF)? else { continue };
            let Ok(Proof { backup: Some(id) }) = serde_json::from_slice(&json) else { continue };
            if drill.passed {
                failed.remove(&id)
            } else {
                failed.insert(id)
            };
        }
    }
    Ok(failed)
}

/// Runs whose intent says that they were of this machine, and that are not there any more.
fn dead_runs(repo: &Repo, contents: &Contents) -> Result<BTreeSet<Id>> {
    let mut dead = BTreeSet::new();
    for (_, named, object) in &contents.objects {
        let Named::Intent(id) = named else { continue };
        let Some(json) = read_small(&*repo.store, &object.key, backup::LARGEST)? else { continue };
        if process::of_intent(&json).is_some_and(|p| p.is_gone()) {
            dead.insert(id.clone());
        }
    }
    Ok(dead)
}

/// Systems with WAL in this repository.
fn with_wal(repo: &Repo, contents: &Contents) -> Result<BTreeSet<System>> {
    let systems: BTreeSet<System> = contents.backups.iter().filter_map(|s| s.backup.system().ok()).collect();
    let mut with = BTreeSet::new();
    for system in systems {
        if !repo.store.folders(&format!("{}wal/", system.root()))?.is_empty() {
            with.insert(system);
        }
    }
    Ok(with)
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

fn leftovers(
    contents: &Contents,
    repo: &Repo,
    now: Timestamp,
    needed: &BTreeSet<Id>,
    dead: &BTreeSet<Id>,
) -> Vec<Step> {
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
    let step = |((system, id), rest): ((System, Id), Rest<'_>)| match dead.contains(&id) {
        true => Some(rest.dead(repo, system, id)),
        false => rest.step(repo, system, id, now),
    };
    unneeded.filter_map(step).collect()
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

    /// Of a run that is known to be dead: nothing was ever built on it.
    fn dead(self, repo: &Repo, system: System, id: Id) -> Step {
        let bytes = self.objects.iter().map(|o| o.size).sum();
        // The intent goes last: a prune that dies in between finds the rest again.
        let keys = self.objects.iter().chain(&self.beside).map(|o| o.key.clone()).collect();
        let why = vec!["left by a run that died on this machine".to_string()];
        Step { repo: repo.name.clone(), id, action: "remove", why, bytes, system, keys }
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
