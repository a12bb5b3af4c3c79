//! The whole database: a dump of the moment, restored under another name, or under its own by `--replace`.

use super::Rescue;
use super::moment::Moment;
use crate::dump::DumpJob;
use crate::format::dump::DumpForm;
use crate::{cli, restore_dump};
use toban_core::repo::RepoArgs;
use toban_core::{DryRun, Error, Out, Result};

/// What it will be called.
pub(super) fn target_name(rescue: &Rescue<'_>) -> String {
    let name = &rescue.live.database;
    if rescue.args.replace { name.clone() } else { format!("{name}_rescued") }
}

/// Brings it back.
///
/// # Errors
/// Failed when something is in the way; the live database is then as it was.
pub(super) fn bring_back(rescue: &Rescue<'_>, at: &Moment, out: &mut Out<'_>) -> Result<()> {
    let target = target_name(rescue);
    let server = at.server()?;
    // A repository of its own in the folder that is cleared: a dump there has the database's properties and the counts of
    // rows, which the restored one is compared with.
    let repos = RepoArgs {
        repo: vec![format!("file://{}", at.runner.scratch.join("dump").display())],
        s3_endpoint: None,
        cluster: rescue.args.repos.cluster.clone(),
        recipients_file: None,
    };
    let places = repos.open(rescue.config)?;
    let cluster = &repos.cluster;
    let job =
        DumpJob { server: &server, cluster, form: DumpForm::Custom, level: 1, label: None, globals: None };
    let copies = job.dump_database(&at.database, &places)?;
    copies.stored.settle()?;
    let dump = copies.made.ok_or_else(|| Error::failed("the dump of the moment was not stored"))?;
    let args = cli::RestoreDump {
        source: dump.id.to_string(),
        into: (!rescue.args.replace).then(|| target.clone()),
        replace: rescue.args.replace.then(|| target.clone()),
        of: Some(at.database.clone()),
        server: rescue.args.server.clone(),
        repos,
        identity: rescue.args.identity.clone(),
        globals: false,
        jobs: rescue.args.jobs,
        // The old database itself is the safety copy: it stays, under another name.
        no_safety_dump: rescue.args.replace,
        keep_old: rescue.args.replace,
        dry: DryRun { dry_run: false },
    };
    restore_dump::run(&args, rescue.config, out)
}
