//! Paths to power, each gone for real: memberships to any depth, their options, attributes, predefined roles.

use crate::world::{World, of, text};
use testkit::{Pg, majors};

/// The path that is told for a role's right, without the words around it.
fn path(records: &[serde_json::Value], right: &str, role: &str) -> Option<String> {
    let one = of(records, &right.replace('_', "-")).into_iter().find(|r| r["object"] == role)?;
    let said = text(one, "text").split("; ").next().unwrap_or_default().to_string();
    said.split_once(": ").map(|(_, path)| path.to_string())
}

/// psql's last line as this role logged in, errors and all.
fn tries(world: &World, role: &str, sql: &str) -> String {
    let mut psql = testkit::pg::clean(&world.pg.bin("psql"));
    let to = format!(
        "host={} port={} user={role} dbname=postgres",
        world.pg.socket_dir().display(),
        world.pg.port()
    );
    let done = psql
        .args(["-XAtq", "-d", &to])
        .args(sql.split(";;").flat_map(|s| ["-c", s]))
        .output()
        .expect("run psql");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    said.lines().last().unwrap_or_default().to_string()
}

const SUPER: &str = "select current_setting('is_superuser')";

#[test]
fn superuser_at_any_depth() {
    for major in majors() {
        let world = World::with(Pg::start_major(major, &[]));
        world.pg.psql(
            "postgres",
            "create role top superuser; create role d1 login; create role d2 login; create role d3 login; create role d4 login; \
             create role d5 login noinherit; grant top to d1; grant d1 to d2; grant d2 to d3; grant d3 to d4; grant d4 to d5; \
             create role nobody login",
        );
        let records = world.records(&["roles"]);
        let mut way = String::from("top");
        for role in ["d1", "d2", "d3", "d4", "d5"] {
            way = format!("{role} → {way}");
            // SET ROLE takes any membership, also one of many steps: the way is told whole.
            assert_eq!(path(&records, "superuser", role).as_deref(), Some(&*way), "{major}");
            assert_eq!(tries(&world, role, &format!("set role top;;{SUPER}")), "on", "{major}: {role}");
        }
        assert_eq!(path(&records, "superuser", "nobody"), None);
    }
}

#[test]
fn the_options_of_16_decide() {
    for major in [16, 18] {
        let world = World::with(Pg::start_major(major, &[]));
        world.pg.psql(
            "postgres",
            "create role top superuser; create role mid; grant top to mid with inherit false, set true; \
             create role no_set login; grant top to no_set with set false, inherit true; \
             create role admin_only login; grant mid to admin_only with admin true, inherit false, set false; \
             create role by_two login; create role giver createrole; grant mid to giver with admin true; \
             grant mid to by_two with inherit true, set false; set role giver; grant mid to by_two with inherit false, set true; reset role; \
             create role not_top login; grant top to not_top with admin true, inherit false, set false",
        );
        let records = world.records(&["roles"]);
        let told = |role: &str| path(&records, "superuser", role);
        assert_eq!(told("no_set"), None, "a superuser's attribute is not inherited");
        assert!(tries(&world, "no_set", "set role top").contains("permission denied"));
        assert_eq!(told("admin_only").as_deref(), Some("admin_only ⇒ mid → top"));
        let gone = format!("grant mid to admin_only with set true;;set role mid;;set role top;;{SUPER}");
        assert_eq!(tries(&world, "admin_only", &gone), "on", "{major}: it grants itself the way");
        assert_eq!(
            told("by_two").as_deref(),
            Some("by_two → mid → top"),
            "the options of two grantors add up"
        );
        assert_eq!(tries(&world, "by_two", &format!("set role mid;;set role top;;{SUPER}")), "on");
        assert_eq!(told("not_top"), None, "superusers' roles only superusers grant");
        assert!(
            tries(&world, "not_top", "grant top to not_top with set true").contains("SUPERUSER attribute"),
            "{major}"
        );
    }
}

#[test]
fn every_attribute_and_predefined_role_of_each_major() {
    for major in majors() {
        let world = World::with(Pg::start_major(major, &[]));
        world.pg.psql(
            "postgres",
            "create role b login bypassrls; create role r login replication; create role c login createrole; create role d login createdb; \
             create role o login; alter database postgres owner to o; create role through; create role last login; grant through to last",
        );
        // What looks at statistics and settings alone is no power.
        let harmless = "'pg_monitor', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_database_owner'";
        let sql = format!(
            "select rolname from pg_roles where rolname ~ '^pg_' and rolname not in ({harmless}) order by 1"
        );
        let powers = world.pg.psql("postgres", &sql);
        for power in powers.lines() {
            world.pg.psql(
                "postgres",
                &format!("create role x_{power} login; grant {power} to x_{power}; grant {power} to through"),
            );
        }
        let records = world.records(&["roles"]);
        for (right, role) in
            [("bypassrls", "b"), ("replication", "r"), ("createrole", "c"), ("createdb", "d")]
        {
            assert_eq!(path(&records, right, role).as_deref(), Some(role), "{major}");
        }
        assert_eq!(
            path(&records, "pg_database_owner", "o").as_deref(),
            Some("o → pg_database_owner"),
            "{major}"
        );
        assert!(powers.lines().count() >= 5, "{powers}");
        for power in powers.lines() {
            let direct = path(&records, power, &format!("x_{power}")).unwrap_or_default();
            assert!(direct.ends_with(power), "PostgreSQL {major}: {power} is not known: {direct:?}");
            let way = path(&records, power, "last").unwrap_or_default();
            assert!(
                way.starts_with("last ") && way.contains("through") && way.ends_with(power),
                "{major}: {power}: {way}"
            );
        }
        // It reads every password's hash, as the rule says.
        let hashes = tries(&world, "x_pg_read_all_data", "select count(*) > 0 from pg_authid");
        assert_eq!(hashes, "t", "{major}");
    }
}
