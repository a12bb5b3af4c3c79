//! What is mounted where, by /proc/self/mountinfo (proc_pid_mountinfo(5)); no path is touched for it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mount {
    /// `major:minor`.
    pub(crate) device: String,
    /// What of the file system is mounted.
    pub(crate) root: String,
    pub(crate) point: PathBuf,
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) super_options: String,
}

/// Kinds that hold no files of anybody's, and those that are full by nature.
const SKIPPED: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "fuse.lxcfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];
/// Below these lie the mounts of the system itself and of containers.
const BELOW: &[&str] =
    &["/dev", "/proc", "/sys", "/run/credentials", "/var/lib/docker", "/var/lib/containers/storage"];
/// Memory that programs fill.
const KEPT_TMPFS: &[&str] = &["/tmp", "/dev/shm"];
/// A server that does not answer blocks whoever asks, for ever.
const REMOTE: &[&str] =
    &["nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "afs", "lustre", "glusterfs", "gfs2"];

impl Mount {
    /// Every mount of a mountinfo; a line that does not parse is passed over.
    pub(crate) fn parse_all(text: &str) -> Vec<Mount> {
        text.lines().filter_map(Mount::parse_line).collect()
    }

    fn parse_line(line: &str) -> Option<Mount> {
        // Between the options and the kind stand fields whose number is not fixed, ended by a dash.
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        Some(Mount {
            device: left.get(2)?.to_string(),
            root: unescape(left.get(3)?).to_string_lossy().into_owned(),
            point: unescape(left.get(4)?).into(),
            kind: right.first()?.to_string(),
            source: unescape(right.get(1)?).to_string_lossy().into_owned(),
            super_options: right.get(2).unwrap_or(&"").to_string(),
        })
    }

    /// Whether it is watched without being named.
    pub(crate) fn is_watched(&self) -> bool {
        let point = self.point.as_path();
        if point == Path::new("/") {
            // Of a container it is an overlay, and it is what fills.
            return true;
        }
        if KEPT_TMPFS.iter().any(|kept| point == Path::new(kept)) {
            return true;
        }
        let below = BELOW.iter().any(|folder| point.starts_with(folder));
        !below && self.kind != "tmpfs" && !SKIPPED.contains(&self.kind.as_str())
    }

    /// Whether asking it may block for ever: a file system that another machine or a process answers for.
    pub(crate) fn may_hang(&self) -> bool {
        REMOTE.contains(&self.kind.as_str()) || self.kind.starts_with("fuse")
    }

    /// Whether nobody can write to it. A mount that is read-only over a file system that is not is somebody's will, such as
    /// the sandbox's that we run in; an error turns the file system itself.
    pub(crate) fn is_read_only(&self) -> bool {
        self.super_options.split(',').any(|option| option == "ro")
    }

    /// What tells one file system from another: bind mounts have one device, and subvolumes of btrfs one source.
    pub(crate) fn identity(&self) -> String {
        if self.kind == "btrfs" { self.source.clone() } else { self.device.clone() }
    }
}

/// `\040` is a space (`show_mountinfo` escapes it, tabs, newlines and backslashes); names need not be UTF-8.
fn unescape(text: &str) -> OsString {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        let code =
            digits.and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| u8::from_str_radix(d, 8).ok());
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 4 } else { 1 };
    }
    OsString::from_vec(out)
}

/// The mounts to ask: watched or named, the file system once, by the shortest of its paths.
pub(crate) fn choose_mounts(
    mounts: &[Mount],
    named: &[PathBuf],
    excluded: impl Fn(&str) -> bool,
) -> Vec<Mount> {
    // What is mounted later over the same point hides what was there.
    let visible = |at: usize, mount: &Mount| mounts[at + 1..].iter().all(|later| later.point != mount.point);
    let shown: Vec<&Mount> =
        mounts.iter().enumerate().filter(|(at, m)| visible(*at, m)).map(|(_, m)| m).collect();
    let home = |path: &PathBuf| {
        shown.iter().filter(|m| path.starts_with(&m.point)).max_by_key(|m| m.point.as_os_str().len()).copied()
    };
    let homes: Vec<&Mount> = named.iter().filter_map(home).collect();
    let watched = shown.iter().copied().filter(|m| m.is_watched() && !excluded(&m.point.to_string_lossy()));
    let mut chosen: Vec<&Mount> = watched.chain(homes.iter().copied()).collect();
    chosen.sort_by_key(|m| (m.point.as_os_str().len(), m.point.clone()));
    let mut known = std::collections::BTreeSet::new();
    chosen.into_iter().filter(|m| known.insert(m.identity())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn names_with_odd_bytes_are_read() {
        let line =
            r"36 35 98:0 /mnt1 /mnt/a\040b\011c\012d\134e rw,noatime master:1 shared:2 - ext4 /dev/x\040y rw";
        let mount = &Mount::parse_all(line)[0];
        assert_eq!(mount.point.as_os_str().as_bytes(), b"/mnt/a b\tc\nd\\e");
        assert_eq!(
            (mount.kind.as_str(), mount.source.as_str(), mount.root.as_str()),
            ("ext4", "/dev/x y", "/mnt1")
        );
        assert!(Mount::parse_all("36 35 98:0 / /mnt rw\n\nnonsense - ext4").is_empty());
    }

    #[test]
    fn what_is_chosen_is_each_file_system_once() {
        let text = "\
20 1 0:1 / / rw - overlay overlay rw
21 20 0:2 / /proc rw - proc proc rw
22 20 8:1 / /data rw - ext4 /dev/sda1 rw
23 20 8:1 /x /var/bind rw - ext4 /dev/sda1 rw
24 20 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
25 20 0:3 / /tmp rw - tmpfs tmpfs rw
26 20 0:4 / /run rw - tmpfs tmpfs rw
27 20 0:5 /a /sub/a rw - btrfs /dev/sdb rw
28 20 0:6 /b /sub/b rw - btrfs /dev/sdb rw
29 20 8:9 / /var/lib/docker/x rw - ext4 /dev/sdc rw
30 20 0:7 / /net rw - nfs4 server:/x rw
31 20 0:8 / /auto rw - autofs systemd-1 rw
32 20 8:7 / /old rw - ext4 /dev/sdd rw
33 20 8:8 / /old rw - xfs /dev/sde rw";
        let mounts = Mount::parse_all(text);
        let points = |named: &[&str], not: &str| -> Vec<String> {
            let named: Vec<PathBuf> = named.iter().map(PathBuf::from).collect();
            let chosen = choose_mounts(&mounts, &named, |point| point == not);
            chosen.iter().map(|m| m.point.display().to_string()).collect()
        };
        assert_eq!(points(&[], ""), ["/", "/net", "/old", "/tmp", "/data", "/sub/a"]);
        // What is named is asked whatever is left out.
        assert_eq!(
            points(&["/run/app/data", "/data/pg"], "/data"),
            ["/", "/net", "/old", "/run", "/tmp", "/data", "/sub/a"]
        );
        assert!(!points(&[], "/net").contains(&"/net".to_string()));
        assert_eq!(choose_mounts(&mounts, &[], |_| false)[2].kind, "xfs", "the later one hides the earlier");
    }
}
