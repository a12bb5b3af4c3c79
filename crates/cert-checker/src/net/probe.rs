//! One address asked for its certificates: by rustls, and where that shows none, by an old hello.

use super::ciphers::{self, Cipher};
use super::collect::{self, Captured, Restriction};
use super::connection::{Deadline, TimedStream};
use super::failure::ProbeFailure;
use super::hello::{self, ClientHello, NoFlight, ServerFlight};
use super::starttls;
use crate::endpoint::{Endpoint, Protocol};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use toban_core::sync::lock;

/// How to ask.
#[derive(Clone, Debug)]
pub(crate) struct ProbeRequest<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// The address, of those that the endpoint's host has.
    pub(crate) at: SocketAddr,
    /// The name to send; none for an address.
    pub(crate) sni: Option<&'a str>,
    pub(crate) own: Option<Arc<CertifiedKey>>,
    pub(crate) deadline: Deadline,
}

/// What a handshake showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Presented {
    pub(crate) version: String,
    pub(crate) cipher: String,
    /// The protocol inside that both agreed on (ALPN).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<String>,
    #[serde(skip)]
    pub(crate) shown: Captured,
    /// Why the server did not take our client certificate.
    #[serde(skip)]
    pub(crate) refused: Option<String>,
    /// The handshake came to its end, by versions and ciphers of today.
    #[serde(skip)]
    pub(crate) failure: Option<ProbeFailure>,
    /// Restriction an old hello was answered.
    pub(crate) legacy: bool,
}

/// The certificate that the address shows, to a client that takes only this where it is given.
pub(crate) fn fetch_certificate(
    ask: &ProbeRequest<'_>,
    only: Option<Restriction>,
) -> Result<Presented, ProbeFailure> {
    match shake_hands(ask, only) {
        Ok(presented) => Ok(presented),
        Err(failure) if failure.tls && only.is_none() => ask_by_old_hello(ask, failure),
        Err(failure) => Err(failure),
    }
}

/// A connection on which TLS may begin.
pub(crate) fn open_stream(ask: &ProbeRequest<'_>) -> Result<TimedStream, ProbeFailure> {
    let mut line = TimedStream::connect(ask.at, ask.deadline)
        .map_err(|e| ProbeFailure::from_io(&format!("connect to {}", ask.at), &e))?;
    starttls::start_tls(ask.endpoint.protocol, ask.sni.unwrap_or(&ask.endpoint.host), &mut line)?;
    Ok(line)
}

fn shake_hands(ask: &ProbeRequest<'_>, only: Option<Restriction>) -> Result<Presented, ProbeFailure> {
    let mut line = open_stream(ask)?;
    let (mut config, shown) =
        collect::client_config(only, ask.own.clone()).map_err(|e| ProbeFailure::tls(e.to_string()))?;
    // What each kind of client offers: some servers choose their certificate by it (RFC 7301), a web server of HTTP/2 alone
    // ends the handshake without it, and libpq wants an answer to it.
    config.alpn_protocols = match ask.endpoint.protocol {
        Protocol::Https => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::PostgresDirect => vec![b"postgresql".to_vec()],
        _ => Vec::new(),
    };
    config.enable_sni = ask.sni.is_some();
    let name = server_name(ask)?;
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name)
        .map_err(|e| ProbeFailure::tls(e.to_string()))?;
    let ended = complete_handshake(&mut connection, &mut line);
    let shown = std::mem::take(&mut *lock(&shown));
    // An error after the certificate was shown is news about the server, not the end of the check.
    let failure = ended.err().map(|e| ProbeFailure::from_io("handshake", &e));
    if let Some(failure) = failure.clone().filter(|_| shown.chain.is_empty()) {
        return Err(failure);
    }
    let version = connection.protocol_version().map_or(0, u16::from);
    let cipher = connection.negotiated_cipher_suite().map_or(0, |s| u16::from(s.suite()));
    let protocol = connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned());
    let judged = shown.asked.is_some() && ask.own.is_some();
    let (failure, refused) = match failure {
        Some(failure) if judged && failure.tls => (None, Some(failure.text)),
        // The server's own alert about our missing certificate comes after what it showed, and is no failure of its.
        Some(_) if shown.asked.is_some() && !judged => (None, None),
        Some(failure) => (Some(failure), None),
        None if judged => (None, client_refusal(&mut connection, &mut line, ask.deadline)),
        None => (None, None),
    };
    let (version, cipher) = (hello::version_name(version), ciphers::suite_name(cipher));
    Ok(Presented { version, cipher, protocol, shown, refused, failure, legacy: false })
}

