//! Every mistake that `doctor` knows, planted into the facts of a healthy set-up.

use super::facts::*;
use super::rulebook::{self, RULES};
use super::{Facts, judge_facts};
use crate::format::backup::Host;
use crate::units::Unit;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use toban_core::Severity;
use toban_core::config::{Keep, Span};
use toban_core::notify::Undelivered;
use toban_core::run_record::RunRecord;
use toban_core::store::RemovalRules;

const USER: u32 = 105;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn span(text: &str) -> Span {
    text.parse().expect("a span")
}

fn access(path: &str, owner: u32, mode: u32) -> Access {
    Access { path: path.into(), owner, group: owner, mode }
}

fn healthy_server() -> ServerFacts {
    let settings = [
        ("wal_level", "replica"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("summarize_wal", "on"),
        ("archive_mode", "on"),
        ("archive_command", "/usr/bin/wal-shipper push %p"),
        ("archive_timeout", "60"),
        ("max_wal_senders", "10"),
        ("max_replication_slots", "10"),
        ("max_slot_wal_keep_size", "10240"),
    ];
    let slot = SlotFacts { name: "toban".into(), active: true, lost: false, holds: 4096, age: 0 };
    let collation = Some(("153.120".to_string(), "153.120".to_string()));
    ServerFacts {
        major: 18,
        version: "18.6".into(),
        identifier: 7,
        role: "backup".into(),
        standby: false,
        settings: settings.map(|(name, value)| (name.to_string(), value.to_string())).into(),
        pending_restart: Vec::new(),
        monitor: true,
        missing_rights: Vec::new(),
        invalid_settings: Ok(Vec::new()),
        hba: Ok(HbaFacts { invalid: Vec::new(), replication: true }),
        slots: vec![slot],
        senders: 1,
        streamed: false,
        feedback_age: 40,
        databases: vec![DatabaseFacts { name: "app".into(), collation }],
        bytes: Ok(1 << 30),
        ahead: 0.01,
        here: Ok(Some(DataFacts { path: "/srv/data".into(), device: 1, archive_program: Some(true) })),
    }
}

fn healthy_units() -> Vec<Unit> {
    let unit = |job: &str, end: &str, on: bool| Unit {
        name: format!("{job}@main.{end}"),
        installed: true,
        enabled: on,
        active: on,
        confined: end == "service",
        writable: vec!["/var/lib/toban".into(), "/mnt/backups".into(), "/var/metrics".into()],
        mounts: vec!["/mnt/backups/toban".into()],
        calendars: vec!["*-*-* 04:00:00".into()],
        ..Unit::default()
    };
    let jobs =
        ["pg-backup-run", "pg-backup-prune", "pg-backup-verify", "pg-backup-check", "wal-shipper-check"];
    jobs.iter().flat_map(|job| [unit(job, "timer", true), unit(job, "service", false)]).collect()
}

fn healthy_run() -> RunRecord {
    serde_json::from_value(serde_json::json!({
        "schema": "toban.run/1", "tool": "pg-backup", "verb": "run", "instance": "main", "host": "db1", "version": "1",
        "started": "2026-11-30T01:00:00Z", "ended": "2026-11-30T01:05:00Z", "seconds": 300.0, "status": 0, "error": null,
        "notes": [], "gauges": [], "last_success": "2026-11-30T01:05:00Z",
    }))
    .expect("a record")
}

fn healthy() -> Facts {
    let system = SystemFacts {
        identifier: 7,
        backups: 3,
        oldest: at("2026-11-01T01:00:00Z"),
        newest: at("2026-11-30T01:00:00Z"),
        host: Host::default(),
        bytes: 1 << 30,
    };
    let repo = RepoFacts {
        name: "local".into(),
        keep: Keep { within: Some(span("30d")), ..Keep::default() },
        locks: false,
        folder: Some(FolderFacts {
            path: "/mnt/backups/toban".into(),
            access: Some(access("/mnt/backups/toban", USER, 0o700)),
            device: Some(2),
            mount: Some(("/mnt/backups".into(), true)),
        }),
        content: Ok(RepoContent { systems: vec![system], drilled: true, ..RepoContent::default() }),
        removal: Ok(RemovalRules::default()),
    };
    Facts {
        cluster: "main".into(),
        server: Ok(healthy_server()),
        pooled: false,
        machine: MachineFacts {
            user: JobUser { name: "postgres".into(), uid: USER, groups: vec![USER] },
            pg_dump: Ok(()),
            synchronised: Ok(true),
            changed_hours: BTreeSet::from([2]),
            configuration: Some(access("/etc/toban/toban.toml", 0, 0o644)),
            password: false,
            open_secrets: Vec::new(),
            identities: Vec::new(),
            state: Some(access("/var/lib/toban", USER, 0o700)),
            textfile: Some(Ok(access("/var/metrics", USER, 0o755))),
            work: Ok(("/var/lib/toban/drill/main".into(), 2 << 30)),
            databases: vec!["app".into()],
            runs: vec![healthy_run()],
            channels: vec![("mail".into(), None)],
            undelivered: Vec::new(),
        },
        units: Ok(healthy_units()),
        repos: vec![repo],
        window: Some(span("14d")),
    }
}

fn server(facts: &mut Facts) -> &mut ServerFacts {
    facts.server.as_mut().expect("healthy")
}

fn set(facts: &mut Facts, name: &str, value: &str) {
    server(facts).settings.insert(name.into(), value.into());
}

fn folder(facts: &mut Facts) -> &mut FolderFacts {
    facts.repos[0].folder.as_mut().expect("healthy")
}

fn content(facts: &mut Facts) -> &mut RepoContent {
    facts.repos[0].content.as_mut().expect("healthy")
}

fn unit<'f>(facts: &'f mut Facts, name: &str) -> &'f mut Unit {
    facts.units.as_mut().expect("healthy").iter_mut().find(|u| u.name == name).expect("it is there")
}

