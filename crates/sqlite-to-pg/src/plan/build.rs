//! Makes the plan of a file: schema, one scan, a verdict for each column, a fate for each object.

use super::casts::Casts;
use super::chosen::Selection;
use super::{expressions, foreign, keys};
use crate::cli::{OnOrphan, Rules};
use crate::model::names::{self, Naming};
use crate::model::{
    Column, Conversion, FORMAT, Mode, Object, ObjectKind, Outcome, Plan, Policy, SourceFile, Table,
};
use crate::profile::infer::{self, Inferred};
use crate::profile::scan::{self, TableStats};
use crate::profile::stats::{ColumnStats, Mismatch};
use crate::profile::{declared_type, epoch};
use crate::source::Snapshot;
use crate::source::catalog::{self, Catalog, RawColumn, RawTable};
use crate::source::damage::Remarks;
use std::collections::BTreeSet;
use toban_core::{Context, Result};

/// PostgreSQL's limits.
const COLUMNS: usize = 1600;
const FIELD: u64 = (1 << 30) - 64;

/// Why what SQLite itself does not understand is left out.
pub(crate) const DAMAGED: &str = "SQLite cannot read it: its statement in the schema is damaged";

/// What a line of SQLite's integrity_check means that tells of no damage.
const REMARK: &str = "SQLite's integrity_check says so; the value is copied as it is";

/// A plan, and what it was made from.
pub(crate) struct Built {
    pub(crate) plan: Plan,
    pub(crate) mismatches: Vec<MismatchedValues>,
    /// Columns that a person should look at: table and column.
    pub(crate) notable: BTreeSet<(String, String)>,
    /// What each column of each table holds, in the plan's order.
    pub(crate) stats: Vec<Vec<ColumnStats>>,
}

/// Values that are not kept as the declared type has them.
#[derive(Clone, Debug)]
pub(crate) struct MismatchedValues {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) what: &'static str,
    pub(crate) count: u64,
    pub(crate) keys: Vec<String>,
}

/// What is decided while a plan is made, beside its tables.
pub(crate) struct Decisions<'a> {
    pub(crate) naming: &'a Naming,
    /// Names of the target's schema that are in use.
    pub(crate) taken: BTreeSet<String>,
    pub(crate) objects: Vec<Object>,
}

/// Everything that building one table needs.
pub(crate) struct Draft<'a> {
    pub(crate) raw: &'a RawTable,
    pub(crate) stats: &'a [ColumnStats],
    pub(crate) table: Table,
}

/// Reads the schema and every value once, and decides.
///
/// # Errors
/// Those of SQLite; Usage for rules that fit nothing or names that collide; Failed for what PostgreSQL cannot hold.
pub(crate) fn build_plan(snapshot: &mut Snapshot, rules: &Rules, quiet: bool) -> Result<Built> {
    let survey = SchemaSurvey::read_schema(snapshot, rules)?;
    let counted = scan::scan_tables(snapshot, survey.tables(), quiet)?;
    survey.decide(rules, counted)
}

/// What a plan is made from, beside the values: the schema, as far as it moves.
pub(crate) struct SchemaSurvey {
    source: SourceFile,
    catalog: Catalog,
    chosen: Selection,
    naming: Naming,
    objects: Vec<Object>,
}

