//! What the server says of pg_hba.conf, and the order of its checks.

use super::reach::Known;
use super::{Line, lines, login};
use crate::audit::Ledger;
use crate::finding::Finding;
use crate::roles::asked;
use crate::roles::graph::Graph;
use postgres::Transaction;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use toban_core::{Context, Result, Severity};

const NEEDS: &str = "grant select on pg_hba_file_rules, execute on function pg_hba_file_rules() and pg_read_all_settings to it";
const MAP_NEEDS: &str =
    "grant select on pg_ident_file_mappings and execute on function pg_ident_file_mappings() to it";

/// A line of pg_ident.conf: map, the operating system's (or certificate's) user, role.
type Mapping = (String, String, String);

/// Judges the file; `passwords` as [`Known`] keeps them, `from` an address whose ways in are asked for.
pub(in crate::roles) fn judge(
    transaction: &mut Transaction<'_>,
    graph: &Graph,
    passwords: BTreeMap<String, String>,
    from: Option<IpAddr>,
    ledger: &mut Ledger<'_, '_>,
) -> Result<()> {
    let rules = asked(transaction, ("pg_hba.conf", NEEDS), ledger, |t| hba(t, graph.major))?;
    if let Some(rules) = rules {
        let known = known(transaction, &rules, Known { passwords, ..Known::of(graph) })?;
        lines(&rules, &known).into_iter().try_for_each(|f| ledger.add(f))?;
        maps(transaction, &rules, &known, ledger)?;
        login::who(&rules, &known, from).into_iter().try_for_each(|f| ledger.add(f))?;
    }
    loaded(transaction, ledger)
}

/// The rules in the order the server tries them; its own error, so that a missing grant can be told.
fn hba(transaction: &mut Transaction<'_>, major: u32) -> Result<Vec<Line>, postgres::Error> {
    // From 16 on a file may include others, and its rules have numbers.
    let (place, order) = match major >= 16 {
        true => (
            "case when file_name = current_setting('hba_file', true) then '' else file_name || ' ' end",
            "coalesce(rule_number, 0), file_name, line_number",
        ),
        false => ("''", "line_number"),
    };
    let sql = format!(
        "select {place} || 'line ' || line_number, type, database, user_name, address, netmask, auth_method, options, error \
         from pg_hba_file_rules order by {order}"
    );
    let list = |cell: Option<Vec<String>>| cell.unwrap_or_default();
    let text = |cell: Option<String>| cell.unwrap_or_default();
    let line = |row: postgres::Row| Line {
        place: text(row.get(0)),
        kind: text(row.get(1)),
        databases: list(row.get(2)),
        users: list(row.get(3)),
        address: row.get(4),
        netmask: row.get(5),
        method: text(row.get(6)),
        options: list(row.get(7)),
        error: row.get(8),
    };
    Ok(transaction.query(sql.as_str(), &[])?.into_iter().map(line).collect())
}

/// Asks the server what regular expressions fit, and who may connect where.
fn known(transaction: &mut Transaction<'_>, lines: &[Line], mut known: Known) -> Result<Known> {
    let doing = || "ask who may connect to which database".to_string();
    let sql = "select r.oid, d.datname::text from pg_roles r, pg_database d where r.rolcanlogin and d.datallowconn \
               and has_database_privilege(r.oid, d.oid, 'connect')";
    for row in transaction.query(sql, &[]).doing(doing)? {
        known.connects.entry(row.get(0)).or_default().insert(row.get(1));
    }
    let sql = "select count(*) from pg_database where datallowconn";
    let row = transaction.query_one(sql, &[]).doing(doing)?;
    known.databases = usize::try_from(row.get::<_, i64>(0)).unwrap_or_default();
    let words = || lines.iter().flat_map(|l| l.users.iter().chain(&l.databases));
    // Before 16 a name that begins with a slash is a name.
    let expressions: BTreeSet<&String> =
        words().filter(|w| known.graph.major >= 16 && w.starts_with('/')).collect();
    if expressions.is_empty() {
        return Ok(known);
    }
    let names: BTreeSet<&String> = known.graph.roles.values().map(|r| &r.name).chain(words()).collect();
    let (expressions, names): (Vec<_>, Vec<_>) =
        (expressions.into_iter().collect(), names.into_iter().collect());
    let sql = "select e, n from unnest($1::text[]) e, \
               (select unnest($2::text[]) union select datname::text from pg_database) names(n) \
               where n ~ (substr(e, 2) collate \"C\")";
    let rows = transaction.query(sql, &[&expressions, &names]);
    let rows = rows.doing(|| "ask what the regular expressions of pg_hba.conf fit".into())?;
    known.fits = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
    Ok(known)
}

/// Maps of pg_ident.conf by which somebody becomes a superuser, of the lines that name them.
fn maps(
    transaction: &mut Transaction<'_>,
    lines: &[Line],
    known: &Known,
    ledger: &mut Ledger<'_, '_>,
) -> Result<()> {
    let used: BTreeSet<&str> = lines.iter().filter_map(|l| l.option("map")).collect();
    if used.is_empty() {
        return Ok(());
    }
    if known.graph.major < 15 {
        let skipped = Finding::new("skipped", "pg_ident.conf", "pg_ident.conf", Severity::Unknown)
            .says("not checked: PostgreSQL shows its lines from 15 on")
            .advise("read it by hand, then name this in the allow-list");
        return ledger.add(skipped);
    }
    let sql = "select map_name, sys_name, pg_username from pg_ident_file_mappings where error is null order by 1, 2, 3";
    let rows = asked(transaction, ("pg_ident.conf", MAP_NEEDS), ledger, |t| t.query(sql, &[]))?;
    for row in rows.unwrap_or_default() {
        let mapping: Mapping = (row.get(0), row.get(1), row.get(2));
        if used.contains(mapping.0.as_str()) {
            becomes_superuser(&mapping, known).into_iter().try_for_each(|f| ledger.add(f))?;
        }
    }
    Ok(())
}

fn becomes_superuser((map, user, role): &Mapping, known: &Known) -> Option<Finding> {
    let named = known.superusers.iter().filter_map(|oid| Some((*oid, &known.graph.roles.get(oid)?.name)));
    // Before 16 neither `all` nor `+group` means anything here.
    let means =
        |oid: u32, name: &str| if known.graph.major >= 16 { known.is_user(role, oid) } else { name == role };
    let (_, superuser) = named.into_iter().find(|(oid, name)| means(*oid, name) && *name != user)?;
    let object = format!("map {map}: {user} {role}");
    Some(
        Finding::new("hba-map", &object.replace(' ', "/"), &object, Severity::Warning)
            .says(format!("{user} of the operating system may come as {superuser}, a superuser"))
            .advise("name the roles that it needs, in pg_ident.conf")
            .cis(&["5.3"]),
    )
}

/// Whether the server runs by the file as it is.
fn loaded(transaction: &mut Transaction<'_>, ledger: &mut Ledger<'_, '_>) -> Result<()> {
    let needs = "pg_read_all_settings, and execute on function pg_stat_file(text)";
    let newer = asked(transaction, ("pg_hba.conf loaded", needs), ledger, |t| {
        t.query_one(
            "select (pg_stat_file(current_setting('hba_file'))).modification > pg_conf_load_time()",
            &[],
        )
    })?;
    if newer.is_some_and(|row| row.get(0)) {
        let finding = Finding::new("hba-not-loaded", "file", "pg_hba.conf", Severity::Warning);
        ledger.add(
            finding
                .says("it was changed after the server last read it: what is said of its lines is not so yet")
                .advise("select pg_reload_conf()"),
        )?;
    }
    Ok(())
}
