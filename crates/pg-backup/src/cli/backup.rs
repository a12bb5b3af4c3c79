//! Flags of the verbs that make and restore physical backups; the doc comments are the help.

use super::{RecoveryTargetArgs, ServerArgs, parse_label};
use crate::format::codec::Codec;
use crate::machine;
use clap::{Args as Group, ValueEnum};
use std::path::PathBuf;
use toban_core::config::Span;
use toban_core::repo::{IdentityArgs, RepoArgs};
use toban_core::{DryRun, Error, Result};

/// When the checkpoint comes that a backup begins with.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// At once; the disks are busy for some seconds
    Fast,
    /// Spread over the server's usual time (checkpoint_completion_target)
    Spread,
}

/// How a backup is compressed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compress {
    /// zstd; levels -7 to 19
    Zstd,
    /// gzip; levels 1 to 9
    Gzip,
    /// Not at all
    None,
}

impl Compress {
    pub(crate) fn codec(self) -> Codec {
        match self {
            Compress::Zstd => Codec::Zstd,
            Compress::Gzip => Codec::Gzip,
            Compress::None => Codec::None,
        }
    }
}

/// Bytes in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

const RUN_HELP: &str = "\
Examples:
  Tonight's backup of the whole cluster, as the user postgres on the server's machine:
    pg-backup run --repo file:///var/backups/toban
  To a folder and a bucket in one pass, at no more than 100 MiB a second:
    pg-backup run --repo local --repo s3 --max-rate 100M
  From a backup host, of a server that only lets a replication role in:
    pg-backup run --remote --db 'host=db1 user=backup' --repo local

Only what changed since the newest backup is stored, found by content, with any version of PostgreSQL; yet every
backup restores by itself, and no prune can break it. Everything is stored the first time, with --full, and where the
state directory does not know the newest backup's blocks; -v says why.
The server runs on. The backup holds the WAL that it needs and restores by itself, without any archive.
Where the cluster has page checksums, each page is compared as it is read: a damaged one is reported by file
and block, the backup is kept and marked, and the status is 3.
A role that is no superuser needs what `run` names when it lacks it: execute on pg_backup_start and
pg_backup_stop, replication, and pg_read_all_settings. One replication slot must be free.";

#[derive(Group, Debug)]
#[command(after_long_help = RUN_HELP)]
pub struct Run {
    /// Server to back up, on this machine unless --remote: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub db: Option<String>,
    /// The server is on another machine, or its files may not be read: take them over the replication protocol
    #[arg(long, conflicts_with = "data_dir")]
    pub remote: bool,
    /// The server's data directory [default: asked of the server]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub repos: RepoArgs,
    /// Parallel workers [default: all cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// When the checkpoint comes that the backup begins with
    #[arg(long, value_enum, default_value_t = Checkpoint::Fast)]
    pub checkpoint: Checkpoint,
    /// Form of compression
    #[arg(long, value_enum, default_value_t = Compress::Zstd)]
    pub compress: Compress,
    /// Level of compression [default: 3 of zstd, 6 of gzip]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub level: Option<i32>,
    /// Read no more than this in a second, e.g. 50M or 1G
    #[arg(long, value_name = "BYTES", value_parser = parse_rate)]
    pub max_rate: Option<Rate>,
    /// Store everything, and build on no earlier backup
    #[arg(long)]
    pub full: bool,
    /// How old the last full backup may be before this one is full too [default: 30d]
    #[arg(long, value_name = "TIME")]
    pub full_every: Option<Span>,
    /// Label that `list` shows, e.g. before-upgrade
    #[arg(long, value_name = "WORD", value_parser = parse_label)]
    pub label: Option<String>,
    /// Pin the backup: no rule deletes it until `unpin`; the text says why
    #[arg(long, value_name = "WHY", value_parser = super::parse_why)]
    pub pin: Option<String>,
    /// The repository holds another system: this one was rebuilt or upgraded
    #[arg(long)]
    pub new_system: bool,
    #[command(flatten)]
    pub dry: DryRun,
}

impl Run {
    pub(crate) fn server(&self) -> ServerArgs {
        ServerArgs { db: self.db.clone(), bin_dir: None }
    }

    pub(crate) fn jobs(&self) -> u32 {
        machine::worker_count(self.jobs)
    }

    /// The level that was asked for, if the codec has it.
    ///
    /// # Errors
    /// Usage for one that it has not.
    pub(crate) fn level(&self) -> Result<i32> {
        let codec = self.compress.codec();
        let (low, high) = codec.levels();
        let usual = match codec {
            Codec::Zstd => 3,
            Codec::Gzip => 6,
            Codec::None => 0,
        };
        let level = self.level.unwrap_or(usual);
        if (low..=high).contains(&level) {
            return Ok(level);
        }
        Err(Error::usage(format!("--level {level} is not one of {} ({low} to {high})", codec.suffix())))
    }
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    parse_bytes(text).map(Rate)
}

