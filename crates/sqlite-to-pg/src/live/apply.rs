//! Applies the log: the rows that it names are deleted in the target, and those that are still there are inserted as
//! they are now. Deleting all before inserting any lets two rows exchange a unique value.

use super::keys::CapturedTable;
use super::state::{RecopiedTable, note_recopied};
use super::triggers::LOG;
use crate::load::encode::{Encoder, Remedy, encoder};
use crate::load::rejects::Rejects;
use crate::load::stream::TableStream;
use crate::model::types::staged_type;
use crate::model::{Column, Plan, Table};
use crate::source::{display_value, open, quote_name};
use migrate::copy::{SIGNATURE, TRAILER};
use migrate::sql::{name_list, qualified_name};
use postgres::Client;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::io::Write;
use std::path::Path;
use toban_core::pg::Ident;
use toban_core::{Context, Error, Result, shutdown};

/// Bytes that are sent at a time.
const CHUNK: usize = 256 << 10;

/// Entries of the log: after the first, up to and with the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogRange {
    pub(super) after: i64,
    pub(super) upto: i64,
}

/// What was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// Keys that the log named.
    pub(super) keys: u64,
    /// Rows that were written.
    pub(super) rows: u64,
}

/// Applies changes to one copy.
pub(super) struct LoggedChanges<'a> {
    pub(super) plan: &'a Plan,
    pub(super) tables: &'a [CapturedTable],
    /// Named in errors.
    pub(super) path: &'a Path,
    pub(super) rejects: &'a Rejects,
}

/// A table whose changes are followed by its key.
pub(super) struct FollowedTable<'a> {
    pub(super) captured: &'a CapturedTable,
    pub(super) table: &'a Table,
    /// The columns of the key, in the log's order.
    pub(super) key: Vec<&'a Column>,
}

/// The keys of one table, on their way into a table of ours in the target.
pub(super) struct KeyList<'a> {
    pub(super) followed: &'a FollowedTable<'a>,
    pub(super) into: &'a str,
    pub(super) range: LogRange,
}

/// Why a table of the plan is not followed by its key; none when it is.
pub(super) fn why_recopied(captured: &CapturedTable, table: &Table) -> Option<String> {
    if captured.recopied.is_some() {
        return captured.recopied.clone();
    }
    let key: Option<Vec<&Column>> = captured.key.iter().map(|name| key_column(table, name)).collect();
    match key {
        None => Some("a column of its primary key is not copied".into()),
        Some(_) if table.key.is_empty() => Some("its primary key holds NULLs".into()),
        Some(key) if key.iter().any(|c| c.pg_type == "json") => {
            Some("its primary key is of type json".into())
        }
        Some(_) => None,
    }
}

fn key_column<'t>(table: &'t Table, name: &str) -> Option<&'t Column> {
    table.copied_columns().find(|c| c.source == name)
}

