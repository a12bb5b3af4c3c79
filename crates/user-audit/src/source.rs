//! Where the application's rows come from: one read-only transaction of PostgreSQL, or a SQLite file.

use crate::pack::AuditFacts;
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, IsolationLevel, Transaction};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use toban_core::config::Span;
use toban_core::pg::ConnInfo;
use toban_core::{Context, Error, Kind, Result, shutdown};

/// Rows between two looks for a signal. The rows stream: the server works on while we judge, and the socket holds it back.
const STOP_EVERY: u32 = 2000;

/// One table or view, by schema and name.
#[derive(Clone, Debug)]
pub(crate) struct SourceTable {
    pub(crate) name: [String; 2],
    pub(crate) columns: Vec<Field>,
}

/// One column: its type as the database calls it, and the table that it alone refers to.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) refers: Option<[String; 2]>,
    /// The column there.
    pub(crate) key: Option<String>,
}

/// Cells that a row has at most.
const WIDTH: usize = 24;

/// One row: every cell as text, or NULL.
pub(crate) type Cells<'a> = [Option<&'a str>];

/// Answers queries whose columns are all text. Nothing it is asked can write.
pub(crate) trait RowSource {
    /// Calls `each` for every row of `sql`; memory does not grow with their number.
    fn for_each_row(&mut self, sql: &str, each: &mut dyn FnMut(&Cells<'_>) -> Result<()>) -> Result<()>;
    /// How this database joins texts of a group: `string_agg` or `group_concat`.
    fn concat(&self) -> &'static str;
    /// All tables with what `--detect` asks of them.
    fn read_tables(&mut self) -> Result<Vec<SourceTable>>;
    /// Which server or file it is, asked as whom.
    fn read_facts(&mut self) -> Result<AuditFacts>;
    /// What tells this database from every other, also of the same name.
    fn identity(&self) -> &str;
}

/// All rows of a query that is known to be small.
pub(crate) fn read_rows(rows: &mut dyn RowSource, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let mut found = Vec::new();
    rows.for_each_row(sql, &mut |cells| {
        found.push(cells.iter().map(|c| c.map(String::from)).collect());
        Ok(())
    })?;
    Ok(found)
}

/// PostgreSQL, inside its transaction.
pub(crate) struct Pg<'a> {
    transaction: Transaction<'a>,
    identity: String,
}

impl<'a> Pg<'a> {
    /// Begins the one READ ONLY transaction of the audit: one snapshot, and no rows hidden from us without a word.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) fn begin_read(client: &'a mut Client, timeout: Span) -> Result<Pg<'a>> {
        // One snapshot for all questions: counts, roles and grants must be of the same instant, or a finding could name a
        // role that the next query does not have. READ ONLY, so that no function that a query calls can write.
        let mut transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .doing(|| "begin a read-only transaction".into())?;
        let limit = timeout.0.as_millis();
        // row_security = off does not switch policies off: it makes a query that one would filter fail (42501), so that
        // rows which are hidden from the auditor are an error and not a clean report (manual, 20.11.1, row_security).
        // idle_in_transaction_session_timeout = 0: between two queries we may be busy with a million rows.
        let settings = format!(
            "set local statement_timeout = {limit}; set local row_security = off; set local timezone = 'UTC'; \
             set local datestyle = 'ISO'; set local work_mem = '64MB'; set local jit = off; \
             set local idle_in_transaction_session_timeout = 0"
        );
        transaction.batch_execute(&settings).doing(|| "prepare the session".into())?;
        let identity = identity(&mut transaction)?;
        Ok(Pg { transaction, identity })
    }

    /// The transaction itself, for queries of PostgreSQL alone.
    pub(crate) fn transaction(&mut self) -> &mut Transaction<'a> {
        &mut self.transaction
    }
}

/// The cluster's system identifier, and the database's oid in it. Some providers do not tell the first.
fn identity(transaction: &mut Transaction<'_>) -> Result<String> {
    let doing = || "ask for the system identifier".to_string();
    let sql = "select system_identifier::text || '/' || d.oid::text from pg_control_system(), pg_database d \
               where d.datname = current_database()";
    // In a savepoint: an error aborts a transaction, and all that comes after it would fail with 25P02.
    let mut inner = transaction.transaction().doing(doing)?;
    match inner.query_one(sql, &[]) {
        // pg_control_system() is for superusers and pg_monitor where the provider took the right away; the address
        // must do then.
        Err(e) if e.code().is_some_and(|c| c.code() == "42501") => {}
        answer => return answer.map(|row| row.get(0)).doing(doing),
    }
    inner.rollback().doing(doing)?;
    let sql = "select 'unknown/' || oid::text from pg_database where datname = current_database()";
    transaction.query_one(sql, &[]).map(|row| row.get(0)).doing(doing)
}

