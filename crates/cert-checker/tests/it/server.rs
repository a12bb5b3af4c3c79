//! TLS servers in the test's own process, on a port of their own each, until they are dropped.

use crate::mint::Made;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
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

/// A web server that sends every client to the address that `to` holds by then.
pub(crate) fn redirecting(config: ServerConfig, to: Arc<Mutex<String>>) -> Server {
    let config = Arc::new(config);
    Server::start(move |mut stream| {
        let Ok(mut connection) = rustls::ServerConnection::new(Arc::clone(&config)) else { return };
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        if tls.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {
            let to = to.lock().expect("whole").clone();
            let _ = tls.write_all(format!("HTTP/1.1 301 Moved\r\nLocation: {to}\r\n\r\n").as_bytes());
        }
    })
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
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), toban_core::tls::provider());
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
    let provider = toban_core::tls::provider();
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions")
}

pub(crate) fn certified(chain: &[Vec<u8>], key: &rcgen::KeyPair) -> Arc<CertifiedKey> {
    from_pkcs8(chain, key.serialize_der())
}

pub(crate) fn from_pkcs8(chain: &[Vec<u8>], key: Vec<u8>) -> Arc<CertifiedKey> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let key = toban_core::tls::provider().key_provider.load_private_key(key).expect("a key");
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

/// A resolver by what the client's hello says about versions.
#[derive(Debug)]
struct ByVersion {
    old: Arc<CertifiedKey>,
    new: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByVersion {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let modern = hello.cipher_suites().iter().any(|s| u16::from(*s) >> 8 == 0x13);
        Some(Arc::clone(if modern { &self.new } else { &self.old }))
    }
}

/// One that shows `old` to clients without TLS 1.3.
pub(crate) fn by_version(old: Arc<CertifiedKey>, new: Arc<CertifiedKey>) -> ServerConfig {
    builder(rustls::ALL_VERSIONS).with_no_client_auth().with_cert_resolver(Arc::new(ByVersion { old, new }))
}

/// A first flight of old: ServerHello with this version and cipher, Certificate, ServerHelloDone, in records of 100
/// bytes; an alert for whoever asks for another version.
pub(crate) fn flight(version: [u8; 2], cipher: [u8; 2]) -> impl Fn(TcpStream, &[Vec<u8>]) + Send + Sync {
    flight_with(version, cipher, 0)
}

/// The same with a Diffie-Hellman prime of so many bytes.
pub(crate) fn flight_with(
    version: [u8; 2],
    cipher: [u8; 2],
    prime: usize,
) -> impl Fn(TcpStream, &[Vec<u8>]) + Send + Sync {
    move |mut stream, chain| {
        let mut hello = vec![0; 8192];
        let n = stream.read(&mut hello).unwrap_or(0);
        let offers = hello[..n].windows(2).any(|pair| pair == cipher);
        // Byte 9 and 10: the version that the client's hello names. rustls never offers what is shown here.
        if n < 11 || hello[9..11] != version || !offers {
            let _ = stream.write_all(&[21, 3, version[1], 0, 2, 2, 40]);
            return;
        }
        let _ = stream.write_all(&first_flight(version, cipher, prime, chain));
    }
}

fn first_flight(version: [u8; 2], cipher: [u8; 2], prime: usize, chain: &[Vec<u8>]) -> Vec<u8> {
    let of24 = |n: usize| u32::try_from(n).expect("small").to_be_bytes()[1..].to_vec();
    let of16 = |n: usize| u16::try_from(n).expect("small").to_be_bytes().to_vec();
    let message = |kind: u8, body: Vec<u8>| [vec![kind], of24(body.len()), body].concat();
    let hello = [version.to_vec(), vec![7; 32], vec![0], cipher.to_vec(), vec![0]].concat();
    let list: Vec<u8> = chain.iter().flat_map(|c| [of24(c.len()), c.clone()].concat()).collect();
    let exchange = match prime {
        0 => vec![],
        n => message(12, [of16(n), vec![0xff; n], of16(1), vec![2], of16(1), vec![5], of16(0)].concat()),
    };
    let all =
        [message(2, hello), message(11, [of24(list.len()), list].concat()), exchange, message(14, vec![])]
            .concat();
    let record = |part: &[u8]| [vec![22, 3, version[1]], of16(part.len()), part.to_vec()].concat();
    all.chunks(100).flat_map(record).collect()
}
