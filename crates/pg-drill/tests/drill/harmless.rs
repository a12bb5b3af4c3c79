//! A drill cannot touch production, whatever the restored configuration says.

use crate::world::World;
use std::fs;
use std::path::Path;

/// Settings that would reach out, or that no second server on this machine starts with.
fn config(world: &World, touched: &Path) -> String {
    let conninfo = world.pg.conninfo("postgres").replace('\'', "''");
    let at = |name: &str| touched.join(name).display().to_string();
    let touch = |name: &str| format!("touch {}", at(name));
    let settings = [
        ("shared_preload_libraries", "no_such_library".to_string()),
        ("session_preload_libraries", "no_such_library".into()),
        ("ssl", "on".into()),
        ("ssl_cert_file", "/no/such/file".into()),
        ("listen_addresses", "*".into()),
        ("archive_mode", "on".into()),
        ("archive_command", touch("archived")),
        ("archive_cleanup_command", touch("cleaned")),
        ("recovery_end_command", touch("ended")),
        ("primary_conninfo", conninfo),
        ("logging_collector", "on".into()),
        ("log_directory", touched.display().to_string()),
        ("external_pid_file", at("pid")),
        ("max_connections", "1".into()),
        ("shared_buffers", "900GB".into()),
        ("hba_file", "/no/such/hba".into()),
        ("data_directory", world.pg.data_dir().display().to_string()),
    ];
    settings.iter().map(|(name, value)| format!("{name} = '{value}'\n")).collect()
}

/// A subscription that would take the slot's changes from the live server, and an event trigger that fails. The live
/// server itself has no worker for it.
fn subscribed(world: &World) {
    let conninfo = world.pg.conninfo("postgres").replace('\'', "''");
    world.pg.psql("postgres", "create publication p for table ledger");
    world.pg.psql("postgres", "create database other");
    world.pg.psql("postgres", "select pg_create_logical_replication_slot('s', 'pgoutput')");
    let sql = format!(
        "create table ledger (n int primary key, t text);
         create subscription s connection '{conninfo}' publication p
             with (create_slot = false, copy_data = false, slot_name = 's');
         create function boom() returns event_trigger language plpgsql
             as $$ begin raise exception 'a trigger of the application fired'; end $$;
         create event trigger e on ddl_command_start execute function boom()"
    );
    world.pg.psql("other", &sql);
}

#[test]
fn no_setting_of_production_takes_effect() {
    let world = World::with(15, &["wal_level=logical", "max_logical_replication_workers=0"]);
    subscribed(&world);
    world.back_up();
    let touched = world.folder("touched");
    world.write("production.conf", &config(&world, &touched));
    let script = fs::read_to_string(world.restorer()).expect("the script")
        + &format!("cat {} >> \"$PGDATA/postgresql.conf\"\n", world.text("production.conf"))
        + "rm \"$PGDATA/recovery.signal\"; : > \"$PGDATA/standby.signal\"\n";
    let script = world.write("harmful.sh", &script);
    world.pg.psql("postgres", "insert into ledger values (100000, 'for the subscriber')");
    world.ship();
    let slot = || {
        world.pg.psql(
            "postgres",
            "select confirmed_flush_lsn, active from pg_replication_slots where slot_name = 's'",
        )
    };
    let before = slot();
    let (repo, url) = (world.text("repo"), world.pg.url());
    let ran = world.drill(&["--json", "--repo", &repo, "--db", &url, "--", "sh", &script, "{dir}"]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(fs::read_dir(&touched).expect("a folder").count(), 0, "a command of production ran");
    assert_eq!(slot(), before, "the drill took the subscriber's changes");
}
