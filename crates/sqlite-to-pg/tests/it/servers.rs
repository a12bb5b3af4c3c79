//! Every major, and a plain role.

use crate::world::{World, majors};
use testkit::Pg;
use testkit::itsm::Itsm;

#[test]
fn all_majors_by_a_plain_role() {
    for major in majors() {
        let world = World::with(Pg::start_major(major, &[]));
        Itsm::rows(1000).dirt(3).write(&world.file()).expect("write");
        world.sqlite("create view v as select count(*) as n from users; create table odd (x); insert into odd values (1), ('a'), (9e999);");
        world.psql("create role plain login; create database app owner plain");
        let url = world.pg.url_of("app").replace("postgres@", "plain@");
        let ran = world.tool(&["run", "app.db", "--to", &url]);
        assert!(matches!(ran.status, Some(0 | 3)), "{major}: {ran:?}");
        assert_eq!(world.pg.psql("app", "select n > 0 from v"), "t", "{major}");
        let undone = world.tool(&["run", "app.db", "--to", &url, "--undo"]);
        assert_eq!(undone.status, Some(0), "{major}: {undone:?}");
    }
}