impl SchemaSurvey {
    /// Reads the schema.
    ///
    /// # Errors
    /// Those of SQLite; Usage for rules that fit nothing.
    pub(crate) fn read_schema(snapshot: &Snapshot, rules: &Rules) -> Result<SchemaSurvey> {
        let source = source_file(snapshot)?;
        let mut catalog = catalog::read_catalog(snapshot.first_reader())?;
        let mut objects = Vec::new();
        let chosen = Selection::from_rules(&catalog, rules)?;
        chosen.apply_to(&mut catalog, &mut objects)?;
        objects.extend(catalog.lost.drain(..).map(|name| Object::skipped(ObjectKind::Table, &name, DAMAGED)));
        let plain = catalog
            .tables
            .iter()
            .filter_map(|t| Some(Object::skipped(ObjectKind::VirtualTable, &t.name, t.of_virtual?)));
        objects.extend(plain.map(|table| Object { outcome: Outcome::Translated, ..table }));
        if rules.keep_rowid {
            catalog.tables.iter_mut().for_each(RawTable::keep_rowid);
        }
        let unreadable = catalog.unreadable.drain(..);
        objects
            .extend(unreadable.map(|(name, why)| Object::skipped(ObjectKind::GeneratedColumn, &name, why)));
        let naming = Naming::new(rules.snake_case, &rules.rename)?;
        Ok(SchemaSurvey { source, catalog, chosen, naming, objects })
    }

    /// The tables whose values are counted.
    pub(crate) fn tables(&self) -> &[RawTable] {
        &self.catalog.tables
    }

    /// Decides by what was counted of each of the tables, in their order.
    ///
    /// # Errors
    /// Usage for rules that fit nothing or names that collide; Failed for what PostgreSQL cannot hold.
    pub(crate) fn decide(&self, rules: &Rules, counted: Vec<TableStats>) -> Result<Built> {
        let SchemaSurvey { source, catalog, chosen, naming, objects } = self;
        let mut objects = objects.clone();
        let held = hold_back(catalog, counted, &mut objects);
        let mut chooser = Chooser {
            rules,
            naming,
            casts: Casts::new(rules)?,
            mismatches: Vec::new(),
            notable: BTreeSet::new(),
        };
        let mut drafts = Vec::new();
        for (raw, counted) in &held {
            drafts.push(Draft { raw, stats: &counted.columns, table: chooser.choose_table(raw, counted) });
        }
        chooser.casts.check_used(&drafts)?;
        settle_names(&mut drafts, naming, &mut objects);
        check_collisions(&drafts)?;
        // Before the keys are decided on: an index is made for the type that a column has in the end.
        foreign::unify_types(&mut drafts);
        let taken = drafts.iter().map(|d| d.table.target.clone()).collect();
        let mut out = Decisions { naming, taken, objects };
        keys::decide_all(&mut drafts, &mut out);
        foreign::decide_all(&mut drafts, chosen, &mut out.objects);
        match rules.orphans {
            None | Some(OnOrphan::Keep) => {}
            Some(asked) => foreign::add_orphan_rules(&mut drafts, asked == OnOrphan::Null),
        }
        expressions::decide_all(&mut drafts, &mut out);
        expressions::decide_others(catalog, &drafts, &mut out);
        let mut objects = out.objects;
        let mut tables: Vec<Table> = drafts.into_iter().map(|d| d.table).collect();
        // Last, since only now every object has the name by which it can be excluded.
        chosen.leave_out_objects(&mut tables, &mut objects)?;
        let (source, schema) = (source.clone(), rules.schema.clone());
        let plan = Plan { format: FORMAT, schema, mode: Mode::Create, source, tables, objects };
        let stats = held.into_iter().map(|(_, counted)| counted.columns).collect();
        Ok(Built { plan, mismatches: chooser.mismatches, notable: chooser.notable, stats })
    }
}

/// What SQLite's integrity_check remarked about a whole file, as objects of the plan.
pub(crate) fn remark_objects(remarks: &Remarks) -> Vec<Object> {
    remarks.iter().map(|remark| Object::skipped(ObjectKind::IntegrityCheck, remark, REMARK)).collect()
}

