//! What the server says of pg_hba.conf, and the order of its checks.

use super::reach::HbaContext;
use super::{HbaLine, judge_lines, login, quotes};
use crate::audit::Ledger;
use crate::finding::AuditFinding;
use crate::roles::graph::Graph;
use crate::roles::{Needs, ask_or_skip};
use crate::rulebook::roles;
use postgres::Transaction;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use toban_core::{Context, Result, Severity};

const NEEDS: &str = "grant select on pg_hba_file_rules, execute on function pg_hba_file_rules() and pg_read_all_settings to it";
const MAP_NEEDS: &str =
    "grant select on pg_ident_file_mappings and execute on function pg_ident_file_mappings() to it";

/// A line of pg_ident.conf: map, the operating system's (or certificate's) user, role.
type Mapping = (String, String, String);

/// What the file is judged by.
pub(in crate::roles) struct HbaInput<'a> {
    pub(in crate::roles) graph: &'a Graph,
    /// As [`HbaContext`] keeps them.
    pub(in crate::roles) passwords: BTreeMap<String, String>,
    /// An address whose ways in are asked for.
    pub(in crate::roles) from: Option<IpAddr>,
}

/// Judges the file.
pub(in crate::roles) fn judge_hba(
    transaction: &mut Transaction<'_>,
    input: HbaInput<'_>,
    ledger: &mut Ledger<'_>,
) -> Result<()> {
    let HbaInput { graph, passwords, from } = input;
    let rules = ask_or_skip(transaction, Needs { check: "pg_hba.conf", grants: NEEDS }, ledger, |t| {
        read_rules(t, graph.major)
    })?;
    let newer = is_changed_since_load(transaction, graph.major, ledger)?;
    if let Some(mut rules) = rules {
        read_quotes(transaction, &mut rules, ledger)?;
        let mut known =
            ask_known(transaction, &rules, HbaContext { passwords, ..HbaContext::from_graph(graph) })?;
        known.superusers_by_socket = known
            .superusers
            .iter()
            .any(|oid| login::find_ways(&rules, *oid, &known, None).iter().any(|w| w.line.kind == "local"));
        // pg_hba_file_rules shows the file, not what is in force. A reload with one bad line keeps all of the
        // old rules, and a file that is newer than the last reload was not read yet: in both cases it tells what the
        // server would do, and can-log-in is unknown.
        let broken = rules.iter().any(HbaLine::is_broken);
        // What the file says is not what the server does: nothing of it may be taken for well.
        let idle = match (broken, newer) {
            (true, _) => Some(
                "pg_hba.conf has a line that the server cannot read: the rules of its last good reload are in force, and they cannot be seen",
            ),
            (false, true) => Some(
                "pg_hba.conf was changed after the server last read it: other rules are in force, and they cannot be seen",
            ),
            (false, false) => None,
        };
        let found = judge_lines(&rules, &known).into_iter().chain(login::judge_logins(&rules, &known, from));
        found.map(|f| of_file(f, idle)).try_for_each(|f| ledger.add(f))?;
        judge_maps(transaction, &rules, &known, ledger)?;
    }
    Ok(())
}

/// The finding as one of the file alone, where that is not in force.
fn of_file(finding: AuditFinding, idle: Option<&str>) -> AuditFinding {
    let Some(why) = idle.filter(|_| finding.base.rule != &roles::HBA_ERROR) else { return finding };
    let text = &finding.base.text;
    if finding.base.rule != &roles::CAN_LOG_IN {
        let said = format!("{text}; not in force yet: so the file says");
        return finding.says(said);
    }
    let said = format!("not known: {why}; by the file: {text}");
    let mut unknown = finding.says(said).advise(roles::CAN_LOG_IN.action);
    unknown.base.severity = Severity::Unknown;
    unknown
}

/// Puts quotes back that make a keyword a name: the view does not show them, the file does.
fn read_quotes(
    transaction: &mut Transaction<'_>,
    rules: &mut [HbaLine],
    ledger: &mut Ledger<'_>,
) -> Result<()> {
    let words: BTreeSet<String> =
        rules.iter().flat_map(|l| l.users.iter().chain(&l.databases)).cloned().collect();
    let keywords: Vec<String> = words.into_iter().filter(|w| quotes::is_keyword(w)).collect();
    let files: BTreeSet<String> = rules.iter().map(|l| l.file.clone()).collect();
    for file in files {
        let mut inner = transaction.transaction().doing(|| "set a savepoint".into())?;
        let sql = "select pg_read_file(case $1 when '' then current_setting('hba_file') else $1 end)";
        let text = inner.query_one(sql, &[&file]).and_then(|row| row.try_get::<_, String>(0));
        let Ok(text) = text else {
            inner.rollback().doing(|| "roll back to the savepoint".into())?;
            return tell_hidden_quotes(transaction, &keywords, ledger);
        };
        let mut own: Vec<HbaLine> = rules.iter().filter(|l| l.file == file).cloned().collect();
        quotes::restore_quotes(&mut own, &text);
        for (line, better) in rules.iter_mut().filter(|l| l.file == file).zip(own) {
            *line = better;
        }
    }
    Ok(())
}

