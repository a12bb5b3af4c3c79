//! Flags of the verbs that work on physical backups; the doc comments are the help.

use crate::cores;
use crate::help_physical::{RESTORE_HELP, RUN_HELP};
use clap::{Args as Group, ValueEnum};
use std::path::PathBuf;
use toban_core::pack::Codec;
use toban_core::repo::RepoArgs;
use toban_core::{DryRun, Error, Result};

/// When the checkpoint comes that a backup begins with.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// At once; the disks are busy for a moment
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

#[derive(Group, Debug)]
#[command(after_long_help = RUN_HELP)]
pub struct Run {
    /// Server to back up, on this machine: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub db: Option<String>,
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
    /// Read no more than this in a second, as 50M or 1G
    #[arg(long, value_name = "BYTES", value_parser = rate)]
    pub max_rate: Option<Rate>,
    /// A word to find it by, as before-upgrade
    #[arg(long, value_name = "WORD", value_parser = super::cli::label)]
    pub label: Option<String>,
    /// The repository holds another system: this one was rebuilt or upgraded
    #[arg(long)]
    pub new_system: bool,
    #[command(flatten)]
    pub dry: DryRun,
}

impl Run {
    pub(crate) fn server(&self) -> super::cli::Server {
        super::cli::Server { db: self.db.clone(), bin_dir: None }
    }

    pub(crate) fn jobs(&self) -> u32 {
        cores::workers(self.jobs)
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

fn rate(text: &str) -> Result<Rate, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let bytes = digits.parse::<u64>().ok().filter(|n| *n > 0).and_then(|n| n.checked_mul(unit));
    bytes.map(Rate).ok_or_else(|| "a number of bytes, with K, M or G behind it or not".into())
}

/// A tablespace's old and new place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where it was.
    pub old: String,
    /// Where it goes.
    pub new: PathBuf,
}

fn mapping(text: &str) -> Result<Mapping, String> {
    let (old, new) = text.split_once('=').ok_or("OLD=NEW, two absolute paths")?;
    match old.starts_with('/') && new.starts_with('/') {
        true => Ok(Mapping { old: plain(old), new: plain(new).into() }),
        false => Err("both paths must be absolute".into()),
    }
}

/// Without the slashes at its end, as PostgreSQL keeps a place.
fn plain(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/".into() } else { trimmed.into() }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') { Ok(plain(text).into()) } else { Err("it must be an absolute path".into()) }
}

#[derive(Group, Debug)]
#[command(after_long_help = RESTORE_HELP)]
pub struct Restore {
    /// The backup's ID [default with a moment: the newest that ended before it]
    #[arg(value_name = "ID", default_value = "latest")]
    pub id: String,
    /// Folder that becomes the data directory; it must be empty, or not there
    #[arg(short = 'D', long, value_name = "DIR")]
    pub pgdata: PathBuf,
    /// Rewrite only what differs in a data directory that is there, and delete what the backup does not have
    #[arg(long)]
    pub delta: bool,
    /// Put the tablespace that was in OLD into NEW; may be given several times
    #[arg(short = 'T', long, value_name = "OLD=NEW", value_parser = mapping)]
    pub tablespace_mapping: Vec<Mapping>,
    /// Put every other tablespace into a folder of its own below DIR, those too that the WAL creates
    #[arg(long, value_name = "DIR", value_parser = absolute)]
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
    pub dry: DryRun,
    #[command(flatten)]
    pub to: super::cli_moment::To,
}

impl Restore {
    pub(crate) fn jobs(&self) -> u32 {
        cores::workers(self.jobs)
    }
}
