//! What is to be done, in order, and what is there already. Pure but for [`find_unit_folder`].

use super::server::InitServer;
use super::toml_text::{NewConfig, NewRepo};
use crate::shell;
use crate::status::Proofs;
use crate::units::Unit;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use toban_core::config::Cluster;
use toban_core::durable::{folder_of, state_dir};
use toban_core::{Error, Kind, Out, Record, Result};

/// A repository that is wanted.
#[derive(Clone, Debug)]
pub(super) struct PlannedRepo {
    /// Its section; none: the configuration does not have it.
    pub(super) name: Option<String>,
    pub(super) url: String,
    /// What reaches it beside the URL, as keys of its section.
    pub(super) settings: Vec<(&'static str, String)>,
    /// Where it is a folder of this machine.
    pub(super) folder: Option<PathBuf>,
}

/// Everything that the plan follows from.
pub(super) struct PlanFacts {
    pub(super) cluster: String,
    pub(super) server: InitServer,
    pub(super) planned: Vec<PlannedRepo>,
    /// The cluster's section, where the file has one.
    pub(super) there: Option<Cluster>,
    pub(super) file_exists: bool,
    pub(super) known_repos: BTreeMap<String, String>,
    pub(super) config: PathBuf,
    /// Programs of ours that are installed.
    pub(super) programs: BTreeMap<&'static str, PathBuf>,
    /// Where drop-ins go; none without systemd.
    pub(super) unit_folder: Option<PathBuf>,
    pub(super) units: Vec<Unit>,
    pub(super) proofs: Proofs,
}

/// How a step is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A file that is not there yet.
    Write {
        path: PathBuf,
        content: String,
    },
    Run(Vec<String>),
    /// Somebody else must do it.
    ByHand(String),
}

/// Whether it is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StepState {
    Needed,
    There,
    /// What is there is otherwise, and init changes nothing that it did not make.
    Differs(String),
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) what: String,
    pub(super) state: StepState,
    pub(super) action: Action,
}

/// All steps, in order.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
}

/// A step as it is printed.
#[derive(Serialize)]
pub(super) struct ToldStep<'s> {
    step: usize,
    what: &'s str,
    /// `to do`, `there`, `differs`, `by hand`, `done`.
    state: &'static str,
    /// What carries it out, or what differs.
    how: String,
}

impl Record for ToldStep<'_> {
    const SCHEMA: &'static str = "pg-backup.init-step/1";
    const HEAD: &'static [&'static str] = &["step", "what", "state", "how"];
    fn cells(&self) -> Vec<String> {
        vec![self.step.to_string(), self.what.into(), self.state.into(), self.how.clone()]
    }
}

impl Step {
    /// The step as it is printed, `done` where it was carried out now.
    pub(super) fn tell(&self, step: usize, done: bool) -> ToldStep<'_> {
        let how = match (&self.state, &self.action) {
            (StepState::Differs(how), _) | (_, Action::ByHand(how)) => how.clone(),
            (_, Action::Run(words)) => quote_words(words),
            (_, Action::Write { path, .. }) => format!("write {}", path.display()),
        };
        let state = match (&self.state, &self.action) {
            (StepState::There, _) => "there",
            (StepState::Differs(_), _) => "differs",
            (StepState::Needed, Action::ByHand(_)) => "by hand",
            (StepState::Needed, _) if done => "done",
            (StepState::Needed, _) => "to do",
        };
        ToldStep { step, what: &self.what, state, how }
    }

    fn is_needed(&self) -> bool {
        self.state == StepState::Needed && !matches!(self.action, Action::ByHand(_))
    }
}

/// A command line that a shell reads as these words.
fn quote_words(words: &[String]) -> String {
    words.iter().map(|word| shell::quote_word(word)).collect::<Vec<_>>().join(" ")
}