impl LoggedChanges<'_> {
    /// Applies a range of the log, in the transaction that `client` is in; `reader` sees one moment of the file,
    /// which the range ends with.
    ///
    /// # Errors
    /// Failed for a value that does not fit its column, naming table, row and column; those of either side.
    pub(super) fn apply_log(
        &self,
        reader: &Connection,
        client: &mut Client,
        range: LogRange,
    ) -> Result<Applied> {
        let followed = self.find_followed(reader, client, range)?;
        let mut applied = Applied::default();
        for table in &followed {
            applied.keys += self.delete_rows(reader, client, table, range)?;
        }
        for table in &followed {
            applied.rows += self.insert_rows(reader, client, table, range)?;
        }
        Ok(applied)
    }

    /// The tables that a range of the log names, but for those that are copied again: these are noted as changed.
    ///
    /// # Errors
    /// Those of either side.
    pub(super) fn find_followed(
        &self,
        reader: &Connection,
        client: &mut Client,
        range: LogRange,
    ) -> Result<Vec<FollowedTable<'_>>> {
        let mut followed = Vec::new();
        for number in self.logged_tables(reader, range)? {
            let Some(captured) = self.tables.iter().find(|t| t.number == number) else { continue };
            // A table that the plan leaves out is captured all the same: plans may change, the log does not.
            let Some(table) = self.plan.tables.iter().find(|t| t.source == captured.name) else { continue };
            match why_recopied(captured, table) {
                Some(why) => self.note_changed(client, table, why)?,
                None => {
                    let key = captured.key.iter().filter_map(|name| key_column(table, name)).collect();
                    followed.push(FollowedTable { captured, table, key });
                }
            }
        }
        Ok(followed)
    }

    fn note_changed(&self, client: &mut Client, table: &Table, why: String) -> Result<()> {
        let recopied = RecopiedTable { source: table.source.clone(), why, changed: true };
        note_recopied(client, &self.plan.schema, &recopied)
    }

    fn logged_tables(&self, reader: &Connection, range: LogRange) -> Result<Vec<i64>> {
        let explain = |e| open::explain_error(e, self.path);
        let sql = format!(
            "select distinct t from {LOG} where seq > {} and seq <= {} order by 1",
            range.after, range.upto
        );
        let mut statement = reader.prepare(&sql).map_err(explain)?;
        let rows = statement.query_map([], |r| r.get(0)).map_err(explain)?;
        rows.collect::<rusqlite::Result<_>>().map_err(explain)
    }

    /// Deletes every row that the log names; the answer is how many keys that were.
    fn delete_rows(
        &self,
        reader: &Connection,
        client: &mut Client,
        followed: &FollowedTable<'_>,
        range: LogRange,
    ) -> Result<u64> {
        let doing = || format!("delete the changed rows of {}", followed.table.source);
        let names = followed.key_names();
        let temp = format!("toban_keys_{}", followed.captured.number);
        make_temporary(client, &temp, &followed.typed_names()).doing(doing)?;
        let temp = format!("pg_temp.{temp}");
        let keys = self.send_keys(reader, client, &KeyList { followed, into: &temp, range })?;
        // Statistics, or the planner takes the list for a long one and reads the whole table.
        client.batch_execute(&format!("analyze {temp}")).doing(doing)?;
        let same: Vec<String> = names
            .iter()
            .zip(&followed.key)
            .map(|(k, c)| format!("t.{} = k.{k}::{}", Ident::new(&*c.target), c.pg_type))
            .collect();
        let name = qualified_name(&self.plan.schema, &followed.table.target);
        let sql = format!("delete from {name} t using {temp} k where {}", same.join(" and "));
        client.batch_execute(&sql).doing(doing)?;
        Ok(keys)
    }

    /// Sends the keys that the log names of one table; the answer is how many there are.
    ///
    /// # Errors
    /// Failed for one that its column does not take; those of either side.
    pub(super) fn send_keys(
        &self,
        reader: &Connection,
        client: &mut Client,
        list: &KeyList<'_>,
    ) -> Result<u64> {
        let KeyList { followed, into, range } = *list;
        let encoders = followed.key_encoders()?;
        let mut nulls = false;
        let mut sink = LiveCopy::open(client, into)?;
        let mut keys = 0;
        self.for_each(reader, &followed.keys_sql(range), |row| {
            keys += 1;
            match put_key(followed, &encoders, row, &mut sink.buffer)? {
                PutKey::Written => sink.flush(false),
                PutKey::NotThere => Ok(()),
                PutKey::Null => {
                    nulls = true;
                    Ok(())
                }
            }
        })?;
        sink.finish()?;
        if nulls {
            self.note_changed(client, followed.table, "its primary key holds NULLs".into())?;
        }
        Ok(keys)
    }

    /// Inserts the rows that are there now; the answer is how many.
    fn insert_rows(
        &self,
        reader: &Connection,
        client: &mut Client,
        followed: &FollowedTable<'_>,
        range: LogRange,
    ) -> Result<u64> {
        let sql = |stream: &TableStream<'_>| followed.rows_sql(stream, range);
        self.copy_rows(reader, client, followed.table, &sql)
    }

    /// Empties a table and fills it with all of its rows, in the transaction that `client` is in.
    ///
    /// # Errors
    /// Those of [`LoggedChanges::apply_log`].
    pub(super) fn recopy_table(
        &self,
        reader: &Connection,
        client: &mut Client,
        table: &Table,
    ) -> Result<u64> {
        let name = qualified_name(&self.plan.schema, &table.target);
        // Not TRUNCATE: readers of the target go on, and see the rows as they were until this transaction ends.
        client.batch_execute(&format!("delete from {name}")).doing(|| format!("empty {}", table.source))?;
        let sql = |stream: &TableStream<'_>| {
            let columns: Vec<String> = stream.columns.iter().map(|c| quote_name(c)).collect();
            let list = if columns.is_empty() { "1".into() } else { columns.join(", ") };
            format!("select {list} from {} not indexed", quote_name(&table.source))
        };
        self.copy_rows(reader, client, table, &sql)
    }

    /// Sends the rows of a query, and inserts them, cast to the target's types.
    fn copy_rows(
        &self,
        reader: &Connection,
        client: &mut Client,
        table: &Table,
        sql: &dyn Fn(&TableStream<'_>) -> String,
    ) -> Result<u64> {
        let doing = || format!("write the changed rows of {}", table.source);
        let staged = table.staged();
        let stream = TableStream::new(&staged, self.path)?;
        let temp = migrate::names::short_name(&format!("toban_rows_{}", table.target));
        let columns: Vec<String> =
            staged.columns.iter().map(|c| format!("{} {}", Ident::new(&*c.target), c.pg_type)).collect();
        let quoted = Ident::new(&*temp).to_string();
        make_temporary(client, &quoted, &columns).doing(doing)?;
        let mut rows = 0;
        let mut sink = LiveCopy::open(client, &format!("pg_temp.{quoted}"))?;
        self.for_each(reader, &sql(&stream), |row| {
            rows += u64::from(stream.put_row(row, &mut sink.buffer, self.rejects)?);
            sink.flush(false)
        })?;
        sink.finish()?;
        client.batch_execute(&insert_sql(self.plan, table, &quoted)).doing(doing)?;
        // Several tables may take turns under one name of 63 bytes.
        client.batch_execute(&format!("truncate pg_temp.{quoted}")).doing(doing)?;
        Ok(rows)
    }

    fn for_each(
        &self,
        reader: &Connection,
        sql: &str,
        mut each: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let explain = |e| open::explain_error(e, self.path);
        let mut statement = reader.prepare(sql).map_err(explain)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(explain)? {
            shutdown::check()?;
            each(row)?;
        }
        Ok(())
    }
}

