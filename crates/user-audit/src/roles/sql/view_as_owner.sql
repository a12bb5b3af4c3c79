-- Views that read a table under row-level security with their owner's eyes, and that somebody else may read; copies
-- too. A view that reads a view counts: each that is no security_invoker changes whose eyes they are.
with recursive views as (
  select c.oid, c.relowner, c.relacl, c.relkind = 'v' and exists (
           select from pg_options_to_table(c.reloptions) o
            where o.option_name = 'security_invoker' and o.option_value::boolean) as invoker,
         n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and not exists (
           select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') as own
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('v', 'm')
), steps as (
  select distinct w.ev_class as view, d.refobjid as relation
    from pg_rewrite w join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
   where d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class
), reads (view, relation, eyes) as (
  select v.oid, s.relation, v.relowner from views v join steps s on s.view = v.oid
   where v.own and not v.invoker
     and exists (select from aclexplode(v.relacl) a where a.privilege_type = 'SELECT' and a.grantee <> v.relowner)
  union
  select r.view, s.relation, case when v.invoker then r.eyes else v.relowner end
    from reads r join views v on v.oid = r.relation join steps s on s.view = v.oid
), hidden as (
  select distinct r.view, t.oid as relation, o.rolname as eyes
    from reads r join pg_class t on t.oid = r.relation and t.relrowsecurity join pg_roles o on o.oid = r.eyes
   where o.rolsuper or o.rolbypassrls or (not t.relforcerowsecurity and pg_has_role(r.eyes, t.relowner, 'usage'))
)
select view::regclass::text, 'shows others every row of '
       || string_agg(relation::regclass || ' as ' || eyes || ' sees it', ', ' order by relation::regclass::text)
  from hidden group by view order by 1