/// What the file looks like at this moment.
pub(crate) fn source_file(snapshot: &Snapshot) -> Result<SourceFile> {
    let db = snapshot.first_reader();
    let doing = || "read the schema".to_string();
    let pragma = |name: &str| db.pragma_query_value(None, name, |r| r.get(0));
    Ok(SourceFile {
        path: snapshot.path().display().to_string(),
        bytes: snapshot.path().metadata().map_or(0, |m| m.len()),
        schema_version: pragma("schema_version").doing(doing)?,
        schema_sum: catalog::schema_sum(db)?,
        encoding: db.pragma_query_value(None, "encoding", |r| r.get(0)).doing(doing)?,
    })
}

/// The tables that SQLite can read and PostgreSQL hold; the others are told, and do not keep the rest away.
fn hold_back<'c>(
    catalog: &'c Catalog,
    counted: Vec<TableStats>,
    objects: &mut Vec<Object>,
) -> Vec<(&'c RawTable, TableStats)> {
    let mut left = Vec::new();
    for (raw, counted) in catalog.tables.iter().zip(counted) {
        match why_beyond(raw, &counted) {
            Some(why) => objects.push(Object::skipped(ObjectKind::Table, &raw.name, why)),
            None => left.push((raw, counted)),
        }
    }
    left
}

/// Why a table cannot be copied at all.
fn why_beyond(raw: &RawTable, counted: &TableStats) -> Option<String> {
    if let Some(why) = &counted.unreadable {
        return Some(format!("SQLite cannot read it: {why}"));
    }
    let n = raw.columns.len();
    if n > COLUMNS {
        return Some(format!("it has {n} columns, and PostgreSQL's tables hold {COLUMNS}"));
    }
    let large = raw.columns.iter().zip(&counted.columns).find(|(_, t)| t.profile.longest >= FIELD);
    large.map(|(column, _)| format!("{} holds a value beyond PostgreSQL's 1 GB", column.name))
}

/// Chooses the columns of the tables.
struct Chooser<'a> {
    rules: &'a Rules,
    naming: &'a Naming,
    casts: Casts,
    mismatches: Vec<MismatchedValues>,
    notable: BTreeSet<(String, String)>,
}

impl Chooser<'_> {
    fn choose_table(&mut self, raw: &RawTable, counted: &TableStats) -> Table {
        let columns: Vec<Column> = counted
            .columns
            .iter()
            .enumerate()
            .map(|(at, stats)| self.choose_column(raw, at, stats))
            .collect();
        let has_null = |k: &usize| counted.columns[*k].profile.nulls > 0;
        let key = if raw.key.iter().any(has_null) { &[][..] } else { &raw.key };
        let comment = raw.ddl.comments.iter().find(|(c, _)| c.is_none()).map(|(_, text)| text.clone());
        Table {
            source: raw.name.clone(),
            target: self.naming.object_name(&raw.name),
            rows: counted.rows,
            bytes: counted.columns.iter().map(|c| c.bytes).sum(),
            rowid: raw.rowid.clone(),
            key: key.iter().map(|k| raw.columns[*k].name.clone()).collect(),
            sequence: raw.sequence,
            comment,
            columns,
            ..Table::default()
        }
    }

    fn choose_column(&mut self, raw: &RawTable, at: usize, stats: &ColumnStats) -> Column {
        let column = &raw.columns[at];
        let by_rule = self.casts.find(&raw.name, &column.name);
        let verdict =
            by_rule.unwrap_or_else(|| infer::infer_type(stats, &column.declared, self.rules.on_invalid));
        let as_times = as_times(column, stats, verdict.conversion);
        let before = self.mismatches.len();
        self.mismatches.extend(find_mismatches(raw, column, stats, &verdict));
        if self.mismatches.len() > before || as_times.is_some() {
            self.notable.insert((raw.name.clone(), column.name.clone()));
        }
        let is_own = |(name, _): &&(Option<String>, String)| {
            name.as_ref().is_some_and(|n| n.eq_ignore_ascii_case(&column.name))
        };
        let has_nulls = stats.profile.nulls > 0 || verdict.policy == Policy::Null;
        Column {
            source: column.name.clone(),
            target: self.naming.column_name(&raw.name, &column.name),
            declared: column.declared.clone(),
            collation: (self.rules.collate_c && verdict.pg_type == "text").then(|| "C".into()),
            pg_type: verdict.pg_type,
            conversion: verdict.conversion,
            policy: verdict.policy,
            not_null: (column.not_null || raw.key.contains(&at)) && !has_nulls,
            identity: raw.alias == Some(at) && verdict.conversion == Conversion::Integer,
            comment: raw.ddl.comments.iter().find(is_own).map(|(_, text)| text.clone()),
            why: verdict.why + &as_times.unwrap_or_default(),
            profile: stats.profile.clone(),
            ..Column::default()
        }
    }
}

