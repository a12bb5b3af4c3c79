//! Queries with expected results, as a file of SQL.

use crate::findings::{DrillFindings, severity};
use crate::rulebook::QUERY;
use postgres::{Client, SimpleQueryMessage};
use std::path::PathBuf;
use toban_core::check::Finding;
use toban_core::{Context, Error, Result};

/// One query and what it must give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckQuery {
    pub(crate) name: String,
    /// The database; `postgres` unless the file names another.
    pub(crate) database: String,
    /// Lines as `psql -At` prints them; none: every value is `t`, and there is a row.
    expect: Option<Vec<String>>,
    sql: String,
}

/// Reads files of checks.
///
/// # Errors
/// Usage for a file that is missing or has a query without a name, with the line.
pub(crate) fn read_checks(files: &[PathBuf]) -> Result<Vec<CheckQuery>> {
    let mut queries = Vec::new();
    for path in files {
        let what = || format!("checks in {}", path.display());
        let usage = |e: Error| Error::usage(what()).because(e);
        let text = std::fs::read_to_string(path).doing(|| "read them".into()).map_err(usage)?;
        queries.extend(parse_checks(&text).map_err(usage)?);
    }
    Ok(queries)
}

/// Takes the text apart at each `-- check:`.
fn parse_checks(text: &str) -> Result<Vec<CheckQuery>> {
    let mut queries: Vec<CheckQuery> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let comment = line.trim().strip_prefix("--").map(str::trim);
        if let Some(name) = comment.and_then(|s| s.strip_prefix("check:")) {
            queries.push(CheckQuery {
                name: name.trim().into(),
                database: "postgres".into(),
                ..CheckQuery::default()
            });
            continue;
        }
        let query = queries.last_mut();
        match (comment, query) {
            (Some(comment), Some(query)) => query.take_comment(comment),
            (None, Some(query)) => query.sql += &format!("{line}\n"),
            (None, None) if !line.trim().is_empty() => {
                let e =
                    Error::usage(format!("line {}: a query without `-- check: NAME` before it", number + 1));
                return Err(e);
            }
            _ => {}
        }
    }
    match queries.iter().find(|q| q.name.is_empty() || q.sql.trim().is_empty()) {
        Some(q) => Err(Error::usage(format!("check {:?} has no name or no query", q.name))),
        None if queries.is_empty() => Err(Error::usage("no `-- check: NAME` in it")),
        None => Ok(queries),
    }
}

impl CheckQuery {
    fn take_comment(&mut self, comment: &str) {
        if let Some(name) = comment.strip_prefix("database:") {
            self.database = name.trim().into();
        } else if let Some(line) = comment.strip_prefix("expect:") {
            self.expect.get_or_insert_default().push(line.trim().into());
        }
    }

    /// Why `rows` are not what was expected; none when they are. Pure.
    fn complaint(&self, rows: &[String]) -> Option<String> {
        let shown = |rows: &[String]| match rows {
            [] => "no row".to_string(),
            rows => rows.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", "),
        };
        let fine = match &self.expect {
            Some(expected) => rows == expected.as_slice(),
            None => !rows.is_empty() && rows.iter().all(|row| row.split('|').all(|value| value == "t")),
        };
        let wanted = self.expect.as_deref().map_or("t".into(), shown);
        (!fine).then(|| format!("expected {wanted}; the restored server has {}", shown(rows)))
    }
}

/// Asks each query of the restored server.
///
/// # Errors
/// None of a query: what it says is its finding.
pub(crate) fn run_checks(
    queries: &[CheckQuery],
    findings: &mut DrillFindings,
    mut connect: impl FnMut(&str) -> Result<Client>,
) -> Result<()> {
    for query in queries {
        toban_core::shutdown::check()?;
        let rows = connect(&query.database).and_then(|mut client| query_rows(&mut client, &query.sql));
        toban_core::shutdown::check()?;
        findings.compared += 1;
        let complaint = match rows {
            Ok(rows) => query.complaint(&rows),
            Err(e) => Some(e.chain()),
        };
        let text = complaint.clone().unwrap_or_else(|| "as expected".into());
        findings.add(Finding::new(&QUERY, severity(complaint.is_none())).about(&query.name).says(text));
    }
    Ok(())
}

/// The rows of the last statement, as `psql -At` prints them.
fn query_rows(client: &mut Client, sql: &str) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    // The simple protocol takes several statements, as psql does, and gives every value as text.
    for message in client.simple_query(sql).doing(|| "ask".into())? {
        match message {
            SimpleQueryMessage::RowDescription(_) => rows.clear(),
            SimpleQueryMessage::Row(row) => {
                let values: Vec<&str> = (0..row.len()).map(|i| row.get(i).unwrap_or_default()).collect();
                rows.push(values.join("|"));
            }
            _ => {}
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
-- what must be there
-- check: orders
-- database: app
select count(*) > 0,
  true from orders; -- not a row of psql
-- check: regions
-- expect: eu|12
-- expect: us|
select 1;
";

    #[test]
    fn a_file_of_checks() {
        let queries = parse_checks(FILE).expect("it reads");
        let names: Vec<_> = queries.iter().map(|q| (q.name.as_str(), q.database.as_str())).collect();
        assert_eq!(names, [("orders", "app"), ("regions", "postgres")]);
        assert!(queries[0].sql.contains("true from orders"));
        for bad in ["select 1;", "-- check:\nselect 1;", "-- check: x\n", ""] {
            assert!(parse_checks(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_expected() {
        let queries = parse_checks(FILE).expect("it reads");
        let says = |q: usize, rows: &[&str]| {
            let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
            queries[q].complaint(&rows)
        };
        assert_eq!((says(0, &["t|t"]), says(1, &["eu|12", "us|"])), (None, None));
        assert_eq!(says(0, &["t|f"]).as_deref(), Some("expected t; the restored server has t|f"));
        assert_eq!(says(0, &[]).as_deref(), Some("expected t; the restored server has no row"));
        assert!(says(1, &["eu|12"]).is_some() && says(1, &["us|", "eu|12"]).is_some());
    }
}
