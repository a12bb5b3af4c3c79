//! A repository in a bucket behind a bad line, and disks that are full: retried, then 75 or 1; nothing half-visible;
//! a rerun converges.

use crate::lab::{back_up, fill, lab, restore, verified};
use crate::world::{World, ended};
use std::process::{Command, Stdio};
use testkit::{Cable, Dice, S3, rounds, seed};

struct Line {
    world: World,
    cable: Cable,
    _s3: S3,
}

fn line() -> Line {
    let s3 = S3::start();
    let cable = Cable::http(s3.addr());
    let world = lab(15).in_repo(&s3.url("physical"), S3::env_at(&cable.endpoint()));
    fill(&world, 1000);
    Line { world, cable, _s3: s3 }
}

#[test]
fn a_throttled_store_is_asked_again() {
    let Line { world, cable, _s3 } = line();
    cable.answer(503, "<Error><Code>SlowDown</Code></Error>", 3);
    back_up(&world, &[]);
    cable.answer(500, "<Error><Code>InternalError</Code></Error>", 2);
    world.run(&["verify"]).fine();
    cable.answer(503, "<Error><Code>SlowDown</Code></Error>", 3);
    restore(&world, "restored", &[]);
}

#[test]
fn a_store_that_stays_away_ends_in_75_and_one_that_refuses_in_1() {
    let Line { mut world, cable, _s3 } = line();
    let before = back_up(&world, &[]);
    let target = world.path("t").display().to_string();
    world.set("TOBAN_RETRY_FOR", "2s");
    cable.stall();
    world.run(&["run"]).refused(75, "");
    cable.refuse();
    world.run(&["run"]).refused(75, "");
    world.run(&["restore", "--pgdata", &target]).refused(75, "");
    assert!(!world.path("t/global/pg_control").exists());
    cable.mend();
    let expired =
        "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
    cable.answer(403, expired, 200);
    world.run(&["run"]).refused(1, "ExpiredToken");
    world.run(&["restore", "--pgdata", &target]).refused(1, "ExpiredToken");
    cable.mend();
    let listed = world.run(&["list", "--json"]).json();
    assert_eq!(listed.len(), 1, "what failed is not listed: {listed:?}");
    assert_eq!(listed[0]["id"], before["id"]);
    assert_eq!(world.pg.psql("postgres", "select count(*) from pg_replication_slots"), "0");
}

#[test]
fn a_run_cut_at_any_byte() {
    let Line { mut world, cable, _s3 } = line();
    world.set("TOBAN_RETRY_FOR", "5s");
    // Without compression a pack is large enough for several parts.
    let run = ["run", "--compress", "none", "--full"];
    let whole = back_up(&world, &run[1..])["stored_bytes"].as_u64().expect("a number");
    let mut dice = Dice::new(seed());
    for round in 0..rounds(2) {
        let before = cable.cuts();
        cable.cut_after(dice.below(whole));
        let ran = world.run(&run);
        assert!(matches!(ran.status, Some(0 | 75)), "{ran:?}");
        assert!(cable.cuts() > before, "the cut did not hit");
        cable.mend();
        world.run(&["verify", "--newest"]).fine();
        cable.cut_after(dice.below(whole));
        let target = restore(&world, &format!("t{round}"), &[]);
        cable.mend();
        std::fs::remove_dir_all(target).expect("make room");
    }
}

/// The tool where the folder `at` is a disk of this size.
fn on_a_small_disk(world: &World, at: &str, size: &str, args: &[&str]) -> Command {
    let tool = world.command(args);
    let mut command = Command::new("unshare");
    // Who is not root may mount in a name space of users.
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    command.arg(if root { "-m" } else { "-rm" });
    let script = "mount -t tmpfs -o size=$2 none \"$1\" && shift 2 && exec \"$@\"";
    command.args(["sh", "-c", script, "sh", at, size]).arg(tool.get_program()).args(args);
    command.env_clear().envs(tool.get_envs().filter_map(|(k, v)| Some((k, v?))));
    command.current_dir(world.dir.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_full_disk_under_the_repository() {
    let world = lab(15);
    fill(&world, 1000);
    let disk = world.path("disk");
    std::fs::create_dir(&disk).expect("make a folder");
    let at = disk.display().to_string();
    let repo = format!("file://{at}/repo");
    let args = ["run", "--compress", "none", "--repo", &repo];
    let ran = ended(on_a_small_disk(&world, &at, "20m", &args).spawn().expect("start"));
    let said = ran.refused(1, "No space left on device");
    assert!(said.contains("hint: free some space there"), "{said}");
    assert_eq!(
        world.pg.psql("postgres", "select pg_is_in_recovery(), count(*) from pg_replication_slots"),
        "f|0"
    );
    back_up(&world, &[]);
    world.run(&["verify"]).fine();
}

#[test]
fn a_full_disk_under_the_target() {
    let world = lab(15);
    fill(&world, 1000);
    back_up(&world, &[]);
    let target = world.path("t");
    std::fs::create_dir(&target).expect("make a folder");
    let dir = target.display().to_string();
    let args = ["restore", "--pgdata", &dir];
    let small = ended(on_a_small_disk(&world, &dir, "20m", &args).spawn().expect("start"));
    small.refused(1, "the backup needs ");
    // --delta cannot know beforehand what it needs. A limit on the size of files is a disk that fills on the way.
    let script = r#"trap '' XFSZ; ulimit -f 1000; exec "$0" "$@""#;
    let tool = world.command(&args);
    let mut limited = Command::new("sh");
    limited.args(["-c", script]).arg(tool.get_program()).args(args);
    limited.env_clear().envs(tool.get_envs().filter_map(|(k, v)| Some((k, v?)))).stderr(Stdio::piped());
    ended(limited.spawn().expect("start")).refused(1, "File too large");
    assert!(!target.join("global/pg_control").exists());
    world.run(&["restore", "--pgdata", &dir, "--delta"]).fine();
    verified(&world.pg, &target);
}

#[test]
fn one_repository_of_several_fails() {
    let world = lab(15);
    fill(&world, 1000);
    let near = format!("file://{}", world.path("repo").display());
    let gone = format!("file://{}", world.path("not/mounted").display());
    let said = world.run(&["run", "--repo", &near, "--repo", &gone]).refused(1, "not is not there");
    assert!(said.contains("mount it"), "{said}");
    let config = format!(
        "[repo.near]\nurl = \"{near}\"\n[repo.far]\nurl = \"{gone}\"\nrequired = false\n\
         [cluster.main]\nrepos = [\"near\", \"far\"]\n"
    );
    std::fs::write(world.path("toban.toml"), config).expect("write");
    let config = world.path("toban.toml").display().to_string();
    world.run(&["run", "--config", &config, "--repo", "near,far"]).refused(3, "1 of 2 repositories failed");
    assert_eq!(world.run(&["list", "--json"]).json().len(), 2, "the other one has both");
    world.run(&["verify"]).fine();
    restore(&world, "restored", &[]);
}
