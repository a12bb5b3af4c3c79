//! Accounts of every doubtful kind, as one SQL text for PostgreSQL and SQLite.

use std::path::Path;

/// Twelve kinds of doubt, and three accounts without any. Columns: id, email, name, password_hash, is_active,
/// last_login_at, password_changed_at, created_at.
pub(crate) const TWELVE: &str = "
insert into roles (id, name) values (1, 'admin'), (2, 'system_admin'), (3, 'editor');
insert into users (id, email, name, password_hash, is_active, last_login_at, password_changed_at, created_at) values
 (1, 'ok@example.org', 'in order', 'x', true, '2026-11-21 08:00:00+00', '2026-11-01 00:00:00+00', '2026-01-01 00:00:00+00'),
 (2, 'fresh@example.org', 'new, never logged in', 'x', true, null, '2026-11-17 12:00:00+00', '2026-11-17 12:00:00+00'),
 (3, 'sso@example.org', 'no password', null, true, '2026-11-21 08:00:00+00', null, '2026-01-01 00:00:00+00'),
 (4, 'never@example.org', '1 never logged in, old', 'x', true, null, '2026-11-01 00:00:00+00', '2026-05-06 00:00:00+00'),
 (5, 'ageless@example.org', '2 never logged in, age unknown', 'x', true, null, '2026-11-01 00:00:00+00', null),
 (6, 'idle@example.org', '3 idle', 'x', true, '2026-06-01 00:00:00+00', '2026-11-01 00:00:00+00', '2026-01-01 00:00:00+00'),
 (7, 'future@example.org', '4 login in the future', 'x', true, '2027-06-01 00:00:00+00', '2026-11-01 00:00:00+00', '2026-01-01 00:00:00+00'),
 (8, 'epoch@example.org', '5 login at epoch 0', 'x', true, '1970-01-01 00:00:00+00', '2026-11-01 00:00:00+00', '2026-01-01 00:00:00+00'),
 (9, 'gone@example.org', '6 disabled, live admin', 'x', false, '2025-01-01 00:00:00+00', '2025-01-01 00:00:00+00', '2024-01-01 00:00:00+00'),
 (10, 'null@example.org', '7 active is NULL', 'x', null, '2026-11-21 08:00:00+00', '2026-11-01 00:00:00+00', '2026-01-01 00:00:00+00'),
 (11, 'svc-import@example.org', '8 a program, idle', 'x', true, '2026-01-01 00:00:00+00', '2026-11-01 00:00:00+00', '2025-01-01 00:00:00+00'),
 (12, 'info@example.org', '9 shared', 'x', true, '2026-11-21 08:00:00+00', '2026-11-01 00:00:00+00', '2026-01-01 00:00:00+00'),
 (13, 'OK@Example.org', '10 the first one again', 'x', true, '2026-11-21 08:00:00+00', '2026-11-01 00:00:00+00', '2026-01-01 00:00:00+00'),
 (14, 'boss@example.org', '11 the last admin, idle', 'x', true, '2026-01-01 00:00:00+00', '2026-11-01 00:00:00+00', '2025-01-01 00:00:00+00'),
 (15, 'stale@example.org', '12 an old password', 'x', true, '2026-11-21 08:00:00+00', '2026-06-01 00:00:00+00', '2026-01-01 00:00:00+00');
insert into user_roles (user_id, role_id) values (9, 1), (14, 1), (1, 3), (77, 1), (1, 88), (14, 1);
";

/// What must be said of [`TWELVE`]: `rule object`, sorted.
pub(crate) const DOUBTS: [&str; 20] = [
    "active-unknown null@example.org",
    "admin boss@example.org",
    "admin gone@example.org",
    "admin-count administrators",
    "disabled-with-roles gone@example.org",
    "duplicate-address OK@Example.org",
    "duplicate-address ok@example.org",
    "impossible-date epoch@example.org",
    "impossible-date future@example.org",
    "never-used ageless@example.org",
    "never-used epoch@example.org",
    "never-used never@example.org",
    "orphaned-assignment user 1 in role 88",
    "orphaned-assignment user 77 in role admin",
    "password-old stale@example.org",
    "service-account svc-import@example.org",
    "shared-account info@example.org",
    "unused boss@example.org",
    "unused idle@example.org",
    "unused svc-import@example.org",
];

/// A SQLite file with the users' own schema, and these statements after it.
pub(crate) fn sqlite(path: &Path, sql: &str) {
    let schema = "create table users (id integer primary key, email varchar(255), name varchar(255), \
        password_hash varchar(255), is_active tinyint(1), last_login_at datetime, password_changed_at datetime, \
        created_at datetime); create table roles (id integer primary key, name varchar(64)); \
        create table user_roles (user_id integer, role_id integer, granted_at datetime default current_timestamp);";
    let db = rusqlite::Connection::open(path).expect("make a SQLite file");
    db.execute_batch(&format!("{schema}{sql}")).expect("fill the SQLite file");
}
