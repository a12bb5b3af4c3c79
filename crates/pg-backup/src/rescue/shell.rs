//! `--shell`: psql at the moment.

use super::moment::Moment;
use std::os::unix::process::CommandExt;
use toban_core::shutdown::{self, Guarded};
use toban_core::{Context, Error, Result};

/// Opens psql in the wanted database, with our terminal or pipes, until its user leaves.
///
/// # Errors
/// Failed when it ends with an error.
pub(super) fn open_shell(at: &Moment) -> Result<()> {
    // In our process group, unlike the server: it is the one that reads from the terminal. Ctrl-C there is meant for a query.
    let mut psql = at.server()?.command_for("psql", &at.database)?;
    psql.env(at.runner.purpose.variable, &at.runner.scratch).current_dir("/");
    if let Some(user) = &at.runner.user {
        psql.uid(user.uid).gid(user.gid).env("HOME", &user.home);
    }
    shutdown::leave_interrupts();
    let child = psql.spawn().doing(|| "start psql".into())?;
    let status = Guarded::new(child).child().wait().doing(|| "wait for psql".into())?;
    shutdown::check()?;
    if status.success() { Ok(()) } else { Err(Error::failed(format!("psql ended with {status}"))) }
}
