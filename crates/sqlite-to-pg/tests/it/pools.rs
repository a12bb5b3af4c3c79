//! pgbouncer between us and the server.

use crate::world::World;
use testkit::Pooler;

const SOURCE: &str = "create table t (id integer primary key, x text); insert into t values (1, 'a'), (2, 'b'); create table u (y int); insert into u values (5);";

/// What our sessions would leave to whoever gets the server's session next.
const TRACES: &str = "select (select count(*) from pg_locks where locktype = 'advisory'), current_setting('search_path'), current_setting('row_security'), current_setting('synchronous_commit')";

#[test]
fn a_pool_of_transactions_is_refused_before_anything_is_set() {
    let world = World::of(SOURCE);
    for settings in [
        &["pool_mode = transaction"][..],
        &["pool_mode = transaction", "default_pool_size = 1"],
        &["pool_mode = statement"],
    ] {
        let pool = Pooler::with(&world.pg, settings);
        let own = pool.conninfo();
        for args in [
            &["run", "app.db", "--to", &own, "--json"][..],
            &["run", "app.db", "--to", &own, "--undo"],
            &["run", "app.db", "--to", &own, "--existing", "append"],
            &["plan", "app.db", "--for", &own],
        ] {
            let ran = world.tool(args);
            ran.refused_in_a_line(1, "a pool in transaction mode");
            assert!(ran.stderr.contains("pool_mode = session"), "{ran:?}");
        }
        let through = std::process::Command::new(world.pg.bin("psql"))
            .args(["-XAt", "-d", &own, "-c", TRACES])
            .output()
            .expect("psql");
        assert_eq!(
            String::from_utf8_lossy(&through.stdout).trim(),
            "0|\"$user\", public|on|on",
            "{settings:?}"
        );
    }
    world.untouched();
}

#[test]
fn a_pool_of_few_sessions_is_enough_or_said_to_be_too_small() {
    let world = World::of(SOURCE);
    let pool = Pooler::with(&world.pg, &["pool_mode = session", "default_pool_size = 2"]);
    let ran = world.tool(&["run", "app.db", "--to", &pool.conninfo(), "--jobs", "4", "--json"]);
    assert!(ran.stderr.contains("the target gives no more than 2 sessions"), "{ran:?}");
    ran.ended(0);
    world.verified();
    let verified = world.tool(&["verify", "app.db", "--against", &pool.conninfo()]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
    drop(pool);
    let pool = Pooler::with(&world.pg, &["pool_mode = session", "default_pool_size = 1"]);
    world
        .tool(&["run", "app.db", "--to", &pool.conninfo(), "--schema", "other"])
        .refused_in_a_line(75, "no second session");
}
