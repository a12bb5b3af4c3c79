//! Physical backups: the whole cluster by PostgreSQL's low-level API, and its restore (docs/FORMATS.md).

mod backup;
mod conf;
mod control;
mod copy;
mod exclude;
mod fleet;
mod index;
mod owner;
mod pack;
mod page;
mod plan;
mod run;
mod source;
mod wal;
mod walk;
mod watch;

pub(crate) use run::run;