/// How long a server may take to judge a client certificate before it is asked by a goodbye.
const JUDGED_WITHIN: Duration = Duration::from_secs(1);

/// Why the server does not take our certificate. In TLS 1.3 a client is done before the server has looked at it
/// (RFC 8446, 4.4.2.4): only what comes next tells, a ticket or an alert. From a server that waits for the client to
/// speak nothing comes, so after a while we close our side: what it sends before it closes its own is its verdict.
fn client_refusal(
    connection: &mut rustls::ClientConnection,
    line: &mut TimedStream,
    deadline: Deadline,
) -> Option<String> {
    let closed = || Some("the server closed the connection after it was shown".to_string());
    line.set_deadline(deadline.within(JUDGED_WITHIN));
    match read_reaction(connection, line) {
        Ok(Reaction::Said) => None,
        Ok(Reaction::Closed) => closed(),
        Err(e) if e.kind() == io::ErrorKind::TimedOut => {
            line.set_deadline(deadline.within(JUDGED_WITHIN));
            connection.send_close_notify();
            read_reaction(connection, line).err().and_then(|e| alert_text(&e))
        }
        Err(e) => alert_text(&e).or_else(closed),
    }
}

fn alert_text(e: &io::Error) -> Option<String> {
    let tls = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    tls.map(|_| ProbeFailure::from_io("handshake", e).text)
}

/// What a server does after the handshake.
enum Reaction {
    Said,
    Closed,
}

fn read_reaction(connection: &mut rustls::ClientConnection, line: &mut TimedStream) -> io::Result<Reaction> {
    while connection.wants_write() {
        connection.write_tls(line)?;
    }
    if connection.read_tls(line)? == 0 {
        return Ok(Reaction::Closed);
    }
    let state =
        connection.process_new_packets().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(if state.peer_has_closed() { Reaction::Closed } else { Reaction::Said })
}

fn complete_handshake(connection: &mut rustls::ClientConnection, line: &mut TimedStream) -> io::Result<()> {
    while connection.is_handshaking() {
        if connection.complete_io(line)? == (0, 0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// The name for rustls, which is sent only when SNI is wanted.
pub(super) fn server_name(ask: &ProbeRequest<'_>) -> Result<ServerName<'static>, ProbeFailure> {
    match ask.sni {
        Some(name) => ServerName::try_from(name.to_string())
            .map_err(|_| ProbeFailure::tls(format!("{name:?} is no name for SNI"))),
        None => Ok(ServerName::from(ask.at.ip())),
    }
}

/// TLS 1.2 with every cipher, then the versions that no server should speak any more; `failure` is why there was no
/// handshake of today.
fn ask_by_old_hello(ask: &ProbeRequest<'_>, failure: ProbeFailure) -> Result<Presented, ProbeFailure> {
    let offer = ciphers::offered_suites(false);
    // The newest first: what a server would speak with a client of its time is what counts. Each version needs a connection
    // of its own, for old servers answer an offer of several with an alert.
    let versions = [hello::TLS12, hello::TLS11, hello::TLS10, hello::SSL3];
    let answer = versions.into_iter().find_map(|version| {
        let answer = send_hello(ask, &ClientHello { version, ciphers: &offer, sni: ask.sni }).ok()?;
        (!answer.chain.is_empty()).then_some(answer)
    });
    let Some(answer) = answer else { return Err(failure) };
    // Where version and cipher are of today, something else keeps clients away.
    let current =
        answer.version == hello::TLS12 && Cipher::by_number(answer.cipher).is_some_and(Cipher::is_current);
    let asked = answer.asks_client.then(Vec::new);
    Ok(Presented {
        version: hello::version_name(answer.version),
        cipher: ciphers::suite_name(answer.cipher),
        protocol: None,
        shown: Captured { chain: answer.chain, asked, ..Captured::default() },
        refused: None,
        failure: current
            .then(|| ProbeFailure::tls(format!("clients of today do not connect: {}", failure.text))),
        legacy: true,
    })
}

/// One hello on a connection of its own.
pub(crate) fn send_hello(ask: &ProbeRequest<'_>, hello: &ClientHello<'_>) -> Result<ServerFlight, NoFlight> {
    use std::io::Write;
    let mut line = open_stream(ask).map_err(|t| NoFlight::Io(io::Error::other(t.text)))?;
    line.write_all(&hello.to_record()).map_err(NoFlight::Io)?;
    hello::read_flight(&mut line)
}
