//! One dump: pg_dump's output, its row counts from the same snapshot, and last the manifest.

use super::gzip::Gzip;
use crate::child::{Output, no_skipped_objects};
use crate::database;
use crate::format::catalog::Manifest;
use crate::format::copies::Copies;
use crate::format::dump::{
    DumpForm, DumpManifest, GLOBALS, MANIFEST, PROPERTIES, ROWS, ServerPosition, part_key,
};
use crate::format::id::Id;
use crate::format::pseudonym::make_pseudonym;
use crate::lock::renew_locks;
use crate::rows::{self, Count};
use crate::server::Server;
use jiff::Timestamp;
use postgres::{GenericClient, IsolationLevel, Transaction};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use toban_core::progress::Progress;
use toban_core::repo::sealed::{ENCRYPTED_FORMAT, FORMAT, write_sealed};
use toban_core::repo::{Repo, RepoSet, Repos, is_future};
use toban_core::store::Key;
use toban_core::sum::Sum;
use toban_core::sync::joined;
use toban_core::wal::Timeline;
use toban_core::{Context, Error, Kind, Result, shutdown};

/// What all dumps of a run share.
pub(crate) struct DumpJob<'a> {
    pub(crate) server: &'a Server,
    pub(crate) cluster: &'a str,
    pub(crate) form: DumpForm,
    pub(crate) level: u32,
    pub(crate) label: Option<&'a str>,
    pub(crate) globals: Option<Vec<u8>>,
}

