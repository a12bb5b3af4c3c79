//! A file and its copy, known to belong together: what `sync` and the verbs after it begin with.

use super::apply::{Applied, LogRange, LoggedChanges, why_recopied};
use super::constraints;
use super::fence::{FENCED, FINISHED};
use super::file;
use super::record::{self, CaptureRecord, entries_of, find_changes, read_capture, schema_version};
use super::reverse_log::{remove_log, reverse_tables};
use super::state::{self, LivePhase, LiveState, RecopiedTable};
use crate::live_args::CopySides;
use crate::load::rejects::Rejects;
use crate::model::{Mode, Plan};
use crate::source::catalog::schema_sum;
use crate::target::fence::drop_fence;
use migrate::session;
use postgres::Client;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use toban_core::pg::ConnInfo;
use toban_core::{Context, Error, Kind, Result};

/// Both sides, and what is known of them.
pub(super) struct LiveLink {
    pub(super) path: PathBuf,
    pub(super) reader: Connection,
    pub(super) to: ConnInfo,
    pub(super) client: Client,
    pub(super) plan: Plan,
    pub(super) record: CaptureRecord,
    pub(super) state: LiveState,
    /// The target does not know of this capture yet.
    fresh: bool,
    pub(super) rejects: Rejects,
    /// The schema's version that was compared with the capture.
    checked: Option<i64>,
}

impl LiveLink {
    /// Opens both sides. The lock of a run into the schema is held as long as this lives.
    ///
    /// # Errors
    /// Usage when nothing is captured or copied; Retry when another run has the schema; Findings when the two do not
    /// belong together; those of either side.
    pub(super) fn open_sides(sides: &CopySides) -> Result<LiveLink> {
        let path = file::find_file(&sides.db)?;
        let to = ConnInfo::resolve(sides.to.as_deref(), "sqlite-to-pg")?;
        let reader = file::open_reader(&path)?;
        let record = read_capture(&reader)?;
        let mut client = session::open_lead(&to)?;
        session::check_server(&mut client, &to)?;
        session::lock_schema(&mut client, "sqlite-to-pg", &sides.schema)?;
        let plan = state::read_plan(&mut client, &sides.schema)?;
        check_copy(&plan, &record)?;
        let identity = file::file_identity(&path)?;
        let known = state::find_state(&mut client, &plan.schema)?;
        let fresh = known.as_ref().is_none_or(|state| state.uuid != record.uuid);
        if fresh && record.state == FINISHED {
            // Whatever is left in the log is older than what the application wrote to PostgreSQL since.
            return Err(Error::usage("the cutover of this file is finished: PostgreSQL is what counts")
                .hint("to move the file once more: capture --stop, and begin again with capture"));
        }
        let state = match known {
            Some(state) if !fresh => state,
            Some(state) if !matches!(state.phase, LivePhase::Following | LivePhase::FellBack) => {
                return Err(Error::usage(format!(
                    "the cutover into {} is {}, and was that of another capture",
                    plan.schema,
                    state.phase.name()
                )));
            }
            // Every entry of the log is applied: those before the copy's snapshot once more, which changes nothing.
            _ => {
                check_source(&plan, &reader, &path)?;
                LiveState {
                    uuid: record.uuid.clone(),
                    identity: identity.clone(),
                    phase: LivePhase::Following,
                    position: 0,
                    proven: None,
                }
            }
        };
        state::check_same(&state, &identity, entries_of(&reader)?)?;
        let rejects = Rejects::new()?;
        Ok(LiveLink { path, reader, to, client, plan, record, state, fresh, rejects, checked: None })
    }

    /// Whether the target does not know of this capture yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether the application writes to the file. A copy counts as proven only behind the fence: where it was lifted
    /// the end of that transaction was never learned.
    pub(super) fn is_followed(&self) -> bool {
        match self.state.phase {
            LivePhase::Following => true,
            LivePhase::Proven | LivePhase::FellBack => self.record.state != FENCED,
            LivePhase::Switched => false,
        }
    }

    /// Writes down that the copy is followed, and takes out of the way what would be in it.
    ///
    /// # Errors
    /// Those of the server.
    pub(super) fn begin_following(&mut self) -> Result<()> {
        let LiveLink { client, plan, record, state, fresh, .. } = self;
        let doing = || "begin to follow the file".to_string();
        // After a fallback or a cutover that was taken back: it is all to be done again.
        (state.phase, state.proven) = (LivePhase::Following, None);
        session::in_transaction(client, doing, |client| {
            state::make_tables(client)?;
            if *fresh {
                // Tables of the application's outlast their copy, without the keys and triggers that were taken away.
                if plan.mode == Mode::Existing {
                    constraints::put_back_earlier(client, &plan.schema)?;
                }
                // What an earlier capture left is about a copy that is no more.
                state::forget_tables(client, &plan.schema)?;
            }
            state::write_state(client, &plan.schema, state)?;
            drop_fence(client, &plan.schema)?;
            remove_log(client, plan, &reverse_tables(plan, &record.tables))?;
            constraints::take_away(client, plan)?;
            for table in &plan.tables {
                let Some(captured) = record.tables.iter().find(|t| t.name == table.source) else { continue };
                if let Some(why) = why_recopied(captured, table) {
                    let changed = captured.is_virtual;
                    let recopied = RecopiedTable { source: table.source.clone(), why, changed };
                    state::note_recopied(client, &plan.schema, &recopied)?;
                }
            }
            Ok(())
        })?;
        self.fresh = false;
        Ok(())
    }