impl RowSource for Pg<'_> {
    fn for_each_row(&mut self, sql: &str, each: &mut dyn FnMut(&Cells<'_>) -> Result<()>) -> Result<()> {
        let mut rows = self.transaction.query_raw(sql, Vec::<String>::new()).map_err(explain_error)?;
        let mut taken = 0;
        while let Some(row) = rows.next().map_err(explain_error)? {
            taken += 1;
            if taken % STOP_EVERY == 0 {
                shutdown::check()?;
            }
            let mut cells = [None; WIDTH];
            let width = row.len();
            for (i, cell) in cells.iter_mut().enumerate().take(width) {
                *cell = row.try_get(i).doing(|| "read a row".into())?;
            }
            each(&cells[..width])?;
        }
        Ok(())
    }

    fn concat(&self) -> &'static str {
        "string_agg"
    }

    fn read_tables(&mut self) -> Result<Vec<SourceTable>> {
        let sql = "select n.nspname::text, c.relname::text, a.attname::text, case when t.typtype = 'e' then 'enum' \
                   when t.typelem <> 0 and t.typlen = -1 then 'array' else format_type(a.atttypid, null) end, \
                   (select fn.nspname || chr(31) || f.relname || chr(31) || fa.attname from pg_constraint k \
                   join pg_class f on f.oid = k.confrelid join pg_namespace fn on fn.oid = f.relnamespace \
                   join pg_attribute fa on fa.attrelid = f.oid and fa.attnum = k.confkey[1] \
                   where k.conrelid = c.oid and k.contype = 'f' and k.conkey = array[a.attnum] limit 1) from pg_attribute a \
                   join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace \
                   join pg_type t on t.oid = a.atttypid \
                   where c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped \
                   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1, 2, a.attnum";
        gather_tables(self, sql)
    }

    fn read_facts(&mut self) -> Result<AuditFacts> {
        let sql = "select 'PostgreSQL ' || current_setting('server_version'), \
                   coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'its socket, port ' || current_setting('port')), \
                   session_user::text || case when current_user <> session_user then ' as ' || current_user else '' end";
        let row = read_rows(self, sql)?.into_iter().next().unwrap_or_default();
        let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
        let (server, address, auditor) = (text(0), text(1), text(2));
        Ok(AuditFacts { server, address, auditor, identity: self.identity.clone(), mapping: None })
    }

    fn identity(&self) -> &str {
        &self.identity
    }
}

/// Rows of schema, table, column, type and the table that the column refers to, as tables.
fn gather_tables(rows: &mut dyn RowSource, sql: &str) -> Result<Vec<SourceTable>> {
    let mut tables: Vec<SourceTable> = Vec::new();
    for row in read_rows(rows, sql)? {
        let text = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
        let name = [text(0), text(1)];
        let refers = row.get(4).cloned().flatten();
        let parts = refers.map(|r| r.split('\u{1f}').map(String::from).collect::<Vec<_>>());
        let (refers, key) = match parts.as_deref() {
            Some([schema, table, key]) => (Some([schema.clone(), table.clone()]), Some(key.clone())),
            _ => (None, None),
        };
        let key = key.filter(|k| !k.is_empty());
        let column = Field { name: text(2), kind: text(3).to_lowercase(), refers, key };
        match tables.last_mut().filter(|t| t.name == name) {
            Some(table) => table.columns.push(column),
            None => tables.push(SourceTable { name, columns: vec![column] }),
        }
    }
    Ok(tables)
}

/// The server's refusals, each with what an auditor can do about it.
fn explain_error(e: postgres::Error) -> Error {
    let code = e.code().map(|c| c.code().to_string()).unwrap_or_default();
    let said = e.as_db_error().map(|d| d.message().to_string()).unwrap_or_default();
    let error = Error::caused_by("read the accounts", e);
    match code.as_str() {
        "42P01" | "42703" => error.hint("name tables and columns with --mapping, or let --detect propose it"),
        "42501" if said.contains("row-level security") => error.hint(
            "row-level security would hide rows: alter role … bypassrls, or audit as the table's owner",
        ),
        "42501" => error.hint("grant select on the table (or only its columns) to the auditor's role"),
        _ => error,
    }
}

