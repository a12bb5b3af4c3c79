//! One address asked for its certificates: by rustls, and where that shows none, by an old hello.

use super::ciphers::{self, Cipher};
use super::collect::{self, Only, Shown};
use super::deadline::{Deadline, Line};
use super::hello::{self, Hello, Refusal};
use super::starttls;
use super::trouble::Trouble;
use crate::target::{Endpoint, Protocol};
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
pub(crate) struct Ask<'a> {
    pub(crate) endpoint: &'a Endpoint,
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
    pub(crate) shown: Shown,
    /// Why the server did not take our client certificate.
    #[serde(skip)]
    pub(crate) refused: Option<String>,
    /// The handshake came to its end, by versions and ciphers of today.
    #[serde(skip)]
    pub(crate) trouble: Option<Trouble>,
    /// Only an old hello was answered.
    pub(crate) legacy: bool,
}

/// The certificate that `at` shows, to a client that takes only this where it is given.
///
/// # Errors
/// Why none was shown.
pub(crate) fn certificate(ask: &Ask<'_>, at: SocketAddr, only: Option<Only>) -> Result<Presented, Trouble> {
    match modern(ask, at, only) {
        Ok(presented) => Ok(presented),
        Err(trouble) if trouble.tls && only.is_none() => legacy(ask, at, trouble),
        Err(trouble) => Err(trouble),
    }
}

/// A connection on which TLS may begin.
///
/// # Errors
/// What came in between.
pub(crate) fn open(ask: &Ask<'_>, at: SocketAddr) -> Result<Line, Trouble> {
    let mut line =
        Line::connect(at, ask.deadline).map_err(|e| Trouble::of(&format!("connect to {at}"), &e))?;
    starttls::begin(ask.endpoint.protocol, ask.sni.unwrap_or(&ask.endpoint.host), &mut line)?;
    Ok(line)
}

fn modern(ask: &Ask<'_>, at: SocketAddr, only: Option<Only>) -> Result<Presented, Trouble> {
    let mut line = open(ask, at)?;
    let (mut config, shown) =
        collect::client(only, ask.own.clone()).map_err(|e| Trouble::tls(e.to_string()))?;
    config.alpn_protocols = match ask.endpoint.protocol {
        Protocol::Https => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::PostgresDirect => vec![b"postgresql".to_vec()],
        _ => Vec::new(),
    };
    config.enable_sni = ask.sni.is_some();
    let name = server_name(ask, at)?;
    let mut connection =
        rustls::ClientConnection::new(Arc::new(config), name).map_err(|e| Trouble::tls(e.to_string()))?;
    let ended = handshake(&mut connection, &mut line);
    let shown = std::mem::take(&mut *lock(&shown));
    let trouble = ended.err().map(|e| Trouble::of("handshake", &e));
    if let Some(trouble) = trouble.clone().filter(|_| shown.chain.is_empty()) {
        return Err(trouble);
    }
    let version = connection.protocol_version().map_or(0, u16::from);
    let cipher = connection.negotiated_cipher_suite().map_or(0, |s| u16::from(s.suite()));
    let protocol = connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned());
    let judged = shown.asked.is_some() && ask.own.is_some();
    let (trouble, refused) = match trouble {
        Some(trouble) if judged && trouble.tls => (None, Some(trouble.says)),
        // The server's own alert about our missing certificate comes after what it showed, and is no trouble of its.
        Some(_) if shown.asked.is_some() && !judged => (None, None),
        Some(trouble) => (Some(trouble), None),
        None if judged => (None, verdict_on_ours(&mut connection, &mut line, ask.deadline)),
        None => (None, None),
    };
    let (version, cipher) = (hello::version_name(version), ciphers::name(cipher));
    Ok(Presented { version, cipher, protocol, shown, refused, trouble, legacy: false })
}

/// How long a server may take to judge a client certificate before it is asked by a goodbye.
const JUDGED_WITHIN: Duration = Duration::from_secs(1);

