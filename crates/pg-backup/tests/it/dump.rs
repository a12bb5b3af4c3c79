//! `dump` and `list`: what is stored, what is said, what never becomes visible.

use crate::world::World;
use postgres::{Client, NoTls};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn a_dump_is_listed_and_stock_tools_read_it() {
    let world = World::new();
    world.app();
    world.pg.psql("postgres", "create database copy");
    let id = world.dump("app", &["--format", "sql", "--label", "before-upgrade"]);
    let listed = world.run(&["list", "--json"]).json();
    assert_eq!(listed.len(), 1);
    let row = &listed[0];
    assert_eq!(
        (&row["id"], &row["label"], &row["rows"]),
        (&id.clone().into(), &"before-upgrade".into(), &1000.into())
    );
    // What FORMATS.md promises to whoever has no pg-backup: gunzip and psql.
    let file = world.files().into_iter().find(|f| f.to_string_lossy().ends_with(&format!("{id}.sql.gz")));
    let script = "gunzip -c \"$0\" | psql -X -q -v ON_ERROR_STOP=1 -d \"$1\"";
    let done = Command::new("sh")
        .args(["-c", script])
        .arg(file.expect("there"))
        .arg(world.pg.url_of("copy"))
        .status();
    assert!(done.expect("run sh").success());
    assert_eq!(world.pg.psql("copy", "select count(*), max(name) from users"), "1000|user 999");
}

#[test]
fn all_means_all_and_the_configuration_can_name_them() {
    let mut world = World::new();
    world.pg.psql(
        "postgres",
        "create database a; create database \"B/..\"; create database tpl is_template true",
    );
    let all = ["dump", "--all", "--globals", "none"];
    let names = |stdout: String| -> Vec<String> {
        stdout.lines().map(|l| l.split('\t').next().expect("a column").to_string()).collect()
    };
    assert_eq!(names(world.run(&all).fine()), ["B/..", "a", "postgres", "tpl"]);
    // What cannot be dumped is not passed over in silence, neither in the plan.
    world.pg.psql("postgres", "alter database a allow_connections false");
    for args in [&all[..], &["dump", "--all", "--dry-run"]] {
        let ran = world.run(args);
        assert_eq!(names(ran.stdout.clone()), ["B/..", "postgres", "tpl"]);
        let said = ran.refused(3, "database \"a\" cannot be dumped: it allows no connections");
        assert!(said.contains("allow_connections true"), "{said}");
    }
    world.pg.psql(
        "postgres",
        "alter database a allow_connections true; update pg_database set datconnlimit = -2 where datname = 'a'",
    );
    world.run(&all).refused(3, "DROP DATABASE was interrupted");
    let config = world.path("toban.toml");
    fs::write(&config, "[cluster.main]\ndatabases = [\"B/..\"]\n").expect("write");
    world.set("TOBAN_CONFIG", &config.display().to_string());
    assert!(world.run(&["dump"]).fine().starts_with("B/..\t"));
}

#[test]
fn a_section_without_names_means_all_and_the_maintenance_database_alone_is_told() {
    let mut world = World::new();
    world.app();
    let ran = world.run(&["dump"]);
    assert!(ran.status == Some(0) && ran.stderr.contains("there are also app"), "{ran:?}");
    let config = world.path("toban.toml");
    fs::write(&config, "[cluster.main]\n").expect("write");
    world.set("TOBAN_CONFIG", &config.display().to_string());
    let names: Vec<String> =
        world.run(&["dump", "--json"]).json().iter().map(|r| r["database"].to_string()).collect();
    assert_eq!(names, ["\"app\"", "\"postgres\""]);
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let world = World::new();
    world.app();
    let plan = world.run(&["dump", "app", "--dry-run", "--json"]).json();
    assert_eq!((&plan[0]["schema"], &plan[0]["database"]), (&"pg-backup.dump-plan/1".into(), &"app".into()));
    assert_eq!(world.files().len(), 0);
}

#[test]
fn several_repositories_get_the_same_bytes_in_one_pass() {
    let world = World::new();
    world.app();
    let (a, b) =
        (format!("file://{}", world.path("a").display()), format!("file://{}", world.path("b").display()));
    world.run(&["dump", "app", "--repo", &a, "--repo", &b]).fine();
    let diff = Command::new("diff").args(["-r", "a", "b"]).current_dir(world.dir.path()).status();
    assert!(diff.expect("run diff").success());
}

#[test]
fn an_optional_repository_that_fails_leaves_the_others_alone() {
    let mut world = World::new();
    world.app();
    fs::write(world.path("not-a-folder"), "").expect("write");
    let toml = |required: bool| {
        format!(
            "[repo.good]\nurl = \"{0}/good\"\n[repo.bad]\nurl = \"{0}/not-a-folder/x\"\nrequired = {required}\n",
            world.dir.path().display()
        )
    };
    let (optional, required) = (world.path("optional.toml"), world.path("required.toml"));
    fs::write(&optional, toml(false)).expect("write");
    fs::write(&required, toml(true)).expect("write");
    for (config, status) in [(optional, 3), (required, 1)] {
        world.set("TOBAN_CONFIG", &config.display().to_string());
        let ran = world.run(&["dump", "app", "--repo", "good,bad"]);
        assert!(ran.stdout.contains("\tgood\t"), "{ran:?}");
        ran.refused(status, "bad");
        assert_eq!(
            world.run(&["list", "--repo", "good"]).fine().lines().count(),
            if status == 3 { 1 } else { 2 }
        );
    }
}