/// The same error; of the kind Retry where another try may do: the time was up, or the connection was lost.
pub(crate) fn mark_passing(error: Error) -> Error {
    let mut cause = std::error::Error::source(&error);
    while let Some(e) = cause {
        if let Some(sql) = e.downcast_ref::<postgres::Error>() {
            let slow = sql.code().is_some_and(|c| c.code() == "57014");
            // The crate has an error of its own for half a message, which is a lost connection all the same.
            let io =
                std::error::Error::source(sql).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
            return match (slow, sql.is_closed() || io) {
                (true, _) => error
                    .kind_as(Kind::Retry)
                    .hint("give the queries longer with --timeout, or run at a quieter hour"),
                (false, true) => error.kind_as(Kind::Retry),
                (false, false) => error,
            };
        }
        cause = e.source();
    }
    error
}

/// A SQLite file, opened read-only.
pub(crate) struct Sqlite {
    connection: Connection,
    identity: String,
}

impl Sqlite {
    /// Opens `path` and takes one snapshot.
    ///
    /// # Errors
    /// When it is not there, or is no SQLite database.
    pub(crate) fn open(path: &Path) -> Result<Sqlite> {
        let doing = || format!("open {}", path.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).doing(doing)?;
        connection
            // The read of sqlite_master takes the snapshot: a deferred transaction has none before its first read
            // (SQLite, "Transaction", 2.1). query_only holds even where a view or a trigger would write.
            .execute_batch("pragma query_only = on; begin; select count(*) from sqlite_master")
            .doing(doing)?;
        let whole = path.canonicalize().doing(doing)?;
        Ok(Sqlite { connection, identity: whole.display().to_string() })
    }
}

impl RowSource for Sqlite {
    fn for_each_row(&mut self, sql: &str, each: &mut dyn FnMut(&Cells<'_>) -> Result<()>) -> Result<()> {
        let doing = || "read the accounts".to_string();
        let hint = "name tables and columns with --mapping, or let --detect propose it";
        let mut statement = self.connection.prepare(sql).doing(doing).map_err(|e| e.hint(hint))?;
        let width = statement.column_count();
        let mut rows = statement.query([]).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            let mut cells = [const { None }; WIDTH];
            for (i, cell) in cells.iter_mut().enumerate().take(width) {
                *cell = value_text(row.get_ref(i).doing(doing)?);
            }
            let cells: [Option<&str>; WIDTH] = std::array::from_fn(|i| cells[i].as_deref());
            each(&cells[..width])?;
        }
        Ok(())
    }

    fn concat(&self) -> &'static str {
        "group_concat"
    }

    fn read_tables(&mut self) -> Result<Vec<SourceTable>> {
        let sql = "select 'main', m.name, c.name, c.type, (select 'main' || char(31) || f.\"table\" || char(31) || coalesce(f.\"to\", '') \
                   from pragma_foreign_key_list(m.name) f where f.\"from\" = c.name limit 1) \
                   from sqlite_master m join pragma_table_info(m.name) c \
                   where m.type in ('table', 'view') order by 2, c.cid";
        gather_tables(self, sql)
    }

    fn read_facts(&mut self) -> Result<AuditFacts> {
        Ok(AuditFacts {
            server: format!("SQLite {}", rusqlite::version()),
            address: self.identity.clone(),
            identity: self.identity.clone(),
            ..AuditFacts::default()
        })
    }

    fn identity(&self) -> &str {
        &self.identity
    }
}

/// SQLite keeps what it was given: numbers too, and text that is no UTF-8.
fn value_text(value: ValueRef<'_>) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
        ValueRef::Integer(n) => Some(n.to_string().into()),
        ValueRef::Real(n) => Some(n.to_string().into()),
    }
}

/// One database to audit.
#[derive(Clone, Debug)]
pub(crate) enum AuditTarget {
    Pg(Box<ConnInfo>),
    Sqlite(std::path::PathBuf),
}

impl AuditTarget {
    /// The database's name, or the file's.
    pub(crate) fn name(&self) -> String {
        match self {
            AuditTarget::Pg(to) => to.dbname().to_string(),
            AuditTarget::Sqlite(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}