/// Why the server does not take our certificate. In TLS 1.3 a client is done before the server has looked at it
/// (RFC 8446, 4.4.2.4): only what comes next tells, a ticket or an alert. From a server that waits for the client to
/// speak nothing comes, so after a while we take our leave: what it says before it closes is its verdict.
fn verdict_on_ours(
    connection: &mut rustls::ClientConnection,
    line: &mut Line,
    deadline: Deadline,
) -> Option<String> {
    let closed = || Some("the server closed the connection after it was shown".to_string());
    line.keep(deadline.within(JUDGED_WITHIN));
    match next(connection, line) {
        Ok(Next::Said) => None,
        Ok(Next::Closed) => closed(),
        Err(e) if e.kind() == io::ErrorKind::TimedOut => {
            line.keep(deadline.within(JUDGED_WITHIN));
            connection.send_close_notify();
            next(connection, line).err().and_then(|e| alert(&e))
        }
        Err(e) => alert(&e).or_else(closed),
    }
}

fn alert(e: &io::Error) -> Option<String> {
    let tls = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    tls.map(|_| Trouble::of("handshake", e).says)
}

/// What a server does after the handshake.
enum Next {
    Said,
    Closed,
}

fn next(connection: &mut rustls::ClientConnection, line: &mut Line) -> io::Result<Next> {
    while connection.wants_write() {
        connection.write_tls(line)?;
    }
    if connection.read_tls(line)? == 0 {
        return Ok(Next::Closed);
    }
    let state =
        connection.process_new_packets().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(if state.peer_has_closed() { Next::Closed } else { Next::Said })
}

fn handshake(connection: &mut rustls::ClientConnection, line: &mut Line) -> io::Result<()> {
    while connection.is_handshaking() {
        if connection.complete_io(line)? == (0, 0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// The name for rustls, which is sent only when SNI is wanted.
///
/// # Errors
/// A name that SNI cannot carry.
pub(super) fn server_name(ask: &Ask<'_>, at: SocketAddr) -> Result<ServerName<'static>, Trouble> {
    match ask.sni {
        Some(name) => ServerName::try_from(name.to_string())
            .map_err(|_| Trouble::tls(format!("{name:?} is no name for SNI"))),
        None => Ok(ServerName::from(at.ip())),
    }
}

/// TLS 1.2 with every cipher, then the versions that nobody should speak any more; `trouble` is why there was no
/// handshake of today.
fn legacy(ask: &Ask<'_>, at: SocketAddr, trouble: Trouble) -> Result<Presented, Trouble> {
    let offer = ciphers::offer(false);
    let versions = [hello::TLS12, hello::TLS11, hello::TLS10, hello::SSL3];
    let answer = versions.into_iter().find_map(|version| {
        let answer = say(ask, at, &Hello { version, ciphers: &offer, sni: ask.sni }).ok()?;
        (!answer.chain.is_empty()).then_some(answer)
    });
    let Some(answer) = answer else { return Err(trouble) };
    // Where version and cipher are of today, something else keeps clients away.
    let current = answer.version == hello::TLS12 && Cipher::of(answer.cipher).is_some_and(Cipher::current);
    let asked = answer.asks_client.then(Vec::new);
    Ok(Presented {
        version: hello::version_name(answer.version),
        cipher: ciphers::name(answer.cipher),
        protocol: None,
        shown: Shown { chain: answer.chain, asked, ..Shown::default() },
        refused: None,
        trouble: current.then(|| Trouble::tls(format!("clients of today do not connect: {}", trouble.says))),
        legacy: true,
    })
}

/// One hello on a connection of its own.
///
/// # Errors
/// An alert, junk, or the connection's end.
pub(crate) fn say(ask: &Ask<'_>, at: SocketAddr, hello: &Hello<'_>) -> Result<hello::Answer, Refusal> {
    use std::io::Write;
    let mut line = open(ask, at).map_err(|t| Refusal::Io(io::Error::other(t.says)))?;
    line.write_all(&hello.record()).map_err(Refusal::Io)?;
    hello::read(&mut line)
}
