//! Checks that one query each can make: rows of object and detail, each a finding.

use toban_core::Severity;

/// One such check.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) rule: &'static str,
    pub(crate) severity: Severity,
    pub(crate) advice: &'static str,
    pub(crate) cis: &'static [&'static str],
    /// What a role that is no superuser must be granted.
    pub(crate) needs: &'static str,
    pub(crate) sql: &'static str,
}

const NOTHING: &str = "connect on the database";

/// All of them, on 14 and newer.
pub(crate) const CHECKS: [Check; 10] = [
    Check {
        rule: "public-create",
        severity: Severity::Warning,
        advice: "revoke create on schema … from public",
        cis: &["4.10"],
        needs: NOTHING,
        sql: "select 'schema ' || n.nspname, 'everybody may create objects in it' from pg_namespace n, \
              lateral aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a \
              where a.grantee = 0 and a.privilege_type = 'CREATE' order by 1",
    },
    Check {
        rule: "public-grant",
        severity: Severity::Warning,
        advice: "revoke … from public, grant to roles",
        cis: &["4.6"],
        needs: NOTHING,
        sql: include_str!("sql/public_grant.sql"),
    },
    Check {
        rule: "default-public",
        severity: Severity::Warning,
        advice: "alter default privileges … revoke … from public",
        cis: &["4.6"],
        needs: NOTHING,
        sql: "select 'objects that ' || pg_get_userbyid(d.defaclrole) || ' makes' || coalesce(' in ' || n.nspname, ''), \
              case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' \
              when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end || ': PUBLIC gets ' || \
              string_agg(a.privilege_type, ', ' order by a.privilege_type) \
              from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace, lateral aclexplode(d.defaclacl) a \
              where a.grantee = 0 and not (d.defaclobjtype = 'f' and a.privilege_type = 'EXECUTE' and d.defaclnamespace = 0) \
              and d.defaclobjtype <> 'T' group by d.oid, d.defaclrole, n.nspname, d.defaclobjtype order by 1, 2",
    },
    Check {
        rule: "security-definer",
        severity: Severity::Warning,
        advice: "set search_path to safe schemas with pg_temp last; revoke execute from public",
        cis: &["4.5"],
        needs: NOTHING,
        sql: include_str!("sql/security_definer.sql"),
    },
    Check {
        rule: "row-security-off",
        severity: Severity::Warning,
        advice: "alter table … enable row level security, or drop the policies",
        cis: &["4.7"],
        needs: NOTHING,
        sql: "select c.oid::regclass::text, 'has ' || count(*) || ' policies, and row-level security is not enabled' \
              from pg_policy p join pg_class c on c.oid = p.polrelid where not c.relrowsecurity group by c.oid order by 1",
    },
    Check {
        rule: "row-security-open",
        severity: Severity::Warning,
        advice: "narrow the policy",
        cis: &["4.7"],
        needs: NOTHING,
        sql: "select c.oid::regclass::text, 'policy ' || p.polname || ' lets everybody see every row' from pg_policy p \
              join pg_class c on c.oid = p.polrelid where c.relrowsecurity and p.polpermissive and 0 = any(p.polroles) \
              and pg_get_expr(p.polqual, p.polrelid) = 'true' order by 1, 2",
    },
    Check {
        rule: "role-setting",
        severity: Severity::Warning,
        advice: "alter role … reset …, unless it is wanted",
        cis: &[],
        needs: NOTHING,
        sql: "select coalesce(r.rolname, 'every role') || coalesce(' in ' || d.datname, ''), 'has its own ' || c.setting \
              from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase, \
              lateral unnest(s.setconfig) c(setting) where c.setting ~* \
              '^(session_preload_libraries|local_preload_libraries|pgaudit\\.log=(none|\"\")?$|row_security=off|search_path=|log_statement=none)' order by 1, 2",
    },
    Check {
        rule: "name-twins",
        severity: Severity::Warning,
        advice: "rename one",
        cis: &[],
        needs: NOTHING,
        sql: "select string_agg(rolname, ', ' order by rolname), 'names that differ by case alone' from pg_roles \
              group by lower(rolname) having count(*) > 1 order by 1",
    },
    Check {
        rule: "foreign-password",
        severity: Severity::Warning,
        advice: "use a passfile, or a certificate",
        cis: &[],
        needs: "superuser: others do not see the options",
        sql: "select 'user mapping of ' || m.usename || ' on ' || m.srvname, 'holds a password as plain text' \
              from pg_user_mappings m, lateral unnest(m.umoptions) o(option) where o.option like 'password=%' order by 1",
    },
    Check {
        rule: "untrusted-function",
        severity: Severity::Warning,
        advice: "is it wanted? it may do what the server's operating-system user may",
        cis: &["4.5"],
        needs: NOTHING,
        sql: "select p.oid::regprocedure::text, 'is written in ' || l.lanname || ', which has no limits' from pg_proc p \
              join pg_language l on l.oid = p.prolang join pg_namespace n on n.oid = p.pronamespace \
              where not l.lanpltrusted and l.lanname <> 'internal' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
              and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by 1",
    },
];
