//! Moments that cannot be reached are refused before anything is written, and the nearest that can is named.

use super::lab::{Lab, rows};
use std::fs;
use testkit::Pg;

#[test]
fn with_the_nearest_that_can_be_reached() {
    let lab = Lab::new(15);
    let before = lab.row();
    let backup = lab.back_up();
    lab.row();
    lab.pg.ship_wal();
    let hint = |ran: testkit::Ran, words: &[&str]| {
        let said = ran.refused(1, words[0]);
        words.iter().for_each(|w| assert!(said.contains(w), "{w:?} is not in {said}"));
        assert!(!lab.path("t").exists(), "something was written");
    };
    let finished = backup["stop_lsn"].as_str().expect("a position");
    hint(
        lab.restoring("t", &["--target-time", &before.time]),
        &["before the end of the oldest backup", "nearest", finished],
    );
    hint(
        lab.restoring("t", &["--target-lsn", &before.lsn]),
        &["before the end of the oldest backup", "nearest"],
    );
    hint(lab.restoring("t", &["--target-lsn", "7F/0"]), &["later than the newest WAL", "nearest"]);
    hint(
        lab.restoring("t", &["--target-time", "2099-01-01T00:00:00Z"]),
        &["later than the newest WAL", "nearest"],
    );
    hint(lab.restoring("t", &["--target-name", "never"]), &["no restore point \"never\""]);
    hint(lab.restoring("t", &["--target-xid", "4000000000"]), &["no end of transaction 4000000000"]);
    hint(
        lab.restoring("t", &["--target", "latest", "--target-timeline", "9"]),
        &["no backup lies on the path to timeline 9"],
    );
    lab.restoring("t", &["--target-time", "2026-11-21 03:00:00"]).refused(2, "has no time zone");
    lab.restoring("t", &["--target-time", "2026-11-21 03:00:00", "--target", "latest"])
        .refused(2, "cannot be used with");
    fs::remove_file(lab.path("bin/wal-shipper")).expect("uninstall it");
    hint(
        lab.restoring("t", &["--target", "latest"]),
        &["there is no wal-shipper beside", "hint: install it"],
    );
}

#[test]
fn a_hole_ends_what_can_be_reached_and_everybody_says_so() {
    let lab = Lab::new(15);
    let first = lab.back_up();
    let wanted = lab.row();
    lab.pg.ship_wal();
    lab.row();
    let lost = lab.pg.ship_wal();
    let beyond = lab.row();
    lab.pg.ship_wal();
    fs::remove_file(lab.object(&lost)).expect("lose a segment");

    let words = format!("{lost} to {lost} are missing");
    for args in [["--target", "latest"], ["--target-lsn", &beyond.lsn], ["--target-time", &beyond.time]] {
        let said = lab.restoring("t", &args).refused(1, &words);
        assert!(said.contains("the nearest before it that can be reached"), "{said}");
    }
    let listed = lab.run("pg-backup", &["list", "--json"]).json();
    assert_eq!(listed[0]["missing"]["first"], lost, "{listed:?}");
    let checked = lab.run("pg-backup", &["check", "--json"]).findings();
    let gap = checked.iter().find(|f| f["check"] == "reach").expect("a finding");
    assert!(
        gap["severity"] == "critical" && gap["text"].as_str().is_some_and(|t| t.contains(&words)),
        "{gap}"
    );

    // Before the hole every moment is there: the segment behind the target is not asked for.
    let (target, _) = lab.restore("before", &["--target-lsn", &wanted.lsn]);
    assert_eq!(rows(&Pg::promoted(15, &target)), wanted.rows);

    // A backup behind the hole reaches the end again, and the hole's moments are told.
    lab.back_up();
    let last = lab.row();
    lab.pg.ship_wal();
    let (target, records) = lab.restore("behind", &["--target", "latest"]);
    assert_ne!(records[0]["id"], first["id"]);
    assert_eq!(rows(&Pg::promoted(15, &target)), last.rows);
    let said = lab.restoring("t", &["--target-lsn", &beyond.lsn]).refused(1, &words);
    assert!(said.contains("after it:"), "{said}");
    let checked = lab.run("pg-backup", &["check", "--json"]).findings();
    let gap = checked.iter().find(|f| f["check"] == "reach").expect("a finding");
    assert!(
        gap["severity"] == "ok" && gap["text"].as_str().is_some_and(|t| t.contains("begins after it")),
        "{gap}"
    );
}

#[test]
fn a_time_behind_the_last_commit_is_the_latest_and_said_so() {
    let lab = Lab::new(15);
    lab.back_up();
    let last = lab.row();
    let quiet = lab.pg.psql(
        "postgres",
        "select pg_sleep(0.2); select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    );
    let time = quiet.lines().last().expect("a time");
    lab.pg.psql("postgres", "select pg_sleep(0.2)");
    // WAL without a commit: what PostgreSQL itself would not find its target in.
    lab.pg.psql("postgres", "select pg_logical_emit_message(false, 'toban', 'a beat')");
    let name = lab.pg.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
    lab.pg.wait_until_archived(&name);
    let ran = lab.restoring("quiet", &["--target-time", time]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("recovery runs to the end of the WAL"), "{ran:?}");
    assert_eq!(rows(&Pg::promoted(15, &lab.path("quiet"))), last.rows);
}
