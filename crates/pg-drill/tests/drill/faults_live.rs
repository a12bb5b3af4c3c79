//! Faults that only queries, objectives and the clock tell.

use crate::world::{World, finding, found};

#[test]
fn queries_objectives_and_the_clock() {
    let world = World::new(15);
    world.back_up();
    let wrong = world.write("wrong.sql", "-- check: many\n-- expect: 5\nselect count(*) from ledger;\n");
    found(&world.usual(&["--checks", &wrong]), 4, "query: many: expected 5; the restored server has 20000");
    let absent = world.write("absent.sql", "-- check: orders\nselect true from orders;\n");
    found(&world.usual(&["--checks", &absent]), 4, "relation \\\"orders\\\" does not exist");
    found(&world.usual(&["--rto", "1ms"]), 4, "recovery-time");
    accepted_and_monitored(&world, &absent);
    let script = world.write("hang.sh", "echo \"$PGDATA\"; sleep 600 & wait\n");
    let ran =
        world.drill(&["--json", "--db", &world.pg.url(), "--timeout", "2s", "--", "sh", &script, "{dir}"]);
    found(&ran, 4, "sh did not end within --timeout");
    assert_eq!(world.proof()["passed"], false);
}

/// What somebody answers for passes, and the proof says so; whether the backup restores cannot be accepted.
fn accepted_and_monitored(world: &World, absent: &str) {
    let entry = |id: &str, object: &str| {
        let entry = format!(
            "[[accept]]\ntool = 'pg-drill'\nid = '{id}'\nobject = '{object}'\nreason = 'OPS-512'\nowner = 'ops'\nuntil = '2999-12-31'\n"
        );
        std::fs::write(world.path("toban.toml"), entry).expect("write the configuration");
    };
    entry("query", "orders");
    let ran = world.usual(&["--checks", absent]);
    assert_eq!((ran.status, finding(&ran, "query orders").0.as_str()), (Some(0), "ok"), "{ran:?}");
    let proof = world.proof();
    let checks = proof["checks"].as_array().expect("checks");
    let accepted = checks.iter().any(|c| c["check"] == "query: orders" && c["verdict"] == "accepted");
    assert!(accepted && proof["passed"] == true, "{proof}");
    let ran = world.usual(&["--checks", absent, "--monitoring"]);
    let line = ran.stdout.lines().collect::<Vec<_>>();
    assert!(ran.status == Some(0) && line.len() == 1 && line[0].starts_with("OK: "), "{ran:?}");
    assert!(line[0].contains(", 1 accepted | ") && line[0].contains("'recovery time'="), "{ran:?}");
    entry("restore", "*");
    found(&world.usual(&[]), 2, "restore cannot be accepted");
    std::fs::write(world.path("toban.toml"), "").expect("write the configuration");
    let ran = world.usual(&["--checks", absent, "--monitoring"]);
    let line = ran.stdout.lines().collect::<Vec<_>>();
    assert!(ran.status == Some(2) && line.len() == 1, "{ran:?}");
    assert!(line[0].starts_with("CRITICAL: orders in main: "), "{ran:?}");
}

/// Our own statuses are passed on: damage pages somebody, an unreachable repository is tried again.
#[test]
fn what_pg_backup_says_of_its_repository() {
    let world = World::new(15);
    let id = world.back_up();
    let (tool, repo) = (world.text("bin/pg-backup"), world.text("repo"));
    let direct = |repo: &str| {
        let args =
            ["--json", "--db", &world.pg.url(), "--", &tool, "restore", "--pgdata", "{dir}", "--repo", repo];
        world.drill(&args)
    };
    assert_eq!(direct(&repo).status, Some(0));
    let index = world.system_root().join(format!("backup/{id}/files.jsonl.zst"));
    let mut bytes = std::fs::read(&index).expect("read the index");
    bytes[20] ^= 1;
    std::fs::write(&index, bytes).expect("flip");
    found(&direct(&repo), 5, "the drill failed: restore: pg-backup ended with exit status: 5");
}

#[test]
fn a_live_server_that_does_not_answer_is_not_taken_for_equal() {
    let world = World::new(15);
    world.back_up();
    let (repo, script) = (world.text("repo"), world.restorer());
    let nobody = "host=/nowhere dbname=postgres";
    let ran = world.drill(&["--json", "--repo", &repo, "--db", nobody, "--", "sh", &script, "{dir}"]);
    found(&ran, 4, "live-server");
    assert_eq!(finding(&ran, "live-server").0, "unknown");
    let ran = world.drill(&["--json", "--repo", &repo, "--no-live", "--", "sh", &script, "{dir}"]);
    assert_eq!(ran.status, Some(0), "the repository is compared with: {}{}", ran.stdout, ran.stderr);
}
