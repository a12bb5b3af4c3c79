//! `verify`, of physical backups: every object is there, of its size, and holds what was written.

use super::backup;
use super::catalog::{self, Stored};
use super::frames::Frames;
use super::outline;
use super::restore::entries;
use super::verify_wal;
use crate::cli;
use crate::manifest::Id;
use crate::outcome::Tally;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Read;
use toban_core::progress::Progress;
use toban_core::repo::Repo;
use toban_core::run::Report;
use toban_core::store::{Attrs, Key};
use toban_core::sum::{Checked, Sum};
use toban_core::{Context, Error, Kind, Out, Record, Result, out, shutdown};

/// A backup that was found whole.
#[derive(Serialize)]
struct Verified {
    repo: String,
    id: Id,
    files: u64,
    objects: usize,
    bytes: u64,
    /// Presence and sizes only.
    fast: bool,
}

impl Record for Verified {
    const SCHEMA: &'static str = "pg-backup.verify-backup/1";
    const HEAD: &'static [&'static str] = &["verified", "id", "in", "objects", "files", "read"];
    fn cells(&self) -> Vec<String> {
        let read = if self.fast { "sizes only".into() } else { out::bytes(self.bytes) };
        let (objects, files) = (self.objects.to_string(), self.files.to_string());
        vec!["cluster".into(), self.id.to_string(), self.repo.clone(), objects, files, read]
    }
}

/// Verifies the backups that are asked for in one repository; the IDs of those that were there.
///
/// # Errors
/// When stdout cannot be written; damage is in the tally.
pub(crate) fn all(
    args: &cli::Verify,
    repo: &Repo,
    tally: &mut Tally,
    report: &mut Report,
    out: &mut Out<'_>,
) -> Result<Vec<String>> {
    let Some(mut contents) = tally.item(catalog::read(repo, &args.repos.cluster)) else {
        return Ok(Vec::new());
    };
    contents.damaged.drain(..).for_each(|e| _ = tally.copy::<()>(Err(e), true));
    let newest = contents.backups.last().map(|s| s.backup.id.clone());
    let wanted = |id: &Id| match args.newest {
        true => newest.as_ref() == Some(id),
        false => args.ids.is_empty() || args.ids.contains(&id.to_string()),
    };
    let mut seen = Vec::new();
    for stored in contents.backups.iter().filter(|s| wanted(&s.backup.id)) {
        seen.push(stored.backup.id.to_string());
        if let Some(Some(verified)) = tally.copy(one(stored, args.fast), true) {
            report.note(format!("{} in {}: whole", verified.id, verified.repo));
            out.emit(&verified)?;
        }
    }
    // Whoever names a backup asks for that one alone.
    let wal = if args.ids.is_empty() { tally.item(verify_wal::all(args, &contents, repo)) } else { None };
    let Some(wal) = wal else { return Ok(seen) };
    for (name, e) in wal.damaged {
        seen.push(name);
        tally.copy::<()>(Err(e), true);
    }
    for row in wal.rows {
        seen.push(row.note());
        tally.copy(Ok(()), true);
        report.note(row.note());
        out.emit(&row)?;
    }
    Ok(seen)
}

/// Verifies one backup; unless it was `fast`, what came of it is stored beside it. `None` for one that a prune has
/// taken away meanwhile.
fn one(stored: &Stored, fast: bool) -> Result<Option<Verified>> {
    let backup = &stored.backup;
    match judge(stored, fast).doing(|| format!("verify {} in {}", backup.id, stored.repo.name)) {
        Ok(()) => {}
        Err(e) if e.kind() == Kind::Corrupt => {
            let manifest = backup::key(&backup.system()?, &backup.id, backup::MANIFEST)?;
            if stored.repo.store.stat(&manifest)?.is_none() {
                log::info!("{} was pruned meanwhile", backup.id);
                return Ok(None);
            }
            prove(stored, backup::DAMAGE);
            return Err(e);
        }
        Err(e) => return Err(e),
    }
    if !fast {
        prove(stored, backup::PROOF);
    }
    Ok(Some(Verified {
        repo: stored.repo.name.clone(),
        id: backup.id.clone(),
        files: backup.files,
        objects: backup.packs.len() + 2,
        bytes: backup.stored_bytes(),
        fast,
    }))
}

