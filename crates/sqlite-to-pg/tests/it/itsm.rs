//! The users' own schema, both dialects, plain and as Sequelize makes it, with dirt.

use crate::world::World;
use testkit::itsm::{Flaw, Itsm, POSTGRES_SCHEMA, TABLES};

#[test]
fn into_an_empty_target() {
    let world = World::new();
    let planted = Itsm::rows(3000).dirt(5).write(&world.file()).expect("write");
    let ran = world.run(&["--report", "told"]);
    assert!(matches!(ran.status, Some(0 | 3)), "{ran:?}");
    for table in TABLES {
        assert_eq!(
            world.psql(&format!("select count(*) from {table}")),
            planted.rows[table].to_string(),
            "{table}"
        );
    }
    let orphans = planted.with(Flaw::Orphan).count();
    let told: u64 = ran
        .records()
        .iter()
        .filter(|r| r["kind"] == "foreign key" && r["outcome"] == "not valid")
        .filter_map(|r| r["why"].as_str()?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(told, orphans as u64, "{ran:?}");
    let page = std::fs::read_to_string(world.path("told/report.html")).expect("the page");
    assert!(
        page.contains("<table>") && page.contains("incident_histories") && !page.contains("http"),
        "{page}"
    );
}

#[test]
fn into_the_one_that_the_application_made() {
    for sequelize in [false, true] {
        let world = World::new();
        let itsm = Itsm::rows(2000);
        let itsm = if sequelize { itsm.sequelize() } else { itsm };
        let planted = itsm.write(&world.file()).expect("write");
        world.psql(POSTGRES_SCHEMA);
        let exclude: &[&str] = if sequelize { &["--exclude", "SequelizeMeta"] } else { &[] };
        let ran = world.run(&[&["--existing", "refuse"][..], exclude].concat());
        assert_eq!(ran.status, Some(0), "{ran:?}");
        for table in TABLES {
            assert_eq!(
                world.psql(&format!("select count(*) from {table}")),
                planted.rows[table].to_string(),
                "{table}"
            );
        }
    }
}

#[test]
fn dirt_is_listed_and_a_rule_settles_it() {
    let world = World::new();
    Itsm::rows(3000).dirt(10).write(&world.file()).expect("write");
    world.psql(POSTGRES_SCHEMA);
    let ran = world.run(&["--existing", "refuse"]);
    assert_eq!(ran.status, Some(4), "{ran:?}");
    assert!(ran.records().iter().any(|r| r["kind"] == "violation"), "{ran:?}");
    world.gives(&[("select count(*) from users", "0")]);
}
