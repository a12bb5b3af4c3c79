//! Makes the plan of a file: schema, one scan, a verdict for each column, a fate for each object.

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
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use toban_core::{Context, Error, Result};

/// PostgreSQL's limits.
const COLUMNS: usize = 1600;
const FIELD: u64 = (1 << 30) - 64;

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
    choose(&mut catalog, rules, &mut objects)?;
    let counted = scan::scan(snapshot, &catalog.tables, quiet)?;
    let naming = Naming::new(rules.snake_case, &rules.rename)?;
    let casts = Casts::new(&rules.cast)?;
    let mut oddities = Vec::new();
    let mut drafts = Vec::new();
    for (raw, counted) in catalog.tables.iter().zip(&counted) {
        let table = table(raw, counted, rules, (&naming, &casts), &mut oddities)?;
        drafts.push(Draft { raw, tallies: &counted.columns, table });
    }
    casts.all_used(&drafts)?;
    collisions(&drafts)?;
    foreign::unify(&mut drafts);
    let mut taken: BTreeSet<String> = drafts.iter().map(|d| d.table.target.clone()).collect();
    keys::decide(&mut drafts, &naming, &mut taken, &mut objects);
    foreign::decide(&mut drafts, &mut objects);
    expressions::decide(&mut drafts, &mut taken, &mut objects);
    expressions::others(&catalog, &drafts, &naming, &mut taken, &mut objects);
    let tables = drafts.into_iter().map(|d| d.table).collect();
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
    let mut sum = Sha256::new();
    let sql = "select coalesce(sql, '') from sqlite_schema order by type, name";
    for text in catalog::all(db, sql, &[], |r| r.get::<_, String>(0))? {
        sum.update(text.as_bytes());
        sum.update([0]);
    }
    let pragma = |name: &str| db.pragma_query_value(None, name, |r| r.get(0));
    Ok(Source {
        path: snapshot.path().display().to_string(),
        bytes: snapshot.path().metadata().map_or(0, |m| m.len()),
        schema_version: pragma("schema_version").doing(doing)?,
        schema_sum: sum.finalize().iter().map(|b| format!("{b:02x}")).collect(),
        encoding: db.pragma_query_value(None, "encoding", |r| r.get(0)).doing(doing)?,
    })
}

/// Leaves the tables that --include and --exclude leave.
fn choose(catalog: &mut Catalog, rules: &Rules, objects: &mut Vec<Object>) -> Result<()> {
    let matches = |globs: &[String], name: &str| globs.iter().any(|g| names::glob(g, name));
    for pattern in rules.include.iter().chain(&rules.exclude) {
        if !catalog.tables.iter().any(|t| names::glob(pattern, &t.name)) {
            return Err(Error::usage(format!("no table is called like {pattern}")));
        }
    }
    let stays = |name: &str| {
        (rules.include.is_empty() || matches(&rules.include, name)) && !matches(&rules.exclude, name)
    };
    let (stay, go) =
        std::mem::take(&mut catalog.tables).into_iter().partition::<Vec<_>, _>(|t| stays(&t.name));
    catalog.tables = stay;
    objects.extend(go.into_iter().map(|t| skipped("table", &t.name, "excluded")));
    Ok(())
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
) -> Result<Table> {
    if raw.columns.len() > COLUMNS {
        let n = raw.columns.len();
        return Err(Error::failed(format!("{} has {n} columns, PostgreSQL holds {COLUMNS}", raw.name))
            .hint("leave it out with --exclude"));
    }
    let mut columns = Vec::new();
    for (at, (column, tally)) in raw.columns.iter().zip(&counted.columns).enumerate() {
        if tally.census.longest >= FIELD {
            return Err(Error::failed(format!("{}.{} holds a value beyond 1 GB", raw.name, column.name))
                .hint("PostgreSQL holds no such value: leave the table out with --exclude, or shorten it"));
        }
        let verdict = casts
            .of(&raw.name, &column.name, rules)
            .unwrap_or_else(|| judge::judge(tally, &column.declared, rules.on_misfit));
        oddities.extend(odd(raw, column, tally, &verdict));
        let target = naming.column(&raw.name, &column.name);
        columns.push(made(raw, at, tally, verdict, target));
    }
    let key_is_whole = !raw.key.is_empty() && raw.key.iter().all(|k| counted.columns[*k].census.nulls == 0);
    let key = raw.key.iter().filter(|_| key_is_whole).map(|k| raw.columns[*k].name.clone()).collect();
    let comment = raw.ddl.comments.iter().find(|(c, _)| c.is_none()).map(|(_, text)| text.clone());
    Ok(Table {
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
    })
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

/// `--cast`'s rules.
struct Casts(Vec<(String, Option<String>, Conversion)>);

impl Casts {
    fn new(rules: &[String]) -> Result<Casts> {
        rules.iter().map(|r| cast(r)).collect::<Result<_>>().map(Casts)
    }

    fn of(&self, table: &str, column: &str, rules: &Rules) -> Option<Verdict> {
        let name = format!("{table}.{column}");
        let (_, pg_type, conversion) = self.0.iter().find(|(n, _, _)| *n == name)?;
        let policy = match rules.on_misfit {
            None => Policy::Stop,
            Some(crate::cli::Misfit::Reject) => Policy::Reject,
            Some(crate::cli::Misfit::Null) => Policy::Null,
            Some(_) => Policy::Replace,
        };
        let pg_type = pg_type.clone().unwrap_or_else(|| usual(*conversion).into());
        Some(Verdict {
            pg_type,
            conversion: *conversion,
            policy,
            why: "a rule says so".into(),
            odd: Vec::new(),
        })
    }

    fn all_used(&self, drafts: &[Draft<'_>]) -> Result<()> {
        let known = |name: &str| {
            drafts
                .iter()
                .any(|d| d.table.columns.iter().any(|c| format!("{}.{}", d.table.source, c.source) == name))
        };
        match self.0.iter().find(|(name, _, _)| !known(name)) {
            Some((name, _, _)) => {
                Err(Error::usage(format!("--cast names {name}, which is no column that moves")))
            }
            None => Ok(()),
        }
    }
}

fn cast(rule: &str) -> Result<(String, Option<String>, Conversion)> {
    let wrong = || {
        Error::usage(format!("--cast {rule}")).hint(
            "TABLE.COLUMN=CONVERSION or TABLE.COLUMN=TYPE:CONVERSION; conversions are listed in the guide",
        )
    };
    let (name, what) = rule.rsplit_once('=').ok_or_else(wrong)?;
    let (pg_type, word) = match what.rsplit_once(':') {
        Some((pg_type, word)) => (Some(pg_type.to_string()), word),
        None => (None, what),
    };
    let conversion = serde_json::from_value(serde_json::Value::String(word.into())).map_err(|_| wrong())?;
    Ok((name.to_string(), pg_type, conversion))
}

/// The type that a conversion leads to when nobody names one.
fn usual(conversion: Conversion) -> &'static str {
    use Conversion as C;
    match conversion {
        C::Integer => "bigint",
        C::Float => "double precision",
        C::Numeric => "numeric",
        C::Text => "text",
        C::Bytes => "bytea",
        C::Bool | C::BoolWords => "boolean",
        C::Date => "date",
        C::Time => "time",
        C::Json | C::Tagged => "jsonb",
        C::Uuid | C::Guid => "uuid",
        _ => "timestamptz",
    }
}
