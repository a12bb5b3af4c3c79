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
use crate::format::dump::{DumpForm, SAFETY, StoredDump, unlock_dump};
use crate::server::Server;
use crate::{cli, machine};
use jiff::Timestamp;
use serde::Serialize;
use source::DumpSource;
use std::time::Instant;
use swap::{Activity, TargetDatabase};
use toban_core::config::Config;
use toban_core::repo::Repos;
use toban_core::run;
use toban_core::{Error, Out, Record, Result};

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::RestoreDump, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = open_repos(args, config)?;
    let source = DumpSource::find_dump(args, config, &repos)?;
    if args.dry.dry_run {
        let (server, maintenance) = connect_server(args, config)?;
        let mut place = TargetDatabase::take_lock(&server, &maintenance, target_name(args))?;
        let plan = RestoreDumpPlan::choose_action(args, &source, &mut place, &server)?;
        let replication = replication::read_replication(place.admin(), &plan.database)?;
        replication.check_role(place.admin())?;
        replication.warn_before(&plan.database);
        return out.emit(&plan);
    }
    run::job(config, "pg-backup", "restore-dump", &args.repos.cluster, |report| {
        let restored = restore_dump(args, config, &repos, &source)?;
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
    args.repos.open_to_read(config, &args.identity).map_err(|e| match foreign {
        true => {
            e.hint("the safety dump needs one: --repo, or --no-safety-dump to keep the old database instead")
        }
        false => e,
    })
}

fn target_name(args: &cli::RestoreDump) -> &str {
    args.into.as_deref().or(args.replace.as_deref()).unwrap_or_default()
}

/// The server, and a database of it to work from that is not the target.
fn connect_server(args: &cli::RestoreDump, config: &Config) -> Result<(Server, String)> {
    database::check_name(target_name(args))?;
    let section = config.cluster.get(&args.repos.cluster);
    let preferred = ["postgres", "template1"].into_iter().filter(|name| *name != target_name(args));
    let mut last = None;
    for name in preferred {
        match Server::reach_in(&args.server, section, name) {
            Ok((server, _)) => return Ok((server, name.to_string())),
            Err(e) => last = last.or(Some(e)),
        }
    }
    Err(last.expect("at least one was tried"))
}

/// What becomes of the database that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum TargetChange {
    Create,
    /// It is there, and empty.
    Fill,
    Replace,
}

impl std::fmt::Display for TargetChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TargetChange::Create => "create",
            TargetChange::Fill => "fill",
            TargetChange::Replace => "replace",
        })
    }
}

/// What will be done; `--dry-run` prints it.
#[derive(Serialize)]
struct RestoreDumpPlan {
    source: String,
    database: String,
    action: TargetChange,
    owner: String,
    encoding: String,
    safety_dump: bool,
    #[serde(skip)]
    properties: Properties,
}

impl Record for RestoreDumpPlan {
    const SCHEMA: &'static str = "pg-backup.restore-dump-plan/1";
    const HEAD: &'static [&'static str] =
        &["would restore", "into", "action", "owner", "encoding", "safety dump"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.source.clone(),
            self.database.clone(),
            self.action.to_string(),
            self.owner.clone(),
            self.encoding.clone(),
            if self.safety_dump { "yes" } else { "no" }.into(),
        ]
    }
}

impl RestoreDumpPlan {
    fn choose_action(
        args: &cli::RestoreDump,
        source: &DumpSource,
        place: &mut TargetDatabase<'_>,
        server: &Server,
    ) -> Result<RestoreDumpPlan> {
        let target = target_name(args);
        let live = swap::read_properties(place, target)?;
        let template = swap::read_properties(place, "template0")?
            .ok_or_else(|| Error::failed("template0 is missing"))?;
        if matches!(target, "template0" | "template1") {
            return Err(Error::usage(format!("{target} is a template; nothing is restored into it")));
        }
        let action = match (&live, args.replace.is_some()) {
            (Some(_), true) => TargetChange::Replace,
            (Some(_), false) if swap::is_empty(server, target)? => TargetChange::Fill,
            (Some(_), false) => return Err(occupied_error(target)),
            (None, true) if source.manifest().is_none_or(|m| m.database.name != target) => {
                let e = Error::usage(format!("there is no database {target:?} to replace"));
                return Err(e.hint(format!("--into {target} makes it")));
            }
            (None, _) => TargetChange::Create,
        };
        let dumped = source.manifest().map(|m| Properties { name: target.into(), ..m.database.clone() });
        let plain = || Properties::with_defaults(target, server.conn.user(), &template);
        let properties = live.or(dumped).unwrap_or_else(plain);
        Ok(RestoreDumpPlan {
            source: source.name.clone(),
            database: target.into(),
            action,
            owner: properties.owner.clone(),
            encoding: properties.encoding.clone(),
            safety_dump: action == TargetChange::Replace && !args.no_safety_dump,
            properties,
        })
    }
}

