//! The verb `run`: every file in one transaction, proven inside of it, visible with its end or not at all.

pub(crate) mod counts;
pub(crate) mod create;
pub(crate) mod differs;
pub(crate) mod report;
pub(crate) mod undo;

use crate::cli::JsonRunArgs;
use crate::ledger::{self, TableEntry};
use crate::load::copy::{FileLoad, LoadedFile, explain_refusal};
use crate::load::encode::Zones;
use crate::load::order::{TableReference, order_tables, read_references};
use crate::model::answers::apply_answers;
use crate::model::compiled::{compile_file, quote_table};
use crate::model::{FilePlan, FilledTable, MovePlan, OnConflict, Zone};
use crate::plan::file::read_plan;
use crate::proof::compare::{CompareOutcome, FileComparison, JsonDifference};
use crate::proof::rebuild::staged_filter;
use crate::source::stream::RecordFile;
use crate::target;
use migrate::session;
use postgres::Client;
use report::{FileLine, ReportHead, TableLine};
use std::path::{Path, PathBuf};
use toban_core::pg::{ConnInfo, Ident};
use toban_core::{Common, Context, Error, Kind, Out, Result};

/// A run, from the plan to its end.
struct JsonMove<'a> {
    plan: &'a MovePlan,
    folder: &'a Path,
    zones: &'a Zones,
    /// The tree of each moving file, in the plan's order.
    tables: &'a [FilledTable],
    /// The sum that each of them must have.
    sums: &'a [String],
}

/// The verb `run`.
///
/// # Errors
/// Usage for a plan with open questions or that does not fit the files or the target; Retry when files change; Findings for
/// values that do not fit or differ afterwards; Partial when the plan allowed records to be left out.
pub(crate) fn run(args: &JsonRunArgs, common: &Common, out: &mut Out<'_>) -> Result<()> {
    let signer = args.sign.find_signer(&common.config()?, "json-to-pg")?;
    let plan = apply_answers(read_plan(&args.plan)?)?;
    let folder = args.from.clone().unwrap_or_else(|| PathBuf::from(&plan.folder));
    let sums = differs::check_files(&plan, &folder)?;
    let zones = plan_zones(&plan)?;
    let to = ConnInfo::resolve(args.to.as_deref(), "json-to-pg")?;
    let mut client = session::open_lead(&to)?;
    // One run into a database at a time, whatever its files are: all of them are numbered in one ledger, and `undo`
    // takes the last.
    session::lock_schema(&mut client, "json-to-pg", ledger::SCHEMA)?;
    session::check_server(&mut client, &to)?;
    let known = target::read_known(&mut client)?;
    target::check_migrations(&mut client, &plan)?;
    let tables: Vec<FilledTable> =
        plan.moving_files().map(|f| compile_file(f, &known)).collect::<Result<_>>()?;
    target::check_tables(&mut client, &tables, &known)?;
    if args.dry_run.dry_run {
        let files = plan.moving_files().zip(&tables);
        return files.into_iter().try_for_each(|(file, table)| report::emit_planned(file, table, out));
    }
    let moving = JsonMove { plan: &plan, folder: &folder, zones: &zones, tables: &tables, sums: &sums };
    // Begun and ended as one: after kill -9 at any instant there is nothing of it, or all.
    let loaded =
        session::in_transaction(&mut client, || "move the files".into(), |client| moving.move_files(client))?;
    emit_run(&plan, &loaded, out)?;
    if let Some(path) = &args.report {
        let head = ReportHead::new(&to.describe(), &folder);
        report::write_report(path, signer.as_ref(), |report| {
            report.emit(&head)?;
            emit_run(&plan, &loaded, report)
        })
        .doing(|| "keep the report of the run, which is done".into())?;
    }
    refuse_rejects(&plan, &loaded)
}

/// The zones that a plan names.
///
/// # Errors
/// Usage for one that is none.
pub(crate) fn plan_zones(plan: &MovePlan) -> Result<Zones> {
    let zone = |name: &str| match name {
        "" => Ok(Zone::utc()),
        name => Zone::parse_zone(name).map_err(Error::usage),
    };
    Ok(Zones { naive: zone(&plan.zone)?, column: zone(&plan.column_zone)? })
}

