//! The users' own files: what `pg_dump | gzip` and its relatives have left them with.

use crate::world::World;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Writes a dump of `app` by a shell line; `$D` is pg_dump, `$A` pg_dumpall, `$U` the database's URL, `$F` the file.
fn made(world: &World, name: &str, script: &str) -> PathBuf {
    let file = world.path(name);
    let done = Command::new("bash")
        .args(["-o", "pipefail", "-ec", script])
        .env("D", world.pg.bin("pg_dump"))
        .env("A", world.pg.bin("pg_dumpall"))
        .env("U", world.pg.url_of("app"))
        .env("F", &file)
        .output()
        .expect("run bash");
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    file
}

#[test]
fn every_form_of_theirs_restores() {
    let world = World::new();
    world.app();
    let before = world.text("app", &[]);
    for (name, script) in [
        ("a.sql", "$D -d $U > $F"),
        ("a.sql.gz", "$D -d $U | gzip > $F"),
        ("inserts.sql.gz", "$D --inserts -d $U | gzip -1 > $F"),
        ("clean.sql", "$D --clean --if-exists -d $U > $F"),
        ("a.dump", "$D -Fc -d $U > $F"),
        ("a.dump.gz", "$D -Fc -Z0 -d $U | gzip > $F"),
        ("a.tar", "$D -Ft -d $U > $F"),
        ("folder", "$D -Fd -j2 -f $F -d $U"),
        ("a b'c.backup", "$D -Fc -d $U > \"$F\""),
    ] {
        let file = made(&world, name, script);
        let stdout = world.run(&["restore-dump", &file.display().to_string(), "--into", "beside"]).fine();
        assert!(stdout.contains("beside"), "{stdout}");
        assert_eq!(world.text("beside", &[]), before, "{name}");
        world.pg.psql("postgres", "drop database beside");
    }
}

#[test]
fn what_would_go_wrong_is_refused_with_the_reason() {
    let world = World::new();
    world.app();
    let gz = "$D -d $U | gzip";
    for (name, script, status, said) in [
        ("data.sql.gz", "$D --data-only -d $U | gzip > $F", 1, "holds data only"),
        ("data.dump", "$D -Fc --data-only -d $U > $F", 1, "holds data only"),
        ("all.sql", "$A -d $U > $F", 1, "leave the database"),
        ("create.sql.gz", "$D --create -d $U | gzip > $F", 1, "leave the database"),
        ("cut.sql.gz", &format!("{gz} > $F; truncate -s 3000 $F"), 5, "is cut off"),
        ("cut.sql", "$D -d $U > $F; truncate -s 9000 $F", 5, "is cut off"),
        (
            "flipped.sql.gz",
            &format!("{gz} > $F; printf '\\377\\377' | dd of=$F bs=1 seek=2000 conv=notrunc status=none"),
            5,
            "damaged",
        ),
        ("cut.dump", "$D -Fc -d $U > $F; truncate -s 4000 $F", 5, "cannot be read to its end"),
        ("a.sql.zst", "$D -d $U | zstd -q > $F", 1, "zstd"),
        ("empty.sql", ": > $F", 1, "it is empty"),
        ("prose.txt", "echo 'Dear all, the backup is attached.' > $F", 1, "no dump"),
        ("image.png", "printf '\\211PNG\\r\\n\\0\\0' > $F", 1, "neither SQL"),
        (
            "newer.sql",
            "$D -d $U | sed 's/^-- Dumped from database version .*/-- Dumped from database version 99.1/' > $F",
            1,
            "PostgreSQL 99",
        ),
    ] {
        let file = made(&world, name, script).display().to_string();
        for target in [["--into", "beside"], ["--replace", "app"]] {
            let args = [&["restore-dump", &file], &target[..]].concat();
            world.run(&args).refused(status, said);
        }
        assert_eq!(world.databases(), ["app"], "{name}");
    }
    assert_eq!(world.files().len(), 0, "a safety dump was made before the dump was checked");
}

#[test]
fn dumps_without_owners_belong_to_the_application_and_one_schema_is_enough() {
    let world = World::new();
    world.pg.psql("postgres", "create role app login; create database app owner app");
    world.pg.psql("app", "set role app; create table q as select 7 as n");
    for script in ["$D -O -x -d $U | gzip > $F", "$D -O -x -n public -d $U | gzip > $F"] {
        let file = made(&world, "a.sql.gz", script).display().to_string();
        world.run(&["restore-dump", &file, "--replace", "app", "--no-safety-dump"]).fine();
        assert_eq!(world.pg.psql("app", "set role app; select n from q"), "7", "{script}");
    }
    let file = made(&world, "clean.sql", "$D --clean -d $U > $F").display().to_string();
    let said = world.run(&["restore-dump", &file, "--into", "beside"]).refused(1, "does not exist");
    assert!(said.contains("--if-exists"), "{said}");
}

/// The programs may be newer than the server: 17 and later write a setting that older servers refuse.
#[test]
fn by_newer_programs() {
    let mut world = World::new();
    world.app();
    let bin = testkit::pg::program(18, "pg_dump");
    world.set("TOBAN_PG_BIN", &bin.parent().expect("a folder").display().to_string());
    for form in ["custom", "sql"] {
        let id = world.dump("app", &["--format", form]);
        world.run(&["restore-dump", &id, "--replace", "app"]).fine();
        assert_eq!(world.pg.psql("app", "select count(*) from users"), "1000");
    }
}

/// Names in a bucket are people's own: times with colons, spaces, umlauts.
#[test]
fn from_a_bucket() {
    let s3 = testkit::S3::start();
    let world = World::new().in_repo(&s3.url("old"), s3.env());
    world.app();
    let put = "import sys, urllib.request, urllib.parse as p\n\
               body = open(sys.argv[1], 'rb').read()\n\
               urllib.request.urlopen(urllib.request.Request(sys.argv[2] + p.quote(sys.argv[3]), body, method='PUT'))";
    for (name, script) in [
        ("app 2025-11-02T03:00:00+01:00 (Größe).sql.gz", "$D -d $U | gzip > \"$F\""),
        ("app.dump", "$D -Fc -d $U > $F"),
    ] {
        let file = made(&world, name, script);
        let base = format!("{}/old/year/", s3.endpoint());
        let done = Command::new("python3").args(["-c", put]).arg(&file).args([&base, name]).status();
        assert!(done.expect("run python3").success());
        world.run(&["restore-dump", &format!("s3://old/year/{name}"), "--into", "beside"]).fine();
        assert_eq!(world.text("beside", &[]), world.text("app", &[]), "{name}");
        world.pg.psql("postgres", "drop database beside");
    }
    world.run(&["restore-dump", "s3://old/year/none.dump", "--into", "beside"]).refused(1, "none.dump");
}

#[test]
fn errors_inside_a_dump_leave_nothing_behind() {
    let world = World::new();
    world.app();
    let file = world.path("bad.sql");
    fs::write(&file, "create table t (x integer);\ninsert into nowhere values (1);\ncreate table u ();\n")
        .expect("write");
    world.run(&["restore-dump", &file.display().to_string(), "--into", "beside"]).refused(1, "nowhere");
    assert_eq!(world.databases(), ["app"]);
}
