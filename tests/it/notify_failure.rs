//! The failure handler, with stand-ins for sendmail, logger and journalctl first on PATH.

use e2e::root;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Host {
        let host = Host(tempfile::tempdir().expect("tempdir"));
        for (name, script) in
            [("sendmail", "cat"), ("logger", "echo \"$@\""), ("journalctl", "echo journal \"$@\"")]
        {
            let path = host.path().join(name);
            let log = host.path().join(format!("{name}.log"));
            std::fs::write(&path, format!("#!/bin/sh\n{script} {}\n", redirect(&log, name))).expect("write");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        host
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fail(&self, unit: &str, status: &str) {
        let path = format!("{}:/usr/bin:/bin", self.path().display());
        let mut handler = Command::new(root().join("scripts/notify-failure"));
        handler.arg(unit).env_clear().env("PATH", path).env("STATE_DIRECTORY", self.path());
        handler.env("TOBAN_MAIL_TO", "dba@example.org").env("TOBAN_SENDMAIL", self.path().join("sendmail"));
        handler.env("MONITOR_SERVICE_RESULT", "exit-code").env("MONITOR_EXIT_CODE", "exited");
        handler.env("MONITOR_EXIT_STATUS", status).env("MONITOR_INVOCATION_ID", "abc123");
        let out = handler.output().expect("the handler runs");
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    }

    fn mails(&self) -> Vec<String> {
        let all = std::fs::read_to_string(self.path().join("sendmail.log")).unwrap_or_default();
        all.split("To: ").skip(1).map(String::from).collect()
    }
}

/// The journal's words go into the mail; what the others get is kept.
fn redirect(log: &Path, name: &str) -> String {
    if name == "journalctl" { String::new() } else { format!(">>{}", log.display()) }
}

#[test]
fn the_mail_names_unit_status_and_quotes_the_journal() {
    let host = Host::new();
    host.fail("pg-backup-dump@main.service", "1");
    let mails = host.mails();
    assert_eq!(mails.len(), 1);
    assert!(
        mails[0].starts_with("dba@example.org\nSubject: [toban] pg-backup-dump@main.service failed on "),
        "{mails:?}"
    );
    assert!(
        mails[0].contains("exit-code, exited 1") && mails[0].contains("_SYSTEMD_INVOCATION_ID=abc123"),
        "{mails:?}"
    );
    let logged = std::fs::read_to_string(host.path().join("logger.log")).expect("logger was called");
    assert!(logged.contains("daemon.crit"), "{logged}");
}

#[test]
fn a_dump_is_told_each_time_and_a_check_when_it_changes() {
    let host = Host::new();
    (0..2).for_each(|_| host.fail("pg-backup-dump@main.service", "1"));
    assert_eq!(host.mails().len(), 2);
    (0..3).for_each(|_| host.fail("pg-backup-check@main.service", "4"));
    assert_eq!(host.mails().len(), 3);
    host.fail("pg-backup-check@main.service", "75");
    assert_eq!(host.mails().len(), 4);
}
