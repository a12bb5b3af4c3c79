//! This machine by /proc, /sys and its cgroups: what is read here, the families judge.

pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod cpu;
pub(crate) mod disk;
pub(crate) mod handles;
pub(crate) mod memory;
pub(crate) mod mounts;
pub(crate) mod network;
pub(crate) mod pressure;
pub(crate) mod rates;

use std::path::{Path, PathBuf};
use toban_core::{Context, Error, Result};

/// Where /proc and /sys are read, `/` but for a machine that is looked at from outside.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The machine whose root folder this is.
    pub(crate) fn at_root(root: &Path) -> Machine {
        Machine { root: root.to_path_buf() }
    }

    /// Whether it is the one that we run on.
    pub(crate) fn is_ours(&self) -> bool {
        self.root == Path::new("/")
    }

    /// An absolute path of that machine, as we reach it.
    pub(crate) fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let path = absolute.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a file of the kernel's.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub(crate) fn read_text(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = self.path(path);
        let bytes = std::fs::read(&path).doing(|| format!("read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The one number that a file holds; none where it holds none, or `max`.
    pub(crate) fn read_number(&self, path: impl AsRef<Path>) -> Option<f64> {
        self.read_text(path).ok()?.split_whitespace().next()?.parse().ok()
    }

    /// What tells this start of the machine from every other.
    pub(crate) fn boot_id(&self) -> String {
        self.read_text("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string()
    }

    /// Seconds since the machine started: no clock that somebody sets.
    ///
    /// # Errors
    /// When /proc is not there.
    pub(crate) fn uptime(&self) -> Result<f64> {
        let text = self.read_text("/proc/uptime")?;
        let first = text.split_whitespace().next().and_then(|word| word.parse().ok());
        first.ok_or_else(|| Error::failed("read /proc/uptime: it holds no number"))
    }
}

/// The value of `key` in lines as `oom_kill 3`, `MemTotal:  8 kB`.
pub(crate) fn find_value(text: &str, key: &str) -> Option<f64> {
    let rest = |line: &str| Some(line.strip_prefix(key)?.trim_start_matches(':').to_string());
    let mut rests = text.lines().filter_map(rest).filter(|rest| rest.starts_with([' ', '\t']));
    rests.next()?.split_whitespace().next()?.parse().ok()
}
