//! Puts a checked dump into an empty database, by psql or pg_restore, and counts what arrived.

use super::archive::{self as archives, ArchiveContents};
use super::source::{DumpFormat, DumpSource};
use super::sql;
use crate::child::{self, Output, any_warning};
use crate::rows::{self, Count};
use crate::server::Server;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use toban_core::pg::{Ident, programs};
use toban_core::progress::Progress;
use toban_core::{Context, Error, Result};

/// A dump that was read to its end and found whole.
pub(crate) struct CheckedDump<'a> {
    source: &'a DumpSource,
    /// For pg_restore.
    archive: Option<ArchiveFile>,
    /// What was found in a foreign plain dump.
    facts: sql::ScriptFacts,
    /// A foreign archive that holds what belongs to the database itself.
    pub(super) has_database_properties: bool,
}

enum ArchiveFile {
    There(PathBuf),
    /// Fetched or unpacked for the time of the restore: pg_restore's jobs each open the file.
    Spooled(NamedTempFile),
}

impl ArchiveFile {
    fn path(&self) -> &Path {
        match self {
            ArchiveFile::There(path) => path,
            ArchiveFile::Spooled(file) => file.path(),
        }
    }
}

/// Reads all of the dump: sums, gzip's own, the end that pg_dump writes, and whether it fits this server.
///
/// # Errors
/// Corrupt for a damaged or cut-off dump; Failed for one that cannot go into one empty database of this server.
pub(crate) fn check_dump<'a>(source: &'a DumpSource, server: &Server) -> Result<CheckedDump<'a>> {
    if let Some(manifest) = source.manifest() {
        check_major(manifest.major, server)?;
    }
    if source.format != DumpFormat::Sql {
        let archive = spool_archive(source)?;
        let has_database_properties = check_toc(source, server, archive.path())?;
        let facts = sql::ScriptFacts::default();
        return Ok(CheckedDump { source, archive: Some(archive), facts, has_database_properties });
    }
    if source.ours.is_some() {
        // The sum proves that it is what pg_dump wrote.
        source.check_sum()?;
        let facts = sql::ScriptFacts::default();
        return Ok(CheckedDump { source, archive: None, facts, has_database_properties: false });
    }
    let progress = Progress::bytes(&format!("check {}", source.name), None, false);
    let facts = sql::check_script(progress.wrap(source.open_plain()?), &source.name)?;
    if let Some(major) = facts.major {
        check_major(major, server)?;
    }
    if facts.data && !facts.schema {
        return Err(data_only(source, "gunzip -c FILE | psql --single-transaction DATABASE"));
    }
    warn_of_schema_alone(source, facts.major.is_some() && facts.schema && !facts.data);
    Ok(CheckedDump { source, archive: None, facts, has_database_properties: false })
}

/// A dump is not promised to load into an older server (pg_dump's manual, Notes).
fn check_major(major: u32, server: &Server) -> Result<()> {
    if major <= server.major {
        return Ok(());
    }
    let e = Error::failed(format!("the dump is of PostgreSQL {major}, the server is {}", server.version));
    Err(e.hint(format!("restore it into a server of PostgreSQL {major} or newer")))
}

fn data_only(source: &DumpSource, recipe: &str) -> Error {
    let e = Error::failed(format!("{} holds data only: it needs tables that are there already", source.name));
    e.hint(format!("restore a dump of the schema first, then add the data by hand: {recipe}"))
}

fn spool_archive(source: &DumpSource) -> Result<ArchiveFile> {
    if let Some(path) = source.seekable_path() {
        if source.ours.is_some() {
            source.check_sum()?;
        }
        return Ok(ArchiveFile::There(path));
    }
    let doing = || format!("copy {} to {}", source.name, std::env::temp_dir().display());
    let mut file = NamedTempFile::with_prefix("toban-restore-").doing(doing)?;
    let total = source.manifest().and_then(|m| m.body_sum().ok()).map(|s| s.bytes);
    let progress = Progress::bytes(&format!("fetch {}", source.name), total, false);
    std::io::copy(&mut progress.wrap(source.open_plain()?), &mut file).doing(doing)?;
    file.flush().doing(doing)?;
    Ok(ArchiveFile::Spooled(file))
}

