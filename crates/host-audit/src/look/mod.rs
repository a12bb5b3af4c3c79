//! What is looked at: each subject is read, and judged by pure functions.

pub(crate) mod accounts;
pub(crate) mod auth_history;
pub(crate) mod auth_log;
pub(crate) mod files;
pub(crate) mod firewall;
pub(crate) mod kernel;
pub(crate) mod login_dbs;
pub(crate) mod logins;
pub(crate) mod packages;
pub(crate) mod privileged;
pub(crate) mod processes;
pub(crate) mod root;
pub(crate) mod sockets;
pub(crate) mod sshd;
pub(crate) mod units;
pub(crate) mod updates;
pub(crate) mod versions;
pub(crate) mod wtmp;
