//! `verify`: reads back what is stored and compares it with the sums that were taken when it was written.

use crate::catalog::{self, DAMAGED, Stored, WHOLE, proof_suffix};
use crate::manifest::{Id, Manifest};
use crate::outcome::Tally;
use crate::physical;
use crate::restore::rehearse;
use crate::server::Server;
use crate::{cli, cores};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Read};
use toban_core::config::Config;
use toban_core::progress::Progress;
use toban_core::repo::Repo;
use toban_core::run::{self, Report};
use toban_core::store::Attrs;
use toban_core::sum::{Checked, Sum};
use toban_core::{Context, Error, Kind, Out, Record, Result, out, shutdown};

/// A dump that was found whole.
#[derive(Serialize)]
struct Verified {
    repo: String,
    database: String,
    id: Id,
    bytes: u64,
    /// Tables whose rows were compared in a scratch database, with `--deep`.
    restored_tables: Option<u64>,
}

impl Record for Verified {
    const SCHEMA: &'static str = "pg-backup.verify/1";
    const HEAD: &'static [&'static str] = &["verified", "id", "in", "read", "restored"];
    fn cells(&self) -> Vec<String> {
        let restored = self.restored_tables.map_or("-".into(), |n| format!("{n} tables"));
        vec![self.database.clone(), self.id.to_string(), self.repo.clone(), out::bytes(self.bytes), restored]
    }
}

/// What is stored beside the dump as the proof.
#[derive(Serialize)]
struct Proof<'a> {
    format: u32,
    id: &'a Id,
    verdict: &'a str,
    at: Timestamp,
    by: &'static str,
    restored_tables: Option<u64>,
}

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::Verify, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    run::job(config, "pg-backup", "verify", &args.repos.cluster, |report| {
        act(args, config, &repos, report, out)
    })
}

fn act(
    args: &cli::Verify,
    config: &Config,
    repos: &[Repo],
    report: &mut Report,
    out: &mut Out<'_>,
) -> Result<()> {
    let server = if args.deep { Some(scratch(args, config)?) } else { None };
    let mut tally = Tally::default();
    let mut seen = Vec::new();
    for repo in repos {
        // Nothing verified is not well.
        let holds = repo.check_holds(&args.repos.cluster).map_err(|e| match e.kind() {
            Kind::Usage => e.kind_as(Kind::Findings),
            _ => e,
        });
        if args.ids.is_empty() && tally.item(holds).is_none() {
            continue;
        }
        let Some(contents) = tally.item(catalog::read(repo, &args.repos.cluster)) else { continue };
        for damaged in contents.damaged {
            tally.copy::<()>(Err(damaged), true);
        }
        seen.extend(physical::verify::all(args, repo, &mut tally, report, out)?);
        let newest = newest(&contents.dumps);
        for stored in contents.dumps {
            let is_newest =
                newest.contains(&(stored.manifest.database.name.clone(), stored.manifest.id.clone()));
            if !wanted(args, &stored, is_newest) {
                continue;
            }
            seen.push(stored.manifest.id.to_string());
            let server = server.as_ref().filter(|_| is_newest);
            if let Some(Some(verified)) = tally.copy(one(stored, server, args.fast), true) {
                report.note(format!("{} {} in {}: whole", verified.database, verified.id, verified.repo));
                out.emit(&verified)?;
            }
        }
    }
    for id in args.ids.iter().filter(|id| !seen.contains(id)) {
        tally.item::<()>(Err(
            Error::usage(format!("no dump or backup {id}")).hint("`pg-backup list` shows the IDs")
        ));
    }
    if seen.is_empty() && args.ids.is_empty() && tally.is_fine() {
        let e = format!("there is no dump or backup of cluster {}", args.repos.cluster);
        tally.item::<()>(Err(Error::new(Kind::Findings, e)));
    }
    tally.verdict("verifications")
}

fn wanted(args: &cli::Verify, stored: &Stored, newest: bool) -> bool {
    match args.newest {
        true => newest,
        false => args.ids.is_empty() || args.ids.contains(&stored.manifest.id.to_string()),
    }
}

