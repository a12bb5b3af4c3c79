//! Settings that name a file of the data directory by its full path, as Patroni writes `hba_file`: in another folder they
//! would lead to the files of the server that was backed up, or nowhere.

use super::display_path;
use crate::data_dir::include::{Include, Syntax, find_includes, parse_assignment};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use toban_core::{Context, Result};

/// How deep files may include each other (`CONF_FILE_MAX_DEPTH`).
const DEEPEST: usize = 10;

/// What the configuration sets, by lower-case name, the files in the order in which the server reads them: of several
/// lines of a name the last counts.
///
/// # Errors
/// Those of the file system; a file that is not there sets nothing.
pub(super) fn read_settings(files: &[PathBuf]) -> Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    files.iter().try_for_each(|file| read_file(file, &mut settings, 0))?;
    Ok(settings)
}

fn read_file(path: &Path, settings: &mut BTreeMap<String, String>, depth: usize) -> Result<()> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.doing(|| format!("read {}", display_path(path)))?,
    };
    let beside = path.parent().unwrap_or(Path::new("/"));
    for line in String::from_utf8_lossy(&bytes).lines() {
        match find_includes(line, Syntax::Settings).pop() {
            Some(_) if depth == DEEPEST => {}
            Some(Include::File(file)) => read_file(&beside.join(file), settings, depth + 1)?,
            Some(Include::Folder(folder)) => {
                let found = list_settings_files(&beside.join(folder))?;
                found.iter().try_for_each(|file| read_file(file, settings, depth + 1))?;
            }
            None => settings
                .extend(parse_assignment(line).map(|(name, value)| (name.to_ascii_lowercase(), value))),
        }
    }
    Ok(())
}

/// `*.conf`, in the order of their names.
fn list_settings_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing(|| format!("list {}", display_path(folder)))?,
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == "conf"));
    found.sort();
    Ok(found)
}

/// The text of a postgresql.conf that Patroni writes, by the head that it puts there; `None` for any other.
pub(super) fn read_patroni_conf(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().take(2).any(|line| line.contains("overwritten by Patroni")).then_some(text)
}

/// Lines for postgresql.auto.conf, which is read last: each setting that leads into `old` leads to the same below `new`.
pub(super) fn move_own_paths(settings: &BTreeMap<String, String>, old: &Path, new: &Path) -> String {
    let moved = settings.iter().filter_map(|(name, value)| {
        let below = Path::new(value).strip_prefix(old).ok()?;
        // It may not be set there (GUC_DISALLOW_IN_AUTO_FILE); whoever starts the server names the folder.
        let to = Some(new.join(below)).filter(|_| name != "data_directory")?;
        let to = to.display().to_string();
        Some(format!("{name} = {}\n", toban_core::pg::quote_setting(to.trim_end_matches('/'))))
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_name_counts_wherever_it_is_included() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("make it");
            fs::write(&path, text).expect("write");
            path
        };
        write("base.conf", "port = 1\nhba_file = '/a'\n");
        write("conf.d/2.conf", "Log_Directory = '/two'\n");
        write("conf.d/1.conf", "log_directory = '/one'\n");
        write("conf.d/3.conf.bak", "log_directory = '/three'\n");
        write("round.conf", "include 'round.conf'\n");
        let main = "include 'base.conf'\n#port = 9\nport = 2\ninclude_dir 'conf.d'\ninclude_if_exists 'none'\n\
                    include 'round.conf'\n";
        let files =
            [write("postgresql.conf", main), write("auto.conf", "work_mem = 1MB\n"), dir.path().join("no")];
        let settings = read_settings(&files).expect("read");
        let of = |name: &str| settings.get(name).map(String::as_str);
        assert_eq!([of("port"), of("log_directory")], [Some("2"), Some("/two")]);
        assert_eq!([of("hba_file"), of("work_mem")], [Some("/a"), Some("1MB")]);
    }

    #[test]
    fn what_leads_into_the_data_directory_moves_along() {
        let settings = [
            ("hba_file", "/old/pg_hba.conf"),
            ("data_directory", "/old"),
            ("unix_socket_directories", "/old"),
            ("ssl_cert_file", "/older/x"),
            ("log_directory", "log"),
            ("archive_command", "cp %p /old/x"),
        ];
        let settings = settings.map(|(n, v)| (n.to_string(), v.to_string())).into();
        let moved = move_own_paths(&settings, Path::new("/old"), Path::new("/it's new"));
        assert_eq!(moved, "hba_file = '/it''s new/pg_hba.conf'\nunix_socket_directories = '/it''s new'\n");
    }
}