impl Plan {
    /// From nothing to a proven restore.
    pub(super) fn make(facts: &PlanFacts) -> Plan {
        // Each step stands on those before it: the WAL is stored before the first backup, which needs it, and timers
        // are set when every job has ended well once.
        let mut steps: Vec<Step> = facts.planned.iter().filter_map(|repo| facts.folder_step(repo)).collect();
        steps.push(facts.config_step());
        steps.extend(facts.state_step());
        steps.extend(facts.drop_in_steps());
        steps.extend(facts.shipping_steps());
        steps.extend(facts.proof_steps());
        steps.extend(facts.timer_step());
        Plan { steps }
    }

    pub(super) fn count_needed(&self) -> usize {
        self.steps.iter().filter(|s| s.is_needed()).count()
    }

    /// Nothing is left to do but what init cannot.
    pub(super) fn is_done(&self) -> bool {
        self.count_needed() == 0
    }

    pub(super) fn emit(&self, out: &mut Out<'_>) -> Result<()> {
        self.steps.iter().enumerate().try_for_each(|(n, step)| out.emit(&step.tell(n + 1, false)))
    }

    /// The configuration file, where it would be written or lacks a section.
    pub(super) fn config_text(&self, facts: &PlanFacts) -> Option<String> {
        facts.there.is_none().then(|| facts.new_config().write_toml())
    }

    /// # Errors
    /// Partial when something is there that differs: what depends on it must not be done.
    pub(super) fn refuse_differences(&self) -> Result<()> {
        let differs = self.steps.iter().filter(|s| matches!(s.state, StepState::Differs(_)));
        let names: Vec<&str> = differs.map(|s| s.what.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let e = Error::new(Kind::Partial, format!("what is there differs: {}", names.join(", ")));
        Err(e.hint(
            "init changes nothing that it did not write: change it as the steps say, and run init again",
        ))
    }
}

impl PlanFacts {
    fn step(what: impl Into<String>, there: bool, action: Action) -> Step {
        let state = if there { StepState::There } else { StepState::Needed };
        Step { what: what.into(), state, action }
    }

    fn folder_step(&self, repo: &PlannedRepo) -> Option<Step> {
        let folder = repo.folder.as_ref()?;
        let what = format!("the repository's folder {}", folder.display());
        let owner = &self.server.owner;
        let words = ["install", "-d", "-m", "700"].map(String::from).into_iter();
        let mine = if owner.is_me() { Vec::new() } else { vec!["-o".to_string(), owner.name.clone()] };
        let action = Action::Run(words.chain(mine).chain([folder.display().to_string()]).collect());
        let mut step = Self::step(what, folder.is_dir(), action);
        // Made below an unmounted disk it would fill the root file system.
        if !folder_of(folder).is_dir() {
            step.state = StepState::Differs(format!(
                "{} is not there: mount it, or make it",
                folder_of(folder).display()
            ));
        } else if folder.is_dir() && super::Owner::of(folder).is_ok_and(|own| own != *owner) {
            step.state =
                StepState::Differs(format!("it is not {}'s: chown -R {0}: {}", owner.name, folder.display()));
        }
        Some(step)
    }

    fn config_step(&self) -> Step {
        let path = self.config.clone();
        let what = format!("the configuration {}", path.display());
        let content = self.new_config().write_toml();
        let mut step = Self::step(what, self.there.is_some(), Action::Write { path, content });
        match &self.there {
            None if self.file_exists => {
                let name = &self.cluster;
                step.state =
                    StepState::Differs(format!("it has no [cluster.{name}]: add what follows to it"));
            }
            None => {}
            Some(section) => {
                let unknown = self.planned.iter().find(|repo| {
                    let listed = |name| section.repos.is_empty() || section.repos.contains(name);
                    !repo.name.as_ref().is_some_and(listed)
                });
                if let Some(repo) = unknown {
                    let has: Vec<&str> = self.known_repos.values().map(String::as_str).collect();
                    let text =
                        format!("[cluster.{}] lacks {}; it has {}", self.cluster, repo.url, has.join(", "));
                    step.state = StepState::Differs(text);
                }
            }
        }
        step
    }

