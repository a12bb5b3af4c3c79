//! The report: one page that needs nothing else, for managers and auditors.

use crate::chart::{self, format_seconds};
use crate::proof::{CheckVerdict, Proof, ProofCheck};
use std::path::Path;
use toban_core::{Context, Result, durable, out};

const STYLE: &str = "body{font:14px/1.45 sans-serif;margin:2em auto;max-width:60em;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #bbb;padding:.25em .6em;text-align:left;\
vertical-align:top}h1 span{padding:.1em .4em;color:#fff}.good{background:#2c7a3f;fill:#2c7a3f}\
.bad{background:#b3261e;fill:#b3261e}tr.FAILED{background:#f8d0d0}tr.UNKNOWN{background:#e4dcf4}\
code{overflow-wrap:anywhere}svg text{font-size:11px;fill:#555}svg line{stroke:#b3261e;stroke-dasharray:4 3}";

/// Writes the page.
///
/// # Errors
/// Those of the file system.
pub(crate) fn write_report(path: &Path, proof: &Proof, drills: &[Proof]) -> Result<()> {
    durable::create_dirs(durable::folder_of(path))?;
    let page = render_page(proof, drills);
    durable::replace(path, 0o640, |w| w.write_all(page.as_bytes()).doing(|| "write the report".into()))
}

fn render_page(proof: &Proof, drills: &[Proof]) -> String {
    let (class, verdict) = if proof.passed { ("good", "passed") } else { ("bad", "FAILED") };
    let title =
        format!("Restore drill of {}, {}", proof.cluster, proof.started.strftime("%Y-%m-%d %H:%M UTC"));
    let title = escape_html(&title);
    // The page holds names and errors of a database that anybody may have written: it is opened without scripts.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title} <span class=\"{class}\">{verdict}</span></h1>\n{}{}{}\
         <h2>Recovery times of past drills</h2>\n{}{}</body>\n</html>\n",
        facts_table(proof),
        checks_table(proof),
        phases_table(proof),
        chart::draw_svg(drills),
        drills_table(drills),
    )
}

fn facts_table(proof: &Proof) -> String {
    let objective = |what: Option<f64>| what.map_or("none is set".into(), format_seconds);
    let opened_by = match proof.opened_by.as_slice() {
        [] if proof.backup.is_some() => "none: it is not encrypted".into(),
        [] => "unknown".into(),
        names => escape_html(&names.join(", ")),
    };
    let at_most = if proof.loss_is_exact { "" } else { "at most " };
    let rows = [
        ("Command", format!("<code>{}</code>", escape_html(&proof.command.join(" ")))),
        ("On", escape_html(&format!("{}, by {}", proof.host, proof.by))),
        ("Backup", escape_html(proof.backup.as_deref().unwrap_or("of another tool"))),
        ("Opened by the identity of", opened_by),
        ("PostgreSQL", proof.major.map_or("unknown".into(), |m| m.to_string())),
        ("System identifier", escape_html(proof.system_identifier.as_deref().unwrap_or("none: a dump"))),
        ("Restored", format!("{} files, {}", proof.files, out::bytes(proof.bytes))),
        ("Position reached", proof.reached_lsn.map_or("unknown".into(), |l| l.to_string())),
        (
            "Recovery point",
            proof
                .recovery_point
                .map_or("unknown".into(), |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
        ),
        ("Recovery time", proof.recovery_seconds.map_or("it did not recover".into(), format_seconds)),
        ("… objective", objective(proof.rto_seconds)),
        (
            "Lost, had the server gone when the drill began",
            proof.loss_seconds.map_or("unknown".into(), |s| format!("{at_most}{}", format_seconds(s))),
        ),
        ("… objective", objective(proof.rpo_seconds)),
    ];
    let rows: String =
        rows.iter().map(|(name, value)| format!("<tr><th>{name}</th><td>{value}</td></tr>\n")).collect();
    format!("<table>\n{rows}</table>\n")
}

fn checks_table(proof: &Proof) -> String {
    let row = |c: &ProofCheck| {
        let class = if c.verdict == CheckVerdict::Passed {
            String::new()
        } else {
            format!(" class=\"{}\"", c.verdict)
        };
        format!(
            "<tr{class}><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape_html(&c.check),
            c.verdict,
            escape_html(&c.finding)
        )
    };
    let rows: String = proof.checks.iter().map(row).collect();
    format!(
        "<h2>Checks</h2>\n<table>\n<tr><th>check</th><th>verdict</th><th>finding</th></tr>\n{rows}</table>\n"
    )
}

fn phases_table(proof: &Proof) -> String {
    let row = |p: &crate::proof::Phase| {
        format!("<tr><td>{}</td><td>{}</td></tr>\n", escape_html(&p.name), format_seconds(p.seconds))
    };
    let rows: String = proof.phases.iter().map(row).collect();
    format!("<h2>Phases</h2>\n<table>\n{rows}</table>\n")
}

fn drills_table(drills: &[Proof]) -> String {
    let row = |p: &Proof| {
        format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            p.started.strftime("%Y-%m-%d %H:%M UTC"),
            if p.passed { "passed" } else { "FAILED" },
            p.recovery_seconds.map_or(String::new(), format_seconds),
            p.loss_seconds.map_or(String::new(), format_seconds),
        )
    };
    let rows: String = drills.iter().rev().map(row).collect();
    format!(
        "<table>\n<tr><th>drill</th><th>verdict</th><th>recovery time</th><th>lost</th></tr>\n{rows}</table>\n"
    )
}

fn escape_html(text: &str) -> String {
    out::html(&out::escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_data_is_markup() {
        let evil = "<script>alert('x')</script>\"&";
        let check = ProofCheck { check: evil.into(), verdict: CheckVerdict::Failed, finding: evil.into() };
        let mut proof = Proof::new(evil, &[evil.into()]);
        proof.checks = vec![check];
        let page = render_page(&proof, std::slice::from_ref(&proof));
        assert!(!page.contains("<script") && !page.contains("='x'"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
    }
}
