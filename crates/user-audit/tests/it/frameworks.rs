//! `--detect` on the schemas that frameworks make: the mapping it writes works, and its verdicts are right.

use crate::data::sqlite;
use crate::world::{World, troubles};
use testkit::Pg;

/// One framework's schema with rows, what the mapping must say, and what it finds. `DAYS(n)` is n days before.
struct Schema {
    name: &'static str,
    sql: &'static str,
    mapped: &'static [&'static str],
    /// Keys that must not be there, and words that the lines of what is not known must hold.
    never: &'static [&'static str],
    unknown: &'static [&'static str],
    found: &'static [&'static str],
}

const SCHEMAS: &[Schema] = &[
    Schema {
        name: "django",
        sql: "create table auth_user (id serial primary key, password varchar(128) not null, last_login timestamptz, is_superuser boolean not null, \
              username varchar(150) not null, first_name varchar(150), email varchar(254) not null, is_staff boolean not null, is_active boolean not null, \
              date_joined timestamptz not null); create table auth_group (id serial primary key, name varchar(150)); \
              create table auth_user_groups (id bigserial primary key, user_id int references auth_user, group_id int references auth_group); \
              create table auth_permission (id serial primary key, name text, codename text); \
              create table auth_user_user_permissions (id bigserial primary key, user_id int references auth_user, permission_id int references auth_permission); \
              create table django_admin_log (id serial, action_time timestamptz, user_id int references auth_user); \
              insert into auth_user (password, last_login, is_superuser, username, email, is_staff, is_active, date_joined) values \
              ('x', DAYS(3), true, 'chief', 'chief@x.org', true, true, DAYS(900)), ('x', DAYS(100), false, 'idle', 'idle@x.org', false, true, DAYS(900)), \
              ('x', DAYS(1), false, 'nomail', '', true, true, DAYS(300)), ('x', DAYS(1), false, 'dis', 'dis@x.org', false, false, DAYS(300)); \
              insert into auth_group (name) values ('Admins'); insert into auth_user_groups (user_id, group_id) values (4, 1)",
        mapped: &[
            "users = \"public.auth_user\"",
            "last_login = \"last_login\"",
            "login = \"username\"",
            "admin_flag = \"is_superuser\"",
            "user_roles = \"public.auth_user_groups\"",
        ],
        never: &[],
        unknown: &["is_staff", "when a password was set"],
        found: &[
            "admin chief@x.org",
            "admin dis@x.org",
            "admin-count administrators",
            "disabled-with-roles dis@x.org",
            "no-address nomail",
            "unused idle@x.org",
        ],
    },
    Schema {
        name: "devise",
        sql: "create table users (id bigserial primary key, email varchar not null default '', encrypted_password varchar not null default '', \
              reset_password_sent_at timestamp, remember_created_at timestamp, sign_in_count int default 0, current_sign_in_at timestamp, last_sign_in_at timestamp, \
              current_sign_in_ip varchar, last_sign_in_ip varchar, failed_attempts int, locked_at timestamp, discarded_at timestamp, created_at timestamp not null, updated_at timestamp not null); \
              create table roles (id bigserial primary key, name varchar, resource_type varchar, resource_id bigint); create table users_roles (user_id bigint, role_id bigint); \
              insert into users (email, encrypted_password, current_sign_in_at, last_sign_in_at, locked_at, discarded_at, created_at, updated_at) values \
              ('back@x.org', 'x', DAYS(5), DAYS(500), null, null, DAYS(900), DAYS(1)), ('gone@x.org', 'x', DAYS(200), DAYS(1), null, null, DAYS(900), DAYS(1)), \
              ('locked@x.org', 'x', DAYS(2), DAYS(3), DAYS(1), null, DAYS(900), DAYS(1)), ('disc@x.org', 'x', DAYS(2), DAYS(3), null, DAYS(1), DAYS(900), DAYS(1)); \
              insert into roles (name) values ('admin'), ('user'); insert into users_roles values (1, 1), (3, 1), (4, 1), (2, 2)",
        mapped: &[
            "last_login = \"current_sign_in_at\"",
            "locked_since = \"locked_at\"",
            "deleted = \"discarded_at\"",
            "password = \"encrypted_password\"",
            "user_roles = \"public.users_roles\"",
        ],
        never: &["password_changed"],
        unknown: &["last_sign_in_at is not read", "resource_type"],
        found: &[
            "admin back@x.org",
            "admin disc@x.org",
            "admin locked@x.org",
            "admin-count administrators",
            "disabled-with-roles disc@x.org",
            "disabled-with-roles locked@x.org",
            "unused gone@x.org",
        ],
    },
    Schema {
        name: "sequelize",
        sql: "create table \"Users\" (\"id\" serial primary key, \"email\" varchar, \"passwordHash\" varchar, \"isActive\" boolean, \"lastLoginAt\" timestamptz, \
              \"passwordChangedAt\" timestamptz, \"createdAt\" timestamptz not null, \"updatedAt\" timestamptz not null, \"deletedAt\" timestamptz, \"role\" varchar); \
              insert into \"Users\" (\"email\", \"passwordHash\", \"isActive\", \"lastLoginAt\", \"passwordChangedAt\", \"createdAt\", \"updatedAt\", \"role\") values \
              ('a@x.org', 'x', true, DAYS(2), DAYS(80), DAYS(400), DAYS(1), 'editor,admin'), ('b@x.org', 'x', true, DAYS(91), DAYS(10), DAYS(400), DAYS(1), 'user'), \
              ('c@x.org', 'x', false, DAYS(91), DAYS(10), DAYS(400), DAYS(1), 'ROLE_ADMIN')",
        mapped: &[
            "users = \"public.Users\"",
            "last_login = \"lastLoginAt\"",
            "active = \"isActive\"",
            "password_changed = \"passwordChangedAt\"",
            "role = \"role\"",
            "deleted = \"deletedAt\"",
        ],
        never: &[],
        unknown: &[],
        found: &[
            "admin a@x.org",
            "admin c@x.org",
            "admin-count administrators",
            "disabled-with-roles c@x.org",
            "password-old a@x.org",
            "unused b@x.org",
        ],
    },
    Schema {
        name: "fastapi",
        sql: "create type userrole as enum ('ADMIN', 'EDITOR', 'VIEWER'); create table \"user\" (id uuid primary key default gen_random_uuid(), email varchar(320) not null, \
              hashed_password varchar(1024) not null, is_active boolean not null, is_superuser boolean not null, is_verified boolean not null, role userrole not null, last_login timestamptz); \
              insert into \"user\" (email, hashed_password, is_active, is_superuser, is_verified, role, last_login) values ('a@x.org', 'x', true, false, true, 'ADMIN', DAYS(2)), \
              ('b@x.org', 'x', true, true, true, 'VIEWER', DAYS(2)), ('c@x.org', 'x', true, false, true, 'VIEWER', DAYS(200))",
        mapped: &[
            "users = \"public.user\"",
            "password = \"hashed_password\"",
            "role = \"role\"",
            "admin_flag = \"is_superuser\"",
        ],
        never: &[],
        unknown: &["since when an account exists"],
        found: &["admin a@x.org", "admin b@x.org", "unused c@x.org"],
    },
    Schema {
        name: "keycloak",
        sql: "create table user_entity (id varchar(36) primary key, email varchar(255), email_verified boolean not null default false, enabled boolean not null default false, \
              federation_link varchar(255), first_name varchar(255), realm_id varchar(255), username varchar(255), created_timestamp bigint, not_before int not null default 0); \
              create table keycloak_role (id varchar(36) primary key, client_role boolean not null default false, name varchar(255), realm_id varchar(255)); \
              create table user_role_mapping (role_id varchar(255) not null, user_id varchar(36) not null references user_entity); \
              create table composite_role (composite varchar(36) references keycloak_role, child_role varchar(36) references keycloak_role); \
              create table keycloak_group (id varchar(36) primary key, name varchar(255)); create table user_group_membership (group_id varchar(36), user_id varchar(36) references user_entity); \
              create table group_role_mapping (role_id varchar(36), group_id varchar(36)); \
              create table event_entity (id varchar(36) primary key, client_id varchar, error varchar, event_time bigint, type varchar, user_id varchar); \
              create table credential (id varchar(36) primary key, type varchar(255), user_id varchar(36) references user_entity, created_date bigint); \
              create table user_attribute (name varchar, value varchar, user_id varchar(36) references user_entity); \
              create table offline_user_session (user_session_id varchar, user_id varchar, created_on int); \
              insert into user_entity (id, email, enabled, realm_id, username, created_timestamp) select v.* from (values ('u1', 'a@x.org', true, 'm', 'a', MS(400)), ('u2', 'b@x.org', true, 'm', 'b', MS(400)), \
              ('u3', null, true, 'm', 'service-account-x', MS(400)), ('u4', 'd@x.org', true, 'm', 'd', MS(400))) v; \
              insert into keycloak_role (id, name, realm_id) values ('r1', 'admin', 'm'), ('r2', 'default-roles', 'm'), ('r3', 'chiefs', 'm'); insert into composite_role values ('r3', 'r1'); \
              insert into user_role_mapping values ('r3', 'u1'), ('r2', 'u2'); insert into keycloak_group values ('g1', 'g'); insert into user_group_membership values ('g1', 'u4'); insert into group_role_mapping values ('r1', 'g1'); \
              insert into event_entity values ('e1', 'c', null, MS(2), 'LOGIN', 'u1'), ('e2', 'c', 'bad', MS(1), 'LOGIN_ERROR', 'u2'), ('e3', 'c', null, MS(200), 'LOGIN', 'u2'), ('e4', 'c', null, MS(3), 'LOGIN', 'u4'); \
              insert into credential values ('c1', 'password', 'u1', MS(80)), ('c2', 'password', 'u2', MS(10)), ('c3', 'otp', 'u1', MS(10)), ('c4', 'password', 'u4', MS(1))",
        mapped: &[
            "users = \"public.user_entity\"",
            "active = \"enabled\"",
            "login = \"username\"",
            "logins = { at = \"event_time\", table = \"public.event_entity\", user = \"user_id\", where = { type = [\"LOGIN\"] } }",
            "user_roles = \"public.user_role_mapping\"",
            "roles = \"public.keycloak_role\"",
            "role_includes = { includes = \"child_role\", role = \"composite\", table = \"public.composite_role\" }",
        ],
        never: &["last_login"],
        unknown: &["keeps logins", "realm_id"],
        found: &[
            "admin a@x.org",
            "admin d@x.org",
            "admin-without-mfa d@x.org",
            "never-used service-account-x",
            "password-old a@x.org",
            "service-account service-account-x",
            "unused b@x.org",
        ],
    },
    Schema {
        name: "jsonroles",
        sql: "create table users (id serial primary key, email text, password_hash text, is_active boolean, last_login_at timestamptz, created_at timestamptz, roles jsonb, role text[]); \
              insert into users (email, password_hash, is_active, last_login_at, created_at, roles, role) values ('a@x.org', 'x', true, DAYS(0), DAYS(400), '[\"admin\",\"user\"]', '{admin,user}'), \
              ('b@x.org', 'x', true, DAYS(0), DAYS(400), '[\"user\"]', '{user}')",
        mapped: &["role = \"roles\""],
        never: &[],
        unknown: &["role names roles too"],
        found: &["admin a@x.org", "admin-count administrators"],
    },
    Schema {
        name: "arrays",
        sql: "create table members (id serial primary key, email text, password text, last_login timestamp, created_at timestamp, roles text[], banned boolean); \
              insert into members (email, password, last_login, created_at, roles, banned) values ('a@x.org', 'x', DAYS(0), DAYS(400), '{user,\"Super Admin\"}', null), \
              ('b@x.org', 'x', DAYS(0), DAYS(400), '{user}', true), ('c@x.org', 'x', DAYS(0), DAYS(400), '{}', true)",
        mapped: &["role = \"roles\"", "disabled = \"banned\""],
        never: &["active"],
        unknown: &[],
        found: &["admin a@x.org", "admin-count administrators", "disabled-with-roles b@x.org"],
    },
    Schema {
        name: "aspnet",
        sql: "create table \"AspNetUsers\" (\"Id\" text primary key, \"UserName\" varchar(256), \"NormalizedUserName\" varchar(256), \"Email\" varchar(256), \"NormalizedEmail\" varchar(256), \
              \"EmailConfirmed\" boolean, \"PasswordHash\" text, \"SecurityStamp\" text, \"TwoFactorEnabled\" boolean, \"LockoutEnd\" timestamptz, \"LockoutEnabled\" boolean, \"AccessFailedCount\" int); \
              create table \"AspNetRoles\" (\"Id\" text primary key, \"Name\" varchar(256), \"NormalizedName\" varchar(256)); \
              create table \"AspNetUserRoles\" (\"UserId\" text references \"AspNetUsers\", \"RoleId\" text references \"AspNetRoles\"); \
              create table \"AspNetUserLogins\" (\"LoginProvider\" text, \"ProviderKey\" text, \"UserId\" text references \"AspNetUsers\"); \
              create table \"AspNetUserClaims\" (\"Id\" int, \"UserId\" text references \"AspNetUsers\", \"ClaimType\" text); create table \"AspNetUserTokens\" (\"UserId\" text references \"AspNetUsers\", \"Name\" text, \"Value\" text); \
              insert into \"AspNetUsers\" values ('1', 'a', 'A', 'a@x.org', 'A@X.ORG', true, 'x', 's', false, null, true, 0), ('2', 'b', 'B', 'b@x.org', 'B@X.ORG', true, 'x', 's', true, '9999-12-31 23:59:59+00', true, 0); \
              insert into \"AspNetRoles\" values ('r', 'Administrator', 'ADMINISTRATOR'); insert into \"AspNetUserRoles\" values ('1', 'r'), ('2', 'r')",
        mapped: &[
            "users = \"public.AspNetUsers\"",
            "mfa = \"TwoFactorEnabled\"",
            "locked_until = \"LockoutEnd\"",
            "user_roles = \"public.AspNetUserRoles\"",
            "roles = \"public.AspNetRoles\"",
        ],
        never: &["last_login", "logins"],
        unknown: &["when an account was last used"],
        found: &[
            "admin a@x.org",
            "admin b@x.org",
            "admin-without-mfa a@x.org",
            "disabled-with-roles b@x.org",
        ],
    },
    Schema {
        name: "gotrue",
        sql: "create schema auth; create table auth.users (instance_id uuid, id uuid primary key, aud varchar, role varchar, email varchar, encrypted_password varchar, email_confirmed_at timestamptz, invited_at timestamptz, \
              confirmation_sent_at timestamptz, recovery_sent_at timestamptz, last_sign_in_at timestamptz, raw_app_meta_data jsonb, is_super_admin boolean, created_at timestamptz, updated_at timestamptz, phone text, \
              banned_until timestamptz, reauthentication_sent_at timestamptz, is_sso_user boolean, deleted_at timestamptz, is_anonymous boolean); \
              create table auth.identities (provider_id text, user_id uuid references auth.users, identity_data jsonb, provider text, last_sign_in_at timestamptz, created_at timestamptz, email text, id uuid); \
              create table auth.sessions (id uuid, user_id uuid references auth.users, created_at timestamptz, refreshed_at timestamp); create table auth.audit_log_entries (id uuid, payload json, created_at timestamptz); \
              create table public.profiles (id uuid primary key references auth.users, username text, created_at timestamptz); \
              create table public.user_roles (id bigint, user_id uuid references auth.users, role text); \
              insert into auth.users (id, role, email, encrypted_password, last_sign_in_at, created_at, banned_until, is_super_admin) values ('00000000-0000-0000-0000-000000000001', 'authenticated', 'a@x.org', 'x', DAYS(1), DAYS(400), null, null), \
              ('00000000-0000-0000-0000-000000000002', 'authenticated', 'b@x.org', 'x', DAYS(100), DAYS(400), null, null), ('00000000-0000-0000-0000-000000000003', 'authenticated', 'c@x.org', 'x', DAYS(100), DAYS(400), DAYS(-900), null); \
              insert into public.user_roles values (1, '00000000-0000-0000-0000-000000000001', 'admin')",
        mapped: &[
            "users = \"auth.users\"",
            "last_login = \"last_sign_in_at\"",
            "locked_until = \"banned_until\"",
            "deleted = \"deleted_at\"",
            "user_roles = \"public.user_roles\"",
            "user_roles_role = \"role\"",
        ],
        never: &["role", "roles"],
        unknown: &["role in the database"],
        found: &["admin a@x.org", "admin-count administrators", "unused b@x.org"],
    },
    Schema {
        name: "laravel",
        sql: "create table users (id bigserial primary key, name varchar(255), email varchar(255), email_verified_at timestamp, password varchar(255), remember_token varchar(100), created_at timestamp, updated_at timestamp); \
              create table password_reset_tokens (email varchar primary key, token varchar, created_at timestamp); create table sessions (id varchar primary key, user_id bigint, ip_address varchar, payload text, last_activity int); \
              create table roles (id bigserial primary key, name varchar, guard_name varchar); create table permissions (id bigserial primary key, name varchar); \
              create table model_has_roles (role_id bigint references roles, model_type varchar, model_id bigint); create table model_has_permissions (permission_id bigint, model_type varchar, model_id bigint); \
              create table role_has_permissions (permission_id bigint, role_id bigint); \
              insert into users (name, email, password, created_at) values ('A', 'a@x.org', 'x', DAYS(400)), ('B', 'b@x.org', 'x', DAYS(400)); insert into roles (name, guard_name) values ('super-admin', 'web'), ('editor', 'web'); \
              insert into model_has_roles values (1, 'App\\Models\\User', 1), (1, 'App\\Models\\Team', 2), (2, 'App\\Models\\User', 2)",
        mapped: &[
            "user_roles = \"public.model_has_roles\"",
            "user_roles_user = \"model_id\"",
            "user_roles_where = { model_type = ['App\\Models\\User'] }",
            "roles = \"public.roles\"",
        ],
        never: &["last_login", "login", "active"],
        unknown: &["when an account was last used", "which accounts are disabled"],
        found: &["admin a@x.org", "admin-count administrators"],
    },
    Schema {
        name: "spring",
        sql: "create table users (username varchar(50) primary key, password varchar(500) not null, enabled boolean not null); create table authorities (username varchar(50) references users, authority varchar(50)); \
              create table groups (id bigserial primary key, group_name varchar(50)); create table group_authorities (group_id bigint references groups, authority varchar(50)); \
              create table group_members (id bigserial, username varchar(50) references users, group_id bigint references groups); create table persistent_logins (username varchar(64), series varchar(64), token varchar(64), last_used timestamp); \
              insert into users values ('anna', 'x', true), ('bert', 'x', false), ('carl', 'x', true); insert into authorities values ('anna', 'ROLE_ADMIN'), ('bert', 'ROLE_ADMIN'), ('carl', 'ROLE_USER'); \
              insert into groups (group_name) values ('ops'); insert into group_authorities values (1, 'ROLE_ADMIN'); insert into group_members (username, group_id) values ('carl', 1)",
        mapped: &[
            "users = \"public.users\"",
            "id = \"username\"",
            "login = \"username\"",
            "active = \"enabled\"",
            "user_roles = \"public.authorities\"",
            "user_roles_role = \"authority\"",
            "groups = { group = \"group_id\"",
        ],
        never: &["email", "last_login", "roles"],
        unknown: &["addresses", "when an account was last used"],
        found: &["admin anna", "admin bert", "admin carl", "disabled-with-roles bert"],
    },
    Schema {
        name: "authjs",
        sql: "create type \"Role\" as enum ('USER', 'ADMIN'); create table \"User\" (id text primary key, name text, email text, \"emailVerified\" timestamp, image text, role \"Role\" not null); \
              create table \"Account\" (id text primary key, \"userId\" text references \"User\", type text, provider text, \"providerAccountId\" text, access_token text, expires_at int); \
              create table \"Session\" (id text primary key, \"sessionToken\" text, \"userId\" text references \"User\", expires timestamp); create table \"VerificationToken\" (identifier text, token text, expires timestamp); \
              insert into \"User\" values ('c1', 'A', 'a@x.org', null, null, 'ADMIN'), ('c2', 'B', 'b@x.org', null, null, 'USER')",
        mapped: &["users = \"public.User\"", "role = \"role\""],
        never: &["last_login", "created", "active", "login"],
        unknown: &["when an account was last used"],
        found: &["admin a@x.org", "admin-count administrators"],
    },
    Schema {
        name: "directus",
        sql: "create table directus_roles (id uuid primary key, name varchar(100) not null, icon varchar, admin_access boolean not null default false); \
              create table directus_users (id uuid primary key, first_name varchar(50), last_name varchar(50), email varchar(128), password varchar(255), status varchar(16) not null, role uuid references directus_roles, token varchar, \
              last_access timestamptz, last_page varchar, provider varchar, tfa_secret varchar, email_notifications boolean); create table directus_sessions (token varchar, \"user\" uuid references directus_users, expires timestamptz); \
              create table directus_activity (id serial, action varchar, \"user\" uuid, timestamp timestamptz); \
              insert into directus_roles values ('00000000-0000-0000-0000-00000000000a', 'Chiefs', null, true), ('00000000-0000-0000-0000-00000000000b', 'Editor', null, false); \
              insert into directus_users (id, email, password, status, role, last_access) values ('00000000-0000-0000-0000-000000000001', 'a@x.org', 'x', 'active', '00000000-0000-0000-0000-00000000000a', DAYS(1)), \
              ('00000000-0000-0000-0000-000000000002', 'b@x.org', 'x', 'suspended', '00000000-0000-0000-0000-00000000000b', DAYS(300)), ('00000000-0000-0000-0000-000000000003', 'c@x.org', 'x', 'active', '00000000-0000-0000-0000-00000000000b', DAYS(300))",
        mapped: &[
            "users = \"public.directus_users\"",
            "last_login = \"last_access\"",
            "active = \"status\"",
            "active_values = [\"active\"]",
            "role = \"role\"",
            "roles = \"public.directus_roles\"",
            "role_admin = \"admin_access\"",
            "mfa = \"tfa_secret\"",
        ],
        never: &["login"],
        unknown: &["when a password was set"],
        found: &[
            "admin a@x.org",
            "admin-count administrators",
            "admin-without-mfa a@x.org",
            "disabled-with-roles b@x.org",
            "unused c@x.org",
        ],
    },
    Schema {
        name: "strapi",
        sql: "create table admin_users (id serial primary key, firstname varchar, lastname varchar, username varchar, email varchar, password varchar, reset_password_token varchar, registration_token varchar, is_active boolean, blocked boolean, \
              created_at timestamp, updated_at timestamp); create table admin_roles (id serial primary key, name varchar, code varchar, description varchar); \
              create table admin_users_roles_links (id serial primary key, user_id int references admin_users, role_id int references admin_roles, role_order float, user_order float); \
              create table up_users (id serial primary key, username varchar, email varchar, provider varchar, password varchar, confirmed boolean, blocked boolean, created_at timestamp); create table up_roles (id serial primary key, name varchar, type varchar); \
              create table up_users_role_links (id serial primary key, user_id int references up_users, role_id int references up_roles); create table admin_permissions_role_links (id serial, permission_id int, role_id int references admin_roles); \
              insert into admin_users (username, email, password, is_active, blocked, created_at) values ('a', 'a@x.org', 'x', true, false, DAYS(400)), ('b', 'b@x.org', 'x', true, true, DAYS(400)); \
              insert into admin_roles (name, code) values ('Super Admin', 'strapi-super-admin'); insert into admin_users_roles_links (user_id, role_id) values (1, 1), (2, 1)",
        mapped: &[
            "users = \"public.admin_users\"",
            "active = \"is_active\"",
            "disabled = \"blocked\"",
            "user_roles = \"public.admin_users_roles_links\"",
            "roles = \"public.admin_roles\"",
        ],
        never: &["last_login"],
        unknown: &["up_users looks like accounts too", "when an account was last used"],
        found: &[
            "admin a@x.org",
            "admin b@x.org",
            "admin-count administrators",
            "disabled-with-roles b@x.org",
        ],
    },
    Schema {
        name: "grafana",
        sql: "create table \"user\" (id serial primary key, version int, login varchar(190), email varchar(190), name varchar(255), password varchar(255), salt varchar(50), company varchar, org_id bigint, is_admin boolean, email_verified boolean, \
              created timestamp, updated timestamp, help_flags1 bigint, last_seen_at timestamp, is_disabled boolean, is_service_account boolean); \
              create table org_user (id serial primary key, org_id bigint, user_id bigint, role varchar(20), created timestamp, updated timestamp); create table user_auth_token (id serial, user_id bigint, created_at int, seen_at int); \
              create table temp_user (id serial, org_id bigint, email varchar, name varchar, role varchar, code varchar, created timestamp); create table team_member (id serial, org_id bigint, team_id bigint, user_id bigint); \
              insert into \"user\" (login, email, password, org_id, is_admin, created, last_seen_at, is_disabled) values ('admin', 'a@x.org', 'x', 1, true, DAYS(400), DAYS(1), false), ('b', 'b@x.org', 'x', 1, false, DAYS(400), DAYS(100), false), \
              ('c', 'c@x.org', 'x', 1, false, DAYS(400), DAYS(100), true); insert into org_user (org_id, user_id, role) values (1, 1, 'Viewer'), (1, 2, 'Admin'), (1, 3, 'Editor')",
        mapped: &[
            "users = \"public.user\"",
            "last_login = \"last_seen_at\"",
            "disabled = \"is_disabled\"",
            "admin_flag = \"is_admin\"",
            "user_roles = \"public.org_user\"",
            "user_roles_role = \"role\"",
        ],
        never: &["roles", "active"],
        unknown: &["org_id"],
        found: &["admin a@x.org", "admin b@x.org", "disabled-with-roles c@x.org", "unused b@x.org"],
    },
    Schema {
        name: "gitea",
        sql: "create table \"user\" (id bigserial primary key, lower_name varchar(255), name varchar(255), full_name varchar(255), email varchar(255), keep_email_private boolean, passwd varchar(255), passwd_hash_algo varchar, must_change_password boolean, \
              login_type int, login_source bigint, login_name varchar(255), type int, created_unix bigint, updated_unix bigint, last_login_unix bigint, is_active boolean, is_admin boolean, is_restricted boolean, prohibit_login boolean, num_teams int); \
              create table team (id bigserial, org_id bigint, lower_name varchar, name varchar); create table team_user (id bigserial, org_id bigint, team_id bigint, uid bigint); create table access_token (id bigserial, uid bigint, name varchar); \
              create table two_factor (id bigserial, uid bigint, secret varchar); create table login_source (id bigserial, type int, name varchar); create table email_address (id bigserial, uid bigint, email varchar, is_activated boolean); \
              insert into \"user\" (lower_name, name, email, passwd, type, created_unix, last_login_unix, is_active, is_admin, prohibit_login, login_name) values ('a', 'a', 'a@x.org', 'x', 0, S(400), S(1), true, true, false, ''), \
              ('b', 'b', 'b@x.org', 'x', 0, S(400), S(100), true, false, false, ''), ('c', 'c', 'c@x.org', 'x', 0, S(400), S(100), true, false, true, ''), ('org', 'org', '', '', 1, S(400), 0, true, false, false, '')",
        mapped: &[
            "users = \"public.user\"",
            "users_where = { type = \"0\" }",
            "last_login = \"last_login_unix\"",
            "created = \"created_unix\"",
            "admin_flag = \"is_admin\"",
            "disabled = \"prohibit_login\"",
            "password = \"passwd\"",
        ],
        never: &["roles"],
        unknown: &["when a password was set"],
        found: &["admin a@x.org", "admin-count administrators", "unused b@x.org"],
    },
    Schema {
        name: "wordpress",
        sql: "create table wp_users (\"ID\" bigserial primary key, user_login varchar(60), user_pass varchar(255), user_nicename varchar(50), user_email varchar(100), user_url varchar(100), user_registered timestamp, user_activation_key varchar(255), \
              user_status int, display_name varchar(250)); create table wp_usermeta (umeta_id bigserial primary key, user_id bigint, meta_key varchar(255), meta_value text); \
              create table wp_comments (\"comment_ID\" bigserial, comment_author text, comment_author_email varchar, comment_date timestamp, user_id bigint); \
              insert into wp_users (user_login, user_pass, user_email, user_registered, user_status) values ('a', 'x', 'a@x.org', DAYS(400), 0), ('b', 'x', 'b@x.org', DAYS(400), 0); \
              insert into wp_usermeta (user_id, meta_key, meta_value) values (1, 'wp_capabilities', 'a:1:{s:13:\"administrator\";b:1;}'), (1, 'nickname', 'x'), (2, 'wp_capabilities', 'a:1:{s:10:\"subscriber\";b:1;}'), (2, 'description', 'admin')",
        mapped: &[
            "users = \"public.wp_users\"",
            "email = \"user_email\"",
            "login = \"user_login\"",
            "created = \"user_registered\"",
            "password = \"user_pass\"",
            "user_roles = \"public.wp_usermeta\"",
            "user_roles_where = { meta_key = \"wp_capabilities\" }",
        ],
        never: &["active", "last_login", "roles"],
        unknown: &["when an account was last used"],
        found: &["admin a@x.org", "admin-count administrators"],
    },
    Schema {
        name: "drupal",
        sql: "create table users (uid bigint primary key, uuid varchar(128), langcode varchar(12)); create table users_field_data (uid bigint, langcode varchar(12), name varchar(60), pass varchar(255), mail varchar(254), timezone varchar(32), \
              status smallint, created int, changed int, access int, login int, init varchar(254), default_langcode smallint); create table user__roles (bundle varchar, deleted smallint, entity_id bigint, revision_id bigint, langcode varchar, delta bigint, roles_target_id varchar(255)); \
              insert into users_field_data (uid, name, pass, mail, status, created, login) values (1, 'a', 'x', 'a@x.org', 1, S(400), S(1)), (2, 'b', 'x', 'b@x.org', 1, S(400), S(100)); insert into user__roles (entity_id, roles_target_id) values (1, 'administrator')",
        mapped: &[
            "users = \"public.users_field_data\"",
            "id = \"uid\"",
            "email = \"mail\"",
            "last_login = \"login\"",
            "password = \"pass\"",
            "user_roles = \"public.user__roles\"",
            "user_roles_role = \"roles_target_id\"",
        ],
        never: &["active"],
        unknown: &["which values of status"],
        found: &["admin a@x.org", "admin-count administrators", "unused b@x.org"],
    },
    Schema {
        name: "superset",
        sql: "create table ab_user (id serial primary key, first_name varchar(256), last_name varchar(256), username varchar(512), password varchar(256), active boolean, email varchar(512), last_login timestamp, login_count int, fail_login_count int, created_on timestamp, changed_on timestamp); \
              create table ab_role (id serial primary key, name varchar(64)); create table ab_user_role (id serial primary key, user_id int references ab_user, role_id int references ab_role); create table ab_permission (id serial primary key, name varchar); \
              create table ab_register_user (id serial primary key, username varchar, password varchar, email varchar, registration_date timestamp); create table ab_permission_view_role (id serial, permission_view_id int, role_id int references ab_role); \
              insert into ab_user (username, password, active, email, last_login, created_on) values ('a', 'x', true, 'a@x.org', DAYS(1), DAYS(400)), ('b', 'x', true, 'b@x.org', DAYS(100), DAYS(400)); insert into ab_role (name) values ('Admin'), ('Gamma'); insert into ab_user_role (user_id, role_id) values (1, 1), (2, 2)",
        mapped: &[
            "users = \"public.ab_user\"",
            "last_login = \"last_login\"",
            "created = \"created_on\"",
            "user_roles = \"public.ab_user_role\"",
            "roles = \"public.ab_role\"",
        ],
        never: &[],
        unknown: &["when a password was set"],
        found: &["admin a@x.org", "admin-count administrators", "unused b@x.org"],
    },
    Schema {
        name: "mattermost",
        sql: "create table users (id varchar(26) primary key, createat bigint, updateat bigint, deleteat bigint, username varchar(64), password varchar(128), authdata varchar, email varchar(128), roles varchar(256), lastpasswordupdate bigint, lastpictureupdate bigint, \
              failedattempts int, mfaactive boolean, mfasecret varchar); create table sessions (id varchar, token varchar, userid varchar, createat bigint, lastactivityat bigint); create table audits (id varchar, createat bigint, userid varchar, action varchar, extrainfo varchar); \
              create table roles (id varchar primary key, name varchar, displayname varchar); create table channelmembers (channelid varchar, userid varchar, roles varchar); \
              insert into users (id, createat, deleteat, username, password, email, roles, lastpasswordupdate, mfaactive) values ('u1', MS(400), 0, 'a', 'x', 'a@x.org', 'system_user system_admin', MS(80), true), ('u2', MS(400), 0, 'b', 'x', 'b@x.org', 'system_user', MS(10), false), \
              ('u3', MS(400), MS(5), 'c', 'x', 'c@x.org', 'system_admin system_user', MS(10), false)",
        mapped: &[
            "users = \"public.users\"",
            "created = \"createat\"",
            "deleted = \"deleteat\"",
            "role = \"roles\"",
            "password_changed = \"lastpasswordupdate\"",
            "mfa = \"mfaactive\"",
        ],
        never: &["last_login"],
        unknown: &["when an account was last used"],
        found: &[
            "admin a@x.org",
            "admin c@x.org",
            "admin-count administrators",
            "disabled-with-roles c@x.org",
            "password-old a@x.org",
        ],
    },
    Schema {
        name: "authentik",
        sql: "create table authentik_core_user (id serial primary key, password varchar, last_login timestamptz, username varchar, email varchar, is_active boolean, date_joined timestamptz, uuid uuid, name text, password_change_date timestamptz, type text); \
              create table authentik_core_group (group_uuid uuid primary key, name text, is_superuser boolean, parent_id uuid); \
              create table authentik_core_user_ak_groups (id serial, user_id int references authentik_core_user, group_id uuid references authentik_core_group); \
              insert into authentik_core_user (password, last_login, username, email, is_active, date_joined, password_change_date, type) values ('x', DAYS(1), 'a', 'a@x.org', true, DAYS(400), DAYS(10), 'internal'), ('x', DAYS(1), 'ak-outpost', 'b@x.org', true, DAYS(400), DAYS(10), 'service_account'); \
              insert into authentik_core_group values ('00000000-0000-0000-0000-00000000000a', 'Chiefs', true, null); insert into authentik_core_user_ak_groups (user_id, group_id) values (1, '00000000-0000-0000-0000-00000000000a')",
        mapped: &[
            "role_id = \"group_uuid\"",
            "role_admin = \"is_superuser\"",
            "password_changed = \"password_change_date\"",
            "login = \"username\"",
        ],
        never: &[],
        unknown: &["parent_id", "service_account"],
        found: &["admin a@x.org", "admin-count administrators"],
    },
    Schema {
        name: "redmine",
        sql: "create table users (id serial primary key, login varchar, hashed_password varchar(40), firstname varchar, admin boolean, status int, last_login_on timestamp, created_on timestamp, updated_on timestamp, type varchar, passwd_changed_on timestamp, twofa_scheme varchar); \
              create table email_addresses (id serial, user_id int, address varchar, is_default boolean); create table roles (id serial primary key, name varchar); create table members (id serial primary key, user_id int, project_id int, created_on timestamp); \
              create table member_roles (id serial, member_id int, role_id int); create table groups_users (group_id int, user_id int); insert into roles (name) values ('Admin'); insert into member_roles (member_id, role_id) values (2, 1); \
              insert into users (login, hashed_password, admin, status, last_login_on, created_on, type, passwd_changed_on) values ('a', 'x', true, 1, DAYS(1), DAYS(400), 'User', DAYS(80)), ('b', 'x', false, 3, DAYS(100), DAYS(400), 'User', DAYS(1)), ('g', '', false, 1, null, DAYS(1), 'Group', null)",
        mapped: &[
            "login = \"login\"",
            "last_login = \"last_login_on\"",
            "password_changed = \"passwd_changed_on\"",
            "admin_flag = \"admin\"",
        ],
        never: &["email", "active", "user_roles", "roles"],
        unknown: &["addresses", "which values of status (1, 3)", "(Group, User)"],
        found: &[
            "admin a",
            "admin-count administrators",
            "admin-without-mfa a",
            "password-old a",
            "unused b",
        ],
    },
    Schema {
        name: "flask",
        sql: "create table \"user\" (id serial primary key, email varchar, username varchar, password varchar, last_login_at timestamp, current_login_at timestamp, last_login_ip varchar, login_count int, active boolean, confirmed_at timestamp, create_datetime timestamp); \
              create table role (id serial primary key, name varchar); create table roles_users (id serial, user_id int references \"user\", role_id int references role); \
              insert into \"user\" (email, password, last_login_at, current_login_at, active, create_datetime) values ('a@x.org', 'x', DAYS(300), DAYS(1), true, DAYS(400)); insert into role (name) values ('admin'); insert into roles_users (user_id, role_id) values (1, 1)",
        mapped: &[
            "last_login = \"current_login_at\"",
            "user_roles = \"public.roles_users\"",
            "roles = \"public.role\"",
        ],
        never: &[],
        unknown: &["last_login_at is not read"],
        found: &["admin a@x.org", "admin-count administrators"],
    },
    Schema {
        name: "mastodon",
        sql: "create table accounts (id bigserial primary key, username varchar, domain varchar, created_at timestamp, suspended_at timestamp); create table user_roles (id bigserial primary key, name varchar, permissions bigint); \
              create table users (id bigserial primary key, email varchar, created_at timestamp, encrypted_password varchar, current_sign_in_at timestamp, last_sign_in_at timestamp, otp_required_for_login boolean, account_id bigint references accounts, disabled boolean, role_id bigint references user_roles); \
              insert into user_roles (name) values ('Owner'), ('Moderator'); insert into users (email, created_at, encrypted_password, current_sign_in_at, otp_required_for_login, disabled, role_id) values ('a@x.org', DAYS(400), 'x', DAYS(1), true, false, 1), ('b@x.org', DAYS(400), 'x', DAYS(100), false, true, 2)",
        mapped: &[
            "users = \"public.users\"",
            "role = \"role_id\"",
            "roles = \"public.user_roles\"",
            "disabled = \"disabled\"",
        ],
        never: &["user_roles"],
        unknown: &["public.accounts looks like accounts too"],
        found: &["admin a@x.org", "admin-count administrators", "disabled-with-roles b@x.org"],
    },
    Schema {
        name: "membership",
        sql: "create table \"aspnet_Users\" (\"UserId\" uuid primary key, \"UserName\" varchar, \"LastActivityDate\" timestamp); create table \"aspnet_Membership\" (\"UserId\" uuid references \"aspnet_Users\", \"Password\" varchar, \"Email\" varchar, \"LastLoginDate\" timestamp); \
              create table \"aspnet_Roles\" (\"RoleId\" uuid primary key, \"RoleName\" varchar); create table \"aspnet_UsersInRoles\" (\"UserId\" uuid references \"aspnet_Users\", \"RoleId\" uuid references \"aspnet_Roles\"); \
              insert into \"aspnet_Users\" values ('00000000-0000-0000-0000-000000000001', 'a', DAYS(100)); insert into \"aspnet_Roles\" values ('00000000-0000-0000-0000-00000000000a', 'Administrators'); \
              insert into \"aspnet_UsersInRoles\" values ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-00000000000a')",
        mapped: &[
            "users = \"public.aspnet_Users\"",
            "id = \"UserId\"",
            "last_login = \"LastActivityDate\"",
            "role_id = \"RoleId\"",
            "role_name = \"RoleName\"",
        ],
        never: &["email"],
        unknown: &["addresses"],
        found: &["admin a", "admin-count administrators", "unused a"],
    },
    Schema {
        name: "numbers",
        sql: "create table users (id bigserial primary key, email_address varchar, password_digest varchar, role int default 0, created_at timestamp, previous_login_at timestamp, failed_login_at timestamp, next_login_at timestamp); \
              create table login_history (id serial primary key, user_id bigint references users, created_at timestamp, success boolean); insert into users (email_address, role, created_at) values ('a@x.org', 1, DAYS(400)), ('b@x.org', 0, DAYS(400)), ('c@x.org', 0, DAYS(400)); \
              insert into login_history (user_id, created_at, success) values (1, DAYS(2), true), (2, DAYS(2), false), (1, DAYS(200), true), (2, DAYS(150), true)",
        mapped: &[
            "email = \"email_address\"",
            "logins = { at = \"created_at\", table = \"public.login_history\", user = \"user_id\", where = { success = [\"true\", \"1\"] } }",
        ],
        never: &["last_login", "role"],
        unknown: &["which numbers of role"],
        found: &["never-used c@x.org", "unused b@x.org"],
    },
    Schema {
        name: "nextcloud",
        sql: "create table oc_users (uid varchar(64) primary key, displayname varchar(64), password varchar(255) not null default '', uid_lower varchar(64)); \
              create table oc_groups (gid varchar(64) primary key, displayname varchar(255)); \
              create table oc_group_user (gid varchar(64), uid varchar(64), primary key (gid, uid)); \
              create table oc_group_admin (gid varchar(64), uid varchar(64), primary key (gid, uid)); \
              create table oc_preferences (userid varchar(64), appid varchar(32), configkey varchar(64), configvalue text); \
              create table oc_authtoken (id bigserial primary key, uid varchar(64), login_name varchar(255), password text, name text, token varchar(200), last_activity int default 0, last_check int default 0); \
              insert into oc_users (uid, displayname, password, uid_lower) values ('ann', 'Ann', 'x', 'ann'), ('bob', 'Bob', 'x', 'bob'); \
              insert into oc_groups values ('admin', 'admin'), ('staff', 'staff'); \
              insert into oc_group_user values ('admin', 'ann'), ('staff', 'bob'); \
              insert into oc_authtoken (uid, last_activity) values ('ann', S(2)), ('bob', S(1))",
        mapped: &["login = \"uid\"", "user_roles = \"public.oc_group_user\""],
        never: &["last_login", "logins"],
        unknown: &["when an account was last used", "oc_group_admin assigns something"],
        found: &["admin ann", "admin-count administrators"],
    },
    Schema {
        name: "moodle",
        sql: "create table mdl_user (id bigserial primary key, auth varchar(20), confirmed smallint, deleted smallint default 0, suspended smallint default 0, username varchar(100) not null, password varchar(255) not null default '', email varchar(100) not null default '', firstaccess bigint default 0, lastaccess bigint default 0, lastlogin bigint default 0, currentlogin bigint default 0, timecreated bigint default 0, timemodified bigint default 0); \
              create table mdl_role (id bigserial primary key, name varchar(255), shortname varchar(100), archetype varchar(30)); \
              create table mdl_role_assignments (id bigserial primary key, roleid bigint, contextid bigint, userid bigint, timemodified bigint); \
              create table mdl_user_lastaccess (id bigserial primary key, userid bigint, courseid bigint, timeaccess bigint); \
              insert into mdl_user (username, email, lastlogin, currentlogin, lastaccess, timecreated, suspended) values ('boss', 'boss@x.org', S(300), S(2), S(2), S(900), 0), ('idle', 'idle@x.org', S(1), S(200), S(1), S(900), 0), ('susp', 'susp@x.org', S(9), S(5), S(5), S(900), 1); \
              insert into mdl_role (name, shortname) values ('Administrator', 'admin'), ('Student', 'student'); \
              insert into mdl_role_assignments (roleid, userid, contextid) values (1, 1, 1), (2, 2, 1), (1, 3, 1)",
        mapped: &[
            "users = \"public.mdl_user\"",
            "last_login = \"currentlogin\"",
            "created = \"timecreated\"",
            "user_roles = \"public.mdl_role_assignments\"",
        ],
        never: &["logins"],
        unknown: &["lastlogin is not read"],
        found: &[
            "admin boss@x.org",
            "admin susp@x.org",
            "admin-count administrators",
            "disabled-with-roles susp@x.org",
            "unused idle@x.org",
        ],
    },
    Schema {
        name: "n8n",
        sql: "create table \"user\" (id uuid primary key default gen_random_uuid(), email varchar(255), \"firstName\" varchar(32), password varchar(255), \"createdAt\" timestamptz not null, \"updatedAt\" timestamptz, settings json, disabled boolean not null default false, \"mfaEnabled\" boolean not null default false, \"mfaSecret\" text, \"roleSlug\" varchar(128) not null default 'global:member', \"lastActiveAt\" date); \
              create table role (slug varchar(128) primary key, \"displayName\" text, \"roleType\" text, \"systemRole\" boolean); \
              create table project_relation (\"projectId\" varchar(36), \"userId\" uuid, role varchar); \
              insert into \"user\" (email, password, \"createdAt\", disabled, \"mfaEnabled\", \"roleSlug\", \"lastActiveAt\") values ('a@x.org', 'x', DAYS(400), false, true, 'global:owner', DAYS(2)::date), ('b@x.org', 'x', DAYS(400), false, false, 'global:member', DAYS(200)::date), ('c@x.org', 'x', DAYS(400), true, true, 'global:admin', DAYS(5)::date)",
        mapped: &["role = \"roleSlug\"", "last_login = \"lastActiveAt\""],
        never: &[],
        unknown: &[],
        found: &[
            "admin a@x.org",
            "admin c@x.org",
            "admin-count administrators",
            "disabled-with-roles c@x.org",
            "unused b@x.org",
        ],
    },
    Schema {
        name: "gitlab",
        sql: "create table users (id serial primary key, email varchar not null default '', encrypted_password varchar not null default '', reset_password_sent_at timestamp, remember_created_at timestamp, sign_in_count int, current_sign_in_at timestamp, last_sign_in_at timestamp, current_sign_in_ip varchar, created_at timestamp, updated_at timestamp, name varchar, admin boolean default false not null, failed_attempts int, locked_at timestamp, username varchar, state varchar, password_expires_at timestamp, last_credential_check_at timestamp, confirmed_at timestamp, admin_email_unsubscribed_at timestamp, last_activity_on date, auditor boolean default false, otp_required_for_login boolean default false); \
              create table members (id serial primary key, access_level int not null, source_id int, source_type varchar, user_id int, type varchar, created_at timestamp, expires_at date); \
              insert into users (email, username, encrypted_password, current_sign_in_at, last_sign_in_at, last_activity_on, created_at, admin, state, otp_required_for_login) values ('a@x.org', 'a', 'x', DAYS(2), DAYS(300), DAYS(2), DAYS(900), true, 'active', true), ('b@x.org', 'b', 'x', DAYS(200), DAYS(1), DAYS(1), DAYS(900), false, 'active', false), ('c@x.org', 'c', 'x', DAYS(3), DAYS(4), null, DAYS(900), true, 'blocked', true)",
        mapped: &["last_login = \"current_sign_in_at\"", "active = \"state\"", "admin_flag = \"admin\""],
        never: &["password_changed"],
        unknown: &["last_sign_in_at is not read"],
        found: &[
            "admin a@x.org",
            "admin c@x.org",
            "admin-count administrators",
            "disabled-with-roles c@x.org",
            "unused b@x.org",
        ],
    },
    Schema {
        name: "harbor",
        sql: "create table harbor_user (user_id serial primary key, username varchar(255), email varchar(255), password varchar(40) not null, realname varchar(255) not null, deleted boolean default false not null, sysadmin_flag boolean default false not null, creation_time timestamp, update_time timestamp); \
              create table role (role_id serial primary key, role_code varchar(20), name varchar(20)); \
              create table project_member (id serial primary key, project_id int not null, entity_id int not null, entity_type char(1) not null, role int not null, creation_time timestamp); \
              create table audit_log (id serial primary key, operation varchar(20), username varchar(255), op_time timestamp); \
              insert into harbor_user (username, email, password, realname, sysadmin_flag, creation_time, deleted) values ('ann', 'a@x.org', 'x', 'A', true, DAYS(900), false), ('bob', 'b@x.org', 'x', 'B', false, DAYS(900), false), ('cy', 'c@x.org', 'x', 'C', true, DAYS(900), true); \
              insert into role (role_code, name) values ('MDRWS', 'projectAdmin'), ('RWS', 'developer'); \
              insert into project_member (project_id, entity_id, entity_type, role) values (1, 2, 'u', 1), (1, 1, 'g', 1)",
        mapped: &["admin_flag = \"sysadmin_flag\"", "created = \"creation_time\""],
        never: &["user_roles", "user_roles_where", "last_login", "logins"],
        unknown: &["which entity_type of public.project_member are accounts' (g, u)"],
        found: &[
            "admin a@x.org",
            "admin c@x.org",
            "admin-count administrators",
            "disabled-with-roles c@x.org",
        ],
    },
    Schema {
        name: "kanboard",
        sql: "create table users (id serial primary key, username varchar(191) not null, password varchar(255), name varchar(255), email varchar(255), twofactor_activated boolean default false, twofactor_secret char(16), nb_failed_login int default 0, lock_expiration_date bigint default 0, is_active boolean default true, role varchar(25) default 'app-user' not null); \
              create table last_logins (id serial primary key, auth_type varchar(25), user_id int references users, ip varchar(45), date_creation bigint); \
              create table groups (id serial primary key, name varchar(191)); \
              create table group_has_users (group_id int, user_id int); \
              create table password_reset (token varchar(80) primary key, user_id int not null, date_expiration int, date_creation int not null, is_active boolean); \
              insert into users (username, password, email, role, twofactor_activated) values ('ann', 'x', 'a@x.org', 'app-admin', true), ('bob', 'x', 'b@x.org', 'app-user', false); \
              insert into last_logins (user_id, date_creation) values (1, S(2)), (2, S(200)); \
              insert into password_reset values ('t', 2, S(1), S(1), true)",
        mapped: &[
            "logins = { at = \"date_creation\", table = \"public.last_logins\", user = \"user_id\" }",
            "locked_until = \"lock_expiration_date\"",
            "mfa = \"twofactor_activated\"",
        ],
        never: &["last_login"],
        unknown: &["how long public.last_logins keeps logins"],
        found: &["admin a@x.org", "admin-count administrators", "unused b@x.org"],
    },
    Schema {
        name: "synapse",
        sql: "create table users (name text unique, password_hash text, creation_ts bigint, admin smallint default 0 not null, is_guest smallint default 0 not null, deactivated smallint default 0 not null, suspended boolean default false not null); \
              create table user_ips (user_id text not null, access_token text not null, ip text not null, last_seen bigint not null); \
              create table access_tokens (id bigint primary key, user_id text not null, token text not null, last_validated bigint); \
              insert into users (name, password_hash, creation_ts, admin) values ('@a:x.org', 'x', S(900), 1), ('@b:x.org', 'x', S(900), 0); \
              insert into user_ips values ('@a:x.org', 't', '::1', MS(2))",
        mapped: &["login = \"name\"", "created = \"creation_ts\"", "disabled = \"suspended\""],
        never: &["last_login", "logins"],
        unknown: &["deactivated may say the same as disabled"],
        found: &["admin @a:x.org", "admin-count administrators"],
    },
];

