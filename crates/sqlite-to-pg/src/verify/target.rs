//! The PostgreSQL side: its connections, and what its catalogue says of the tables.

use super::pair::{ColumnBounds, Form};
use crate::model::{FORMAT, Plan};
use crate::target::definitions::Definitions;
use migrate::session;
use migrate::sql::query_texts;
use postgres::Client;
use std::collections::BTreeMap;
use toban_core::pg::{ConnInfo, quote_literal};
use toban_core::{Context, Error, Result};

/// A table of the target.
#[derive(Clone, Debug)]
pub(crate) struct TargetTable {
    pub(crate) oid: u32,
    pub(crate) name: String,
    /// Pages; none when it is not one heap whose parts can be asked for.
    pub(crate) blocks: Option<u32>,
    /// Others inherit from it, and their rows are not its own.
    pub(crate) inherited: bool,
    pub(crate) columns: Vec<TargetColumn>,
}

/// A column of the target.
#[derive(Clone, Debug)]
pub(crate) struct TargetColumn {
    pub(crate) name: String,
    pub(crate) form: Form,
    pub(crate) bounds: ColumnBounds,
    /// The sequence that numbers it, its own or one that its default only uses: quoted, with its schema.
    pub(crate) sequence: Option<String>,
    /// PostgreSQL makes a value when none is given.
    pub(crate) has_default: bool,
    /// All values of an enum.
    pub(crate) labels: Vec<String>,
    /// The type is a domain with a check of its own.
    pub(crate) checked: bool,
}

/// What every session sets, so that neither the server's nor the role's configuration changes an answer. With
/// row_security off a policy that would hide rows is an error.
const SETTINGS: &str = "set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; \
    set local intervalstyle = 'postgres'; set local extra_float_digits = 1; set local bytea_output = 'hex'; \
    set local row_security = off; set local statement_timeout = 0; set local jit = off; \
    set local idle_in_transaction_session_timeout = 0; set local max_parallel_workers_per_gather = 0";

/// Opens up to `count` sessions whose read-only transactions see one moment of the database. A server that cannot
/// export its snapshot gets one.
pub(crate) fn open_sessions(to: &ConnInfo, count: usize) -> Result<Vec<Client>> {
    let (mut first, here) = to.connect_here()?;
    // pg_export_snapshot() gives the other sessions the same view of the database, as pg_dump --jobs does
    // <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION>.
    begin_read_only(&mut first, None)?;
    let mut clients = Vec::new();
    if count > 1
        && let Some(snapshot) = export_snapshot(&mut first)?
    {
        while clients.len() + 1 < count {
            let asked = |here: &ConnInfo| {
                let mut client = here.connect()?;
                client.batch_execute("begin").doing(|| "begin a read-only transaction".into())?;
                Ok(client)
            };
            // A pool of few sessions does not refuse one more, it lets it wait.
            let Some(mut client) = session::connect_within(&here, asked)? else { break };
            client.batch_execute("rollback").doing(|| "begin a read-only transaction".into())?;
            begin_read_only(&mut client, Some(&snapshot))?;
            clients.push(client);
        }
    }
    clients.insert(0, first);
    Ok(clients)
}

/// The same settings inside a transaction that is open.
pub(crate) fn settle_session(client: &mut Client) -> Result<()> {
    client.batch_execute(SETTINGS).doing(|| "prepare the comparison".into())
}

fn begin_read_only(client: &mut Client, snapshot: Option<&str>) -> Result<()> {
    let import =
        snapshot.map(|s| format!("set transaction snapshot {}; ", quote_literal(s))).unwrap_or_default();
    // SET TRANSACTION SNAPSHOT comes before the first query, and wants REPEATABLE READ (manual, "SET TRANSACTION"):
    // all sessions then see what the first one sees.
    let sql = format!("begin isolation level repeatable read, read only; {import}{SETTINGS}");
    client.batch_execute(&sql).doing(|| "begin a read-only transaction".into())
}

/// The snapshot's name; None where there is no exporting (a server in recovery).
fn export_snapshot(client: &mut Client) -> Result<Option<String>> {
    let doing = || "export the snapshot".to_string();
    client.batch_execute("savepoint export").doing(doing)?;
    match client.query_one("select pg_catalog.pg_export_snapshot()", &[]) {
        Ok(row) => row.try_get(0).map(Some).doing(doing),
        Err(e) if e.is_closed() => Err(e).doing(doing),
        Err(_) => client.batch_execute("rollback to savepoint export").doing(doing).map(|()| None),
    }
}

/// Does `work` and gives back the locks that it took: one transaction that reads thousands of tables would hold more
/// than a server has room for.
pub(crate) fn release_locks_after<T>(
    client: &mut Client,
    work: impl FnOnce(&mut Client) -> Result<T>,
) -> Result<T> {
    let doing = || "give back locks".to_string();
    client.batch_execute("savepoint piece").doing(doing)?;
    let done = work(client)?;
    client.batch_execute("rollback to savepoint piece; release savepoint piece").doing(doing)?;
    Ok(done)
}