impl DumpJob<'_> {
    /// Dumps one database into `repos`: the dump, its row counts from the same snapshot, the globals, and last the
    /// manifest, which makes it visible.
    ///
    /// # Errors
    /// When the database could not be dumped; those of repositories are in the answer.
    pub(crate) fn dump_database<'r>(&self, name: &str, repos: &'r Repos) -> Result<Copies<'r, DumpManifest>> {
        let set = RepoSet::new(repos)?;
        let pseudonym = repos.hides_names()?.then(|| make_pseudonym(name)).transpose()?;
        let made = self.store_dump(name, pseudonym, &set);
        Copies::finish(set, made)
    }

    fn store_dump(&self, name: &str, pseudonym: Option<String>, set: &RepoSet<'_>) -> Result<DumpManifest> {
        let started = Timestamp::now();
        let id = Id::new(started);
        let mut session = self.server.open_session(name)?;
        // One snapshot for pg_dump, the count, the properties and the position: they tell of the same state. Read only, so
        // that hours of it take no transaction number.
        let snapshot =
            session.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let mut snapshot = snapshot.start().doing(|| "begin a snapshot".into())?;
        let properties = database::read_properties(&mut snapshot, name, self.server.major)?;
        let properties = properties.ok_or_else(|| Error::failed(format!("database {name} is gone")))?;
        warn_of_hidden_options(&mut snapshot, name)?;
        let database_bytes = database_size(&mut snapshot)?;
        let source = read_position(&mut snapshot)?;
        let public_name = pseudonym.as_deref().unwrap_or(name);
        let key = part_key(self.cluster, public_name, &id, self.form.suffix())?;
        let (body, counts) = self.copy_dump(name, &key, &mut snapshot, set)?;

        let mut small = BTreeMap::from([(ROWS, set.stored_form(&rows::pack_counts(&counts)?)?)]);
        if let Some(globals) = &self.globals {
            small.insert(GLOBALS, set.stored_form(globals)?);
        }
        let recipients = set.recipients();
        if !recipients.is_empty() {
            let json = serde_json::to_vec(&properties).doing(|| "write the properties".into())?;
            small.insert(PROPERTIES, set.stored_form(&json)?);
        }
        let mut parts = BTreeMap::from([(self.form.suffix().to_string(), body)]);
        parts.extend(small.iter().map(|(suffix, bytes)| (suffix.to_string(), sum_of(bytes))));
        let manifest = DumpManifest {
            format: if recipients.is_empty() { FORMAT } else { ENCRYPTED_FORMAT },
            id,
            cluster: self.cluster.into(),
            label: self.label.map(Into::into),
            started,
            finished: Timestamp::now(),
            server_version: self.server.version.clone(),
            major: self.server.major,
            pg_dump: self.pg_dump_version()?,
            form: self.form,
            database_bytes,
            tables: counts.len() as u64,
            rows: counts.iter().map(|c| c.rows.unsigned_abs()).sum(),
            database: properties,
            pseudonym,
            recipients,
            parts,
            source: Some(source),
        };
        set.each(|repo| {
            commit_manifest(repo, &manifest, &small).inspect_err(|e| discard_parts(repo, &manifest, e))
        })?;
        Ok(manifest)
    }

    /// Streams the dump while the rows are counted in the same snapshot.
    fn copy_dump(
        &self,
        name: &str,
        key: &Key,
        at: &mut Transaction<'_>,
        set: &RepoSet<'_>,
    ) -> Result<(Sum, Vec<Count>)> {
        // pg_dump and the count must see the same rows, or a restore of a busy database would never compare as equal.
        // The snapshot lives as long as this transaction (pg_export_snapshot, "System Administration Functions").
        let sql = "select pg_export_snapshot(), pg_backend_pid()";
        let row = at.query_one(sql, &[]).doing(|| "export the snapshot".into())?;
        // What pg_dump compresses itself passes us in unknown length.
        let total = (self.form == DumpForm::Sql).then(|| database_size(at)).transpose()?;
        let progress = Progress::bytes(&format!("dump {name}"), total, false);
        let body = self.start_pg_dump(name, row.get(0), progress)?;
        let lost = AtomicBool::new(false);
        thread::scope(|scope| {
            let copying = scope.spawn(|| {
                let stored = set.store(body, key);
                if stored.is_err() {
                    lost.store(true, Ordering::SeqCst);
                    // By another session, since this one is busy with the count. Left alone it would keep its
                    // snapshot open for hours, and as long vacuum cannot remove rows that were deleted since
                    // ("Routine Vacuuming").
                    self.cancel_count(name, row.get(1));
                }
                stored
            });
            let counts = rows::count_rows_while(at, || !lost.load(Ordering::SeqCst));
            // Whoever failed first is the cause: a count that fails ends the snapshot, and with it pg_dump.
            let cancelled = lost.load(Ordering::SeqCst);
            let stored = joined(copying.join());
            match cancelled {
                true => Ok((stored?, Vec::new())),
                false => counts.and_then(|counts| Ok((stored?, counts))),
            }
        })
    }

    /// Ends a count that is no longer needed; it may take hours.
    fn cancel_count(&self, name: &str, backend: i32) {
        let done = self.server.open_session(name).and_then(|mut session| {
            session.execute("select pg_cancel_backend($1)", &[&backend]).doing(|| "end the count".into())
        });
        if let Err(e) = done {
            log::debug!("{}", e.chain());
        }
    }

    fn start_pg_dump(&self, name: &str, snapshot: &str, progress: Progress) -> Result<Box<dyn Read + Send>> {
        let mut command = self.server.command_for("pg_dump", name)?;
        command.args(["--snapshot", snapshot]);
        if self.form == DumpForm::Custom {
            command.args(["--format=custom", &format!("--compress={}", self.level)]);
            let dump = Output::start(command, "pg_dump", no_skipped_objects)?;
            return Ok(Box::new(progress.wrap(dump)));
        }
        let dump = Output::start(command, "pg_dump", no_skipped_objects)?;
        Ok(Box::new(Gzip::new(progress.wrap(dump), self.level)))
    }

    fn pg_dump_version(&self) -> Result<String> {
        let mut command = Command::new(self.server.command_for("pg_dump", "")?.get_program());
        command.arg("--version");
        let text = Output::start(command, "pg_dump", no_skipped_objects)?.text()?;
        // pg_dump (PostgreSQL) 15.18 (Debian …)
        Ok(text.split_whitespace().nth(2).unwrap_or_default().to_string())
    }
}

