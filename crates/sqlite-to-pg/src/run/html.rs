//! The report as one page that needs nothing else.

use super::report::{Line, Summary};
use std::path::Path;
use toban_core::{Context, Record, Result, durable, out};

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25em .7em;border-bottom:1px solid #ddd;vertical-align:top}th{border-bottom:2px solid #888}\
td.n{text-align:right;font-variant-numeric:tabular-nums}.skipped,.not-valid,.difference{background:#fff3e0}h1{font-size:1.4em}";

/// Writes it whole.
///
/// # Errors
/// Those of the file system.
pub(super) fn write(lines: &[Line], summary: &Summary, path: &Path) -> Result<()> {
    let page = page(lines, summary);
    durable::replace(path, 0o644, |w| {
        w.write_all(page.as_bytes()).doing(|| format!("write {}", path.display()))
    })
}

fn page(lines: &[Line], summary: &Summary) -> String {
    let verdict = match (summary.compared, summary.total) {
        (Some(rows), 0) => format!("{rows} rows were compared with the source: no difference."),
        (Some(_), n) => format!("The copy differs in {n} places, and was not kept."),
        (None, _) => "The copy was not compared.".into(),
    };
    let head: String = Line::HEAD.iter().map(|h| format!("<th>{h}</th>")).collect();
    let rows: String = lines.iter().map(row).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style>\n\
         <h1>{0} → {1}</h1>\n<p>{verdict} {2:.1} s.</p>\n<table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></html>\n",
        out::html(&summary.source),
        out::html(&summary.schema),
        summary.seconds
    )
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
    }
}
