//! One look at the host: what is read once, and which subject is judged by it.

use crate::fact::SubjectReport;
use crate::host::{HostView, Sight, Unseen};
use crate::look::accounts::{AccountTable, judge_accounts, read_accounts};
use crate::look::auth_history::{AuthHistory, read_history};
use crate::look::files::{judge_files, read_files};
use crate::look::firewall::{FirewallFacts, judge_firewall, read_firewall};
use crate::look::kernel::{judge_kernel, read_kernel};
use crate::look::logins::judge_logins;
use crate::look::privileged::{judge_privileged, read_privileged};
use crate::look::processes::{ProcessTable, judge_processes, read_processes};
use crate::look::root::{judge_root, read_sudoers};
use crate::look::sockets::{SocketTable, judge_sockets, read_inside, read_sockets};
use crate::look::sshd::{judge_sshd, read_sshd};
use crate::look::units::{judge_units, read_units};
use crate::look::updates::{judge_updates, read_updates};
use crate::subject::HostSubject;
use jiff::Timestamp;

/// What is looked at, and how far.
pub(crate) struct LookOptions {
    pub(crate) subjects: Vec<HostSubject>,
    pub(crate) deep: bool,
    pub(crate) sshd_configs: Vec<String>,
    pub(crate) closed: Vec<String>,
    pub(crate) now: Timestamp,
}

/// What several subjects are judged by.
struct SharedFacts {
    accounts: Sight<AccountTable>,
    sockets: Sight<SocketTable>,
    processes: Sight<ProcessTable>,
    firewall: Sight<FirewallFacts>,
    history: Sight<AuthHistory>,
}

/// Reads what the subjects need, each source once, and judges each.
pub(crate) fn look_at_host(host: &HostView, options: &LookOptions) -> Vec<SubjectReport> {
    let shared = read_shared(host, options);
    options.subjects.iter().map(|subject| judge_subject(*subject, host, &shared, options)).collect()
}

fn read_shared(host: &HostView, options: &LookOptions) -> SharedFacts {
    let needs = |subjects: &[HostSubject]| subjects.iter().any(|s| options.subjects.contains(s));
    let mut sockets = match needs(&[HostSubject::Sockets, HostSubject::Firewall]) {
        true => read_sockets(host),
        false => skip_reading(),
    };
    let processes = match needs(&[HostSubject::Sockets, HostSubject::Processes, HostSubject::Updates]) {
        // One pass over /proc for all: it costs more than everything else together.
        true => read_processes(host, &sockets.as_ref().map(SocketTable::inodes).unwrap_or_default()),
        false => skip_reading(),
    };
    if let (Ok(sockets), Ok(processes)) = (&mut sockets, &processes) {
        read_inside(host, processes, sockets);
    }
    SharedFacts {
        accounts: read_accounts(host),
        sockets,
        processes,
        firewall: if needs(&[HostSubject::Firewall]) { read_firewall(host) } else { skip_reading() },
        history: if needs(&[HostSubject::Logins, HostSubject::Root]) {
            read_history(host, options.now)
        } else {
            skip_reading()
        },
    }
}

fn skip_reading<T>() -> Sight<T> {
    Err(Unseen::new("this", "it was not asked for"))
}

fn judge_subject(
    subject: HostSubject,
    host: &HostView,
    shared: &SharedFacts,
    options: &LookOptions,
) -> SubjectReport {
    let none = AccountTable::default();
    // Names are for people: without /etc/passwd there are numbers, and accounts say themselves that it is not readable.
    let accounts = shared.accounts.as_ref().unwrap_or(&none);
    match subject {
        HostSubject::Sockets => SubjectReport::judge_sight(subject, &shared.sockets, |seen, report| {
            judge_sockets(seen, &shared.processes, accounts, report);
        }),
        HostSubject::Firewall => SubjectReport::judge_sight(subject, &shared.firewall, |seen, report| {
            judge_firewall(seen, &shared.sockets, report);
        }),
        HostSubject::Processes => SubjectReport::judge_sight(subject, &shared.processes, |seen, report| {
            judge_processes(seen, accounts, report);
        }),
        HostSubject::Accounts => SubjectReport::judge_sight(subject, &shared.accounts, judge_accounts),
        HostSubject::Root => SubjectReport::judge_sight(subject, &Ok(read_sudoers(host)), |seen, report| {
            judge_root(seen, &shared.history, report);
        }),
        HostSubject::Logins => SubjectReport::judge_sight(subject, &shared.history, judge_logins),
        HostSubject::Sshd => {
            let seen = read_sshd(host, &options.sshd_configs, accounts);
            SubjectReport::judge_sight(subject, &Ok(seen), judge_sshd)
        }
        HostSubject::Files => {
            let seen = read_files(host, accounts, &options.closed);
            SubjectReport::judge_sight(subject, &Ok(seen), |seen, report| judge_files(seen, accounts, report))
        }
        HostSubject::Privileged => {
            SubjectReport::judge_sight(subject, &read_privileged(host, options.deep), |seen, report| {
                judge_privileged(seen, accounts, report);
            })
        }
        HostSubject::Kernel => {
            SubjectReport::judge_sight(subject, &read_kernel(host), |seen, report| judge_kernel(seen, report))
        }
        HostSubject::Updates => SubjectReport::judge_sight(subject, &read_updates(host), |seen, report| {
            judge_updates(seen, &shared.processes, options.now, report);
        }),
        HostSubject::Units => SubjectReport::judge_sight(subject, &read_units(host), |seen, report| {
            judge_units(seen.as_ref(), report);
        }),
    }
}
