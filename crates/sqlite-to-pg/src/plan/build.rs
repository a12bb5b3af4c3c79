//! Makes the plan of a file: schema, one scan, a verdict for each column, a fate for each object.

use super::casts::Casts;
use super::chosen::Chosen;
use super::names::{self, Naming};
use super::{
    Column, Conversion, FORMAT, Fate, Mode, Object, Plan, Policy, Source, Table, expressions, foreign, keys,
};
use crate::census::judge::{self, Verdict};
use crate::census::scan::{self, Counted};
use crate::census::tally::{Odd, Tally};
use crate::census::{epoch, wish};
use crate::cli::Rules;
use crate::source::Snapshot;
use crate::source::catalog::{self, Catalog, RawColumn, RawTable};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use toban_core::{Context, Result};

/// PostgreSQL's limits.
const COLUMNS: usize = 1600;
const FIELD: u64 = (1 << 30) - 64;

/// Why a table that nobody wants stays behind; for any other reason the copy is not whole.
pub(crate) const EXCLUDED: &str = "excluded";

/// Why what SQLite itself does not understand stays behind.
pub(crate) const DAMAGED: &str = "SQLite cannot read it: its statement in the schema is damaged";

/// What a line of SQLite's integrity_check means that tells of no damage.
const REMARK: &str = "SQLite's integrity_check says so; the value is copied as it is";

/// A plan, and what it was made from.
pub(crate) struct Built {
    pub(crate) plan: Plan,
    pub(crate) oddities: Vec<Oddity>,
    /// What each column of each table holds, in the plan's order.
    pub(crate) tallies: Vec<Vec<Tally>>,
}

/// Values that are not kept as the declared type has them.
#[derive(Clone, Debug)]
pub(crate) struct Oddity {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) what: &'static str,
    pub(crate) count: u64,
    pub(crate) keys: Vec<String>,
}

/// Everything that building one table needs.
pub(crate) struct Draft<'a> {
    pub(crate) raw: &'a RawTable,
    pub(crate) tallies: &'a [Tally],
    pub(crate) table: Table,
}

/// Reads the schema and every value once, and decides.
///
/// # Errors
/// Those of SQLite; Usage for rules that fit nothing or names that collide; Failed for what PostgreSQL cannot hold.
pub(crate) fn build(snapshot: &mut Snapshot, rules: &Rules, quiet: bool) -> Result<Built> {
    let source = source(snapshot)?;
    let mut catalog = catalog::read(snapshot.first())?;
    let mut objects = Vec::new();
    let chosen = Chosen::of(&catalog, rules)?;
    chosen.apply(&mut catalog, &mut objects)?;
    objects.extend(catalog.lost.drain(..).map(|name| skipped("table", &name, DAMAGED)));
    let virtual_ones = catalog.tables.iter().filter_map(|t| Some((t, t.of_virtual?)));
    objects.extend(
        virtual_ones
            .map(|(t, why)| Object { fate: Fate::Translated, ..skipped("virtual table", &t.name, why) }),
    );
    if rules.keep_rowid {
        catalog.tables.iter_mut().for_each(RawTable::keep_rowid);
    }
    objects.extend(catalog.unreadable.drain(..).map(|(name, why)| skipped("generated column", &name, why)));
    let naming = Naming::new(rules.snake_case, &rules.rename)?;
    let casts = Casts::new(&rules.cast)?;
    let (counted, remarks) = snapshot.judged(|s| scan::scan(s, &catalog.tables, quiet))?;
    objects.extend(remarks.iter().map(|remark| skipped("integrity check", remark, REMARK)));
    let counted = held(counted, &mut catalog, &mut objects);
    let mut oddities = Vec::new();
    let mut drafts = Vec::new();
    for (raw, counted) in catalog.tables.iter().zip(&counted) {
        let table = table(raw, counted, rules, (&naming, &casts), &mut oddities);
        drafts.push(Draft { raw, tallies: &counted.columns, table });
    }
    casts.all_used(&drafts)?;
    settle(&mut drafts, &naming, &mut objects);
    collisions(&drafts)?;
    foreign::unify(&mut drafts);
    let mut taken: BTreeSet<String> = drafts.iter().map(|d| d.table.target.clone()).collect();
    keys::decide(&mut drafts, &naming, &mut taken, &mut objects);
    foreign::decide(&mut drafts, &chosen, &mut objects);
    expressions::decide(&mut drafts, &mut taken, &mut objects);
    expressions::others(&catalog, &drafts, &naming, &mut taken, &mut objects);
    let mut tables: Vec<Table> = drafts.into_iter().map(|d| d.table).collect();
    chosen.leave_out(&mut tables, &mut objects)?;
    let plan =
        Plan { format: FORMAT, schema: rules.schema.clone(), mode: Mode::Create, source, tables, objects };
    let tallies = counted.into_iter().map(|c| c.columns).collect();
    Ok(Built { plan, oddities, tallies })
}

