//! A connection that did not come about, explained with its cause and what to do.

use super::conninfo::ConnInfo;
use super::host::Host;
use super::ident::Ident;
use super::verify::Verdict;
use crate::error::{Error, Kind};
use std::io::ErrorKind;

/// Puts host, cause and remedy into one error.
pub(super) fn explain_failure(
    e: postgres::Error,
    to: &ConnInfo,
    host: &Host,
    verdict: Option<&Verdict>,
) -> Error {
    let doing = || format!("connect to {host}");
    if let Some(refusal) = verdict.and_then(Verdict::last_refusal) {
        return Error::failed(format!("connect to {host}: {}", refusal.why)).hint(refusal.remedy);
    }
    let remedy = find_hint(&e, to, host);
    // A socket that is not there is a server that does not run, as a refused port is.
    let no_socket = host.is_socket() && io_kind(&e) == Some(ErrorKind::NotFound);
    let no_resolver = describe_cause(&e).contains("Temporary failure in name resolution");
    let mut wrapped = Error::caused_by(doing(), e);
    if no_socket || no_resolver {
        wrapped = wrapped.kind_as(Kind::Retry);
    }
    match remedy {
        Some(remedy) => wrapped.hint(remedy),
        None => wrapped,
    }
}

fn find_hint(e: &postgres::Error, to: &ConnInfo, host: &Host) -> Option<String> {
    if let Some(db) = e.as_db_error() {
        return servers_words(db.code().code(), db.message(), to, host);
    }
    match describe_cause(e).as_str() {
        why if why.starts_with("failed to lookup address") => {
            Some("is the host name right, and does this machine's resolver answer?".into())
        }
        "password missing" => Some(password_hint(to, host)),
        "server does not support TLS" => {
            Some("set ssl=on on the server, or sslmode=prefer if the network is trusted".into())
        }
        _ => io_kind(e).and_then(|kind| hint_unreachable(kind, host)),
    }
}

/// The crate's own reasons have no kind to ask for, only words.
fn describe_cause(e: &postgres::Error) -> String {
    std::error::Error::source(e).map(ToString::to_string).unwrap_or_default()
}

fn io_kind(e: &postgres::Error) -> Option<ErrorKind> {
    let source = std::error::Error::source(e)?;
    source.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}

/// The hint of a failure below PostgreSQL's protocol.
pub(super) fn hint_unreachable(kind: ErrorKind, host: &Host) -> Option<String> {
    match kind {
        ErrorKind::NotFound if host.is_socket() => Some(
            "is the server running, and is its socket there? name another folder or host with host=".into(),
        ),
        ErrorKind::PermissionDenied if host.is_socket() => Some("this user may not open the socket".into()),
        ErrorKind::ConnectionRefused => {
            Some("is the server running and listening there (listen_addresses, port)?".into())
        }
        ErrorKind::TimedOut => Some("is a firewall in between? connect_timeout=SECONDS waits longer".into()),
        _ => None,
    }
}

/// By SQLSTATE; where one code has several causes, by the words of an English server. Only hints hang on them.
pub(super) fn servers_words(code: &str, message: &str, to: &ConnInfo, host: &Host) -> Option<String> {
    let (user, dbname) = (&to.user, &to.dbname);
    let remedy = match code {
        "28P01" => password_hint(to, host),
        "28000" if message.contains("no encryption") && to.tls.mode < super::tls::Mode::Require => {
            "the server may want TLS (sslmode=require), or a line in pg_hba.conf".into()
        }
        "28000" if message.contains("pg_hba.conf") => {
            format!(
                "add a line for database {dbname}, user {user} and this address to pg_hba.conf, and reload"
            )
        }
        "28000" if message.starts_with("Peer authentication") => {
            format!("run as the system user {user}, or use host=localhost with a password")
        }
        "28000" if message.contains("does not exist") && host.is_socket() => {
            "run as the system user of a role, such as postgres, or name a role with user= or PGUSER".into()
        }
        "28000" if message.contains("does not exist") => "name another role with user= or PGUSER".into(),
        "28000" if message.contains("client certificate") => "give sslcert= and sslkey=".into(),
        "3D000" => "psql -l lists the databases".into(),
        "42501" => format!("grant connect on database {} to {}", Ident::new(dbname), Ident::new(user)),
        "53300" => "too many sessions: end some, or raise max_connections".into(),
        _ => return None,
    };
    Some(remedy)
}

/// Where to put the password that is missing.
pub(super) fn password_hint(to: &ConnInfo, host: &Host) -> String {
    let name = host.in_passfile(to.socket_dir());
    let line = format!("{name}:{}:{}:{}:PASSWORD", host.port, to.dbname, to.user);
    format!("put \"{line}\" into ~/.pgpass (mode 0600), or name such a file in PGPASSFILE")
}

/// Of several hosts that failed, all are told; the kind and remedy are the first's, unless one may pass by itself.
pub(super) fn merge_failures(mut troubles: Vec<Error>, to: &ConnInfo) -> Error {
    // prefer-standby asks every host twice.
    let mut seen = std::collections::BTreeSet::new();
    troubles.retain(|e| seen.insert(e.chain()));
    if troubles.len() == 1 {
        return troubles.remove(0);
    }
    let said: Vec<String> = troubles.iter().map(Error::chain).collect();
    let retry = troubles.iter().any(|e| e.kind() == Kind::Retry);
    let kind = if retry { Kind::Retry } else { troubles.first().map_or(Kind::Failed, Error::kind) };
    let all = Error::new(kind, format!("reach {}: {}", to.describe(), said.join("; ")));
    match troubles.iter().find_map(Error::find_hint) {
        Some(remedy) => all.hint(remedy),
        None => all,
    }
}
