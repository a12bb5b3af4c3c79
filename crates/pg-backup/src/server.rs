//! What the server is and which databases it has.

use crate::cli;
use postgres::Client;
use std::path::PathBuf;
use std::process::Command;
use toban_core::config::Cluster;
use toban_core::pg::{ConnInfo, Ident, programs};
use toban_core::{Context, Error, Result};

/// A server, and how to reach it and its programs.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) conn: ConnInfo,
    pub(crate) bin_dir: Option<PathBuf>,
    /// As `server_version` shows it: `15.18`.
    pub(crate) version: String,
    pub(crate) major: u32,
}

/// A database as `pg_database` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) template: bool,
    pub(crate) connectable: bool,
    /// Half dropped: DROP DATABASE was interrupted (`datconnlimit` -2).
    pub(crate) invalid: bool,
}

impl Server {
    /// Resolves the flags and the cluster's section, and asks the server who it is.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub(crate) fn reach(args: &cli::Server, section: Option<&Cluster>) -> Result<(Server, Client)> {
        Server::ask(args, section, resolve(args, section)?)
    }

    /// The same by way of another database than the one the flags name.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub(crate) fn reach_in(
        args: &cli::Server,
        section: Option<&Cluster>,
        database: &str,
    ) -> Result<(Server, Client)> {
        Server::ask(args, section, resolve(args, section)?.with_dbname(database))
    }

    fn ask(args: &cli::Server, section: Option<&Cluster>, conn: ConnInfo) -> Result<(Server, Client)> {
        // Of several hosts, pg_dump must reach the very one that we asked.
        let (mut client, conn) = conn.connect_here()?;
        let (version, major) = version(&mut client)?;
        let bin_dir = args.bin_dir.clone().or_else(|| section.and_then(|s| s.bin_dir.clone()));
        Ok((Server { conn, bin_dir, version, major }, client))
    }

    /// A session in `database` that no timeout of the server's configuration ends.
    ///
    /// # Errors
    /// When there is no such database or it cannot be reached.
    pub(crate) fn session(&self, database: &str) -> Result<Client> {
        let mut client = self.conn.with_dbname(database).connect()?;
        let mut sql =
            "set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0; \
                       set client_min_messages = warning"
                .to_string();
        for (since, name) in [(14, "idle_session_timeout"), (17, "transaction_timeout")] {
            if self.major >= since {
                sql.push_str(&format!("; set {name} = 0"));
            }
        }
        client.batch_execute(&sql).doing(|| format!("prepare a session in {database}"))?;
        Ok(client)
    }

    /// PostgreSQL's program `name`, of the server's major or newer, with the connection to `database` in its
    /// environment.
    ///
    /// # Errors
    /// When no fit program is on this machine.
    pub(crate) fn program(&self, name: &str, database: &str) -> Result<Command> {
        let path = programs::find(name, self.major, self.bin_dir.as_deref())?;
        let mut command = Command::new(path);
        self.conn.with_dbname(database).apply(&mut command);
        command.arg("--no-password");
        Ok(command)
    }
}

fn resolve(args: &cli::Server, section: Option<&Cluster>) -> Result<ConnInfo> {
    ConnInfo::resolve(args.db.as_deref().or(section.and_then(|s| s.db.as_deref())), "pg-backup")
}

fn version(client: &mut Client) -> Result<(String, u32)> {
    let sql = "select split_part(current_setting('server_version'), ' ', 1), \
               current_setting('server_version_num')::int / 10000";
    let row = client.query_one(sql, &[]).doing(|| "ask for the server's version".into())?;
    let major: i32 = row.get(1);
    if major < 14 {
        let e = Error::failed(format!("the server is PostgreSQL {major}; 14 and newer are supported"));
        return Err(e);
    }
    Ok((row.get(0), u32::try_from(major).unwrap_or_default()))
}

/// Every database of the server.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) fn databases(client: &mut Client) -> Result<Vec<Listed>> {
    let sql =
        "select datname::text, datistemplate, datallowconn, datconnlimit = -2 from pg_database order by 1";
    let rows = client.query(sql, &[]).doing(|| "list the databases".into())?;
    let listed = |r: &postgres::Row| Listed {
        name: r.get(0),
        template: r.get(1),
        connectable: r.get(2),
        invalid: r.get(3),
    };
    Ok(rows.iter().map(listed).collect())
}

/// Which databases a dump takes.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) names: Vec<String>,
    /// Those that were meant and cannot be dumped, and why.
    pub(crate) refused: Vec<Error>,
}

/// Every database but the server's own two templates.
///
/// # Errors
/// Usage when there is none.
pub(crate) fn choose_all(listed: &[Listed]) -> Result<Chosen> {
    let mut chosen = Chosen { names: Vec::new(), refused: Vec::new() };
    for found in listed.iter().filter(|d| !d.is_stock_template()) {
        match fit_to_dump(listed, &found.name) {
            Ok(()) => chosen.names.push(found.name.clone()),
            Err(e) => chosen.refused.push(e),
        }
    }
    match chosen.names.is_empty() && chosen.refused.is_empty() {
        true => Err(Error::usage("the server has no database to dump")),
        false => Ok(chosen),
    }
}

/// The databases that are named.
///
/// # Errors
/// Usage for a name that is not there or cannot be dumped.
pub(crate) fn choose(listed: &[Listed], named: &[String]) -> Result<Chosen> {
    named.iter().try_for_each(|name| fit_to_dump(listed, name))?;
    let mut names = named.to_vec();
    names.sort();
    names.dedup();
    Ok(Chosen { names, refused: Vec::new() })
}

impl Listed {
    /// One of the two that every server has.
    pub(crate) fn is_stock_template(&self) -> bool {
        self.template && matches!(self.name.as_str(), "template0" | "template1")
    }
}

fn fit_to_dump(listed: &[Listed], name: &str) -> Result<()> {
    crate::database::check_name(name)?;
    let Some(found) = listed.iter().find(|d| d.name == name) else {
        let known: Vec<&str> = listed.iter().filter(|d| !d.template).map(|d| d.name.as_str()).collect();
        let e = Error::usage(format!("there is no database {name:?}"));
        return Err(e.hint(format!("the server has: {}", known.join(", "))));
    };
    let (reason, cure) = match found {
        Listed { invalid: true, .. } => {
            ("its DROP DATABASE was interrupted", format!("drop database {}", Ident::new(name)))
        }
        found if found.is_stock_template() => {
            ("it is a template of the server", "dump the databases made from it".into())
        }
        Listed { connectable: false, .. } => (
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

    fn listed() -> Vec<Listed> {
        let d = |name: &str, template, connectable, invalid| Listed {
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
            choose(&listed(), &named).map(|c| c.names).map_err(|e| e.chain())
        };
        let all = choose_all(&listed()).expect("there are some");
        assert_eq!(all.names, ["app", "tpl"]);
        let refused: Vec<String> = all.refused.iter().map(Error::chain).collect();
        assert!(
            refused.len() == 2 && refused[0].contains("broken") && refused[1].contains("closed"),
            "{refused:?}"
        );
        assert!(choose_all(&listed()[3..5]).is_err());
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
