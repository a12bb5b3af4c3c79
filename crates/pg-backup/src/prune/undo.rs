//! `prune --undo`: puts the manifests of deleted backups and dumps back, as long as all that they name is there.

use super::{Pruning, choose_undelete};
use crate::format::backup::BackupManifest;
use crate::format::catalog::{Catalog, Manifest, find_lacking};
use crate::format::dump::DumpManifest;
use crate::format::id::Id;
use crate::format::mark::{Deleted, Marks};
use crate::lock::renew_locks;
use crate::{cli, machine};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use toban_core::config::{Config, Keep};
use toban_core::repo::{Repo, RepoResults};
use toban_core::run;
use toban_core::stamp::iso_seconds;
use toban_core::store::{Attrs, Stored};
use toban_core::{Error, Out, Record, Result, shutdown};

/// What was put back, or cannot be.
#[derive(Debug, Serialize)]
pub(super) struct UndonePrune {
    repo: String,
    id: Id,
    /// `(cluster)`, or the name of a dump's database.
    of: String,
    action: UndoAction,
    why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum UndoAction {
    Restored,
    Lost,
}

impl Record for UndonePrune {
    const SCHEMA: &'static str = "pg-backup.prune-undo/1";
    const HEAD: &'static [&'static str] = &["repo", "of", "id", "action", "why"];
    fn cells(&self) -> Vec<String> {
        let action = if self.action == UndoAction::Restored { "restored" } else { "lost" };
        vec![self.repo.clone(), self.of.clone(), self.id.to_string(), action.into(), self.why.clone()]
    }
}

/// Runs the verb with `--undo`; all that can be put back, where no ID is given.
pub(super) fn run(args: &cli::Prune, config: &Config, ids: &[String], out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    let wanted = ids.iter().map(|id| id.parse()).collect::<Result<BTreeSet<Id>>>()?;
    let undo = |out: &mut Out<'_>| {
        let (mut results, mut found) = (RepoResults::default(), BTreeSet::new());
        for repo in &repos {
            let keep = Keep { undelete: choose_undelete(args, repo), ..Keep::default() };
            let pruning = Pruning {
                repo,
                cluster: &args.repos.cluster,
                keep: &keep,
                as_of: args.at.now(),
                clock: Timestamp::now(),
                dry_run: args.dry.dry_run,
            };
            results.add_item(undo_repo(&pruning, &wanted, &mut found, out));
        }
        results.verdict("repositories")?;
        match wanted.difference(&found).next() {
            None => Ok(()),
            Some(id) => {
                let e = Error::usage(format!("{id} was not deleted from {}, or too long ago", repos.names()));
                Err(e.hint("`pg-backup prune --undo --dry-run` shows what can be put back"))
            }
        }
    };
    if args.dry.dry_run {
        return undo(out);
    }
    run::job(config, "pg-backup", "prune", &args.repos.cluster, |_| {
        let _lock = machine::take_lock("prune", &args.repos.cluster)?;
        undo(out)
    })
}

fn undo_repo(
    pruning: &Pruning<'_>,
    wanted: &BTreeSet<Id>,
    found: &mut BTreeSet<Id>,
    out: &mut Out<'_>,
) -> Result<()> {
    pruning.repo.check_holds(pruning.cluster)?;
    let backups = undo_series::<BackupManifest>(pruning, wanted, |_| "(cluster)".into());
    let dumps = undo_series::<DumpManifest>(pruning, wanted, |dump| dump.database.name.clone());
    let mut lost = Vec::new();
    for record in backups?.into_iter().chain(dumps?) {
        found.insert(record.id.clone());
        if record.action == UndoAction::Lost {
            lost.push(format!("{} of {}: {}", record.id, record.of, record.why));
        }
        out.emit(&record)?;
    }
    match lost.first() {
        None => Ok(()),
        Some(first) => Err(Error::failed(format!("{} cannot be put back: {first}", lost.len()))),
    }
}

/// Puts back what is wanted of all backups, or of all dumps.
pub(super) fn undo_series<M: Manifest + Sync>(
    pruning: &Pruning<'_>,
    wanted: &BTreeSet<Id>,
    name: impl Fn(&M) -> String,
) -> Result<Vec<UndonePrune>> {
    let catalog = Catalog::<M>::read(pruning.repo, pruning.cluster, pruning.as_of)?;
    let marks = Marks::read(pruning.repo, &catalog)?;
    marks.unread.iter().for_each(|(_, e)| log::warn!("{}: {}", pruning.repo.name, e.chain()));
    let mut undone = Vec::new();
    for ((_, id), mark) in &marks.all {
        let Some(deleted) = mark.deleted.as_ref().filter(|_| wanted.is_empty() || wanted.contains(id)) else {
            continue;
        };
        // Later a prune may be removing its objects at this moment.
        let ended = pruning.undo_ends(mark.at) < pruning.clock;
        if ended && wanted.is_empty() {
            continue;
        }
        shutdown::check()?;
        let why = match (ended, find_lacking(&deleted.manifest, &catalog.sizes())?) {
            (true, _) => {
                Some(format!("it could be put back until {}", iso_seconds(pruning.undo_ends(mark.at))))
            }
            (false, Some(lacks)) => Some(lacks),
            (false, None) if pruning.dry_run => None,
            (false, None) => put_back(pruning.repo, pruning.cluster, deleted)?,
        };
        undone.push(UndonePrune {
            repo: pruning.repo.name.clone(),
            id: id.clone(),
            of: name(&deleted.manifest),
            action: if why.is_some() { UndoAction::Lost } else { UndoAction::Restored },
            why: why
                .unwrap_or_else(|| "the next prune deletes it again, unless a rule or a pin keeps it".into()),
        });
    }
    Ok(undone)
}

/// Puts the manifest back; what is missing, if a prune took something away at the same time.
fn put_back<M: Manifest>(repo: &Repo, cluster: &str, deleted: &Deleted<M>) -> Result<Option<String>> {
    let key = deleted.manifest.manifest_key()?;
    renew_locks(repo, &deleted.manifest.objects()?, &deleted.manifest.beside()?)?;
    // Create-if-absent: another that puts it back writes the same bytes.
    let stored = repo.store.put(&key, &mut deleted.text.as_bytes(), &Attrs::new())?;
    // A prune looks for the manifest right before it removes an object: either it has seen this one, or what it has
    // removed is missed now, and nothing may be listed that does not restore.
    let objects = M::list_objects(repo, cluster)?;
    let sizes = objects.iter().map(|(_, o)| (&o.key, o.size)).collect();
    let lacks = find_lacking(&deleted.manifest, &sizes)?;
    if lacks.is_some() && stored == Stored::New {
        repo.store.remove(&key)?;
    }
    Ok(lacks)
}
