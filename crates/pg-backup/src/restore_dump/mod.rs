//! `restore-dump`: a dump into a new database, or in the place of one.
//!
//! Find → decide → check the dump → safety dump → load under another name → compare → change the names in one
//! transaction → look whether anything was written meanwhile → drop or keep the old one.

mod archive;
mod globals;
mod load;
mod replication;
mod source;
mod sql;
mod swap;

use crate::database::{self, Properties};
use crate::dump::DumpJob;
use crate::format::dump::{DumpForm, SAFETY, StoredDump};
use crate::server::Server;
use crate::{cli, machine};
use jiff::Timestamp;
use serde::Serialize;
use source::Source;
use std::time::Instant;
use swap::{Activity, Place};
use toban_core::config::Config;
use toban_core::repo::{Repo, Repos};
use toban_core::run;
use toban_core::{Error, Out, Record, Result};

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::RestoreDump, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = open_repos(args, config)?;
    let source = Source::find(args, config, &repos)?;
    if args.dry.dry_run {
        let (server, maintenance) = reach(args, config)?;
        let mut place = Place::take(&server, &maintenance, target(args))?;
        let plan = Plan::make(args, &source, &mut place, &server)?;
        let replication = replication::read(place.admin(), &plan.database)?;
        replication.check_role(place.admin())?;
        replication.foretell(&plan.database);
        return out.emit(&plan);
    }
    run::job(config, "pg-backup", "restore-dump", &args.repos.cluster, |report| {
        let restored = act(args, config, &repos, &source)?;
        report.note(format!("{} restored into {}", restored.source, restored.database));
        out.emit(&restored)
    })
}

/// A foreign file needs a repository only for the safety dump.
fn open_repos(args: &cli::RestoreDump, config: &Config) -> Result<Repos> {
    let foreign = args.source != crate::format::catalog::LATEST
        && args.source.parse::<crate::format::id::Id>().is_err();
    if foreign && (args.into.is_some() || args.no_safety_dump) {
        return Ok(Repos::default());
    }
    args.repos.open(config).map_err(|e| match foreign {
        true => {
            e.hint("the safety dump needs one: --repo, or --no-safety-dump to keep the old database instead")
        }
        false => e,
    })
}

fn target(args: &cli::RestoreDump) -> &str {
    args.into.as_deref().or(args.replace.as_deref()).unwrap_or_default()
}

/// The server, and a database of it to work from that is not the target.
fn reach(args: &cli::RestoreDump, config: &Config) -> Result<(Server, String)> {
    database::check_name(target(args))?;
    let section = config.cluster.get(&args.repos.cluster);
    let preferred = ["postgres", "template1"].into_iter().filter(|name| *name != target(args));
    let mut last = None;
    for name in preferred {
        match Server::reach_in(&args.server, section, name) {
            Ok((server, _)) => return Ok((server, name.to_string())),
            Err(e) => last = last.or(Some(e)),
        }
    }
    Err(last.expect("at least one was tried"))
}

/// What will be done; `--dry-run` prints it.
#[derive(Serialize)]
struct Plan {
    source: String,
    database: String,
    /// `create`, `fill` an empty one, or `replace`.
    action: &'static str,
    owner: String,
    encoding: String,
    safety_dump: bool,
    #[serde(skip)]
    properties: Properties,
}

impl Record for Plan {
    const SCHEMA: &'static str = "pg-backup.restore-dump-plan/1";
    const HEAD: &'static [&'static str] =
        &["would restore", "into", "action", "owner", "encoding", "safety dump"];
    fn cells(&self) -> Vec<String> {
        let safety = if self.safety_dump { "yes" } else { "no" };
        let text = [&self.source, &self.database, self.action, &self.owner, &self.encoding, safety];
        text.map(ToString::to_string).to_vec()
    }
}

impl Plan {
    fn make(
        args: &cli::RestoreDump,
        source: &Source,
        place: &mut Place<'_>,
        server: &Server,
    ) -> Result<Plan> {
        let target = target(args);
        let live = swap::properties(place, target)?;
        let template =
            swap::properties(place, "template0")?.ok_or_else(|| Error::failed("template0 is missing"))?;
        if matches!(target, "template0" | "template1") {
            return Err(Error::usage(format!("{target} is a template; nothing is restored into it")));
        }
        let action = match (&live, args.replace.is_some()) {
            (Some(_), true) => "replace",
            (Some(_), false) if swap::is_empty(server, target)? => "fill",
            (Some(_), false) => return Err(occupied(target)),
            (None, _) => "create",
        };
        let dumped = source.manifest().map(|m| Properties { name: target.into(), ..m.database.clone() });
        let plain = || Properties::plain(target, server.conn.user(), &template);
        let properties = live.or(dumped).unwrap_or_else(plain);
        Ok(Plan {
            source: source.name.clone(),
            database: target.into(),
            action,
            owner: properties.owner.clone(),
            encoding: properties.encoding.clone(),
            safety_dump: action == "replace" && !args.no_safety_dump,
            properties,
        })
    }
}