type Mistake = (&'static str, fn(&mut Facts));

const MISTAKES: &[Mistake] = &[
    ("wal-level", |f| set(f, "wal_level", "minimal")),
    ("fsync-off", |f| set(f, "fsync", "off")),
    ("full-page-writes-off", |f| set(f, "full_page_writes", "off")),
    ("checksums-off", |f| set(f, "data_checksums", "off")),
    ("summarize-wal", |f| set(f, "summarize_wal", "off")),
    ("minor-release", |f| server(f).version = "18.5".into()),
    ("restart-pending", |f| server(f).pending_restart.push("max_connections".into())),
    ("setting-invalid", |f| server(f).invalid_settings = Ok(vec!["postgresql.conf:7: bad".into()])),
    ("restore-command-left", |f| set(f, "restore_command", "cp /old/%f %p")),
    ("recovery-target-left", |f| set(f, "recovery_target_time", "2026-11-21 14:04")),
    ("archive-cleanup", |f| {
        server(f).standby = true;
        set(f, "archive_cleanup_command", "pg_archivecleanup /mnt/wal %r");
    }),
    ("archive-off", |f| set(f, "archive_mode", "off")),
    ("archive-command-empty", |f| set(f, "archive_command", "")),
    ("archive-command-status", |f| set(f, "archive_command", "wal-shipper push %p || true")),
    ("archive-command-path", |f| set(f, "archive_command", "wal-shipper push %f")),
    ("archive-command-unsafe", |f| {
        set(f, "archive_command", "test ! -f /mnt/%f && cp %p /mnt/%f");
        server(f).streamed = true;
    }),
    ("archive-command-program", |f| {
        let gone = DataFacts { path: "/srv/data".into(), device: 1, archive_program: Some(false) };
        server(f).here = Ok(Some(gone));
    }),
    ("archive-elsewhere", |f| set(f, "archive_command", "pgbackrest --stanza=main archive-push %p")),
    ("archive-elsewhere", |f| set(f, "archive_library", "basic_archive")),
    ("archive-timeout", |f| set(f, "archive_timeout", "0")),
    ("slot-unlimited", |f| set(f, "max_slot_wal_keep_size", "-1")),
    ("slot-lost", |f| server(f).slots[0].lost = true),
    ("slot-abandoned", |f| {
        let slot = &mut server(f).slots[0];
        (slot.active, slot.holds) = (false, 2 << 30);
    }),
    ("slots-used-up", |f| set(f, "max_replication_slots", "1")),
    ("senders-used-up", |f| server(f).senders = 10),
    ("feedback-bloat", |f| server(f).feedback_age = 20_000_000),
    ("feedback-bloat", |f| server(f).slots[0].age = 20_000_000),
    ("role-monitor", |f| server(f).monitor = false),
    ("role-rights", |f| server(f).missing_rights.push("alter role backup replication;".into())),
    ("hba-replication", |f| server(f).hba = Ok(HbaFacts::default())),
    ("hba-invalid", |f| {
        server(f).hba = Ok(HbaFacts { invalid: vec!["line 7: bad".into()], replication: true });
    }),
    ("pooler", |f| (f.pooled, f.server) = (true, Err("a pool".into()))),
    ("password-in-configuration", |f| f.machine.password = true),
    ("collation-version", |f| {
        server(f).databases[0].collation = Some(("153.120".into(), "153.121".into()));
    }),
    ("database-gone", |f| f.machine.databases.push("old".into())),
    ("pg-dump-old", |f| f.machine.pg_dump = Err("no pg_dump of PostgreSQL 18".into())),
    ("clock-unsynchronised", |f| f.machine.synchronised = Ok(false)),
    ("clock-apart", |f| server(f).ahead = -400.0),
    ("timer-zone", |f| unit(f, "pg-backup-run@main.timer").calendars = vec!["*-*-* 02:30:00".into()]),
    ("configuration-unreadable", |f| {
        f.machine.configuration = Some(access("/etc/toban/toban.toml", 0, 0o640));
    }),
    ("secret-open", |f| f.machine.open_secrets.push("/etc/toban/main.env".into())),
    ("identity-here", |f| f.machine.identities.push("/etc/toban/key.txt".into())),
    ("state-folder", |f| f.machine.state = Some(access("/var/lib/toban", 0, 0o755))),
    ("textfile-folder", |f| f.machine.textfile = Some(Err(PathBuf::from("/var/metrics")))),
    ("textfile-folder", |f| f.machine.textfile = Some(Ok(access("/var/metrics", 0, 0o755)))),
    ("restore-space", |f| f.machine.work = Ok(("/var/lib/toban".into(), 1 << 20))),
    ("locale-missing", |f| content(f).differences.push("databases have the locale de_DE".into())),
    ("repository-same-disk", |f| folder(f).device = Some(1)),
    ("repository-unmounted", |f| folder(f).mount = Some(("/mnt/backups".into(), false))),
    ("repository-empty", |f| *content(f) = RepoContent { drilled: true, ..RepoContent::default() }),
    ("repository-owner", |f| folder(f).access = Some(access("/mnt/backups/toban", 0, 0o755))),
    ("repository-in-data", |f| {
        let gone = DataFacts { path: "/mnt/backups".into(), device: 1, archive_program: None };
        server(f).here = Ok(Some(gone));
    }),
    ("lock-unused", |f| f.repos[0].removal = Ok(RemovalRules { lockable: true, ..RemovalRules::default() })),
    ("lifecycle-removes", |f| {
        f.repos[0].removal =
            Ok(RemovalRules { removing: vec!["old (after 30 days)".into()], lockable: false });
    }),
    ("two-clusters", |f| {
        let other = SystemFacts {
            identifier: 8,
            backups: 1,
            oldest: at("2026-11-29T01:00:00Z"),
            newest: at("2026-11-29T01:00:00Z"),
            host: Host::default(),
            bytes: 1,
        };
        content(f).systems.push(other);
    }),
    ("system-changed", |f| server(f).identifier = 9),
    ("keep-nothing", |f| f.repos[0].keep = Keep::default()),
    ("keep-short", |f| f.window = Some(span("60d"))),
    ("keep-short", |f| f.repos[0].keep.wal = Some(span("7d"))),
    ("timer-disabled", |f| unit(f, "pg-backup-verify@main.timer").enabled = false),
    ("timer-disabled", |f| unit(f, "pg-backup-run@main.timer").active = false),
    ("unit-failed", |f| unit(f, "pg-backup-prune@main.service").failed = true),
    ("unit-read-only", |f| unit(f, "pg-backup-run@main.service").writable.clear()),
    ("unit-mount", |f| unit(f, "pg-backup-run@main.service").mounts.clear()),
    ("run-failed", |f| {
        (f.machine.runs[0].status, f.machine.runs[0].error) = (1, Some("no space left".into()));
    }),
    ("drill-never", |f| content(f).drilled = false),
    ("notify-none", |f| f.machine.channels.clear()),
    ("notify-undelivered", |f| {
        let (job, channel) = ("pg-backup_run_main".into(), "mail".into());
        f.machine.undelivered.push(Undelivered { job, channel, waiting: 2 });
    }),
    ("notify-undelivered", |f| f.machine.channels = vec![("slack".into(), Some("no such file".into()))]),
];

fn bad(facts: &Facts) -> Vec<String> {
    let bad = judge_facts(facts).into_iter().filter(|f| f.severity != Severity::Ok);
    bad.map(|f| format!("{}: {} ({})", f.rule.id, f.text, f.advice)).collect()
}

#[test]
fn every_mistake_is_found_by_its_name_and_nothing_else_is() {
    assert_eq!(bad(&healthy()), [""; 0]);
    for (id, plant) in MISTAKES {
        let mut facts = healthy();
        plant(&mut facts);
        let found = bad(&facts);
        assert!(
            !found.is_empty() && found.iter().all(|f| f.starts_with(&format!("{id}: "))),
            "{id}: {found:?}"
        );
    }
    let planted: BTreeSet<&str> = MISTAKES.iter().map(|(id, _)| *id).collect();
    let rules: BTreeSet<&str> =
        RULES.iter().map(|r| r.id).filter(|id| *id != rulebook::EXAMINED.id).collect();
    assert_eq!(planted, rules, "each rule has its mistake");
    assert!(rules.len() >= 40, "{} rules", rules.len());
    let checked: BTreeMap<&str, &str> = crate::rulebook::RULES.iter().map(|r| (r.id, r.check)).collect();
    assert!(rules.iter().all(|id| !checked.contains_key(id)), "no id means two things");
}

/// Each cure that writes a file writes another one: typed one after the other, all of them hold.
#[test]
fn no_cure_takes_back_another() {
    let mut facts = healthy();
    let mut second = healthy().repos.remove(0);
    second.name = "other".into();
    let other = second.folder.as_mut().expect("healthy");
    (other.path, other.mount) = ("/srv/other".into(), Some(("/srv".into(), true)));
    facts.repos.push(second);
    for unit in facts.units.as_mut().expect("healthy") {
        unit.writable.clear();
        unit.mounts.clear();
    }
    let advices: BTreeSet<String> = judge_facts(&facts).into_iter().map(|f| f.advice).collect();
    let written = |advice: &String| Some(advice.split_once(" > ")?.1.split(' ').next()?.to_string());
    let files: Vec<String> = advices.iter().filter_map(written).collect();
    // Three units that write, two folders with a mount point and what metrics go into; two that check.
    assert_eq!(files.len(), 3 * (2 + 2 + 1) + 2 * (2 + 1), "{files:?}");
    assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), files.len(), "{files:?}");
}

