//! Connections to PostgreSQL, after libpq's conventions: the same input gives the same answer as `psql`.
mod connect;
pub mod conninfo;
mod environment;
mod explain;
mod host;
pub mod ident;
pub mod keyvalue;
mod keywords;
mod names;
mod passfile;
pub mod pooler;
mod postmaster;
pub mod programs;
mod service;
mod settings;
mod target;
mod tls;
pub mod uri;
mod verify;
mod wire;

pub use conninfo::ConnInfo;
pub use environment::Environment;
pub use ident::{Ident, quote_literal, quote_setting};
pub use postmaster::postmaster_pid;
pub use wire::{Message, Wire, reports_damage};

#[cfg(test)]
mod properties;
