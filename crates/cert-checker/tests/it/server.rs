//! TLS servers in the test's own process, on a port of their own each, until they are dropped.

use crate::mint::Made;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Something that listens.
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Server {
    /// Each connection is `serve`d in a thread of its own.
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        Server::listen("127.0.0.1:0", serve)
    }

    pub(crate) fn listen(to: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(to).expect("a port");
        let at = listener.local_addr().expect("an address");
        let over = Arc::new(AtomicBool::new(false));
        let (serve, ended) = (Arc::new(serve), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        Server { at, over }
    }

    /// A TLS server.
    pub(crate) fn tls(config: ServerConfig) -> Server {
        let config = Arc::new(config);
        Server::start(move |stream| handshake(&config, stream))
    }

    /// One that shows this chain.
    pub(crate) fn showing(made: &Made, more: &[&[u8]]) -> Server {
        Server::tls(config(&chain(made, more), made, rustls::ALL_VERSIONS))
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn target(&self) -> String {
        self.at.to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // The listener's thread waits for a connection: this is the last.
        let _ = TcpStream::connect_timeout(&self.at, Duration::from_secs(1));
    }
}

/// A handshake, then an answer to whatever is asked, in the manner of HTTP.
pub(crate) fn handshake(config: &Arc<ServerConfig>, mut stream: TcpStream) {
    let Ok(mut connection) = rustls::ServerConnection::new(Arc::clone(config)) else { return };
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    let mut buffer = [0; 1024];
    if tls.read(&mut buffer).is_ok_and(|n| n > 0) {
        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}

pub(crate) fn chain(made: &Made, more: &[&[u8]]) -> Vec<Vec<u8>> {
    std::iter::once(made.der.clone()).chain(more.iter().map(|d| d.to_vec())).collect()
}

/// A configuration that shows any bytes as its certificates.
pub(crate) fn config(
    chain: &[Vec<u8>],
    made: &Made,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    builder(versions)
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(vec![certified(chain, &made.key)])))
}

/// One that asks for a client certificate of `root`, and insists.
pub(crate) fn asking(
    chain: &[Vec<u8>],
    made: &Made,
    root: &[u8],
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.to_vec())).expect("a root");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), toban_core::pg::tls::provider());
    let verifier = verifier.build().expect("a verifier");
    let resolver = Arc::new(Always(vec![certified(chain, &made.key)]));
    builder(versions).with_client_cert_verifier(verifier).with_cert_resolver(resolver)
}

/// One with several certificates, by what the client can verify.
pub(crate) fn several(certified: Vec<Arc<CertifiedKey>>) -> ServerConfig {
    builder(rustls::ALL_VERSIONS).with_no_client_auth().with_cert_resolver(Arc::new(Always(certified)))
}

fn builder(
    versions: &[&'static SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    let provider = toban_core::pg::tls::provider();
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions")
}

pub(crate) fn certified(chain: &[Vec<u8>], key: &rcgen::KeyPair) -> Arc<CertifiedKey> {
    from_pkcs8(chain, key.serialize_der())
}

pub(crate) fn from_pkcs8(chain: &[Vec<u8>], key: Vec<u8>) -> Arc<CertifiedKey> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let key = toban_core::pg::tls::provider().key_provider.load_private_key(key).expect("a key");
    let chain = chain.iter().map(|d| CertificateDer::from(d.clone())).collect();
    Arc::new(CertifiedKey::new(chain, key))
}

#[derive(Debug)]
struct Always(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Always {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |k: &&Arc<CertifiedKey>| k.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(fits).cloned()
    }
}