/// Reads the table of contents, and for a dump without sums every row; whether the latter holds what belongs to the
/// database itself.
fn check_toc(source: &DumpSource, server: &Server, path: &Path) -> Result<bool> {
    let mut command = server.command_for("pg_restore", "")?;
    command.args(["--create", "--list"]).arg(path);
    let listed = Output::start(command, "pg_restore --list", any_warning)?.text();
    let listed = listed.map_err(|e| explain_unreadable(source, e))?;
    let version = listed
        .lines()
        .find_map(|l| l.trim_start_matches([';', ' ']).strip_prefix("Dumped from database version: "));
    if let Some(major) = version.and_then(|v| v.split(['.', ' ']).next()).and_then(|m| m.parse().ok()) {
        check_major(major, server)?;
    }
    let contents = ArchiveContents(&listed);
    if contents.only_data() {
        return Err(data_only(source, "pg_restore --data-only --single-transaction -d DATABASE FILE"));
    }
    if source.ours.is_some() {
        return Ok(false);
    }
    warn_of_schema_alone(source, contents.only_schema());
    archives::check_files(source.format, path, &contents)?;
    let mut command = server.command_for("pg_restore", "")?;
    command.arg("--file=-").arg(path);
    let script = Output::start(command, "pg_restore", any_warning)?;
    let facts = sql::check_script(script, &source.name).map_err(|e| explain_unreadable(source, e))?;
    archives::compare_script(&contents, &facts, &source.name)?;
    Ok(contents.has_database_properties())
}

fn warn_of_schema_alone(source: &DumpSource, alone: bool) {
    if alone {
        log::warn!("{} creates tables and holds no rows: was it made with --schema-only?", source.name);
    }
}

fn explain_unreadable(source: &DumpSource, e: Error) -> Error {
    if e.chain().contains("unsupported version") {
        let e = Error::failed(format!("{} was written by a newer pg_dump", source.name)).because(e);
        return e.hint("install the newest postgresql-client package, or give its folder with --bin-dir");
    }
    let kind = if e.kind() == toban_core::Kind::Failed { toban_core::Kind::Corrupt } else { e.kind() };
    Error::new(kind, format!("{} cannot be read to its end", source.name)).because(e)
}

/// Since this major pg_dump and pg_restore write a setting that older servers refuse, whatever server the dump is of.
const TRANSACTION_TIMEOUT: u32 = 17;
const SETTING: &[u8] = b"SET transaction_timeout = 0;\n";
/// The settings stand at the beginning, before the first object.
const SETTINGS: u64 = 4096;

/// Runs an SQL script by psql; the first error ends it.
fn run_script(server: &Server, database: &str, mut body: impl Read) -> Result<()> {
    let mut command = server.command_for("psql", database)?;
    // psql goes on after an error unless it is told not to, and ends with status 0 (psql, "Exit Status").
    command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]);
    let mut head = Vec::new();
    if server.major < TRANSACTION_TIMEOUT {
        (&mut body).take(SETTINGS).read_to_end(&mut head).doing(|| "read the dump's beginning".into())?;
        head = without_setting(head);
    }
    child::feed_child(command, "psql", Cursor::new(head).chain(body))
}

fn without_setting(mut head: Vec<u8>) -> Vec<u8> {
    let end = head.windows(9).position(|w| w == b"\n-- Name:").unwrap_or(head.len());
    if let Some(at) = head[..end].windows(SETTING.len()).position(|w| w == SETTING) {
        head.drain(at..at + SETTING.len());
    }
    head
}