    /// Applies everything that the log holds at this moment, in one transaction of each side, with the position.
    ///
    /// # Errors
    /// Findings when the schema changed so that the plan does not fit it any more; those of either side.
    pub(super) fn apply_newest(&mut self) -> Result<Applied> {
        self.with_snapshot(LiveLink::apply_here)
    }

    /// The same inside of [`LiveLink::with_snapshot`].
    ///
    /// # Errors
    /// Those of [`LiveLink::apply_newest`].
    pub(super) fn apply_here(&mut self) -> Result<Applied> {
        self.check_schema()?;
        let entries = entries_of(&self.reader)?;
        let identity = file::file_identity(&self.path)?;
        state::check_same(&self.state, &identity, entries)?;
        let upto = entries.newest;
        if upto == self.state.position {
            return Ok(Applied::default());
        }
        let range = LogRange { after: self.state.position, upto };
        let next = LiveState { position: upto, ..self.state.clone() };
        let LiveLink { client, plan, record, rejects, path, reader, .. } = self;
        let changes = LoggedChanges { plan, tables: &record.tables, path, rejects };
        // The position and the rows that it stands for are committed together: after a crash either both are there,
        // or neither is and the same entries are applied again.
        let applied = session::in_transaction(
            client,
            || "apply the changes".into(),
            |client| {
                let applied = changes.apply_log(reader, client, range)?;
                state::write_state(client, &plan.schema, &next)?;
                Ok(applied)
            },
        )?;
        self.state = next;
        Ok(applied)
    }

    /// Copies a whole table again, as it is at the moment that the reader sees.
    ///
    /// # Errors
    /// Those of either side.
    pub(super) fn recopy_table(&mut self, source: &str) -> Result<u64> {
        let LiveLink { client, plan, record, rejects, path, reader, .. } = self;
        let Some(table) = plan.tables.iter().find(|t| t.source == source) else { return Ok(0) };
        let changes = LoggedChanges { plan, tables: &record.tables, path, rejects };
        session::in_transaction(
            client,
            || format!("copy {source} again"),
            |client| changes.recopy_table(reader, client, table),
        )
    }

    /// Does `work` while the reader sees one moment of the file.
    ///
    /// # Errors
    /// Those of SQLite and of `work`.
    pub(super) fn with_snapshot<T>(&mut self, work: impl FnOnce(&mut LiveLink) -> Result<T>) -> Result<T> {
        file::begin_snapshot(&self.reader, &self.path)?;
        let done = work(self);
        file::end_snapshot(&self.reader, &self.path)?;
        done
    }

    /// That the plan still fits the file; a table whose capture broke is marked to be copied again.
    pub(super) fn check_schema(&mut self) -> Result<()> {
        let version = schema_version(&self.reader)?;
        if self.checked == Some(version) {
            return Ok(());
        }
        let change = find_changes(&self.reader, &self.record)?;
        if !change.unplanned.is_empty() {
            return Err(Error::new(
                Kind::Findings,
                format!("the application changed its schema: {}", change.unplanned.join("; ")),
            )
            .hint("the copy's plan knows nothing of it; begin again: capture --stop, capture, run --undo --even-if-changed, run, sync"));
        }
        for (source, why) in change.uncaptured {
            if !self.plan.tables.iter().any(|t| t.source == source) {
                continue;
            }
            log::warn!("{source}: {why}; it is copied again at the fence");
            let recopied = RecopiedTable { source, why, changed: true };
            state::note_recopied(&mut self.client, &self.plan.schema, &recopied)?;
        }
        self.checked = Some(version);
        Ok(())
    }

    /// Deletes entries of the log that are applied, some at a time, so that the application waits for none of it. The
    /// newest one stays, and the next number with it.
    ///
    /// # Errors
    /// Those of SQLite, but not that another program is writing: then they go another time.
    pub(super) fn prune_log(&self) -> Result<()> {
        prune_log(&self.path, self.state.position)
    }
}

fn prune_log(path: &Path, position: i64) -> Result<()> {
    let writer = file::open_writer(path, std::time::Duration::from_millis(100))?;
    let log = super::triggers::LOG;
    let sql = format!(
        "delete from {log} where seq in (select seq from {log} where seq < ?1 order by seq limit 2000)"
    );
    loop {
        let deleted = file::in_write(&writer, path, |db| {
            db.execute(&sql, [position]).doing(|| "delete applied entries of the log".into())
        });
        match deleted {
            Ok(2000) => {}
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == Kind::Retry => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

/// That the copy was made after the capture began: what was changed in between would be lost.
fn check_copy(plan: &Plan, record: &record::CaptureRecord) -> Result<()> {
    if plan.source.schema_version >= record.schema_version {
        return Ok(());
    }
    Err(Error::usage(
        "the copy was made before the capture began, and what was changed in between is not known",
    )
    .hint("make the copy again: run --undo (with --even-if-changed after a sync), then run"))
}

/// That the copy is one of this file, as far as its name and its schema tell.
fn check_source(plan: &Plan, reader: &Connection, path: &Path) -> Result<()> {
    let same_name = Path::new(&plan.source.path).file_name() == path.file_name();
    if same_name && schema_sum(reader)? == plan.source.schema_sum {
        return Ok(());
    }
    Err(Error::usage(format!("the copy in {} is that of another file: {}", plan.schema, plan.source.path))
        .hint("name its file, or the --schema of this one's copy"))
}

/// Warns when the application's schema is another one than that of the plan, in what is no table or column.
///
/// # Errors
/// Those of SQLite.
pub(super) fn warn_of_schema(link: &LiveLink) -> Result<()> {
    if schema_sum(&link.reader)? != link.plan.source.schema_sum {
        log::warn!(
            "the file's schema is no longer the one that was copied: indexes, views and constraints that came since are not in the copy"
        );
    }
    Ok(())
}