/// What the file looks like at this moment.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn source(snapshot: &Snapshot) -> Result<Source> {
    let db = snapshot.first();
    let doing = || "read the schema".to_string();
    let pragma = |name: &str| db.pragma_query_value(None, name, |r| r.get(0));
    Ok(Source {
        path: snapshot.path().display().to_string(),
        bytes: snapshot.path().metadata().map_or(0, |m| m.len()),
        schema_version: pragma("schema_version").doing(doing)?,
        schema_sum: schema_sum(db)?,
        encoding: db.pragma_query_value(None, "encoding", |r| r.get(0)).doing(doing)?,
    })
}

/// A sum of all statements of the schema.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn schema_sum(db: &Connection) -> Result<String> {
    let mut sum = Sha256::new();
    let sql = "select cast(coalesce(sql, '') as blob) from sqlite_schema order by type, name";
    for text in catalog::all(db, sql, &[], |r| r.get::<_, Vec<u8>>(0))? {
        sum.update(&text);
        sum.update([0]);
    }
    Ok(toban_core::sum::hex(&sum.finalize()))
}

/// Leaves the tables that SQLite can read and PostgreSQL hold; the others are told, and do not keep the rest away.
fn held(counted: Vec<Counted>, catalog: &mut Catalog, objects: &mut Vec<Object>) -> Vec<Counted> {
    let mut left = Vec::new();
    for (raw, counted) in std::mem::take(&mut catalog.tables).into_iter().zip(counted) {
        match beyond(&raw, &counted) {
            Some(why) => objects.push(skipped("table", &raw.name, why)),
            None => {
                catalog.tables.push(raw);
                left.push(counted);
            }
        }
    }
    left
}

/// Why a table cannot be copied at all.
fn beyond(raw: &RawTable, counted: &Counted) -> Option<String> {
    if let Some(why) = &counted.unreadable {
        return Some(format!("SQLite cannot read it: {why}"));
    }
    let n = raw.columns.len();
    if n > COLUMNS {
        return Some(format!("it has {n} columns, and PostgreSQL's tables hold {COLUMNS}"));
    }
    let large = raw.columns.iter().zip(&counted.columns).find(|(_, t)| t.census.longest >= FIELD);
    large.map(|(column, _)| format!("{} holds a value beyond PostgreSQL's 1 GB", column.name))
}

/// An object that is not made.
pub(crate) fn skipped(kind: &str, name: &str, why: impl Into<String>) -> Object {
    Object { kind: kind.into(), name: name.into(), fate: Fate::Skipped, why: why.into(), ..Object::default() }
}

fn table(
    raw: &RawTable,
    counted: &Counted,
    rules: &Rules,
    (naming, casts): (&Naming, &Casts),
    oddities: &mut Vec<Oddity>,
) -> Table {
    let mut columns = Vec::new();
    for (at, (column, tally)) in raw.columns.iter().zip(&counted.columns).enumerate() {
        let verdict = casts
            .of(&raw.name, &column.name, rules)
            .unwrap_or_else(|| judge::judge(tally, &column.declared, rules.on_misfit));
        oddities.extend(odd(raw, column, tally, &verdict));
        let target = naming.column(&raw.name, &column.name);
        let mut column = made(raw, at, tally, verdict, target);
        column.collation = (rules.collate_c && column.pg_type == "text").then(|| "C".into());
        columns.push(column);
    }
    let key_is_whole = !raw.key.is_empty() && raw.key.iter().all(|k| counted.columns[*k].census.nulls == 0);
    let key = raw.key.iter().filter(|_| key_is_whole).map(|k| raw.columns[*k].name.clone()).collect();
    let comment = raw.ddl.comments.iter().find(|(c, _)| c.is_none()).map(|(_, text)| text.clone());
    Table {
        source: raw.name.clone(),
        target: naming.object(&raw.name),
        rows: counted.rows,
        bytes: counted.columns.iter().map(|c| c.bytes).sum(),
        rowid: raw.rowid.clone(),
        key,
        sequence: raw.sequence,
        comment,
        columns,
        ..Table::default()
    }
}

