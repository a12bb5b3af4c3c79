//! The report as one page that needs nothing else: first what happened, what is missing and what a person must do, on one
//! screen; then each table; then everything else.

use super::report::{Report, ReportLine};
use crate::model::{Action, Cause, ObjectKind, Outcome, Policy, Table};
use std::collections::BTreeMap;
use std::path::Path;
use toban_core::{Context, Record, Result, durable, out};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25em .7em;border-bottom:1px solid #ddd;vertical-align:top}th{border-bottom:2px solid #888}\
td.n{text-align:right;font-variant-numeric:tabular-nums}.skipped,.not-valid,.written-to-a-file,.difference{background:#fff3e0}\
h1{font-size:1.4em}h2{font-size:1.15em;margin:1.2em 0 .3em}p,ul,ol{margin:.3em 0}code{background:#f2f2f2;padding:0 .2em}\
.verdict{font-size:1.15em;padding:.6em .9em;border-left:.4em solid #2e7d32;background:#edf7ed}.verdict.partly{border-color:#ef6c00;background:#fff3e0}\
.verdict.failed{border-color:#c62828;background:#fdecea}details{margin-top:1.2em}";

/// Objects of one kind that are named above; the table below has all.
const NAMED: usize = 6;

/// The page.
pub(super) struct Page<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) lines: &'a [ReportLine],
    /// Database, role and host.
    pub(super) target: &'a str,
    /// Where the other files lie.
    pub(super) folder: &'a Path,
}

impl Page<'_> {
    /// Writes it whole.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let page = self.page_text();
        durable::replace(path, 0o644, |w| {
            w.write_all(page.as_bytes()).doing(|| format!("write {}", path.display()))
        })
    }

    fn page_text(&self) -> String {
        let (class, verdict) = self.verdict_line();
        let title = format!(
            "{} → schema {}, {}",
            out::html(&self.report.args.db.display().to_string()),
            out::html(&self.report.plan.schema),
            out::html(self.target)
        );
        let section = |head: &str, list: &str, items: Vec<String>| match items.is_empty() {
            true => String::new(),
            false => format!("<h2>{head}</h2>\n<{list}>\n{}</{list}>\n", items.concat()),
        };
        let (tables, others): (Vec<&ReportLine>, Vec<&ReportLine>) =
            self.lines.iter().partition(|l| l.kind == "table");
        format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\n<h1>{title}</h1>\n\
             <p class=\"verdict {class}\">{verdict}</p>\n{}{}{}<h2>Tables</h2>\n{}<details><summary>Everything else that was decided, and how long it took</summary>\n{}</details></html>\n",
            section("What happened", "ul", self.what_happened()),
            section("What is missing", "ul", self.what_is_missing()),
            section("What you must do", "ol", self.what_to_do()),
            table_html(&tables),
            table_html(&others)
        )
    }

    /// The verdict's colour, and its sentence.
    fn verdict_line(&self) -> (&'static str, String) {
        let (summary, trial) = (self.report.summary, self.report.args.trial);
        let (class, text) = match (summary.total, summary.placed, trial) {
            (n, ..) if n > 0 => {
                let text = format!(
                    "Nothing was kept: the copy differs from the source in {n} places. The target is as it was."
                );
                return ("failed", text);
            }
            (_, false, false) => {
                ("failed", "Nothing was kept: the run did not end. The target is as it was.")
            }
            (_, _, true) if summary.compared.is_none() => {
                ("partly", "Trial run, and not compared. Nothing was put in place.")
            }
            (_, _, true) if self.report.is_whole() => {
                ("", "Trial run: everything would be there, and equal. Nothing was put in place.")
            }
            (_, _, true) => ("partly", "Trial run: not everything would be there. Nothing was put in place."),
            _ if summary.compared.is_none() => ("partly", "In place, but not compared with the source."),
            _ if self.report.is_whole() && !self.rounded_columns().is_empty() => (
                "",
                "In place: everything that the source has is there, and every value is equal or rounded.",
            ),
            _ if self.report.is_whole() => {
                ("", "In place: everything that the source has is there, and every value is equal.")
            }
            _ => ("partly", "In place, but not everything that the source has is there."),
        };
        (class, text.into())
    }

    fn what_happened(&self) -> Vec<String> {
        let (report, summary) = (self.report, self.report.summary);
        let rows: u64 = summary.loaded.values().map(|l| l.rows).sum();
        let mut items = vec![format!(
            "{} with {rows} rows were copied in {:.1} s.",
            counted(summary.loaded.len(), "table"),
            summary.seconds
        )];
        items.extend(self.rows_before());
        items.extend(summary.compared.map(|n| match summary.total {
            0 => format!(
                "{n} rows were compared with the source value by value: no difference in what was copied."
            ),
            different => format!(
                "{n} rows were compared with the source: {different} differences, the first of them below."
            ),
        }));
        let rounded = self.rounded_columns();
        if !rounded.is_empty() {
            items.push(format!(
                "Times that are finer than their type keeps were rounded, as the plan says, in {}",
                first_named(&rounded)
            ));
        }
        let not_valid = report.with_outcome(Outcome::NotValid);
        let not_valid: Vec<String> = not_valid.map(|o| format!("{} ({})", o.name, o.reason())).collect();
        if !not_valid.is_empty() {
            items.push(format!(
                "NOT VALID, because there are rows that break them; they hold for new rows: {}",
                first_named(&not_valid)
            ));
        }
        let excluded = report.with_outcome(Outcome::Skipped).filter(|o| o.cause == Cause::Excluded).count();
        if excluded > 0 {
            items.push(format!("Excluded by name: {}.", counted(excluded, "object")));
        }
        let replanned = report.objects.iter().filter(|s| s.planned.is_some());
        let replanned: Vec<String> = replanned.map(|s| s.object.title()).collect();
        if !replanned.is_empty() {
            items.push(format!(
                "{} objects have another outcome than planned (the plan is in plan.toml): {}",
                replanned.len(),
                first_named(&replanned)
            ));
        }
        items.iter().map(|text| list_item(text)).collect()
    }

    /// What became of the rows that the application's tables held.
    fn rows_before(&self) -> Vec<String> {
        let words = [
            (Action::Truncate, "Rows that were there before are gone, --undo brings them back"),
            (Action::Upsert, "Rows of the same primary key were replaced, --undo brings them back"),
            (Action::SkipExisting, "Rows of the source whose key was there already were left out"),
        ];
        let of = |action: Action| -> Vec<&str> {
            let tables = self.report.plan.tables.iter().filter(|t| t.action == action);
            tables.map(|t| t.target.as_str()).collect()
        };
        let told = words.iter().map(|(action, words)| (of(*action), words));
        let told = told.filter(|(tables, _)| self.report.summary.placed && !tables.is_empty());
        told.map(|(tables, words)| format!("{words}: {}", first_named(&tables))).collect()
    }

    /// Columns whose times may have been rounded.
    fn rounded_columns(&self) -> Vec<String> {
        let columns = |t: &Table| {
            let rounded =
                t.copied_columns().filter(|c| c.policy == Policy::Round && c.pg_type.starts_with("time"));
            rounded.map(|c| format!("{}.{}", t.source, c.source)).collect::<Vec<String>>()
        };
        self.report.plan.tables.iter().flat_map(columns).collect()
    }

    fn what_is_missing(&self) -> Vec<String> {
        let rejects = self.report.reject_counts.iter();
        let mut items: Vec<String> = rejects
            .map(|(table, n)| {
                format!("{n} values of {table} are not there as they were: row by row in rejects.jsonl.")
            })
            .collect();
        let mut kinds: BTreeMap<ObjectKind, Vec<String>> = BTreeMap::new();
        for object in self.report.missing_objects() {
            kinds.entry(object.kind).or_default().push(format!("{} ({})", object.name, object.reason()));
        }
        items.extend(
            kinds
                .iter()
                .map(|(kind, own)| format!("{}: {}", counted(own.len(), kind.name()), first_named(own))),
        );
        items.iter().map(|text| list_item(text)).collect()
    }

    fn what_to_do(&self) -> Vec<String> {
        let report = self.report;
        if report.summary.total > 0 {
            return vec![list_item(
                "Look at the differences below; change a rule (--cast, a type or policy of the plan), and run again.",
            )];
        }
        let file =
            |name: &str| format!("<code>{}</code>", out::html(&self.folder.join(name).display().to_string()));
        let is_missing = |outcome: Outcome, kind: Option<ObjectKind>| {
            report.missing_objects().any(|o| o.outcome == outcome && kind.is_none_or(|kind| o.kind == kind))
        };
        let mut items = Vec::new();
        if report.count_unaccepted() > 0 {
            items.push(format!(
                "Find a rule for the values in {}, and load them with <code>run … --rejects FILE --cast …</code>; or accept them: <code>accept_rejects = true</code> in the plan.",
                file("rejects.jsonl")
            ));
        }
        if is_missing(Outcome::Written, Some(ObjectKind::View)) {
            items.push(format!("Finish the views in {} and run it with psql.", file("views.sql")));
        }
        if is_missing(Outcome::Written, Some(ObjectKind::Trigger)) {
            items.push(format!(
                "Write the triggers in PL/pgSQL; their frames are in {}.",
                file("triggers.sql")
            ));
        }
        if is_missing(Outcome::Skipped, None) {
            items.push(format!("Make by hand what else is missing, from SQLite's statements in {}; or, where it may be missing, say so: <code>--exclude KIND:NAME</code>.", file("others.sql")));
        }
        if report.with_outcome(Outcome::NotValid).next().is_some() {
            items.push("Correct the rows that break a constraint, or delete them; then <code>alter table … validate constraint …</code>.".into());
        }
        if items.is_empty() {
            let text = if report.args.trial {
                "Run it without --trial."
            } else {
                "Nothing. The application may use the copy."
            };
            items.push(text.into());
        }
        if report.summary.placed {
            items.push("To take all of it back: <code>sqlite-to-pg run … --undo</code>.".into());
        }
        items.iter().map(|html| format!("<li>{html}</li>\n")).collect()
    }
}

