//! `rescue`: rows, tables or a database as they were at a moment, brought back beside the live ones.
//!
//! Ask the live server → plan → restore what is wanted into a folder of our own → a private server waits at the moment →
//! copy → compare → put back where that was asked for → clear away.

mod compare;
mod database;
mod find;
mod live;
mod moment;
mod order;
mod put_back;
mod shell;
mod step;
mod structure;
mod tables;

use crate::cli;
use crate::restore::PartialRestore;
use live::LiveServer;
use moment::Moment;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;
use tables::TableName;
use toban_core::config::Config;
use toban_core::private_server::{Purpose, Scratch, find_server_user};
use toban_core::{DryRun, Error, Kind, Out, Record, Result, out};

/// What the private server is for.
const PURPOSE: Purpose = Purpose {
    tool: "pg-backup",
    what: "rescue",
    variable: "TOBAN_RESCUE_DIR",
    mark: "pg-backup-rescue-clears-this",
};

/// What will be done; printed before anything is written.
#[derive(Serialize)]
struct RescuePlan {
    database: String,
    brings_back: String,
    into: String,
    replace: bool,
    /// Bytes that are restored into the folder.
    bytes: u64,
    /// Databases that become zeros there.
    left_out: usize,
    work_dir: String,
}

impl Record for RescuePlan {
    const SCHEMA: &'static str = "pg-backup.rescue-plan/1";
    const HEAD: &'static [&'static str] =
        &["rescue from", "brings back", "into", "replace", "restores", "leaves out", "works in"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.database.clone(),
            self.brings_back.clone(),
            self.into.clone(),
            if self.replace { "yes" } else { "no" }.into(),
            out::bytes(self.bytes),
            format!("{} databases", self.left_out),
            self.work_dir.clone(),
        ]
    }
}

/// What a run works with.
struct Rescue<'a> {
    args: &'a cli::Rescue,
    config: &'a Config,
    live: LiveServer,
    /// Tables that were named.
    tables: Vec<TableName>,
    begun: Instant,
}

/// Runs the verb.
pub(crate) fn run(args: &cli::Rescue, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let work = PURPOSE.choose_work_dir(args.work_dir.clone(), &args.repos.cluster, &args.user)?;
    let moment = step::find_moment(&args.moment, &work)?;
    let live = LiveServer::connect(args, config)?;
    let tables = live.parse_names(args)?;
    // --find brings nothing.
    live.refuse_taken(args, if args.find.is_some() { &[] } else { &tables })?;
    let rescue = Rescue { args, config, live, tables, begun: Instant::now() };
    if args.dry.dry_run {
        // A folder that a killed run left is not cleared by a dry run, and is not what would be restored into.
        let restore = rescue.plan_restore(&moment, &work.join("planned"))?;
        out.emit(restore.reachable())?;
        return out.emit(&rescue.describe(&restore, &work));
    }
    let user = find_server_user(&args.user)?;
    // Before anything else: it ends and clears what a run left that was killed.
    let scratch = Scratch::open(&PURPOSE, &work, user.as_ref(), false)?;
    let restore = rescue.plan_restore(&moment, &scratch.dir)?;
    out.emit(restore.reachable())?;
    out.emit(&rescue.describe(&restore, &work))?;
    out.flush()?;
    // Before what may fail: where the database was not there yet, or is gone, a step is what helps.
    step::remember_moment(&moment, &work)?;
    let moved = restore.restore_files()?;
    let runner = scratch.runner(user.as_ref(), rescue.begun + args.timeout.0);
    let mut at = Moment::open(&scratch, &runner, &rescue.live, &restore).map_err(as_failure)?;
    let done = match &args.find {
        Some(search) => find::find_transactions(&rescue, &restore, &at, search)
            .and_then(|found| found.iter().try_for_each(|transaction| out.emit(transaction))),
        None if args.shell => shell::open_shell(&at),
        None if args.schema.is_none() && rescue.tables.is_empty() => database::bring_back(&rescue, &at, out),
        None => tables::bring_back(&rescue, &mut at, moved.read, out),
    };
    // The reason why the server ended says more than the error of its session.
    at.check_running().and(done).map_err(as_failure)
}

/// What is wrong with what was restored is a failure of this verb, and no finding of a check.
fn as_failure(e: Error) -> Error {
    if e.kind() == Kind::Findings { e.kind_as(Kind::Failed) } else { e }
}

impl Rescue<'_> {
    /// The restore of the wanted database into `folder`.
    fn plan_restore(&self, moment: &cli::MomentArgs, folder: &Path) -> Result<PartialRestore> {
        let restore = cli::Restore {
            id: crate::format::catalog::LATEST.into(),
            pgdata: folder.join("data"),
            delta: false,
            tablespace_mapping: Vec::new(),
            tablespace_dir: Some(folder.join("tablespaces")),
            config_dir: None,
            keep_archiving: false,
            jobs: self.args.jobs,
            repos: self.args.repos.clone(),
            identity: self.args.identity.clone(),
            dry: DryRun { dry_run: self.args.dry.dry_run },
            to: moment.to_recovery_target(),
        };
        PartialRestore::plan(restore, self.config, |databases| self.live.choose_left_out(databases))
    }

    fn describe(&self, restore: &PartialRestore, work: &Path) -> RescuePlan {
        let args = self.args;
        let names = || self.tables.iter().map(TableName::to_string).collect::<Vec<_>>().join(", ");
        let (brings_back, into) = match (&args.find, &args.schema) {
            (Some(_), _) => ("nothing: it looks for transactions".into(), "-".into()),
            (None, _) if args.shell => ("nothing: it opens psql".into(), "-".into()),
            (None, Some(schema)) => (format!("schema {schema}"), format!("schema {}", args.into_schema)),
            (None, None) if self.tables.is_empty() => ("the database".into(), database::target_name(self)),
            (None, None) => (names(), format!("schema {}", args.into_schema)),
        };
        RescuePlan {
            database: self.live.database.clone(),
            brings_back,
            into,
            replace: args.replace,
            bytes: restore.wanted_bytes(),
            left_out: restore.left_out().len(),
            work_dir: work.display().to_string(),
        }
    }
}
