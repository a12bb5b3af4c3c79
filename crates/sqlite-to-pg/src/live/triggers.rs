//! The statements that capture changes, and those that keep the application from writing (pure).
//!
//! The log is append-only and has no unique key: the conflict clause of the application's statement holds inside of a
//! trigger too (<https://sqlite.org/lang_createtrigger.html>), and would make an INSERT OR IGNORE of ours fail its
//! UPDATE OR ABORT.

use super::keys::CapturedTable;
use crate::source::quote_name;

/// The table of the log; it lies in the application's file, for a trigger cannot write into another one.
pub(crate) const LOG: &str = "_toban_log";
/// The table that says what is captured.
pub(crate) const CAPTURE: &str = "_toban_capture";
/// What every trigger of ours is called by.
pub(crate) const PREFIX: &str = "_toban_";

/// A trigger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileTrigger {
    pub(crate) name: String,
    pub(crate) sql: String,
}

/// CREATE TABLE for both tables of ours. Keys have no declared type, so that each value keeps its class; no
/// AUTOINCREMENT, which would add a row to the application's sqlite_sequence.
pub(crate) fn tables_sql(tables: &[CapturedTable]) -> String {
    let most = tables.iter().map(|t| t.key.len()).max().unwrap_or(0).max(1);
    let keys: Vec<String> = (1..=most).map(|k| format!("k{k}")).collect();
    format!(
        "create table {LOG} (seq integer primary key, t integer, {}); \
         create table {CAPTURE} (uuid text, started text, state text, schema_version integer, tables text)",
        keys.join(", ")
    )
}

/// The triggers that log the changes of a table.
pub(crate) fn capture_triggers(table: &CapturedTable) -> Vec<FileTrigger> {
    if table.is_virtual {
        return Vec::new();
    }
    let replaced = log_replaced(table);
    let mut triggers = vec![
        make_trigger(table, "after_insert", &log_row(table, "new")),
        make_trigger(table, "after_update", &format!("{} {}", log_row(table, "old"), log_new_key(table))),
        make_trigger(table, "after_delete", &log_row(table, "old")),
    ];
    if !replaced.is_empty() {
        triggers.push(make_trigger(table, "before_insert", &replaced));
        triggers.push(make_trigger(table, "before_update", &replaced));
    }
    triggers.sort();
    triggers
}

/// The triggers that refuse every write of a table, whatever its conflict clause.
pub(crate) fn fence_triggers(table: &CapturedTable) -> Vec<FileTrigger> {
    if table.is_virtual {
        return Vec::new();
    }
    let refuse = "select raise(abort, 'moved to PostgreSQL: this SQLite file takes no more writes');";
    ["fence_insert", "fence_update", "fence_delete"].map(|kind| make_trigger(table, kind, refuse)).to_vec()
}

fn make_trigger(table: &CapturedTable, kind: &str, body: &str) -> FileTrigger {
    let when = match kind {
        "fence_insert" => "before insert",
        "fence_update" => "before update",
        "fence_delete" => "before delete",
        "before_insert" => "before insert",
        "before_update" => "before update",
        "after_insert" => "after insert",
        "after_update" => "after update",
        _ => "after delete",
    };
    let name = format!("{PREFIX}{}_{kind}", table.number);
    let sql = format!(
        "create trigger {} {when} on {} begin {body} end",
        quote_name(&name),
        quote_name(&table.name)
    );
    FileTrigger { name, sql }
}

/// The log's columns for this table: its number, and the key.
fn log_columns(table: &CapturedTable) -> String {
    let keys = (1..=table.key.len()).map(|k| format!(", k{k}"));
    format!("{LOG} (t{})", keys.collect::<String>())
}

fn key_of(table: &CapturedTable, row: &str) -> String {
    table.key.iter().map(|k| format!(", {row}.{}", quote_name(k))).collect()
}

fn log_row(table: &CapturedTable, row: &str) -> String {
    format!("insert into {} values ({}{});", log_columns(table), table.number, key_of(table, row))
}

/// The new key of an update, where it is another. By bytes: of a NOCASE key `a` and `A` are the same row and another
/// text.
fn log_new_key(table: &CapturedTable) -> String {
    let differs = |k: &String| format!("(new.{0} collate binary) is not old.{0}", quote_name(k));
    match table.key.is_empty() {
        true => String::new(),
        false => format!(
            "insert into {} select {}{} where {};",
            log_columns(table),
            table.number,
            key_of(table, "new"),
            table.key.iter().map(differs).collect::<Vec<_>>().join(" or ")
        ),
    }
}

/// Logs the rows that the write may replace; a row that it does not replace is logged in vain, and that is harmless.
fn log_replaced(table: &CapturedTable) -> String {
    let name = quote_name(&table.name);
    let one = |condition: &str| {
        let keys = key_of(table, &name);
        format!(
            "insert into {} select {}{keys} from {name} where {condition};",
            log_columns(table),
            table.number
        )
    };
    table.replaced.iter().map(|r| one(&r.condition)).collect::<Vec<_>>().join(" ")
}
