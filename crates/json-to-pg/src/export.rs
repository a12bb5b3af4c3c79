//! The verb `export`: the application's files again, from what the database holds now.

use crate::cli::ExportArgs;
use crate::json::{Shape, Value};
use crate::ledger;
use crate::load::misfit::Misfit;
use crate::model::compiled::compile_file;
use crate::model::{
    ColumnSource, FieldForm, FilePlan, FilledColumn, FilledTable, PathPlan, ValueConversion, Zone,
};
use crate::proof::compare::for_each_object;
use crate::proof::rebuild::{is_rebuilt, rebuild_sql};
use crate::run::plan_zones;
use crate::source::layout::Layout;
use crate::source::records::{FileShape, KEY};
use crate::target;
use crate::unexported::list_unexported;
use crate::write::JsonWriter;
use migrate::session;
use migrate::timestamp::{self, TO_1970};
use migrate::types::WireType;
use postgres::Client;
use serde::Serialize;
use std::io::Write;
use toban_core::pg::{ConnInfo, Ident};
use toban_core::{Context, Error, Kind, Out, Record, Result, durable};

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
/// Usage when a file is there already, and when the names of keyed records are in no column; Partial when the database holds
/// what the files cannot; those of the server and the file system.
pub(crate) fn run(args: &ExportArgs, out: &mut Out<'_>) -> Result<()> {
    let to = ConnInfo::resolve(args.against.as_deref(), "json-to-pg")?;
    let mut client = session::open_session(&to)?;
    client
        .batch_execute("begin isolation level repeatable read, read only")
        .doing(|| "begin a read-only transaction".into())?;
    // By one snapshot from here on: records of two files that refer to each other are of one state (manual,
    // "Repeatable Read Isolation Level").
    let last = ledger::read_last_run(&mut client)?;
    let known = target::read_known(&mut client)?;
    let zones = plan_zones(&last.plan)?;
    durable::create_dirs(&args.folder)?;
    let mut unwritten = 0;
    for file in last.plan.moving_files() {
        let name = file.name.strip_suffix(".gz").unwrap_or(&file.name);
        let path = args.folder.join(name);
        if path.exists() {
            return Err(Error::usage(format!("{} is there already", path.display()))
                .hint("give an empty folder: export replaces no file"));
        }
        let table = compile_file(file, &known)?;
        if file.shape == FileShape::Keyed && !table.columns.iter().any(|c| c.label == KEY) {
            return Err(Error::usage(format!(
                "{name}: the plan dropped the keys of its records, and no column holds them"
            ))
            .hint("a file of records by id cannot be written again without their ids"));
        }
        let export = FileExport { file, table: &table, naive: &zones.naive, column: &zones.column };
        let (mut records, mut lost) = (0, Vec::new());
        // Under its name only when it is whole and synced: an application that starts meanwhile must not read half of
        // its records.
        durable::replace(&path, 0o640, |w| {
            (records, lost) = export.write_records(&mut client, w)?;
            Ok(())
        })?;
        lost.extend(list_unexported(&mut client, &table, &known, &last.transaction)?);
        lost.iter().for_each(|what| log::warn!("{name}: {what}"));
        unwritten += lost.len();
        let without = file.paths.iter().filter(|p| !p.drop.is_empty()).map(|p| p.path.clone()).collect();
        out.emit(&ExportedFile { file: name.into(), table: file.table.clone(), records, without })?;
    }
    match unwritten {
        0 => Ok(()),
        n => Err(Error::new(
            Kind::Partial,
            format!("the files are written without {n} of the database's columns or values"),
        )
        .hint("each is named above: keep the database until somebody has looked at it")),
    }
}

/// A clock where the file has no time that shows how it writes them.
const DEFAULT_CLOCK: &str = "0000-00-00T00:00:00";

/// What a file's records are written to.
struct ExportSink {
    writer: JsonWriter,
    /// The key of the record that is being written.
    record: String,
    /// Values that no form of JSON's times holds, with their places.
    lost: Vec<String>,
}

struct FileExport<'a> {
    file: &'a FilePlan,
    table: &'a FilledTable,
    naive: &'a Zone,
    column: &'a Zone,
}

