//! Rows of every odd kind, as real columns of real databases hold them.

use crate::data::sqlite;
use crate::world::{World, of, text, troubles};

const FINE: &str = "true, '2026-11-21 08:00+00', '2026-11-01 00:00+00', '2026-01-01 00:00+00'";

/// Accounts with these addresses, otherwise in order.
fn accounts(emails: &[&str]) -> String {
    let row = |(n, email): (usize, &&str)| format!("({}, {email}, 'x', {FINE})", n + 1);
    let rows: Vec<String> = emails.iter().enumerate().map(row).collect();
    format!(
        "insert into users (id, email, password_hash, is_active, last_login_at, password_changed_at, created_at) values {};",
        rows.join(", ")
    )
}

#[test]
fn times_at_which_nothing_can_have_happened() {
    let emails = [
        "'inf@x.org'",
        "'minus@x.org'",
        "'year1@x.org'",
        "'bc@x.org'",
        "'epoch@x.org'",
        "'soon@x.org'",
        "'fine@x.org'",
    ];
    let world = World::app(&format!(
        "{} update users set last_login_at = case id when 1 then 'infinity'::timestamptz when 2 then '-infinity' when 3 then '0001-01-01' \
         when 4 then '0044-03-15 BC' when 5 then 'epoch' when 6 then '2026-11-22 12:04:59+00' else last_login_at end",
        accounts(&emails)
    ));
    let records = world.records(&["app", "--admin-role", "none"]);
    let named =
        |rule: &str| of(&records, rule).iter().map(|r| text(r, "object").to_string()).collect::<Vec<_>>();
    let odd = ["inf@x.org", "minus@x.org", "year1@x.org", "bc@x.org", "epoch@x.org"];
    assert_eq!(named("impossible-date"), odd, "not one whose clock is some minutes ahead");
    assert_eq!(named("never-used"), odd, "none of them is a sign of life");
    let gone = of(&records, "never-used").iter().any(|r| text(r, "advice") == "disable it");
    assert!(!gone, "nobody goes because of a wrong date");
}

#[test]
fn ninety_days_over_a_change_of_the_clocks() {
    // 90 days before noon in Berlin were summer time: 13:00 there is 11:00 UTC, and one second decides.
    for (login, unused) in [("2026-08-24 14:00:00", false), ("2026-08-24 13:59:59", true)] {
        let mut world = World::app(&format!(
            "alter table users alter column last_login_at type timestamp; {} update users set last_login_at = '{login}'",
            accounts(&["'a@x.org'"])
        ));
        world.config(
            "[audit.mapping.berlin]\nusers = 'users'\nemail = 'email'\nlast_login = 'last_login_at'\ntimezone = 'Europe/Berlin'\n",
        );
        let records = world.records(&["app", "--mapping", "berlin"]);
        assert_eq!(of(&records, "unused").len(), usize::from(unused), "{login}");
    }
}