fn occupied_error(target: &str) -> Error {
    let e = Error::failed(format!("database {target:?} exists and is not empty"));
    e.hint("--into a name that is free, or --replace to put the dump in its place")
}

/// What was done.
#[derive(Serialize)]
struct RestoredDump {
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

impl Record for RestoredDump {
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

fn restore_dump(
    args: &cli::RestoreDump,
    config: &Config,
    repos: &Repos,
    source: &DumpSource,
) -> Result<RestoredDump> {
    let begun = Instant::now();
    let (server, maintenance) = connect_server(args, config)?;
    let mut place = TargetDatabase::take_lock(&server, &maintenance, target_name(args))?;
    let plan = RestoreDumpPlan::choose_action(args, source, &mut place, &server)?;
    let ready = load::check_dump(source, &server)?;
    if args.globals {
        create_roles(source, &server, &mut place)?;
    }
    globals::require_roles(place.admin(), &plan.properties)?;
    replication::read_replication(place.admin(), &plan.database)?.check_role(place.admin())?;
    // Before the safety dump begins: what is written from here on makes the counters differ, and the old database stays.
    let before = if plan.action == TargetChange::Replace {
        swap::read_activity(&server, &plan.database)?
    } else {
        None
    };
    let safety = if plan.safety_dump { Some(safety_dump(&server, args, &plan, repos)?) } else { None };

    // Under a name of ours, which no application connects to: nothing of the target changes until the swap.
    let mut filling = place.make_filling(&plan.properties)?;
    ready.load_into(&server, filling.name(), &plan.properties.owner, machine::worker_count(args.jobs))?;
    let counted = ready.compare_rows(&server, filling.name())?;
    if args.into.is_some() {
        detach_copy(&server, &mut place, filling.name())?;
    }
    let kept = match plan.action {
        TargetChange::Create => {
            place.swap_names(&mut filling, &plan.properties, None)?;
            place.set_labels(&plan.properties);
            tell_of_lost(&plan, &ready);
            None
        }
        TargetChange::Fill | TargetChange::Replace => {
            let exchange = Exchange { args, plan: &plan, untouched: before.filter(|_| safety.is_some()) };
            exchange.exchange_databases(&mut place, &mut filling)?
        }
    };
    Ok(RestoredDump {
        source: source.name.clone(),
        database: plan.database,
        tables: counted.as_ref().map(|c| c.len() as u64),
        rows: counted.map(|c| c.iter().map(|c| c.rows.unsigned_abs()).sum()),
        seconds: begun.elapsed().as_secs_f64(),
        safety_dump: safety,
        kept,
    })
}

fn detach_copy(server: &Server, place: &mut TargetDatabase<'_>, database: &str) -> Result<()> {
    let target = place.target.clone();
    for name in replication::detach_subscriptions(server, place.admin(), database)? {
        log::warn!(
            "subscription {name} of {target} is disabled and has no slot: it is a copy, and the original needs that slot"
        );
    }
    Ok(())
}

/// What a new database does not get, though the one that was dumped had it.
fn tell_of_lost(plan: &RestoreDumpPlan, ready: &load::CheckedDump<'_>) {
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

fn create_roles(source: &DumpSource, server: &Server, place: &mut TargetDatabase<'_>) -> Result<()> {
    let none = || Error::usage(format!("no roles went with {}", source.name)).hint("leave --globals out");
    let sql = source.read_globals()?.ok_or_else(none)?;
    let maintenance = place.maintenance.clone();
    let made = globals::create_missing(server, place.admin(), &maintenance, &sql)?;
    made.iter().for_each(|role| log::info!("created role {role}"));
    Ok(())
}

/// The present state goes to every repository before anything of it is touched.
fn safety_dump(
    server: &Server,
    args: &cli::RestoreDump,
    plan: &RestoreDumpPlan,
    repos: &Repos,
) -> Result<String> {
    let job = DumpJob {
        server,
        cluster: &args.repos.cluster,
        form: DumpForm::Custom,
        level: 1,
        label: Some(SAFETY),
        globals: None,
    };
    let copies = job.dump_database(&plan.database, repos)?;
    copies.stored.settle()?.warn_of_lacking("the safety dump");
    let manifest = copies.made.ok_or_else(|| Error::failed("no repository has the safety dump"))?;
    Ok(manifest.id.to_string())
}

/// The database that is there and the new one change places.
struct Exchange<'a> {
    args: &'a cli::RestoreDump,
    plan: &'a RestoreDumpPlan,
    /// Activity of the old database before its safety dump began; none without such a dump.
    untouched: Option<Activity>,
}

impl Exchange<'_> {
    /// Swaps old and new, then drops the old database if the safety dump is all of it; else its new name.
    fn exchange_databases(
        &self,
        place: &mut TargetDatabase<'_>,
        filling: &mut swap::Filling<'_>,
    ) -> Result<Option<String>> {
        let (args, plan) = (self.args, self.plan);
        let aside = aside_name(&plan.database, Timestamp::now());
        // Settings and grants as they are now, not as they were before the load.
        let properties =
            swap::read_properties(place, &plan.database)?.unwrap_or_else(|| plan.properties.clone());
        let replication = replication::read_replication(place.admin(), &plan.database)?;
        place.swap_names(filling, &properties, Some(&aside))?;
        place.set_labels(&properties);
        replication.warn_after(&plan.database, &aside);
        // A slot goes with its database without a word, and a subscription is worth more than the space.
        if args.keep_old || !replication.is_none() {
            return Ok(Some(aside));
        }
        // The new database is in service: whatever happens to the old one from here on, the restore is done.
        match self.drop_if_saved(place, &aside) {
            Ok(true) => return Ok(None),
            Ok(false) if args.no_safety_dump => {}
            Ok(false) => log::warn!(
                "{} may have been written to after its safety dump began: it is kept as {aside}",
                plan.database
            ),
            Err(e) => {
                log::warn!(
                    "{} is restored; the old database is kept as {aside}: {}",
                    plan.database,
                    e.chain()
                );
            }
        }
        Ok(Some(aside))
    }

