//! One page that needs nothing else: no script, no picture, no font from anywhere.

use crate::finding::Finding;
use jiff::Timestamp;
use toban_core::out;

pub(crate) const FOOT: &str = "</tbody>\n</table>\n</body>\n</html>\n";

const STYLE: &str = "body{font:14px/1.4 sans-serif;margin:2em}table{border-collapse:collapse}\
td,th{border:1px solid #bbb;padding:.2em .5em;text-align:left;vertical-align:top}\
.CRITICAL{background:#f8d0d0}.WARNING{background:#fdf0c8}.UNKNOWN{background:#e4dcf4}";

/// The page up to its first row.
pub(crate) fn head(verb: &str, at: Timestamp) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>user-audit {verb}, {at}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>user-audit {verb}</h1>\n<p>Judged as of {at}. What changed since the last review comes first.</p>\n\
         <table>\n<thead><tr><th>source</th><th>severity</th><th>rule</th><th>object</th><th>since</th>\
         <th>finding</th><th>advice</th><th>CIS</th></tr></thead>\n<tbody>\n"
    )
}

/// One finding's row.
pub(crate) fn row(f: &Finding) -> String {
    let severity = f.severity.to_string();
    let said = match &f.allowed {
        Some(why) => format!("{} (allowed: {why})", f.finding),
        None => f.finding.clone(),
    };
    let (since, cis) = (f.since_text(), f.cis.join(", "));
    let cells = [&f.source, &severity, f.rule, &f.object, &since, &said, &f.advice, &cis]
        .map(|c| format!("<td>{}</td>", out::html(c)));
    format!("<tr class=\"{severity}\">{}</tr>\n", cells.concat())
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_of_the_data_is_markup() {
        assert_eq!(
            toban_core::out::html("<img src=x onerror='a'>&\""),
            "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;"
        );
    }
}