fn newest(dumps: &[Stored]) -> Vec<(String, Id)> {
    let of = |s: &Stored| (s.manifest.database.name.clone(), s.manifest.id.clone());
    // Sorted by time: the last of each name wins.
    dumps
        .iter()
        .filter(|s| !s.manifest.is_safety())
        .map(of)
        .collect::<BTreeMap<String, Id>>()
        .into_iter()
        .collect()
}

fn scratch(args: &cli::Verify, config: &Config) -> Result<(Server, String)> {
    let section = config.cluster.get(&args.repos.cluster);
    // The lock on the scratch database is of one database: all must take it in the same.
    let (server, _) = Server::reach_in(&args.server, section, "postgres")
        .or_else(|_| Server::reach(&args.server, section))?;
    let maintenance = server.conn.dbname().to_string();
    Ok((server, maintenance))
}

/// `None` for a dump that a prune has taken away meanwhile.
fn one(stored: Stored, server: Option<&(Server, String)>, fast: bool) -> Result<Option<Verified>> {
    let manifest = stored.manifest.clone();
    let repo = stored.repo.clone();
    let bytes = manifest.stored_bytes();
    let restored_tables = match judge(stored, server, fast) {
        Ok(restored) => restored,
        Err(e) if e.kind() == Kind::Corrupt => {
            if repo.store.stat(&manifest.key("json")?)?.is_none() {
                log::info!("{} {} was pruned meanwhile", manifest.database.name, manifest.id);
                return Ok(None);
            }
            prove(&repo, &manifest, DAMAGED, None);
            return Err(e);
        }
        Err(e) => return Err(e),
    };
    // Presence and sizes prove too little to be remembered.
    if !fast {
        prove(&repo, &manifest, WHOLE, restored_tables);
    }
    Ok(Some(Verified {
        repo: repo.name,
        database: manifest.database.name,
        id: manifest.id,
        bytes,
        restored_tables,
    }))
}

fn judge(stored: Stored, server: Option<&(Server, String)>, fast: bool) -> Result<Option<u64>> {
    let name = format!("{} {}", stored.manifest.database.name, stored.manifest.id);
    for (suffix, sum) in &stored.manifest.parts {
        let key = stored.manifest.key(suffix)?;
        let done = match fast {
            true => physical::verify::present(&stored.repo, &key, sum),
            false => read_back(&stored, suffix, sum),
        };
        done.doing(|| format!("verify {name} in {}", stored.repo.name))?;
    }
    let jobs = cores::workers(None);
    let restored = server.map(|(server, maintenance)| rehearse(server, maintenance, stored, jobs));
    restored.transpose().doing(|| format!("restore {name} into a scratch database"))
}

/// Keeps the verdict beside the dump: `check`, `prune` and `list` go by the newest.
fn prove(repo: &Repo, manifest: &Manifest, verdict: &str, restored_tables: Option<u64>) {
    let at = Timestamp::now();
    let by = concat!("pg-backup ", env!("CARGO_PKG_VERSION"));
    let proof = Proof { format: 1, id: &manifest.id, verdict, at, by, restored_tables };
    let stored = serde_json::to_vec(&proof).doing(|| "write the proof".into()).and_then(|json| {
        repo.store.put(&manifest.key(&proof_suffix(verdict, at))?, &mut &json[..], &Attrs::new())
    });
    if let Err(e) = stored {
        // A credential that may only read can verify all the same.
        log::warn!("the verdict on {} could not be stored in {}: {}", manifest.id, repo.name, e.chain());
    }
}

fn read_back(stored: &Stored, suffix: &str, sum: &Sum) -> Result<()> {
    let key = stored.manifest.key(suffix)?;
    let body = stored.repo.store.get(&key, 0)?.ok_or_else(|| Error::corrupt(format!("{key} is missing")))?;
    let progress = Progress::bytes(&format!("verify {key}"), Some(sum.bytes), false);
    let mut checked = progress.wrap(Checked::new(body, sum.clone(), key.to_string()));
    let mut buf = vec![0; 1 << 18];
    loop {
        shutdown::check()?;
        match checked.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e).doing(|| format!("read {key}")),
        }
    }
}
