//! Where the server is and how to reach it: libpq's connection strings, environment, files and defaults.
use crate::error::Result;

/// Everything needed to connect, for our own client and for child processes alike.
#[derive(Clone, Debug)]
pub struct ConnInfo {}

impl ConnInfo {
    /// Resolves `given` (`--db`; a URI or key=value string), else DATABASE_URL, else PG* variables, service file,
    /// passfile and defaults, in libpq's order. `tool` becomes the fallback application_name.
    pub fn resolve(_given: Option<&str>, _tool: &str) -> Result<ConnInfo> {
        unimplemented!()
    }
    /// The same server, another database.
    #[must_use]
    pub fn with_dbname(&self, _name: &str) -> ConnInfo {
        unimplemented!()
    }
    /// The database.
    pub fn dbname(&self) -> &str {
        unimplemented!()
    }
    /// The role.
    pub fn user(&self) -> &str {
        unimplemented!()
    }
    /// Connects, trying the hosts in order.
    pub fn connect(&self) -> Result<postgres::Client> {
        unimplemented!()
    }
    /// Gives a child process (pg_dump, psql) the same connection by its environment alone.
    pub fn apply(&self, _child: &mut std::process::Command) {
        unimplemented!()
    }
}
