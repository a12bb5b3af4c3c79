//! `status` on a real server: from nothing to what is proven, and what is not known is told so.

use crate::lab::{back_up, lab};
use crate::world::World;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use testkit::S3;

/// Its one record, and the findings by their ids.
fn status(world: &World, more: &[&str]) -> (Value, Vec<Value>) {
    let args: Vec<&str> = ["status", "--json"].iter().chain(more).copied().collect();
    let ran = world.run(&args);
    assert!(matches!(ran.status, Some(0 | 4)), "{ran:?}");
    let mut records = ran.records();
    (records.remove(0), records)
}

#[track_caller]
fn severity<'f>(findings: &'f [Value], id: &str, object: &str) -> &'f str {
    let found =
        findings.iter().find(|f| f["id"] == id && f["object"].as_str().is_some_and(|o| o.contains(object)));
    found
        .and_then(|f| f["severity"].as_str())
        .unwrap_or_else(|| panic!("no {id} of {object:?} in {findings:?}"))
}

fn later(world: &World, hours: u32) -> String {
    let sql = format!(
        "set timezone to 'UTC'; select to_char(now() + interval '{hours} hours', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    );
    world.pg.psql("postgres", &sql)
}

#[test]
fn tells_what_is_proven_and_what_is_not() {
    let mut world = lab(15);
    let toml = world.path("toban.toml");
    fs::write(&toml, "[objectives]\nrpo = '1h'\nrto = '15s'\nwindow = '1h'\n").expect("write");
    world.set("TOBAN_CONFIG", &toml.display().to_string());
    let (nothing, findings) = status(&world, &[]);
    assert_eq!((&nothing["restorable_to"], &nothing["verdict"]), (&Value::Null, &json!("critical")));
    assert_eq!(severity(&findings, "recovery-point-now", "main"), "critical");
    let backup = back_up(&world, &[]);
    let (told, findings) = status(&world, &[]);
    assert_eq!(told["backups"], 1);
    assert!(told["restorable_lsn"].is_string() && told["covered_since"].is_string(), "{told}");
    assert_eq!(told["recovery_seconds"], Value::Null, "no drill has measured it");
    for (id, object, wanted) in [
        ("recovery-point-now", "main", "ok"),
        ("recovery-time-now", "main", "unknown"),
        ("window-now", "main", "warning"),
        ("last-proof", "verify", "warning"),
        ("last-proof", "drill", "warning"),
        ("copies-now", "main", "ok"),
        ("next-run", "main", "unknown"),
        ("objectives", "main", "unknown"),
    ] {
        assert_eq!(severity(&findings, id, object), wanted, "{id} {object}: {findings:?}");
    }
    world.run(&["verify"]).fine();
    let bytes = backup["bytes"].as_u64().expect("a number");
    let system = world.pg.system_identifier();
    let proof = json!({ "format": 1, "passed": true, "bytes": bytes / 2, "recovery_seconds": 10.0 });
    let stamp = later(&world, 0).replace(['-', ':'], "");
    let path = world.path(&format!("repo/main/{system}/proof/drill.{stamp}-passed.json"));
    fs::write(&path, proof.to_string()).expect("write");
    fs::create_dir(world.path("bin")).expect("make it");
    let timer = |job: &str| {
        format!(
            "Id={job}@main.timer\nLoadState=loaded\nUnitFileState=enabled\nActiveState=active\nNextElapseUSecRealtime=Tue 2026-12-01 01:00:00 UTC\n"
        )
    };
    let blank = "Id=x@main.service\nLoadState=not-found\n".to_string();
    let units: Vec<String> = std::iter::once(timer("pg-backup-run")).chain(vec![blank; 16]).collect();
    fs::write(world.path("bin/units"), units.join("\n")).expect("write");
    let script = world.path("bin/systemctl");
    fs::write(&script, format!("#!/bin/sh\ncat {}\n", world.path("bin/units").display())).expect("write");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
    world.set("PATH", &format!("{}:/usr/bin:/bin", world.path("bin").display()));
    let (told, findings) = status(&world, &["--at", &later(&world, 2)]);
    assert!(
        matches!(told["recovery_seconds"].as_u64(), Some(20 | 21)),
        "twice the size, twice the time: {told}"
    );
    for (id, object, wanted) in [
        ("recovery-point-now", "main", "critical"),
        ("recovery-time-now", "main", "critical"),
        ("window-now", "main", "ok"),
        ("last-proof", "verify", "ok"),
        ("last-proof", "drill", "ok"),
        ("next-run", "main", "ok"),
        ("objectives", "main", "critical"),
    ] {
        assert_eq!(severity(&findings, id, object), wanted, "{id} {object}: {findings:?}");
    }
    let line = world.run(&["status", "--monitoring"]);
    assert_eq!(line.stdout.lines().count(), 1, "{line:?}");
    assert!(
        line.status == Some(2) && line.stdout.contains("'recovery'=2") && line.stdout.contains(";;15"),
        "{line:?}"
    );
    world.pg.stop();
    let (told, _) = status(&world, &[]);
    assert!(told["restorable_to"].is_string(), "the repository tells without the server: {told}");
}

#[test]
fn tells_of_dumps_and_of_a_repository_that_is_away() {
    let mut world = lab(15);
    world.app();
    world.dump("app", &[]);
    let toml = world.path("toban.toml");
    let (near, far) = (world.path("repo"), world.path("nowhere/repo"));
    let text = format!(
        "[repo.near]\nurl = 'file://{}'\n[repo.far]\nurl = 'file://{}'\n",
        near.display(),
        far.display()
    );
    fs::write(&toml, text).expect("write");
    world.set("TOBAN_CONFIG", &toml.display().to_string());
    let (told, findings) = status(&world, &["--repo", "near,far"]);
    assert!(told["restorable_to"].is_string() && told["restorable_lsn"].is_null(), "{told}");
    let away = findings.iter().find(|f| f["id"] == "source").expect("it is told");
    assert_eq!((&away["source"], &away["severity"]), (&json!("far"), &json!("unknown")));
    let s3 = S3::shared();
    let world = lab(15).in_repo(&s3.locked_url("status-locks"), s3.env());
    let mut locked = world;
    let toml = locked.path("toban.toml");
    fs::write(&toml, "[repo.far]\nurl = 's3://status-locks'\nlock = '1h'\n").expect("write");
    locked.set("TOBAN_CONFIG", &toml.display().to_string());
    locked.run(&["run", "--repo", "far"]).fine();
    let (_, findings) = status(&locked, &["--repo", "far"]);
    let copies = findings.iter().find(|f| f["id"] == "copies-now").expect("it is told");
    assert!(copies["text"].as_str().is_some_and(|t| t.contains("locked until")), "{copies}");
}
