//! Checks that one query each can make: rows of object and detail, each a finding.

use crate::rulebook::roles;
use toban_core::Severity;
use toban_core::check::Rule;

/// One such check.
#[derive(Debug)]
pub(crate) struct CatalogCheck {
    pub(crate) rule: &'static Rule,
    pub(crate) severity: Severity,
    pub(crate) cis: &'static [&'static str],
    /// What a role that is no superuser must be granted.
    pub(crate) needs: &'static str,
    /// The first major that has what it asks for.
    pub(crate) since: u32,
    pub(crate) sql: &'static str,
}

const NOTHING: &str = "connect on the database";

/// All of them, on 14 and newer.
pub(crate) static CHECKS: [CatalogCheck; 18] = [
    CatalogCheck {
        rule: &roles::PUBLIC_CREATE,
        severity: Severity::Warning,
        cis: &["4.10"],
        needs: NOTHING,
        since: 14,
        sql: "select 'schema ' || n.nspname, 'everybody may create objects in it' from pg_namespace n, \
              lateral aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a \
              where a.grantee = 0 and a.privilege_type = 'CREATE' order by 1",
    },
    CatalogCheck {
        rule: &roles::PUBLIC_GRANT,
        severity: Severity::Warning,
        cis: &["4.6"],
        needs: NOTHING,
        since: 14,
        sql: include_str!("sql/public_grant.sql"),
    },
    CatalogCheck {
        rule: &roles::DEFAULT_PUBLIC,
        severity: Severity::Warning,
        cis: &["4.6"],
        needs: NOTHING,
        since: 14,
        sql: "select 'objects that ' || pg_get_userbyid(d.defaclrole) || ' makes' || coalesce(' in ' || n.nspname, ''), \
              case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' \
              when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end || ': PUBLIC gets ' || \
              string_agg(a.privilege_type, ', ' order by a.privilege_type) \
              from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace, lateral aclexplode(d.defaclacl) a \
              where a.grantee = 0 and not (d.defaclobjtype = 'f' and a.privilege_type = 'EXECUTE' and d.defaclnamespace = 0) \
              and d.defaclobjtype <> 'T' group by d.oid, d.defaclrole, n.nspname, d.defaclobjtype order by 1, 2",
    },
    CatalogCheck {
        rule: &roles::SECURITY_DEFINER,
        severity: Severity::Warning,
        cis: &["4.5"],
        needs: NOTHING,
        since: 14,
        sql: include_str!("sql/security_definer.sql"),
    },
    CatalogCheck {
        rule: &roles::ROW_SECURITY_OFF,
        severity: Severity::Warning,
        cis: &["4.7"],
        needs: NOTHING,
        since: 14,
        sql: "select c.oid::regclass::text, 'has ' || count(*) || ' policies, and row-level security is not enabled' \
              from pg_policy p join pg_class c on c.oid = p.polrelid where not c.relrowsecurity group by c.oid order by 1",
    },
    CatalogCheck {
        rule: &roles::ROW_SECURITY_OPEN,
        severity: Severity::Warning,
        cis: &["4.7"],
        needs: NOTHING,
        since: 14,
        sql: "select c.oid::regclass::text, 'policy ' || p.polname || ' lets everybody see every row' from pg_policy p \
              join pg_class c on c.oid = p.polrelid where c.relrowsecurity and p.polpermissive and 0 = any(p.polroles) \
              and pg_get_expr(p.polqual, p.polrelid) = 'true' order by 1, 2",
    },
    CatalogCheck {
        rule: &roles::ROLE_SETTING,
        severity: Severity::Warning,
        cis: &[],
        needs: NOTHING,
        since: 14,
        sql: "select coalesce(r.rolname, 'every role') || coalesce(' in ' || d.datname, ''), 'has its own ' || c.setting \
              from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase, \
              lateral unnest(s.setconfig) c(setting) where c.setting ~* \
              '^(session_preload_libraries|local_preload_libraries|pgaudit\\.log=(none|\"\")?$|row_security=off|search_path=|log_statement=none)' order by 1, 2",
    },
    CatalogCheck {
        rule: &roles::FOREIGN_PASSWORD,
        severity: Severity::Warning,
        cis: &[],
        needs: "superuser: others do not see the options",
        since: 14,
        sql: "select 'user mapping of ' || m.usename || ' on ' || m.srvname, 'holds a password as plain text' \
              from pg_user_mappings m, lateral unnest(m.umoptions) o(option) where o.option like 'password=%' order by 1",
    },
    CatalogCheck {
        rule: &roles::UNTRUSTED_FUNCTION,
        severity: Severity::Warning,
        cis: &["4.5"],
        needs: NOTHING,
        since: 14,
        sql: "select p.oid::regprocedure::text, 'is written in ' || l.lanname || ', which has no limits' from pg_proc p \
              join pg_language l on l.oid = p.prolang join pg_namespace n on n.oid = p.pronamespace \
              where not l.lanpltrusted and l.lanname <> 'internal' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
              and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by 1",
    },
    CatalogCheck {
        rule: &roles::DEFINER_SUPERUSER,
        severity: Severity::Warning,
        cis: &["4.5"],
        needs: NOTHING,
        since: 14,
        sql: include_str!("sql/definer_superuser.sql"),
    },
    CatalogCheck {
        rule: &roles::VIEW_AS_OWNER,
        severity: Severity::Warning,
        cis: &["4.7"],
        needs: NOTHING,
        since: 14,
        sql: include_str!("sql/view_as_owner.sql"),
    },
    CatalogCheck {
        rule: &roles::EVENT_TRIGGER,
        severity: Severity::Warning,
        cis: &["4.5"],
        needs: NOTHING,
        since: 14,
        sql: include_str!("sql/event_trigger.sql"),
    },
    CatalogCheck {
        rule: &roles::ROW_SECURITY_OWNER,
        severity: Severity::Warning,
        cis: &["4.7"],
        needs: NOTHING,
        since: 14,
        sql: "select c.oid::regclass::text, 'its owner ' || r.rolname || ' sees every row, and ' || case when r.rolcanlogin \
              then 'logs in' else 'others act as it' end from pg_class c join pg_roles r on r.oid = c.relowner \
              where c.relkind in ('r', 'p') and c.relrowsecurity and not c.relforcerowsecurity \
              and not r.rolsuper and not r.rolbypassrls \
              and (r.rolcanlogin or exists (select from pg_auth_members m where m.roleid = r.oid)) order by 1",
    },
    CatalogCheck {
        rule: &roles::ROW_SECURITY_EMPTY,
        severity: Severity::Warning,
        cis: &["4.7"],
        needs: NOTHING,
        since: 14,
        sql: "select c.oid::regclass::text, 'row-level security is enabled without a policy: nobody but its owner sees a row' \
              from pg_class c where c.relkind in ('r', 'p') and c.relrowsecurity \
              and not exists (select from pg_policy p where p.polrelid = c.oid) order by 1",
    },
    CatalogCheck {
        rule: &roles::CONNECTION_LIMIT,
        severity: Severity::Warning,
        cis: &["5.5"],
        needs: NOTHING,
        since: 14,
        sql: "select 'roles that log in', count(*) || ' without a connection limit, each may take all ' || \
              current_setting('max_connections') || ' connections: ' || array_to_string((array_agg(rolname order by rolname))[1:5], ', ') || \
              case when count(*) > 5 then ', …' else '' end from pg_roles \
              where rolcanlogin and not rolsuper and rolconnlimit = -1 having count(*) > 0",
    },
    CatalogCheck {
        rule: &roles::CONNECTION_NONE,
        severity: Severity::Warning,
        cis: &["4.4"],
        needs: NOTHING,
        since: 14,
        sql: "select rolname, 'it may log in, and its connection limit is 0' from pg_roles where rolcanlogin and rolconnlimit = 0 \
              and not rolsuper order by 1",
    },
    CatalogCheck {
        rule: &roles::PUBLIC_PARAMETER,
        severity: Severity::Warning,
        cis: &["4.6"],
        needs: NOTHING,
        since: 15,
        sql: "select 'parameter ' || p.parname, 'PUBLIC has ' || string_agg(a.privilege_type, ', ' order by a.privilege_type) \
              from pg_parameter_acl p, lateral aclexplode(p.paracl) a where a.grantee = 0 group by 1 order by 1",
    },
    CatalogCheck {
        rule: &roles::GRANT_OPTION,
        severity: Severity::Warning,
        cis: &["4.6"],
        needs: NOTHING,
        since: 14,
        sql: "select n.nspname || '.' || c.relname || ' to ' || pg_get_userbyid(a.grantee), 'it may pass on ' || \
              string_agg(a.privilege_type, ', ' order by a.privilege_type) \
              from pg_class c join pg_namespace n on n.oid = c.relnamespace, lateral aclexplode(c.relacl) a \
              where a.is_grantable and a.grantee not in (0, c.relowner) and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
              and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') \
              group by 1, n.nspname, c.relname, a.grantee order by 1",
    },
];
