//! Examples and background, below each verb's options; the manual page takes them from here.

pub(crate) const RUN_HELP: &str = "\
Examples:
  What is new on this host:
    host-audit run
  Only who listens and what reaches it, for a script:
    host-audit run sockets firewall --json
  Evidence for the monthly review, in Japanese:
    host-audit run --lang ja --pack /var/lib/host-audit/evidence
  A copy of another host's files:
    host-audit run --root /mnt/copy

Subjects: sockets, firewall, processes, accounts, root, logins, sshd, files, privileged, kernel, updates, units.
What changed since the last review comes first, the most urgent first; then what is wrong whatever was
accepted; then one line for each subject that was looked at. What could not be seen is UNKNOWN, and why.
Nothing is changed on the host, and no kernel module is loaded.";

pub(crate) const LIST_HELP: &str = "\
Examples:
  Everything that listened in the last run:
    host-audit list sockets
  The accounts of this host, for user-audit:
    host-audit list accounts --json > os-accounts.json
    user-audit app --os-accounts os-accounts.json";

pub(crate) const ACCEPT_HELP: &str = "\
Examples:
  The first review, after reading host-audit list:
    host-audit accept --all --reviewer 'A. Mo' --ticket SEC-118
  One new port:
    host-audit accept --only sockets/tcp/8080 --reviewer 'A. Mo' --ticket SEC-121
  What a reviewed pack holds, and nothing that came since:
    host-audit accept host-evidence/20261201T063000Z-host --all --reviewer 'A. Mo' --ticket SEC-122

What was not seen is never accepted: the status is then 3, and the records say why. Each decision goes to
log.jsonl beside the baseline.";
