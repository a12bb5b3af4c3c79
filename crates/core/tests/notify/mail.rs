//! Mail through a real server.

use crate::job::Job;
use testkit::{LOGIN, Smtp, SmtpOptions};

fn job(smtp: &Smtp, more: &str) -> Job {
    let job = Job::new(&format!(
        r#"
        [notify.mail]
        to = ["Dba <dba@example.org>", "ops@example.org"]
        from = "toban@example.org"
        smtp_host = "localhost"
        smtp_port = {}
        smtp_user = "{}"
        smtp_pass_file = "%/smtp_pass"
        ca_file = "{}"
        {more}
        "#,
        smtp.port(),
        LOGIN.0,
        smtp.ca_file().display()
    ));
    job.file("smtp_pass", &format!("{}\n", LOGIN.1));
    job
}

fn start(options: SmtpOptions) -> Smtp {
    Smtp::start(&options)
}

#[test]
fn a_failure_is_mailed_over_starttls_with_login() {
    let smtp = start(SmtpOptions::default());
    let job = job(&smtp, "");
    assert_eq!(job.run("1").status, "1");
    assert_eq!(job.run("1").status, "1");
    assert_eq!(job.run("0").status, "0");
    let mails = smtp.mails();
    assert_eq!(mails.len(), 2, "a failure and a resolution: {mails:#?}");
    for wanted in [
        "X-Tls: True",
        "X-Login: True",
        "X-Rcpt: dba@example.org,ops@example.org",
        "Auto-Submitted: auto-generated",
        "Message-ID: <",
        "\r\nDate: ",
        "From: toban@example.org",
        "failed: dump app: the disk is full",
        "Hint:    make room",
        "Status:  1 (could not do it)",
        "a note",
    ] {
        assert!(mails[0].contains(wanted), "no {wanted:?} in {}", mails[0]);
    }
    assert!(mails[1].contains("works again"), "{}", mails[1]);
}

#[test]
fn implicit_tls_works_too() {
    let smtp = start(SmtpOptions { tls: "implicit", ..SmtpOptions::default() });
    job(&smtp, "tls = \"implicit\"").run("1");
    assert_eq!(smtp.mails().len(), 1);
}

#[test]
fn a_stripped_starttls_is_refused_and_the_password_stays_here() {
    let smtp = start(SmtpOptions { tls: "none", ..SmtpOptions::default() });
    let ran = job(&smtp, "").run("1");
    assert_eq!(smtp.mails().len(), 0);
    assert_eq!(ran.status, "1");
    assert!(ran.output.contains("warning: mail: the notification is kept"), "{}", ran.output);
}

#[test]
fn a_certificate_of_a_stranger_is_refused() {
    let (smtp, other) = (start(SmtpOptions::default()), start(SmtpOptions::default()));
    let job = job(&smtp, "");
    std::fs::copy(other.ca_file(), smtp.ca_file()).expect("another certificate");
    let ran = job.run("1");
    assert_eq!(smtp.mails().len(), 0, "{}", ran.output);
    assert!(ran.output.contains("certificate"), "{}", ran.output);
    assert!(ran.took < std::time::Duration::from_secs(5), "time does not cure it: {:?}", ran.took);
}

#[test]
fn greylisting_is_waited_out() {
    let smtp = start(SmtpOptions { defer: 2, ..SmtpOptions::default() });
    let ran = job(&smtp, "").run("75");
    assert_eq!((smtp.mails().len(), ran.status.as_str()), (1, "75"), "{}", ran.output);
}

#[test]
fn a_refused_address_is_reported_and_does_not_silence_the_other() {
    let smtp = start(SmtpOptions { refuse: vec!["ops@example.org"], ..SmtpOptions::default() });
    let ran = job(&smtp, "").run("1");
    assert!(smtp.mails()[0].contains("X-Rcpt: dba@example.org\r\n"), "{:?}", smtp.mails());
    assert!(ran.output.contains("does not take mail for ops@example.org"), "{}", ran.output);
}

#[test]
fn a_mail_refused_for_good_is_reported_not_kept_and_news_again() {
    let refuse = vec!["ops@example.org", "dba@example.org"];
    let smtp = start(SmtpOptions { refuse, ..SmtpOptions::default() });
    let job = job(&smtp, "");
    for _ in 0..2 {
        let ran = job.run("1");
        assert!(ran.output.contains("refused: send mail by localhost"), "{}", ran.output);
        assert!(ran.output.contains("550"), "{}", ran.output);
        assert_eq!(ran.status, "1");
    }
}

#[test]
fn a_wrong_password_is_reported_without_it() {
    let smtp = start(SmtpOptions::default());
    let job = job(&smtp, "");
    job.file("smtp_pass", "canary-wrong");
    let ran = job.run("1");
    assert!(ran.output.contains("535") && !ran.output.contains("canary-wrong"), "{}", ran.output);
    assert_eq!(smtp.logins(), 1, "more tries could lock the account");
    job.file("smtp_pass", LOGIN.1);
    job.run("1");
    assert_eq!(smtp.mails().len(), 1, "it was kept until the password was mended");
}

#[test]
fn the_environment_people_have_is_enough() {
    let smtp = start(SmtpOptions::default());
    let mut job = Job::new("");
    for (name, value) in [
        ("SMTP_HOST", "localhost"),
        ("SMTP_PORT", &smtp.port().to_string()),
        ("SMTP_USER", LOGIN.0),
        ("SMTP_PASS", LOGIN.1),
        ("TOBAN_MAIL_TO", "dba@example.org, ops@example.org"),
        ("SSL_CERT_FILE", &smtp.ca_file().to_string_lossy()),
    ] {
        job.env(name, value);
    }
    let ran = job.run("1");
    assert_eq!(smtp.mails().len(), 1, "{}", ran.output);
    assert!(smtp.mails()[0].contains("From: pg-backup@"), "{}", smtp.mails()[0]);
}

#[test]
fn sendmail_gets_the_mail_on_its_stdin() {
    use std::os::unix::fs::PermissionsExt;
    let job = Job::new("[notify.mail]\nto = [\"dba@example.org\"]\nsendmail = \"%/sendmail\"");
    let out = job.path("mail");
    job.file("sendmail", &format!("#!/bin/sh\n(echo \"$@\"; cat) > {}\n", out.display()));
    std::fs::set_permissions(job.path("sendmail"), std::fs::Permissions::from_mode(0o700)).expect("chmod");
    let ran = job.run("5");
    let mail = std::fs::read_to_string(out).unwrap_or_default();
    assert!(mail.starts_with("-i -f pg-backup@"), "{mail} {}", ran.output);
    assert!(mail.contains("-- dba@example.org\n") && mail.contains("corrupt: stored data"), "{mail}");
}

#[test]
fn a_password_in_clear_is_refused_before_anything_is_sent() {
    let smtp = start(SmtpOptions { tls: "none", ..SmtpOptions::default() });
    let ran = job(&smtp, "tls = \"none\"").run("1");
    assert!(ran.output.contains("only for this machine, and without smtp_user"), "{}", ran.output);
    assert_eq!((smtp.mails().len(), ran.status.as_str()), (0, "1"));
}
