//! Moments in a segment that is not whole yet, of which a stream has stored the beginning.

use super::lab::{Lab, rows};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::pg::as_owner;
use testkit::{Pg, until};

pub(super) struct Stream(Child);

impl Stream {
    pub(super) fn start(lab: &Lab) -> Stream {
        Stream(Stream::command(lab).stderr(Stdio::null()).spawn().expect("start wal-shipper"))
    }

    /// The stream as a command.
    pub(super) fn command(lab: &Lab) -> Command {
        let mut command = as_owner(&lab.path("bin/wal-shipper"));
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(lab.env.iter().cloned());
        command.args(["stream", "--interval", "100ms", "--repo", &lab.repo, "--db", &lab.pg.url()]);
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Until a stream has stored the WAL up to `lsn`.
pub(super) fn wait_for_tails(lab: &Lab, lsn: &str) {
    until("the tails have it", Duration::from_secs(60), || {
        // The server writes the last of it some time after it was inserted.
        let sql = format!(
            "select coalesce(bool_or(restart_lsn >= '{lsn}'), false), string_agg(restart_lsn::text, ' ') from pg_replication_slots"
        );
        let said = lab.pg.psql("postgres", &sql);
        if said.starts_with("t|") { Ok(()) } else { Err(said) }
    });
}

#[test]
fn a_moment_in_the_segment_that_is_written_now() {
    let lab = Lab::new(15);
    lab.back_up();
    lab.row();
    lab.pg.ship_wal();
    let _stream = Stream::start(&lab);
    let before = lab.row();
    let wanted = lab.row();
    let last = lab.row();
    wait_for_tails(&lab, &last.lsn);
    let cases = [
        ("lsn", vec!["--target-lsn", &wanted.lsn], wanted.rows),
        ("time", vec!["--target-time", &wanted.time], wanted.rows),
        ("name", vec!["--target-name", &before.name], before.rows),
        ("latest", vec!["--target", "latest"], last.rows),
    ];
    for (name, args, expected) in cases {
        let (target, records) = lab.restore(name, &args);
        let to: &str = records[0]["to_lsn"].as_str().expect("a position");
        let reached = format!("select '{to}'::pg_lsn >= '{}'::pg_lsn", last.lsn);
        assert_eq!(lab.pg.psql("postgres", &reached), "t", "{name}: {records:?}");
        assert_eq!(rows(&Pg::promoted(15, &target)), expected, "{name}");
    }
    // What is behind the tails is refused, with how far they reach.
    let refused = lab.restoring("beyond", &["--target-lsn", "FF/0"]);
    assert!(
        refused.status == Some(1) && refused.stderr.contains("is later than the newest WAL"),
        "{refused:?}"
    );
}
