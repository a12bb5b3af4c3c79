//! The folder in which a host's baseline and last run lie, and which host it is.

use crate::cli::HostPlace;
use crate::host::HostView;
use std::path::PathBuf;
use toban_core::durable::{self, Lock};
use toban_core::{Error, Result, machine};

/// One host, and where what is remembered of it lies.
pub(crate) struct HostState {
    pub(crate) dir: PathBuf,
    /// Which machine it is, whatever it is called (machine-id(5)).
    pub(crate) machine: String,
    pub(crate) name: String,
    _lock: Lock,
}

impl HostState {
    /// Opens it for this run alone.
    ///
    /// # Errors
    /// Retry while another run has it; usage when a copy's state would mix with this machine's.
    pub(crate) fn open(place: &HostPlace) -> Result<HostState> {
        let host = HostView::new(&place.root);
        if !host.is_live() && place.state.is_none() {
            return Err(Error::usage("a copy of a host has its own state")
                .hint("give --state DIR, a folder for each host"));
        }
        let dir = place.state.clone().unwrap_or_else(choose_dir);
        let first_line = |path: &str| {
            host.read_text(path)
                .ok()
                .and_then(|t| t.lines().next().map(|l| l.trim().to_string()))
                .filter(|t| !t.is_empty())
        };
        let name = first_line("/etc/hostname").unwrap_or_else(machine::host_name);
        let machine = first_line("/etc/machine-id").unwrap_or_else(|| format!("host-{name}"));
        let lock = Lock::take(&dir.join("lock"), "an audit of this host")?;
        Ok(HostState { dir, machine, name, _lock: lock })
    }
}

/// Root's own folder: that of the other tools is postgres's where their units run, who must not rewrite what was reviewed.
fn choose_dir() -> PathBuf {
    let given = std::env::var_os("TOBAN_STATE_DIR").is_some_and(|dir| !dir.is_empty());
    match machine::is_root() && !given {
        true => PathBuf::from("/var/lib/host-audit"),
        false => durable::state_dir().join("host-audit"),
    }
}
