//! Run records, metrics, systemd's status line.

use crate::job::{Job, files};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const METRICS: &str = "textfile_dir = \"%/metrics\"";

type Samples = BTreeMap<String, f64>;

/// A strict reader of the text format: panics at anything that node_exporter might not take.
fn parse(text: &str, families: &mut BTreeMap<String, (String, String)>) -> Samples {
    assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text}");
    let (mut samples, mut family, mut seen) =
        (Samples::new(), (String::new(), String::new()), BTreeSet::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help");
            family = (name.to_string(), help.to_string());
            assert!(seen.insert(name.to_string()), "{name} is not in one piece");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert!(name == family.0 && ["gauge", "counter"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            let known = families.entry(name.into()).or_insert((family.1.clone(), kind.into()));
            assert_eq!(*known, (family.1.clone(), kind.to_string()), "help and type are the same everywhere");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').expect("labels");
            assert_eq!(name, family.0, "{line}");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
            labels_of(labels.strip_suffix('}').expect("an end"));
            let value = value.parse().expect("a number");
            assert!(samples.insert(series.into(), value).is_none(), "twice: {series}");
        }
    }
    samples
}

/// `a="x",b="y"` with `\\`, `\"` and `\n` as the only escapes.
fn labels_of(text: &str) {
    let mut rest = text;
    loop {
        let (name, value) = rest.split_once("=\"").expect("a label");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{text}");
        let mut end = None;
        let mut chars = value.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = Some(at);
                    break;
                }
                '\\' => assert!(matches!(chars.next(), Some((_, '\\' | '"' | 'n'))), "{text}"),
                c => assert_ne!(c, '\n', "{text}"),
            }
        }
        rest = &value[end.expect("a closing quote") + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return assert_eq!(rest, "", "{text}"),
        }
    }
}

fn metrics(job: &Job) -> (Vec<String>, Samples) {
    let (mut all, mut names, mut families) = (Samples::new(), Vec::new(), BTreeMap::new());
    for (path, text) in files(&job.path("metrics")) {
        assert_eq!(path.metadata().expect("stat").permissions().mode() & 0o777, 0o644);
        for (series, value) in parse(&text, &mut families) {
            assert!(all.insert(series.clone(), value).is_none(), "two files have {series}");
        }
        names.push(path.file_name().expect("a name").to_string_lossy().into_owned());
    }
    names.sort();
    (names, all)
}

fn value(samples: &Samples, name: &str) -> f64 {
    let series = format!("toban_pg_backup_{name}{{name=\"main\",verb=\"dump\"}}");
    *samples.get(&series).unwrap_or_else(|| panic!("no {series} in {samples:#?}"))
}

#[test]
fn metrics_of_two_jobs_agree_and_never_share_a_series() {
    let mut job = Job::new(METRICS);
    assert_eq!(job.run("0").output.matches("warning").count(), 0);
    let first = value(&metrics(&job).1, "last_success_timestamp_seconds");
    job.run("75");
    job.env("JOB_INSTANCE", "../x \"y\"");
    job.run("0");
    let (names, samples) = metrics(&job);
    assert_eq!(names, ["toban_pg-backup_dump_..%2fx%20%22y%22.prom", "toban_pg-backup_dump_main.prom"]);
    assert_eq!(value(&samples, "last_run_exit_code"), 75.0);
    assert_eq!(value(&samples, "last_success_timestamp_seconds"), first, "kept from the run before");
    assert!(value(&samples, "last_run_timestamp_seconds") > first);
    assert!(value(&samples, "last_run_duration_seconds") < 10.0);
    let size = samples.keys().find(|k| k.starts_with("toban_pg_backup_dump_size_bytes")).expect("the gauge");
    assert!(size.contains("database=\"a\\\"b\\\\c\\nd\""), "{size}");
}

#[test]
fn the_last_success_outlives_the_state() {
    let job = Job::new(METRICS);
    job.run("0");
    let first = value(&metrics(&job).1, "last_success_timestamp_seconds");
    std::fs::remove_dir_all(job.path("state")).expect("removed");
    job.run("1");
    assert_eq!(value(&metrics(&job).1, "last_success_timestamp_seconds"), first);
}

#[test]
fn a_channel_that_cannot_be_told_is_counted() {
    let job = Job::new(&format!("{METRICS}\n[notify.slack]\nwebhook_file = \"%/absent\""));
    job.run("1");
    job.run("1");
    let samples = metrics(&job).1;
    let of = |name: &str| {
        samples.iter().find(|(k, _)| k.starts_with(&format!("toban_pg_backup_{name}{{channel=\"slack\"")))
    };
    assert_eq!(of("notify_failures_total").map(|(_, v)| *v), Some(2.0), "{samples:#?}");
    assert_eq!(of("notify_waiting").map(|(_, v)| *v), Some(1.0), "{samples:#?}");
}