fn occupied(target: &str) -> Error {
    let e = Error::failed(format!("database {target:?} exists and is not empty"));
    e.hint("--into a name that is free, or --replace to put the dump in its place")
}

/// What was done.
#[derive(Serialize)]
struct Restored {
    source: String,
    database: String,
    /// Tables whose row counts were compared with the dump's; none for a dump without counts.
    tables: Option<u64>,
    rows: Option<u64>,
    seconds: f64,
    /// ID of the dump of the state that was replaced.
    safety_dump: Option<String>,
    /// Name under which the old database was kept.
    kept: Option<String>,
}

impl Record for Restored {
    const SCHEMA: &'static str = "pg-backup.restore-dump/1";
    const HEAD: &'static [&'static str] =
        &["restored", "into", "tables", "rows", "seconds", "safety dump", "old kept as"];
    fn cells(&self) -> Vec<String> {
        let number = |n: Option<u64>| n.map_or("-".into(), |n| n.to_string());
        vec![
            self.source.clone(),
            self.database.clone(),
            number(self.tables),
            number(self.rows),
            format!("{:.1}", self.seconds),
            self.safety_dump.clone().unwrap_or("-".into()),
            self.kept.clone().unwrap_or("-".into()),
        ]
    }
}

fn act(args: &cli::RestoreDump, config: &Config, repos: &[Repo], source: &Source) -> Result<Restored> {
    let begun = Instant::now();
    let (server, maintenance) = reach(args, config)?;
    let mut place = Place::take(&server, &maintenance, target(args))?;
    let plan = Plan::make(args, source, &mut place, &server)?;
    let ready = load::check(source, &server)?;
    if args.globals {
        roles(source, &server, &mut place)?;
    }
    globals::require(place.admin(), &plan.properties)?;
    replication::read(place.admin(), &plan.database)?.check_role(place.admin())?;
    let before = if plan.action == "replace" { swap::activity(&server, &plan.database)? } else { None };
    let safety = if plan.safety_dump { Some(safety_dump(&server, args, &plan, repos)?) } else { None };

    let mut filling = place.make(&plan.properties)?;
    ready.load(&server, filling.name(), &plan.properties.owner, machine::workers(args.jobs))?;
    let counted = ready.compare(&server, filling.name())?;
    if args.into.is_some() {
        detach(&server, &mut place, filling.name())?;
    }
    let kept = match plan.action {
        "create" => {
            place.swap(&mut filling, &plan.properties, None)?;
            place.label(&plan.properties);
            tell_of_lost(&plan, &ready);
            None
        }
        _ => exchange(args, &mut place, &mut filling, &plan, before.filter(|_| safety.is_some()))?,
    };
    Ok(Restored {
        source: source.name.clone(),
        database: plan.database,
        tables: counted.as_ref().map(|c| c.len() as u64),
        rows: counted.map(|c| c.iter().map(|c| c.rows.unsigned_abs()).sum()),
        seconds: begun.elapsed().as_secs_f64(),
        safety_dump: safety,
        kept,
    })
}

fn detach(server: &Server, place: &mut Place<'_>, database: &str) -> Result<()> {
    let target = place.target.clone();
    for name in replication::detach(server, place.admin(), database)? {
        log::warn!(
            "subscription {name} of {target} is disabled and has no slot: it is a copy, and the original needs that slot"
        );
    }
    Ok(())
}

/// What a new database does not get, though the one that was dumped had it.
fn tell_of_lost(plan: &Plan, ready: &load::Ready<'_>) {
    if !plan.properties.logical_slots.is_empty() {
        log::warn!(
            "when it was dumped {} had the logical slots {}: no dump holds them, create them anew",
            plan.database,
            plan.properties.logical_slots.join(", ")
        );
    }
    if ready.has_database_properties {
        log::warn!(
            "settings, privileges or the comment of the dumped database are not given to {}: \
             pg_restore --create --file=- {} shows them",
            plan.database,
            plan.source
        );
    }
}