#[test]
fn what_could_not_be_looked_at_is_unknown() {
    type Blinded = (&'static str, fn(&mut Facts));
    let blind: &[Blinded] = &[
        ("server", |f| f.server = Err("connection refused".into())),
        ("configuration files", |f| server(f).invalid_settings = Err("permission denied".into())),
        ("pg_hba.conf", |f| server(f).hba = Err("permission denied".into())),
        ("data directory", |f| server(f).here = Err("permission denied".into())),
        ("clock", |f| f.machine.synchronised = Err("timedatectl does not run".into())),
        ("systemd", |f| f.units = Err("no systemd".into())),
        ("room for a restore", |f| f.machine.work = Err("no such folder".into())),
        ("local", |f| f.repos[0].content = Err("unreachable".into())),
        ("lifecycle rules", |f| f.repos[0].removal = Err("forbidden".into())),
    ];
    for (object, blind) in blind {
        let mut facts = healthy();
        blind(&mut facts);
        let unknown = judge_facts(&facts).into_iter().filter(|f| f.severity == Severity::Unknown);
        let objects: Vec<String> = unknown.map(|f| f.object).collect();
        assert_eq!(objects, [*object]);
    }
}

#[test]
fn healthy_in_other_ways() {
    let ways: &[fn(&mut Facts)] = &[
        |f| {
            server(f).streamed = true;
            set(f, "archive_mode", "off");
        },
        |f| server(f).standby = true,
        |f| server(f).here = Ok(None),
        |f| f.repos[0].folder = None,
        |f| f.machine.textfile = None,
        |f| f.repos[0].locks = true,
        |f| {
            server(f).major = 15;
            server(f).settings.remove("summarize_wal");
        },
        |f| f.window = None,
        |f| unit(f, "pg-backup-run@main.timer").calendars = vec!["*-*-* 02:30:00 UTC".into()],
        |f| f.machine.runs[0].status = 3,
        |f| f.machine.user = JobUser { name: "root".into(), uid: 0, groups: Vec::new() },
    ];
    for (number, way) in ways.iter().enumerate() {
        let mut facts = healthy();
        way(&mut facts);
        assert_eq!(bad(&facts), [""; 0], "{number}");
    }
}