impl FileExport<'_> {
    /// The number of records, and what could not be written as it is.
    fn write_records(&self, client: &mut Client, to: &mut dyn Write) -> Result<(u64, Vec<String>)> {
        let doing = || format!("write {}", self.file.name);
        let order = match (self.file.order.as_str(), self.table.key.is_empty()) {
            // Without a key their place is all that orders them: that of the load, until a row is updated.
            ("", true) => "order by t0.ctid".to_string(),
            ("", false) => {
                let key = self
                    .table
                    .key
                    .iter()
                    .map(|at| &self.table.columns[*at])
                    .map(|c| format!("t0.{}{}", Ident::new(&*c.name), order_of(c)));
                format!("order by {}", key.collect::<Vec<_>>().join(", "))
            }
            (order, _) => format!("order by t0.{}", Ident::new(order)),
        };
        let writer = JsonWriter::new(&self.file.layout);
        let mut sink = ExportSink { writer, record: String::new(), lost: Vec::new() };
        let brackets = match &self.file.shape {
            FileShape::List => Some(('[', ']')),
            FileShape::Keyed => Some(('{', '}')),
            FileShape::Wrapped(key) => {
                sink.writer.open_bracket('{');
                sink.writer.put_key(key);
                Some(('[', ']'))
            }
            FileShape::Lines => None,
        };
        if let Some((open, _)) = brackets {
            sink.writer.open_bracket(open);
        }
        let mut records = 0;
        let sql = rebuild_sql(self.table, "", &order);
        for_each_object(client, &sql, &self.table.name, |row| {
            records += 1;
            sink.record = row.get("k").map(|k| k.nearest_text_or_raw()).unwrap_or_default();
            self.put_record(&mut sink, row);
            if sink.writer.text.len() > 256 << 10 {
                to.write_all(sink.writer.text.as_bytes()).doing(doing)?;
                sink.writer.text.clear();
            }
            Ok(())
        })?;
        if let Some((_, close)) = brackets {
            sink.writer.close_bracket(close);
        }
        if matches!(self.file.shape, FileShape::Wrapped(_)) {
            sink.writer.close_bracket('}');
        }
        if self.file.layout.newline && self.file.shape != FileShape::Lines {
            sink.writer.text.push('\n');
        }
        to.write_all(sink.writer.text.as_bytes()).doing(doing)?;
        Ok((records, sink.lost))
    }

    fn put_record(&self, to: &mut ExportSink, row: Value<'_>) {
        match &self.file.shape {
            FileShape::Lines => {
                // One line a record, whatever the layout.
                let layout = Layout { indent: None, ..self.file.layout.clone() };
                let before = std::mem::replace(&mut to.writer, JsonWriter::new(&layout));
                self.put_object(to, self.table, row, "");
                let line = std::mem::replace(&mut to.writer, before).text;
                to.writer.text.push_str(&line);
                to.writer.text.push('\n');
            }
            FileShape::Keyed => {
                let key = self
                    .table
                    .columns
                    .iter()
                    .position(|c| c.label == KEY)
                    .and_then(|at| row.get(&format!("c{at}")));
                to.writer.put_key(&key.map(|v| v.nearest_text_or_raw()).unwrap_or_default());
                self.put_object(to, self.table, row, "");
            }
            FileShape::List | FileShape::Wrapped(_) => {
                to.writer.begin_item();
                self.put_object(to, self.table, row, "");
            }
        }
    }

    /// The members at `prefix` in the order of the plan, which is that of the file.
    fn put_object(&self, to: &mut ExportSink, table: &FilledTable, row: Value<'_>, prefix: &str) {
        to.writer.open_bracket('{');
        self.put_members(to, table, row, prefix);
        to.writer.close_bracket('}');
    }

    fn put_members(&self, to: &mut ExportSink, table: &FilledTable, row: Value<'_>, prefix: &str) {
        for path in &self.file.paths {
            let Some(name) = own_name(&path.path, prefix) else { continue };
            if path.split {
                to.writer.put_key(&name);
                self.put_object(to, table, row, &format!("{}.", path.path));
            } else if let Some(at) = table.children.iter().position(|c| c.label == path.path) {
                let list = row.get(&format!("r{at}"));
                if list.is_some_and(|l| l.shape() == Shape::Array) || !path.absent {
                    to.writer.put_key(&name);
                    to.writer.open_bracket('[');
                    for item in list.into_iter().flat_map(|l| l.items()) {
                        to.writer.begin_item();
                        self.put_object(to, &table.children[at].table, item, &format!("{}[].", path.path));
                    }
                    to.writer.close_bracket(']');
                }
            } else if let Some(at) = table.links.iter().position(|l| l.label == path.path) {
                to.writer.put_key(&name);
                to.writer.open_bracket('[');
                for item in row.get(&format!("l{at}")).into_iter().flat_map(|l| l.items()) {
                    to.writer.begin_item();
                    to.writer.put_value(item, &[]);
                }
                to.writer.close_bracket(']');
            } else {
                self.put_column(to, table, row, path);
            }
        }
    }

    fn put_column(&self, to: &mut ExportSink, table: &FilledTable, row: Value<'_>, plan: &PathPlan) {
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
        to.writer.put_key(names.last().map_or(path, String::as_str));
        let is_list = matches!(column.field, FieldForm::List(..)) && value.shape() == Shape::Array;
        match column.field {
            FieldForm::Plain(wire @ (WireType::Timestamp | WireType::Timestamptz), _) => {
                self.put_time(to, column, wire, value);
            }
            FieldForm::List(wire @ (WireType::Timestamp | WireType::Timestamptz), ..) if is_list => {
                to.writer.open_bracket('[');
                for item in value.items() {
                    to.writer.begin_item();
                    self.put_time(to, column, wire, item);
                }
                to.writer.close_bracket(']');
            }
            _ => to.writer.put_value(value, &column.members),
        }
    }

    /// A second path of one column: its values stand under the first.
    fn is_alternative(&self, column: &FilledColumn, path: &str) -> bool {
        let names = crate::census::paths::split_path(path);
        matches!(&column.source, ColumnSource::Members(members) if members.len() > 1 && members.contains(&names))
    }

    /// A time as the application writes it, and as much of it as the database holds.
    fn put_time(&self, to: &mut ExportSink, column: &FilledColumn, wire: WireType, value: Value<'_>) {
        if value.shape() != Shape::String {
            return to.writer.put_value(value, &[]);
        }
        let text = value.nearest_text();
        // Years beyond four digits, infinity: PostgreSQL's own text has all of it.
        let Some(time) = timestamp::parse_timestamp(text.as_bytes()) else {
            return to.writer.put_string(&text);
        };
        let instant = match wire {
            WireType::Timestamptz => Ok(time.utc()),
            _ => self.column.instant_of(time.local),
        };
        match (instant, column.convert) {
            (Ok(instant), Some(ValueConversion::EpochS)) => to.writer.text += &write_epoch(instant, 6),
            (Ok(instant), Some(ValueConversion::EpochMs)) => to.writer.text += &write_epoch(instant, 3),
            (Ok(instant), _) => to.writer.put_string(&self.write_instant(&column.forms, instant)),
            (Err(why), _) => {
                to.writer.put_string(&text);
                let why = Misfit::from(why).text();
                to.lost.push(format!("record {}, {}: {why}", to.record, column.label));
            }
        }
    }

    /// An instant in one of these forms. Where some name a zone and some do not, those that do: no reader can take them for
    /// another instant.
    fn write_instant(&self, forms: &[String], instant: i64) -> String {
        let has_fraction = instant.rem_euclid(1_000_000) != 0;
        let zoned = forms.iter().any(|form| !split_zone(form).1.is_empty());
        let mut likely = forms.iter().filter(|form| split_zone(form).1.is_empty() != zoned);
        let form = likely.clone().find(|form| form.contains('.') == has_fraction).or_else(|| likely.next());
        let (clock, zone) = form.map_or((DEFAULT_CLOCK, "Z"), |form| split_zone(form));
        if zoned || !zone.is_empty() {
            let east = zone_seconds(zone);
            return write_clock(clock, instant + east * 1_000_000) + zone;
        }
        let naive = self.naive.clock_at(instant);
        match self.naive.instant_of(naive) {
            Ok(same) if same == instant => write_clock(clock, naive),
            // The clocks showed it twice, or it lies at the edge of the calendar: only a zone says which instant it is.
            _ => write_clock(clock, instant) + "Z",
        }
    }
}

