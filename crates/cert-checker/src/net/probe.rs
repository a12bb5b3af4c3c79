//! One address asked for its certificates: by rustls, and where that shows none, by an old hello.

use super::collect::{self, Only, Shown};
use super::deadline::{Deadline, Line};
use super::hello::{self, Hello, Refusal};
use super::trouble::Trouble;
use super::{ciphers, starttls};
use crate::target::{Endpoint, Protocol};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

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
    #[serde(skip)]
    pub(crate) shown: Shown,
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
        Err(trouble) if trouble.tls && only.is_none() => legacy(ask, at).ok_or(trouble),
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
    let shown = std::mem::take(&mut *shown.lock().unwrap_or_else(PoisonError::into_inner));
    let trouble = ended.err().map(|e| Trouble::of("handshake", &e));
    if let Some(trouble) = trouble.clone().filter(|_| shown.chain.is_empty()) {
        return Err(trouble);
    }
    let version = connection.protocol_version().map_or(0, u16::from);
    let cipher = connection.negotiated_cipher_suite().map_or(0, |s| u16::from(s.suite()));
    // The server's own alert about our missing certificate comes after what it showed, and is no trouble of its.
    let trouble = trouble.filter(|_| shown.asked.is_none());
    Ok(Presented {
        version: hello::version_name(version),
        cipher: ciphers::name(cipher),
        shown,
        trouble,
        legacy: false,
    })
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

/// TLS 1.2 with every cipher, then the versions that nobody should speak any more.
fn legacy(ask: &Ask<'_>, at: SocketAddr) -> Option<Presented> {
    let offer = ciphers::offer(false);
    let versions = [hello::TLS12, hello::TLS11, hello::TLS10, hello::SSL3];
    versions.into_iter().find_map(|version| in_version(ask, at, version, &offer))
}

fn in_version(ask: &Ask<'_>, at: SocketAddr, version: u16, offer: &[u16]) -> Option<Presented> {
    let answer = say(ask, at, &Hello { version, ciphers: offer, sni: ask.sni }).ok()?;
    let asked = answer.asks_client.then(Vec::new);
    let shown = Shown { chain: answer.chain, asked, ..Shown::default() };
    (!shown.chain.is_empty()).then(|| Presented {
        version: hello::version_name(answer.version),
        cipher: ciphers::name(answer.cipher),
        shown,
        trouble: None,
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
