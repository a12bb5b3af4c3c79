//! Files that must be closed: their modes and ACLs, the folders above them, links.

use crate::fact::SubjectReport;
use crate::finding::HostFinding;
use crate::host::{HostView, Unseen};
use crate::look::accounts::AccountTable;
use crate::rules;
use crate::subject::HostSubject;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use toban_core::Severity;
use toban_core::check::Rule;

/// What others may do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Nobody else reads it, but a group that exists for that.
    Secret,
    /// Nobody else writes it.
    Fixed,
}

/// Groups that exist to read a secret.
const READERS: [&str; 4] = ["root", "shadow", "ssl-cert", "ssh_keys"];

/// One file, and all that was seen of it.
#[derive(Debug, Default)]
pub(crate) struct ClosedFile {
    pub(crate) path: String,
    pub(crate) closing: Option<Closing>,
    /// Who may own it beside root.
    pub(crate) owner: String,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u64,
    pub(crate) is_file: bool,
    pub(crate) link_to: Option<String>,
    /// Users and groups that an ACL lets in, as `user bob rw`.
    pub(crate) acl: Vec<String>,
    /// A folder above that others may write to.
    pub(crate) open_parent: Option<String>,
}

/// What was looked at.
#[derive(Debug, Default)]
pub(crate) struct ClosedFiles {
    pub(crate) files: Vec<ClosedFile>,
    pub(crate) gaps: Vec<Unseen>,
}

const SYSTEM: [(&str, Closing); 14] = [
    ("/etc/shadow", Closing::Secret),
    ("/etc/shadow-", Closing::Secret),
    ("/etc/gshadow", Closing::Secret),
    ("/etc/gshadow-", Closing::Secret),
    ("/etc/sudoers", Closing::Secret),
    ("/etc/passwd", Closing::Fixed),
    ("/etc/group", Closing::Fixed),
    ("/etc/crontab", Closing::Fixed),
    ("/etc/ld.so.preload", Closing::Fixed),
    ("/etc/ssh/sshd_config", Closing::Fixed),
    ("/etc/security/opasswd", Closing::Secret),
    ("/etc/toban/toban.toml", Closing::Fixed),
    ("/boot/grub/grub.cfg", Closing::Fixed),
    ("/root/.pgpass", Closing::Secret),
];
const FOLDERS: [(&str, Closing); 8] = [
    ("/etc/sudoers.d", Closing::Secret),
    ("/etc/ssl/private", Closing::Secret),
    ("/etc/toban/credentials", Closing::Secret),
    ("/etc/cron.d", Closing::Fixed),
    ("/etc/cron.daily", Closing::Fixed),
    ("/etc/systemd/system", Closing::Fixed),
    ("/etc/profile.d", Closing::Fixed),
    ("/etc/pam.d", Closing::Fixed),
];

/// Looks at the usual files, those of every home, and those that are named. Contents are not read.
pub(crate) fn read_files(host: &HostView, accounts: &AccountTable, named: &[String]) -> ClosedFiles {
    let mut seen = ClosedFiles::default();
    for (path, closing) in SYSTEM {
        look_at(host, &Wanted { path, closing, owner: "root" }, &mut seen);
    }
    for (folder, closing) in FOLDERS {
        look_in(host, &Wanted { path: folder, closing, owner: "root" }, &mut seen);
    }
    for name in host.list_names("/etc/ssh").unwrap_or_default() {
        if name.starts_with("ssh_host_") && name.ends_with("_key") {
            let path = format!("/etc/ssh/{name}");
            look_at(host, &Wanted { path: &path, closing: Closing::Secret, owner: "root" }, &mut seen);
        }
    }
    named
        .iter()
        .for_each(|path| look_at(host, &Wanted { path, closing: Closing::Secret, owner: "*" }, &mut seen));
    let people = accounts.accounts.iter().filter(|a| {
        a.home.starts_with("/home/") || a.home.starts_with("/root") || a.home.starts_with("/var/lib/")
    });
    for account in people {
        let folder = format!("{}/.ssh", account.home);
        let names = host.list_names(&folder).unwrap_or_else(|unseen| {
            seen.gaps.push(unseen);
            Vec::new()
        });
        for name in names {
            let public = name.ends_with(".pub") || name.starts_with("known_hosts") || name == "config";
            let closing =
                if public || name.starts_with("authorized_keys") { Closing::Fixed } else { Closing::Secret };
            look_at(
                host,
                &Wanted { path: &format!("{folder}/{name}"), closing, owner: &account.name },
                &mut seen,
            );
        }
        let path = format!("{}/.pgpass", account.home);
        look_at(host, &Wanted { path: &path, closing: Closing::Secret, owner: &account.name }, &mut seen);
    }
    seen
}

