-- Grants to PUBLIC that PostgreSQL does not make by itself, outside its own schemas and of no extension.
with objects (kind, class, id, name, acl, owner, own) as (
  select case c.relkind when 'S' then 'sequence ' else 'table ' end, 'pg_class'::regclass, c.oid,
         n.nspname || '.' || c.relname, c.relacl, c.relowner, n.nspname ~ '^pg_' or n.nspname = 'information_schema'
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
  union all
  select 'column ', 'pg_class'::regclass, a.attrelid, n.nspname || '.' || c.relname || '.' || a.attname, a.attacl, c.relowner,
         n.nspname ~ '^pg_' or n.nspname = 'information_schema'
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  union all
  select 'foreign server ', 'pg_foreign_server'::regclass, oid, srvname, srvacl, srvowner, false from pg_foreign_server
  union all
  select 'foreign-data wrapper ', 'pg_foreign_data_wrapper'::regclass, oid, fdwname, fdwacl, fdwowner, false
    from pg_foreign_data_wrapper
  union all
  select 'large object ', 'pg_largeobject'::regclass, oid, oid::text, lomacl, lomowner, false from pg_largeobject_metadata
  union all
  select 'database ', 'pg_database'::regclass, oid, datname, datacl, datdba, false from pg_database
   where datname = current_database()
  union all
  select 'tablespace ', 'pg_tablespace'::regclass, oid, spcname, spcacl, spcowner, false from pg_tablespace
  union all
  select 'untrusted language ', 'pg_language'::regclass, oid, lanname, lanacl, lanowner, lanpltrusted from pg_language
)
select o.kind || o.name,
       'PUBLIC has ' || string_agg(a.privilege_type || case when a.is_grantable then ' with grant option' else '' end,
                                   ', ' order by a.privilege_type)
  from objects o, lateral aclexplode(o.acl) a
 where a.grantee = 0 and not o.own
   -- What every database gives to begin with.
   and not (o.kind = 'database ' and a.privilege_type in ('CONNECT', 'TEMPORARY'))
   and not exists (select from pg_depend d where d.classid = o.class and d.objid = o.id and d.deptype = 'e')
 group by o.kind, o.name order by 1