/// Where a role or a database is called as a keyword is, it matters whether the word stands in quotes.
fn tell_hidden_quotes(
    transaction: &mut Transaction<'_>,
    keywords: &[String],
    ledger: &mut Ledger<'_>,
) -> Result<()> {
    let sql = "select name from (select rolname::text from pg_roles union select datname::text from pg_database) n(name) \
               where name = any ($1) order by 1";
    let rows = transaction.query(sql, &[&keywords]).doing(|| "look for names that are keywords".into())?;
    let Some(row) = rows.first() else { return Ok(()) };
    let name: String = row.get(0);
    let said =
        format!("not checked: whether {name} in pg_hba.conf stands in quotes and means what is called so");
    let finding =
        AuditFinding::new(&roles::SKIPPED, "pg_hba.conf/quotes", "quotes in pg_hba.conf", Severity::Unknown);
    ledger.add(finding.says(said).advise("the auditor's role needs: pg_read_server_files; or rename it"))
}

/// The rules in the order the server tries them; its own error, so that a missing grant can be told.
fn read_rules(transaction: &mut Transaction<'_>, major: u32) -> Result<Vec<HbaLine>, postgres::Error> {
    // From 16 on a file may include others, and its rules have numbers.
    let (place, order, file) = match major >= 16 {
        true => (
            "case when file_name = current_setting('hba_file', true) then '' else file_name || ' ' end",
            "coalesce(rule_number, 0), file_name, line_number",
            "case when file_name = current_setting('hba_file', true) then '' else file_name end",
        ),
        false => ("''", "line_number", "''"),
    };
    let sql = format!(
        // The view shows the file as it is now, not what the server has loaded: a line that a reload would refuse is
        // in it, with its error (manual, "pg_hba_file_rules").
        "select {place} || 'line ' || line_number, type, database, user_name, address, netmask, auth_method, options, error, \
         line_number, {file} from pg_hba_file_rules order by {order}"
    );
    let list = |cell: Option<Vec<String>>| cell.unwrap_or_default();
    let text = |cell: Option<String>| cell.unwrap_or_default();
    let line = |row: postgres::Row| HbaLine {
        place: text(row.get(0)),
        kind: text(row.get(1)),
        databases: list(row.get(2)),
        users: list(row.get(3)),
        address: row.get(4),
        netmask: row.get(5),
        method: text(row.get(6)),
        options: list(row.get(7)),
        // Of some errors the server tells no more than that it has no rule there.
        error: row.get::<_, Option<String>>(8).or_else(|| {
            row.get::<_, Option<String>>(1).is_none().then(|| "why, only the server's log says".into())
        }),
        number: row.get(9),
        file: text(row.get(10)),
    };
    Ok(transaction.query(sql.as_str(), &[])?.into_iter().map(line).collect())
}

/// Asks the server what regular expressions fit, and who may connect where.
fn ask_known(
    transaction: &mut Transaction<'_>,
    lines: &[HbaLine],
    mut known: HbaContext,
) -> Result<HbaContext> {
    let doing = || "ask who may connect to which database".to_string();
    let sql = "select r.oid, d.datname::text from pg_roles r, pg_database d where r.rolcanlogin and d.datallowconn \
               and has_database_privilege(r.oid, d.oid, 'connect') and d.datconnlimit <> -2 \
               and (d.datconnlimit <> 0 or r.rolsuper)";
    for row in transaction.query(sql, &[]).doing(doing)? {
        known.connects.entry(row.get(0)).or_default().insert(row.get(1));
    }
    // The limit does not hold for superusers (manual, "CREATE ROLE", CONNECTION LIMIT).
    let sql = "select oid from pg_roles where rolcanlogin and rolconnlimit = 0 and not rolsuper";
    known.limited = transaction.query(sql, &[]).doing(doing)?.iter().map(|row| row.get(0)).collect();
    let row = transaction.query_one("select current_setting('ssl') = 'off'", &[]).doing(doing)?;
    known.without_tls = row.get(0);
    let sql = "select count(*) from pg_database where datallowconn and datconnlimit <> -2";
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
    // The server's own regular expressions decide, as they do when somebody logs in; ours would read some otherwise.
    let sql = "select e, n from unnest($1::text[]) e, \
               (select unnest($2::text[]) union select datname::text from pg_database) names(n) \
               where n ~ (substr(e, 2) collate \"C\")";
    let rows = transaction.query(sql, &[&expressions, &names]);
    let rows = rows.doing(|| "ask what the regular expressions of pg_hba.conf fit".into())?;
    known.fits = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
    Ok(known)
}

