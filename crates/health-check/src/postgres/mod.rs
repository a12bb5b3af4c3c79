//! PostgreSQL 14 to 18, as a role with pg_monitor: each question in a read-only transaction of its own, so that one that
//! fails costs its own verdict alone.

mod age;
mod replication;
mod sessions;
mod wal;

use crate::damping::AT_ONCE;
use crate::reading::{Checked, Facts, Reading};
use crate::rules;
use crate::settings::{PgRole, PgSettings};
use postgres::{Client, Row, Transaction};
use toban_core::pg::{ConnInfo, Ident};
use toban_core::{Context, Error, Kind, Result, Severity};

/// No question may wait longer, neither for work nor for a lock.
const SESSION: &str =
    "set statement_timeout = '2s'; set lock_timeout = '1s'; set jit = off; set timezone = 'UTC'";

/// What a run asks one server.
pub(crate) struct PgCheck<'a> {
    pub(crate) name: &'a str,
    pub(crate) db: Option<&'a str>,
    pub(crate) settings: &'a PgSettings,
    /// Seconds since 1970.
    pub(crate) now: f64,
}

/// What is known of a server from the start.
struct PgServer<'a> {
    check: &'a PgCheck<'a>,
    version: i32,
    standby: bool,
    user: String,
    /// On this machine, so that its disks are ours.
    local: bool,
}

/// What answers one question.
type Ask = fn(&PgServer<'_>, &mut Transaction<'_>, &mut Memory<'_>) -> Result<Vec<Reading>>;

/// What was known before, and what this run keeps.
struct Memory<'a> {
    before: &'a Facts,
    kept: Facts,
}

/// What every role may see.
const OPEN: &[(&str, Ask)] = &[
    ("the role of the server", |server, _, _| Ok(server.judge_role())),
    ("the age of transactions", age::check_age),
    ("checksum failures", age::check_checksums),
];

/// What takes pg_monitor.
const MONITORED: &[(&str, Ask)] = &[
    ("sessions", sessions::check_connections),
    ("limits of roles and databases", sessions::check_limits),
    ("long transactions", sessions::check_transactions),
    ("waiting sessions", sessions::check_blocked),
    ("standbys", replication::check_standbys),
    ("the standby's source", replication::check_source),
    ("subscriptions", replication::check_subscriptions),
    ("slots", wal::check_slots),
    ("the archiver", wal::check_archiver),
    ("the volume of WAL", wal::check_volume),
];

impl PgCheck<'_> {
    /// Connects once and asks everything.
    pub(crate) fn check_server(&self, before: &Facts) -> Checked {
        let mut memory = Memory { before, kept: Facts::new() };
        let mut readings = match self.connect() {
            Err(e) => vec![judge_refusal(&e)],
            Ok((mut client, server)) => server.ask_all(&mut client, &mut memory),
        };
        for reading in &mut readings {
            reading.object = match reading.object.is_empty() {
                true => self.name.to_string(),
                false => format!("{}/{}", self.name, reading.object),
            };
        }
        Checked { readings, facts: memory.kept }
    }

    fn connect(&self) -> Result<(Client, PgServer<'_>)> {
        let to = ConnInfo::resolve(self.db, "health-check")?;
        let mut client = to.connect()?;
        client.batch_execute(SESSION).doing(|| "prepare the session".into())?;
        let sql =
            "select current_setting('server_version_num')::int, pg_is_in_recovery(), current_user::text";
        let row = client.query_one(sql, &[]).doing(|| "ask which server it is".into())?;
        let local = to.is_socket() || ["localhost", "127.0.0.1", "::1"].iter().any(|h| to.host().contains(h));
        let server =
            PgServer { check: self, version: row.get(0), standby: row.get(1), user: row.get(2), local };
        Ok((client, server))
    }
}

