//! libpq's connection keywords: which there are, which variable gives each, what we make of it.
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>

/// What a keyword means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Ours follows it, and a child gets it.
    Used,
    /// Changes nothing here (Kerberos' names while GSSAPI is off, compression): read and left.
    Idle,
    /// We cannot do it; these values ask for nothing and pass.
    Refused(&'static [&'static str]),
}

/// A keyword of libpq.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyword {
    pub(super) name: &'static str,
    /// The environment variable; empty when it has none.
    pub(super) variable: &'static str,
    pub(super) role: Role,
}

const fn used(name: &'static str, variable: &'static str) -> Keyword {
    Keyword { name, variable, role: Role::Used }
}

const fn idle(name: &'static str, variable: &'static str) -> Keyword {
    Keyword { name, variable, role: Role::Idle }
}

const fn refused(name: &'static str, variable: &'static str, pass: &'static [&'static str]) -> Keyword {
    Keyword { name, variable, role: Role::Refused(pass) }
}

/// Every keyword up to PostgreSQL 18.
pub(super) const ALL: &[Keyword] = &[
    used("service", "PGSERVICE"),
    used("servicefile", "PGSERVICEFILE"),
    used("user", "PGUSER"),
    used("password", "PGPASSWORD"),
    used("passfile", "PGPASSFILE"),
    used("dbname", "PGDATABASE"),
    used("host", "PGHOST"),
    used("hostaddr", "PGHOSTADDR"),
    used("port", "PGPORT"),
    used("connect_timeout", "PGCONNECT_TIMEOUT"),
    used("options", "PGOPTIONS"),
    used("application_name", "PGAPPNAME"),
    used("keepalives", ""),
    used("keepalives_idle", ""),
    used("keepalives_interval", ""),
    used("keepalives_count", ""),
    used("tcp_user_timeout", ""),
    used("sslmode", "PGSSLMODE"),
    used("sslnegotiation", "PGSSLNEGOTIATION"),
    used("sslcert", "PGSSLCERT"),
    used("sslkey", "PGSSLKEY"),
    used("sslrootcert", "PGSSLROOTCERT"),
    used("sslcrl", "PGSSLCRL"),
    used("sslcrldir", "PGSSLCRLDIR"),
    used("sslsni", "PGSSLSNI"),
    used("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    used("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    used("channel_binding", "PGCHANNELBINDING"),
    used("target_session_attrs", "PGTARGETSESSIONATTRS"),
    used("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    // Our client always speaks UTF-8, and a dump is best in its database's own encoding.
    idle("client_encoding", "PGCLIENTENCODING"),
    idle("sslcompression", "PGSSLCOMPRESSION"),
    // The tool's own name is the fallback, as psql's is for psql.
    idle("fallback_application_name", ""),
    // Only for an encrypted key, which is refused by itself.
    idle("sslpassword", ""),
    idle("krbsrvname", "PGKRBSRVNAME"),
    idle("gsslib", "PGGSSLIB"),
    idle("gssdelegation", "PGGSSDELEGATION"),
    idle("min_protocol_version", "PGMINPROTOCOLVERSION"),
    idle("max_protocol_version", "PGMAXPROTOCOLVERSION"),
    refused("gssencmode", "PGGSSENCMODE", &["prefer", "disable"]),
    refused("requirepeer", "PGREQUIREPEER", &[]),
    refused("require_auth", "PGREQUIREAUTH", &[]),
    refused("sslcertmode", "PGSSLCERTMODE", &["allow", "disable"]),
    refused("replication", "", &["false", "off", "no", "0"]),
    refused("scram_client_key", "", &[]),
    refused("scram_server_key", "", &[]),
    refused("sslkeylogfile", "", &[]),
    refused("oauth_issuer", "", &[]),
    refused("oauth_client_id", "", &[]),
    refused("oauth_client_secret", "", &[]),
    refused("oauth_scope", "", &[]),
];

/// Variables that change a connection without being a keyword.
pub(super) const OTHERS: &[&str] = &["PGREQUIRESSL", "PGSYSCONFDIR", "PGDATESTYLE", "PGTZ", "PGGEQO"];

/// The keyword of this name.
pub(super) fn find_keyword(name: &str) -> Option<Keyword> {
    ALL.iter().copied().find(|k| k.name == name)
}