/// Maps of pg_ident.conf by which somebody becomes a superuser, of the lines that name them.
fn judge_maps(
    transaction: &mut Transaction<'_>,
    lines: &[HbaLine],
    known: &HbaContext,
    ledger: &mut Ledger<'_>,
) -> Result<()> {
    let used: BTreeSet<&str> = lines.iter().filter_map(|l| l.option_value("map")).collect();
    if used.is_empty() {
        return Ok(());
    }
    if known.graph.major < 15 {
        let skipped = AuditFinding::new(&roles::SKIPPED, "pg_ident.conf", "pg_ident.conf", Severity::Unknown)
            .says("not checked: PostgreSQL shows its lines from 15 on")
            .advise("read it by hand, then accept this with an [[accept]] entry");
        return ledger.add(skipped);
    }
    let sql = "select map_name, sys_name, pg_username, line_number, coalesce(error, 'why, only the server''s log says') \
               from pg_ident_file_mappings order by 1, 2, 3, 4";
    let rows = ask_or_skip(transaction, Needs { check: "pg_ident.conf", grants: MAP_NEEDS }, ledger, |t| {
        t.query(sql, &[])
    })?;
    for row in rows.unwrap_or_default() {
        if row.get::<_, Option<String>>(0).is_none() {
            let (number, error): (i32, String) = (row.get(3), row.get(4));
            let object = format!("pg_ident.conf line {number}");
            ledger.add(
                AuditFinding::new(&roles::HBA_ERROR, &object.replace(' ', "/"), &object, Severity::Critical)
                    .says(format!("not read: {error}; the maps of the last good reload are in force, and they cannot be seen"))
                    .advise("correct the line, then: select pg_reload_conf()")
                    .cis(&["5.3"]),
            )?;
            continue;
        }
        let mapping: Mapping = (row.get(0), row.get(1), row.get(2));
        if used.contains(mapping.0.as_str()) {
            becomes_superuser(&mapping, known).into_iter().try_for_each(|f| ledger.add(f))?;
        }
    }
    Ok(())
}

fn becomes_superuser((map, user, role): &Mapping, known: &HbaContext) -> Option<AuditFinding> {
    let named = known.superusers.iter().filter_map(|oid| Some((*oid, &known.graph.roles.get(oid)?.name)));
    // Before 16 neither `all` nor `+group` means anything here.
    let means =
        |oid: u32, name: &str| if known.graph.major >= 16 { known.is_user(role, oid) } else { name == role };
    let (_, superuser) = named.into_iter().find(|(oid, name)| means(*oid, name) && *name != user)?;
    let object = format!("map {map}: {user} {role}");
    Some(
        AuditFinding::new(&roles::HBA_MAP, &object.replace(' ', "/"), &object, Severity::Warning)
            .says(format!("{user} of the operating system may come as {superuser}, a superuser"))
            .advise("name the roles that it needs, in pg_ident.conf")
            .cis(&["5.3"]),
    )
}

/// Whether a file is newer than what the server runs by.
fn is_changed_since_load(
    transaction: &mut Transaction<'_>,
    major: u32,
    ledger: &mut Ledger<'_>,
) -> Result<bool> {
    let needs = "pg_read_all_settings, and execute on function pg_stat_file(text)";
    // From 16 on a file may include others.
    let files = match major >= 16 {
        true => {
            "select current_setting('hba_file') union select file_name from pg_hba_file_rules where error is null"
        }
        false => "select current_setting('hba_file')",
    };
    let sql = format!(
        "select coalesce(bool_or((pg_stat_file(f.name)).modification > pg_conf_load_time()), false) from ({files}) f(name)"
    );
    let newer =
        ask_or_skip(transaction, Needs { check: "pg_hba.conf loaded", grants: needs }, ledger, |t| {
            t.query_one(sql.as_str(), &[])
        })?;
    let newer = newer.is_some_and(|row| row.get(0));
    if newer {
        let finding = AuditFinding::new(&roles::HBA_NOT_LOADED, "file", "pg_hba.conf", Severity::Warning);
        ledger.add(
            finding
                .says("it was changed after the server last read it: what is said of its lines is not so yet")
                .advise("select pg_reload_conf()"),
        )?;
    }
    Ok(newer)
}