/// The statements with times that are relative to the day of the tests.
fn dated(sql: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    let day = |n: i64| format!("(timestamptz '2026-11-22 12:00:00+00' - interval '{n} days')");
    while let Some((at, mark)) = ["DAYS(", "MS(", "S("].iter().filter_map(|m| Some((rest.find(m)?, *m))).min()
    {
        let (number, after) = rest[at + mark.len()..].split_once(')').expect("it is closed");
        let Ok(n) = number.parse::<i64>() else {
            out += &rest[..at + mark.len()];
            rest = &rest[at + mark.len()..];
            continue;
        };
        out += &rest[..at];
        out += &match mark {
            "DAYS(" => day(n),
            "MS(" => format!("(extract(epoch from {}) * 1000)::bigint", day(n)),
            _ => format!("(extract(epoch from {}))::bigint", day(n)),
        };
        rest = after;
    }
    out + rest
}

#[test]
fn each_frameworks_mapping_works_and_its_verdicts_are_right() {
    let mut world = World::with(Pg::start(&[]));
    let mut wrong = Vec::new();
    for schema in SCHEMAS {
        world.pg.psql("postgres", &format!("create database {}", schema.name));
        world.pg.psql(schema.name, &format!("set timezone = 'UTC'; {}", dated(schema.sql)));
        let url = world.pg.url_of(schema.name);
        let ran = world.run(&["app", "--detect", "--db", &url]);
        let mut bad = Vec::new();
        let starts = |l: &str| ran.stdout.lines().any(|said| said.starts_with(l));
        bad.extend(schema.mapped.iter().filter(|l| !starts(l)).map(|l| format!("no line {l}")));
        let never = schema.never.iter().filter(|k| starts(&format!("{k} = ")));
        bad.extend(never.map(|k| format!("a line {k}")));
        let unknown = |w: &&&str| ran.stdout.lines().any(|l| l.starts_with("# not known") && l.contains(**w));
        bad.extend(
            schema.unknown.iter().filter(|w| !unknown(w)).map(|w| format!("not said to be unknown: {w}")),
        );
        world.config(&ran.stdout);
        let found = troubles(&world.records(&["app", "--db", &url]));
        if found != schema.found {
            bad.push(format!("found {found:#?}"));
        }
        if ran.status != Some(0) || !bad.is_empty() {
            wrong.push(format!("{}: {}\n{}{}", schema.name, bad.join("; "), ran.stdout, ran.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_sqlite_file_is_detected_too_and_a_database_without_accounts_says_so() {
    let mut world = World::new();
    let file = world.path("shop.db");
    sqlite(
        &file,
        "insert into users (id, email, is_active, last_login_at, created_at) values (1, 'a@x.org', 1, '2026-01-01', '2025-01-01')",
    );
    let db = format!("sqlite:{}", file.display());
    let ran = world.run(&["app", "--detect", "--db", &db]);
    assert!(
        ran.stdout.contains("users = \"main.users\"") && ran.stdout.contains("[audit.mapping.\"shop.db\"]"),
        "{ran:?}"
    );
    world.config(&ran.stdout);
    assert_eq!(
        troubles(&world.records(&["app", "--db", &db])),
        ["admin-count administrators", "unused a@x.org"]
    );
    world.run(&["app", "--detect"]).refused(1, "looks like accounts");
}
