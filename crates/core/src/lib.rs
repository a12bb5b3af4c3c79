//! What every toban tool shares. Tools depend on this crate, never on each other; this crate knows no tool.
//!
//! A tool lists the powers that it uses as features: `pg` connects to PostgreSQL, `repo` keeps backups and WAL in folders
//! and S3, `private_server` runs a server of its own in a restored folder, `run` makes a job of a run (record, metrics, notifications), `tls` is the one implementation of cryptography.

#[cfg(feature = "repo")]
pub mod age;
pub mod check;
pub mod cli;
pub mod config;
#[cfg(feature = "repo")]
pub mod crc;
pub mod docs;
pub mod durable;
pub mod error;
pub mod evidence;
pub mod fill;
pub mod log;
pub mod machine;
#[cfg(feature = "run")]
pub mod notify;
pub mod out;
#[cfg(feature = "pg")]
pub mod pg;
#[cfg(feature = "private_server")]
pub mod private_server;
pub mod progress;
pub mod random;
#[cfg(feature = "repo")]
pub mod repo;
#[cfg(feature = "run")]
pub mod run;
#[cfg(feature = "run")]
pub mod run_record;
pub mod secret;
pub mod shutdown;
pub mod sign;
pub mod stamp;
#[cfg(feature = "repo")]
pub mod state_key;
#[cfg(feature = "repo")]
pub mod store;
pub mod sum;
pub mod sync;
pub mod systemd;
#[cfg(feature = "repo")]
mod terminal;
#[cfg(feature = "tls")]
pub mod tls;
mod tls_words;
#[cfg(feature = "repo")]
pub mod wal;

pub use cli::{At, Cli, Common, DryRun, Monitoring, exit_status, main};
pub use error::{Context, Error, Kind, Result};
pub use out::{Out, Record, Severity};
pub use secret::Secret;
