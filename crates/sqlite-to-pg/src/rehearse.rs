//! `cutover --rehearse`: every step of a live move and of the way back, on a copy of the file and in a schema of its
//! own, both gone at the end.

use crate::cli::MigrationArgs;
use crate::live::rehearsal;
use crate::live_args::CutoverArgs;
use clap::Parser;
use std::path::Path;
use toban_core::pg::ConnInfo;
use toban_core::{Common, Context, Error, Kind, Out, Result, durable, shutdown};

/// The schema of the target.
const SCHEMA: &str = "toban_rehearsal";

/// Does it all, and takes it away again, however it ended.
///
/// # Errors
/// Those of the step that failed; Usage when there is no copy yet whose plan could be tried.
pub(crate) fn run(args: &CutoverArgs, common: &Common, out: &mut Out<'_>) -> Result<()> {
    let to = ConnInfo::resolve(args.sides.to.as_deref(), "sqlite-to-pg")?;
    // Beside the file, where there is room for another one of its size.
    let beside = durable::folder_of(&args.sides.db);
    let folder = tempfile::Builder::new().prefix(".toban-rehearsal-").tempdir_in(beside);
    let folder = folder.doing(|| format!("make a folder in {}", beside.display()))?;
    let copy = folder.path().join("rehearsal.sqlite3");
    let plan = folder.path().join("plan.toml");
    rehearsal::forget_rehearsal(&to, SCHEMA)?;
    rehearsal::copy_file(&args.sides.db, &copy)?;
    rehearsal::write_plan(&to, &args.sides.schema, SCHEMA, &plan)?;
    let rehearsed = Rehearsal { args, common, copy: &copy, plan: &plan }.run_steps(out);
    let gone = rehearsal::forget_rehearsal(&to, SCHEMA);
    rehearsed.and(gone)
}

struct Rehearsal<'a> {
    args: &'a CutoverArgs,
    common: &'a Common,
    copy: &'a Path,
    plan: &'a Path,
}

impl Rehearsal<'_> {
    fn run_steps(&self, out: &mut Out<'_>) -> Result<()> {
        let (plan, report) = (self.plan.display().to_string(), self.plan.with_extension("report"));
        let report = report.display().to_string();
        let window = self.args.max_window.to_string();
        let own = ["--schema", SCHEMA];
        self.run_step("capture", &[], out)?;
        self.run_step("run", &["--plan", &plan, "--report", &report], out)?;
        self.run_step("sync", &own, out)?;
        // The copy of the file has no other user.
        let alone = [&own[..], &["--app-stopped"]].concat();
        self.run_step("cutover", &[&alone[..], &["--max-window", &window]].concat(), out)?;
        self.run_step("fallback", &own, out)?;
        self.run_step("sync", &own, out)?;
        self.run_step("cutover", &alone, out)?;
        self.run_step("cutover", &[&own[..], &["--finish"]].concat(), out)
    }

    /// One verb, as it would be typed. What a run cannot take along was known before.
    fn run_step(&self, verb: &str, more: &[&str], out: &mut Out<'_>) -> Result<()> {
        shutdown::check()?;
        let copy = self.copy.display().to_string();
        let mut words = vec!["sqlite-to-pg", verb, &copy];
        if let Some(to) = self.args.sides.to.as_deref().filter(|_| verb != "capture") {
            words.extend(["--to", to]);
        }
        words.extend(more);
        let parsed = MigrationArgs::try_parse_from(words);
        let parsed = parsed.map_err(|e| Error::usage(format!("rehearse {verb}: {e}")))?;
        let step = crate::run(MigrationArgs { common: self.common.clone(), ..parsed }, out);
        match step {
            Err(e) if e.kind() == Kind::Partial => Ok(()),
            step => step.doing(|| format!("rehearse {verb}")),
        }
    }
}
