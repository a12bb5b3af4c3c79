//! Rules of `roles`: PostgreSQL's own roles, their rights, pg_hba.conf, grants.

const MEMBERSHIP: &str = "revoke the membership, or accept it in a review";

toban_core::rules! {
    SUPERUSER = "superuser" in "rights", by_name:
        "superuser", "alter role … nosuperuser, or revoke the membership";
    BYPASSRLS = "bypassrls" in "rights", by_name:
        "sees past row-level security", "alter role … nobypassrls";
    REPLICATION = "replication" in "rights", by_name:
        "may copy the whole cluster", "alter role … noreplication";
    CREATEROLE = "createrole" in "rights", by_name:
        "may make and change roles", "alter role … nocreaterole";
    CREATEDB = "createdb" in "rights", by_name:
        "may make databases", "alter role … nocreatedb";
    PG_EXECUTE_SERVER_PROGRAM = "pg-execute-server-program" in "rights", by_name:
        "may run programs on the server", MEMBERSHIP;
    PG_WRITE_SERVER_FILES = "pg-write-server-files" in "rights", by_name:
        "may write the server's files", MEMBERSHIP;
    PG_READ_SERVER_FILES = "pg-read-server-files" in "rights", by_name:
        "may read the server's files", MEMBERSHIP;
    PG_READ_ALL_DATA = "pg-read-all-data" in "rights", by_name:
        "reads every table, password hashes too,", MEMBERSHIP;
    PG_WRITE_ALL_DATA = "pg-write-all-data" in "rights", by_name:
        "writes every table", MEMBERSHIP;
    PG_MAINTAIN = "pg-maintain" in "rights", by_name:
        "may lock and rewrite every table", MEMBERSHIP;
    PG_SIGNAL_BACKEND = "pg-signal-backend" in "rights", by_name:
        "may end others' sessions", MEMBERSHIP;
    PG_CHECKPOINT = "pg-checkpoint" in "rights", by_name:
        "may force checkpoints", MEMBERSHIP;
    PG_CREATE_SUBSCRIPTION = "pg-create-subscription" in "rights", by_name:
        "may make the server connect elsewhere", MEMBERSHIP;
    PG_SIGNAL_AUTOVACUUM_WORKER = "pg-signal-autovacuum-worker" in "rights", by_name:
        "may end autovacuum", MEMBERSHIP;
    PG_USE_RESERVED_CONNECTIONS = "pg-use-reserved-connections" in "rights", by_name:
        "may use reserved connections", MEMBERSHIP;
    PG_DATABASE_OWNER = "pg-database-owner" in "rights", by_name:
        "owns the database", MEMBERSHIP;
    RDS_SUPERUSER = "rds-superuser" in "rights", by_name:
        "nearly a superuser, as far as the provider lets,", MEMBERSHIP;
    CLOUDSQLSUPERUSER = "cloudsqlsuperuser" in "rights", by_name:
        "nearly a superuser, as far as the provider lets,", MEMBERSHIP;
    AZURE_PG_ADMIN = "azure-pg-admin" in "rights", by_name:
        "nearly a superuser, as far as the provider lets,", MEMBERSHIP;
    ALLOYDBSUPERUSER = "alloydbsuperuser" in "rights", by_name:
        "nearly a superuser, as far as the provider lets,", MEMBERSHIP;
    NEON_SUPERUSER = "neon-superuser" in "rights", by_name:
        "nearly a superuser, as far as the provider lets,", MEMBERSHIP;

    SERVER = "server" in "server":
        "which server it is, and whether it is a standby", "nothing";
    SKIPPED = "skipped" in "server":
        "what could not be checked: a grant is missing, or it cannot be seen from here",
        "give the auditor's role what the finding names, or accept it with an [[accept]] entry";
    PASSWORD_MD5 = "password-md5" in "password":
        "its password is kept as md5", "set it anew under scram-sha-256";
    PASSWORD_LOW_ITERATIONS = "password-low-iterations" in "password":
        "its password is kept with fewer SCRAM iterations than usual", "set it anew under the default scram_iterations";
    PASSWORD_UNKNOWN_KIND = "password-unknown-kind" in "password":
        "what is kept as its password is no hash that PostgreSQL knows", "set it anew";
    PASSWORD_EXPIRED = "password-expired" in "password":
        "VALID UNTIL is over; peer, cert and trust still let it in", "alter role … nologin, or renew the password";
    PASSWORD_EXPIRES = "password-expires" in "password":
        "VALID UNTIL is near", "renew it in time";
    ROLE_SEEN = "role-seen" in "use":
        "when a role was last seen, and by which source", "nothing";
    ROLE_UNUSED = "role-unused" in "use":
        "logs that reach back far enough have not seen the role", "alter role … nologin";
    NAME_TWINS = "name-twins" in "names":
        "names that look the same to a person", "rename one";
    LOGIN_GROUP = "login-group" in "names":
        "a role logs in, and has members that may act as it",
        "make it nologin, and give whoever needs it a role of his own";
    HBA_TRUST = "hba-trust" in "hba":
        "a line of pg_hba.conf lets in without proof", "ask for scram-sha-256, peer or cert";
    HBA_PASSWORD = "hba-password" in "hba":
        "a line asks for the password as it is", "ask for scram-sha-256";
    HBA_MD5 = "hba-md5" in "hba":
        "a line asks for md5, whose hashes can be replayed", "ask for scram-sha-256";
    HBA_IDENT = "hba-ident" in "hba":
        "a line believes what the other machine says", "ask for scram-sha-256, or cert";
    HBA_CLEARTEXT = "hba-cleartext" in "hba":
        "a password travels without TLS, or clients are kept from it", "hostssl, once every client uses TLS";
    HBA_WIDE = "hba-wide" in "hba":
        "a line lets every address in the world ask", "name the networks";
    HBA_SUPERUSER_REMOTE = "hba-superuser-remote" in "hba":
        "superusers may come over the network", "reject them above, by name";
    HBA_MAP = "hba-map" in "hba":
        "a map of pg_ident.conf makes somebody a superuser", "take the line out of the map, or narrow it";
    HBA_ERROR = "hba-error" in "hba":
        "the server cannot read a line: a reload keeps the old rules, and a restart fails",
        "correct the line, then: select pg_reload_conf()";
    HBA_UNREACHABLE = "hba-unreachable" in "hba":
        "no connection comes to a line", "delete it, or move it up";
    HBA_NOT_LOADED = "hba-not-loaded" in "hba":
        "the file was changed after the server last read it", "select pg_reload_conf(), and look again";
    CAN_LOG_IN = "can-log-in" in "login":
        "from where a role may log in, to which databases, by which method and line",
        "correct pg_hba.conf, then: select pg_reload_conf()";
    PUBLIC_CREATE = "public-create" in "grants":
        "everybody may create objects in a schema", "revoke create on schema … from public";
    PUBLIC_GRANT = "public-grant" in "grants":
        "PUBLIC may do more than PostgreSQL's own defaults let it", "revoke … from public, grant to roles";
    DEFAULT_PUBLIC = "default-public" in "grants":
        "objects made from now on are granted to PUBLIC", "alter default privileges … revoke … from public";
    PUBLIC_PARAMETER = "public-parameter" in "parameters":
        "PUBLIC may set a parameter", "revoke … on parameter … from public";
    GRANT_OPTION = "grant-option" in "grants":
        "a role may pass its rights on", "revoke grant option for … from …";
    SECURITY_DEFINER = "security-definer" in "functions":
        "a function runs as its owner and can be led astray by search_path",
        "set search_path to safe schemas with pg_temp last; revoke execute from public";
    DEFINER_SUPERUSER = "definer-superuser" in "functions":
        "a function runs as a superuser for everybody",
        "revoke execute on function … from public; have a role without superuser own it";
    UNTRUSTED_FUNCTION = "untrusted-function" in "functions":
        "a function is written in a language that has no limits",
        "is it wanted? it may do what the server's operating-system user may";
    EVENT_TRIGGER = "event-trigger" in "functions":
        "somebody who is no superuser can change the function of an event trigger",
        "have a superuser own the function, in a schema of his own";
    VIEW_AS_OWNER = "view-as-owner" in "row-security":
        "a view shows others what row-level security hides from them",
        "alter view … set (security_invoker = true), from 15 on; or revoke it";
    ROW_SECURITY_OFF = "row-security-off" in "row-security":
        "a table has policies, and row-level security is not enabled",
        "alter table … enable row level security, or drop the policies";
    ROW_SECURITY_OPEN = "row-security-open" in "row-security":
        "a policy lets everybody see every row", "narrow the policy";
    ROW_SECURITY_EMPTY = "row-security-empty" in "row-security":
        "row-level security is enabled without a policy", "create a policy, or disable row-level security";
    ROW_SECURITY_OWNER = "row-security-owner" in "row-security":
        "the owner of a table sees every row past its policies",
        "alter table … force row level security; or have a role own it that nobody logs in as";
    CONNECTION_LIMIT = "connection-limit" in "role":
        "roles log in without a connection limit", "alter role … connection limit N, or accept it with an [[accept]] entry";
    CONNECTION_NONE = "connection-none" in "role":
        "a role may log in, and its connection limit is 0", "alter role … nologin says it plainly";
    ROLE_SETTING = "role-setting" in "role":
        "a setting of a role switches off protection", "alter role … reset …, unless it is wanted";
    FOREIGN_PASSWORD = "foreign-password" in "foreign-servers":
        "a user mapping holds a password as plain text", "use a passfile, or a certificate";
}
