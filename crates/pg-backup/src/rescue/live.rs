//! The live server: which databases it has, and what must be free in it.

use super::put_back::name_copy;
use super::tables::TableName;
use crate::cli;
use crate::server::Server;
use postgres::Client;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::config::Config;
use toban_core::private_server::control::Control;
use toban_core::{Context, Error, Result};

/// Rows go back there.
pub(super) struct LiveServer {
    server: Server,
    /// The database that was hurt; it may be gone.
    pub(super) database: String,
    /// Its OID while it is there.
    pub(super) oid: Option<u32>,
    databases: BTreeMap<u32, String>,
    /// The bootstrap superuser, whose name the private server shares.
    pub(super) superuser: String,
    sizes: [u32; 5],
}

impl LiveServer {
    /// Asks it, by way of a database that is no application's.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) fn connect(args: &cli::Rescue, config: &Config) -> Result<LiveServer> {
        let section = config.cluster.get(&args.repos.cluster);
        let database = match &args.database {
            Some(name) => name.clone(),
            None => Server::default_database(&args.server, section)?,
        };
        let mut last = None;
        for name in ["postgres", "template1"] {
            match Server::reach_in(&args.server, section, name) {
                Ok((server, client)) => return LiveServer::query(server, client, database),
                Err(e) => last = last.or(Some(e)),
            }
        }
        Err(last.expect("two were tried"))
    }

    fn query(server: Server, mut client: Client, database: String) -> Result<LiveServer> {
        // The superuser that initdb made has OID 10, whatever its name.
        let sql = "select (select rolname::text from pg_roles where oid = 10), \
                   array(select current_setting(name)::int from unnest(array['max_connections', \
                   'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions', \
                   'max_locks_per_transaction']) with ordinality s(name, n) order by n)";
        let row = client.query_one(sql, &[]).doing(|| "ask the live server".into())?;
        let sizes = row.get::<_, Vec<i32>>(1).into_iter().map(i32::unsigned_abs).collect::<Vec<_>>();
        let superuser = row.get(0);
        let rows = client.query("select oid, datname::text from pg_database", &[]);
        let rows = rows.doing(|| "list the live server's databases".into())?;
        let databases: BTreeMap<u32, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let oid = databases.iter().find(|(_, name)| **name == database).map(|(oid, _)| *oid);
        let sizes =
            <[u32; 5]>::try_from(sizes).map_err(|_| Error::failed("the live server hides settings"))?;
        Ok(LiveServer { server, database, oid, databases, superuser, sizes })
    }

    /// The server with its programs.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// What the live server calls the database of this OID.
    pub(super) fn name_of(&self, oid: u32) -> Option<&str> {
        self.databases.get(&oid).map(String::as_str)
    }

    /// Of the `databases` of a backup those that are not wanted: all but the one that was hurt and the templates. Where the
    /// live server does not have it any more it is one of those that only the backup has, and they are all restored.
    pub(super) fn choose_left_out(&self, databases: &BTreeSet<u32>) -> BTreeSet<u32> {
        let template = |oid: &u32| matches!(self.name_of(*oid), Some("template0" | "template1"));
        let known = self.oid.filter(|oid| databases.contains(oid));
        let wanted = |oid: &u32| match known {
            Some(known) => *oid == known,
            None => !self.databases.contains_key(oid),
        };
        databases.iter().copied().filter(|oid| !wanted(oid) && !template(oid)).collect()
    }

    /// Raises what recovery needs to what the live server has by now: replay pauses at the record of a raised setting.
    pub(super) fn raise_sizes(&self, control: &mut Control) {
        // Hot standby needs as much as the primary had when it wrote the WAL (manual, "Hot Standby", "Administrator's
        // Overview").
        let [connections, workers, senders, prepared, locks] = self.sizes;
        control.max_connections = control.max_connections.max(connections);
        control.max_worker_processes = control.max_worker_processes.max(workers);
        control.max_wal_senders = control.max_wal_senders.max(senders);
        control.max_prepared_transactions = control.max_prepared_transactions.max(prepared);
        control.max_locks_per_transaction = control.max_locks_per_transaction.max(locks);
    }

    /// A session in the database that was hurt, in which all names must be qualified.
    ///
    /// # Errors
    /// Failed when the database is not there any more.
    pub(super) fn open_session(&self) -> Result<Client> {
        if self.oid.is_none() {
            let e = Error::failed(format!("the live server has no database {}", self.database));
            return Err(e.hint("bring back all of it: leave --table and --schema out"));
        }
        let mut client = self.server.open_session(&self.database)?;
        client.batch_execute(super::structure::SESSION).doing(|| "prepare a session".into())?;
        Ok(client)
    }

    /// The tables that the flags name, read as SQL reads names.
    ///
    /// # Errors
    /// Usage for what is no name of a table.
    pub(super) fn parse_names(&self, args: &cli::Rescue) -> Result<Vec<TableName>> {
        let named = args.table.iter().chain(args.find.as_ref().map(|search| &search.table));
        let mut client = self.server.conn.connect()?;
        named.map(|text| TableName::parse_name(&mut client, text)).collect()
    }

    /// Refuses to bring `tables` back where others of these names lie, of an earlier rescue. With `--replace` a table that
    /// is gone gets its own place, and one that is there is copied first.
    ///
    /// # Errors
    /// Failed, with the table.
    pub(super) fn refuse_taken(&self, args: &cli::Rescue, tables: &[TableName]) -> Result<()> {
        if tables.is_empty() || self.oid.is_none() {
            return Ok(());
        }
        let mut client = self.open_session()?;
        for table in tables {
            if args.replace && table.find_oid(&mut client)?.is_none() {
                continue;
            }
            let place = table.in_schema(&args.into_schema);
            let copy = args.replace.then(|| name_copy(&place));
            for taken in std::iter::once(place).chain(copy) {
                if taken.find_oid(&mut client)?.is_some() {
                    let e = Error::failed(format!("{taken} is there already"));
                    return Err(
                        e.hint("drop it if it is of an earlier rescue, or give another --into-schema")
                    );
                }
            }
        }
        Ok(())
    }
}
