//! `check`: findings and the monitoring contract.

use crate::world::World;

#[test]
fn fresh_and_verified_is_well_and_old_is_not() {
    let world = World::new();
    world.app();
    world.dump("app", &[]);
    world.run(&["check"]).refused(4, "need attention");
    world.run(&["verify"]).fine();
    world.run(&["check"]).fine();
    world.run(&["check", "app"]).fine();
    let at = |days: u64| {
        let then = std::time::SystemTime::now() + std::time::Duration::from_secs(days * 86400);
        let secs = then.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        world.pg.psql("postgres", &format!("set timezone to 'UTC'; select to_char(to_timestamp({secs}), 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"))
    };
    let ran = world.run(&["check", "--at", &at(2)]);
    assert!(
        ran.stdout.contains("WARNING\tage\tapp\t") && ran.stdout.contains("OK\tverify\tapp\t"),
        "{ran:?}"
    );
    ran.refused(4, "1 of 2 findings");
    let ran = world.run(&["check", "--at", &at(40)]);
    assert!(ran.stdout.contains("CRITICAL\tage") && ran.stdout.contains("CRITICAL\tverify"), "{ran:?}");
    world.run(&["check", "gone"]).refused(4, "1 of 1");
}

#[test]
fn a_dump_that_shrank_is_a_finding() {
    let world = World::new();
    world.app();
    world.pg.psql("app", "insert into users select n, md5(n::text) from generate_series(1001, 20000) n");
    for _ in 0..3 {
        world.dump("app", &[]);
    }
    world.pg.psql("app", "truncate users");
    world.dump("app", &[]);
    let ran = world.run(&["check"]);
    assert!(ran.stdout.contains("CRITICAL\tsize") || ran.stdout.contains("WARNING\tsize"), "{ran:?}");
    assert_eq!(ran.status, Some(4));
}

#[test]
fn as_a_monitoring_plugin() {
    let world = World::new();
    let said = |args: &[&str], status: i32, begin: &str| {
        let ran = world.run(args);
        assert!(
            ran.status == Some(status) && ran.stdout.starts_with(begin) && ran.stdout.lines().count() == 1,
            "{args:?}: {ran:?}"
        );
    };
    said(&["check", "--monitoring"], 2, "CRITICAL: ");
    said(&["check", "--monitoring", "--repo", "nope"], 3, "UNKNOWN: ");
    world.app();
    world.dump("app", &[]);
    said(&["check", "--monitoring"], 1, "WARNING: app in ");
    world.run(&["verify"]).fine();
    said(&["check", "--monitoring"], 0, "OK: 2 checks passed | 'app in ");
    assert_eq!(world.run(&["check", "--monitoring", "--nonsense"]).status, Some(3));
}

#[test]
fn a_finding_that_is_accepted_counts_as_ok_until_its_end() {
    let mut world = World::new();
    world.app();
    world.dump("app", &[]);
    let path = world.dir.path().join("accept.toml");
    let mut accept = |id: &str, object: &str, until: &str| {
        let text = format!(
            "[[accept]]\ntool = 'pg-backup'\nid = '{id}'\nobject = '{object}'\nreason = 'a copy'\nowner = 'ops'\nuntil = '{until}'\n"
        );
        std::fs::write(&path, text).expect("write the configuration");
        world.set("TOBAN_CONFIG", &path.display().to_string());
        world.run(&["check", "--json"])
    };
    let ran = accept("verify", "a*", "2999-12-31");
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let accepted = serde_json::json!({ "reason": "a copy", "owner": "ops", "until": "2999-12-31" });
    let verify = ran.findings().into_iter().find(|f| f["id"] == "verify").expect("it is still told");
    assert_eq!((&verify["severity"], &verify["accepted"]), (&"ok".into(), &accepted));
    let ran = accept("verify", "a*", "2020-01-01");
    assert_eq!(ran.status, Some(4), "{ran:?}");
    let ids: Vec<String> = ran.findings().iter().map(|f| format!("{} {}", f["severity"], f["id"])).collect();
    assert!(ids.contains(&"\"warning\" \"accept-expired\"".into()), "{ids:?}");
    accept("verfy", "a*", "2999-12-31").refused(2, "pg-backup has no finding with this id");
}
