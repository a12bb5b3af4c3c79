//! The verb `export`: the application's files again, from what the database holds now.

use crate::cli::ExportArgs;
use crate::json::{Shape, Value};
use crate::ledger;
use crate::model::compiled::compile_file;
use crate::model::{ColumnSource, FieldForm, FilePlan, FilledColumn, FilledTable, PathPlan, Zone};
use crate::proof::compare::for_each_object;
use crate::proof::rebuild::{is_rebuilt, rebuild_sql};
use crate::run::plan_zones;
use crate::source::records::{FileShape, KEY};
use crate::target;
use crate::write::JsonWriter;
use migrate::session;
use migrate::timestamp::{self, TO_1970};
use migrate::types::WireType;
use postgres::Client;
use serde::Serialize;
use std::io::Write;
use toban_core::pg::{ConnInfo, Ident};
use toban_core::{Context, Error, Out, Record, Result, durable};

/// A file that was written.
#[derive(Clone, Debug, Serialize)]
struct ExportedFile {
    file: String,
    table: String,
    records: u64,
    /// Paths that the plan dropped.
    without: Vec<String>,
}

impl Record for ExportedFile {
    const SCHEMA: &'static str = "json-to-pg.exported/1";
    const HEAD: &'static [&'static str] = &["file", "table", "records", "without"];

    fn cells(&self) -> Vec<String> {
        vec![self.file.clone(), self.table.clone(), self.records.to_string(), self.without.join(", ")]
    }
}

/// Writes each file of the last run's plan, whole or not at all.
///
/// # Errors
/// Usage when a file is there already; those of the server and the file system.
pub(crate) fn run(args: &ExportArgs, out: &mut Out<'_>) -> Result<()> {
    let to = ConnInfo::resolve(args.against.as_deref(), "json-to-pg")?;
    let mut client = session::open_session(&to)?;
    client
        .batch_execute("begin isolation level repeatable read, read only")
        .doing(|| "begin a read-only transaction".into())?;
    let last = ledger::read_last_run(&mut client)?;
    let known = target::read_known(&mut client)?;
    let zones = plan_zones(&last.plan)?;
    durable::create_dirs(&args.folder)?;
    for file in last.plan.moving_files() {
        let name = file.name.strip_suffix(".gz").unwrap_or(&file.name);
        let path = args.folder.join(name);
        if path.exists() {
            return Err(Error::usage(format!("{} is there already", path.display()))
                .hint("give a folder of its own; the application's files are not ours to replace"));
        }
        let table = compile_file(file, &known)?;
        let export = FileExport { file, table: &table, naive: &zones.naive, column: &zones.column };
        let mut records = 0;
        durable::replace(&path, 0o640, |w| {
            records = export.write_records(&mut client, w)?;
            Ok(())
        })?;
        let without = file.paths.iter().filter(|p| !p.drop.is_empty()).map(|p| p.path.clone()).collect();
        out.emit(&ExportedFile { file: name.into(), table: file.table.clone(), records, without })?;
    }
    Ok(())
}

struct FileExport<'a> {
    file: &'a FilePlan,
    table: &'a FilledTable,
    naive: &'a Zone,
    column: &'a Zone,
}

