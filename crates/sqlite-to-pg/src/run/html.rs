//! The report as one page that needs nothing else: first what happened, what is missing and what a person must do, on one
//! screen; then each table; then everything else.

use super::report::{self, Line, Summary};
use crate::load::rejects::Rejects;
use crate::plan::{Fate, Object, Plan};
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

/// All that the page tells.
pub(super) struct Page<'a> {
    pub(super) lines: &'a [Line],
    pub(super) plan: &'a Plan,
    pub(super) summary: &'a Summary,
    pub(super) rejects: &'a Rejects,
    /// Where the other files lie.
    pub(super) folder: &'a Path,
}

/// Writes it whole.
///
/// # Errors
/// Those of the file system.
pub(super) fn write(page: &Page<'_>, path: &Path) -> Result<()> {
    let page = page.text();
    durable::replace(path, 0o644, |w| {
        w.write_all(page.as_bytes()).doing(|| format!("write {}", path.display()))
    })
}

impl Page<'_> {
    fn text(&self) -> String {
        let summary = self.summary;
        let (class, verdict) = self.verdict();
        let title = format!(
            "{} → schema {}, {}",
            out::html(&summary.source),
            out::html(&summary.schema),
            out::html(&summary.target)
        );
        let section = |head: &str, list: &str, items: Vec<String>| match items.is_empty() {
            true => String::new(),
            false => format!("<h2>{head}</h2>\n<{list}>\n{}</{list}>\n", items.concat()),
        };
        let (tables, others): (Vec<&Line>, Vec<&Line>) = self.lines.iter().partition(|l| l.kind == "table");
        format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\n<h1>{title}</h1>\n\
             <p class=\"verdict {class}\">{verdict}</p>\n{}{}{}<h2>Tables</h2>\n{}<details><summary>Everything else that was decided, and how long it took</summary>\n{}</details></html>\n",
            section("What happened", "ul", self.happened()),
            section("What is missing", "ul", self.missing()),
            section("What you must do", "ol", self.to_do()),
            table(&tables),
            table(&others)
        )
    }

    fn verdict(&self) -> (&'static str, String) {
        let summary = self.summary;
        let whole = report::unaccepted(self.plan, self.rejects) == 0 && report::behind(self.plan).is_empty();
        match (summary.placed, summary.rehearsal, summary.total) {
            (_, _, n) if n > 0 => (
                "failed",
                format!(
                    "Nothing was kept: the copy differs from the source in {n} places. The target is as it was."
                ),
            ),
            (false, false, _) => {
                ("failed", "Nothing was kept: the run did not end. The target is as it was.".into())
            }
            (_, true, _) if summary.compared.is_none() => {
                ("partly", "Rehearsed, and not compared. Nothing was put in place.".into())
            }
            (_, true, _) if whole => {
                ("", "Rehearsed: everything would be there, and equal. Nothing was put in place.".into())
            }
            (_, true, _) => {
                ("partly", "Rehearsed: not everything would be there. Nothing was put in place.".into())
            }
            _ if summary.compared.is_none() => {
                ("partly", "In place, but not compared with the source.".into())
            }
            _ if whole => {
                ("", "In place: everything that the source has is there, and every value is equal.".into())
            }
            _ => ("partly", "In place, but not everything that the source has is there.".into()),
        }
    }

    fn happened(&self) -> Vec<String> {
        let summary = self.summary;
        let rows: u64 = summary.loaded.iter().map(|l| l.rows).sum();
        let mut items = vec![item(&format!(
            "{} tables with {rows} rows were copied in {:.1} s.",
            summary.loaded.len(),
            summary.seconds
        ))];
        items.extend(summary.compared.map(|n| item(&match summary.total {
            0 => format!("{n} rows were compared with the source value by value: no difference in what was copied."),
            different => format!("{n} rows were compared with the source: {different} differences, the first of them below."),
        })));
        let not_valid: Vec<&str> =
            self.plan.objects.iter().filter(|o| o.fate == Fate::NotValid).map(|o| &*o.name).collect();
        items.extend((!not_valid.is_empty()).then(|| {
            item(&format!(
                "{} constraints are NOT VALID, for there are rows that break them; they hold for new rows: {}",
                not_valid.len(),
                first(&not_valid)
            ))
        }));
        let meant =
            self.plan.objects.iter().filter(|o| o.fate == Fate::Skipped && o.why == "excluded").count();
        items.extend((meant > 0).then(|| item(&format!("{meant} objects were excluded by name."))));
        items
    }

    fn missing(&self) -> Vec<String> {
        let mut items = Vec::new();
        for (table, n) in self.rejects.counts() {
            items.push(item(&format!(
                "{n} values of {table} are not there as they were: row by row in rejects.jsonl."
            )));
        }
        let missing: Vec<&Object> = self.plan.objects.iter().filter(|o| o.is_missing()).collect();
        let mut kinds: Vec<&str> = missing.iter().map(|o| &*o.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let own: Vec<&&Object> = missing.iter().filter(|o| o.kind == kind).collect();
            let named: Vec<String> = own.iter().map(|o| format!("{} ({})", o.name, o.why)).collect();
            items.push(item(&format!("{} {kind}: {}", own.len(), first(&named))));
        }
        items
    }

    fn to_do(&self) -> Vec<String> {
        let summary = self.summary;
        let mut items = Vec::new();
        let file =
            |name: &str| format!("<code>{}</code>", out::html(&self.folder.join(name).display().to_string()));
        let raw = |text: String| format!("<li>{text}</li>\n");
        if summary.total > 0 {
            items.push(item("Look at the differences below; change a rule (--cast, a type or policy of the plan), and run again."));
            return items;
        }
        if report::unaccepted(self.plan, self.rejects) > 0 {
            items.push(raw(format!(
                "Find a rule for the values in {}, and load them with <code>run … --rejects FILE --cast …</code>; or accept them: <code>accept_rejects = true</code> in the plan.",
                file("rejects.jsonl")
            )));
        }
        let missing = |kind: &str, fate: Fate| {
            self.plan.objects.iter().any(|o| o.kind == kind && o.fate == fate && o.is_missing())
        };
        if missing("view", Fate::Written) {
            items.push(raw(format!("Finish the views in {} and run it with psql.", file("views.sql"))));
        }
        if missing("trigger", Fate::Written) {
            items.push(raw(format!(
                "Write the triggers in PL/pgSQL; their frames are in {}.",
                file("triggers.sql")
            )));
        }
        if self.plan.objects.iter().any(|o| o.is_missing() && o.fate == Fate::Skipped) {
            items.push(raw(format!("Make by hand what else is missing, from SQLite's words in {}; or, where it may lack, say so: <code>--exclude KIND:NAME</code>.", file("others.sql"))));
        }
        if self.plan.objects.iter().any(|o| o.fate == Fate::NotValid) {
            items.push(raw("Give rows without a parent one, or delete them; then <code>alter table … validate constraint …</code>.".into()));
        }
        if items.is_empty() {
            items.push(item(if summary.rehearsal {
                "Run it without --rehearse."
            } else {
                "Nothing. The application may use the copy."
            }));
        }
        items
    }
}