    /// Drops the old database where all of it is proven to be in the safety dump; whether it did.
    fn drop_if_saved(&self, place: &mut TargetDatabase<'_>, aside: &str) -> Result<bool> {
        let disposable = match self.plan.action {
            TargetChange::Fill => swap::is_empty(place.server, aside)?,
            _ => self.untouched.is_some() && swap::read_activity(place.server, aside)? == self.untouched,
        };
        if disposable {
            place.drop(aside)?;
        }
        Ok(disposable)
    }
}

/// `app_before_20261121_030000_000042` (UTC, to the microsecond), within PostgreSQL's 63 bytes.
fn aside_name(database: &str, at: Timestamp) -> String {
    let suffix = format!("{}_{:06}", at.strftime("_before_%Y%m%d_%H%M%S"), at.subsec_microsecond());
    let mut end = database.len().min(63 - suffix.len());
    while !database.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &database[..end])
}

/// Restores `stored` into a scratch database of `server`, compares its rows with those counted when it was dumped,
/// and drops it; how many tables were compared.
pub(crate) fn test_restore(server: &Server, maintenance: &str, stored: StoredDump, jobs: u32) -> Result<u64> {
    let stored = unlock_dump(stored)?;
    let properties = stored.manifest.database.clone();
    let source = DumpSource::of_ours(stored)?;
    let mut place =
        TargetDatabase::take_lock(server, maintenance, &format!("toban_verify {}", properties.name))?;
    let ready = load::check_dump(&source, server)?;
    globals::require_roles(place.admin(), &properties)?;
    let filling = place.make_filling(&properties)?;
    ready.load_into(server, filling.name(), &properties.owner, jobs)?;
    let counted = ready.compare_rows(server, filling.name())?;
    Ok(counted.map_or(0, |c| c.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_ones_name_fits() {
        let at: Timestamp = "2026-11-21T03:00:00Z".parse().expect("a time");
        assert_eq!(aside_name("app", at), "app_before_20261121_030000_000000");
        assert_eq!(aside_name(&"デ".repeat(21), at).len(), 11 * 3 + 30);
        assert!(aside_name(&"x".repeat(63), at).len() == 63);
    }
}