impl FileExport<'_> {
    fn write_records(&self, client: &mut Client, to: &mut dyn Write) -> Result<u64> {
        let doing = || format!("write {}", self.file.name);
        let order = match (self.file.order.as_str(), self.table.key.is_empty()) {
            ("", true) => "order by t0.ctid".to_string(),
            ("", false) => {
                let key = self
                    .table
                    .key
                    .iter()
                    .map(|at| format!("t0.{}", Ident::new(&*self.table.columns[*at].name)));
                format!("order by {}", key.collect::<Vec<_>>().join(", "))
            }
            (order, _) => format!("order by t0.{}", Ident::new(order)),
        };
        let mut writer = JsonWriter::new(&self.file.layout);
        let brackets = match &self.file.shape {
            FileShape::List => Some(('[', ']')),
            FileShape::Keyed => Some(('{', '}')),
            FileShape::Wrapped(key) => {
                writer.open_bracket('{');
                writer.put_key(key);
                Some(('[', ']'))
            }
            FileShape::Lines => None,
        };
        if let Some((open, _)) = brackets {
            writer.open_bracket(open);
        }
        let mut records = 0;
        let sql = rebuild_sql(self.table, "", &order);
        for_each_object(client, &sql, &self.table.name, |row| {
            records += 1;
            self.put_record(&mut writer, row);
            if writer.text.len() > 256 << 10 {
                to.write_all(writer.text.as_bytes()).doing(doing)?;
                writer.text.clear();
            }
            Ok(())
        })?;
        if let Some((_, close)) = brackets {
            writer.close_bracket(close);
        }
        if matches!(self.file.shape, FileShape::Wrapped(_)) {
            writer.close_bracket('}');
        }
        if self.file.layout.newline && self.file.shape != FileShape::Lines {
            writer.text.push('\n');
        }
        to.write_all(writer.text.as_bytes()).doing(doing)?;
        Ok(records)
    }

    fn put_record(&self, writer: &mut JsonWriter, row: Value<'_>) {
        match &self.file.shape {
            FileShape::Lines => {
                // One line a record, whatever the layout.
                let mut line = JsonWriter::new(&crate::source::layout::Layout {
                    indent: None,
                    ..self.file.layout.clone()
                });
                self.put_object(&mut line, self.table, row, "");
                writer.text.push_str(&line.text);
                writer.text.push('\n');
            }
            FileShape::Keyed => {
                let key = self
                    .table
                    .columns
                    .iter()
                    .position(|c| c.label == KEY)
                    .and_then(|at| row.get(&format!("c{at}")));
                writer.put_key(&key.map(|v| v.nearest_text_or_raw()).unwrap_or_default());
                self.put_object(writer, self.table, row, "");
            }
            FileShape::List | FileShape::Wrapped(_) => {
                writer.begin_item();
                self.put_object(writer, self.table, row, "");
            }
        }
    }

    /// The members at `prefix` in the order of the plan, which is that of the file.
    fn put_object(&self, writer: &mut JsonWriter, table: &FilledTable, row: Value<'_>, prefix: &str) {
        writer.open_bracket('{');
        self.put_members(writer, table, row, prefix);
        writer.close_bracket('}');
    }

    fn put_members(&self, writer: &mut JsonWriter, table: &FilledTable, row: Value<'_>, prefix: &str) {
        for path in &self.file.paths {
            let Some(name) = own_name(&path.path, prefix) else { continue };
            if path.split {
                writer.put_key(&name);
                self.put_object(writer, table, row, &format!("{}.", path.path));
            } else if let Some(at) = table.children.iter().position(|c| c.label == path.path) {
                let list = row.get(&format!("r{at}"));
                if list.is_some_and(|l| l.shape() == Shape::Array) || !path.absent {
                    writer.put_key(&name);
                    writer.open_bracket('[');
                    for item in list.into_iter().flat_map(|l| l.items()) {
                        writer.begin_item();
                        self.put_object(
                            writer,
                            &table.children[at].table,
                            item,
                            &format!("{}[].", path.path),
                        );
                    }
                    writer.close_bracket(']');
                }
            } else if let Some(at) = table.links.iter().position(|l| l.label == path.path) {
                writer.put_key(&name);
                writer.open_bracket('[');
                for item in row.get(&format!("l{at}")).into_iter().flat_map(|l| l.items()) {
                    writer.begin_item();
                    writer.put_value(item, &[]);
                }
                writer.close_bracket(']');
            } else {
                self.put_column(writer, table, row, path);
            }
        }
    }

    fn put_column(&self, writer: &mut JsonWriter, table: &FilledTable, row: Value<'_>, plan: &PathPlan) {
        let path = plan.path.as_str();
        let found = table.columns.iter().enumerate().find(|(_, c)| {
            c.exported && is_rebuilt(c) && (c.label == path || self.is_alternative(c, path)) && c.label != KEY
        });
        let Some((at, column)) = found else { return };
        let Some(value) = row.get(&format!("c{at}")) else { return };
        if column.label != path || (value.shape() == Shape::Null && column.absent) {
            return;
        }
        let names = crate::census::paths::split_path(path.rsplit("[].").next().unwrap_or(path));
        writer.put_key(names.last().map_or(path, String::as_str));
        match (value.shape(), column.field) {
            (Shape::String, FieldForm::Plain(wire @ (WireType::Timestamp | WireType::Timestamptz), _)) => {
                let text = value.nearest_text();
                writer.put_string(&self.time_text(column, wire, &text).unwrap_or_else(|| text.into_owned()));
            }
            _ => writer.put_value(value, &column.members),
        }
    }

    /// A second path of one column: its values stand under the first.
    fn is_alternative(&self, column: &FilledColumn, path: &str) -> bool {
        let names = crate::census::paths::split_path(path);
        matches!(&column.source, ColumnSource::Members(members) if members.len() > 1 && members.contains(&names))
    }

    /// A time as the application writes it: by the form of its file, the short one where the fraction is zero.
    fn time_text(&self, column: &FilledColumn, wire: WireType, text: &str) -> Option<String> {
        let time = timestamp::parse_timestamp(text.as_bytes())?;
        let instant = match wire {
            WireType::Timestamptz => time.utc(),
            _ => self.column.instant_of(time.local).ok()?,
        };
        let has_fraction = instant.rem_euclid(1_000_000) != 0;
        let naive = self.naive.clock_at(instant);
        let fits = |form: &&String| form.contains('.') == has_fraction;
        let form = column.forms.iter().find(fits).or_else(|| column.forms.first())?;
        let zoned = form.ends_with('Z') || form.get(19..).is_some_and(|rest| rest.contains(['+', '-']));
        Some(write_time(form, if zoned { instant } else { naive }))
    }
}

