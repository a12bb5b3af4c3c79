//! Physical backups: the whole cluster by PostgreSQL's low-level API, and its restore (docs/FORMATS.md).

pub(crate) mod backup;
pub(crate) mod catalog;
mod conf;
mod control;
mod copy;
mod exclude;
mod fleet;
mod frames;
mod host;
mod include;
mod index;
mod job;
pub(crate) mod list;
mod outline;
mod owner;
mod pack;
mod page;
mod plan;
mod pooler;
mod process;
pub(crate) mod prune;
mod prune_wal;
pub(crate) mod reach;
pub(crate) mod restore;
mod run;
mod source;
pub(crate) mod verify;
mod verify_wal;
mod wal;
mod walk;
mod watch;

pub(crate) use run::run;