#[test]
fn a_missing_folder_is_a_warning_and_no_failure() {
    let ran = Job::new("textfile_dir = \"%/absent\"").run("0");
    assert_eq!(ran.status, "0");
    assert!(ran.output.contains("warning: write") && ran.output.contains("absent"), "{}", ran.output);
}

fn records(job: &Job) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(job.path("state/runs/pg-backup_dump_main.jsonl")).expect("records");
    text.lines().map(|l| serde_json::from_str(l).expect("whole JSON")).collect()
}

#[test]
fn each_run_is_recorded_and_a_hundred_are_kept() {
    let job = Job::new("");
    job.run("0");
    job.run("5");
    let seen = records(&job);
    assert_eq!((seen.len(), &seen[0]["status"], &seen[1]["status"]), (2, &0.into(), &5.into()));
    assert_eq!(seen[1]["error"], "dump app: the disk is full");
    assert_eq!(seen[1]["last_success"], seen[0]["ended"]);
    assert_eq!(seen[1]["notes"][0], "a note");
    let path = job.path("state/runs/pg-backup_dump_main.jsonl");
    let text = std::fs::read_to_string(&path).expect("records");
    std::fs::write(&path, text.repeat(75) + "{\"half\": ").expect("many and one that is damaged");
    job.run("0");
    assert_eq!(records(&job).len(), 100);
}

#[test]
fn a_panic_is_told_like_a_failure_and_goes_on() {
    let job = Job::new("");
    assert_eq!(job.run("panic").status, "a panic");
    assert_eq!(records(&job)[0]["status"], 101);
}

#[test]
fn kill_9_leaves_whole_files() {
    let rounds: u64 = std::env::var("TOBAN_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(10);
    let job = Job::new(METRICS);
    let whole = job.run("0").took;
    for round in 0..rounds {
        let mut child = job.start("0", &"x".repeat(900));
        // Spread over the time a whole run takes; waiting is the test itself here.
        let at = whole.mul_f64(round as f64 / rounds as f64);
        let begin = std::time::Instant::now();
        testkit::until("the moment to kill", Duration::from_secs(30), || {
            (begin.elapsed() >= at).then_some(()).ok_or("too early".into())
        });
        let _ = child.kill();
        let _ = child.wait();
        assert!(!records(&job).is_empty());
        let visible = files(&job.path("metrics")).into_iter();
        for (path, text) in visible.filter(|(p, _)| p.extension().is_some_and(|e| e == "prom")) {
            assert!(parse(&text, &mut BTreeMap::new()).len() >= 5, "{}", path.display());
        }
    }
    job.run("0");
    assert_eq!(value(&metrics_of_prom(&job), "last_run_exit_code"), 0.0);
}

fn metrics_of_prom(job: &Job) -> Samples {
    let text = std::fs::read_to_string(job.path("metrics/toban_pg-backup_dump_main.prom")).expect("metrics");
    parse(&text, &mut BTreeMap::new())
}

/// What systemd would hear of a run with this variable set, and what the run printed.
fn heard(variable: &str, value: &str) -> (Vec<String>, String) {
    let mut job = Job::new("");
    let socket = std::os::unix::net::UnixDatagram::bind(job.path("socket")).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    job.env("NOTIFY_SOCKET", &job.path("socket").to_string_lossy());
    job.env(variable, value);
    let output = job.run("0").output;
    let mut buf = [0; 200];
    let datagrams = std::iter::from_fn(|| {
        let n = socket.recv(&mut buf).ok()?;
        Some(String::from_utf8_lossy(&buf[..n]).into_owned())
    });
    (datagrams.collect(), output)
}

#[test]
fn systemd_is_told_one_status_line() {
    assert_eq!(heard("JOB_SAYS", "dump app\nREADY=1").0, ["STATUS=dump app\\nREADY=1\n"]);
}

#[test]
fn progress_without_a_terminal_is_for_systemd_alone_and_no_flood() {
    let (datagrams, output) = heard("JOB_PROGRESS", "1");
    assert!(!output.contains("dump app"), "{output}");
    assert_eq!(datagrams.first().map(String::as_str), Some("STATUS=dump app\n"));
    assert_eq!(datagrams.last().map(String::as_str), Some("STATUS=\n"), "cleared at the end");
    assert!(datagrams.len() < 5, "{datagrams:#?}");
}

#[test]
fn progress_on_a_terminal_is_a_bar_that_goes_away() {
    let mut job = Job::new("");
    job.env("JOB_PROGRESS", "1");
    job.env("TERM", "xterm");
    let screen = job.on_terminal();
    let bar = screen.rfind("64.00 MiB").unwrap_or_else(|| panic!("no bar: {screen:?}"));
    assert!(screen.contains("dump app ["), "{screen:?}");
    assert!(screen[bar..].contains("\u{1b}[2K"), "the line was not cleared: {screen:?}");
}
