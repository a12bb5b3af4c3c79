//! Other tools' backups: pgBackRest, a cold tar, a dump.

use crate::world::{World, finding, found};
use std::fs;
use std::path::Path;
use std::process::Command;
use testkit::pg::as_owner;
use testkit::tool;

#[test]
fn a_dump_into_a_server_of_the_drills_own() {
    let world = World::new(15);
    let dump =
        Command::new(world.pg.bin("pg_dump")).args(["-d", &world.pg.url()]).output().expect("run pg_dump");
    assert!(dump.status.success());
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, &dump.stdout).expect("compress");
    fs::write(world.path("app.sql.gz"), gz.finish().expect("compress")).expect("write the dump");
    let checks = world
        .write("q.sql", "-- check: rows\n-- database: app\n-- expect: 20000\nselect count(*) from ledger;\n");
    let psql = world.pg.bin("psql").display().to_string();
    let load = |name: &str| {
        let sql = "set -e -o pipefail; ";
        format!(
            "{sql}{psql} -qc 'create database app'; gunzip -c {} | {psql} -q -v ON_ERROR_STOP=1 -d app",
            world.text(name)
        )
    };
    let drill = |script: &str| {
        world.drill(&[
            "--json", "--into", "server", "--checks", &checks, "--rto", "5min", "--", "bash", "-c", script,
        ])
    };
    let ran = drill(&load("app.sql.gz"));
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(finding(&ran, "query rows").0, "ok");
    assert_eq!(world.proof()["system_identifier"], serde_json::Value::Null);
    // The environment leads nowhere but to the drill's server.
    let own = drill(&format!("test -z \"$DATABASE_URL\" && {}", load("app.sql.gz")));
    assert_eq!(own.status, Some(0), "{}{}", own.stdout, own.stderr);

    let whole = fs::read(world.path("app.sql.gz")).expect("read");
    fs::write(world.path("cut.sql.gz"), &whole[..whole.len() / 2]).expect("cut");
    found(&drill(&load("cut.sql.gz")), 4, "restore: bash ended with");
}

/// pgBackRest as Debian has it, told of this world.
fn pgbackrest(world: &World) -> String {
    let program = tool("pgbackrest/usr/bin/pgbackrest");
    for folder in ["rest-repo", "rest-log", "rest-lock"] {
        world.folder(folder);
    }
    // In the environment, as each command refuses options of the others; and restored settings name this script.
    let variables = [
        ("CONFIG", "/dev/null".to_string()),
        ("STANZA", "main".into()),
        ("REPO1_PATH", world.text("rest-repo")),
        ("LOG_PATH", world.text("rest-log")),
        ("LOCK_PATH", world.text("rest-lock")),
        ("LOG_LEVEL_CONSOLE", "warn".into()),
        ("PG1_SOCKET_PATH", world.pg.socket_dir().display().to_string()),
        ("PG1_PORT", world.pg.port().to_string()),
        ("PG1_USER", "postgres".into()),
        ("CMD", world.text("bin/pgbackrest")),
    ];
    let exports: String = variables.iter().map(|(n, v)| format!("export PGBACKREST_{n}='{v}'\n")).collect();
    let script = format!("#!/bin/sh\n{exports}exec {} \"$@\"\n", program.display());
    let path = world.write("bin/pgbackrest", &script);
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("make it run");
    path
}

#[test]
fn pgbackrest_with_its_own_archive() {
    let world = World::new(15);
    let rest = pgbackrest(&world);
    let data = world.pg.data_dir().display().to_string();
    let call = |args: &[&str]| {
        let done = as_owner(Path::new(&rest))
            .args(args)
            .arg(format!("--pg1-path={data}"))
            .output()
            .expect("run pgbackrest");
        let said =
            format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{args:?}: {said}");
    };
    call(&["stanza-create"]);
    world.pg.archive_by(&format!("{rest} --pg1-path={data} archive-push %p"));
    call(&["backup", "--type=full", "--start-fast"]);
    world.pg.psql("postgres", "insert into ledger values (100000, 'after the backup')");
    world.pg.psql("postgres", "select pg_switch_wal()");
    testkit::until("archived", std::time::Duration::from_secs(60), || {
        let waiting =
            fs::read_dir(world.pg.data_dir().join("pg_wal/archive_status")).expect("a folder").flatten();
        let waiting = waiting.filter(|e| e.file_name().to_string_lossy().ends_with(".ready")).count();
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} wait; {}", world.pg.log())) }
    });
    let checks = world.write("q.sql", "-- check: after\nselect count(*) = 1 from ledger where n = 100000;\n");
    let ran = world.drill(&[
        "--json",
        "--checks",
        &checks,
        "--db",
        &world.pg.url(),
        "--",
        &rest,
        "--pg1-path={dir}",
        "--tablespace-map-all={tablespaces}",
        "restore",
    ]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    for check in ["query after", "rows", "relations", "amcheck", "checksums"] {
        assert_eq!(finding(&ran, check).0, "ok", "{}", ran.stdout);
    }
    let none = world.drill(&[
        "--json",
        "--checks",
        &checks,
        "--",
        &rest,
        "--pg1-path={dir}",
        "--repo1-path=/nowhere",
        "restore",
    ]);
    found(&none, 4, "restore: pgbackrest ended with");
}
