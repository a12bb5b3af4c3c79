//! Where each tablespace goes: those of the backup, and those that the WAL creates on the way.

use super::target::Known;
use crate::cli;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toban_core::wal::Change;
use toban_core::{Error, Result};

/// What was decided.
#[derive(Debug, Default)]
pub(super) struct TablespacePlaces {
    pub(super) tablespaces: BTreeMap<u32, PathBuf>,
    pub(super) linked_by_replay: BTreeSet<u32>,
    pub(super) changes: Vec<Change>,
    pub(super) in_place: bool,
}

/// A tablespace and where it was.
type Was<'a> = (u32, &'a str);

/// Decides it.
///
/// # Errors
/// Usage for a mapping of what there is not, for two in one place, and for a place in the data directory.
pub(super) fn plan_tablespaces(args: &cli::Restore, known: &Known<'_>) -> Result<TablespacePlaces> {
    let created = &known.effects.created;
    let outside = created.iter().filter(|c| !c.location.is_empty());
    // One that was made while the files were copied counts where recovery creates it, or where it has files.
    let listed = known.backup.tablespaces.iter();
    let there = listed.filter(|t| !t.late || known.outline.tablespaces.contains(&t.oid));
    let there: Vec<Was<'_>> = there.map(|t| (t.oid, t.location.as_str())).collect();
    let all: Vec<Was<'_>> =
        there.iter().copied().chain(outside.clone().map(|c| (c.oid, c.location.as_str()))).collect();
    known_mappings(args, known, &all)?;
    let mut places = TablespacePlaces {
        in_place: created.iter().any(|c| c.location.is_empty()),
        ..TablespacePlaces::default()
    };
    for (oid, was) in &all {
        places.tablespaces.insert(*oid, choose_place(args, *oid, was));
    }
    for one in outside {
        if places.tablespaces[&one.oid] == Path::new(&one.location) {
            // Replay would remove the link; before it comes so far one would lead nowhere.
            places.linked_by_replay.extend(Some(one.oid).filter(|oid| !there.iter().any(|(o, _)| o == oid)));
        } else {
            places.changes.extend(one.in_place.iter().cloned());
        }
    }
    each_its_own(&all, &places)?;
    if args.keep_archiving && !places.changes.is_empty() {
        let e = Error::usage(
            "the WAL creates a tablespace that is put elsewhere: such a server must not archive that WAL",
        );
        return Err(e.hint("leave out --keep-archiving, and back the new server up at once"));
    }
    Ok(places)
}

fn choose_place(args: &cli::Restore, oid: u32, was: &str) -> PathBuf {
    let mapped = args.tablespace_mapping.iter().find(|m| m.old == was).map(|m| m.new.clone());
    let below = || args.tablespace_dir.as_ref().map(|dir| dir.join(oid.to_string()));
    mapped.or_else(below).unwrap_or_else(|| PathBuf::from(was))
}

fn known_mappings(args: &cli::Restore, known: &Known<'_>, all: &[Was<'_>]) -> Result<()> {
    let listed = |old: &str| known.backup.tablespaces.iter().any(|t| t.location == old);
    let is_known = |old: &str| listed(old) || all.iter().any(|(_, was)| *was == old);
    let Some(map) = args.tablespace_mapping.iter().find(|m| !is_known(&m.old)) else { return Ok(()) };
    let e = Error::usage(format!(
        "neither the backup nor the WAL up to the target has a tablespace in {}",
        map.old
    ));
    let all: Vec<&str> = all.iter().map(|(_, was)| *was).collect();
    Err(match all.is_empty() {
        true => e.hint("there is none at all: leave out --tablespace-mapping"),
        false => e.hint(format!("there are: {}", all.join(", "))),
    })
}

/// Two share a place only where they shared it before, one after the other.
fn each_its_own(all: &[Was<'_>], places: &TablespacePlaces) -> Result<()> {
    let mut taken: BTreeMap<&Path, &str> = BTreeMap::new();
    for (oid, was) in all {
        let place = places.tablespaces[oid].as_path();
        if let Some(other) = taken.insert(place, was).filter(|other| other != was) {
            let e = Error::usage(format!(
                "the tablespaces in {other} and {was} would both lie in {}",
                place.display()
            ));
            return Err(e.hint("give each its own place by --tablespace-mapping OLD=NEW"));
        }
    }
    Ok(())
}