/// Numbers under a name that people give to times stay numbers; that they could be times is only shown.
fn as_times(column: &RawColumn, stats: &ColumnStats, conversion: Conversion) -> Option<String> {
    // A column that was asked to be times has them in its verdict.
    let number = matches!(conversion, Conversion::Integer | Conversion::Float)
        && !matches!(
            stats.declared_type,
            declared_type::DeclaredType::Moment | declared_type::DeclaredType::Day
        );
    let units: Vec<String> = epoch::candidate_units(stats).iter().map(|u| u.name()).collect();
    let told = number && declared_type::names_time(&column.name) && !units.is_empty();
    told.then(|| format!("; as times: {}", units.join(" or ")))
}

fn find_mismatches(
    raw: &RawTable,
    column: &RawColumn,
    stats: &ColumnStats,
    verdict: &Inferred,
) -> Vec<MismatchedValues> {
    let one = |mismatch: &Mismatch| {
        let (count, keys) = stats.mismatched(*mismatch);
        (count > 0).then(|| MismatchedValues {
            table: raw.name.clone(),
            column: column.name.clone(),
            what: mismatch.text(),
            count,
            keys: keys.to_vec(),
        })
    };
    verdict.mismatches.iter().filter_map(one).collect()
}

/// Names that PostgreSQL does not take become others, and are told.
fn settle_names(drafts: &mut [Draft<'_>], naming: &Naming, objects: &mut Vec<Object>) {
    let mut tables: Vec<(String, String)> =
        drafts.iter().map(|d| (d.table.source.clone(), d.table.target.clone())).collect();
    if !naming.has_rules() {
        names::settle_forced(&mut tables);
    }
    for (draft, (source, target)) in drafts.iter_mut().zip(tables) {
        objects.extend(renamed_object(&source, &source, &target, naming));
        draft.table.target = target;
        let columns = &mut draft.table.columns;
        let mut pairs: Vec<(String, String)> =
            columns.iter().map(|c| (c.source.clone(), c.target.clone())).collect();
        if !naming.has_rules() {
            names::settle_forced(&mut pairs);
        }
        for (column, (name, target)) in columns.iter_mut().zip(pairs) {
            objects.extend(renamed_object(&format!("{source}.{name}"), &name, &target, naming));
            column.target = target;
        }
    }
}

fn renamed_object(shown: &str, source: &str, target: &str, naming: &Naming) -> Option<Object> {
    let why = format!("called {target} there: PostgreSQL does not take the name as it is");
    (source != target && !naming.has_rules())
        .then(|| Object { outcome: Outcome::Translated, ..Object::skipped(ObjectKind::Name, shown, why) })
}

fn check_collisions(drafts: &[Draft<'_>]) -> Result<()> {
    let tables: Vec<_> = drafts.iter().map(|d| (d.table.source.as_str(), d.table.target.as_str())).collect();
    names::check_distinct("tables", &tables)?;
    for draft in drafts {
        let columns: Vec<_> =
            draft.table.columns.iter().map(|c| (c.source.as_str(), c.target.as_str())).collect();
        names::check_distinct(&format!("columns of {}", draft.table.source), &columns)?;
    }
    Ok(())
}
