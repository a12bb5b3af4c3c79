//! Takes, lists, verifies, copies, restores and prunes PostgreSQL backups.

mod check;
mod child;
mod cli;
mod copy;
mod data_dir;
mod database;
mod doctor;
mod dump;
mod format;
mod init;
mod key;
mod list;
mod lock;
mod machine;
mod objectives;
mod pin;
mod prune;
mod reach;
mod rescue;
mod restore;
mod restore_dump;
mod retention;
mod rows;
mod rulebook;
mod run;
mod server;
mod shell;
mod status;
mod units;
mod verify;

pub use cli::BackupArgs;

use cli::BackupVerb;
use toban_core::{Out, Result};

/// Runs the verb.
///
/// # Errors
/// Each verb says what it could not do; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: BackupArgs, out: &mut Out<'_>) -> Result<()> {
    if let BackupVerb::Init(verb) = &args.verb {
        return init::run(verb, &args.common, out);
    }
    let config = args.common.config()?;
    match &args.verb {
        BackupVerb::Run(verb) => run::run(verb, &config, out),
        BackupVerb::Restore(verb) => restore::run(verb, &config, out),
        BackupVerb::Rescue(verb) => rescue::run(verb, &config, out),
        BackupVerb::Dump(verb) => dump::run(verb, &config, out),
        BackupVerb::RestoreDump(verb) => restore_dump::run(verb, &config, out),
        BackupVerb::List(verb) => list::run(verb, &config, out),
        BackupVerb::Verify(verb) => verify::run(verb, &config, out),
        BackupVerb::Copy(verb) => copy::run(verb, &config, out),
        BackupVerb::Prune(verb) => prune::run(verb, &config, out),
        BackupVerb::Pin(verb) => pin::run(verb, &config, out),
        BackupVerb::Unpin(verb) => pin::end(verb, &config, out),
        BackupVerb::Key(verb) => key::run(verb, &config, out),
        BackupVerb::Check(verb) => check::run(verb, &config, out),
        BackupVerb::Doctor(verb) => doctor::run(verb, &config, out),
        BackupVerb::Status(verb) => status::run(verb, &config, out),
        BackupVerb::Init(verb) => init::run(verb, &args.common, out),
    }
}