fn made(raw: &RawTable, at: usize, tally: &Tally, verdict: Verdict, target: String) -> Column {
    let column = &raw.columns[at];
    let in_key = raw.key.contains(&at);
    let own = |(name, _): &&(Option<String>, String)| {
        name.as_ref().is_some_and(|n| n.eq_ignore_ascii_case(&column.name))
    };
    Column {
        source: column.name.clone(),
        target,
        declared: column.declared.clone(),
        pg_type: verdict.pg_type,
        conversion: verdict.conversion,
        policy: verdict.policy,
        not_null: (column.not_null || in_key) && tally.census.nulls == 0 && verdict.policy != Policy::Null,
        identity: raw.alias == Some(at) && verdict.conversion == Conversion::Integer,
        comment: raw.ddl.comments.iter().find(own).map(|(_, text)| text.clone()),
        why: verdict.why + &told_times(column, tally, verdict.conversion),
        census: tally.census.clone(),
        ..Column::default()
    }
}

/// Numbers under a name that people give to times stay numbers; that they could be times is only shown.
fn told_times(column: &RawColumn, tally: &Tally, conversion: Conversion) -> String {
    // A column that was asked to be times has them in its verdict.
    let number = matches!(conversion, Conversion::Integer | Conversion::Float)
        && !matches!(tally.wish, wish::Wish::Moment | wish::Wish::Day);
    let units = epoch::candidates(tally);
    match number && wish::names_time(&column.name) && !units.is_empty() {
        true => {
            format!("; as times: {}", units.iter().map(|u| judge::word(*u)).collect::<Vec<_>>().join(" or "))
        }
        false => String::new(),
    }
}

fn odd(raw: &RawTable, column: &RawColumn, tally: &Tally, verdict: &Verdict) -> Vec<Oddity> {
    let one = |odd: &Odd| {
        let (count, keys) = tally.of(*odd);
        (count > 0).then(|| Oddity {
            table: raw.name.clone(),
            column: column.name.clone(),
            what: odd.words(),
            count,
            keys: keys.to_vec(),
        })
    };
    verdict.odd.iter().filter_map(one).collect()
}

/// Names that PostgreSQL does not take become others, and are told.
fn settle(drafts: &mut [Draft<'_>], naming: &Naming, objects: &mut Vec<Object>) {
    let mut tables: Vec<(String, String)> =
        drafts.iter().map(|d| (d.table.source.clone(), d.table.target.clone())).collect();
    if !naming.rules() {
        names::settle(&mut tables);
    }
    for (draft, (source, target)) in drafts.iter_mut().zip(tables) {
        objects.extend(renamed(&source, &source, &target, naming));
        draft.table.target = target;
        let columns = &mut draft.table.columns;
        let mut pairs: Vec<(String, String)> =
            columns.iter().map(|c| (c.source.clone(), c.target.clone())).collect();
        if !naming.rules() {
            names::settle(&mut pairs);
        }
        for (column, (name, target)) in columns.iter_mut().zip(pairs) {
            objects.extend(renamed(&format!("{source}.{name}"), &name, &target, naming));
            column.target = target;
        }
    }
}

fn renamed(shown: &str, source: &str, target: &str, naming: &Naming) -> Option<Object> {
    let why = format!("called {target} there: PostgreSQL does not take the name as it is");
    (source != target && !naming.rules())
        .then(|| Object { fate: Fate::Translated, ..skipped("name", shown, why) })
}

fn collisions(drafts: &[Draft<'_>]) -> Result<()> {
    let tables: Vec<_> = drafts.iter().map(|d| (d.table.source.as_str(), d.table.target.as_str())).collect();
    names::distinct("tables", &tables)?;
    for draft in drafts {
        let columns: Vec<_> =
            draft.table.columns.iter().map(|c| (c.source.as_str(), c.target.as_str())).collect();
        names::distinct(&format!("columns of {}", draft.table.source), &columns)?;
    }
    Ok(())
}
