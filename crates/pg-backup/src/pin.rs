//! `pin` and `unpin`: a backup or a dump is kept whatever the rules say, and why.

use crate::cli;
use crate::format::backup::BackupManifest;
use crate::format::catalog::{Catalog, Manifest, Stored};
use crate::format::dump::DumpManifest;
use crate::format::id::Id;
use crate::format::pin::PinRecord;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use toban_core::config::Config;
use toban_core::repo::{Repo, RepoArgs, RepoResults};
use toban_core::{Error, Out, Record, Result};

/// What was pinned, or is no longer.
#[derive(Serialize)]
struct PinnedItem {
    repo: String,
    /// `(cluster)`, or the name of a dump's database.
    of: String,
    id: Id,
    pinned: bool,
    until: Option<Timestamp>,
    why: String,
}

impl Record for PinnedItem {
    const SCHEMA: &'static str = "pg-backup.pin/1";
    const HEAD: &'static [&'static str] = &["repo", "of", "id", "pin"];
    fn cells(&self) -> Vec<String> {
        let pin = PinRecord {
            pinned: self.pinned,
            ..PinRecord::new(&self.id, Timestamp::MIN, &self.why, self.until)
        };
        let pin = pin.describe(Timestamp::MIN).unwrap_or_else(|| "no longer pinned".into());
        vec![self.repo.clone(), self.of.clone(), self.id.to_string(), pin]
    }
}

/// Runs `pin`.
pub(crate) fn run(args: &cli::Pin, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let now = Timestamp::now();
    if let Some(until) = args.until.filter(|until| *until <= now) {
        return Err(Error::usage(format!("--until {until} is over already")));
    }
    let make = |id: &Id, at, _: Option<&PinRecord>| Some(PinRecord::new(id, at, &args.why, args.until));
    PinJob { repos: &args.repos, id: args.id.parse()?, now, make: &make }.write(config, out)
}

/// Runs `unpin`.
pub(crate) fn end(args: &cli::Unpin, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let now = Timestamp::now();
    let make =
        |id: &Id, at, last: Option<&PinRecord>| last.filter(|pin| pin.pinned).map(|_| PinRecord::end(id, at));
    PinJob { repos: &args.repos, id: args.id.parse()?, now, make: &make }.write(config, out)
}

type MakePin<'a> = &'a dyn Fn(&Id, Timestamp, Option<&PinRecord>) -> Option<PinRecord>;

/// A pin to write, or the end of one.
struct PinJob<'a> {
    repos: &'a RepoArgs,
    id: Id,
    now: Timestamp,
    make: MakePin<'a>,
}

impl PinJob<'_> {
    /// Writes it into every repository that has what it is of.
    ///
    /// # Errors
    /// Usage where no repository has it, or nothing of it is pinned.
    fn write(&self, config: &Config, out: &mut Out<'_>) -> Result<()> {
        let repos = self.repos.open(config)?;
        let (mut results, mut written) = (RepoResults::default(), 0);
        for repo in &repos {
            written += results.add_item(self.write_to(repo, out)).unwrap_or(0);
        }
        results.verdict("repositories")?;
        match written {
            0 => {
                let e = Error::usage(format!(
                    "no backup or dump {} to pin or unpin in {}",
                    self.id,
                    repos.names()
                ));
                Err(e.hint("`pg-backup list` shows the IDs, and what is pinned"))
            }
            _ => Ok(()),
        }
    }

    fn write_to(&self, repo: &Repo, out: &mut Out<'_>) -> Result<usize> {
        let backups = self.write_series::<BackupManifest>(repo, |_| "(cluster)".into(), out)?;
        let dumps = self.write_series::<DumpManifest>(repo, |dump| dump.database.name.clone(), out)?;
        Ok(backups + dumps)
    }

    fn write_series<M: Manifest>(
        &self,
        repo: &Repo,
        name: impl Fn(&M) -> String,
        out: &mut Out<'_>,
    ) -> Result<usize> {
        let catalog = Catalog::<M>::read(repo, &self.repos.cluster, self.now)?;
        catalog.damaged.iter().for_each(|e| log::warn!("{}: {}", repo.name, e.chain()));
        let mut written = 0;
        for Stored { manifest, pin, .. } in catalog.stored.iter().filter(|s| *s.manifest.id() == self.id) {
            // Later than the last, whatever the clock that dated that one said: the latest counts.
            let after = pin.as_ref().and_then(|pin| pin.at.checked_add(SignedDuration::from_micros(1)).ok());
            let at = after.map_or(self.now, |after| after.max(self.now));
            let Some(pin) = (self.make)(&self.id, at, pin.as_ref()) else { continue };
            pin.store(repo, manifest)?;
            written += 1;
            let (of, id) = (name(manifest), self.id.clone());
            let PinRecord { pinned, until, why, .. } = pin;
            out.emit(&PinnedItem { repo: repo.name.clone(), of, id, pinned, until, why })?;
        }
        Ok(written)
    }
}