fn judge(stored: &Stored, fast: bool) -> Result<()> {
    let backup = &stored.backup;
    let mut objects = vec![(backup.index_key()?, backup.index.clone(), None)];
    for (number, pack) in backup.packs.iter().enumerate() {
        objects.push((backup.pack_key(pack)?, pack.sum.clone(), u32::try_from(number).ok()));
    }
    for (key, sum, pack) in &objects {
        shutdown::check()?;
        let done = if fast { present(&stored.repo, key, sum) } else { whole(stored, key, sum) };
        done.map_err(|e| named(stored, *pack, e))?;
    }
    if fast { Ok(()) } else { outline::read(stored).map(drop) }
}

/// Whether the object is there and of its size.
///
/// # Errors
/// Corrupt when it is not.
pub(crate) fn present(repo: &Repo, key: &Key, sum: &Sum) -> Result<()> {
    match repo.store.stat(key)? {
        None => Err(Error::corrupt(format!("{key} is missing"))),
        Some(object) if object.size != sum.bytes => {
            Err(Error::corrupt(format!("{key} has {} bytes, not {}", object.size, sum.bytes)))
        }
        Some(_) => Ok(()),
    }
}

fn whole(stored: &Stored, key: &Key, sum: &Sum) -> Result<()> {
    let body = stored.repo.store.get(key, 0)?.ok_or_else(|| Error::corrupt(format!("{key} is missing")))?;
    let progress = Progress::bytes(&format!("verify {key}"), Some(sum.bytes), false);
    let mut checked = progress.wrap(Checked::new(body, sum.clone(), key.to_string()));
    let mut buf = vec![0; 1 << 18];
    while checked.read(&mut buf).doing(|| format!("read {key}"))? > 0 {
        shutdown::check()?;
    }
    Ok(())
}

/// The same error with the files that lie in the damaged frames, so that one knows what is lost.
fn named(stored: &Stored, pack: Option<u32>, e: Error) -> Error {
    let Some(pack) = pack.filter(|_| e.kind() == Kind::Corrupt) else { return e };
    match lost(stored, pack) {
        Ok(files) if !files.is_empty() => {
            let shown: Vec<&str> = files.iter().take(5).map(String::as_str).collect();
            let more = files.len().saturating_sub(5);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Error::corrupt(format!("damaged: {}{more}", shown.join(", "))).because(e)
        }
        _ => e,
    }
}

fn lost(stored: &Stored, pack: u32) -> Result<BTreeSet<String>> {
    let mut frames = Frames::new(&*stored.repo.store, &stored.backup)?;
    let mut lost = BTreeSet::new();
    for entry in entries(stored)? {
        let entry = entry?;
        for piece in entry.pieces.iter().filter(|p| p.pack == pack) {
            if frames.piece(piece, &entry.path).is_err() {
                lost.insert(entry.path.shown());
            }
        }
    }
    Ok(lost)
}

/// Keeps the verdict beside the backup: `check`, `prune` and `list` go by the newest.
fn prove(stored: &Stored, verdict: &str) {
    let at = Timestamp::now();
    let by = concat!("pg-backup ", env!("CARGO_PKG_VERSION"));
    let proof =
        serde_json::json!({ "format": 1, "id": stored.backup.id, "verdict": verdict, "at": at, "by": by });
    let put = || {
        let key = backup::stamped_key(&stored.backup.system()?, verdict, &stored.backup.id, at)?;
        stored.repo.store.put(&key, &mut proof.to_string().as_bytes(), &Attrs::new())
    };
    if let Err(e) = put() {
        // A credential that may only read can verify all the same.
        log::warn!("the verdict on {} could not be stored: {}", stored.backup.id, e.chain());
    }
}
