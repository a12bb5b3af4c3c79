//! The users' old script beside ours: its three lists are in ours, and what it missed.

use crate::data::TWELVE;
use crate::world::{World, of, text};
use std::collections::BTreeSet;

#[test]
fn the_old_scripts_lists_are_all_there() {
    let world = World::app(TWELVE);
    // The script judges by the server's own day: so do we here. A login of 1970 stays one.
    let shift = "update users set last_login_at = case when id = 8 then last_login_at \
                 else last_login_at + (now() - timestamptz '2026-11-22 12:00+00') end, \
                 password_changed_at = password_changed_at + (now() - timestamptz '2026-11-22 12:00+00'), \
                 created_at = created_at + (now() - timestamptz '2026-11-22 12:00+00')";
    world.pg.psql("app", shift);
    let lists = script(&world);
    let now = jiff::Timestamp::now().to_string();
    let records = world.run(&["app", "--json", "--at", &now]).findings();
    for (list, rule) in lists.iter().zip(["unused", "admin", "password-old"]) {
        let ours: BTreeSet<String> =
            of(&records, rule).iter().map(|r| text(r, "object").to_string()).collect();
        let differ: Vec<&String> = list.symmetric_difference(&ours).collect();
        // Epoch 0 the script takes for a login of 1970; we take it for none, and say that the date is wrong.
        let known = if rule == "unused" { vec!["epoch@example.org"] } else { vec![] };
        assert_eq!(differ, known, "{rule}: theirs {list:?}, ours {ours:?}");
    }
    assert_eq!(of(&records, "never-used").len(), 3, "what the script missed");
    assert_eq!(of(&records, "disabled-with-roles").len(), 1, "what the script missed");
}

/// The first column of each of the script's three lists.
fn script(world: &World) -> Vec<BTreeSet<String>> {
    let said = world.pg.psql("app", include_str!("../../../../xtask/sql/audit-script.sql"));
    let mut lists: Vec<BTreeSet<String>> = Vec::new();
    for line in said.lines() {
        match line.split_once('|') {
            None => lists.push(BTreeSet::new()),
            Some((email, _)) => drop(lists.last_mut().expect("a title came first").insert(email.to_string())),
        }
    }
    assert_eq!(lists.len(), 3, "{said}");
    lists
}
