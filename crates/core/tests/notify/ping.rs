//! Pings to a monitor.

use crate::job::Job;
use std::time::Duration;
use testkit::{Answer, Slack, Smtp, SmtpOptions};

fn job(monitor: &Slack) -> Job {
    Job::new(&format!("[notify.ping]\nurl = \"{}\"", monitor.url("/ping/canary-ping")))
}

#[test]
fn the_start_and_the_status_are_pinged_as_one_run() {
    let monitor = Slack::start();
    let job = job(&monitor);
    for status in ["0", "75", "panic"] {
        job.run(status);
    }
    let requests = monitor.requests();
    let paths: Vec<&str> = requests.iter().map(|r| r.path.split("?rid=").next().unwrap_or("")).collect();
    let wanted = ["start", "0", "start", "75", "start", "101"].map(|w| format!("/ping/canary-ping/{w}"));
    assert_eq!(paths, wanted);
    let run = |i: usize| requests[i].path.split("?rid=").nth(1).map(String::from);
    assert!(run(0) == run(1) && run(2) == run(3) && run(0) != run(2), "{requests:?}");
    assert!(requests[3].body.contains("the disk is full") && requests[3].body.contains("a note"));
    assert!(requests[5].body.contains("bug: a bug"), "{}", requests[5].body);
}

#[test]
fn a_monitor_that_is_away_holds_nothing_up() {
    let monitor = Slack::start();
    monitor.script([Answer::Stall, Answer::Stall]);
    let ran = job(&monitor).run("0");
    assert_eq!(ran.status, "0");
    assert!(ran.took < Duration::from_secs(6), "{:?}", ran.took);
    assert!(ran.output.contains("ping start") && ran.output.contains("ping 0"), "{}", ran.output);
}

#[test]
fn the_body_is_the_end_of_at_most_ten_thousand_bytes() {
    let monitor = Slack::start();
    let done = job(&monitor).start("1", &"é".repeat(20_000)).wait_with_output().expect("ends");
    assert!(done.status.success());
    let body = &monitor.requests()[1].body;
    assert!(body.len() <= 10_000 && body.contains("the disk is full"), "{} bytes", body.len());
}

#[test]
fn a_monitor_behind_tls_is_known_by_its_certificate() {
    // A mail server is no monitor, but it is a TLS server: what is said next tells how far the handshake came.
    let server = Smtp::start(&SmtpOptions { tls: "implicit", ..SmtpOptions::default() });
    let mut job =
        Job::new(&format!("[notify.ping]\nurl = \"https://localhost:{}/canary-ping\"", server.port()));
    let stranger = job.run("0");
    assert!(stranger.output.contains("certificate"), "{}", stranger.output);
    job.env("SSL_CERT_FILE", &server.ca_file().to_string_lossy());
    let known = job.run("0");
    assert!(known.output.contains("ping start: post to localhost"), "{}", known.output);
    assert!(!known.output.contains("certificate") && !known.output.contains("canary"), "{}", known.output);
}