/// Texts stand in the order of their bytes, whatever the database's collation is.
fn order_of(column: &FilledColumn) -> &'static str {
    if matches!(column.field, FieldForm::Plain(WireType::Text, _)) { " collate \"C\"" } else { "" }
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

/// The clock and the zone of a form or a time, as `0000-00-00T00:00` and `+09:00`.
fn split_zone(form: &str) -> (&str, &str) {
    let zone = form.char_indices().skip(11).find(|(_, c)| matches!(c, 'Z' | 'z' | '+' | '-' | ' '));
    form.split_at(zone.map_or(form.len(), |(at, _)| at))
}

/// Seconds east of UTC of a zone as times have it behind them.
fn zone_seconds(zone: &str) -> i64 {
    let time = timestamp::parse_timestamp(format!("2000-01-01T00:00:00{zone}").as_bytes());
    time.and_then(|t| t.zone).map_or(0, i64::from)
}

/// Writes microseconds since 2000 into the zeros of a form without a zone. What the form has no room for is appended: the time of
/// a day, seconds, a fraction.
fn write_clock(form: &str, micros: i64) -> String {
    let day = jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0);
    let shown = day
        .saturating_add(jiff::SignedDuration::from_micros(micros))
        .strftime("%Y-%m-%dT%H:%M:%S.%6f")
        .to_string();
    let digits = shown.chars().chain(std::iter::repeat('0'));
    let filled: String = form.chars().zip(digits).map(|(f, d)| if f == '0' { d } else { f }).collect();
    let ends = ["T00:00:00.000000", ":00.000000", ".000000"];
    let enough = match ends.iter().find(|end| shown.ends_with(*end)) {
        Some(end) => shown.len() - end.len(),
        None => shown.trim_end_matches('0').len(),
    };
    filled + shown.get(form.len()..enough).unwrap_or_default()
}

