//! The way back.

use crate::world::World;

const FILES: [(&str, &str); 2] = [
    ("users.json", r#"[{"id":1,"n":"a"},{"id":2,"n":"b"},{"id":3,"n":"c"}]"#),
    ("posts.json", r#"[{"id":1,"user_id":1},{"id":2,"user_id":2}]"#),
];

#[test]
fn a_run_that_nobody_changed_goes_without_a_trace() {
    let world = World::of(&FILES);
    world.moved(&[]);
    let trial = world.tool(&["undo", "--dry-run", "--json"]);
    assert_eq!(trial.status, Some(0), "{trial:?}");
    world.verified();
    world.psql("vacuum freeze users; analyze");
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    world.untouched();
    world.tool(&["undo"]).refused(2, "no run of json-to-pg");
}

#[test]
fn rows_that_were_changed_since_stay_and_are_named() {
    let world = World::of(&FILES);
    world.moved(&[]);
    world.psql("update users set n = 'x' where id = 3; insert into users (n) values ('new')");
    let verified = world.tool(&["verify", "--json"]);
    assert_eq!(verified.status, Some(3), "{verified:?}");
    assert!(verified.stdout.contains("\"kind\":\"changed\""), "{verified:?}");
    let undone = world.tool(&["undo", "--json"]);
    assert_eq!(undone.status, Some(3), "{undone:?}");
    assert!(undone.stdout.contains("\"changed\":[\"3\"]"), "{undone:?}");
    world.gives(&[
        ("select string_agg(id || n, ',' order by id) from users", "3x,4new"),
        ("select to_regclass('posts') is null", "t"),
    ]);
}

#[test]
fn rows_of_others_do_not_lose_what_they_refer_to() {
    let world = World::of(&FILES);
    world.moved(&[]);
    world.psql("create table likes (user_id bigint references users on delete cascade); insert into likes values (1)");
    world.tool(&["undo"]).refused(2, "1 rows of public.likes refer to rows of public.users");
    world.gives(&[("select count(*) from likes", "1")]);
    // One that is not committed yet when `undo` begins.
    world.psql("delete from likes");
    let undone = world.tool_beside("insert into likes values (2)", &["undo"]);
    undone.refused(2, "1 rows of public.likes refer to rows of public.users");
    world.gives(&[("select user_id from likes", "2"), ("select count(*) from users", "3")]);
}

#[test]
fn what_waits_for_commit_acts_in_a_trial_too() {
    let world = World::of(&FILES);
    world.moved(&[]);
    world.psql(
        "create function keep() returns trigger language plpgsql as $$begin raise exception 'kept for ever'; end$$; \
         create constraint trigger keep after delete on users deferrable initially deferred for each row execute function keep(); \
         alter table posts alter constraint posts_user_id_fkey deferrable initially deferred",
    );
    for args in [&["undo", "--dry-run"][..], &["undo"][..]] {
        let ran = world.tool(args);
        assert!(ran.status != Some(0) && ran.stderr.contains("kept for ever"), "{ran:?}");
        world.verified();
    }
    world.psql("drop trigger keep on users");
    assert_eq!(world.tool(&["undo"]).status, Some(0));
    world.untouched();
}
