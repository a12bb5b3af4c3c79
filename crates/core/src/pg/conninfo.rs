//! Where the server is and how to reach it: libpq's connection strings, environment, files and defaults.

use super::environment::Environment;
use super::host::{self, Host};
use super::passfile::{self, Access, Wanted};
use super::settings::Settings;
use super::target::Target;
use super::tls::Tls;
use super::{keyvalue, keywords, service, uri};
use crate::error::{Context, Error, Result};
use crate::secret::Secret;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Everything needed to connect, for our own client and for child processes alike. Printing it shows no password.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    pub(super) settings: Settings,
    pub(super) hosts: Vec<Host>,
    pub(super) user: String,
    pub(super) dbname: String,
    pub(super) application: String,
    pub(super) target: Target,
    pub(super) shuffle: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) tls: Tls,
    passfile: Option<Passfile>,
    socket_dir: PathBuf,
}

#[derive(Clone, Debug)]
struct Passfile {
    path: PathBuf,
    access: Access,
    text: Secret,
}

impl ConnInfo {
    /// Resolves `given` (of the command line: a URI, a key=value string or a database's name), else DATABASE_URL, else PG*
    /// variables, service file, passfile and defaults, in libpq's order. `tool` becomes the fallback
    /// application_name.
    ///
    /// # Errors
    /// Usage: what does not parse, an unknown key, what we cannot do; the key is named, no value ever is.
    pub fn resolve(given: Option<&str>, tool: &str) -> Result<ConnInfo> {
        let conninfo = ConnInfo::resolve_in(given, tool, &Environment::of_process())?;
        // In a URI or in quotes it may be written otherwise than it is.
        let secret =
            |text: &str| parse_conninfo(text).is_ok_and(|s| s.get("password").is_some_and(|p| !p.is_empty()));
        let on_argv = |text: &str| std::env::args().any(|a| a.contains(text));
        if given.is_some_and(|text| on_argv(text) && secret(text)) {
            log::warn!(
                "every user of this machine can see the password on the command line: use PGPASSFILE or ~/.pgpass"
            );
        }
        Ok(conninfo)
    }

    /// The same in an environment of the caller's choice.
    ///
    /// # Errors
    /// Those of [`ConnInfo::resolve`].
    pub fn resolve_in(given: Option<&str>, tool: &str, around: &Environment) -> Result<ConnInfo> {
        // libpq's order (libpq, "Connection Service File" and "Environment Variables"): what is given explicitly wins over the
        // service file, which wins over the environment, which wins over the defaults. A setting is taken from the first
        // that has it, so each step fills in only what is missing.
        let mut settings = read_given(given, around)?;
        service::apply_service(&mut settings, around)?;
        fill_from_environment(&mut settings, around)?;
        let user = match settings.get_even_empty("user") {
            Some("") => {
                return Err(Error::usage("the user name is empty").hint("unset PGUSER, or give user="));
            }
            Some(user) => user.to_string(),
            None => around
                .user
                .clone()
                .ok_or_else(|| Error::usage("no user name").hint("give user= or PGUSER"))?,
        };
        Ok(ConnInfo {
            hosts: host::parse_hosts(&settings, &around.socket_dir)?,
            dbname: settings.get("dbname").unwrap_or(&user).to_string(),
            application: settings.get_even_empty("application_name").unwrap_or(tool).to_string(),
            target: Target::parse_target(settings.get("target_session_attrs").unwrap_or("any"))?,
            shuffle: parse_load_balance(&settings)?,
            timeout: parse_timeout(&settings)?,
            tls: Tls::read_settings(&settings, around)?,
            passfile: find_passfile(&settings, around)?,
            socket_dir: around.socket_dir.clone(),
            settings,
            user,
        })
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_dbname(&self, name: &str) -> ConnInfo {
        ConnInfo { dbname: name.to_string(), ..self.clone() }
    }

    /// The same with this host alone.
    pub(super) fn with_host(&self, host: Host) -> ConnInfo {
        ConnInfo { hosts: vec![host], ..self.clone() }
    }

    /// Every host by itself, whatever target_session_attrs says.
    pub fn split_hosts(&self) -> Vec<ConnInfo> {
        self.hosts.iter().map(|h| ConnInfo { target: Target::Any, ..self.with_host(h.clone()) }).collect()
    }

    /// Whether target_session_attrs allows a standby, and a primary.
    pub fn wanted_roles(&self) -> (bool, bool) {
        match self.target {
            Target::Any | Target::PreferStandby | Target::ReadOnly => (true, true),
            Target::ReadWrite | Target::Primary => (false, true),
            Target::Standby => (true, false),
        }
    }

    /// The first host, as messages name it.
    pub fn host(&self) -> String {
        self.hosts.first().map(Host::to_string).unwrap_or_default()
    }

    /// The database.
    pub fn dbname(&self) -> &str {
        &self.dbname
    }

    /// The role.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The port of the (first) host.
    pub fn port(&self) -> u16 {
        self.hosts.first().map_or(5432, |h| h.port)
    }

    /// Whether the (first) host is a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.hosts.first().is_some_and(Host::is_socket)
    }

