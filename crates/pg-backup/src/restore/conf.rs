//! Configuration from outside the data directory, put where the restored server will read it.

use super::backup_manifest::ManifestWriter;
use super::target::Target;
use super::{RestoreWork, display_path};
use crate::data_dir::include::{Include, Syntax, find_includes, moved_line, parse_assignment};
use crate::format::backup::{BackupManifest, Conf};
use crate::format::index::IndexEntry;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use toban_core::pg::quote_setting;
use toban_core::{Context, Error, Result, durable};

/// Where the restored server stands to the one that was backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerPlace {
    /// Its data directory is the same.
    Same,
    /// Another, with the configuration inside: that is as it was.
    BesideWithin,
    /// Another, with the configuration outside: it was changed here.
    Beside,
}

/// What a restore does with the files.
struct ConfWriter<'a> {
    backup: &'a BackupManifest,
    target: &'a Target,
    /// Where they go.
    folder: PathBuf,
    place: ServerPlace,
}

/// Writes the files of the folder `conf` into `--config-dir`, else into the target, with the folders that they include,
/// and tells postgresql.conf where they are.
///
/// # Errors
/// Those of the file system; Failed when a file of another content is in the way.
pub(super) fn write_conf(
    work: &RestoreWork<'_>,
    kept: &BTreeMap<String, (IndexEntry, Vec<u8>)>,
    manifest: &mut ManifestWriter,
) -> Result<ServerPlace> {
    let (backup, target) = (&work.stored.manifest, work.target);
    let folder = work.args.config_dir.as_deref().unwrap_or(&target.dir);
    let folder = std::path::absolute(folder).doing(|| "find the folder of the configuration".into())?;
    let writer = ConfWriter { backup, target, folder, place: compare_place(backup, target, kept) };
    for (name, (entry, bytes)) in kept {
        let Some(name) = backup.conf.name_below(name) else { continue };
        let bytes = writer.change_paths(name, bytes)?;
        writer.write_file(&writer.folder.join(name), &bytes, entry.mode)?;
        writer.make_included(name, &bytes)?;
        if let Ok(below) = writer.folder.join(name).strip_prefix(&target.dir) {
            manifest.add_bytes(&below.to_string_lossy(), &bytes, entry.modified)?;
        }
    }
    Ok(writer.place)
}

/// By the data directory, which older backups have in their postgresql.conf alone.
fn compare_place(
    backup: &BackupManifest,
    target: &Target,
    kept: &BTreeMap<String, (IndexEntry, Vec<u8>)>,
) -> ServerPlace {
    let config = backup.conf.config_file.as_ref();
    let text = config.and_then(|name| kept.get(&format!("{}/{name}", backup.conf.folder)));
    let text = text.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    let told = text.lines().filter_map(|l| parse_value(l, "data_directory")).next_back();
    let old = Some(backup.data_dir.clone()).filter(|d| !d.is_empty()).or(told);
    match (old.is_some_and(|old| Path::new(&old) == target.dir), config) {
        (true, _) => ServerPlace::Same,
        (false, None) => ServerPlace::BesideWithin,
        (false, Some(_)) => ServerPlace::Beside,
    }
}

