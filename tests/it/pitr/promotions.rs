//! Several timelines: moments before and after promotions, and an old primary that goes on pushing.

use super::lab::{Lab, row, rows};
use std::time::Duration;
use testkit::{Pg, majors, until};

/// A standby of `primary` that is promoted when it has everything; it archives as the primary did.
fn promote(primary: &Pg, command: &str) -> Pg {
    let standby = Pg::builder().set("archive_mode=on").standby_of(primary).start();
    standby.wait_for_replay(primary);
    assert_eq!(standby.psql("postgres", "select pg_promote()"), "t");
    standby.archive_by(command);
    standby
}

/// Its history names the timelines that it went through, and no later one: positions only grow.
fn came_from_where_it_stopped(pg: &Pg) {
    let own = pg.psql("postgres", "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)");
    let path = pg.data_dir().join(format!("pg_wal/{own}.history"));
    let history = std::fs::read_to_string(path).expect("its history");
    let positions =
        history.lines().filter_map(|l| l.split('\t').nth(1)).map(|p| p.parse().expect("a position"));
    let positions: Vec<toban_core::wal::Lsn> = positions.collect();
    assert!(positions.is_sorted(), "{history}");
}

#[test]
fn a_chain_of_three_and_late_pushes_of_the_old_primaries() {
    for major in majors() {
        eprintln!("PostgreSQL {major}");
        let lab = Lab::new(major);
        let command = lab.push_command();
        lab.back_up();
        let mut moments = vec![lab.row()];
        lab.pg.ship_wal();
        let mut servers: Vec<Pg> = Vec::new();
        for _ in 0..3 {
            let old = servers.last().unwrap_or(&lab.pg);
            moments.push(row(old));
            let new = promote(old, &command);
            // The old primary does not know: what it writes now is on a dead branch, and its pushes harm nobody.
            row(old);
            old.ship_wal();
            row(old);
            old.ship_wal();
            new.ship_wal();
            moments.push(row(&new));
            new.ship_wal();
            servers.push(new);
        }
        let newest = servers.last().expect("three");
        let last = row(newest);
        newest.ship_wal();
        let timeline = newest.psql("postgres", "select timeline_id from pg_control_checkpoint()");
        lab.run("wal-shipper", &["check", "--db", &newest.url()]).fine();

        let (target, records) = lab.restore("latest", &["--target", "latest"]);
        assert_eq!(records[0]["timeline"], 4, "{records:?}; the server is on {timeline}");
        assert_eq!(rows(&Pg::promoted(major, &target)), last.rows);
        let few = if major == 15 { moments.len() } else { 2 };
        for (number, moment) in moments.iter().enumerate().rev().take(few) {
            let (target, _) = lab.restore(&format!("at-{number}"), &["--target-time", &moment.time]);
            let restored = Pg::promoted(major, &target);
            assert_eq!(rows(&restored), moment.rows, "moment {number}");
            came_from_where_it_stopped(&restored);
            // What got segments ahead may be at its last one.
            until("make room", Duration::from_secs(30), || {
                std::fs::remove_dir_all(&target).map_err(|e| e.to_string())
            });
        }
        // The dead branch of the first server is there for who asks for it.
        let (target, _) = lab.restore("dead", &["--target", "latest", "--target-timeline", "1"]);
        assert_eq!(rows(&Pg::promoted(major, &target)), moments[1].rows + 2);
    }
}