/// The first of a list; the table below has all.
fn first<S: AsRef<str>>(all: &[S]) -> String {
    let more = if all.len() > NAMED { "; … all are below" } else { "" };
    let named: Vec<&str> = all.iter().take(NAMED).map(AsRef::as_ref).collect();
    format!("{}{more}", named.join("; "))
}

fn item(text: &str) -> String {
    format!("<li>{}</li>\n", out::html(text))
}

fn table(lines: &[&Line]) -> String {
    let head: String = Line::HEAD.iter().map(|h| format!("<th>{h}</th>")).collect();
    let rows: String = lines.iter().map(|line| row(line)).collect();
    format!("<table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table>\n")
}

fn row(line: &Line) -> String {
    let cells: String = line
        .cells()
        .iter()
        .enumerate()
        .map(|(at, cell)| {
            format!("<td{}>{}</td>", if (2..6).contains(&at) { " class=\"n\"" } else { "" }, out::html(cell))
        })
        .collect();
    let class = if line.kind == "difference" { "difference".into() } else { line.fate.replace(' ', "-") };
    format!("<tr class=\"{class}\">{cells}</tr>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_data_is_markup() {
        assert_eq!(out::html("<script>\"&\""), "&lt;script&gt;&quot;&amp;&quot;");
        assert!(item("<b>").contains("&lt;b&gt;"));
    }
}
