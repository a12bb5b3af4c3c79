//! Restore to a moment: the tools together, PostgreSQL of every major, and psql as the judge.

mod disasters;
mod encrypted;
mod failovers;
mod lab;
mod locked;
mod odd_tables;
mod pair;
mod patroni;
mod promotions;
mod records;
mod refused;
mod rescue;
mod runbook;
mod tablespaces;
mod tails;
mod timelines;

use lab::{Lab, rows, verified};
use std::fs;
use testkit::{Pg, S3, majors};

#[test]
fn every_kind_of_moment_from_the_backup_before_it() {
    for major in majors() {
        eprintln!("PostgreSQL {major}");
        let lab = Lab::new(major);
        lab.row();
        let first = lab.back_up();
        let early = lab.row();
        lab.pg.ship_wal();
        lab.row();
        let second = lab.back_up();
        lab.row();
        let late = lab.row();
        lab.row();
        lab.pg.ship_wal();
        let last = lab.row();
        lab.pg.ship_wal();
        let xid = |m: &lab::Moment| m.xid.clone();
        let cases: [(&str, Vec<String>, i32, &serde_json::Value); 8] = [
            ("time-early", vec!["--target-time".into(), early.time.clone()], early.rows, &first),
            ("lsn-early", vec!["--target-lsn".into(), early.lsn.clone()], early.rows, &first),
            ("time", vec!["--target-time".into(), late.time.clone()], late.rows, &second),
            ("lsn", vec!["--target-lsn".into(), late.lsn.clone()], late.rows, &second),
            ("name", vec!["--target-name".into(), late.name.clone()], late.rows, &second),
            ("xid", vec!["--target-xid".into(), xid(&late)], late.rows, &second),
            (
                "before-xid",
                vec!["--target-xid".into(), xid(&late), "--target-exclusive".into()],
                late.rows - 1,
                &second,
            ),
            ("latest", vec!["--target".into(), "latest".into()], last.rows, &second),
        ];
        for (name, args, expected, from) in cases {
            // The other majors differ in what they read, not in what we choose.
            if major != 15 && !["time-early", "lsn", "latest"].contains(&name) {
                continue;
            }
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let (target, records) = lab.restore(name, &args);
            assert_eq!(records[0]["id"], from["id"], "{name}: the wrong backup: {records:?}");
            verified(&lab.pg, &target);
            let auto = fs::read_to_string(target.join("postgresql.auto.conf")).expect("read");
            let off = auto.contains("recovery_prefetch = 'off'");
            assert_eq!(off, major >= 15 && name != "latest", "{name}: {auto}");
            let pg = Pg::promoted(major, &target);
            assert_eq!(rows(&pg), expected, "{name}: {}", pg.log());
            drop(pg);
            fs::remove_dir_all(target).expect("make room");
        }
    }
}

/// Settings that name files of the data directory by their full path, as Patroni writes them, and the old machine is gone.
#[test]
fn a_server_whose_settings_name_its_own_folder_starts_elsewhere() {
    let mut lab = Lab::new(15);
    let own = |name: &str| lab.pg.data_dir().join(name).display().to_string();
    for (setting, name) in [("hba_file", "pg_hba.conf"), ("ident_file", "pg_ident.conf")] {
        lab.pg.set_parameter(setting, &own(name));
    }
    lab.pg.restart();
    lab.back_up();
    let last = lab.row();
    lab.pg.ship_wal();
    let (target, _) = lab.restore("elsewhere", &["--target", "latest"]);
    lab.pg.kill();
    let away = lab.pg.data_dir().with_file_name("away");
    fs::rename(lab.pg.data_dir(), &away).expect("the old one is gone");
    let pg = Pg::promoted(15, &target);
    assert_eq!(rows(&pg), last.rows);
    assert_eq!(pg.psql("postgres", "show hba_file"), target.join("pg_hba.conf").display().to_string());
    // An empty name is one, which no file has.
    assert!(!pg.log().contains("external PID file"), "{}", pg.log());
    fs::rename(away, lab.pg.data_dir()).expect("for its end");
}

#[test]
fn a_server_pauses_at_the_moment_and_goes_on_when_told() {
    let lab = Lab::new(15);
    lab.back_up();
    let wanted = lab.row();
    lab.row();
    lab.pg.ship_wal();
    let (target, _) = lab.restore("paused", &["--target-lsn", &wanted.lsn, "--target-action", "pause"]);
    let pg = Pg::builder_major(15).serve(&target).start();
    testkit::until("it pauses", std::time::Duration::from_secs(60), || {
        match pg.psql("postgres", "select pg_get_wal_replay_pause_state()").as_str() {
            "paused" => Ok(()),
            other => Err(format!("{other}: {}", pg.log())),
        }
    });
    assert_eq!(rows(&pg), wanted.rows);
    pg.psql("postgres", "select pg_wal_replay_resume()");
    pg.wait_for_promotion();
    assert_eq!(rows(&pg), wanted.rows);
}

