//! Files that give rights to whoever starts them: setuid, setgid, capabilities.

use crate::fact::{HostFact, SubjectReport};
use crate::host::{HostView, Sight, Unseen};
use crate::look::accounts::AccountTable;
use crate::look::packages::{PackageOwners, find_owners};
use std::collections::HashSet;
use std::fs::DirEntry;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use toban_core::Severity;
use toban_core::sum::hex;

/// Where programs lie, and where passing files do.
const PLACES: [&str; 12] = [
    "/bin",
    "/sbin",
    "/lib",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/libexec",
    "/usr/local",
    "/opt",
    "/tmp",
    "/var/tmp",
    "/dev/shm",
];
/// What `--deep` does not enter: no files of this host's disks.
const NOT_ENTERED: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/var/lib/docker"];
const DEADLINE: Duration = Duration::from_secs(300);
/// `struct vfs_cap_data` (linux/capability.h): revision 2 has 20 bytes, revision 3 four more for a user namespace.
const CAPABILITY_BYTES: std::ops::RangeInclusive<usize> = 12..=24;

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct PrivilegedFile {
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The permitted capabilities, as a number.
    pub(crate) capabilities: Option<u64>,
    /// Of its content, where no package answers for it.
    pub(crate) digest: String,
}

/// All that were found.
#[derive(Debug, Default)]
pub(crate) struct PrivilegedFiles {
    pub(crate) files: Vec<PrivilegedFile>,
    pub(crate) looked_at: u64,
    pub(crate) owners: Option<PackageOwners>,
    pub(crate) gaps: Vec<Unseen>,
}

/// Walks the places of programs; with `deep` every file system of a disk.
pub(crate) fn read_privileged(host: &HostView, deep: bool) -> Sight<PrivilegedFiles> {
    let mut walk =
        FileWalk { host, deep, seen: PrivilegedFiles::default(), until: Instant::now() + DEADLINE };
    match deep {
        true => walk.enter_folder(&host.path("/")),
        // A link is the same place by another name: /bin on systems where it is /usr/bin.
        false => PLACES
            .iter()
            .map(|p| host.path(p))
            .filter(|p| p.symlink_metadata().is_ok_and(|m| m.is_dir()))
            .for_each(|p| walk.enter_folder(&p)),
    }
    let mut seen = walk.seen;
    seen.gaps.truncate(20);
    let wanted: HashSet<String> = seen.files.iter().map(|f| f.path.clone()).collect();
    match find_owners(host, &wanted) {
        Ok(owners) => seen.owners = Some(owners),
        Err(unseen) => seen.gaps.push(unseen),
    }
    for file in &mut seen.files {
        if seen.owners.as_ref().is_none_or(|o| o.of(&file.path).is_none()) {
            file.digest =
                host.read_bytes(&file.path).map(|b| hex(&toban_core::sum::sha256(&b))).unwrap_or_default();
        }
    }
    Ok(seen)
}

struct FileWalk<'a> {
    host: &'a HostView,
    deep: bool,
    seen: PrivilegedFiles,
    until: Instant,
}

impl FileWalk<'_> {
    fn enter_folder(&mut self, top: &Path) {
        let device = top.metadata().map(|m| m.dev()).unwrap_or_default();
        let mut folders: Vec<PathBuf> = vec![top.into()];
        while let Some(folder) = folders.pop() {
            if Instant::now() > self.until {
                self.seen.gaps.push(Unseen::new("the rest of the files", "the walk took too long"));
                return;
            }
            let shown = self.shown(&folder);
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                // Gone since its folder was read, as folders in /tmp are every day: nothing is unseen.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => {
                    self.seen.gaps.push(Unseen::new(shown, e.to_string()));
                    continue;
                }
            };
            for entry in entries.flatten() {
                folders.extend(self.look_at(&entry, device));
            }
        }
    }

    /// The path on the host.
    fn shown(&self, path: &Path) -> String {
        let root = self.host.path("/");
        format!("/{}", path.strip_prefix(&root).unwrap_or(path).to_string_lossy().trim_start_matches('/'))
    }

    /// Takes a file; gives a folder back to be entered. Never through a link.
    fn look_at(&mut self, entry: &DirEntry, device: u64) -> Option<PathBuf> {
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            let shown = if self.deep { self.shown(&entry.path()) } else { String::new() };
            let other = self.deep
                && (NOT_ENTERED.contains(&shown.as_str()) || entry.metadata().ok()?.dev() != device);
            return (!other).then(|| entry.path());
        }
        if !kind.is_file() {
            return None;
        }
        self.seen.looked_at += 1;
        let meta = entry.metadata().ok()?;
        let runs = meta.mode() & 0o111 != 0;
        let raised = meta.mode() & 0o6000 != 0 && runs;
        let capabilities = runs.then(|| read_capabilities(&entry.path())).flatten();
        if raised || capabilities.is_some() {
            let path = self.shown(&entry.path());
            let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
            self.seen.files.push(PrivilegedFile {
                path,
                mode,
                uid,
                gid,
                capabilities,
                digest: String::new(),
            });
        }
        None
    }
}

fn read_capabilities(path: &Path) -> Option<u64> {
    let mut bytes = [0_u8; 24];
    let length = rustix::fs::lgetxattr(path, "security.capability", &mut bytes[..]).ok()?;
    parse_capabilities(&bytes[..length.min(24)])
}

/// The permitted set: the low word comes after the magic, the high one two words later.
fn parse_capabilities(bytes: &[u8]) -> Option<u64> {
    let word = |at: usize| Some(u64::from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)));
    CAPABILITY_BYTES.contains(&bytes.len()).then_some(())?;
    Some(word(4)? | word(12).unwrap_or(0) << 32)
}

/// One fact for each file.
pub(crate) fn judge_privileged(seen: &PrivilegedFiles, accounts: &AccountTable, report: &mut SubjectReport) {
    report.gaps.extend(seen.gaps.iter().cloned());
    report.looked_at = format!("{} files; {} with rights of their own", seen.looked_at, seen.files.len());
    report.facts.extend(seen.files.iter().map(|file| {
        let package = seen.owners.as_ref().and_then(|o| o.of(&file.path));
        let capabilities = file.capabilities.map_or(String::new(), |c| format!(" capabilities {c:x}"));
        let digest =
            if file.digest.is_empty() { String::new() } else { format!(" sha256 {}", &file.digest[..16]) };
        let value = format!("mode {:04o} {}:{}{capabilities}{digest}", file.mode, file.uid, file.gid);
        let by = package.as_ref().map_or("no package".into(), |p| format!("package {p}"));
        let (user, group) = (accounts.name_of(file.uid), accounts.group_name(file.gid));
        // A package's program is news for a working day; one that nobody brought is how a way back is kept open.
        let weight = if package.is_some() { Severity::Warning } else { Severity::Critical };
        HostFact::new(file.path.trim_start_matches('/'), value)
            .says(format!("{} mode {:04o} {user}:{group}{capabilities}, {by}", file.path, file.mode))
            .weighs(weight)
            .when_gone(Severity::Ok)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_both_revisions() {
        let bytes = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        // As setcap cap_net_raw+ep writes it, and with a high capability.
        assert_eq!(parse_capabilities(&bytes(&[0x0200_0001, 0x2000, 0, 0, 0])), Some(0x2000));
        assert_eq!(parse_capabilities(&bytes(&[0x0300_0001, 0x80, 0, 0x40, 0, 1000])), Some(0x40_0000_0080));
        assert_eq!(parse_capabilities(&[]), None);
    }
}
