//! What every toban tool shares. Tools depend on this crate, never on each other; this crate knows no tool.

pub mod check;
pub mod cli;
pub mod config;
pub mod docs;
pub mod durable;
pub mod error;
pub mod log;
pub mod machine;
pub mod notify;
pub mod out;
pub mod pack;
pub mod pg;
pub mod progress;
pub mod random;
pub mod repo;
pub mod run;
pub mod run_record;
pub mod secret;
pub mod shutdown;
pub mod stamp;
pub mod store;
pub mod sum;
pub mod sync;
pub mod tls;
mod tls_words;
pub mod wal;

pub use cli::{At, Cli, Common, DryRun, Monitoring, exit_status, main};
pub use error::{Context, Error, Kind, Result};
pub use out::{Out, Record, Severity};
pub use secret::Secret;
