//! One page that needs nothing else: no script, no picture, no font from anywhere.

use super::{AuditFacts, AuditRun};
use crate::finding::AuditFinding;
use crate::totals::{AuditTask, AuditTotals};
use jiff::SignedDuration;
use toban_core::out;

pub(crate) const FOOT: &str = "</tbody>\n</table>\n</body>\n</html>\n";

const STYLE: &str = "body{font:14px/1.4 sans-serif;margin:2em}table{border-collapse:collapse}\
td,th{border:1px solid #bbb;padding:.2em .5em;text-align:left;vertical-align:top}\
.CRITICAL{background:#f8d0d0}.WARNING{background:#fdf0c8}.UNKNOWN{background:#e4dcf4}";

/// Lines that each part of the first screen has at most.
const LINES: usize = 10;

/// The page up to its first row: what happened, what is missing, what is to be done.
pub(super) fn head_html(run: &AuditRun<'_>, totals: &AuditTotals) -> String {
    let (verb, at) = (run.verb, run.at.strftime("%Y-%m-%d %H:%M:%S UTC"));
    let servers = run.databases.iter().map(|(source, facts)| server_line(source, facts));
    let accounts = run.population.iter().map(|(source, n)| {
        format!(
            "{source}: {n} {}, each with its roles in population.csv",
            if *n == 1 { "account" } else { "accounts" }
        )
    });
    let happened: Vec<String> = servers.chain(accounts).chain(totals.happened()).collect();
    let tasks: Vec<String> = totals.tasks().map(task_line).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>user-audit {verb}, {at}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>user-audit {verb}: {}</h1>\n<p>Judged as of {at} by user-audit {}; limits: {}.</p>\n\
         <h2>What happened</h2>\n{}<h2>What is missing</h2>\n{}<h2>What is to be done</h2>\n{}\
         <h2>Every finding</h2>\n<p>What changed since the last review comes first, then the most urgent. \
         In a path → is SET ROLE, ⇒ is granting itself, ⊃ is by inherited privileges. CIS: the items of the CIS \
         PostgreSQL benchmark. Limits, mapping and counts are in run.json; <code>sha256sum -c SHA256SUMS</code> checks every file.</p>\n\
         <table>\n<thead><tr><th>source</th><th>severity</th><th>id</th><th>object</th><th>since</th>\
         <th>finding</th><th>advice</th><th>CIS</th></tr></thead>\n<tbody>\n",
        totals.findings.by_severity(),
        run.version,
        out::html(&limits_text(run.parameters)),
        list_html(&happened, "nothing was audited"),
        list_html(totals.missing(), "nothing: everything that was asked for was judged"),
        list_html(&tasks, "nothing")
    )
}

fn server_line(source: &str, facts: &AuditFacts) -> String {
    let address = if facts.address.is_empty() { String::new() } else { format!(" at {}", facts.address) };
    let auditor =
        if facts.auditor.is_empty() { String::new() } else { format!(", asked as {}", facts.auditor) };
    format!("{source}: {}{address}{auditor}", facts.server)
}

/// By what it was judged, in one line: `max admins 5, password age 75 days`.
fn limits_text(parameters: &serde_json::Value) -> String {
    let Some(all) = parameters.as_object() else { return "none".into() };
    let limit = |(name, value): (&String, &serde_json::Value)| {
        let value = match value {
            serde_json::Value::String(text) => Some(span_text(text)),
            serde_json::Value::Number(n) => Some(n.to_string()),
            serde_json::Value::Array(names) if !names.is_empty() => {
                let names: Vec<&str> = names.iter().filter_map(serde_json::Value::as_str).collect();
                Some(names.join(" "))
            }
            _ => None,
        };
        value.map(|v| format!("{} {v}", name.replace('_', " ")))
    };
    all.iter().filter_map(limit).collect::<Vec<String>>().join(", ")
}

/// `1800h` and `PT1800H` as days, as people count them.
fn span_text(span: &str) -> String {
    let whole = span.parse::<SignedDuration>().ok().filter(|s| s.as_secs() % 86400 == 0);
    whole.map_or_else(|| span.to_string(), |s| format!("{} days", s.as_secs() / 86400))
}

fn task_line(task: &AuditTask) -> String {
    let more = task.count.saturating_sub(task.objects.len() as u64);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let advice = if task.advice.is_empty() { "look at it" } else { &task.advice };
    format!("{} {}: {} — {}{rest}", task.severity, task.id, advice, task.objects.join(", "))
}

fn list_html(lines: &[String], none: &str) -> String {
    if lines.is_empty() {
        return format!("<p>{none}</p>\n");
    }
    let shown = lines.iter().take(LINES).map(|l| format!("<li>{}</li>\n", out::html(l)));
    let more = lines.len().saturating_sub(LINES);
    let rest =
        if more > 0 { format!("<li>and {more} more, in the table below</li>\n") } else { String::new() };
    format!("<ul>\n{}{rest}</ul>\n", shown.collect::<String>())
}

/// One finding's row.
pub(crate) fn row_html(f: &AuditFinding) -> String {
    let (base, severity) = (&f.base, f.base.severity.to_string());
    let (since, text, cis) = (f.since_text(), base.full_text(), f.cis.join(", "));
    let cells = [&base.source, &severity, f.id(), &base.object, &since, &text, &base.advice, &cis]
        .map(|c| format!("<td>{}</td>", out::html(c)));
    format!("<tr class=\"{severity}\">{}</tr>\n", cells.concat())
}

#[cfg(test)]
mod tests {
    #[test]
    fn limits_are_told_as_people_say_them() {
        let parameters = serde_json::json!({
            "unused": "2160h", "expiry_warning": "PT1H30M", "max_admins": 5, "domains": ["a.org", "b.org"], "logs": [], "from": null
        });
        let told = super::limits_text(&parameters);
        assert_eq!(told, "domains a.org b.org, expiry warning PT1H30M, max admins 5, unused 90 days");
    }

    #[test]
    fn nothing_of_the_data_is_markup() {
        assert_eq!(
            toban_core::out::html("<img src=x onerror='a'>&\""),
            "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;"
        );
    }
}
