//! Slack's answers, one by one.

use crate::job::{Job, Ran};
use std::time::Duration;
use testkit::{Answer, Slack};

fn job(slack: &Slack, notify: &str) -> Job {
    let job = Job::new(&format!("[notify]\n{notify}\n[notify.slack]\nwebhook_file = \"%/webhook\""));
    job.file("webhook", &slack.url("/services/T0/B0/canary-webhook"));
    job
}

fn once(answers: Vec<Answer>, notify: &str) -> (Slack, Ran) {
    let slack = Slack::start();
    slack.script(answers);
    let ran = job(&slack, notify).run("75");
    assert_eq!(ran.status, "75", "{}", ran.output);
    (slack, ran)
}

#[test]
fn a_plain_ok_is_a_success() {
    let (slack, ran) = once(vec![], "");
    let requests = slack.requests();
    assert_eq!((requests.len(), requests[0].path.as_str()), (1, "/services/T0/B0/canary-webhook"));
    let json: serde_json::Value = serde_json::from_str(&requests[0].body).expect("JSON");
    let text = json["text"].as_str().expect("the fallback");
    assert!(text.starts_with("pg-backup dump main on ") && text.contains("disk is full"), "{text}");
    assert_eq!(json["blocks"][0]["type"], "header");
    assert!(!ran.output.contains("warning"), "{}", ran.output);
}

#[test]
fn an_error_text_with_200_is_no_success() {
    let (slack, ran) = once(vec![Answer::say(200, "no_text")], "");
    assert_eq!(slack.requests().len(), 1);
    assert!(ran.output.contains("127.0.0.1 answered 200 \"no_text\""), "{}", ran.output);
}

#[test]
fn what_is_refused_is_not_tried_again_in_the_same_run() {
    for (status, text) in [(400, "invalid_payload"), (403, "action_prohibited"), (410, "channel_is_archived")]
    {
        let (slack, ran) = once(vec![Answer::say(status, text)], "");
        assert_eq!(slack.requests().len(), 1, "{text}");
        assert!(ran.output.contains("refused") && ran.output.contains(text), "{}", ran.output);
    }
}

#[test]
fn too_many_requests_are_answered_by_waiting_as_told() {
    let wait = Answer::Say(429, "Retry-After: 1\r\n".into(), "rate_limited".into());
    let (slack, ran) = once(vec![wait], "");
    assert_eq!(slack.requests().len(), 2, "{}", ran.output);
    assert!(ran.took >= Duration::from_secs(1), "{:?}", ran.took);
}

#[test]
fn a_wait_beyond_the_budget_is_left_to_the_next_run() {
    for seconds in ["3600", "18446744073709551615"] {
        let wait = Answer::Say(429, format!("Retry-After: {seconds}\r\n"), "rate_limited".into());
        let (slack, ran) = once(vec![wait], "");
        assert_eq!(slack.requests().len(), 1);
        assert!(ran.output.contains("kept for the next run"), "{}", ran.output);
        assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
    }
}

#[test]
fn an_odd_retry_after_counts_as_none() {
    let date = Answer::Say(429, "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n".into(), String::new());
    assert_eq!(once(vec![date], "").0.requests().len(), 2);
}

#[test]
fn a_broken_server_is_tried_until_it_works() {
    let broken = || Answer::say(503, "upstream");
    let (slack, ran) = once(vec![broken(), broken()], "");
    assert_eq!(slack.requests().len(), 3);
    assert!(!ran.output.contains("warning"), "{}", ran.output);
}

#[test]
fn a_stall_ends_with_the_budget() {
    let (slack, ran) = once(vec![Answer::Stall], "budget = \"1s\"");
    assert_eq!(slack.requests().len(), 1);
    assert!(ran.took < Duration::from_secs(4), "{:?}", ran.took);
    assert!(ran.output.contains("kept for the next run"), "{}", ran.output);
}

