-- Functions that run as their owner and can be led astray: no search_path of their own, pg_temp not last, or a
-- schema in it where everybody may create.
with definers as (
  select p.oid, pg_get_userbyid(p.proowner) as owner, r.rolsuper,
         exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                  where a.grantee = 0 and a.privilege_type = 'EXECUTE') as by_all,
         (select substr(c, 13) from unnest(p.proconfig) c where c like 'search_path=%') as path,
         -- What was parsed when it was made means the same for ever.
         p.prosqlbody is not null as parsed
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles r on r.oid = p.proowner
   where p.prosecdef and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
     and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
), judged as (
  select *, case
    when parsed then null
    when path is null then 'has no search_path of its own'
    when exists (select from pg_namespace s, lateral aclexplode(coalesce(s.nspacl, acldefault('n', s.nspowner))) a
                  where a.grantee = 0 and a.privilege_type = 'CREATE'
                    and s.nspname = any (string_to_array(replace(replace(path, '"', ''), ' ', ''), ',')))
      then 'has a schema in its search_path where everybody may create'
    when path not in ('', '""') and path !~ 'pg_temp"?\s*$' then 'does not have pg_temp last in its search_path'
  end as trouble from definers)
select oid::regprocedure::text,
       'runs as ' || owner || case when rolsuper then ' (superuser)' else '' end
       || case when by_all then ', for everybody' else '' end || ', and ' || trouble
  from judged where trouble is not null order by 1
