//! `push` and `fetch` with a repository on Azure.

use crate::world::World;
use std::fs;
use testkit::Azure;

#[test]
fn what_was_pushed_is_fetched() {
    let (world, azure) = (World::new(15), Azure::start());
    let url = azure.url("wal");
    let env: String = azure.env().iter().map(|(n, v)| format!("{n}={v} ")).collect();
    world.pg.archive_by(&format!("{env}{} push --repo {url} %p", world.program().display()));
    let names = world.ship(3);
    let folder = world.folder("fetched");
    let fetch = |name: &str, env: &[(String, String)]| {
        let mut command = std::process::Command::new(world.program());
        let system = world.pg.system_identifier();
        command.args(["fetch", "--repo", &url, "--system", &system, name, "got"]).env_clear();
        command.env("TOBAN_RETRY_FOR", "2s").envs(env.iter().cloned());
        testkit::run_in(&folder, command)
    };
    for name in &names {
        fetch(name, &azure.env()).ended_with(0, "");
        let original = fs::read(world.pg.data_dir().join("pg_wal").join(name)).expect("read a segment");
        assert!(fs::read(folder.join("got")).expect("read") == original, "{name} is another");
    }
    // The end of the archive is proven; without a right, or in a container that is not there, nothing is.
    fetch("0000000100000000000000FF", &azure.env()).ended_with(1, "");
    let gone = Azure::env_at(std::net::SocketAddr::from(([127, 0, 0, 1], 9)));
    fetch("0000000100000000000000FF", &gone).ended_with(255, "");
}