    /// The database, role and servers, safe to print: `database app as alice on db1:5432, db2:5432`.
    pub fn describe(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        format!("database {} as {} on {}", self.dbname, self.user, hosts.join(", "))
    }

    /// Gives a child process (pg_dump, psql) the same connection by its environment alone; PG* variables that would
    /// say something else are taken from it.
    pub fn set_environment(&self, child: &mut Command) {
        let variables = keywords::ALL.iter().map(|k| k.variable).filter(|v| !v.is_empty());
        for variable in variables.chain(keywords::OTHERS.iter().copied()) {
            child.env_remove(variable);
        }
        for (name, value) in self.child_environment() {
            child.env(name, value);
        }
    }

    fn child_environment(&self) -> Vec<(&'static str, String)> {
        let settings =
            keywords::ALL.iter().filter(|k| k.role == keywords::Role::Used && !k.variable.is_empty());
        let mut all: Vec<(&'static str, String)> =
            settings.filter_map(|k| Some((k.variable, self.settings.get(k.name)?.to_string()))).collect();
        // A child that read the service file itself would put its values over these variables (libpq, "The Connection
        // Service File"), and of several hosts go to another than ours. Address and passfile follow below.
        all.retain(|(name, _)| !["PGSERVICE", "PGSERVICEFILE", "PGPASSFILE", "PGHOSTADDR"].contains(name));
        all.extend([
            ("PGDATABASE", self.dbname.clone()),
            ("PGUSER", self.user.clone()),
            ("PGHOST", join_hosts(&self.hosts, |h| h.name.clone())),
            ("PGHOSTADDR", join_hosts(&self.hosts, |h| h.address.map(|a| a.to_string()).unwrap_or_default())),
            ("PGPORT", join_hosts(&self.hosts, |h| h.port.to_string())),
            ("PGAPPNAME", self.application.clone()),
            ("PGSSLMODE", self.tls.mode.word().to_string()),
        ]);
        // Nothing but commas is no list of addresses.
        all.retain(|(name, value)| *name != "PGHOSTADDR" || value.contains(|c| c != ','));
        all.extend(self.tls.system_file().map(|file| ("PGSSLROOTCERT", file)));
        all.extend(self.timeout.map(|t| ("PGCONNECT_TIMEOUT", t.as_secs().to_string())));
        all.extend(self.childs_password());
        all
    }

    /// libpq reads a passfile itself, so that each host gets its own password; one that it would ignore, we read.
    fn childs_password(&self) -> Option<(&'static str, String)> {
        match &self.passfile {
            Some(file) if file.access == Access::All => Some(("PGPASSFILE", file.path.display().to_string())),
            Some(_) => {
                // In the environment, which only its user can read (proc(5)), and not in the arguments, which all can.
                let found = self.hosts.iter().find_map(|h| self.find_password(h))?;
                Some(("PGPASSWORD", found.reveal().to_string()))
            }
            None => None,
        }
    }

    pub(super) fn socket_dir(&self) -> &std::path::Path {
        &self.socket_dir
    }

    /// The password for this host: given, else from the passfile.
    pub(super) fn find_password(&self, host: &Host) -> Option<Secret> {
        if let Some(given) = self.settings.get("password") {
            return Some(Secret::new(given));
        }
        let (name, port) = (host.in_passfile(&self.socket_dir), host.port.to_string());
        let wanted = Wanted { host: &name, port: &port, dbname: &self.dbname, user: &self.user };
        passfile::find_password(self.passfile.as_ref()?.text.reveal(), wanted)
    }
}

fn join_hosts(hosts: &[Host], part: impl Fn(&Host) -> String) -> String {
    hosts.iter().map(part).collect::<Vec<_>>().join(",")
}

/// The string that counts most: `given`, else DATABASE_URL, else nothing.
fn read_given(given: Option<&str>, around: &Environment) -> Result<Settings> {
    if let Some(text) = given.filter(|t| !t.is_empty()) {
        return parse_conninfo(text).doing(|| "read the connection string".into());
    }
    match around.variable("DATABASE_URL").filter(|t| !t.is_empty()) {
        Some(text) => parse_conninfo(text).doing(|| "read DATABASE_URL".into()),
        None => Ok(Settings::default()),
    }
}

fn parse_conninfo(text: &str) -> Result<Settings> {
    if let Some(rest) = uri::strip_scheme(text) {
        return uri::parse_uri(rest);
    }
    if let Some((scheme, _)) = text.split_once("://")
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
    {
        return Err(Error::usage(format!("\"{scheme}://\" is not a PostgreSQL URI"))
            .hint("a URI begins with postgresql:// or postgres://"));
    }
    if text.contains('=') {
        return keyvalue::parse_keyvalue(text);
    }
    let mut settings = Settings::default();
    settings.set_value("dbname", text.to_string())?;
    Ok(settings)
}

fn fill_from_environment(settings: &mut Settings, around: &Environment) -> Result<()> {
    for keyword in keywords::ALL.iter().filter(|k| !k.variable.is_empty()) {
        if let Some(value) = around.variable(keyword.variable) {
            settings
                .set_missing(keyword.name, value.to_string())
                .doing(|| format!("read {}", keyword.variable))?;
        }
    }
    match around.variable("PGREQUIRESSL") {
        Some(value) if value.starts_with('1') => settings.set_missing("sslmode", "require".into()),
        _ => Ok(()),
    }
}

/// Ten seconds unless told otherwise, where libpq waits for ever; 0 or less still means that. libpq's least is two.
fn parse_timeout(settings: &Settings) -> Result<Option<Duration>> {
    let seconds = parse_integer(settings, "connect_timeout")?.unwrap_or(10);
    Ok(u64::try_from(seconds).ok().filter(|s| *s > 0).map(|s| Duration::from_secs(s.max(2))))
}

/// A whole number, if the key has a value.
pub(super) fn parse_integer(settings: &Settings, key: &str) -> Result<Option<i64>> {
    let bad = |text: &str| Error::usage(format!("\"{key}\" is a whole number, not \"{text}\""));
    settings.get(key).map(|text| text.trim().parse().map_err(|_| bad(text))).transpose()
}

fn parse_load_balance(settings: &Settings) -> Result<bool> {
    match settings.get("load_balance_hosts") {
        None | Some("disable") => Ok(false),
        Some("random") => Ok(true),
        Some(other) => {
            Err(Error::usage(format!("unknown load_balance_hosts \"{other}\"")).hint("disable or random"))
        }
    }
}

/// The passfile, if there is one, it may be read, and no password was given.
fn find_passfile(settings: &Settings, around: &Environment) -> Result<Option<Passfile>> {
    let named = settings.get("passfile").map(PathBuf::from);
    let Some(path) = named.or_else(|| around.at_home(".pgpass")) else { return Ok(None) };
    if settings.get("password").is_some() {
        return Ok(None);
    }
    let credentials = around.variable("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let access = passfile::judge_access(&path, credentials.as_deref());
    if access == Access::None {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).doing(|| format!("read password file {}", path.display()))?;
    Ok(Some(Passfile { path, access, text: Secret::new(text) }))
}
