//! Which databases a dump takes.

use crate::cli;
use crate::database::check_name;
use crate::server::Server;
use postgres::Client;
use toban_core::config::Config;
use toban_core::pg::Ident;
use toban_core::{Context, Error, Result};

/// What was chosen.
#[derive(Debug)]
pub(super) struct ChosenDatabases {
    pub(super) names: Vec<String>,
    /// Those that were meant and cannot be dumped, and why.
    pub(super) refused: Vec<Error>,
}

/// The server, and the databases that flags and configuration name.
pub(super) fn choose_databases(args: &cli::Dump, config: &Config) -> Result<(Server, ChosenDatabases)> {
    let section = config.cluster.get(&args.repos.cluster);
    let (server, mut client) = Server::connect(&args.server, section)?;
    let listed = list_databases(&mut client)?;
    let configured = section.map(|s| s.databases.clone()).unwrap_or_default();
    // A cluster's section without names means all of it: a timer must not back up less than one believes.
    let all = args.all || (args.databases.is_empty() && section.is_some() && configured.is_empty());
    let chosen = match (args.databases.is_empty(), configured.is_empty()) {
        _ if all => choose_all(&listed)?,
        (false, _) => choose_named(&listed, &args.databases)?,
        // Of a night's run each by itself: that one database was dropped must not stop the dumps of the others.
        (true, false) => choose_each(&listed, configured),
        (true, true) => choose_named(&listed, &[server.conn.dbname().to_string()])?,
    };
    if args.databases.is_empty() && !all {
        warn_of_others(&listed, &chosen.names);
    }
    Ok((server, chosen))
}

/// `pg-backup dump` by a connection to `postgres` dumps what no application uses.
fn warn_of_others(listed: &[ListedDatabase], names: &[String]) {
    let others =
        || listed.iter().filter(|d| !d.is_stock_template() && d.name != "postgres").map(|d| d.name.as_str());
    if names == ["postgres"] && others().next().is_some() {
        let others: Vec<&str> = others().collect();
        log::warn!(
            "only the maintenance database postgres is dumped; there are also {}: name them, or --all",
            others.join(", ")
        );
    }
}

/// A database as `pg_database` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ListedDatabase {
    name: String,
    template: bool,
    connectable: bool,
    /// Half dropped: DROP DATABASE was interrupted (`datconnlimit` -2).
    invalid: bool,
}

/// Every database of the server.
fn list_databases(client: &mut Client) -> Result<Vec<ListedDatabase>> {
    let sql =
        "select datname::text, datistemplate, datallowconn, datconnlimit = -2 from pg_database order by 1";
    let rows = client.query(sql, &[]).doing(|| "list the databases".into())?;
    let listed = |r: &postgres::Row| ListedDatabase {
        name: r.get(0),
        template: r.get(1),
        connectable: r.get(2),
        invalid: r.get(3),
    };
    Ok(rows.iter().map(listed).collect())
}

/// Every database but the server's own two templates.
fn choose_all(listed: &[ListedDatabase]) -> Result<ChosenDatabases> {
    let there = listed.iter().filter(|d| !d.is_stock_template());
    let chosen = choose_each(listed, there.map(|d| d.name.clone()).collect());
    match chosen.names.is_empty() && chosen.refused.is_empty() {
        true => Err(Error::usage("the server has no database to dump")),
        false => Ok(chosen),
    }
}

/// Those of `names` that can be dumped.
fn choose_each(listed: &[ListedDatabase], mut names: Vec<String>) -> ChosenDatabases {
    names.sort();
    names.dedup();
    let mut refused = Vec::new();
    names.retain(|name| check_dumpable(listed, name).map_err(|e| refused.push(e)).is_ok());
    ChosenDatabases { names, refused }
}

/// The databases that are named.
///
/// # Errors
/// Usage for a name that is not there or cannot be dumped.
fn choose_named(listed: &[ListedDatabase], named: &[String]) -> Result<ChosenDatabases> {
    named.iter().try_for_each(|name| check_dumpable(listed, name))?;
    Ok(choose_each(listed, named.to_vec()))
}

impl ListedDatabase {
    /// One of the two that every server has.
    fn is_stock_template(&self) -> bool {
        self.template && matches!(self.name.as_str(), "template0" | "template1")
    }
}

fn check_dumpable(listed: &[ListedDatabase], name: &str) -> Result<()> {
    check_name(name)?;
    let Some(found) = listed.iter().find(|d| d.name == name) else {
        let known: Vec<&str> = listed.iter().filter(|d| !d.template).map(|d| d.name.as_str()).collect();
        let e = Error::usage(format!("there is no database {name:?}"));
        return Err(e.hint(format!("the server has: {}", known.join(", "))));
    };
    let (reason, cure) = match found {
        ListedDatabase { invalid: true, .. } => {
            ("its DROP DATABASE was interrupted", format!("drop database {}", Ident::new(name)))
        }
        found if found.is_stock_template() => {
            ("it is a template of the server", "dump the databases made from it".into())
        }
        ListedDatabase { connectable: false, .. } => (
            "it allows no connections",
            format!(
                "alter database {} allow_connections true; or name the others instead of --all",
                Ident::new(name)
            ),
        ),
        _ => return Ok(()),
    };
    Err(Error::usage(format!("database {name:?} cannot be dumped: {reason}")).hint(cure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Vec<ListedDatabase> {
        let d = |name: &str, template, connectable, invalid| ListedDatabase {
            name: name.into(),
            template,
            connectable,
            invalid,
        };
        vec![
            d("app", false, true, false),
            d("broken", false, true, true),
            d("closed", false, false, false),
            d("template0", true, false, false),
            d("template1", true, true, false),
            d("tpl", true, true, false),
        ]
    }

    #[test]
    fn chooses_what_can_be_dumped() {
        let names = |named: &[&str]| {
            let named: Vec<String> = named.iter().map(ToString::to_string).collect();
            choose_named(&listed(), &named).map(|c| c.names).map_err(|e| e.chain())
        };
        let all = choose_all(&listed()).expect("there are some");
        assert_eq!(all.names, ["app", "tpl"]);
        let refused: Vec<String> = all.refused.iter().map(Error::chain).collect();
        assert!(
            refused.len() == 2 && refused[0].contains("broken") && refused[1].contains("closed"),
            "{refused:?}"
        );
        assert!(choose_all(&listed()[3..5]).is_err());
        let some = choose_each(&listed(), ["nope", "app", "app"].map(String::from).to_vec());
        assert_eq!((some.names, some.refused.len()), (vec!["app".to_string()], 1));
        assert_eq!(names(&["app", "app"]), Ok(vec!["app".to_string()]));
        for (name, why) in [
            ("nope", "there is no database"),
            ("template1", "it is a template"),
            ("broken", "was interrupted"),
            ("closed", "allows no connections"),
            ("a\nb", "line break"),
        ] {
            let said = names(&[name]).unwrap_err();
            assert!(said.contains(why), "{name:?}: {said}");
        }
    }
}
