//! Promotions: the stream goes on at the new primary, and no timeline's WAL has a hole.

use crate::streaming::{Place, restored};
use std::process::Command;
use std::time::Duration;
use testkit::pg::clean;
use testkit::{Pg, Ran, majors, until};

fn standby(of: &Pg) -> Pg {
    Pg::builder().standby_of(of).set("max_slot_wal_keep_size=1GB").start()
}

/// One connection string for all of them.
fn conninfo(all: &[&Pg]) -> String {
    let join = |part: &dyn Fn(&Pg) -> String| all.iter().map(|p| part(p)).collect::<Vec<_>>().join(",");
    let (hosts, ports) = (join(&|p| p.socket_dir().display().to_string()), join(&|p| p.port().to_string()));
    format!("host={hosts} port={ports} user=postgres dbname=postgres")
}

fn follows(standby: &Pg, primary: &Pg) {
    let source = format!("{} application_name=standby", primary.conninfo("postgres"));
    standby.set_parameter("primary_conninfo", &source);
}

fn insert(pg: &Pg, n: u32) {
    pg.psql(
        "postgres",
        &format!("create table if not exists ledger (n int); insert into ledger values ({n})"),
    );
}

/// Reads the WAL of one timeline with PostgreSQL's own program, from the first segment that is stored to `end`.
fn read_whole(pg: &Pg, place: &Place, timeline: u32, end: &str) {
    let folder = place.path(&format!("timeline-{timeline}"));
    std::fs::create_dir_all(folder.join("global")).expect("make a folder");
    std::fs::copy(pg.data_dir().join("global/pg_control"), folder.join("global/pg_control")).expect("copy");
    let prefix = format!("{timeline:08X}");
    let of = |below: &str| -> Vec<String> {
        let names = place.names(below).into_iter();
        names
            .filter_map(|n| n.split('/').find(|p| p.len() == 24 && p.starts_with(&prefix)).map(String::from))
            .collect()
    };
    let mut segments = [of("wal"), of("wal-tail")].concat();
    segments.sort();
    segments.dedup();
    for segment in &segments {
        let mut fetch = Command::new(place.path("wal-shipper"));
        fetch
            .args(["fetch", "--ahead", "0", "--repo", &place.repo, segment, segment])
            .env_clear()
            .current_dir(&folder);
        Ran::from(fetch.output().expect("run fetch")).ended_with(0, "");
    }
    let half = |at: usize| u64::from_str_radix(&segments[0][at..at + 8], 16).expect("digits");
    let start = format!("{:X}/{:X}", half(8), half(16) << 24);
    let mut dump = clean(&pg.bin("pg_waldump"));
    dump.args(["-q", "-p"]).arg(&folder).args(["-t", &timeline.to_string(), "-s", &start, "-e", end]);
    Ran::from(dump.output().expect("run pg_waldump")).ended_with(0, "");
}

#[test]
fn a_chain_of_three_promotions() {
    for major in majors() {
        let place = Place::folder();
        let push =
            format!("archive_command={} push --repo {} %p", place.path("wal-shipper").display(), place.repo);
        let mut first = Pg::start_major(
            major,
            &["wal_level=replica", "archive_mode=on", &push, "max_slot_wal_keep_size=1GB"],
        );
        let others = [standby(&first), standby(&first), standby(&first)];
        let stream = place.stream(&conninfo(&[&first, &others[0], &others[1], &others[2]]), &[]);
        stream.streams();
        first.base_backup(&place.path("base"));
        insert(&first, 1);
        until("the slot is on every server", Duration::from_secs(60), || {
            let sql = "select count(*) from pg_replication_slots where slot_name = 'toban'";
            let slots: Vec<String> = others.iter().map(|p| p.psql("postgres", sql)).collect();
            if slots == ["1"; 3] { Ok(()) } else { Err(format!("{slots:?} {}", stream.log())) }
        });
        others.iter().for_each(|s| s.wait_for_replay(&first));
        place.complete(&first);
        first.kill();
        for (n, primary) in others.iter().enumerate() {
            primary.psql("postgres", "select pg_promote()");
            others[n + 1..].iter().for_each(|s| follows(s, primary));
            insert(primary, 2 + u32::try_from(n).expect("few"));
            drop(primary.switch_wal());
            others[n + 1..].iter().for_each(|s| s.wait_for_replay(primary));
            place.complete(primary);
            if n == 0 {
                // The old primary comes back, knows nothing of all this, and archives what it writes.
                first.restart();
                insert(&first, 99);
                first.ship_wal();
                place.complete(primary);
                first.stop();
            }
        }
        let last = &others[2];
        let end = last.psql("postgres", "select pg_current_wal_lsn()");
        let history = String::from_utf8(place.stored("00000004.history").expect("a history")).expect("text");
        let ends: Vec<&str> = history.lines().filter_map(|l| l.split('\t').nth(1)).collect();
        assert_eq!(ends.len(), 3, "{history}");
        for (timeline, end) in (1..).zip(ends.iter().copied().chain([end.as_str()])) {
            read_whole(last, &place, timeline, end);
        }
        stream.stop();
        let pg = restored(major, &place.path("base"), &place.path("target"), &place, "");
        assert_eq!(pg.psql("postgres", "select string_agg(n::text, ' ' order by n) from ledger"), "1 2 3 4");
    }
}