fn emit_run(plan: &MovePlan, loaded: &[LoadedFile], out: &mut Out<'_>) -> Result<()> {
    for (file, loaded) in plan.moving_files().zip(loaded) {
        out.emit(&FileLine::of_loaded(file, loaded))?;
        for table in &loaded.tables {
            out.emit(&TableLine::of_loaded(file, table))?;
        }
    }
    Ok(())
}

/// A run that left records out, as its plan allows, is not all there is.
fn refuse_rejects(plan: &MovePlan, loaded: &[LoadedFile]) -> Result<()> {
    let mut rejects = 0;
    for (file, loaded) in plan.moving_files().zip(loaded) {
        for reject in &loaded.rejects {
            log::warn!("{} left out: {reject}", file.name);
        }
        rejects += loaded.rejects.len();
    }
    match rejects {
        0 => Ok(()),
        n => Err(Error::new(
            Kind::Partial,
            format!("records that do not fit and were left out, as the plan allows: {n}"),
        )),
    }
}

impl JsonMove<'_> {
    fn files(&self) -> Vec<(&FilePlan, &FilledTable)> {
        self.plan.moving_files().zip(self.tables).collect()
    }

    fn record_file<'f>(&self, file: &'f FilePlan, path: &'f Path) -> RecordFile<'f> {
        RecordFile { path, name: &file.name, shape: &file.shape }
    }

    /// Loads, proves and writes down; the answer is in the order of the plan's files.
    fn move_files(&self, client: &mut Client) -> Result<Vec<LoadedFile>> {
        let files = self.files();
        create::create_tables(client, self.tables)?;
        let trees: Vec<&FilledTable> = self.tables.iter().collect();
        let mut references = read_references(client)?;
        // Keys that are made at the end count for the order too: undo goes the other way round.
        references.extend(create::planned_references(self.plan));
        let (order, mut late) = order_tables(&trees, &references);
        late.retain(|key| !key.name.is_empty());
        defer_keys(client, &late, Deferral::Begin)?;
        let mut loaded: Vec<LoadedFile> = vec![LoadedFile::default(); files.len()];
        for at in &order {
            let (plan, table) = files[*at];
            let path = self.folder.join(&plan.name);
            let file = self.record_file(plan, &path);
            log::info!("loading {} into {}", plan.name, plan.table);
            loaded[*at] = FileLoad { file, plan, table, zones: self.zones, number: *at }.load_file(client)?;
            // Looked at in one state and loaded in another: what was found out of it is not known to be true.
            if loaded[*at].identity.sha256 != self.sums[*at] {
                return Err(crate::source::file::file_changed(&path));
            }
        }
        // After the rows: an index that is built over all of them costs less than an entry for each, and a foreign
        // key is then checked by one query (manual, "Populating a Database").
        create::add_keys(client, self.plan, self.tables)?;
        // What waits for COMMIT acts now, the application's own deferred keys and triggers too: what is proven after
        // this must be what they leave.
        let waiting = client.batch_execute("set constraints all immediate");
        waiting.map_err(|e| explain_refusal("the files", e))?;
        defer_keys(client, &late, Deferral::End)?;
        target::advance_sequences(client, self.tables)?;
        // Last, and still inside: what is compared are the rows as keys, defaults and triggers have left them, and an
        // error takes all of it back before anybody has seen it.
        for (at, (plan, table)) in files.iter().enumerate() {
            self.prove_file(client, plan, table, &loaded[at])?;
        }
        let mut entries: Vec<TableEntry<'_>> = Vec::new();
        for at in &order {
            let (_, table) = files[*at];
            for row in &loaded[*at].tables {
                entries.push(TableEntry {
                    relation: &row.name,
                    made: is_made(table, &row.name),
                    rows: row.inserted + row.updated,
                    old_rows: row.old_rows.as_deref(),
                    key: key_of(table, &row.name),
                });
            }
        }
        entries.retain(|entry| entry.made || entry.rows > 0);
        // A run that changed nothing leaves nothing: the one before it stays the last.
        if !entries.is_empty() {
            ledger::write_run(client, self.plan, &entries)?;
        }
        Ok(loaded)
    }

    /// Rebuilds the file's records from PostgreSQL and compares them, then counts by other means.
    fn prove_file(
        &self,
        client: &mut Client,
        plan: &FilePlan,
        table: &FilledTable,
        loaded: &LoadedFile,
    ) -> Result<()> {
        let path = self.folder.join(&plan.name);
        let main = loaded.tables.first();
        let filter =
            main.and_then(|t| t.stage.as_ref()).map_or(String::new(), |stage| staged_filter(table, stage));
        // As the rows have it in xmin: the lower 32 bits of what pg_current_xact_id() gives (manual, "Transactions
        // and Identifiers").
        let transaction: String = client
            .query_one("select pg_current_xact_id()::xid::text", &[])
            .doing(|| "ask for the transaction".into())?
            .get(0);
        let comparison = FileComparison {
            file: self.record_file(plan, &path),
            plan,
            table,
            zones: self.zones,
            filter: &filter,
            transaction: &transaction,
        };
        let outcome = comparison.compare_sides(client)?;
        if outcome.identity.sha256 != loaded.identity.sha256 {
            return Err(crate::source::file::file_changed(&path));
        }
        let kept = main.map_or(&[][..], |t| t.kept.as_slice());
        refuse_differences(plan, &outcome, kept)?;
        counts::check_counts(client, &comparison, loaded)
    }
}