    /// The file as init writes it.
    fn new_config(&self) -> NewConfig {
        let mut repos: Vec<NewRepo> = Vec::new();
        for repo in &self.planned {
            let name = repo.name.clone().unwrap_or_else(|| {
                let scheme = repo.url.split_once("://").map_or("file", |(scheme, _)| scheme);
                let plain = match scheme {
                    "file" => "local",
                    "az" => "azure",
                    "gs" => "google",
                    other => other,
                };
                let taken = repos.iter().filter(|r| r.name.starts_with(plain)).count();
                if taken == 0 { plain.to_string() } else { format!("{plain}{}", taken + 1) }
            });
            repos.push(NewRepo { name, url: repo.url.clone(), settings: repo.settings.clone() });
        }
        NewConfig {
            cluster: self.cluster.clone(),
            db: self.server.db.clone(),
            bin_dir: self.server.bin_dir.clone(),
            repos,
        }
    }

    /// Whether units of ours do the work.
    fn has_units(&self) -> bool {
        self.unit_folder.is_some() && self.units.iter().any(|u| u.is_of("pg-backup-run") && u.installed)
    }

    /// Where jobs remember what they did, for jobs that no unit starts: root's is not the owner's.
    fn state_step(&self) -> Option<Step> {
        if self.has_units() || self.server.owner.is_me() {
            return None;
        }
        let (owner, folder) = (&self.server.owner, state_dir().display().to_string());
        let words = ["install", "-d", "-m", "700", "-o", &owner.name, &folder].map(String::from).to_vec();
        let there = super::Owner::of(Path::new(&folder)).is_ok_and(|own| own == *owner);
        Some(Self::step(format!("the state folder {folder}"), there, Action::Run(words)))
    }