/// The plan that a run kept beside the copy in `schema`; none when there is no such run, or the role may not look.
pub(crate) fn kept_plan(to: &ConnInfo, schema: &str) -> Result<Option<(Plan, Option<Definitions>)>> {
    let mut client = to.connect()?;
    let may = "select has_table_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage') \
               from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
               where n.nspname = 'toban_undo' and c.relname = 'plan'";
    if only_cell(query_texts(&mut client, may)?).as_deref() != Some("t") {
        return Ok(None);
    }
    // The table of an older program has no definitions.
    let sql = format!(
        "select plan, to_jsonb(p) ->> 'definitions' from toban_undo.plan p where target = {}",
        quote_literal(schema)
    );
    let Some(row) = query_texts(&mut client, &sql)?.into_iter().next() else { return Ok(None) };
    let (text, kept) = (row.first().cloned().flatten(), row.get(1).cloned().flatten());
    // One of another version is no plan of ours.
    let plan = text.and_then(|t| toml::from_str::<Plan>(&t).ok()).filter(|p| p.format == FORMAT);
    let kept = kept.and_then(|k| serde_json::from_str(&k).ok());
    Ok(plan.map(|plan| (plan, kept)))
}

/// The only cell of an answer.
pub(crate) fn only_cell(rows: Vec<Vec<Option<String>>>) -> Option<String> {
    rows.into_iter().flatten().next().flatten()
}

/// The name of a table or a view.
pub(crate) type Relation = String;

/// Everything in a schema that can be read like a table.
pub(crate) fn read_relations(client: &mut Client, schema: &str) -> Result<Vec<Relation>> {
    let sql = "select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
               where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname = ";
    Ok(query_texts(client, &format!("{sql}{}", quote_literal(schema)))?
        .into_iter()
        .flatten()
        .flatten()
        .collect())
}

const TABLES: &str = "select c.oid, c.relname, \
    case when c.relkind in ('r', 'm') and not c.relhassubclass \
         then pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::bigint end, \
    c.relkind = 'r' and c.relhassubclass \
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
    where n.nspname = $SCHEMA and c.relkind in ('r', 'p', 'm') and not c.relispartition order by 2";

/// The end of a chain of domains is the type whose values COPY sends.
const COLUMNS: &str = "with recursive base (oid, root, checked) as (\
        select oid, oid, false from pg_catalog.pg_type where typtype <> 'd' \
        union all select t.oid, b.root, \
            b.checked or exists (select from pg_catalog.pg_constraint k where k.contypid = t.oid and k.contype = 'c') \
        from pg_catalog.pg_type t join base b on t.typbasetype = b.oid and t.typtype = 'd') \
    select a.attrelid, a.attname, t.oid, t.typname, t.typtype, a.attnotnull, \
        coalesce(pg_catalog.pg_get_serial_sequence(pg_catalog.format('%I.%I', n.nspname, c.relname), a.attname), \
            (select pg_catalog.format('%I.%I', sn.nspname, s.relname) from pg_catalog.pg_attrdef f \
             join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and d.objid = f.oid \
             and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
             join pg_catalog.pg_class s on s.oid = d.refobjid and s.relkind = 'S' \
             join pg_catalog.pg_namespace sn on sn.oid = s.relnamespace \
             where f.adrelid = a.attrelid and f.adnum = a.attnum limit 1)), a.atthasdef, a.atttypmod, \
        b.checked, case when t.typtype = 'e' then pg_catalog.to_json(array( \
            select e.enumlabel::text from pg_catalog.pg_enum e where e.enumtypid = t.oid)) end \
    from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid \
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
    join base b on b.oid = a.atttypid join pg_catalog.pg_type t on t.oid = b.root \
    where n.nspname = $SCHEMA and a.attnum > 0 and not a.attisdropped order by a.attrelid, a.attnum";

/// The tables of a schema. An empty list: there is no such schema, or it is empty.
pub(crate) fn read_tables(client: &mut Client, schema: &str) -> Result<Vec<TargetTable>> {
    let own = |sql: &str| sql.replace("$SCHEMA", &quote_literal(schema));
    let mut columns: BTreeMap<u32, Vec<TargetColumn>> = BTreeMap::new();
    for row in query_texts(client, &own(COLUMNS))? {
        let (table, column) = parse_column(&row).ok_or_else(unexpected_answer)?;
        columns.entry(table).or_default().push(column);
    }
    let table = |row: Vec<Option<String>>| {
        let oid = parse_number(row.first())?;
        let columns = columns.remove(&oid).unwrap_or_default();
        let inherited = row.get(3)?.as_deref() == Some("t");
        Some(TargetTable {
            oid,
            name: row.get(1)?.clone()?,
            blocks: parse_number(row.get(2)),
            inherited,
            columns,
        })
    };
    query_texts(client, &own(TABLES))?
        .into_iter()
        .map(table)
        .collect::<Option<_>>()
        .ok_or_else(unexpected_answer)
}

fn parse_column(row: &[Option<String>]) -> Option<(u32, TargetColumn)> {
    let text = |i: usize| row.get(i)?.clone();
    let form = Form::of(parse_number(row.get(2))?, &text(3)?, &text(4)?);
    let (not_null, sequence) = (text(5)? == "t", text(6));
    let bounds = ColumnBounds::of_typmod(form, text(8)?.parse().ok()?, not_null);
    let has_default = text(7)? == "t" || sequence.is_some();
    let labels = text(10).and_then(|list| serde_json::from_str(&list).ok()).unwrap_or_default();
    let checked = text(9)? == "t";
    let name = text(1)?;
    Some((
        parse_number(row.first())?,
        TargetColumn { name, form, bounds, sequence, has_default, labels, checked },
    ))
}

fn parse_number(cell: Option<&Option<String>>) -> Option<u32> {
    cell?.as_ref()?.parse().ok()
}

fn unexpected_answer() -> Error {
    Error::failed("the catalogue gave an answer of another shape")
}
