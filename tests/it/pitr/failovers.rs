//! Failover after failover, the dead server rebuilt each time as people do: nothing of the stream's WAL is lost.

use super::lab::rows;
use super::pair::{Kind, Pair, Rebuild, gaps};
use std::fs;
use std::path::{Path, PathBuf};
use testkit::pg::clean;
use testkit::{Dice, Pg, rounds, seed};

fn chain(major: u32, mib: u32, failovers: usize, dice: &mut Dice) {
    eprintln!("PostgreSQL {major}, segments of {mib} MiB, {failovers} failovers");
    let mut pair = Pair::start(&Kind { major, mib, settings: &[], bucket: None });
    pair.write(dice);
    pair.stored();
    let backup = pair.run("pg-backup", &["run", "--json"]).json().remove(0);
    for n in 0..failovers {
        let rebuild = [Rebuild::BaseBackup, Rebuild::Rewind, Rebuild::Restore][dice.index(3)];
        // The first three by the way that leaves the fewest histories behind.
        let rebuild = if n < 3 { Rebuild::BaseBackup } else { rebuild };
        pair.fail_over(rebuild, dice);
        // What the dead server wrote is nowhere else until the stream has it: a rebuilt one begins later.
        pair.stored();
        (0..=dice.below(2)).for_each(|_| pair.write(dice));
        if dice.below(3) > 0 {
            pair.stored();
        }
    }
    pair.stored();
    let listed = pair.run("wal-shipper", &["list", "--json"]).json();
    assert!(gaps(&listed).is_empty(), "{:?}\n{}", gaps(&listed), pair.log());
    let id = backup["id"].as_str().expect("an id");
    let target: PathBuf = pair.dir.path().join("all");
    let to = target.display().to_string();
    let done =
        pair.run("pg-backup", &["restore", id, "--json", "--target", "latest", "--pgdata", &to]).json();
    let newest = failovers + 1;
    assert_eq!(done[0]["timeline"], newest, "{done:?}");
    let server = Pg::promoted(major, &target);
    assert_eq!(rows(&server), pair.written);
    let own = server.psql("postgres", "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)");
    assert_eq!(own, format!("{:08X}", newest + 1));
    let repo = pair.dir.path().join("mount/repo/main");
    let system = fs::read_dir(repo).expect("list").flatten().next().expect("the system").path();
    for n in 2..=newest {
        let history = system.join(format!("wal/{n:08X}.history"));
        let unpacked = clean(Path::new("zstd")).args(["-q", "-dc"]).arg(&history).output().expect("run zstd");
        let theirs = server.data_dir().join(format!("pg_wal/{n:08X}.history"));
        // The restored server keeps the newest; every one is the begin of the next.
        let text = String::from_utf8_lossy(&unpacked.stdout).into_owned();
        assert_eq!(text.matches('\t').count(), 2 * (n - 1), "{n}: {text:?}");
        assert!(n < newest || !theirs.exists() || fs::read_to_string(&theirs).expect("read") == text, "{n}");
    }
}

/// A backup of a standby ends in the middle of a segment, and brings along what there was of it: what was streamed since must not
/// be lost to a restore that ends in that segment.
#[test]
fn a_backup_of_a_standby_hides_nothing_that_was_streamed_since() {
    let pair = Pair::start(&Kind { major: 15, mib: 16, settings: &[], bucket: None });
    pair.primary().psql("postgres", "insert into ledger values (1)");
    pair.caught_up();
    let standby = pair.standby().conninfo("postgres");
    let backup = pair.run("pg-backup", &["run", "--remote", "--json", "--db", &standby]).json().remove(0);
    pair.primary().psql("postgres", "insert into ledger select generate_series(2, 500)");
    pair.stored();
    let end = pair.primary().psql("postgres", "select pg_current_wal_lsn()");
    let segment = |lsn: &str| lsn.get(..lsn.len() - 6).map(str::to_string);
    assert_eq!(segment(&end), segment(backup["stop_lsn"].as_str().expect("a position")), "one segment");
    let target = pair.dir.path().join("latest");
    pair.restore(&[], &target);
    assert_eq!(rows(&Pg::promoted(15, &target)), 500);
}

#[test]
fn a_chain_of_failovers_loses_nothing() {
    let (failovers, mut dice) = (rounds(4), Dice::new(seed()));
    let (majors, sizes) = if failovers < 20 {
        (vec![15, 18], vec![[1, 16, 64][dice.index(3)]])
    } else {
        (vec![15, 16, 17, 18], vec![1, 16, 64])
    };
    for major in majors {
        sizes.iter().for_each(|mib| chain(major, *mib, failovers, &mut dice));
    }
}
