//! Fills the schema where the copy is prepared: tables, rows, indexes, keys, defaults, checks, views.

use super::Migration;
use crate::load::copy::Load;
use crate::model::{ForeignKey, Mode, Object, ObjectKind, Outcome, Plan, Table};
use crate::plan::replan::{Obstacle, replan};
use crate::source::quote_name;
use crate::target::expressions::{BothSides, DISAGREE};
use crate::target::foreign_keys::{self, Orphans};
use crate::target::{casts, checks, create, indexes, place};
use migrate::session;
use migrate::sql::qualified_name;
use postgres::Client;
use std::time::Instant;
use toban_core::{Context, Kind, Result, shutdown};

const TOO_WIDE: &str = "a row of it is too wide: PostgreSQL's rows fit into a page of 8 kB, long texts apart";

impl Migration<'_> {
    /// All of it. The answer is the plan that was carried out: the planned one, made anew where the target did not take it,
    /// with every outcome.
    pub(super) fn prepare_copy(&mut self) -> Result<Plan> {
        if self.plan.mode == Mode::Existing {
            return self.stage_rows();
        }
        let mut clients = std::mem::take(&mut self.clients);
        if clients.is_empty() {
            clients = session::open_sessions(self.to, self.snapshot.readers().len())?;
        }
        let plan = self.create_tables(self.plan)?;
        let plan = self.copy_rows(plan, &mut clients)?;
        let plan = self.replace_differing_columns(plan, &mut clients)?;
        // Indexes are built by as many sessions as were asked for, however few may read.
        if clients.len() < self.jobs && clients.len() >= self.snapshot.readers().len() {
            clients.extend(session::open_sessions(self.to, self.jobs - clients.len())?);
        }
        // After the rows: an index that is built at once is sorted, and COPY into a table without any is several times as fast.
        self.build_indexes(&plan, &mut clients)?;
        self.add_foreign_keys(&plan, &mut clients)?;
        let began = Instant::now();
        self.ledger.note_all(checks::add_checks(self.snapshot.readers(), &mut clients, &plan, self.stage)?);
        self.summary.end_phase("checks", began);
        self.add_expressions(&plan)?;
        Ok(self.ledger.carried_out(&plan))
    }

    /// The tables of the application get their rows from here later: no key, no constraint, and text where the type is
    /// one that only the server can read.
    fn stage_rows(&mut self) -> Result<Plan> {
        let staged = self.plan.staged();
        create::create_tables(&mut self.control, &staged, self.stage)?;
        let mut clients = session::open_sessions(self.to, self.snapshot.readers().len())?;
        let began = Instant::now();
        self.load_tables(&staged, &mut clients, self.quiet)?;
        self.summary.end_phase("copy", began);
        casts::check_casts(&mut self.control, self.plan, &staged, self.stage)?;
        Ok(self.plan.clone())
    }

    fn create_tables(&mut self, plan: &Plan) -> Result<Plan> {
        let mut plan = plan.clone();
        let left = self.left_to_load(&plan);
        for refused in create::create_tables(&mut self.control, &left, self.stage)? {
            plan = self.without_generated(&plan, &[(refused.table, refused.column)], &refused.why);
        }
        Ok(plan)
    }

    /// The plan with these columns as plain ones, and a note of it.
    fn without_generated(&mut self, plan: &Plan, columns: &[(String, String)], why: &str) -> Plan {
        for (table, column) in columns {
            let why = format!("a plain column with its values: {why}");
            self.ledger.note(Object::skipped(ObjectKind::GeneratedColumn, &format!("{table}.{column}"), why));
        }
        replan(plan, &Obstacle::Generated(columns))
    }

    /// The plan without the tables that are there with all their rows.
    fn left_to_load(&self, plan: &Plan) -> Plan {
        let mut left = plan.clone();
        left.tables.retain(|t| !self.loaded.contains_key(&t.source));
        left
    }

    fn load_tables(&mut self, plan: &Plan, clients: &mut [Client], quiet: bool) -> Result<()> {
        let load = Load { plan, schema: self.stage, rejects: self.rejects, quiet };
        let loaded = load.copy_tables(self.snapshot, clients)?;
        self.summary.loaded.extend(plan.tables.iter().map(|t| t.source.clone()).zip(loaded));
        Ok(())
    }

    fn copy_rows(&mut self, mut plan: Plan, clients: &mut [Client]) -> Result<Plan> {
        let began = Instant::now();
        self.summary.loaded.extend(self.loaded.iter().map(|(name, loaded)| (name.clone(), *loaded)));
        if let Err(e) = self.load_tables(&self.left_to_load(&plan), clients, self.quiet) {
            let generated = generated_columns(&plan);
            if e.kind() != Kind::Failed || generated.is_empty() {
                return Err(e);
            }
            // It may be the expression of such a column that failed on a value: everything once more without them.
            // What the first try put on the list comes again with the second.
            self.rejects.clear()?;
            self.loaded.clear();
            create::begin_stage(&mut self.control, self.stage)?;
            plan = self.without_generated(&plan, &generated, &e.chain());
            create::create_tables(&mut self.control, &plan, self.stage)?;
            self.load_tables(&plan, clients, self.quiet)?;
        }
        let loaded = &self.summary.loaded;
        let is_wide = |t: &&Table| loaded.get(&t.source).is_some_and(|l| l.too_wide);
        let wide: Vec<Table> = plan.tables.iter().filter(is_wide).cloned().collect();
        // A table of which PostgreSQL does not take a row does not keep the others away.
        for table in wide {
            let drop = format!("drop table {}", qualified_name(self.stage, &table.target));
            self.control.batch_execute(&drop).doing(|| format!("leave {} out", table.source))?;
            self.summary.loaded.remove(&table.source);
            self.ledger.note(Object::skipped(ObjectKind::Table, &table.source, TOO_WIDE));
            plan = replan(&plan, &Obstacle::RowTooWide(&table.source));
        }
        self.summary.end_phase("copy", began);
        Ok(plan)
    }

    /// Generated columns on whose values the two sides disagree become plain ones, and their tables are filled again.
    fn replace_differing_columns(&mut self, plan: Plan, clients: &mut [Client]) -> Result<Plan> {
        let (db, stage) = (self.snapshot.first_reader(), self.stage);
        let differing = BothSides { db, client: &mut clients[0], stage }.differing_columns(&plan)?;
        let plan = self.without_generated(&plan, &differing, DISAGREE);
        let tables = plan.tables.iter().filter(|t| differing.iter().any(|(table, _)| *table == t.source));
        for table in tables {
            let drop = format!("drop table {}", qualified_name(stage, &table.target));
            clients[0].batch_execute(&drop).doing(|| format!("make {} anew", table.source))?;
            // Only this table, with its rows: the others are loaded already.
            let one = Plan { tables: vec![table.clone()], objects: Vec::new(), ..plan.clone() };
            create::create_tables(&mut clients[0], &one, stage)?;
            self.load_tables(&one, clients, true)?;
        }
        Ok(plan)
    }

    fn build_indexes(&mut self, plan: &Plan, clients: &mut [Client]) -> Result<()> {
        shutdown::check()?;
        let began = Instant::now();
        self.ledger.note_all(indexes::build_indexes(clients, plan, self.stage)?);
        self.summary.end_phase("indexes", began);
        Ok(())
    }

    fn add_foreign_keys(&mut self, plan: &Plan, clients: &mut [Client]) -> Result<()> {
        let began = Instant::now();
        let results = foreign_keys::add_foreign_keys(clients, plan, self.stage)?;
        for orphans in &results.orphans {
            let why = self.describe_orphans(plan, orphans);
            let key = Object::skipped(ObjectKind::ForeignKey, &orphans.name, why);
            self.ledger.note(Object { outcome: Outcome::NotValid, ..key });
        }
        self.ledger.note_all(results.refused);
        self.summary.end_phase("foreign keys, statistics", began);
        Ok(())
    }

    /// How many rows are without a parent, where that comes from, and the first of them.
    fn describe_orphans(&self, plan: &Plan, orphans: &Orphans) -> String {
        let more = if orphans.count > 10 { " …" } else { "" };
        let rows = format!("{}{more}", orphans.first.join("; "));
        let mut keys = plan.tables.iter().flat_map(|t| t.foreign_keys.iter().map(move |k| (t, k)));
        let found = keys.find(|(t, k)| foreign_keys::key_name(t, k) == orphans.name);
        let parent = found.and_then(|(_, key)| plan.tables.iter().find(|t| t.target == key.parent));
        let in_source: Option<i64> = found.zip(parent).and_then(|((child, key), parent)| {
            let sql = orphans_in_source(child, key, parent)?;
            self.snapshot.first_reader().query_row(&sql, [], |r| r.get(0)).ok()
        });
        match in_source {
            // Fewer than in the target: either the parents were rejected, or the two compare keys by different
            // collations.
            Some(n) if n < orphans.count => {
                let rejected = parent.is_some_and(|p| self.rejects.count_by_table().contains_key(&p.source));
                let why = if rejected {
                    "the parents of the others are among the rejects"
                } else {
                    "PostgreSQL compares the others otherwise"
                };
                format!("{} rows without a parent, {n} of them in the source, {why}: {rows}", orphans.count)
            }
            _ => format!("{} orphans in the source: {rows}", orphans.count),
        }
    }

    /// What is an expression, and is compared on both sides: partial indexes, defaults, views; and what numbers the rows.
    fn add_expressions(&mut self, plan: &Plan) -> Result<()> {
        let began = Instant::now();
        let mut sides =
            BothSides { db: self.snapshot.first_reader(), client: &mut self.control, stage: self.stage };
        // Defaults last of what tables have: COPY named every column, so none was used, and views may be defined on
        // all of it.
        self.ledger.note_all(sides.compare_indexes(plan)?);
        self.ledger.note_all(create::set_defaults(sides.client, plan, self.stage)?);
        create::set_sequences(sides.client, plan, self.stage)?;
        self.ledger.note_all(place::create_views(sides.client, plan, self.stage)?);
        let mut views = self.ledger.carried_out(plan).objects;
        views.retain(Object::is_made_view);
        self.ledger.note_all(sides.compare_views(&views)?);
        self.summary.end_phase("defaults, views", began);
        Ok(())
    }
}

fn generated_columns(plan: &Plan) -> Vec<(String, String)> {
    let of = |table: &Table| -> Vec<(String, String)> {
        let generated = table.columns.iter().filter(|c| c.generated.is_some());
        generated.map(|c| (table.source.clone(), c.source.clone())).collect()
    };
    plan.tables.iter().flat_map(of).collect()
}

/// A query for the number of rows of the source without a parent there; none where its columns are not known.
fn orphans_in_source(child: &Table, key: &ForeignKey, parent: &Table) -> Option<String> {
    let of = |table: &Table, target: &String| {
        table.columns.iter().find(|c| c.target == *target).map(|c| quote_name(&c.source))
    };
    let columns = key.columns.iter().map(|c| of(child, c)).collect::<Option<Vec<_>>>()?;
    let parents = key.parent_columns.iter().map(|p| of(parent, p)).collect::<Option<Vec<_>>>()?;
    let from = foreign_keys::orphans_sql(
        &quote_name(&child.source),
        &columns,
        &quote_name(&parent.source),
        &parents,
    );
    Some(format!("select count(*) {from}"))
}