/// The name of a path that stands directly at `prefix`.
fn own_name(path: &str, prefix: &str) -> Option<String> {
    let rest = path.strip_prefix(prefix)?;
    let names = crate::census::paths::split_path(rest);
    match names.as_slice() {
        [name] if !rest.contains("[]") && !name.is_empty() => Some(name.clone()),
        _ => None,
    }
}

/// Writes microseconds since 2000 into the zeros of a form; a zone other than Z is written as zero.
fn write_time(form: &str, micros: i64) -> String {
    let shown = jiff::Timestamp::from_microsecond(micros.saturating_add(TO_1970))
        .map(|t| t.strftime("%Y%m%d%H%M%S%6f").to_string())
        .unwrap_or_default();
    let mut digits = shown.chars();
    form.chars().map(|c| if c == '0' { digits.next().unwrap_or('0') } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_the_forms_of_their_files() {
        let micros = timestamp::parse_timestamp(b"2026-01-07T11:49:50.796833").expect("a time").local;
        let cases = [
            ("0000-00-00T00:00:00.000000", "2026-01-07T11:49:50.796833"),
            ("0000-00-00T00:00:00.000Z", "2026-01-07T11:49:50.796Z"),
            ("0000-00-00 00:00", "2026-01-07 11:49"),
            ("0000-00-00", "2026-01-07"),
        ];
        cases.iter().for_each(|(form, text)| assert_eq!(write_time(form, micros), *text));
    }

    #[test]
    fn names_at_their_place() {
        assert_eq!(own_name("a", ""), Some("a".into()));
        assert_eq!(own_name("a.b", ""), None);
        assert_eq!(own_name("a.b", "a."), Some("b".into()));
        assert_eq!(own_name("a[].b", "a[]."), Some("b".into()));
        assert_eq!(own_name("a[].b", ""), None);
    }
}