#[test]
fn a_redirect_does_not_carry_the_secret_away() {
    let elsewhere = Slack::start();
    let location = format!("Location: {}\r\n", elsewhere.url("/stolen"));
    let (slack, ran) = once(vec![Answer::Say(307, location, String::new())], "");
    assert_eq!((slack.requests().len(), elsewhere.requests().len()), (1, 0), "{}", ran.output);
    assert!(ran.output.contains("answered 307"), "{}", ran.output);
}

#[test]
fn a_huge_answer_makes_a_short_warning() {
    let (_, ran) = once(vec![Answer::say(400, &"x".repeat(1 << 20))], "");
    assert!(ran.output.contains("refused") && ran.output.len() < 3000, "{}", ran.output.len());
}

#[test]
fn what_could_not_be_told_is_told_next_time_once_and_in_order() {
    let slack = Slack::start();
    let job = job(&slack, "budget = \"300ms\"");
    let down = || Answer::say(500, "down");
    slack.script([down(), down(), down()]);
    assert!(job.run("1").output.contains("kept for the next run"));
    assert!(job.run("5").output.contains("kept for the next run"));
    assert!(job.run("0").output.contains("kept for the next run"));
    let failed = slack.requests().len();
    job.run("0");
    job.run("0");
    let told: Vec<String> = slack.requests()[failed..].iter().map(|r| r.body.clone()).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    for (body, wanted) in told.iter().zip(["main on ", "fails in another way", "works again"]) {
        assert!(body.contains(wanted), "{wanted}: {body}");
    }
}

#[test]
fn a_job_that_is_killed_while_it_tells_forgets_nothing() {
    let slack = Slack::start();
    slack.script([Answer::Stall]);
    let job = job(&slack, "");
    let mut child = job.start("1", "a note");
    testkit::until("Slack is told", Duration::from_secs(20), || {
        (slack.requests().len() == 1).then_some(()).ok_or("no request yet".into())
    });
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    job.run("0");
    let told: Vec<String> = slack.requests()[1..].iter().map(|r| r.body.clone()).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("failed: ") && told[1].contains("works again"), "{told:#?}");
}

#[test]
fn one_channel_that_fails_does_not_make_the_other_repeat() {
    let slack = Slack::start();
    let config = "[notify]\nbudget = \"1s\"\n[notify.slack]\nwebhook_file = \"%/webhook\"\n\
                  [notify.mail]\nto = [\"dba@example.org\"]\nsendmail = \"%/absent\"";
    let job = Job::new(config);
    job.file("webhook", &slack.url("/canary-webhook"));
    for _ in 0..2 {
        let ran = job.run("1");
        assert!(ran.output.contains("hand the mail to sendmail"), "{}", ran.output);
    }
    assert_eq!(slack.requests().len(), 1);
}

#[test]
fn a_state_that_is_corrupt_or_cannot_be_written_does_not_silence() {
    let slack = Slack::start();
    let job = job(&slack, "");
    job.run("1");
    let state = job.path("state/notify/pg-backup_dump_main.json");
    std::fs::write(&state, b"{\"channels\": \xff").expect("corrupt");
    let ran = job.run("1");
    assert!(ran.output.contains("what was notified before is lost"), "{}", ran.output);
    assert_eq!(slack.requests().len(), 2);
    std::fs::remove_dir_all(job.path("state")).expect("removed");
    std::fs::write(job.path("state"), "a file in the way").expect("written");
    let ran = job.run("1");
    assert!(
        ran.output.contains("what was notified before is not known") && ran.status == "1",
        "{}",
        ran.output
    );
    assert_eq!(slack.requests().len(), 3);
}

#[test]
fn a_webhook_that_is_missing_is_said_at_once_and_its_news_is_kept() {
    let slack = Slack::start();
    let job = Job::new("[notify.slack]\nwebhook_file = \"%/webhook\"");
    let ran = job.run("1");
    assert!(ran.output.contains("notifications by slack cannot be sent"), "{}", ran.output);
    job.file("webhook", &slack.url("/canary-webhook"));
    job.run("1");
    assert_eq!(slack.requests().len(), 1);
}
