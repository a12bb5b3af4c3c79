//! A server with something in it, and what becomes of a backup of it.

use crate::world::World;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use testkit::Pg;
use testkit::pg::{as_owner, clean};

/// What replication and the tests of checksums need, on top of the usual.
pub(crate) fn server(major: u32) -> Pg {
    let pg = Pg::builder_major(major).set("max_wal_size=64MB").set("checkpoint_timeout=30s").start();
    checksums_on(pg)
}

/// The template cluster of the tests may be made without checksums: they are enabled while it is stopped.
pub(crate) fn checksums_on(mut pg: Pg) -> Pg {
    if pg.psql("postgres", "show data_checksums") == "off" {
        pg.stop();
        let mut enable = as_owner(&pg.bin("pg_checksums"));
        let done = enable.args(["--enable", "--no-sync", "-D"]).arg(pg.data_dir()).output().expect("run it");
        assert!(done.status.success(), "{done:?}");
        pg.restart();
    }
    pg
}

/// A world whose folder PostgreSQL may enter.
pub(crate) fn lab(major: u32) -> World {
    let world = World::with(server(major));
    std::fs::set_permissions(world.dir.path(), std::fs::Permissions::from_mode(0o755)).expect("open it");
    world
}

/// A folder that the server may write to.
pub(crate) fn folder(world: &World, name: &str) -> PathBuf {
    let path = world.path(name);
    world.pg.make_folder(&path);
    path
}

/// Backs up and gives the record.
pub(crate) fn back_up(world: &World, more: &[&str]) -> Value {
    let args: Vec<&str> = ["run", "--json"].iter().chain(more).copied().collect();
    world.run(&args).json().remove(0)
}

/// [`back_up`] after a run that was killed. When that was between the manifest and the map of blocks, and the digests beside the
/// backup are encrypted, this one stores everything and warns of it.
pub(crate) fn back_up_after_kill(world: &World) -> Value {
    world.run(&["run", "--json"]).ended(0).remove(0)
}

/// Restores the newest into the folder `name`, and has PostgreSQL's own judge look at it.
pub(crate) fn restore(world: &World, name: &str, more: &[&str]) -> PathBuf {
    let target = world.path(name);
    let dir = target.display().to_string();
    let args: Vec<&str> = ["restore", "--pgdata", &dir].iter().chain(more).copied().collect();
    world.run(&args).fine();
    verified(&world.pg, &target);
    target
}

/// pg_verifybackup: sizes, checksums, nothing extra, and the WAL is there and reads.
pub(crate) fn verified(pg: &Pg, dir: &Path) {
    let done = clean(&pg.bin("pg_verifybackup")).arg(dir).output().expect("run pg_verifybackup");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.is_empty(), "pg_verifybackup: {said}");
}

/// Puts this server in the place of the world's.
pub(crate) fn take_over(world: &mut World, pg: Pg) {
    world.set("DATABASE_URL", &pg.url());
    world.pg = pg;
}

/// pg_amcheck over every database: heap, indexes, and each heap row in its indexes.
pub(crate) fn amcheck(pg: &Pg) {
    let mut check = clean(&pg.bin("pg_amcheck"));
    check.args(["--all", "--install-missing", "--heapallindexed"]);
    check.args([
        "-h",
        &pg.socket_dir().display().to_string(),
        "-p",
        &pg.port().to_string(),
        "-U",
        "postgres",
    ]);
    let done = check.output().expect("run pg_amcheck");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert!(done.status.success(), "pg_amcheck: {} {}", text(&done.stdout), text(&done.stderr));
}

/// A table of `rows` rows.
pub(crate) fn fill(world: &World, rows: u32) {
    let sql = format!("create table big as select n, md5(n::text) t from generate_series(1, {rows}) n");
    world.pg.psql("postgres", &sql);
}

/// Rows and their sum, to compare two servers by.
pub(crate) fn content(pg: &Pg) -> String {
    pg.psql("postgres", "select count(*), sum(n), md5(string_agg(t, ',' order by n)) from big")
}
