//! SIGKILL and SIGTERM at any moment of a drill: nothing is left behind, by the drill itself or by the next.

use crate::world::World;
use std::process::Stdio;
use std::time::{Duration, Instant};
use testkit::{ended, rounds};

fn args(world: &World) -> Vec<String> {
    let (repo, url, script) = (world.text("repo"), world.pg.url(), world.restorer());
    ["--repo", &repo, "--db", &url, "--", "sh", &script, "{dir}"].map(String::from).to_vec()
}

#[test]
fn at_any_moment() {
    let world = World::new(15);
    world.back_up();
    world.ship();
    let args = args(&world);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut length = Duration::MAX;
    for _ in 0..2 {
        let begun = Instant::now();
        assert_eq!(world.drill(&args).status, Some(0));
        length = length.min(begun.elapsed());
    }
    // Without pipes: a server that the killed one left would hold them open.
    let start = || world.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start");
    testkit::killed(length, rounds(4), start, || {
        // The next drill ends what the killed one left, and passes.
        let next = world.drill(&args);
        assert_eq!(next.status, Some(0), "{}{}", next.stdout, next.stderr);
    });
}

#[test]
fn told_to_stop_it_cleans_up_itself() {
    let world = World::new(15);
    world.back_up();
    let args = args(&world);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    for wanted in ["scratch/restore.log", "scratch/server.log", "scratch/amcheck.log"] {
        let child = world.command(&args).spawn().expect("start");
        testkit::until(wanted, Duration::from_secs(60), || {
            if world.path("work").join(wanted).exists() { Ok(()) } else { Err("not there".into()) }
        });
        let kill = std::process::Command::new("kill").arg(child.id().to_string()).status().expect("run kill");
        assert!(kill.success());
        let ran = ended(child);
        assert_eq!(ran.status, Some(75), "{wanted}: {}{}", ran.stdout, ran.stderr);
        world.nothing_is_left();
    }
}

#[test]
fn two_at_once_are_refused() {
    let world = World::new(15);
    world.back_up();
    let script = world.write("wait.sh", "echo \"$PGDATA\"; sleep 600 & wait\n");
    let url = world.pg.url();
    let args = ["--db", &url, "--", "sh", &script, "{dir}"];
    let mut first = world.command(&args).spawn().expect("start");
    testkit::until("it restores", Duration::from_secs(60), || {
        if world.path("work/scratch/restore.log").exists() { Ok(()) } else { Err("not yet".into()) }
    });
    let second = testkit::Ran::from(world.command(&args).output().expect("run"));
    second.refused(75, "is already running: pid");
    let _ = first.kill();
    let _ = first.wait();
    // The killed drill's command still sleeps; the next drill ends it.
    let quick = world.restorer();
    let ran = world.drill(&["--db", &url, "--", "sh", &quick, "{dir}"]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
}
