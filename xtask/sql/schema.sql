-- A plausible IT service management application, for the demo and the benchmarks.
create schema itsm;
alter database :"DBNAME" set search_path = itsm, public;
set search_path = itsm, public;

create type priority as enum ('Critical', 'High', 'Medium', 'Low');
create type status as enum ('New', 'Assigned', 'In-Progress', 'Resolved', 'Closed');

create table users (
  id bigint generated always as identity primary key,
  email varchar(255) not null unique,
  name varchar(255) not null,
  password_hash varchar(255),
  is_active boolean not null default true,
  last_login_at timestamptz,
  created_at timestamptz not null
);
create table roles (id bigserial primary key, name varchar(64) not null unique, description text);
create table user_roles (
  user_id bigint not null references users (id) on delete cascade,
  role_id bigint not null references roles (id),
  granted_at timestamptz not null,
  primary key (user_id, role_id)
);
create table assets (
  id bigserial primary key,
  asset_tag varchar(64) not null unique,
  name varchar(255) not null,
  owner_id bigint references users (id) on delete set null,
  purchase_price numeric(12, 2),
  attributes jsonb,
  purchased_on date
);
create table incidents (
  id bigserial primary key,
  ticket_id varchar(32) not null unique,
  title varchar(500) not null,
  description text,
  priority priority not null,
  status status not null default 'New',
  is_security_incident boolean not null default false,
  reporter_id bigint references users (id),
  assignee_id bigint references users (id),
  asset_id bigint references assets (id),
  resolved_at timestamptz,
  created_at timestamptz not null
);
create table incident_histories (
  id bigserial primary key,
  incident_id bigint not null references incidents (id) on delete cascade,
  actor_id bigint references users (id),
  field varchar(64) not null,
  old_value text,
  new_value text,
  changed_at timestamptz not null
);
create table comments (
  id bigserial primary key,
  incident_id bigint not null references incidents (id) on delete cascade,
  author_id bigint references users (id),
  body text not null,
  attachment bytea,
  created_at timestamptz not null
);
create table changes (
  id bigserial primary key,
  change_id varchar(64) not null unique,
  title varchar(500) not null,
  risk text not null check (risk in ('Low', 'Medium', 'High')),
  requested_by bigint references users (id),
  planned tstzrange not null,
  rollback_plan text
);
create table approvals (
  id bigserial primary key,
  change_id bigint not null references changes (id) on delete cascade,
  approver_id bigint not null references users (id),
  decision text check (decision in ('Approved', 'Rejected')),
  decided_at timestamptz,
  unique (change_id, approver_id)
);
create table notifications (
  id bigserial primary key,
  user_id bigint not null references users (id) on delete cascade,
  payload jsonb not null,
  read_at timestamptz
);

create index on incidents (status, priority);
create index on incidents (created_at desc) where is_security_incident;
create index on incident_histories (incident_id, changed_at);
create index on comments (incident_id);
create index on assets using gin (attributes);
create view open_incidents as select * from incidents where status <> 'Closed';
comment on table comments is 'What people said: – „so“, ‘so’ and 日本語';
