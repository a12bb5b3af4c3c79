//! CSV that a spreadsheet opens without running anything: RFC 4180, and no cell that begins a formula.

use crate::finding::AuditFinding;

/// The titles.
pub(crate) const HEAD: &str = "source,severity,id,object,since,finding,advice,cis,accepted,key\r\n";

/// One finding's line.
pub(crate) fn csv_line(f: &AuditFinding) -> String {
    let (base, since, cis) = (&f.base, f.since_text(), f.cis.join(" "));
    let severity = base.severity.to_string();
    let accepted = base.accepted.as_ref().map(ToString::to_string).unwrap_or_default();
    let cells = [
        &base.source,
        &severity,
        f.id(),
        &base.object,
        &since,
        &base.text,
        &base.advice,
        &cis,
        &accepted,
        &base.key,
    ];
    format!("{}\r\n", cells.map(csv_cell).join(","))
}

/// A quote before what a spreadsheet would take for a formula (OWASP's list), quoted where the text needs it. Where
/// the system's separator is `;` a spreadsheet cuts there, whatever the quotes say: what follows is a cell too.
pub(crate) fn csv_cell(text: &str) -> String {
    // The apostrophe makes a spreadsheet take the cell as text; it is OWASP's advice against "CSV injection". RFC 4180 knows
    // nothing of it, so readers of the file take it off again.
    let mut safe = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if begins && "=+-@\t\r\n＝＋－＠".contains(c) {
            safe.push('\'');
        }
        safe.push(c);
        begins = ";\t\r\n".contains(c);
    }
    match safe.contains(['"', ',', ';', '\n', '\r']) || safe.starts_with(' ') {
        true => format!("\"{}\"", safe.replace('"', "\"\"")),
        false => safe,
    }
}

#[cfg(test)]
mod tests {
    use super::csv_cell;

    #[test]
    fn no_cell_is_a_formula_and_each_comes_back() {
        for (text, written) in [
            ("anna@example.org", "anna@example.org"),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@sum", "'@sum"),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("＝1", "'＝1"),
            ("a;=1+1", "\"a;'=1+1\""),
            ("a\n=1", "\"a\n'=1\""),
            ("a=1; b", "\"a=1; b\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(csv_cell(text), written, "{text:?}");
        }
    }
}
