//! SIGKILL at any moment: nothing is there, or all of it, proven.

use crate::world::World;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use testkit::rounds;

fn start(world: &World) -> Child {
    let mut tool = world.command(&["run", "plan.toml"]);
    tool.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start")
}

#[test]
fn a_run_killed_at_any_moment_leaves_nothing_or_all() {
    let records: Vec<String> = (1..=20_000)
        .map(|n| format!(r#"{{"id":{n},"t":"text {n}","steps":[{{"n":{n}}}],"o":{{"a":[{n}]}}}}"#))
        .collect();
    let world = World::of(&[("f.json", &format!("[{}]", records.join(",\n")))]);
    world.plan(&["--explode", "f.json:steps"]);
    let began = Instant::now();
    world.ran();
    let whole = began.elapsed();
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    testkit::killed(
        whole,
        rounds(3),
        || start(&world),
        || {
            let there = world.psql("select to_regclass('f') is not null");
            if there == "f" {
                world.untouched();
                // The server may still be ending the killed session, which holds the lock.
                testkit::until("a rerun", Duration::from_secs(60), || match world.run() {
                    ran if ran.status == Some(0) => Ok(()),
                    ran if ran.status == Some(75) => Err(ran.stderr),
                    ran => panic!("{ran:?}"),
                });
            }
            world.gives(&[("select count(*) from f", "20000"), ("select count(*) from f_steps", "20000")]);
            world.verified();
            assert_eq!(world.tool(&["undo"]).status, Some(0));
            world.untouched();
        },
    );
}