/// Microseconds since 2000 as a count since 1970 of units of 10^-6 * 10^`places` seconds, with what is finer behind a point.
fn write_epoch(micros: i64, places: u32) -> String {
    let micros = i128::from(micros) + i128::from(TO_1970);
    let unit = 10_i128.pow(places);
    let (sign, size) = (if micros < 0 { "-" } else { "" }, micros.abs());
    let fraction = format!("{:0width$}", size % unit, width = places as usize);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{}", size / unit),
        fraction => format!("{sign}{}.{fraction}", size / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn micros(text: &str) -> i64 {
        timestamp::parse_timestamp(text.as_bytes()).expect("a time").local
    }

    #[test]
    fn clocks_in_the_forms_of_their_files() {
        let at = "2026-01-07T11:49:50.796833";
        let cases = [
            ("0000-00-00T00:00:00.000000", at, "2026-01-07T11:49:50.796833"),
            ("0000-00-00T00:00:00.000", at, "2026-01-07T11:49:50.796833"),
            ("0000-00-00T00:00:00.000000000", at, "2026-01-07T11:49:50.796833000"),
            ("0000-00-00T00:00:00", at, "2026-01-07T11:49:50.796833"),
            ("0000-00-00 00:00", at, "2026-01-07 11:49:50.796833"),
            ("0000-00-00", at, "2026-01-07T11:49:50.796833"),
            ("0000-00-00", "2026-01-07", "2026-01-07"),
            ("0000-00-00", "2026-01-07 10:20", "2026-01-07T10:20"),
            ("0000-00-00 00:00", "2026-01-07 11:49:20", "2026-01-07 11:49:20"),
            ("0000-00-00T00:00:00.000", "2026-01-07T11:49:50", "2026-01-07T11:49:50.000"),
            ("0000-00-00T00:00:00", "9999-12-31T23:59:59", "9999-12-31T23:59:59"),
        ];
        cases.iter().for_each(|(form, at, text)| assert_eq!(write_clock(form, micros(at)), *text, "{form}"));
        assert_eq!(split_zone("0000-00-00 00:00:00 +09:00"), ("0000-00-00 00:00:00", " +09:00"));
        assert_eq!((zone_seconds("Z"), zone_seconds(" +09:00"), zone_seconds("-0330")), (0, 32400, -12600));
        let epochs = [("1970-01-01T00:00:01.5", 6, "1.5"), ("1970-01-01T00:00:01.5", 3, "1500")];
        epochs.iter().for_each(|(at, places, text)| assert_eq!(write_epoch(micros(at), *places), *text));
        assert_eq!(write_epoch(micros("1969-12-31T23:59:59.25"), 6), "-0.75");
    }

    proptest! {
        #[test]
        fn no_form_and_no_zone_loses_a_microsecond(
            micros in micros("0001-01-02")..micros("9999-12-30"),
            rough in prop::sample::select(vec![1_i64, 1000, 1_000_000, 60_000_000, 86_400_000_000]),
            clock in prop::sample::select(vec!["0000-00-00", "0000-00-00 00:00", "0000-00-00T00:00:00",
                "0000-00-00T00:00:00.0", "0000-00-00T00:00:00.000", "0000-00-00T00:00:00.000000000"]),
            zone in prop::sample::select(vec!["", "Z", "+09:00", "-0330", " +00", "+05:45"]),
            more in prop::sample::select(vec!["", "0000-00-00T00:00:00", "0000-00-00T00:00:00.000Z"]),
            of in prop::sample::select(vec!["Asia/Tokyo", "Europe/Paris", "America/St_Johns", "UTC"]),
        ) {
            let micros = micros - micros.rem_euclid(rough);
            let zone = if clock.len() < 16 { "" } else { zone };
            let naive = Zone::parse_zone(of).expect("a zone");
            let file = FilePlan::default();
            let table = FilledTable {
                name: String::new(),
                create: false,
                columns: Vec::new(),
                key: Vec::new(),
                children: Vec::new(),
                links: Vec::new(),
            };
            let export = FileExport { file: &file, table: &table, naive: &naive, column: &naive };
            let forms: Vec<String> =
                [format!("{clock}{zone}"), more.to_string()].into_iter().filter(|f| !f.is_empty()).collect();
            let text = export.write_instant(&forms, micros);
            let back = timestamp::parse_timestamp(text.as_bytes()).expect("a time");
            let instant = match back.zone {
                Some(_) => back.utc(),
                None => naive.instant_of(back.local).expect("an instant"),
            };
            prop_assert_eq!(instant, micros, "{} in {:?}", text, forms);
        }
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