/// Several timelines end in one segment, and then a server is restored from the repository: of that segment it has only the
/// copies that recovery read, the last ones.
#[test]
fn a_restored_server_streams_a_segment_of_several_timelines() {
    for major in [15, 18] {
        let place = Place::folder();
        let mut first = Pg::start_major(major, &["wal_level=replica", "max_slot_wal_keep_size=1GB"]);
        let others = [standby(&first), standby(&first)];
        let stream = place.stream(&conninfo(&[&first, &others[0], &others[1]]), &[]);
        stream.streams();
        first.base_backup(&place.path("base"));
        insert(&first, 1);
        others.iter().for_each(|s| s.wait_for_replay(&first));
        place.level(&first);
        first.kill();
        for (n, primary) in others.iter().enumerate() {
            primary.psql("postgres", "select pg_promote()");
            others[n + 1..].iter().for_each(|s| follows(s, primary));
            insert(primary, 2 + u32::try_from(n).expect("few"));
            others[n + 1..].iter().for_each(|s| s.wait_for_replay(primary));
            place.level(primary);
        }
        stream.stop();
        drop(others);
        let bounded = "max_slot_wal_keep_size = '1GB'";
        let pg = restored(major, &place.path("base"), &place.path("target"), &place, bounded);
        let wal = pg.data_dir().join("pg_wal");
        let copies = std::fs::read_dir(wal).expect("list").flatten().map(|e| e.file_name());
        let of_second = copies.filter(|n| n.to_string_lossy().starts_with("00000002000000")).count();
        assert_eq!(of_second, 0, "recovery read the copy of timeline 3, and no other");
        let stream = place.stream(&pg.url(), &[]);
        insert(&pg, 4);
        drop(pg.switch_wal());
        place.complete(&pg);
        assert!(place.names("wal").iter().any(|name| name.contains("/00000004000000")), "{}", stream.log());
        stream.stop();
        drop(pg);
        let pg = restored(major, &place.path("base"), &place.path("again"), &place, "");
        assert_eq!(pg.psql("postgres", "select string_agg(n::text, ' ' order by n) from ledger"), "1 2 3 4");
    }
}

#[test]
fn a_standby_is_a_source_too() {
    for major in majors() {
        let place = Place::folder();
        let primary = Pg::start_major(major, &["wal_level=replica"]);
        let standby = standby(&primary);
        let stream = place.stream(&standby.url(), &[]);
        stream.streams();
        primary.base_backup(&place.path("base"));
        insert(&primary, 1);
        drop(primary.switch_wal());
        insert(&primary, 2);
        standby.wait_for_replay(&primary);
        place.level(&primary);
        // Its own promotion is a switch like any other.
        standby.psql("postgres", "select pg_promote()");
        insert(&standby, 3);
        place.level(&standby);
        stream.stop();
        let pg = restored(major, &place.path("base"), &place.path("target"), &place, "");
        assert_eq!(pg.psql("postgres", "select count(*) from ledger"), "3");
    }
}