/// A file, and how closed it must be.
struct Wanted<'a> {
    path: &'a str,
    closing: Closing,
    owner: &'a str,
}

fn look_in(host: &HostView, folder: &Wanted<'_>, seen: &mut ClosedFiles) {
    match host.list_names(folder.path) {
        Ok(names) => names.iter().for_each(|name| {
            let path = format!("{}/{name}", folder.path);
            // Folders of drop-ins are looked at as such, one level deep.
            match host.path(&path).symlink_metadata().is_ok_and(|m| m.is_dir()) {
                true => {}
                false => look_at(host, &Wanted { path: &path, ..*folder }, seen),
            }
        }),
        Err(unseen) => seen.gaps.push(unseen),
    }
}

fn look_at(host: &HostView, wanted: &Wanted<'_>, seen: &mut ClosedFiles) {
    let path = host.path(wanted.path);
    let own = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return,
        // Root is nobody on some network file systems: what may not even be looked at is not closed, but unknown.
        Err(e) => return seen.gaps.push(Unseen::new(wanted.path, e.to_string())),
    };
    let link = own.is_symlink().then(|| std::fs::read_link(&path).ok()).flatten();
    // What a link leads to is what is read, and so what is judged; /dev/null masks a unit and holds nothing.
    let link = link.map(|to| to.to_string_lossy().into_owned());
    if link.as_deref() == Some("/dev/null") || (link.is_some() && wanted.closing == Closing::Fixed) {
        return;
    }
    let real = match &link {
        Some(to) if to.starts_with('/') => host.path(to),
        _ => path.clone(),
    };
    let Ok(meta) = real.metadata() else { return };
    seen.files.push(ClosedFile {
        path: wanted.path.into(),
        closing: Some(wanted.closing),
        owner: wanted.owner.into(),
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        links: meta.nlink(),
        is_file: meta.is_file() && !meta.file_type().is_fifo(),
        link_to: link,
        acl: read_acl(&real),
        open_parent: find_open_parent(host, wanted.path, meta.uid()),
    });
}

/// The nearest folder above that others may write to, without the sticky bit that keeps names to their owners.
fn find_open_parent(host: &HostView, path: &str, owner: u32) -> Option<String> {
    let parents = Path::new(path).ancestors().skip(1).filter(|p| *p != Path::new("/"));
    let open = |folder: &&Path| {
        let Ok(meta) = host.path(&folder.to_string_lossy()).metadata() else { return false };
        let (mode, sticky) = (meta.mode(), meta.mode() & 0o1000 != 0);
        let by_group = mode & 0o020 != 0 && meta.gid() != 0 && !is_private_group(meta.gid(), owner);
        !sticky && (mode & 0o002 != 0 || by_group)
    };
    parents.collect::<Vec<_>>().into_iter().find(open).map(|p| p.to_string_lossy().into_owned())
}

/// Debian gives each account a group of its own, with the same number: nobody else is in it.
fn is_private_group(gid: u32, owner: u32) -> bool {
    gid == owner
}

/// POSIX ACLs are an extended attribute: a version, then entries of tag, permissions and number (linux/posix_acl_xattr.h).
fn read_acl(path: &Path) -> Vec<String> {
    let mut bytes = vec![0_u8; 4096];
    match rustix::fs::getxattr(path, "system.posix_acl_access", &mut bytes[..]) {
        Ok(length) => parse_acl(&bytes[..length.min(4096)]),
        Err(_) => Vec::new(),
    }
}

fn parse_acl(bytes: &[u8]) -> Vec<String> {
    let (entries, _) = bytes.get(4..).unwrap_or_default().as_chunks::<8>();
    let entry = |e: &[u8; 8]| {
        let [tag, permissions] = [u16::from_le_bytes([e[0], e[1]]), u16::from_le_bytes([e[2], e[3]])];
        let id = u32::from_le_bytes([e[4], e[5], e[6], e[7]]);
        // ACL_USER and ACL_GROUP name somebody; the rest is the mode again.
        let who = match tag {
            0x02 => "user",
            0x08 => "group",
            _ => return None,
        };
        let letters: String =
            [(4, 'r'), (2, 'w'), (1, 'x')].iter().filter(|l| permissions & l.0 != 0).map(|l| l.1).collect();
        (permissions != 0).then(|| format!("{who} {id} {letters}"))
    };
    entries.iter().filter_map(entry).collect()
}

/// What is open that must not be.
pub(crate) fn judge_files(seen: &ClosedFiles, accounts: &AccountTable, report: &mut SubjectReport) {
    report.gaps.extend(seen.gaps.iter().cloned());
    report.looked_at = format!("{} files that must be closed", seen.files.len());
    report.findings.extend(seen.files.iter().flat_map(|file| find_openings(file, accounts)));
}

