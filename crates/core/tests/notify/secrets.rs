//! No secret ever leaves by a way that is not its own: logs at their loudest, state, metrics, argv.

use crate::job::{Job, files};
use testkit::{Answer, LOGIN, Slack, Smtp, SmtpOptions};

fn job(slack: &Slack, smtp: &Smtp, from: &str) -> Job {
    let mut job = Job::new(&format!(
        "textfile_dir = \"%/metrics\"\n[notify]\nbudget = \"2s\"\n[notify.mail]\nto = [\"dba@example.org\"]\n\
         smtp_host = \"localhost\"\nsmtp_port = {}\nsmtp_user = \"{}\"\nca_file = \"{}\"",
        smtp.port(),
        LOGIN.0,
        smtp.ca_file().display()
    ));
    let secrets = [
        ("SMTP_PASS", "smtp_pass", LOGIN.1.to_string()),
        ("SLACK_WEBHOOK", "slack_webhook", slack.url("/services/canary-webhook")),
        ("TOBAN_PING_URL", "ping_url", slack.url("/ping/canary-ping")),
    ];
    let credentials = tempfile::tempdir().expect("a folder").keep();
    for (variable, file, secret) in secrets {
        match from {
            "environment" => job.env(variable, &secret),
            _ => std::fs::write(credentials.join(file), secret).expect("write"),
        }
    }
    for path in std::fs::read_dir(&credentials).expect("a folder").flatten() {
        use std::os::unix::fs::PermissionsExt;
        // As systemd leaves them since 254.
        std::fs::set_permissions(path.path(), std::fs::Permissions::from_mode(0o440)).expect("chmod");
    }
    job.env("CREDENTIALS_DIRECTORY", &credentials.to_string_lossy());
    job.env("JOB_VERBOSITY", "3");
    job.env("RUST_LOG", "trace");
    job
}

#[test]
fn no_canary_gets_out() {
    for from in ["environment", "credentials"] {
        let slack = Slack::start();
        let smtp = Smtp::start(&SmtpOptions { defer: 1, ..SmtpOptions::default() });
        let job = job(&slack, &smtp, from);
        let well = Answer::say(200, "OK");
        // Start ping well and a webhook that is broken until the time is up; redirects, a stall: each has its own words to leak with.
        let away =
            Answer::Say(302, format!("Location: {}\r\n", slack.url("/canary-away")), "canary-ok".into());
        let echo = Answer::say(500, &slack.url("/services/canary-webhook"));
        for script in [vec![well, echo.clone(), echo.clone(), echo], vec![away.clone(), away, Answer::Stall]]
        {
            slack.script(script);
            let child = job.start("1", "a note");
            let argv = std::fs::read(format!("/proc/{}/cmdline", child.id())).expect("it runs");
            let done = child.wait_with_output().expect("ended");
            let output = String::from_utf8_lossy(&[done.stdout, done.stderr, argv].concat()).into_owned();
            assert!(output.contains("warning"), "something must have gone wrong: {output}");
            assert!(!output.contains("canary-webhook") && !output.contains("canary-ping"), "{output}");
            assert!(!output.contains(LOGIN.1), "{output}");
        }
        assert_eq!(smtp.mails().len(), 1, "{from}");
        assert!(slack.requests().iter().any(|r| r.path.contains("canary-webhook")), "{from}");
        for folder in ["state", "metrics"] {
            let found = files(&job.path(folder));
            assert!(!found.is_empty(), "{folder}");
            for (path, text) in found {
                assert!(!text.contains("canary"), "{}: {text}", path.display());
            }
        }
        assert!(smtp.mails().iter().all(|m| !m.contains("canary")));
    }
}
