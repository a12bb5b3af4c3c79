//! The restore_command: our own `wal-shipper fetch`, found beside this program, and tried before anything relies on it.

use super::debian;
use super::target::Target;
use crate::{cli, shell};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use toban_core::config::Config;
use toban_core::machine::{Account, find_program};
use toban_core::repo::Repos;
use toban_core::repo::keys::System;
use toban_core::wal::Timeline;
use toban_core::{Context, Error, Result};

const NAME: &str = "wal-shipper";
/// The status of `fetch` when it is proven that no repository has a file.
const ABSENT: i32 = 1;
/// The history of a timeline that no server comes to.
const NOTHING: &str = "FFFFFFFF.history";

/// Whose WAL recovery asks for.
pub(super) struct Wanted {
    pub(super) system: System,
    /// The timeline that it follows.
    pub(super) timeline: Timeline,
}

/// The command for `postgresql.conf`, with `%f` and `%p`.
///
/// # Errors
/// Failed when wal-shipper is not installed.
pub(super) fn build_command(
    args: &cli::Restore,
    config: &Config,
    repos: &Repos,
    wanted: &Wanted,
) -> Result<String> {
    let mut words = vec![find_shipper()?.display().to_string(), "fetch".into()];
    if let Some(path) = config.path.as_ref().filter(|_| repos.iter().any(|r| !r.name.contains('/'))) {
        let path = std::path::absolute(path).doing(|| "find the configuration file".into())?;
        words.extend(["--config".into(), path.display().to_string()]);
    }
    for repo in repos {
        words.extend(["--repo".into(), repo.name.clone()]);
    }
    if let Some(endpoint) = &args.repos.s3_endpoint {
        words.extend(["--s3-endpoint".into(), endpoint.clone()]);
    }
    // By its full path: the server runs this elsewhere, and has no credential of ours.
    if let Some(file) = args.identity.word() {
        words.extend(["--identity".into(), file]);
    }
    words.extend(["--cluster".into(), wanted.system.cluster.clone()]);
    words.extend(["--system".into(), wanted.system.identifier.to_string()]);
    words.extend(["--timeline".into(), wanted.timeline.to_string()]);
    // The server replaces %f, %p and %r before it runs the shell, and takes %% for one percent sign ("Archive
    // Recovery", restore_command): a percent sign in a path must not be read as one of them.
    let words: Vec<String> = words.iter().map(|w| shell::quote_word(w).replace('%', "%%")).collect();
    Ok(format!("{} %f %p", words.join(" ")))
}

/// Beside the running program, else on PATH.
fn find_shipper() -> Result<PathBuf> {
    find_program(NAME)?.ok_or_else(|| {
        Error::failed(format!("there is no {NAME} beside this program or on PATH"))
            .hint("install it: the server's recovery runs it")
    })
}

/// What is around the server that will run the command.
pub(super) struct ServerEnvironment {
    /// Its user, when we are root.
    ids: Option<(u32, u32)>,
    /// Debian's file of its environment, and what is in it: pg_ctlcluster starts a server with that and nothing else.
    debian: Option<(PathBuf, Vec<(String, String)>)>,
    /// The server is a child of this process and has its variables.
    ours: bool,
}

impl ServerEnvironment {
    /// Looks for Debian's cluster whose data directory or configuration is restored.
    pub(super) fn find(args: &cli::Restore, target: &Target) -> ServerEnvironment {
        let folder = debian::find_cluster(args.config_dir.as_deref(), &target.dir, target.major);
        let debian = folder.map(|folder| folder.join("environment")).map(|file| {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            (file, debian::parse_settings(&text))
        });
        ServerEnvironment { ids: target.ids, debian, ours: false }
    }

    /// That of a server that this process starts itself.
    pub(super) fn of_child(target: &Target) -> ServerEnvironment {
        ServerEnvironment { ids: target.ids, debian: None, ours: true }
    }
}

/// Runs the command as the server would, for a file that no repository has: it must be able to tell.
pub(super) fn try_command(command: &str, around: &ServerEnvironment) -> Result<()> {
    let ids = around.ids;
    let dir = tempfile::tempdir().doing(|| "make a folder".into())?;
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).doing(|| "close it".into())?;
    if let Some((uid, gid)) = ids {
        chown(dir.path(), Some(uid), Some(gid)).doing(|| "give the folder to the server's user".into())?;
    }
    let line = command.replace("%f", NOTHING).replace("%p", "RECOVERYHISTORY").replace("%%", "%");
    // PostgreSQL takes any status from 1 to 125 for "there is no such file" and would end recovery early, with the wrong
    // state, where the command only lacks a right or a variable: it must prove that it can ask ("Archive Recovery").
    let done = run_shell(shell_command(&line, dir.path(), ids))?;
    if done.status.code() != Some(ABSENT) {
        let e = Error::failed(format!(
            "try the restore_command as the server's user: {}",
            describe_output(&done)
        ));
        return Err(e.hint(format!("it must work for the user that the server runs as: {line}")));
    }
    let remote = ["s3://", "az://", "gs://"].iter().any(|scheme| line.contains(scheme));
    if !around.ours && (around.debian.is_some() || remote || line.contains("--config")) {
        warn_of_environment(&line, dir.path(), around)?;
    }
    Ok(())
}

fn describe_output(done: &Output) -> String {
    format!("{}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim().replace('\n', "; "))
}

/// A server that systemd or pg_ctlcluster starts has none of the variables of this shell.
fn warn_of_environment(line: &str, dir: &Path, around: &ServerEnvironment) -> Result<()> {
    let mut bare = shell_command(line, dir, around.ids);
    bare.env_clear().env("TOBAN_RETRY_FOR", "5s");
    match &around.debian {
        Some((_, variables)) => bare.envs(variables.iter().map(|(name, value)| (name, value))),
        None => {
            bare.env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(find_home(around.ids).map(|h| ("HOME", h)))
        }
    };
    // Whether this is a machine of Amazon's is no secret of a shell.
    let machine = "AWS_EC2_METADATA_DISABLED";
    bare.envs(std::env::var_os(machine).map(|set| (machine, set)));
    let done = run_shell(bare)?;
    match &around.debian {
        _ if done.status.code() == Some(ABSENT) => {}
        Some((file, _)) => log::warn!(
            "the restore_command works in this shell and not in the environment that Debian gives this server, which is \
             {} alone: write the variables (AWS_…) there before it starts, as NAME = 'value', mode 0600. It printed: {}",
            file.display(),
            describe_output(&done)
        ),
        None => log::warn!(
            "the restore_command works with the variables of this shell (AWS_…) and not without them: the server must \
             be started with them too; docs/guide/wal.md has how under systemd"
        ),
    }
    Ok(())
}

fn shell_command(line: &str, dir: &Path, ids: Option<(u32, u32)>) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", line]).current_dir(dir).stdin(Stdio::null());
    if let Some((uid, gid)) = ids {
        shell.uid(uid).gid(gid);
        shell.envs(find_home(Some((uid, gid))).map(|home| ("HOME", home)));
    }
    shell
}

fn run_shell(mut shell: Command) -> Result<Output> {
    shell.output().doing(|| "run a shell".into())
}

/// The home of the server's user, where a profile of AWS may lie.
fn find_home(ids: Option<(u32, u32)>) -> Option<String> {
    let Some((uid, _)) = ids else { return std::env::var("HOME").ok() };
    Account::by_uid(uid)?.home.into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for (text, quoted) in [
            ("file:///srv/backup", "file:///srv/backup"),
            ("/srv/my backup", "'/srv/my backup'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(shell::quote_word(text), quoted);
        }
    }
}