/// What the line sets `name` to.
fn parse_value(line: &str, name: &str) -> Option<String> {
    parse_assignment(line).filter(|(set, _)| set.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

impl ConfWriter<'_> {
    fn syntax_of(&self, name: &str) -> Syntax {
        let conf = &self.backup.conf;
        let rules = [&conf.hba_file, &conf.ident_file].iter().any(|f| f.as_deref() == Some(name));
        if rules || !(name.ends_with(".conf")) { Syntax::Rules } else { Syntax::Settings }
    }

    /// The file with its paths: what it includes by a full path, and for postgresql.conf the data directory. Beside
    /// another server none names a PID file: it would write over that server's. Debian's pg_ctlcluster gives the cluster its own,
    /// which systemd waits for, when none is set; an empty one is set.
    fn change_paths(&self, name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        let in_its_place =
            self.backup.conf.base.as_deref().is_some_and(|base| Path::new(base) == self.folder);
        let text = std::str::from_utf8(bytes);
        let Some(text) = text.ok().filter(|_| !(in_its_place && self.place == ServerPlace::Same)) else {
            return Ok(bytes.to_vec());
        };
        let syntax = self.syntax_of(name);
        let mut changed = String::new();
        for line in text.split_inclusive('\n') {
            let pid = self.place != ServerPlace::Same
                && syntax == Syntax::Settings
                && parse_value(line, "external_pid_file").is_some();
            match moved_line(line, syntax, |include| self.new_place(include)) {
                Some(moved) => changed += &format!("{moved} # by pg-backup restore, was: {line}"),
                None if pid => changed += &format!("# by pg-backup restore, was: {line}"),
                None => changed += line,
            }
        }
        if self.backup.conf.config_file.as_deref() == Some(name) {
            // At the end of the file: of several lines that set one parameter the last counts ("Parameter
            // Interaction via the Configuration File").
            changed += &moved_settings(&self.backup.conf, &self.folder, &self.target.dir)?;
        }
        if syntax == Syntax::Rules && find_lists(&changed).any(|list| Path::new(&list).is_absolute()) {
            let file = self.folder.join(name);
            log::warn!(
                "{} names a list of users or databases by its full path, on this machine",
                display_path(&file)
            );
        }
        Ok(changed.into_bytes())
    }

    /// The new place of what is included by its full path.
    fn new_place(&self, include: &Include) -> Option<String> {
        let (Include::File(path) | Include::Folder(path)) = include;
        let below = self.backup.conf.name_of(Path::new(path))?;
        let here = self.folder.join(below);
        (here != Path::new(path)).then(|| here.display().to_string())
    }

    /// Makes the folders that a file includes: an empty one is not in the backup, and without it no server starts.
    fn make_included(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(bytes);
        let beside = self.folder.join(name);
        let beside = beside.parent().unwrap_or(&self.folder);
        for include in find_includes(&text, self.syntax_of(name)) {
            let Include::Folder(dir) = include else { continue };
            let dir = beside.join(dir);
            if dir.starts_with(&self.folder) {
                self.make_folder(&dir)?;
            } else if !dir.exists() {
                log::warn!(
                    "{name} includes {}, which is not here: the server does not start",
                    display_path(&dir)
                );
            }
        }
        Ok(())
    }

    /// Outside of the data directory other programs read the configuration too, such as pg_lsclusters.
    fn make_folder(&self, folder: &Path) -> Result<()> {
        if folder.starts_with(&self.target.dir) {
            return self.target.make_folder(folder);
        }
        if folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.make_folder(parent)?;
        }
        let made = std::fs::DirBuilder::new().mode(0o755).create(folder);
        made.doing(|| format!("create the folder {}", display_path(folder)))?;
        self.target.give_to_owner(folder)
    }

    /// Outside of the data directory with the permissions that it had, which older backups do not have.
    fn write_file(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        let known = mode != 0o600 && !path.starts_with(&self.target.dir);
        let mode = if known { mode & 0o755 } else { 0o640 };
        match std::fs::read(path) {
            Ok(there) if there == bytes => return Ok(()),
            Ok(_) if !path.starts_with(&self.target.dir) => {
                let e =
                    Error::failed(format!("{} is there and differs from the backup's", display_path(path)));
                return Err(e.hint("move it away, or give another --config-dir"));
            }
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(e).doing(|| format!("read {}", display_path(path)));
            }
            _ => {}
        }
        if let Some(parent) = path.parent() {
            self.make_folder(parent)?;
        }
        // By rename: pg_lsclusters and other programs read the folder while it is written.
        durable::replace(path, mode, |w| {
            w.write_all(bytes).doing(|| format!("write {}", display_path(path)))
        })?;
        self.target.give_to_owner(path)
    }
}

/// What is written after a restored postgresql.conf: its own paths lead to the machine that was backed up, and a
/// server started with them would open the old data directory.
fn moved_settings(conf: &Conf, folder: &Path, target: &Path) -> Result<String> {
    let mut text = String::from("\n# Added by pg-backup restore: what was restored lies here.\n");
    let mut line = |name: &str, path: &Path| {
        let path = path.to_str().ok_or_else(|| Error::usage(format!("{} is not UTF-8", path.display())))?;
        text += &format!("{name} = {}\n", quote_setting(path));
        Ok::<(), Error>(())
    };
    line("data_directory", target)?;
    for (name, file) in [("hba_file", &conf.hba_file), ("ident_file", &conf.ident_file)] {
        if let Some(file) = file {
            line(name, &folder.join(file))?;
        }
    }
    Ok(text)
}

/// `@file` in the words of pg_hba.conf.
fn find_lists(text: &str) -> impl Iterator<Item = String> {
    let files = find_includes(text, Syntax::Rules).into_iter();
    files.filter_map(|i| if let Include::File(file) = i { Some(file) } else { None })
}

#[cfg(test)]
mod tests {
    use super::parse_value;

    #[test]
    fn a_line_sets_its_own_name_alone() {
        let set = |line| parse_value(line, "external_pid_file");
        assert_eq!(set("external_pid_file = '/run/x.pid'\t# why").as_deref(), Some("/run/x.pid"));
        assert_eq!(set(" External_PID_file='/x'").as_deref(), Some("/x"));
        assert_eq!(set("external_pid_file /x").as_deref(), Some("/x"));
        for other in ["#external_pid_file = '/x'", "external_pid_files = '/x'", "external_pid", ""] {
            assert_eq!(set(other), None, "{other}");
        }
    }
}