/// The rows go with this session's transaction, the table with the session.
fn make_temporary(
    client: &mut Client,
    name: &str,
    columns: &[String],
) -> std::result::Result<(), postgres::Error> {
    let list = columns.join(", ");
    client
        .batch_execute(&format!("create temporary table if not exists {name} ({list}) on commit delete rows"))
}

fn insert_sql(plan: &Plan, table: &Table, temp: &str) -> String {
    let own = table.copied_columns().map(|c| c.target.as_str());
    let columns: Vec<&str> = own.chain(table.sets.iter().map(|s| s.column.as_str())).collect();
    let values = table.copied_columns().map(|c| format!("{}::{}", Ident::new(&*c.target), c.pg_type));
    let values: Vec<String> = values.chain(table.sets.iter().map(|s| s.expression.clone())).collect();
    let name = qualified_name(&plan.schema, &table.target);
    match columns.is_empty() {
        true => format!("insert into {name} select from pg_temp.{temp}"),
        false => format!(
            // The rows keep the numbers that they had, also where the column is GENERATED ALWAYS (manual, "INSERT").
            "insert into {name} ({}) overriding system value select {} from pg_temp.{temp}",
            name_list(&columns),
            values.join(", ")
        ),
    }
}

impl FollowedTable<'_> {
    /// What the log calls the key's columns.
    pub(super) fn key_names(&self) -> Vec<String> {
        (1..=self.key.len()).map(|k| format!("k{k}")).collect()
    }

    /// The same with the types in which they are sent.
    pub(super) fn typed_names(&self) -> Vec<String> {
        self.key_names().iter().zip(&self.key).map(|(k, c)| format!("{k} {}", staged_type(c))).collect()
    }

    /// The keys that the log names, each once.
    fn keys_sql(&self, range: LogRange) -> String {
        format!(
            "select distinct {} from {LOG} where t = {} and seq > {} and seq <= {}",
            self.key_names().join(", "),
            self.captured.number,
            range.after,
            range.upto
        )
    }

    /// The rows with these keys. The table's own collation finds them by its index, and the bytes decide: of a NOCASE
    /// key `a` and `A` are one row, which must come once.
    fn rows_sql(&self, stream: &TableStream<'_>, range: LogRange) -> String {
        let name = quote_name(&self.table.source);
        let columns: Vec<String> =
            stream.columns.iter().map(|c| format!("{name}.{}", quote_name(c))).collect();
        let same: Vec<String> = self
            .captured
            .key
            .iter()
            .zip(self.key_names())
            .map(|(column, k)| {
                let own = format!("{name}.{}", quote_name(column));
                format!("{own} is _toban_keys.{k} and ({own} collate binary) is _toban_keys.{k}")
            })
            .collect();
        let keys = self.keys_sql(range);
        format!(
            "select {} from ({keys}) _toban_keys cross join {name} on {}",
            columns.join(", "),
            same.join(" and ")
        )
    }

    fn key_encoders(&self) -> Result<Vec<Encoder>> {
        let one = |column: &&Column| {
            let staged = Column { pg_type: staged_type(column), ..(*column).clone() };
            encoder(&staged, true).ok_or_else(|| {
                let name = format!("{}.{}", self.table.source, column.source);
                Error::usage(format!("{name}: its conversion does not give {}", column.pg_type))
            })
        };
        self.key.iter().map(one).collect()
    }
}

