//! What a drill refuses before it begins, and what is no fault of the backup.

use crate::world::World;
use std::process::{Command, Stdio};
use testkit::Ran;

#[test]
fn what_does_not_go_together() {
    let world = World::new(15);
    let refused = |args: &[&str], words: &str| drop(world.drill(args).refused(2, words));
    refused(&["--no-live", "--", "true", "{dir}"], "would compare nothing");
    refused(&["--db", "x", "--", "cp", "-a", "/backup"], "does not say where it restores to");
    refused(&["--into", "server", "--", "true"], "would compare nothing");
    refused(&["--into", "server", "--rpo", "1h", "--", "true"], "--rpo cannot be measured of a dump");
    refused(&["--repo", "/x", "--checks", "/no/such.sql"], "checks in /no/such.sql: read them");
    let bad = world.write("bad.sql", "select 1;\n");
    refused(&["--checks", &bad, "--", "true", "{dir}"], "line 1: a query without");
}

#[test]
fn a_folder_that_is_not_a_drills_is_left_alone() {
    let world = World::new(15);
    world.back_up();
    std::fs::create_dir_all(world.path("work/scratch/precious")).expect("make a folder");
    let (url, script) = (world.pg.url(), world.restorer());
    let ran = Ran::from(world.command(&["--db", &url, "--", "sh", &script, "{dir}"]).output().expect("run"));
    ran.refused(2, "is not a folder of a drill");
    assert!(world.path("work/scratch/precious").exists());
    let mut inside = world.command(&["--db", &url, "--", "sh", &script, "{dir}"]);
    inside = with_work(&inside, &world.pg.data_dir().join("base/drill").display().to_string());
    Ran::from(inside.output().expect("run")).refused(2, "is in a data directory");
}

fn with_work(command: &Command, work: &str) -> Command {
    let mut other = Command::new(command.get_program());
    let args: Vec<_> = command.get_args().collect();
    other.arg("--work-dir").arg(work).args(&args[2..]);
    other.env_clear().envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    other.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    other
}

#[test]
fn a_dry_run_says_the_steps_and_takes_none() {
    let world = World::new(15);
    let checks = world.write("q.sql", "-- check: one\nselect true;\n");
    let said = world.drill(&["-n", "--checks", &checks, "--rto", "1h", "--", "true", "{dir}"]).fine();
    for words in ["restore\ttrue {dir}", "query\tone", "objective\tanswers within 1h"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!world.path("work").exists());
}

#[test]
fn a_full_disk_is_one_clear_line() {
    let world = World::new(15);
    world.back_up();
    let (url, script) = (world.pg.url(), world.restorer());
    let tool = world.command(&["--db", &url, "--", "sh", &script, "{dir}"]);
    std::fs::create_dir_all(world.path("work")).expect("make a folder");
    let mount = "mount -t tmpfs -o size=24m,mode=755 none \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", mount, "sh"]).arg(world.path("work"));
    command.arg(tool.get_program()).args(tool.get_args());
    command.env_clear().envs(tool.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let ran = Ran::from(command.stdin(Stdio::null()).output().expect("run unshare"));
    let said = ran.refused(1, "no space");
    assert!(said.contains("--work-dir"), "{said}");
}
