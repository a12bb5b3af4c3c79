//! The server that a verb works with.

use crate::cli;
use postgres::Client;
use std::path::PathBuf;
use std::process::Command;
use toban_core::config::Cluster;
use toban_core::pg::{ConnInfo, programs};
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

impl Server {
    /// Resolves the flags and the cluster's section, and asks the server who it is.
    pub(crate) fn connect(args: &cli::ServerArgs, section: Option<&Cluster>) -> Result<(Server, Client)> {
        Server::connect_with(args, section, resolve_conninfo(args, section)?)
    }

    /// The database that the flags and the cluster's section name.
    pub(crate) fn default_database(args: &cli::ServerArgs, section: Option<&Cluster>) -> Result<String> {
        Ok(resolve_conninfo(args, section)?.dbname().to_string())
    }

    /// The same by way of another database than the one the flags name.
    pub(crate) fn reach_in(
        args: &cli::ServerArgs,
        section: Option<&Cluster>,
        database: &str,
    ) -> Result<(Server, Client)> {
        Server::connect_with(args, section, resolve_conninfo(args, section)?.with_dbname(database))
    }

    fn connect_with(
        args: &cli::ServerArgs,
        section: Option<&Cluster>,
        conn: ConnInfo,
    ) -> Result<(Server, Client)> {
        // Of several hosts, pg_dump must reach the very one that we asked.
        let (mut client, conn) = conn.connect_here()?;
        let (version, major) = read_version(&mut client)?;
        let bin_dir = args.bin_dir.clone().or_else(|| section.and_then(|s| s.bin_dir.clone()));
        Ok((Server { conn, bin_dir, version, major }, client))
    }

    /// A session in `database` that no timeout of the server's configuration ends.
    pub(crate) fn open_session(&self, database: &str) -> Result<Client> {
        let mut client = self.conn.with_dbname(database).connect()?;
        // A limit in postgresql.conf, of the role or of the database is meant for applications: it would end a dump of
        // hours, or the session that holds a backup open.
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
    pub(crate) fn command_for(&self, name: &str, database: &str) -> Result<Command> {
        let path = programs::find_program(name, self.major, self.bin_dir.as_deref())?;
        let mut command = Command::new(path);
        self.conn.with_dbname(database).set_environment(&mut command);
        command.arg("--no-password");
        Ok(command)
    }
}

/// The connection string that the flags, the cluster's section or the environment give.
///
/// # Errors
/// Usage when it does not parse.
pub(crate) fn resolve_conninfo(args: &cli::ServerArgs, section: Option<&Cluster>) -> Result<ConnInfo> {
    ConnInfo::resolve(args.db.as_deref().or(section.and_then(|s| s.db.as_deref())), "pg-backup")
}

fn read_version(client: &mut Client) -> Result<(String, u32)> {
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
