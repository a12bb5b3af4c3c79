//! Who else has the file open: other users and containers are found, and what cannot be seen is said.

use crate::follow::sync;
use crate::world::World;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use testkit::Ran;
use toban_core::machine::is_root;

const SCHEMA: &str = "pragma journal_mode = wal; create table t (id integer primary key, v text); insert into t values (1, 'a');";

/// A program that has the file open until its stdin is closed; then it says what a write gives.
const HOLDER: &str = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('select count(*) from t').fetchall()
print('open', flush=True)
sys.stdin.read()
try:
    db.execute('insert into t (v) values (1)')
    print('written')
except sqlite3.Error as e:
    print(e)
";

/// Any user may use the file, and what lies beside it.
fn open_to_all(world: &World) {
    let give =
        |path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("give");
    give(world.dir.path().to_path_buf(), 0o777);
    let beside = ["app.db", "app.db-wal", "app.db-shm"].map(|name| world.path(name));
    beside.into_iter().filter(|path| path.exists()).for_each(|path| give(path, 0o666));
}

/// The program, started by the words before it.
fn hold(world: &World, by: &[&str]) -> Child {
    let words = [by, &["/usr/bin/python3", "-c", HOLDER, "app.db"]].concat();
    let mut child = Command::new(words[0]);
    child.args(&words[1..]).current_dir(world.dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap_or_else(|e| panic!("{words:?}: {e}"));
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
    assert_eq!(line.trim(), "open");
    child
}

fn release(mut child: Child) -> String {
    drop(child.stdin.take());
    let ran = testkit::ended(child);
    ran.stdout
}

fn followed(sql: &str) -> World {
    let world = World::of(sql);
    open_to_all(&world);
    world.tool(&["capture", "app.db"]).fine();
    world.run(&[]).ended_with(0, "");
    sync(&world).ended_with(0, "");
    world
}

#[test]
fn f7_another_user_in_a_container_is_found() {
    let world = followed(SCHEMA);
    let container: &[&str] = &[
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    // Without root there is no container, and no other user.
    let (by, told) = match is_root() {
        true => (container, "of nobody, in a container)"),
        false => (&[][..], "python3 (process "),
    };
    let holder = hold(&world, by);
    let status = world.tool(&["status", "app.db"]);
    status.ended_with(0, "open in");
    assert!(status.stdout.contains("python3 (process ") && status.stdout.contains(told), "{status:?}");
    let ran = world.tool(&["cutover", "app.db", "--app-stopped"]);
    ran.ended_with(0, "what it writes is refused from now on");
    assert!(ran.stderr.contains(told), "{ran:?}");
    assert!(release(holder).contains("moved to PostgreSQL"));
    world.gives(&[("select count(*) from t", "1")]);
}

/// Of a process that we may not look at nobody knows whether it is the application.
#[test]
fn f7_what_cannot_be_seen_is_said() {
    let world = followed(SCHEMA);
    let binary = world.path("sqlite-to-pg");
    testkit::install_program(env!("CARGO_BIN_EXE_sqlite-to-pg").as_ref(), &binary);
    open_to_all(&world);
    let plain = |args: &[&str]| {
        let mut tool = testkit::pg::as_owner(&binary);
        tool.args(args).env("DATABASE_URL", world.pg.url()).env("TOBAN_STATE_DIR", world.dir.path());
        Ran::from(tool.current_dir(world.dir.path()).stdin(Stdio::null()).output().expect("run"))
    };
    plain(&["status", "app.db"]).ended_with(0, "cannot see the processes of others");
    let said = plain(&["cutover", "app.db"]).refused(2, "cannot see the processes of others");
    assert!(said.contains("run it as root") && said.contains("--app-stopped"), "{said}");
    world.sqlite("insert into t values (2, 'goes on')");
    plain(&["cutover", "app.db", "--dry-run"]).ended_with(0, "forecast: window");
    plain(&["cutover", "app.db", "--app-stopped"]).ended_with(0, "switch");
    world.gives(&[("select count(*) from t", "2")]);
}

/// What the fence does not refuse waits until nobody has the file open.
#[test]
fn a_virtual_table_takes_no_fence() {
    let world = followed(
        "pragma journal_mode = wal; create table t (id integer primary key, v text); create virtual table f using fts5 (body); insert into f values ('words');",
    );
    let holder = hold(&world, &[]);
    let said = world
        .tool(&["cutover", "app.db", "--app-stopped"])
        .refused(4, "the virtual table f cannot be refused");
    assert!(said.contains("python3 (process "), "{said}");
    assert!(release(holder).contains("written"), "it went on");
    world.tool(&["cutover", "app.db", "--app-stopped"]).ended_with(0, "");
    world.gives(&[("select count(*) from t", "1")]);
}

/// A program that was not started anew writes to the file that was there before, where nothing is captured.
#[test]
fn a_program_with_an_older_file_is_found() {
    let world = World::of(SCHEMA);
    world.sqlite("pragma wal_checkpoint (truncate)");
    let holder = hold(&world, &[]);
    std::fs::copy(world.file(), world.path("restored.db")).expect("copy");
    std::fs::rename(world.path("restored.db"), world.file()).expect("put it in place");
    world.tool(&["capture", "app.db"]).refused(4, "writes to a file that was replaced since");
    release(holder);
    world.tool(&["capture", "app.db"]).ended_with(0, "");
}
