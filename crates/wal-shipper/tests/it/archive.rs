//! `push` as a server's archive_command; `list` and `check` beside it.

use crate::world::World;
use std::time::Duration;
use testkit::{majors, until};

#[test]
fn a_server_archives_and_the_list_has_no_gap() {
    for major in majors() {
        let world = World::archiving(major);
        let names = world.ship(4);
        let listed = world.run(&["list"]).stdout;
        let cells: Vec<&str> = listed.trim().split('\t').collect();
        assert_eq!(cells.get(3), Some(&"there"), "{listed}");
        assert_eq!(cells.get(5), Some(&&names[3][..]), "one range up to the newest: {listed}");
        world.run(&["check"]).ended_with(0, "it works");
    }
}

#[test]
fn a_backlog_is_worked_off_by_few_calls() {
    let world = World::new(15);
    let names: Vec<String> = (0..20).map(|_| world.pg.switch_wal()).collect();
    let counted = world.path("calls");
    std::fs::write(&counted, "").expect("write");
    std::fs::set_permissions(&counted, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("open it");
    world.pg.archive_by(&format!("echo x >> {} && {} %p", counted.display(), world.command("push")));
    for name in &names {
        world.pg.wait_until_archived(name);
    }
    let calls = std::fs::read_to_string(&counted).expect("read").lines().count();
    assert!(calls <= 5, "{calls} calls for 20 segments");
    world.run(&["check"]).ended_with(0, "");
}

#[test]
fn a_hole_a_failing_archiver_and_an_empty_repository_are_findings() {
    let world = World::archiving(15);
    let names = world.ship(4);
    let lost = &names[1];
    std::fs::remove_file(world.object(lost)).expect("lose a segment");
    world.run(&["check"]).ended_with(4, &format!("{lost} to {lost} are missing"));
    world.run(&["check", "--monitoring"]).ended_with(2, "CRITICAL: WAL in ");
    world.run(&["list"]).ended_with(0, "missing");
    let config = world.path("accept.toml");
    for (object, until, status, words) in [
        (format!("{lost}-*"), "2999-12-31", 0, "(accepted: OPS-512; ops answers for it until 2999-12-31)"),
        (format!("{lost}-*"), "2020-01-01", 4, "the entry of ops ended on 2020-01-01"),
        ("another".into(), "2999-12-31", 4, "the entry of ops fits nothing any more"),
    ] {
        let entry = format!(
            "[[accept]]\ntool = 'wal-shipper'\nid = 'missing-range'\nobject = '{object}'\nreason = 'OPS-512'\nowner = 'ops'\nuntil = '{until}'\n"
        );
        std::fs::write(&config, entry).expect("write the configuration");
        world.run(&["check", "--config", &config.display().to_string()]).ended_with(status, words);
    }

    world.pg.archive_by("false");
    let name = world.pg.switch_wal();
    until("the archiver fails", Duration::from_secs(60), || {
        let done = world.run(&["check"]);
        match done.stdout.contains(&format!("archiving {name} fails since")) {
            true => {
                done.ended_with(4, "files wait");
                Ok(())
            }
            false => Err(done.stdout),
        }
    });

    let empty = world.folder("empty").display().to_string();
    world.run(&["check", "--repo", &empty]).ended_with(4, "it has no WAL of timeline 1");
}
