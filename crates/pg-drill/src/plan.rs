//! What a drill does: flags, then the `[drill.NAME]` section of the configuration, then defaults.

use crate::PURPOSE;
use crate::checks::{self, CheckQuery};
use crate::cli::{DrillArgs, Target};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use toban_core::config::{Config, Span};
use toban_core::machine::{Account, find_program};
use toban_core::private_server::find_server_user;
use toban_core::repo::Repos;
use toban_core::sign::Signer;
use toban_core::{Error, Out, Record, Result};

/// `[drill.NAME]`; an unknown key is an error that names it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DrillSection {
    command: Vec<String>,
    checks: Vec<PathBuf>,
    rpo: Option<Span>,
    rto: Option<Span>,
    into: Option<Target>,
    work_dir: Option<PathBuf>,
    preload: Option<String>,
    role: Option<String>,
}

/// Everything that is decided before the first step.
pub(crate) struct DrillPlan {
    pub(crate) cluster: String,
    /// Program and arguments; their placeholders are not filled in yet.
    pub(crate) command: Vec<String>,
    /// Whether the command is our own default.
    pub(crate) ours: bool,
    pub(crate) into: Target,
    pub(crate) queries: Vec<CheckQuery>,
    pub(crate) rpo: Option<Duration>,
    pub(crate) rto: Option<Duration>,
    pub(crate) work: PathBuf,
    pub(crate) preload: String,
    pub(crate) role: Option<String>,
    pub(crate) bin_dir: Option<PathBuf>,
    pub(crate) count_up_to: u64,
    pub(crate) amcheck: bool,
    pub(crate) timeout: Duration,
    pub(crate) report: Option<PathBuf>,
    pub(crate) keep: bool,
    /// The live server's connection string.
    pub(crate) live: Option<String>,
    /// Where the proof goes besides the state directory.
    pub(crate) repos: Repos,
    /// The names of the recipients whose identities the drill has.
    pub(crate) identities: Vec<String>,
    /// Who signs the proof.
    pub(crate) signer: Option<Signer>,
    /// Whom root becomes for all that is run.
    pub(crate) user: Option<Account>,
}

impl DrillPlan {
    /// Puts flags and configuration together.
    ///
    /// # Errors
    /// Usage for what does not go together, and for a file of checks that does not read.
    pub(crate) fn make(args: &DrillArgs, config: &Config) -> Result<DrillPlan> {
        let section: DrillSection = config.section(&["drill", &args.repos.cluster])?;
        let command = if args.command.is_empty() { section.command } else { args.command.clone() };
        let ours = command.is_empty();
        let files = if args.checks.is_empty() { &section.checks } else { &args.checks };
        let cluster = config.cluster.get(&args.repos.cluster);
        let live = args.db.clone().or_else(|| cluster.and_then(|c| c.db.clone()));
        // A foreign command says nothing of a repository of ours, even where the configuration has some.
        let repos =
            if ours || !args.repos.repo.is_empty() { args.repos.open(config)? } else { Repos::default() };
        let plan = DrillPlan {
            command: if ours { default_command(args)? } else { command },
            ours,
            into: args.into.or(section.into).unwrap_or(Target::Directory),
            queries: checks::read_checks(files)?,
            rpo: args.rpo.or(section.rpo).map(|s| s.0),
            rto: args.rto.or(section.rto).map(|s| s.0),
            work: PURPOSE.choose_work_dir(
                args.work_dir.clone().or(section.work_dir),
                &args.repos.cluster,
                &args.user,
            )?,
            preload: args.preload.clone().or(section.preload).unwrap_or_default(),
            role: args.role.clone().or(section.role),
            bin_dir: args.bin_dir.clone().or_else(|| cluster.and_then(|c| c.bin_dir.clone())),
            count_up_to: args.count_up_to,
            amcheck: !args.no_amcheck,
            timeout: args.timeout.0,
            report: args.report.clone(),
            keep: args.keep,
            live: live.filter(|_| !args.no_live),
            repos,
            identities: args.identity.names()?,
            signer: args.sign.find_signer(config, "pg-drill")?,
            user: find_server_user(&args.user)?,
            cluster: args.repos.cluster.clone(),
        };
        plan.check_options()?;
        Ok(plan)
    }

