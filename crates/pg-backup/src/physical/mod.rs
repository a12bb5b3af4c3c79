//! Physical backups: the whole cluster by PostgreSQL's low-level API, and its restore (docs/FORMATS.md).

mod backup;
mod catalog;
mod conf;
mod control;
mod copy;
mod exclude;
mod fleet;
mod frames;
mod index;
mod owner;
mod pack;
mod page;
mod plan;
pub(crate) mod restore;
mod run;
mod source;
mod wal;
mod walk;
mod watch;

pub(crate) use run::run;
