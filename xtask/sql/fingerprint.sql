-- One line for each table: its rows, and a sum over their text that does not depend on their order.
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' '
set search_path = itsm, public;
select 'users', count(*), sum(hashtext(t::text)::bigint) from users t union all
select 'roles', count(*), sum(hashtext(t::text)::bigint) from roles t union all
select 'user_roles', count(*), sum(hashtext(t::text)::bigint) from user_roles t union all
select 'assets', count(*), sum(hashtext(t::text)::bigint) from assets t union all
select 'incidents', count(*), sum(hashtext(t::text)::bigint) from incidents t union all
select 'incident_histories', count(*), sum(hashtext(t::text)::bigint) from incident_histories t union all
select 'comments', count(*), sum(hashtext(t::text)::bigint) from comments t union all
select 'changes', count(*), sum(hashtext(t::text)::bigint) from changes t union all
select 'approvals', count(*), sum(hashtext(t::text)::bigint) from approvals t union all
select 'notifications', count(*), sum(hashtext(t::text)::bigint) from notifications t
order by 1;
