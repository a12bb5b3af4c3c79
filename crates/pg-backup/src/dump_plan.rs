//! `dump --dry-run`: what a dump would take.

use crate::cli;
use crate::dump::{chosen, form, size};
use crate::manifest::Form;
use crate::outcome::Tally;
use serde::Serialize;
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::{Context, Out, Record, Result, out};

/// One database that would be dumped.
#[derive(Serialize)]
struct Planned {
    database: String,
    database_bytes: u64,
    form: Form,
    repos: Vec<String>,
}

impl Record for Planned {
    const SCHEMA: &'static str = "pg-backup.dump-plan/1";
    const HEAD: &'static [&'static str] = &["would dump", "size", "as", "to"];
    fn cells(&self) -> Vec<String> {
        let form = self.form.suffix().into();
        vec![self.database.clone(), out::bytes(self.database_bytes), form, self.repos.join(" ")]
    }
}

/// Prints what a run would do.
///
/// # Errors
/// When the server cannot be asked, or has no such database.
pub(crate) fn emit(args: &cli::Dump, config: &Config, repos: &[Repo], out: &mut Out<'_>) -> Result<()> {
    let (server, chosen) = chosen(args, config)?;
    let mut tally = Tally::default();
    chosen.refused.into_iter().for_each(|e| _ = tally.item::<()>(Err(e)));
    // The programs must be there, or the night's run fails for what the dry run could have told.
    server.program("pg_dump", "")?;
    for database in chosen.names {
        let mut session = server.session(&database)?;
        let database_bytes = size(&mut session.transaction().doing(|| "begin".into())?)?;
        let repos = repos.iter().map(|r| r.name.clone()).collect();
        out.emit(&Planned { database, database_bytes, form: form(args), repos })?;
        tally.copy(Ok(()), true);
    }
    tally.verdict("dumps")
}