/// A pg_dump that dies, is killed or warns of skipped objects, in the middle and at the end.
#[test]
fn a_child_that_fails_never_leaves_a_visible_dump() {
    let mut world = World::new();
    world.app();
    let real = world.pg.bin("pg_dump");
    let bin = world.path("bin");
    fs::create_dir(&bin).expect("mkdir");
    for program in ["pg_dumpall", "pg_restore", "psql"] {
        std::os::unix::fs::symlink(world.pg.bin(program), bin.join(program)).expect("link");
    }
    world.set("TOBAN_PG_BIN", &bin.display().to_string());
    let version = format!("[ \"$*\" != \"${{*%--version}}\" ] && exec {} --version\n", real.display());
    let stubs = [
        ("head -c 300000 /dev/zero; exit 3", "exit status: 3"),
        ("head -c 300000 /dev/zero; kill -9 $$", "signal: 9"),
        ("exit 0 < /nonexistent", "pg_dump"),
        ("echo 'pg_dump: warning: function f is skipped' >&2", "not everything was dumped"),
        (
            "echo 'pg_dump: error: query failed: ERROR:  permission denied for table users' >&2; exit 1",
            "pg_read_all_data",
        ),
    ];
    for (script, said) in stubs {
        let stub = bin.join("pg_dump");
        fs::write(&stub, format!("#!/bin/sh\n{version}{script}\n")).expect("write");
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).expect("chmod");
        for form in ["custom", "sql"] {
            world.run(&["dump", "app", "--format", form]).refused(1, said);
            world.run(&["list"]).refused(2, "holds no backup or dump of cluster main");
        }
    }
}

#[test]
fn two_at_once_on_one_cluster_are_kept_apart() {
    use std::io::Write;
    let mut world = World::new();
    world.app();
    // The first is held up by a lock on its table.
    let mut holder = Command::new(world.pg.bin("psql"))
        .args(["-X", "-q", "-d", &world.pg.url_of("app")])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("run psql");
    let stdin = holder.stdin.as_mut().expect("piped");
    stdin.write_all(b"begin; lock table users;\n").expect("lock");
    let locked = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation::regclass::text = 'users'";
    testkit::until("the table is locked", std::time::Duration::from_secs(20), || {
        if world.pg.psql("app", locked) == "1" { Ok(()) } else { Err("not yet".into()) }
    });
    let first = world.command(&["dump", "app"]).spawn().expect("start");
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    testkit::until("the first waits", std::time::Duration::from_secs(20), || {
        if world.pg.psql("postgres", waiting) == "0" { Err("not yet".into()) } else { Ok(()) }
    });
    world.run(&["dump", "app"]).refused(75, &format!("already running: pid {}", first.id()));
    world.set("TOBAN_CLUSTER", "other");
    drop(holder.stdin.take());
    holder.wait().expect("psql ends");
    assert_eq!(crate::world::ended(first).status, Some(0));
}

/// Rows that arrive while the dump runs are in neither the dump nor its counts.
#[test]
fn counts_and_dump_are_of_one_snapshot() {
    let world = World::new();
    world.app();
    world.pg.psql("app", "create table moving (n integer)");
    let mut writer = Command::new(world.pg.bin("psql"));
    let sql = "insert into moving select generate_series(1, 10); \\watch 0.01";
    let script = world.path("write.sql");
    fs::write(&script, sql).expect("write");
    writer
        .args(["-X", "-q", "-d", &world.pg.url_of("app"), "-f"])
        .arg(&script)
        .stdout(std::process::Stdio::null());
    let mut writer = writer.spawn().expect("run psql");
    for _ in 0..3 {
        let id = world.dump("app", &[]);
        world.run(&["restore-dump", &id, "--into", "beside"]).fine();
        world.pg.psql("postgres", "drop database beside");
    }
    writer.kill().expect("kill psql");
    writer.wait().expect("psql ends");
}

#[test]
fn a_dump_that_fails_ends_the_count_of_rows() {
    let mut world = World::new();
    world.app();
    let bin = world.path("bin");
    fs::create_dir(&bin).expect("make a folder");
    let real = world.pg.bin("pg_dump").display().to_string();
    let stub = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec {real} --version\necho 'pg_dump: error: out of order' >&2; exit 1\n"
    );
    fs::write(bin.join("pg_dump"), stub).expect("write");
    fs::set_permissions(bin.join("pg_dump"), fs::Permissions::from_mode(0o755)).expect("make it run");
    std::os::unix::fs::symlink(world.pg.bin("pg_dumpall"), bin.join("pg_dumpall")).expect("link");
    world.set("TOBAN_PG_BIN", &bin.display().to_string());
    // Who counts waits for this lock, for ever if nobody ends it.
    let mut other = Client::connect(&world.pg.conninfo("app"), NoTls).expect("connect");
    other.batch_execute("begin; lock table users in access exclusive mode").expect("lock");
    world.run(&["dump", "app"]).refused(1, "out of order");
}