    /// What units may write to, and what they wait for.
    fn drop_in_steps(&self) -> Vec<Step> {
        let Some(unit_folder) = self.unit_folder.as_ref().filter(|_| self.has_units()) else {
            return Vec::new();
        };
        let folders: Vec<&PathBuf> = self.planned.iter().filter_map(|repo| repo.folder.as_ref()).collect();
        if folders.is_empty() && self.server.owner.name == "postgres" {
            return Vec::new();
        }
        let list = |folders: &[&PathBuf]| {
            folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let content = format!(
            "# Written by pg-backup init.\n[Unit]\nRequiresMountsFor={0}\n\n[Service]\nUser={1}\nReadWritePaths={0}\n",
            list(&folders),
            self.server.owner.name
        );
        let mut jobs =
            vec!["pg-backup-run", "pg-backup-verify", "pg-backup-prune", "pg-drill", "wal-shipper-stream"];
        if self.server.owner.name != "postgres" {
            // They write nothing there, and their units have the user postgres, who may not read it either.
            jobs.extend(["pg-backup-check", "wal-shipper-check"]);
        }
        let mut steps = Vec::new();
        for job in jobs {
            let name = format!("{job}@{}.service", self.cluster);
            let unit = self.units.iter().find(|u| u.name == name);
            let there = unit.is_some_and(|u| folders.iter().all(|f| u.may_write(f)));
            let path = unit_folder.join(format!("{name}.d/toban.conf"));
            let mut step = Self::step(
                format!("what {name} may write"),
                there,
                Action::Write { path: path.clone(), content: content.clone() },
            );
            if !there && path.exists() {
                step.state = StepState::Differs(format!(
                    "{} is there, and does not allow {}",
                    path.display(),
                    list(&folders)
                ));
            }
            steps.push(step);
        }
        let all = steps.iter().all(|s| s.state == StepState::There);
        let words = ["systemctl", "daemon-reload"].map(String::from).to_vec();
        steps.push(Self::step("systemd reads it", all, Action::Run(words)));
        steps
    }

    /// The stream of the WAL, which needs no restart; nothing where it is shipped already.
    fn shipping_steps(&self) -> Vec<Step> {
        let server = &self.server;
        let what = "the WAL goes into the repositories";
        let words = |words: &[&str]| Action::Run(words.iter().map(ToString::to_string).collect());
        let service = format!("wal-shipper-stream@{}.service", self.cluster);
        let action = match self.has_units() {
            true => words(&["systemctl", "enable", "--now", &service]),
            false => {
                let why = match self.unit_folder {
                    Some(_) => "no unit is installed",
                    None => "systemd does not run here",
                };
                let (cluster, owner) = (&self.cluster, &server.owner.name);
                Action::ByHand(format!(
                    "{why}: let wal-shipper stream --cluster {cluster} run as a service, as the user {owner}"
                ))
            }
        };
        let mut stream = Self::step(what, server.is_shipped(), action);
        if server.wal_level == "minimal" {
            let how = "wal_level is minimal: psql -c \"alter system set wal_level = 'replica'\", and restart the server";
            stream.state = StepState::Differs(how.into());
        }
        // A slot keeps WAL for a client that is gone until the disk is full, unless this bounds it; reload is enough.
        let set = "alter system set max_slot_wal_keep_size = '10GB'";
        let psql = server.psql.display().to_string();
        let bound =
            server.owner.words(&[&psql, "-Xq", "-d", &server.db, "-c", set, "-c", "select pg_reload_conf()"]);
        let limit =
            Self::step("slots hold 10 GB of WAL at most", !server.slots_unlimited, Action::Run(bound));
        vec![limit, stream]
    }

    /// The first backup, its verification, and the first drill.
    fn proof_steps(&self) -> Vec<Step> {
        let proofs = &self.proofs;
        let job = |program, verb| Job { program, verb };
        vec![
            self.proof_step("the first backup", proofs.backed_up, &job("pg-backup", &["run"])),
            self.proof_step(
                "the first verification",
                proofs.verified,
                &job("pg-backup", &["verify", "--newest"]),
            ),
            self.proof_step("the first drill", proofs.drilled, &job("pg-drill", &[])),
        ]
    }

    fn proof_step(&self, what: &str, there: bool, job: &Job) -> Step {
        if self.has_units() {
            let unit = format!("{}@{}.service", job.unit(), self.cluster);
            let words = ["systemctl", "start", &unit].map(String::from).to_vec();
            return Self::step(what, there, Action::Run(words));
        }
        let Some(program) = self.programs.get(job.program) else {
            let text = format!("{} is not installed", job.program);
            return Self::step(what, there, Action::ByHand(text));
        };
        let state = format!("TOBAN_STATE_DIR={}", state_dir().display());
        let (program, config) = (program.display().to_string(), self.config.display().to_string());
        let mut words = if self.server.owner.is_me() { Vec::new() } else { vec!["env", &state] };
        words.push(&program);
        words.extend(job.verb);
        words.extend(["--cluster", &self.cluster, "--config", &config]);
        Self::step(what, there, Action::Run(self.server.owner.words(&words)))
    }

    fn timer_step(&self) -> Option<Step> {
        if !self.has_units() {
            return None;
        }
        let jobs = [
            "pg-backup-run",
            "pg-backup-verify",
            "pg-backup-prune",
            "pg-backup-check",
            "wal-shipper-check",
            "pg-drill",
        ];
        let names: Vec<String> = jobs.iter().map(|job| format!("{job}@{}.timer", self.cluster)).collect();
        let on = |name: &String| self.units.iter().any(|u| u.name == *name && u.is_on());
        let there = names.iter().all(on);
        let words = ["systemctl", "enable", "--now"].map(String::from).into_iter().chain(names).collect();
        Some(Self::step("every night by itself", there, Action::Run(words)))
    }
}

/// A job of ours by its command line.
struct Job {
    program: &'static str,
    verb: &'static [&'static str],
}

impl Job {
    /// The unit that does it.
    fn unit(&self) -> String {
        self.verb.first().map_or(self.program.into(), |verb| format!("{}-{verb}", self.program))
    }
}

/// The administrator's folder among those that systemd reads units from (systemd.unit(5), "Unit File Load Path").
pub(super) fn find_unit_folder() -> PathBuf {
    let said = Command::new("systemctl").args(["show", "--property=UnitPath", "--value"]).output();
    let text = said.map(|s| String::from_utf8_lossy(&s.stdout).into_owned()).unwrap_or_default();
    let found = text.split_whitespace().find(|path| path.ends_with("/etc/systemd/system"));
    found.unwrap_or("/etc/systemd/system").into()
}
