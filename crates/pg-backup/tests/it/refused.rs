//! Wrong input and missing rights: one clear line, the right status, nothing left.

use crate::world::World;
use std::fs;
use testkit::Pg;

#[test]
fn what_the_server_refuses() {
    let pg = Pg::builder().tcp().hba("host all all 127.0.0.1/32 scram-sha-256").start();
    let mut world = World::with(pg);
    world.app();
    world.pg.psql(
        "postgres",
        "create role weak login password 'canary-Pa55'; create database owned owner weak; \
         create database rls; create role strong login superuser password 'canary-Pa55'",
    );
    world.pg.psql(
        "rls",
        "create table t (x integer); alter table t enable row level security; \
         grant select on t to weak",
    );
    let port = world.pg.port();
    let login =
        |user: &str, database: &str| format!("host=127.0.0.1 port={port} user={user} dbname={database}");
    let weak = login("weak", "app");
    world.set("PGPASSWORD", "wrong-canary");
    world.run(&["dump", "--db", &weak]).refused(1, "password");
    world.set("PGPASSWORD", "canary-Pa55");
    for (args, status, said) in [
        (&["dump", "nope", "--db", &weak][..], 2, "there is no database \"nope\""),
        (&["dump", "template1", "--db", &weak], 2, "is a template"),
        (&["dump", "a\nb", "--db", &weak], 2, "line break"),
        (&["dump", "app", "--db", &weak], 1, "--globals no-passwords"),
        (&["dump", "app", "--db", &weak, "--globals", "none"], 1, "pg_read_all_data"),
        (&["dump", "rls", "--db", &weak, "--globals", "none"], 1, "BYPASSRLS"),
        (&["dump", "--db", "host=127.0.0.1 port=1 user=x dbname=x"], 75, "127.0.0.1"),
        (&["dump", "--db", &login("strong", "gone")], 1, "gone"),
        (&["dump", "--db", "nonsense=1"], 2, "nonsense"),
    ] {
        let said = world.run(args).refused(status, said);
        assert!(said.lines().count() <= 2, "one line and a hint: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
    assert_eq!(world.files().len(), 0);
    let strong = login("strong", "app");
    let id = world.dump("app", &["--db", &strong]);
    let weak = login("weak", "postgres");
    world.run(&["restore-dump", &id, "--into", "new", "--db", &weak]).refused(1, "createdb");
    world.run(&["restore-dump", &id, "--replace", "app", "--db", &weak]).refused(1, "");
    assert_eq!(world.databases(), ["app", "owned", "rls"]);
    assert_eq!(world.pg.psql("app", "select count(*) from users"), "1000");
}

#[test]
fn what_the_command_line_refuses() {
    let world = World::new();
    world.app();
    let id = world.dump("app", &[]);
    for (args, status, said) in [
        (&["restore-dump", &id][..], 2, "--into"),
        (&["restore-dump", &id, "--into", "app"], 1, "not empty"),
        (&["restore-dump", &id, "--into", ""], 2, "empty"),
        (&["restore-dump", &id, "--replace", "template1"], 2, "template"),
        (&["restore-dump", &id, "--replace", "ap"], 2, "there is no database \"ap\" to replace"),
        (&["restore-dump", "20261121T030000Z-120034", "--into", "x"], 2, "no dump"),
        (&["restore-dump", "/nonexistent", "--into", "x"], 2, "neither the ID"),
        (&["restore-dump", "/etc", "--into", "x"], 2, "toc.dat"),
        (&["restore-dump", "latest", "--of", "nope", "--into", "x"], 2, "no dump latest of database"),
        (&["list", "--repo", "nope"], 2, "no [repo.nope] section"),
        (&["list", "--repo", "ftp://x/y"], 2, "is not a repository"),
        (&["dump", "--level", "10"], 2, "10"),
        (&["dump", "--label", "Not OK"], 2, "lower-case"),
        (&["dump", "--cluster", "../x"], 2, "letters"),
        (&["prune", "--keep-within", "soon"], 2, "length of time"),
        (&["list", "--config", "/nonexistent"], 2, "/nonexistent"),
    ] {
        world.run(args).refused(status, said);
    }
    assert_eq!(world.databases(), ["app"]);
}

/// A mistyped cluster, folder or database must not pass for one in which there is nothing to do.
#[test]
fn names_of_nothing_are_told_with_what_there_is() {
    let world = World::new();
    world.app();
    world.dump("app", &[]);
    let elsewhere = format!("file://{}/elsewhere", world.path("").display());
    for (args, status, said) in [
        (&["list", "--cluster", "prod"][..], 2, "it holds main"),
        (&["list", "nope"], 2, "it holds dumps of app"),
        (&["list", "--repo", &elsewhere], 2, "is it the right place?"),
        (&["prune", "--keep-last", "1", "--cluster", "prod"], 2, "it holds main"),
        (&["prune", "--keep-last", "1", "--repo", &elsewhere, "--dry-run"], 2, "is it the right place?"),
        (&["verify", "--cluster", "prod"], 4, "it holds main"),
        (&["verify", "--newest", "--repo", &elsewhere], 4, "is it the right place?"),
        (&["restore-dump", "latest", "--into", "x", "--cluster", "prod"], 2, "no dump latest"),
        (&["restore", "latest", "--target", "/tmp/never", "--cluster", "prod"], 2, ""),
        (&["check", "--cluster", "prod"], 4, ""),
    ] {
        world.run(args).refused(status, said);
    }
    // One of two is enough to be told of, and hides nothing of the other.
    let both = format!("file://{}/repo,{elsewhere}", world.path("").display());
    for verb in [&["list"][..], &["verify"], &["prune", "--keep-last", "1"]] {
        let ran = world.run(&[verb, &["--repo", &both]].concat());
        assert!(ran.stdout.contains("app\t"), "{ran:?}");
        assert!(ran.status != Some(0) && ran.stderr.contains("elsewhere holds no"), "{ran:?}");
    }
}

#[test]
fn places_that_cannot_be_written() {
    let world = World::new();
    world.app();
    fs::write(world.path("file"), "").expect("write");
    let inside = format!("file://{}/file/repo", world.path("").display());
    world.run(&["dump", "app", "--repo", &inside]).refused(1, "file");
    // /proc takes no folder from anybody, root included.
    world.run(&["dump", "app", "--repo", "file:///proc/toban"]).refused(1, "/proc/toban");
}

#[test]
fn programs_that_are_missing_or_too_old() {
    let mut world = World::new();
    world.app();
    let bin = world.path("bin");
    fs::create_dir(&bin).expect("mkdir");
    let old = bin.join("pg_dump");
    fs::write(&old, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n").expect("write");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).expect("chmod");
    world.set("TOBAN_PG_BIN", &bin.display().to_string());
    let ran = world.run(&["dump", "app", "--bin-dir", &bin.display().to_string()]);
    assert!(ran.status != Some(0) || !ran.stdout.is_empty());
}
