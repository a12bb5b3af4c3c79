//! `stream` beside a server that works.

use crate::streaming::{Place, Stream, restored};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::pg::clean;
use testkit::{Cable, Pg, S3, majors, tls, until};

fn server(major: u32) -> Pg {
    Pg::start_major(major, &["wal_level=replica", "max_slot_wal_keep_size=1GB"])
}

fn rows(pg: &Pg, n: i32) {
    pg.psql("postgres", &format!("create table if not exists ledger (n int, filler text); insert into ledger select g, repeat(md5(g::text), 20) from generate_series(1, {n}) g"));
}

#[test]
fn segments_are_those_of_the_server_and_of_pg_receivewal() {
    for major in majors() {
        let (pg, place) = (server(major), Place::folder());
        let stream = place.stream(&pg.url(), &[]);
        stream.streams();
        let theirs = place.path("theirs");
        std::fs::create_dir(&theirs).expect("make a folder");
        let mut receiver =
            clean(&pg.bin("pg_receivewal")).args(["-d", &pg.url(), "-D"]).arg(&theirs).spawn().expect("run");
        until("it receives", Duration::from_secs(30), || {
            match pg.psql("postgres", "select count(*) from pg_stat_replication").as_str() {
                "2" => Ok(()),
                n => Err(n.to_string()),
            }
        });
        let names: Vec<String> = (0..4)
            .map(|_| {
                rows(&pg, 5000);
                pg.switch_wal()
            })
            .collect();
        place.complete(&pg);
        let log = stream.stop();
        until("it received", Duration::from_secs(30), || {
            if theirs.join(&names[3]).exists() { Ok(()) } else { Err(String::new()) }
        });
        receiver.kill().expect("kill");
        receiver.wait().expect("wait");
        for name in &names {
            let ours = place.stored(name).unwrap_or_else(|| panic!("{name} is not there: {log}"));
            assert!(
                ours == std::fs::read(pg.data_dir().join("pg_wal").join(name)).expect("read"),
                "{major}: {name}"
            );
            assert!(ours == std::fs::read(theirs.join(name)).expect("read"), "{major}: {name}");
        }
        let slot = pg.psql("postgres", "select restart_lsn >= pg_current_wal_lsn() - 200::numeric from pg_replication_slots where slot_name = 'toban'");
        assert_eq!(slot, "t", "all of it was acknowledged");
        until("tails of whole segments are gone", Duration::from_secs(20), || {
            let left: Vec<String> =
                place.names("wal-tail").into_iter().filter(|t| names.iter().any(|n| t.contains(n))).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
}

#[test]
fn what_was_written_a_moment_ago_is_restored_from_tails() {
    for major in majors() {
        let (pg, place) = (server(major), Place::folder());
        let stream = place.stream(&pg.url(), &[]);
        stream.streams();
        pg.base_backup(&place.path("base"));
        rows(&pg, 100);
        place.complete(&pg);
        pg.psql("postgres", "insert into ledger values (-1)");
        place.complete(&pg);
        assert!(!place.names("wal-tail").is_empty());
        let (segment, end) = (
            pg.psql("postgres", "select pg_walfile_name(pg_current_wal_lsn())"),
            pg.psql("postgres", "select pg_current_wal_lsn()"),
        );
        let listed = place.run("list", &[]).stdout;
        let begun = format!("\tbegun\t{segment}\t{segment}\t");
        assert!(
            listed.lines().any(|l| l.contains(&begun) && l.contains(&format!("\t{end}\t0"))),
            "{end}: {listed}"
        );
        drop(pg);
        let pg = restored(major, &place.path("base"), &place.path("target"), &place, "");
        assert_eq!(pg.psql("postgres", "select count(*), min(n) from ledger"), "101|-1");
        drop(stream);
    }
}

#[test]
fn tls_and_scram_bound_to_the_certificate() {
    let certificate = tls::Wish::new("localhost", &["localhost"]).self_signed();
    let place = Place::folder();
    let pg = Pg::builder()
        .set("wal_level=replica")
        .tls(&certificate.pem, &certificate.key)
        .hba("hostssl all toban 127.0.0.1/32 scram-sha-256")
        .hba("hostssl replication toban 127.0.0.1/32 scram-sha-256")
        .start();
    pg.psql("postgres", "create role toban login replication password 'secret'; grant pg_monitor to toban");
    let conninfo = |password: &str| {
        format!(
            "host=localhost hostaddr=127.0.0.1 port={} dbname=postgres user=toban password={password} sslmode=require channel_binding=require",
            pg.port()
        )
    };
    let stream = place.stream(&conninfo("secret"), &[]);
    stream.streams();
    let ssl = pg.psql("postgres", "select s.ssl from pg_stat_ssl s join pg_stat_replication r using (pid)");
    assert_eq!(ssl, "t");
    rows(&pg, 1000);
    place.complete(&pg);
    stream.stop();
    let mut wrong = place.stream(&conninfo("wrong"), &[]);
    assert_eq!(wrong.ended(), Some(1), "{}", wrong.log());
    assert!(wrong.log().contains("password authentication failed"), "{}", wrong.log());
}

#[test]
fn a_server_stops_fast_while_the_store_is_down() {
    let s3 = S3::shared();
    let cable = Cable::http(s3.addr());
    let place = Place::bucket(S3::env_at(&cable.endpoint()), s3.url("stops-fast"));
    let mut pg = server(15);
    let stream = place.stream(&pg.url(), &[]);
    stream.streams();
    rows(&pg, 100);
    place.complete(&pg);
    cable.refuse();
    rows(&pg, 100);
    let began = Instant::now();
    pg.stop();
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}: {}", began.elapsed(), stream.log());
    cable.mend();
    pg.restart();
    place.complete(&pg);
    stream.stop();
}

/// How long after `mend` the stream has stored what the server wrote meanwhile.
fn back_after(pg: &Pg, stream: &Stream, mend: impl FnOnce()) -> Duration {
    let at = pg.psql("postgres", "select pg_current_wal_lsn()");
    let sql = format!("select coalesce(bool_or(restart_lsn >= '{at}'), false) from pg_replication_slots");
    let began = Instant::now();
    mend();
    until("it is stored", Duration::from_secs(60), || match pg.psql("postgres", &sql).as_str() {
        "t" => Ok(began.elapsed()),
        _ => Err(stream.log()),
    })
}

#[test]
fn a_store_that_answers_again_is_used_at_once() {
    let s3 = S3::shared();
    let cable = Cable::http(s3.addr());
    // As long as the tools are patient by themselves.
    let env = [S3::env_at(&cable.endpoint()), vec![("TOBAN_RETRY_FOR".into(), "5min".into())]].concat();
    let (bucket, folder) = (Place::bucket(env, s3.url("comes-back")), Place::folder());
    for (place, is_bucket) in [(&bucket, true), (&folder, false)] {
        let pg = server(15);
        let stream = place.stream(&pg.url(), &[]);
        stream.streams();
        rows(&pg, 10);
        place.complete(&pg);
        let repo = place.path("repo");
        let outages: &[(u64, bool)] = if is_bucket { &[(2, true), (12, false)] } else { &[(5, false)] };
        for (seconds, stalled) in outages.iter().copied() {
            match is_bucket {
                true if stalled => cable.stall(),
                true => cable.refuse(),
                false => std::fs::set_permissions(&repo, Permissions::from_mode(0o000)).expect("close it"),
            }
            rows(&pg, 10);
            std::thread::sleep(Duration::from_secs(seconds));
            let after = back_after(&pg, &stream, || match is_bucket {
                true => cable.mend(),
                false => std::fs::set_permissions(&repo, Permissions::from_mode(0o777)).expect("open it"),
            });
            eprintln!("away {seconds} s, stalled: {stalled}: stored {after:?} after it was back");
            assert!(after < Duration::from_secs(2), "{seconds} s: {after:?}: {}", stream.log());
        }
        stream.stop();
    }
}

#[test]
fn it_comes_back_to_a_server_that_crashed() {
    let (mut pg, place) = (server(15), Place::folder());
    let stream = place.stream(&pg.url(), &[]);
    stream.streams();
    for _ in 0..3 {
        rows(&pg, 5000);
        pg.kill();
        pg.restart();
        place.complete(&pg);
    }
    stream.stop();
}

#[test]
fn other_content_is_refused_and_told() {
    let (pg, place) = (server(15), Place::folder());
    let mut stream = place.stream(&pg.url(), &[]);
    stream.streams();
    let name = pg.switch_wal();
    place.complete(&pg);
    // Another server archived under the name of the segment that comes next.
    let object = place.names("wal").into_iter().find(|n| n.ends_with(&name)).expect("stored");
    let next = pg.psql("postgres", "select pg_walfile_name(pg_current_wal_lsn() + 100)");
    for ending in ["", ".attr"] {
        let forged = format!("{}{ending}", object.replace(&name, &next));
        // With its owner, who is the server's user.
        let copied = Command::new("cp").arg("-a").arg(format!("{object}{ending}")).arg(forged).status();
        assert!(copied.expect("run cp").success());
    }
    assert_eq!(pg.switch_wal(), next);
    assert_eq!(stream.ended(), Some(1), "{}", stream.log());
    assert!(
        stream.log().contains(&format!("{next} is in the repository with other content")),
        "{}",
        stream.log()
    );
}

#[test]
fn a_lost_slot_is_told_and_made_anew() {
    let place = Place::folder();
    let mut pg = Pg::start(&[
        "wal_level=replica",
        "max_slot_wal_keep_size=1MB",
        "max_wal_size=32MB",
        "min_wal_size=32MB",
    ]);
    let stream = place.stream(&pg.url(), &[]);
    stream.streams();
    rows(&pg, 1000);
    place.complete(&pg);
    stream.stop();
    until("the slot is lost", Duration::from_secs(60), || {
        (0..4).for_each(|_| drop(pg.switch_wal()));
        pg.psql("postgres", "checkpoint");
        match pg.psql("postgres", "select wal_status from pg_replication_slots").as_str() {
            "lost" => Ok(()),
            other => Err(other.to_string()),
        }
    });
    place.run("check", &["--db", &pg.url()]).ended_with(4, "its WAL is lost");
    let stream = place.stream(&pg.url(), &[]);
    stream.says("take a new backup");
    rows(&pg, 1000);
    let done = until("it streams again", Duration::from_secs(60), || {
        let done = place.run("check", &["--db", &pg.url()]);
        if done.stdout.contains("\t0 bytes behind") { Ok(done) } else { Err(done.stdout) }
    });
    done.ended_with(4, "are missing");
    done.ended_with(4, "did not come");
    stream.stop();
    pg.stop();
}

#[test]
fn memory_stays_small() {
    let (pg, place) = (server(15), Place::folder());
    let stream = place.stream(&pg.url(), &[]);
    stream.streams();
    let bench = |args: &[&str]| {
        let mut program = clean(&pg.bin("pgbench"));
        let done = program
            .args(args)
            .arg("-h")
            .arg(pg.socket_dir())
            .args(["-U", "postgres", "postgres"])
            .output()
            .expect("run pgbench");
        assert!(done.status.success(), "{done:?}");
    };
    bench(&["-i", "-s", "20", "-q"]);
    bench(&["-c", "8", "-T", "5", "-n"]);
    place.complete(&pg);
    let status = std::fs::read_to_string(format!("/proc/{}/status", stream.child.id())).expect("read");
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("a peak").trim();
    let kib: u64 = peak.trim_end_matches(" kB").parse().expect("a number");
    eprintln!("peak memory: {kib} KiB");
    assert!(kib <= 64 << 10, "{kib} KiB");
    stream.stop();
}

#[test]
fn a_gap_is_recorded_once_and_only_when_the_others_have_it() {
    let (pg, place) = (server(15), Place::folder());
    let folder = |name: &str| {
        let path = place.path(name);
        std::fs::create_dir(&path).expect("make a folder");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .expect("open it");
        path
    };
    let (needed, far) = (folder("mount-needed"), folder("mount-far"));
    let config = place.path("toban.toml");
    let section = |name: &str, path: &std::path::Path, required: bool| {
        format!("[repo.{name}]\nurl = \"{}/repo\"\nrequired = {required}\n", path.display())
    };
    std::fs::write(&config, section("needed", &needed, true) + &section("far", &far, false)).expect("write");
    let config = config.display().to_string();
    let stream = place.stream(&pg.url(), &["--config", &config, "--repo", "needed,far"]);
    stream.streams();
    // A required one is away: what is tried again and again is no gap of the other yet.
    for mounted in [&needed, &far] {
        std::fs::rename(mounted, mounted.with_extension("away")).expect("unmount it");
    }
    rows(&pg, 100);
    let name = pg.switch_wal();
    until("it was tried", Duration::from_secs(30), || {
        if stream.log().contains("keeps its WAL until") { Ok(()) } else { Err(stream.log()) }
    });
    let of = |name: &str| place.names("gap").into_iter().filter(|g| g.contains(name)).collect::<Vec<_>>();
    assert_eq!(of(&name), Vec::<String>::new());
    std::fs::rename(needed.with_extension("away"), &needed).expect("mount it");
    until("it is recorded", Duration::from_secs(60), || match of(&name).len() {
        1 => Ok(()),
        n => Err(format!("{n}: {}", stream.log())),
    });
    drop(stream);
}
