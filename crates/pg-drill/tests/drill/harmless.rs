//! A drill cannot touch production, whatever the restored configuration says.

use crate::world::World;
use std::fs;

#[test]
fn no_setting_of_production_takes_effect() {
    let world = World::with(15, &["wal_level=logical"]);
    let touched = world.folder("touched");
    let touch = |name: &str| format!("'touch {}/{name}'", touched.display());
    // A publication, and a subscription that would consume from the live server once it is promoted.
    world.pg.psql("postgres", "create publication p for table ledger");
    world.pg.psql("postgres", "create database other");
    let conninfo = world.pg.conninfo("postgres").replace('\'', "''");
    world.pg.psql("postgres", "select pg_create_logical_replication_slot('s', 'pgoutput')");
    let subscribe = format!(
        "create table ledger (n int primary key, t text); create subscription s connection '{conninfo}' \
         publication p with (create_slot = false, copy_data = false)"
    );
    world.pg.psql("other", &subscribe);
    world.pg.psql(
        "other",
        "alter subscription s disable; create function boom() returns event_trigger language plpgsql \
         as $$ begin raise exception 'a trigger of the application fired'; end $$; \
         create event trigger e on ddl_command_start execute function boom()",
    );
    // Enabled only in the backup: the live server has not the worker to take the slot's changes away.
    world.pg.psql(
        "other",
        "alter event trigger e disable; alter subscription s enable; alter event trigger e enable",
    );
    world.back_up();
    let config = format!(
        "shared_preload_libraries = 'no_such_library'\nsession_preload_libraries = 'no_such_library'\nssl = on\n\
         ssl_cert_file = '/no/such/file'\nlisten_addresses = '*'\nport = {}\narchive_mode = on\n\
         archive_command = {}\narchive_cleanup_command = {}\nrecovery_end_command = {}\n\
         primary_conninfo = '{}'\nlogging_collector = on\nlog_directory = '{2}'\nexternal_pid_file = '{2}/pid'\n\
         max_connections = 1\nshared_buffers = '900GB'\nhba_file = '/no/such/hba'\ndata_directory = '{}'\n",
        world.pg.port(),
        touch("archived"),
        touched.display(),
        touch("ended"),
        conninfo,
        world.pg.data_dir().display(),
    );
    let config = config.replace(
        &format!("archive_cleanup_command = {}", touched.display()),
        &format!("archive_cleanup_command = {}", touch("cleaned")),
    );
    world.write("production.conf", &config);
    let script = fs::read_to_string(world.restorer()).expect("the script")
        + &format!(
            "cat {} >> \"$PGDATA/postgresql.conf\"\nrm \"$PGDATA/recovery.signal\"; : > \"$PGDATA/standby.signal\"\n",
            world.text("production.conf")
        );
    let script = world.write("harmful.sh", &script);
    let segment = world.ship();
    let before = world
        .pg
        .psql("postgres", "select confirmed_flush_lsn from pg_replication_slots where slot_name = 's'");
    let ran = world.drill(&[
        "--json",
        "--repo",
        &world.text("repo"),
        "--db",
        &world.pg.url(),
        "--",
        "sh",
        &script,
        "{dir}",
    ]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(fs::read_dir(&touched).expect("a folder").count(), 0, "a command of production ran");
    let _ = (segment, before);
    let senders =
        world.pg.psql("postgres", "select count(*) from pg_stat_replication where application_name <> 's'");
    assert_eq!(senders, "0");
}