impl CheckedDump<'_> {
    /// Loads the dump into `database`, which is empty and `owner`'s, and gathers statistics for the planner.
    ///
    /// # Errors
    /// The first message of psql or pg_restore; nothing after it was run.
    pub(crate) fn load_into(&self, server: &Server, database: &str, owner: &str, jobs: u32) -> Result<()> {
        match &self.archive {
            Some(archive) => self.pg_restore(server, database, jobs, archive.path())?,
            None => self.load_by_psql(server, database, owner)?,
        }
        // Before anybody uses it: where a dump brings no statistics, the planner of the restored database
        // knows nothing of its tables until autovacuum comes to them (pg_dump, "Notes").
        let mut session = server.open_session(database)?;
        session.batch_execute("analyze").doing(|| format!("analyze {database}"))
    }

    fn load_by_psql(&self, server: &Server, database: &str, owner: &str) -> Result<()> {
        let progress = Progress::bytes(&format!("load {}", self.source.name), None, false);
        let body = self.sql_prologue(owner).chain(progress.wrap(self.source.open_plain()?));
        run_script(server, database, body).map_err(|e| match self.facts.drops && e.find_hint().is_none() {
            true => e.hint("it was made with --clean: dump again without, or with --clean --if-exists"),
            false => e,
        })
    }

    /// What a foreign dump needs before it: room for its own `public`, and, where it names no owners, the
    /// database's owner as theirs, or the application could not read its tables.
    fn sql_prologue(&self, owner: &str) -> Cursor<String> {
        let foreign = self.source.ours.is_none();
        let mut sql = String::new();
        if foreign && self.facts.public {
            sql.push_str("drop schema public;\n");
        }
        if foreign && !self.facts.owners {
            sql.push_str(&format!("set role {};\n", Ident::new(owner)));
        }
        Cursor::new(sql)
    }

    fn pg_restore(&self, server: &Server, database: &str, jobs: u32, path: &Path) -> Result<()> {
        let mut command = server.command_for("pg_restore", database)?;
        if server.major < TRANSACTION_TIMEOUT
            && programs::read_version(Path::new(command.get_program()))? >= TRANSACTION_TIMEOUT
        {
            command.arg("--file=-").arg(path);
            return run_script(server, database, Output::start(command, "pg_restore", any_warning)?);
        }
        // As a connection string, or a name with `=` in it would be taken for one.
        let escaped = database.replace('\\', "\\\\").replace('\'', "\\'");
        // pg_restore goes on after an error and counts it at the end (--exit-on-error in its manual): hours
        // would go into a database that is dropped anyway, and the first message is the one that matters.
        command.arg("--exit-on-error").arg(format!("--dbname=dbname='{escaped}'"));
        // Several jobs each read at a place of their own, which only the custom and the directory format
        // allow (pg_restore, --jobs): with tar it ends with an error.
        if jobs > 1 && self.source.format != DumpFormat::Tar {
            command.arg(format!("--jobs={jobs}"));
        }
        command.arg(path);
        let _bar = Progress::bytes(&format!("load {}", self.source.name), None, false);
        child::run_child(command, "pg_restore")
    }

    /// Compares the rows in `database` with those counted when the dump was taken; how many tables were compared.
    ///
    /// # Errors
    /// Failed, naming each table that differs.
    pub(crate) fn compare_rows(&self, server: &Server, database: &str) -> Result<Option<Vec<Count>>> {
        let Some(dumped) = self.source.read_counts()? else { return Ok(None) };
        let mut session = server.open_session(database)?;
        let mut at = session.transaction().doing(|| "begin".into())?;
        let found = rows::count_rows(&mut at)?;
        let differ = rows::find_differences(&dumped, &found);
        if differ.is_empty() {
            return Ok(Some(found));
        }
        let shown = differ.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
        let more = differ.len().saturating_sub(5);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Err(Error::failed(format!("what was restored differs from what was dumped: {shown}{more}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_setting_among_the_settings_goes() {
        let with = |text: &str| String::from_utf8(without_setting(text.as_bytes().to_vec())).expect("text");
        let setting = "SET transaction_timeout = 0;\n";
        assert_eq!(
            with(&format!("SET a = 0;\n{setting}SET b = 0;\n\n-- Name: t\n{setting}")),
            format!("SET a = 0;\nSET b = 0;\n\n-- Name: t\n{setting}")
        );
        assert_eq!(with(&format!("x\n-- Name: t\n{setting}")), format!("x\n-- Name: t\n{setting}"));
    }
}