/// Nothing that differs becomes visible, but for rows that the plan keeps.
fn refuse_differences(plan: &FilePlan, outcome: &CompareOutcome, kept: &[String]) -> Result<()> {
    let keeps = plan.on_conflict == OnConflict::KeepDatabase;
    let counts = outcome.differences.iter().filter(|d| !(keeps && kept.contains(&d.row)));
    let named: Vec<String> = counts.map(JsonDifference::describe).collect();
    if named.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{}: the file and what PostgreSQL holds differ ({} times), and nothing was kept: {}",
        plan.name,
        named.len(),
        named.iter().take(5).cloned().collect::<Vec<_>>().join("; ")
    );
    Err(Error::new(Kind::Findings, message)
        .hint("does a trigger, a rule or a cast of the table change values? The plan may have to say so"))
}

fn is_made(table: &FilledTable, name: &str) -> bool {
    (table.name == name && table.create) || table.children.iter().any(|c| is_made(&c.table, name))
}

fn key_of<'t>(table: &'t FilledTable, name: &str) -> Vec<&'t str> {
    if table.name == name {
        return table.key.iter().map(|at| table.columns[*at].name.as_str()).collect();
    }
    if let Some(link) = table.links.iter().find(|l| l.table == name) {
        return vec![&link.own, &link.other];
    }
    table.children.iter().map(|c| key_of(&c.table, name)).find(|key| !key.is_empty()).unwrap_or_default()
}

/// Whether keys of a circle of tables begin to wait, or no longer wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deferral {
    Begin,
    End,
}

/// Lets the foreign keys of a circle wait, or no longer wait once they were checked: ALTER TABLE refuses a table with
/// pending trigger events (CheckTableNotInUse() of tablecmds.c). DDL is transactional: no other session sees it.
fn defer_keys(client: &mut Client, late: &[TableReference], deferral: Deferral) -> Result<()> {
    let doing = || "defer the foreign keys".to_string();
    // SET CONSTRAINTS leaves a key alone that is NOT DEFERRABLE (manual, "SET CONSTRAINTS"): it is altered, and is
    // again what its owner made it before the transaction ends.
    for key in late.iter().filter(|key| !key.deferrable) {
        let how =
            if deferral == Deferral::Begin { "deferrable initially deferred" } else { "not deferrable" };
        let sql = format!(
            "alter table {} alter constraint {} {how}",
            quote_table(&key.from),
            Ident::new(&*key.name)
        );
        client.batch_execute(&sql).doing(doing)?;
    }
    if deferral == Deferral::Begin && !late.is_empty() {
        client.batch_execute("set constraints all deferred").doing(doing)?;
    }
    Ok(())
}
