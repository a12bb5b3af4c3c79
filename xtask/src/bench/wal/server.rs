//! A server whose archiver does what it is told.

use super::{Way, until};
use crate::scratch::Scratch;
use crate::sh::{self, Context, Result, read};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// The server, with a base backup from before the segments that wait.
pub(super) struct Archiver<'s> {
    pub(super) scratch: &'s Scratch,
}

/// What a load left behind.
pub(super) struct Load {
    pub(super) rate: f64,
    pub(super) segments: usize,
    pub(super) waiting: usize,
}

/// All of the WAL stays, and nothing is archived before it is said how.
const SETTINGS: &str = "alter system set archive_mode = on; alter system set archive_command = ''; \
    alter system set wal_keep_size = '16GB'; alter system set max_wal_size = '16GB'; \
    alter system set checkpoint_timeout = '1h'";

impl<'s> Archiver<'s> {
    pub(super) fn start(scratch: &'s Scratch) -> Result<Archiver<'s>> {
        for setting in SETTINGS.split("; ") {
            scratch.psql("postgres", setting)?;
        }
        sh::quietly(&mut scratch.shell("pg_ctl -D data -l server.log -m fast -s -w restart"))?;
        sh::quietly(&mut scratch.shell("pgbench -i -q -s 50 postgres 2>/dev/null"))?;
        Ok(Archiver { scratch })
    }

    /// What was written before it is of no use to recovery, and waits no longer.
    pub(super) fn base_backup(&self) -> Result<()> {
        self.put_off(&self.waiting()?)?;
        sh::quietly(&mut self.scratch.shell("pg_basebackup -c fast -X stream -D base"))
    }

    /// Writes until `count` segments wait; a checkpoint now and then, so that pages come whole as on a large database.
    pub(super) fn write(&self, count: usize) -> Result<()> {
        until("write segments", || {
            let line = "psql -Xqc checkpoint && \
                PGOPTIONS='-c synchronous_commit=off' pgbench -n -c 4 -j 2 -T 2 postgres >/dev/null && \
                psql -Xqc 'select pg_switch_wal()' >/dev/null";
            sh::quietly(&mut self.scratch.shell(line))?;
            Ok(self.waiting()?.len() >= count)
        })?;
        let all = self.waiting()?;
        self.put_off(&all[count..])
    }

    fn put_off(&self, segments: &[String]) -> Result<()> {
        segments.iter().try_for_each(|s| self.mark(s, "ready", "later"))
    }

    /// Names of the segments that wait for the archiver, oldest first.
    pub(super) fn waiting(&self) -> Result<Vec<String>> {
        self.marked("ready")
    }

    fn marked(&self, mark: &str) -> Result<Vec<String>> {
        let dir = self.statuses();
        let entries = std::fs::read_dir(&dir).doing(|| format!("read {}", dir.display()))?;
        let names = entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> =
            names.filter_map(|n| n.strip_suffix(&format!(".{mark}")).map(String::from)).collect();
        // Not the backup's label: that is no segment.
        names.retain(|n| n.len() == 24);
        names.sort();
        Ok(names)
    }

    fn statuses(&self) -> PathBuf {
        self.scratch.dir().join("data/pg_wal/archive_status")
    }

    fn mark(&self, segment: &str, from: &str, to: &str) -> Result<()> {
        let path = |mark: &str| self.statuses().join(format!("{segment}.{mark}"));
        std::fs::rename(path(from), path(to)).doing(|| format!("mark {segment} {to}"))
    }

    /// Empties every archive.
    pub(super) fn reset(&self, ways: &[Way]) -> Result<()> {
        ways.iter().try_for_each(|way| sh::quietly(&mut self.scratch.shell(&way.reset)))
    }

    /// The command for one segment, run as the archiver does.
    pub(super) fn once(&self, command: &str, segment: &str) -> Command {
        let line = command.replace("%p", &format!("pg_wal/{segment}")).replace("%f", segment);
        let mut shell = self.scratch.shell(&line);
        shell.current_dir(self.scratch.dir().join("data"));
        shell
    }

    /// Seconds until nothing waits any more; then all waits again.
    pub(super) fn drain(&self, command: &str) -> Result<f64> {
        let began = Instant::now();
        self.archive(command)?;
        until("archive the backlog", || Ok(self.waiting()?.is_empty()))?;
        let seconds = began.elapsed().as_secs_f64();
        self.archive("")?;
        self.all_wait()?;
        Ok(seconds)
    }

    /// Makes all that was archived wait again.
    pub(super) fn all_wait(&self) -> Result<()> {
        self.marked("done")?.iter().try_for_each(|s| self.mark(s, "done", "ready"))
    }

    fn archive(&self, command: &str) -> Result<()> {
        let command = command.replace('\'', "''");
        self.scratch.psql("postgres", &format!("alter system set archive_command = '{command}'"))?;
        self.scratch.psql("postgres", "select pg_reload_conf()").map(drop)
    }

    /// pgbench with the archiver at work, and what was left when it ended.
    pub(super) fn load(&self, command: &str, seconds: u32) -> Result<Load> {
        self.put_off(&self.waiting()?)?;
        self.scratch.psql("postgres", "checkpoint")?;
        self.archive(command)?;
        let said = read(&mut self.scratch.shell(&format!("pgbench -n -c 8 -j 2 -T {seconds} postgres")))?;
        let waiting = self.waiting()?.len();
        until("archive the rest", || Ok(self.waiting()?.is_empty()))?;
        self.archive("")?;
        let rate = said.split("tps = ").nth(1).and_then(|t| t.split(' ').next()?.parse().ok());
        let segments = self.marked("done")?.len();
        self.marked("done")?.iter().try_for_each(|s| self.mark(s, "done", "later"))?;
        Ok(Load { rate: rate.unwrap_or_default(), segments, waiting })
    }
}