/// Stores the small parts and then the manifest.
fn commit_manifest(repo: &Repo, manifest: &DumpManifest, small: &BTreeMap<&str, Vec<u8>>) -> Result<()> {
    shutdown::check()?;
    small.iter().try_for_each(|(suffix, bytes)| put_part(repo, manifest, suffix, bytes))?;
    renew_locks(repo, &manifest.objects()?, &manifest.beside()?)?;
    // The manifest is the commit point: what it names is durable by now (a put returns when it is), so a dump that
    // is listed is whole, and a run that dies before this line leaves only parts that no reader looks at.
    put_part(repo, manifest, MANIFEST, &write_sealed(&manifest.to_public())?)
}

/// Takes back what a repository got of a dump that cannot be finished there: on a full disk it would hold the room that
/// the next one needs. Only where there is no manifest, and the store answers.
fn discard_parts(repo: &Repo, manifest: &DumpManifest, why: &Error) {
    // Where the store cannot be reached, it cannot be asked whether the manifest came through either.
    if why.kind() == Kind::Retry {
        return;
    }
    let done = || -> Result<()> {
        if repo.store.stat(&manifest.manifest_key()?)?.is_some() {
            return Ok(());
        }
        manifest.parts.keys().try_for_each(|suffix| repo.store.remove(&manifest.stored_key(suffix)?))
    };
    if let Err(e) = done() {
        log::debug!("what was stored of {} stays in {}: {}", manifest.id, repo.name, e.chain());
    }
}

fn put_part(repo: &Repo, manifest: &DumpManifest, suffix: &str, mut bytes: &[u8]) -> Result<()> {
    repo.put_new(&manifest.stored_key(suffix)?, &mut bytes)
}

fn sum_of(bytes: &[u8]) -> Sum {
    Sum { bytes: bytes.len() as u64, sha256: toban_core::sum::hex(&toban_core::sum::sha256(bytes)) }
}

pub(super) fn database_size(at: &mut Transaction<'_>) -> Result<u64> {
    let row = at.query_one("select pg_database_size(current_database())", &[]);
    Ok(row.doing(|| "ask for the size of the database".into())?.get::<_, i64>(0).unsigned_abs())
}

/// Where the server of this session is.
fn read_position(client: &mut impl GenericClient) -> Result<ServerPosition> {
    let doing = || "ask the server where it is".to_string();
    let sql = "select s.system_identifier::text, c.timeline_id, \
               coalesce(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end, \
               '0/0')::text, (extract(epoch from clock_timestamp()) * 1e6)::bigint \
               from pg_control_system() s, pg_control_checkpoint() c";
    let row = client.query_one(sql, &[]).doing(doing)?;
    let source = ServerPosition {
        system_identifier: row.get(0),
        timeline: Timeline(row.get::<_, i32>(1).unsigned_abs()),
        lsn: row.get::<_, String>(2).parse().doing(doing)?,
        server_time: Timestamp::from_microsecond(row.get(3)).doing(doing)?,
    };
    let apart = source.server_time.duration_since(Timestamp::now()).as_secs();
    if is_future(source.server_time, Timestamp::now()) || is_future(Timestamp::now(), source.server_time) {
        log::warn!(
            "the server's clock and this machine's are {} s apart: one of them is wrong, and dumps are dated by it",
            apart.abs()
        );
    }
    Ok(source)
}

/// Warns of what pg_dump leaves out without a word: user mappings whose options, passwords among them, this role cannot read.
fn warn_of_hidden_options(client: &mut impl GenericClient, database: &str) -> Result<()> {
    // Who sees options: pg_user_mappings in PostgreSQL's manual, "System Views".
    let sql = "select format('%s on %s', m.usename, m.srvname) from pg_user_mappings m \
               join pg_foreign_server s on s.oid = m.srvid where m.umoptions is null \
               and not (select rolsuper from pg_roles where rolname = current_user) \
               and not (m.usename = current_user and has_server_privilege(s.oid, 'usage')) \
               and not (m.umuser = 0 and pg_has_role(s.srvowner, 'usage')) order by 1";
    let rows = client.query(sql, &[]).doing(|| format!("list the user mappings of {database}"))?;
    let hidden: Vec<String> = rows.iter().map(|r| r.get(0)).collect();
    if !hidden.is_empty() {
        log::warn!(
            "the dump of {database} lacks the options, such as passwords, of user mapping {}: a superuser alone sees them",
            hidden.join(", ")
        );
    }
    Ok(())
}
