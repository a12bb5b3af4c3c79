//! `push` as a server's archive_command; `list` and `check` beside it.

use crate::world::{World, ended, text};
use std::time::Duration;
use testkit::{majors, until};

#[test]
fn a_server_archives_and_the_list_has_no_gap() {
    for major in majors() {
        let world = World::archiving(major);
        let names: Vec<String> = (0..4).map(|_| world.switch()).collect();
        names.iter().for_each(|name| world.archived(name));
        let listed = text(&world.run(&["list"]).stdout);
        let cells: Vec<&str> = listed.trim().split('\t').collect();
        assert_eq!(cells.get(3), Some(&"there"), "{listed}");
        assert_eq!(cells.get(5), Some(&&names[3][..]), "one stretch up to the newest: {listed}");
        ended(&world.run(&["check"]), 0, "it works");
    }
}

#[test]
fn a_backlog_is_worked_off_by_few_calls() {
    let world = World::new(15);
    let names: Vec<String> = (0..20).map(|_| world.switch()).collect();
    let counted = world.path("calls");
    std::fs::write(&counted, "").expect("write");
    std::fs::set_permissions(&counted, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("open it");
    world.archive_by(&format!("echo x >> {} && {} %p", counted.display(), world.command("push")));
    for name in &names {
        world.archived(name);
    }
    let calls = std::fs::read_to_string(&counted).expect("read").lines().count();
    assert!(calls <= 5, "{calls} calls for 20 segments");
    ended(&world.run(&["check"]), 0, "");
}

#[test]
fn a_hole_a_failing_archiver_and_an_empty_repository_are_findings() {
    let world = World::archiving(15);
    let names: Vec<String> = (0..4).map(|_| world.switch()).collect();
    names.iter().for_each(|name| world.archived(name));
    let system = world.pg.psql("postgres", "select system_identifier from pg_control_system()");
    let lost = &names[1];
    let object = world.path("repo").join(format!("main/{system}/wal/{}/{}/{lost}", &lost[..8], &lost[8..16]));
    std::fs::remove_file(object).expect("lose a segment");
    ended(&world.run(&["check"]), 4, &format!("{lost} to {lost} are missing"));
    ended(&world.run(&["check", "--monitoring"]), 2, "CRITICAL: missing-range in");
    ended(&world.run(&["list"]), 0, "missing");

    world.archive_by("false");
    let name = world.switch();
    until("the archiver fails", Duration::from_secs(60), || {
        let done = world.run(&["check"]);
        match text(&done.stdout).contains(&format!("archiving {name} fails since")) {
            true => {
                ended(&done, 4, "files wait");
                Ok(())
            }
            false => Err(text(&done.stdout)),
        }
    });

    let empty = world.folder("empty").display().to_string();
    ended(&world.run(&["check", "--repo", &empty]), 4, "it has no WAL of timeline 1");
}