/// `1 view`, `2 indexes`.
fn counted(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        _ if what.ends_with('x') => format!("{n} {what}es"),
        _ if what.ends_with('y') => format!("{n} {}ies", what.trim_end_matches('y')),
        _ => format!("{n} {what}s"),
    }
}

/// The first of a list; the table below has all.
fn first_named<S: AsRef<str>>(all: &[S]) -> String {
    let more = if all.len() > NAMED { "; … all are below" } else { "" };
    let named: Vec<&str> = all.iter().take(NAMED).map(AsRef::as_ref).collect();
    format!("{}{more}", named.join("; "))
}

fn list_item(text: &str) -> String {
    format!("<li>{}</li>\n", out::html(text))
}

fn table_html(lines: &[&ReportLine]) -> String {
    let head: String = ReportLine::HEAD.iter().map(|h| format!("<th>{h}</th>")).collect();
    let rows: String = lines.iter().map(|line| row_html(line)).collect();
    format!("<table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table>\n")
}

fn row_html(line: &ReportLine) -> String {
    let cells: String = line
        .cells()
        .iter()
        .enumerate()
        .map(|(at, cell)| {
            format!("<td{}>{}</td>", if (2..6).contains(&at) { " class=\"n\"" } else { "" }, out::html(cell))
        })
        .collect();
    let class = if line.kind == "difference" { "difference".into() } else { line.outcome.replace(' ', "-") };
    format!("<tr class=\"{class}\">{cells}</tr>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_data_is_markup() {
        assert_eq!(out::html("<script>\"&\""), "&lt;script&gt;&quot;&amp;&quot;");
        assert!(list_item("<b>").contains("&lt;b&gt;"));
    }
}