    fn check_options(&self) -> Result<()> {
        let command = self.command.join(" ");
        let placed = ["{dir}", "PGDATA", "TOBAN_DRILL_DIR"].iter().any(|word| command.contains(word));
        match self.into {
            Target::Server if self.ours => Err(Error::usage("--into server needs a command")),
            Target::Server if self.rpo.is_some() => Err(Error::usage("--rpo cannot be measured of a dump")
                .hint("a query in --checks can: select max(created_at) > now() - interval '1 day' from …")),
            Target::Server if self.queries.is_empty() => Err(nothing_compared()),
            Target::Directory if !placed => {
                Err(Error::usage("the command does not say where it restores to")
                    .hint("put {dir} in its place; a script gets it as an argument or as $PGDATA; for a dump give --into server"))
            }
            Target::Directory if self.queries.is_empty() && self.repos.is_empty() && self.live.is_none() => {
                Err(nothing_compared())
            }
            _ => Ok(()),
        }
    }

    /// What would be done, a line each.
    ///
    /// # Errors
    /// Those of stdout.
    pub(crate) fn emit_steps(&self, out: &mut Out<'_>) -> Result<()> {
        let into = match self.into {
            Target::Directory => "start a server there, recover, promote",
            Target::Server => "make an empty server for it",
        };
        let mut steps = vec![
            ("work in", self.work.display().to_string()),
            ("restore", self.command.join(" ")),
            ("server", into.into()),
        ];
        if self.amcheck {
            steps.push(("check", "pg_amcheck --all --install-missing".into()));
        }
        steps.extend(self.queries.iter().map(|q| ("query", q.name.clone())));
        steps.extend(self.live.iter().map(|_| ("compare", "tables and rows with the live server".into())));
        steps.extend(
            self.repos.iter().map(|r| ("compare", format!("the position with repository {}", r.name))),
        );
        steps.extend(self.rto.map(|t| ("objective", format!("answers within {}", Span(t)))));
        steps.extend(self.rpo.map(|t| ("objective", format!("loses at most {}", Span(t)))));
        steps.iter().try_for_each(|(step, does)| out.emit(&PlanStep { step, does }))
    }
}

#[derive(Serialize)]
struct PlanStep<'a> {
    step: &'a str,
    does: &'a str,
}

impl Record for PlanStep<'_> {
    const SCHEMA: &'static str = "pg-drill.step/1";
    const HEAD: &'static [&'static str] = &["step", "does"];
    fn cells(&self) -> Vec<String> {
        vec![self.step.into(), self.does.into()]
    }
}

fn nothing_compared() -> Error {
    Error::usage("this drill would compare nothing, and so prove nothing")
        .hint("give --checks FILE with queries, --db of the live server, or --repo of the backups")
}

/// `pg-backup restore --target latest`, with the same repositories.
fn default_command(args: &DrillArgs) -> Result<Vec<String>> {
    let program = find_program("pg-backup")?.map_or("pg-backup".into(), |p| p.display().to_string());
    let mut words = vec![program, "restore".into(), "--target".into(), "latest".into()];
    words.extend(["--pgdata".into(), "{dir}".into(), "--cluster".into(), args.repos.cluster.clone()]);
    // Those too that the WAL creates: recovery would link them to their live places.
    words.extend(["--tablespace-dir".into(), "{tablespaces}".into()]);
    words.extend(args.repos.repo.iter().flat_map(|r| ["--repo".into(), r.clone()]));
    words.extend(args.identity.word().into_iter().flat_map(|file| ["--identity".into(), file]));
    words.extend(args.repos.s3_endpoint.iter().flat_map(|e| ["--s3-endpoint".into(), e.clone()]));
    words.extend(args.common.config.iter().flat_map(|c| ["--config".into(), c.display().to_string()]));
    Ok(words)
}
