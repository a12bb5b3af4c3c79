-- Event triggers run for whoever does it, a superuser too: who can change the function can act as him.
select e.evtname, 'on ' || e.evtevent || ' it runs ' || p.oid::regprocedure || ', which ' || case
         when not r.rolsuper then r.rolname || ' may change, as whoever it runs for'
         else 'lies in a schema where everybody may create' end
  from pg_event_trigger e join pg_proc p on p.oid = e.evtfoid join pg_roles r on r.oid = p.proowner
  join pg_namespace n on n.oid = p.pronamespace
 where e.evtenabled <> 'D'
   and (not r.rolsuper or exists (select from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
                                   where a.grantee = 0 and a.privilege_type = 'CREATE'))
   and not exists (select from pg_depend d where d.classid = 'pg_event_trigger'::regclass and d.objid = e.oid and d.deptype = 'e')
 order by 1