fn roles(source: &Source, server: &Server, place: &mut Place<'_>) -> Result<()> {
    let none = || Error::usage(format!("no roles went with {}", source.name)).hint("leave --globals out");
    let sql = source.globals()?.ok_or_else(none)?;
    let maintenance = place.maintenance.clone();
    let made = globals::create_missing(server, place.admin(), &maintenance, &sql)?;
    made.iter().for_each(|role| log::info!("created role {role}"));
    Ok(())
}

/// The present state goes to every repository before anything of it is touched.
fn safety_dump(server: &Server, args: &cli::RestoreDump, plan: &Plan, repos: &[Repo]) -> Result<String> {
    let job = DumpJob {
        server,
        cluster: &args.repos.cluster,
        form: DumpForm::Custom,
        level: 1,
        label: Some(SAFETY),
        globals: None,
    };
    let kept = job.dump_database(&plan.database, repos)?;
    for (repo, stored) in repos.iter().zip(kept.stored) {
        match stored {
            Err(e) if repo.required => return Err(e),
            Err(e) => log::warn!("the safety dump is not in {}: {}", repo.name, e.chain()),
            Ok(()) => {}
        }
    }
    Ok(kept.manifest.id.to_string())
}

/// Swaps old and new, then drops the old database if the safety dump is all of it: `untouched` is its activity
/// before that dump.
fn exchange(
    args: &cli::RestoreDump,
    place: &mut Place<'_>,
    filling: &mut swap::Filling<'_>,
    plan: &Plan,
    untouched: Option<Activity>,
) -> Result<Option<String>> {
    let aside = aside(&plan.database, Timestamp::now());
    // Settings and grants as they are now, not as they were before the load.
    let properties = swap::properties(place, &plan.database)?.unwrap_or_else(|| plan.properties.clone());
    let replication = replication::read(place.admin(), &plan.database)?;
    place.swap(filling, &properties, Some(&aside))?;
    place.label(&properties);
    replication.tell(&plan.database, &aside);
    // A slot goes with its database without a word, and a subscription is worth more than the space.
    if args.keep_old || !replication.is_none() {
        return Ok(Some(aside));
    }
    // The new database is in service: whatever happens to the old one from here on, the restore is done.
    match dispose(place, plan, &aside, untouched.as_ref()) {
        Ok(true) => return Ok(None),
        Ok(false) if args.no_safety_dump => {}
        Ok(false) => log::warn!(
            "{} may have been written to after its safety dump began: it is kept as {aside}",
            plan.database
        ),
        Err(e) => {
            log::warn!("{} is restored; the old database is kept as {aside}: {}", plan.database, e.chain());
        }
    }
    Ok(Some(aside))
}

/// Drops the old database where all of it is proven to be in the safety dump; whether it did.
fn dispose(place: &mut Place<'_>, plan: &Plan, aside: &str, untouched: Option<&Activity>) -> Result<bool> {
    let disposable = match plan.action {
        "fill" => swap::is_empty(place.server, aside)?,
        _ => untouched.is_some() && swap::activity(place.server, aside)?.as_ref() == untouched,
    };
    if disposable {
        place.drop(aside)?;
    }
    Ok(disposable)
}

/// `app_before_20261121_030000_000042` (UTC, to the microsecond), within PostgreSQL's 63 bytes.
fn aside(database: &str, at: Timestamp) -> String {
    let suffix = format!("{}_{:06}", at.strftime("_before_%Y%m%d_%H%M%S"), at.subsec_microsecond());
    let mut end = database.len().min(63 - suffix.len());
    while !database.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &database[..end])
}

/// Restores `stored` into a scratch database of `server`, compares its rows with those counted when it was dumped,
/// and drops it; how many tables were compared.
///
/// # Errors
/// What did not load or differs.
pub(crate) fn test_restore(server: &Server, maintenance: &str, stored: StoredDump, jobs: u32) -> Result<u64> {
    let properties = stored.manifest.database.clone();
    let source = Source::of_ours(stored)?;
    let mut place = Place::take(server, maintenance, &format!("toban_verify {}", properties.name))?;
    let ready = load::check(&source, server)?;
    globals::require(place.admin(), &properties)?;
    let filling = place.make(&properties)?;
    ready.load(server, filling.name(), &properties.owner, jobs)?;
    let counted = ready.compare(server, filling.name())?;
    Ok(counted.map_or(0, |c| c.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_ones_name_fits() {
        let at: Timestamp = "2026-11-21T03:00:00Z".parse().expect("a time");
        assert_eq!(aside("app", at), "app_before_20261121_030000_000000");
        assert_eq!(aside(&"デ".repeat(21), at).len(), 11 * 3 + 30);
        assert!(aside(&"x".repeat(63), at).len() == 63);
    }
}