#[test]
fn disabled_by_a_status_a_deletion_or_a_lock() {
    let mut world = World::app(&format!(
        "create type state as enum ('Active', 'suspended'); alter table users add state state default 'Active', add deleted_at timestamptz, \
         add locked_until timestamptz; {} insert into roles values (1, 'admin'), (2, 'editor'); \
         insert into user_roles (user_id, role_id) select n, 1 + n % 2 from generate_series(1, 5) n; \
         update users set state = 'suspended' where id = 1; update users set state = null where id = 2; \
         update users set deleted_at = '2026-11-01' where id = 3; update users set locked_until = '2026-12-01' where id = 4; \
         update users set locked_until = '2026-11-01' where id = 5",
        accounts(&[
            "'suspended@x.org'",
            "'null@x.org'",
            "'deleted@x.org'",
            "'locked@x.org'",
            "'unlocked@x.org'"
        ])
    ));
    world.config(
        "[audit.mapping.own]\nusers = 'users'\nemail = 'email'\nactive = 'state'\nlast_login = 'last_login_at'\ndeleted = 'deleted_at'\n\
         locked_until = 'locked_until'\nroles = 'roles'\nuser_roles = 'user_roles'\n",
    );
    let found = world.troubles(&["app", "--mapping", "own"]);
    let wanted = [
        "active-unknown null@x.org",
        "admin locked@x.org",
        "admin null@x.org",
        "disabled-with-roles deleted@x.org",
        "disabled-with-roles locked@x.org",
        "disabled-with-roles suspended@x.org",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn addresses_that_are_one_to_a_person() {
    let emails = [
        "'anna@x.org'",
        "'Anna@X.org'",
        "'anna+crm@x.org'",
        "'anna@x.org '",
        "'\u{430}nna@x.org'",
        "'caf\u{e9}@x.org'",
        "'cafe\u{301}@x.org'",
        "'\u{ff42}ert@x.org'",
        "'bert@x.org'",
        "'carl@x.org'",
        "null",
        "''",
        "'dora@y.org'",
    ];
    let world = World::app(&accounts(&emails));
    let args = ["app", "--admin-role", "none", "--domain", "X.org"];
    let records = world.records(&args);
    let twins = of(&records, "duplicate-address");
    let ids: Vec<&str> =
        twins.iter().map(|r| text(r, "key").rsplit('/').next().unwrap_or_default()).collect();
    let mut sorted = ids.clone();
    sorted.sort_by_key(|id| id.parse::<u32>().expect("an id"));
    assert_eq!(sorted, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let of_carl = |rule: &str| of(&records, rule).iter().any(|r| r["object"] == "carl@x.org");
    assert!(!of_carl("duplicate-address") && !of_carl("outside-domain"));
    assert_eq!((of(&records, "no-address").len(), of(&records, "blank-in-address").len()), (2, 1));
    assert_eq!(text(of(&records, "outside-domain")[0], "object"), "dora@y.org");
    sqlite(&world.path("a.db"), &accounts(&emails));
    let same =
        world.records(&[&args[..], &["--db", &format!("sqlite:{}", world.path("a.db").display())]].concat());
    assert_eq!(troubles(&same), troubles(&records));
}

#[test]
fn keys_that_are_used_in_a_table_of_their_own() {
    let setup = format!(
        "{} update users set last_login_at = null; create table api_keys (id integer, user_id integer, last_used_at varchar(40)); \
         insert into api_keys values (1, 1, '2026-11-20 00:00:00+00'), (2, 1, '2025-01-01 00:00:00+00'), (3, 2, '2025-01-01 00:00:00+00'), (4, 2, null)",
        accounts(&["'used@x.org'", "'old@x.org'", "'none@x.org'"])
    );
    let mut world = World::app(&setup);
    world.config(
        "[audit.mapping.keys]\nusers = 'users'\nemail = 'email'\nlast_login = 'last_login_at'\ncreated = 'created_at'\nuses = 'api_keys'\n",
    );
    sqlite(&world.path("a.db"), &setup);
    let file = format!("sqlite:{}", world.path("a.db").display());
    for more in [&[][..], &["--db", &file]] {
        let found = world.troubles(&[&["app", "--mapping", "keys"], more].concat());
        assert_eq!(found, ["never-used none@x.org", "unused old@x.org"], "{more:?}");
    }
}

#[test]
fn accepted_by_key_address_and_pattern_hides_nothing_new() {
    let mut world = World::app(&format!(
        "{} update users set last_login_at = '2026-01-01'; insert into roles values (1, 'admin'); \
         insert into user_roles (user_id, role_id) values (1, 1), (2, 1)",
        accounts(&["'a@x.org'", "'b@x.org'", "'svc-c@x.org'", "'d@x.org'"])
    ));
    let entry = |rule: &str, object: &str| {
        format!(
            "[[accept]]\ntool = 'user-audit'\nid = '{rule}'\nobject = '{object}'\nreason = 'r'\nowner = 'o'\nuntil = '2027-01-01'\n"
        )
    };
    let entries = [entry("unused", "user/1"), entry("unused", "B@x.org"), entry("unused", "svc-*")].concat();
    world.config(&(entries.clone() + &entry("admin", "*")));
    let said = world.run(&["app"]).refused(2, "admin is accepted by name");
    assert!(said.contains("hint: a pattern would hide whoever comes next"), "{said}");
    let named = ["a@x.org", "user/2", "d@x.org"].map(|who| entry("admin", who));
    world.config(&(entries + &named.concat()));
    let stale = "accept-unused admin d@x.org";
    assert_eq!(world.troubles(&["app"]), [stale, "service-account svc-c@x.org", "unused d@x.org"]);
    let at = ["--at", "2026-11-21T00:00:00Z"];
    assert_eq!(world.run(&[&["app", "--pack", "packs"], &at[..]].concat()).status, Some(4));
    let accept = [
        "accept",
        "packs/20261121T000000Z-app",
        "--reviewer",
        "Mo",
        "--ticket",
        "1",
        "--decision",
        "approved",
    ];
    assert_eq!(world.run(&[&accept[..], &at].concat()).status, Some(0));
    world.pg.psql("app", "insert into user_roles (user_id, role_id) values (4, 1)");
    let found = world.troubles(&["app"]);
    assert!(
        found.contains(&"new-access d@x.org".to_string()),
        "it is accepted, and told all the same: {found:?}"
    );
}