/// A number of bytes, with K, M or G after it or not.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let bytes = digits.parse::<u64>().ok().filter(|n| *n > 0).and_then(|n| n.checked_mul(unit));
    bytes.ok_or_else(|| "a number of bytes, with K, M or G after it or not".into())
}

/// A tablespace's old and new place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where it was.
    pub old: String,
    /// Where it goes.
    pub new: PathBuf,
}

fn parse_mapping(text: &str) -> Result<Mapping, String> {
    let (old, new) = text.split_once('=').ok_or("OLD=NEW, two absolute paths")?;
    match old.starts_with('/') && new.starts_with('/') {
        true => Ok(Mapping { old: trim_slashes(old), new: trim_slashes(new).into() }),
        false => Err("both paths must be absolute".into()),
    }
}

/// Without the slashes at its end, as PostgreSQL keeps a place.
fn trim_slashes(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/".into() } else { trimmed.into() }
}

fn parse_absolute(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(trim_slashes(text).into())
    } else {
        Err("it must be an absolute path".into())
    }
}

const RESTORE_HELP: &str = "\
Examples:
  The newest backup and all WAL since into an empty folder; then start a server there:
    pg-backup restore --target latest -D /var/lib/postgresql/15/main --repo local
  Over what is left of a data directory, writing only what differs:
    pg-backup restore -D /var/lib/postgresql/15/main --delta --repo local
  Beside the live server, all tablespaces elsewhere, Debian's configuration to its own folder:
    pg-backup restore 20261121T030000Z-120034 -D /srv/look --tablespace-dir /srv/look-spaces \\
        --config-dir /srv/look-conf --repo local
  As the cluster was at a point in time, by the WAL that wal-shipper archived there; without --dry-run it is done:
    pg-backup restore -D /srv/look --target-time 2026-11-21T11:59:00+01:00 --repo local --dry-run

With a recovery target the newest backup that ended before it is taken. What can be reached is printed first,
and a target that cannot be reached is refused with the nearest that can. The server fetches the WAL by
wal-shipper, which must be installed beside pg-backup or on PATH, stops at the target, and never before it.
Without a target it recovers from the WAL inside the backup to the end of the backup. Then it is promoted,
and begins a new timeline; a message names the WAL that is left out. It does not archive, subscribe or load libraries
that run jobs, unless --keep-archiving, so that it does nothing in the place of the server that was backed up.
A tablespace goes only into an empty place; those that the WAL creates on the way are found first, and -T and
--tablespace-dir move them too. --delta neither writes nor deletes through links of the target. global/pg_control is written last: a restore that did not
finish cannot be started; run it again with --delta.
As root the files go to the owner that they had, by name; else they are the caller's.
backup_manifest is PostgreSQL's own: pg_verifybackup (on Debian in /usr/lib/postgresql/*/bin) compares the
restored folder before its first start.";

#[derive(Group, Debug)]
#[command(after_long_help = RESTORE_HELP)]
pub struct Restore {
    /// The backup's ID [default with a recovery target: the newest that ended before it]
    #[arg(value_name = "ID", default_value = "latest")]
    pub id: String,
    /// Folder that becomes the data directory; it must be empty, or not there
    #[arg(short = 'D', long, value_name = "DIR")]
    pub pgdata: PathBuf,
    /// Rewrite only what differs in a data directory that is there, and delete what the backup does not have
    #[arg(long)]
    pub delta: bool,
    /// Put the tablespace that was in OLD into NEW; may be given several times
    #[arg(short = 'T', long, value_name = "OLD=NEW", value_parser = parse_mapping)]
    pub tablespace_mapping: Vec<Mapping>,
    /// Put every other tablespace into a folder of its own below DIR, those too that the WAL creates
    #[arg(long, value_name = "DIR", value_parser = parse_absolute)]
    pub tablespace_dir: Option<PathBuf>,
    /// Folder for configuration that was outside the data directory [default: the target]
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// Leave archive_mode, subscriptions and libraries that run jobs as they were: only for a server that takes the old
    /// one's place
    #[arg(long)]
    pub keep_archiving: bool,
    /// Parallel workers [default: all cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub identity: IdentityArgs,
    #[command(flatten)]
    pub dry: DryRun,
    #[command(flatten)]
    pub to: RecoveryTargetArgs,
}

impl Restore {
    pub(crate) fn jobs(&self) -> u32 {
        machine::worker_count(self.jobs)
    }
}
