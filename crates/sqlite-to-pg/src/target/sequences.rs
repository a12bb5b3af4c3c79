//! The sequences that number rows of the application's tables: those that a column owns, and those that a default only
//! uses, perhaps of several tables.

use crate::model::{Object, ObjectKind, Plan, Table};
use postgres::Client;
use std::collections::BTreeMap;
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Result};

/// Every column of a schema's tables that takes its values from a sequence. `nextval('name'::text)` looks the sequence up
/// when it runs, and the catalogue knows of no dependency; then the text of the default tells.
const USES: &str = "with uses (sequence, relation, number) as (
  select d.objid, d.refobjid, d.refobjsubid from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
  union select s.oid, f.adrelid, f.adnum from pg_attrdef f join pg_depend d on d.classid = 'pg_attrdef'::regclass
    and d.objid = f.oid and d.refclassid = 'pg_class'::regclass join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
  union select coalesce(to_regclass(m[1]), to_regclass(quote_ident(n.nspname) || '.' || m[1])), f.adrelid, f.adnum
    from pg_attrdef f join pg_class c on c.oid = f.adrelid join pg_namespace n on n.oid = c.relnamespace,
    regexp_matches(pg_get_expr(f.adbin, f.adrelid), 'nextval\\(\\(?''([^'']+)''::text', 'g') m)
select u.sequence::regclass::text, c.relname::text, a.attname::text, a.atttypid in (20, 21, 23)
  from uses u join pg_class c on c.oid = u.relation join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = u.relation and a.attnum = u.number
  where n.nspname = $1 and c.relname = any($2) and u.sequence is not null order by 1, 2, 3";

/// Lets every sequence of the plan's tables go on after the greatest value that it can have given; none goes back. The
/// answer names columns that do not tell which value that is.
pub(crate) fn advance_sequences(client: &mut Client, plan: &Plan) -> Result<Vec<Object>> {
    let doing = || "number the rows".to_string();
    let names: Vec<&str> = plan.tables.iter().map(|t| t.target.as_str()).collect();
    let mut sources: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for row in client.query(USES, &[&plan.schema, &names]).doing(doing)? {
        let (sequence, relation, column): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let Some(table) = plan.tables.iter().find(|t| t.target == relation) else { continue };
        let whole: bool = row.get(3);
        match whole {
            // One sequence may number several tables: it goes on after the greatest of all.
            true => sources.entry(sequence).or_default().push(given_numbers(plan, table, &column)),
            false => unknown.push(unknown_sequence(&sequence, table, &column)),
        }
    }
    // setval() is not undone by a rollback: it only ever moves forward, so that a run that fails leaves numbers out and gives none twice.
    for (sequence, sources) in sources {
        client.batch_execute(&advance_sql(&sequence, &sources)).doing(|| format!("advance {sequence}"))?;
    }
    Ok(unknown)
}

/// The numbers that a table has given: those of its rows, and what SQLite remembers of rows that are gone.
fn given_numbers(plan: &Plan, table: &Table, column: &str) -> String {
    let name = migrate::sql::qualified_name(&plan.schema, &table.target);
    let mut sql = format!("select {}::bigint from {name}", Ident::new(column));
    if let Some(sequence) = table.sequence {
        sql += &format!(" union all select {sequence}");
    }
    sql
}

fn advance_sql(sequence: &str, sources: &[String]) -> String {
    let quoted = quote_literal(sequence);
    format!(
        "with s as (select * from pg_sequence where seqrelid = {quoted}::regclass), \
         v (v) as ({} union all select last_value from {sequence} where is_called), \
         given (last) as (select case when (select seqincrement from s) > 0 then max(v) else min(v) end from v) \
         select setval({quoted}::regclass, least(greatest(last, seqmin), seqmax), \
           case when seqincrement > 0 then last >= seqmin else last <= seqmax end) from given, s where last is not null",
        sources.join(" union all ")
    )
}

fn unknown_sequence(sequence: &str, table: &Table, column: &str) -> Object {
    let why = format!(
        "{}.{column} is not an integer, so where the sequence must continue is not known: set it with setval()",
        table.source
    );
    Object::skipped(ObjectKind::Sequence, sequence, why)
}
