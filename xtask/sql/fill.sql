-- Fills the schema; :scale 1 is some 10,000 incidents. The same rows every time: setseed, and times from a fixed day.
\set ON_ERROR_STOP on
set search_path = itsm, public;
set timezone = 'UTC';
begin;
select setseed(0.42) \gset ignored_

create function pg_temp.words(n int) returns text language sql volatile as $$
  select string_agg((array['printer','network','laptop','mail','login','the','is','not','after','update','since',
    'Monday','user','cannot','open','VPN','password','server','slow','again','screen','error','please','restart',
    'ticket','café','ユーザー','Büro','disk','backup','order','reset','office','floor','driver','missing'])
    [1 + floor(random() * 36)::int], ' ') from generate_series(1, n) where n > 0 $$;
create function pg_temp.day(n int) returns timestamptz language sql immutable as $$
  select timestamptz '2024-01-01 08:00:00+00' + n * interval '13 minutes' $$;

insert into users (email, name, password_hash, is_active, last_login_at, created_at)
select format('user%s@example.org', n), initcap(pg_temp.words(2)), md5(random()::text), n % 17 <> 0,
       case when n % 11 <> 0 then pg_temp.day(n * 100) end, pg_temp.day(n)
from generate_series(1, 300) n;
insert into roles (name, description)
values ('admin', 'may do all'), ('agent', 'works on incidents'), ('requester', null);
insert into user_roles select id, 1 + id % 3, created_at from users;
insert into assets (asset_tag, name, owner_id, purchase_price, attributes, purchased_on)
select format('AS-%s', n), initcap(pg_temp.words(2)), 1 + n % 300, (random() * 3000)::numeric(12, 2),
       jsonb_build_object('ram_gb', 8 * (1 + n % 8), 'tags', array[pg_temp.words(1), pg_temp.words(1)], 'serial', md5(n::text)),
       date '2020-01-01' + n % 2000
from generate_series(1, 1000 * :scale) n;
insert into incidents (ticket_id, title, description, priority, status, is_security_incident, reporter_id, assignee_id,
                       asset_id, resolved_at, created_at)
select format('INC-%s', lpad(n::text, 7, '0')), pg_temp.words(6), pg_temp.words(20 + n % 40),
       (enum_range(null::priority))[1 + n % 4], (enum_range(null::status))[1 + n % 5], n % 50 = 0,
       1 + n % 300, 1 + n % 97, 1 + n % 1000, case when n % 5 > 2 then pg_temp.day(n + 300) end, pg_temp.day(n)
from generate_series(1, 10000 * :scale) n;
insert into incident_histories (incident_id, actor_id, field, old_value, new_value, changed_at)
select 1 + n / 3, 1 + n % 97, 'status', 'New', 'Assigned', pg_temp.day(n / 3 + n % 3)
from generate_series(0, 30000 * :scale - 1) n;
insert into comments (incident_id, author_id, body, attachment, created_at)
select 1 + n / 2, 1 + n % 300, pg_temp.words(10 + n % 50),
       case when n % 10 = 0 then decode(repeat(md5(random()::text), 20), 'hex') end, pg_temp.day(n / 2 + 1)
from generate_series(0, 20000 * :scale - 1) n;
insert into changes (change_id, title, risk, requested_by, planned, rollback_plan)
select format('CHG-%s', n), pg_temp.words(5), (array['Low','Medium','High'])[1 + n % 3], 1 + n % 300,
       tstzrange(pg_temp.day(n * 10), pg_temp.day(n * 10 + 9)), pg_temp.words(15)
from generate_series(1, 500 * :scale) n;
insert into approvals (change_id, approver_id, decision, decided_at)
select n, 1 + n % 30, (array['Approved','Rejected',null])[1 + n % 3], pg_temp.day(n * 10)
from generate_series(1, 500 * :scale) n;
insert into notifications (user_id, payload, read_at)
select 1 + n % 300, jsonb_build_object('ticket', n, 'text', pg_temp.words(8)), case when n % 2 = 0 then pg_temp.day(n) end
from generate_series(1, 5000 * :scale) n;
commit;
analyze;