/// What recovery leaves locked where it pauses, and what a restore without a moment leaves out, is said.
#[test]
fn what_one_would_not_expect_is_said() {
    let lab = Lab::new(15);
    lab.pg.psql("postgres", "create table dropped as select 1 n");
    let plain = |name: &str, args: &[&str]| {
        let ran = lab.restoring(name, &[args, &["--dry-run"]].concat());
        assert_eq!(ran.status, Some(0), "{ran:?}");
        ran.stderr
    };
    lab.back_up();
    assert!(!plain("t", &[]).contains("left out"), "there is nothing behind it");
    lab.row();
    let sql = "begin; drop table dropped; select pg_current_wal_insert_lsn(); commit";
    let inside = lab.pg.psql("postgres", sql);
    lab.row();
    lab.pg.ship_wal();
    let said = plain("t", &[]);
    assert!(said.contains("left out") && said.contains("--target latest"), "{said}");
    assert!(!plain("t", &["--target", "immediate"]).contains("left out"));

    let pause = ["--target-lsn", &inside, "--target-exclusive", "--target-action", "pause"];
    let said = plain("t", &pause);
    let before =
        said.split("--target-lsn ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a position");
    assert!(said.contains("waits until recovery goes on"), "{said}");
    assert!(!plain("t", &pause[..3]).contains("waits until"), "it is promoted: the transaction is over");
    let args = ["--target-lsn", before, "--target-exclusive", "--target-action", "pause"];
    let ran = lab.restoring("paused", &args);
    assert!(ran.status == Some(0) && !ran.stderr.contains("waits until"), "{ran:?}");
    let pg = Pg::builder_major(15).serve(&lab.path("paused")).start();
    testkit::until("it pauses", std::time::Duration::from_secs(60), || {
        match pg.psql("postgres", "select pg_get_wal_replay_pause_state()").as_str() {
            "paused" => Ok(()),
            other => Err(format!("{other}: {}", pg.log())),
        }
    });
    assert_eq!(pg.psql("postgres", "set statement_timeout = '5s'; select n from dropped"), "1");
}

#[test]
fn from_a_bucket_and_from_whichever_repository_has_it() {
    let s3 = S3::start();
    let lab = Lab::bare(15);
    let near = format!("file://{}", lab.folder("repo").display());
    let far = s3.url("pitr");
    let lab = lab.in_repos(&format!("{near},{far}"), s3.env());
    lab.back_up();
    lab.row();
    let one = lab.pg.ship_wal();
    lab.row();
    let two = lab.pg.ship_wal();
    let last = lab.row();
    lab.pg.ship_wal();
    // Each repository lacks something that the other has.
    fs::remove_file(lab.object(&one)).expect("lose a segment");
    let system = lab.pg.system_identifier();
    let object = format!("/pitr/main/{system}/wal/{}/{}/{two}", &two[..8], &two[8..16]);
    assert_eq!(s3.http("DELETE", &object, &[]).0, 204);
    let ran = lab.restoring("both", &["--target", "latest"]);
    // The credentials are in the environment alone, and that is told.
    assert!(ran.status == Some(0) && ran.stderr.contains("the server must be started with them"), "{ran:?}");
    let mut auto = fs::read_to_string(lab.path("both/postgresql.auto.conf")).expect("read");
    // The server's own archive_command came with the backup.
    let ours = auto.lines().find(|l| l.starts_with("restore_command")).expect("our setting");
    assert!(!ours.contains("the-secret-of-the-tests"), "a secret is in the settings: {ours}");
    let env: String = s3.env().iter().map(|(n, v)| format!("{n}={v} ")).collect();
    auto = auto.replace("restore_command = '/", &format!("restore_command = '{env}/"));
    fs::write(lab.path("both/postgresql.auto.conf"), auto).expect("write");
    let pg = Pg::promoted(15, &lab.path("both"));
    assert_eq!(rows(&pg), last.rows);

    // One of them does not answer: what the latest moment is, nobody knows.
    drop(s3);
    lab.restoring("gone", &["--target", "latest"]).refused(75, "what is the latest is not known");
}
