//! Mail, Slack, pings, metrics around a job; and no secret in anything that anybody can see.

use crate::world::{World, ended};
use std::fs;
use std::path::Path;
use testkit::{Answer, LOGIN, Slack, Smtp, SmtpOptions};

/// A configuration with every channel; `on` says when they are used.
fn told(world: &mut World, smtp: &Smtp, slack: &Slack, on: &str) {
    let path = world.path("toban.toml");
    let toml = format!(
        "textfile_dir = \"{dir}/metrics\"\n[notify]\non = \"{on}\"\n[notify.mail]\nto = [\"dba@example.org\"]\nfrom = \"b@example.org\"\n\
         smtp_host = \"localhost\"\nsmtp_port = {port}\nsmtp_user = \"{user}\"\nca_file = \"{ca}\"\n",
        dir = world.dir.path().display(),
        port = smtp.port(),
        user = LOGIN.0,
        ca = smtp.ca_file().display(),
    );
    fs::create_dir_all(world.path("metrics")).expect("mkdir");
    fs::write(&path, toml).expect("write");
    world.set("TOBAN_CONFIG", &path.display().to_string());
    world.set("SMTP_PASS", LOGIN.1);
    world.set("SLACK_WEBHOOK", &slack.url("/services/canary-hook"));
    world.set("TOBAN_PING_URL", &slack.url("/ping/canary-ping"));
}

#[test]
fn a_failure_is_told_once_and_its_end_too() {
    let (smtp, slack) = (Smtp::start(&SmtpOptions { auth: true, ..SmtpOptions::default() }), Slack::start());
    let mut world = World::new();
    world.app();
    told(&mut world, &smtp, &slack, "change");
    world.run(&["dump", "app"]).fine();
    assert_eq!(smtp.mails().len(), 0);
    for _ in 0..2 {
        world.run(&["dump", "nope"]).refused(2, "no database");
    }
    let mails = smtp.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert!(mails[0].contains("no database \"nope\""), "{}", mails[0]);
    world.run(&["dump", "app"]).fine();
    assert_eq!(smtp.mails().len(), 2);
    let to = |path: &str| slack.requests().iter().filter(|r| r.path.starts_with(path)).count();
    // Start and end of four runs; Slack heard of the failure and of its end.
    assert_eq!((to("/ping/"), to("/services/")), (8, 2));
    let metrics = fs::read_to_string(world.path("metrics/toban_pg-backup_dump_main.prom"));
    let metrics = metrics.unwrap_or_else(|_| {
        let names: Vec<_> =
            fs::read_dir(world.path("metrics")).expect("list").flatten().map(|e| e.file_name()).collect();
        panic!("no metrics, but {names:?}")
    });
    assert!(metrics.contains("dump_stored_bytes{"), "{metrics}");
}

#[test]
fn trouble_with_telling_never_changes_the_status() {
    let (smtp, slack) = (Smtp::start(&SmtpOptions { auth: true, ..SmtpOptions::default() }), Slack::start());
    let mut world = World::new();
    world.app();
    told(&mut world, &smtp, &slack, "always");
    world.set("SMTP_PASS", "wrong");
    slack.script((0..40).map(|_| Answer::say(404, "no_service")));
    let ran = world.run(&["dump", "app"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("warning"), "{ran:?}");
    world.run(&["dump", "nope"]).refused(2, "no database");
}

#[test]
fn no_secret_is_seen_anywhere() {
    let (smtp, slack) = (Smtp::start(&SmtpOptions { auth: true, ..SmtpOptions::default() }), Slack::start());
    let pg = testkit::Pg::builder().tcp().hba("host all all 127.0.0.1/32 scram-sha-256").start();
    let mut world = World::with(pg);
    world.app();
    world.pg.psql("app", "insert into users select n, md5(n::text) from generate_series(2000, 60000) n");
    world.pg.psql("postgres", "create role boss superuser login password 'canary-pg'");
    told(&mut world, &smtp, &slack, "always");
    world.set("DATABASE_URL", &format!("postgresql://boss:canary-pg@127.0.0.1:{}/app", world.pg.port()));
    slack.script((0..3).map(|_| Answer::say(500, "canary")));
    let mut seen = String::new();
    for args in [
        &["dump", "app", "-vvv"][..],
        &["verify", "--deep", "-vvv", "--newest"],
        &["restore-dump", "latest", "--replace", "app", "-vvv", "--json"],
        &["dump", "nope", "-vvv"],
        &["list", "--repo", "s3://nowhere/canary", "--s3-endpoint", "http://127.0.0.1:1", "-vvv"],
    ] {
        world.set("TOBAN_RETRY_FOR", "1s");
        world.set("AWS_ACCESS_KEY_ID", "AKX");
        world.set("AWS_SECRET_ACCESS_KEY", "canary-aws");
        world.set("AWS_REGION", "us-east-1");
        let mut child = world.command(args);
        let (out, err) = (world.path("out"), world.path("err"));
        let file = |path: &Path| fs::File::create(path).expect("create");
        let mut child = child.stdout(file(&out)).stderr(file(&err)).spawn().expect("start");
        // Every process's words, as often as we can look.
        while child.try_wait().expect("ask").is_none() {
            seen.push_str(&argv());
        }
        ended(child);
        for path in [out, err] {
            seen.push_str(&fs::read_to_string(path).expect("read").replace("s3://nowhere/canary", ""));
        }
    }
    assert!(seen.contains("pg_dump"), "no child was seen");
    for dir in ["state", "metrics"] {
        read_all(&world.path(dir), &mut seen);
    }
    seen = seen.replace("s3://nowhere/canary", "");
    let at = ["canary", LOGIN.1].iter().find_map(|c| seen.find(c));
    assert!(at.is_none(), "{:?}", at.map(|at| &seen[at.saturating_sub(200)..(at + 50).min(seen.len())]));
}

/// The command lines of the tool and of its children.
fn argv() -> String {
    let pids =
        fs::read_dir("/proc").expect("proc").flatten().filter_map(|e| e.file_name().into_string().ok());
    let line = |pid: String| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\0', " ");
    let ours = |l: &String| ["pg-backup", "pg_dump", "pg_restore", "psql"].iter().any(|n| l.contains(n));
    pids.map(line).map(text).filter(ours).collect::<Vec<_>>().join("\n")
}

fn read_all(dir: &Path, into: &mut String) {
    for entry in fs::read_dir(dir).expect("list").flatten() {
        if entry.path().is_dir() {
            read_all(&entry.path(), into);
        } else {
            into.push_str(&String::from_utf8_lossy(&fs::read(entry.path()).expect("read")));
        }
    }
}

/// Memory does not grow with the database.
#[test]
fn a_large_dump_takes_little_memory() {
    let world = World::new();
    world.app();
    world.pg.psql(
        "app",
        "create unlogged table big as select n, repeat(md5(n::text), 8) t from generate_series(1, 600000) n",
    );
    let mut child =
        world.command(&["dump", "app", "--format", "sql", "--level", "1"]).spawn().expect("start");
    let mut most = 0;
    while child.try_wait().expect("ask").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib: u64 =
            line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0);
        most = most.max(kib);
        std::thread::yield_now();
    }
    ended(child).fine();
    eprintln!("peak {most} KiB");
    assert!(most > 0 && most < 128 * 1024, "{most} KiB");
}