/// A server that cannot be reached is down; one that does not know us is not judged.
fn judge_refusal(e: &Error) -> Reading {
    let reading = match e.kind() {
        Kind::Retry => Reading::of_state(&rules::PG_CONNECT, Severity::Critical, e.chain()),
        _ => Reading::unknown(&rules::PG_CONNECT, e.chain()),
    };
    match e.find_hint() {
        Some(hint) => reading.advise(hint).damped_by(&AT_ONCE),
        None => reading,
    }
}

impl PgServer<'_> {
    fn ask_all(&self, client: &mut Client, memory: &mut Memory<'_>) -> Vec<Reading> {
        let (major, minor) = (self.version / 10_000, self.version % 10_000);
        let text = format!("answers, version {major}.{minor}, {}", self.role().name());
        let mut readings = vec![Reading::of_state(&rules::PG_CONNECT, Severity::Ok, text)];
        let monitors = may_monitor(client);
        let questions = OPEN.iter().chain(if matches!(monitors, Ok(true)) { MONITORED } else { &[] });
        match monitors {
            Ok(true) => {}
            Ok(false) => readings.push(self.missing_right()),
            Err(e) => readings.push(Reading::unknown(&rules::PG_RIGHT, e.chain())),
        }
        for (what, ask) in questions {
            let answered = self.ask_one(client, *ask, memory);
            readings.extend(answered.unwrap_or_else(|e| vec![unanswered(what, &e)]));
        }
        readings
    }

    fn ask_one(&self, client: &mut Client, ask: Ask, memory: &mut Memory<'_>) -> Result<Vec<Reading>> {
        let begun = client.build_transaction().read_only(true).start();
        let mut transaction = begun.doing(|| "begin a read-only transaction".into())?;
        let readings = ask(self, &mut transaction, memory)?;
        transaction.rollback().doing(|| "end the transaction".into())?;
        Ok(readings)
    }

    fn role(&self) -> PgRole {
        if self.standby { PgRole::Standby } else { PgRole::Primary }
    }

    fn judge_role(&self) -> Vec<Reading> {
        let Some(expected) = self.check.settings.role else { return Vec::new() };
        let (severity, text) = match expected == self.role() {
            true => (Severity::Ok, format!("it is a {}", expected.name())),
            false => (
                Severity::Critical,
                format!("it is a {}, and must be a {}", self.role().name(), expected.name()),
            ),
        };
        vec![Reading::of_state(&rules::PG_ROLE, severity, text)]
    }

    /// Without the right the server answers with NULL and fewer rows, which look like health.
    fn missing_right(&self) -> Reading {
        let text = format!("role {} may not see what others do", self.user);
        let grant = format!("as a superuser: grant pg_monitor to {}", Ident::new(&self.user));
        Reading::unknown(&rules::PG_RIGHT, text).advise(grant)
    }
}

fn may_monitor(client: &mut Client) -> Result<bool> {
    let sql = "select pg_has_role(current_user, 'pg_read_all_stats', 'usage') \
               and pg_has_role(current_user, 'pg_read_all_settings', 'usage') \
               and has_function_privilege(current_user, 'pg_ls_waldir()', 'execute')";
    client.query_one(sql, &[]).map(|row| row.get(0)).doing(|| "ask for the role's rights".into())
}

fn unanswered(what: &str, e: &Error) -> Reading {
    let reading = Reading::unknown(&rules::PG_CHECK, e.chain()).about(what);
    match e.find_hint() {
        Some(hint) => reading.advise(hint),
        None => reading,
    }
}

/// All rows of a question.
fn query_rows(transaction: &mut Transaction<'_>, sql: &str) -> Result<Vec<Row>> {
    transaction.query(sql, &[]).doing(|| "ask the server".into())
}

/// A cell that is NULL where the row has nothing to tell.
fn number(row: &Row, at: usize) -> Option<f64> {
    row.try_get::<_, Option<f64>>(at).ok().flatten()
}

fn text(row: &Row, at: usize) -> String {
    row.try_get::<_, Option<String>>(at).ok().flatten().unwrap_or_default()
}
