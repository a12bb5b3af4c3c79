//! The sequences that number rows: those that a column owns, and those that a default only uses, perhaps of several tables.

use postgres::Client;
use toban_core::pg::quote_literal;
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

/// A column that takes its values from a sequence.
#[derive(Clone, Debug)]
pub struct SequenceUse {
    /// As SQL names it.
    pub sequence: String,
    /// The table, without its schema.
    pub relation: String,
    pub column: String,
    /// The column is of an integer type.
    pub whole: bool,
}

/// The sequences of these tables of a schema, in their order.
///
/// # Errors
/// Those of the server.
pub fn read_uses(client: &mut Client, schema: &str, relations: &[&str]) -> Result<Vec<SequenceUse>> {
    let rows = client.query(USES, &[&schema, &relations]).doing(|| "number the rows".into())?;
    let one = |r: &postgres::Row| SequenceUse {
        sequence: r.get(0),
        relation: r.get(1),
        column: r.get(2),
        whole: r.get(3),
    };
    Ok(rows.iter().map(one).collect())
}

/// The statement that lets a sequence go on after the greatest value of `sources`, queries of one bigint column; it never
/// goes back.
pub fn advance_sql(sequence: &str, sources: &[String]) -> String {
    // last_value counts where a number was given at all (is_called): none is given twice. With false as its third
    // argument setval() lets nextval() begin with the number itself, for ids below the sequence's range (manual,
    // "Sequence Manipulation Functions").
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