fn find_openings(f: &ClosedFile, accounts: &AccountTable) -> Vec<HostFinding> {
    let mut found = Vec::new();
    let mut add = |rule: &'static Rule, severity, said: String| {
        found.push(HostFinding::new(HostSubject::Files, rule, &f.path, severity).says(said));
    };
    let (owner, group) = (accounts.name_of(f.uid), accounts.group_name(f.gid));
    if !f.is_file {
        add(&rules::FILE_ODD, Severity::Warning, "it is no file: a pipe, a device or a folder".into());
        return found;
    }
    let reader = READERS.contains(&group.as_str()) || is_private_group(f.gid, f.uid);
    let wrong = match f.closing {
        Some(Closing::Secret) => f.mode & if reader { 0o027 } else { 0o077 },
        _ => f.mode & if reader { 0o002 } else { 0o022 },
    };
    if wrong != 0 {
        let said = format!("mode {:04o}, {owner}:{group}: others may {}", f.mode, name_rights(wrong));
        add(&rules::FILE_OPEN, Severity::Critical, said);
    }
    let letters = if f.closing == Some(Closing::Secret) { "rw" } else { "w" };
    let acl: Vec<String> = f
        .acl
        .iter()
        .filter(|e| e.rsplit(' ').next().is_some_and(|l| l.contains(|c| letters.contains(c))))
        .map(|e| name_entry(e, accounts))
        .collect();
    if !acl.is_empty() {
        add(&rules::FILE_OPEN, Severity::Critical, format!("its ACL lets in {}", acl.join(", ")));
    }
    if let Some(parent) = &f.open_parent {
        add(&rules::PARENT_OPEN, Severity::Critical, format!("others may write to {parent} and replace it"));
    }
    if let Some(to) = &f.link_to {
        add(&rules::FILE_LINK, Severity::Warning, format!("it is a link to {to}"));
    }
    if f.links > 1 && f.closing == Some(Closing::Secret) {
        add(&rules::FILE_HARD_LINK, Severity::Warning, format!("it has {} names", f.links));
    }
    let strange = accounts.is_whole() && accounts.find_uid(f.uid).is_none();
    if strange || (f.owner != "*" && f.uid != 0 && owner != f.owner) {
        add(&rules::FILE_OWNER, Severity::Warning, format!("it belongs to {owner}, not to {}", f.owner));
    }
    found
}

fn name_rights(bits: u32) -> &'static str {
    match (bits & 0o044 != 0, bits & 0o022 != 0) {
        (true, true) => "read and write it",
        (false, true) => "write it",
        _ => "read it",
    }
}

fn name_entry(entry: &str, accounts: &AccountTable) -> String {
    let words: Vec<&str> = entry.split(' ').collect();
    let [who, id, letters] = words[..] else { return entry.into() };
    let id = id.parse().unwrap_or(u32::MAX);
    let name = if who == "user" { accounts.name_of(id) } else { accounts.group_name(id) };
    format!("{who} {name} ({letters})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(mode: u32, gid: u32) -> Vec<&'static str> {
        let file = ClosedFile {
            path: "/etc/shadow".into(),
            closing: Some(Closing::Secret),
            owner: "root".into(),
            mode,
            gid,
            is_file: true,
            links: 1,
            ..ClosedFile::default()
        };
        let mut accounts = AccountTable::default();
        accounts.group_numbers.insert(42, "shadow".into());
        accounts.group_numbers.insert(7, "staff".into());
        find_openings(&file, &accounts)
            .iter()
            .filter(|f| f.base.rule.id != "file-owner")
            .map(|f| f.base.rule.id)
            .collect()
    }

    #[test]
    fn a_secret_is_open_when_somebody_else_reads_it() {
        for (mode, gid, found) in
            [(0o600, 0, 0), (0o640, 42, 0), (0o640, 7, 1), (0o644, 42, 1), (0o666, 0, 1), (0o660, 42, 1)]
        {
            assert_eq!(said(mode, gid).len(), found, "{mode:o} {gid}");
        }
    }

    #[test]
    fn an_acl_names_who_it_lets_in() {
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, permissions, id) in [
            (1_u16, 6_u16, u32::MAX),
            (2, 4, 1000),
            (4, 4, u32::MAX),
            (8, 6, 7),
            (16, 6, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            bytes.extend(tag.to_le_bytes().iter().chain(&permissions.to_le_bytes()).chain(&id.to_le_bytes()));
        }
        assert_eq!(parse_acl(&bytes), ["user 1000 r", "group 7 rw"]);
        assert!(parse_acl(&[]).is_empty() && parse_acl(&[2, 0, 0]).is_empty());
    }
}
