//! Creates the roles and tablespaces that a dump has and the server lacks. What is there is left as it is.

use crate::child;
use crate::database::Properties;
use crate::server::Server;
use postgres::Client;
use std::collections::BTreeSet;
use std::io::Cursor;
use toban_core::{Context, Error, Result};

/// Runs those statements of pg_dumpall's `globals` that make or describe a missing role or tablespace; the roles
/// made.
pub(crate) fn create_missing(
    server: &Server,
    client: &mut Client,
    database: &str,
    globals: &str,
) -> Result<Vec<String>> {
    let there = list_existing(client)?;
    let (script, made) = pick_missing(globals, &there);
    if script.is_empty() {
        return Ok(made);
    }
    let mut command = server.command_for("psql", database)?;
    command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]);
    child::feed_child(command, "psql", Cursor::new(script))
        .doing(|| "create roles and tablespaces".into())?;
    Ok(made)
}

fn list_existing(client: &mut Client) -> Result<BTreeSet<String>> {
    let sql = "select quote_ident(rolname) from pg_roles union all select 'TABLESPACE ' || quote_ident(spcname) from pg_tablespace";
    let rows = client.query(sql, &[]).doing(|| "list the roles".into())?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

/// Picks statements of pg_dumpall's output. `there`: quoted names that exist.
fn pick_missing(globals: &str, there: &BTreeSet<String>) -> (String, Vec<String>) {
    let statements = split_statements(globals);
    let created = |line: &str| {
        let name = line.strip_prefix("CREATE ROLE ")?.strip_suffix(';')?;
        (!there.contains(name)).then(|| name.to_string())
    };
    let made: Vec<String> = statements.iter().copied().filter_map(created).collect();
    let wanted = |line: &&str| {
        let about = |prefix: &str, name: &str| {
            line.strip_prefix(prefix)
                .and_then(|l| l.strip_prefix(name))
                .is_some_and(|l| l.starts_with([' ', ';']))
        };
        if let Some(rest) = line.strip_prefix("CREATE TABLESPACE ") {
            return !there
                .iter()
                .any(|t| t.strip_prefix("TABLESPACE ").is_some_and(|t| rest.starts_with(&format!("{t} "))));
        }
        if let Some((role, member)) = parse_grant(line) {
            return made.iter().any(|m| m == role || m == member);
        }
        made.iter()
            .any(|m| ["CREATE ROLE ", "ALTER ROLE ", "COMMENT ON ROLE "].into_iter().any(|p| about(p, m)))
    };
    let script: String = statements.iter().copied().filter(wanted).flat_map(|l| [l, "\n"]).collect();
    (script, made)
}

/// pg_dumpall begins each statement on a new line; but a comment or a setting, which any role may give itself, can
/// hold line breaks and what looks like a statement. It doubles every quote inside quotes, so a single one ends them.
fn split_statements(globals: &str) -> Vec<&str> {
    let (mut found, mut begin, mut quoted) = (Vec::new(), 0, None);
    for (at, c) in globals.char_indices() {
        let line = &globals[begin..at];
        match c {
            '\n' if quoted.is_none() => {
                found.push(line);
                begin = at + 1;
            }
            '\'' | '"' if !line.starts_with("--") && quoted.is_none_or(|q| q == c) => {
                quoted = if quoted.is_none() { Some(c) } else { None };
            }
            _ => {}
        }
    }
    found
}

/// `GRANT role TO member …`, not one on an object.
fn parse_grant(line: &str) -> Option<(&str, &str)> {
    let (role, rest) = line.strip_prefix("GRANT ")?.split_once(" TO ")?;
    (!role.contains(" ON ")).then(|| (role, first_name(rest)))
}

fn first_name(text: &str) -> &str {
    let end = match text.strip_prefix('"') {
        // `""` stands for a quote inside the name; what follows the name never is one.
        Some(quoted) => quoted.replace("\"\"", "__").find('"').map_or(text.len(), |i| i + 2),
        None => text.find([' ', ';']).unwrap_or(text.len()),
    };
    &text[..end]
}

/// Says which roles `properties` needs and the server lacks.
///
/// # Errors
/// Failed, with what creates them.
pub(crate) fn require_roles(client: &mut Client, properties: &Properties) -> Result<()> {
    let wanted: Vec<String> = properties.roles().iter().map(ToString::to_string).collect();
    let sql = "select w from unnest($1::text[]) w where not exists (select from pg_roles where rolname = w)";
    let rows = client.query(sql, &[&wanted]).doing(|| "look for roles".into())?;
    let lacking: Vec<String> = rows.iter().map(|r| r.get::<_, String>(0)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let e = Error::failed(format!("the server lacks the roles {}", lacking.join(", ")));
    Err(e.hint("restore-dump --globals creates those that went with the dump"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_made() {
        let globals = "CREATE ROLE app;\nALTER ROLE app WITH LOGIN PASSWORD 'x';\nCREATE ROLE \"new one\";\n\
                       ALTER ROLE \"new one\" WITH NOLOGIN;\nALTER ROLE app SET work_mem TO '1MB';\n\
                       GRANT app TO \"new one\" GRANTED BY postgres;\nGRANT pg_monitor TO app;\n\
                       CREATE TABLESPACE fast OWNER app LOCATION '/x';\nCREATE TABLESPACE \"big\" OWNER app LOCATION '/y';\n";
        let there = ["app", "postgres", "TABLESPACE fast"].map(String::from).into();
        let (script, made) = pick_missing(globals, &there);
        assert_eq!(made, ["\"new one\""]);
        assert_eq!(
            script,
            "CREATE ROLE \"new one\";\nALTER ROLE \"new one\" WITH NOLOGIN;\n\
             GRANT app TO \"new one\" GRANTED BY postgres;\nCREATE TABLESPACE \"big\" OWNER app LOCATION '/y';\n"
        );
    }

    #[test]
    fn what_a_string_holds_is_no_statement() {
        let globals = "-- it's by pg_dumpall\nCREATE ROLE new;\n\
                       COMMENT ON ROLE new IS 'Bob''s\nCREATE ROLE evil SUPERUSER;\n\"';\n\
                       ALTER ROLE app SET my.x TO E'\\\\\nCREATE ROLE evil SUPERUSER;\n';\n\
                       ALTER ROLE new SET work_mem TO '1MB';\n";
        let (script, made) = pick_missing(globals, &["app".to_string()].into());
        assert_eq!(made, ["new"]);
        assert_eq!(
            script,
            "CREATE ROLE new;\nCOMMENT ON ROLE new IS 'Bob''s\nCREATE ROLE evil SUPERUSER;\n\"';\n\
             ALTER ROLE new SET work_mem TO '1MB';\n"
        );
    }
}
