-- Functions that run as a superuser for everybody: their search_path may be sound, what they do is still a superuser's.
select p.oid::regprocedure::text, 'runs as ' || r.rolname || ' (superuser), for everybody'
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles r on r.oid = p.proowner
 where p.prosecdef and r.rolsuper and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                where a.grantee = 0 and a.privilege_type = 'EXECUTE')
   and has_schema_privilege('public', n.oid, 'usage')
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
 order by 1