/// What became of a key of the log.
enum PutKey {
    Written,
    /// The plan rejects such a row, so the target does not have it.
    NotThere,
    /// A part of it is NULL, which no key of PostgreSQL's finds.
    Null,
}

/// Appends a key, as the load wrote the row.
fn put_key(
    followed: &FollowedTable<'_>,
    encoders: &[Encoder],
    row: &Row<'_>,
    buffer: &mut Vec<u8>,
) -> Result<PutKey> {
    let start = buffer.len();
    let width = i16::try_from(encoders.len()).unwrap_or(i16::MAX);
    buffer.extend_from_slice(&width.to_be_bytes());
    for (at, encoder) in encoders.iter().enumerate() {
        let value = row.get_ref(at).doing(|| "read the log of changes".into())?;
        if matches!(value, ValueRef::Null) {
            buffer.truncate(start);
            return Ok(PutKey::Null);
        }
        let field = buffer.len();
        let Err(why) = encoder.put(value, buffer) else { continue };
        buffer.truncate(field);
        let nearest = match encoder.remedy(why, value) {
            Remedy::Nearest { .. } => encoder.put_nearest(value, buffer),
            Remedy::LeaveOut => {
                buffer.truncate(start);
                return Ok(PutKey::NotThere);
            }
            Remedy::Stop | Remedy::Null => Err(why),
        };
        nearest.map_err(|why| {
            let name = format!("{}.{}", followed.table.source, followed.key[at].source);
            Error::failed(format!("{name} of row {}: {}", display_value(value), why.text())).hint(
                "copy it again with another conversion or policy: run --undo --even-if-changed, run, sync",
            )
        })?;
    }
    Ok(PutKey::Written)
}

/// A COPY into a table of ours.
struct LiveCopy<'c> {
    writer: postgres::CopyInWriter<'c>,
    buffer: Vec<u8>,
}

impl<'c> LiveCopy<'c> {
    fn open(client: &'c mut Client, into: &str) -> Result<LiveCopy<'c>> {
        let sql = format!("copy {into} from stdin (format binary)");
        let writer = client.copy_in(&sql).doing(|| "begin COPY".into())?;
        Ok(LiveCopy { writer, buffer: SIGNATURE.to_vec() })
    }

    /// Sends what was gathered, once it is enough.
    fn flush(&mut self, all: bool) -> Result<()> {
        if all || self.buffer.len() >= CHUNK {
            for piece in self.buffer.chunks(8 << 20) {
                self.writer.write_all(piece).doing(|| "send rows".into())?;
            }
            self.buffer.clear();
            self.buffer.shrink_to(CHUNK * 2);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.buffer.extend_from_slice(&TRAILER);
        self.flush(true)?;
        self.writer.finish().doing(|| "end COPY".into()).map(drop)
    }
}
