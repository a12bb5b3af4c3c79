//! TLS as libpq's settings ask for it, over rustls on ring.

use super::environment::Environment;
use super::settings::Settings;
use super::verify::{Level, ServerTrust, Verdict, Verifier};
use crate::error::{Context, Error, Result};
use crate::tls::provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Mode {
    const WORDS: [(Mode, &str); 6] = [
        (Mode::Disable, "disable"),
        (Mode::Allow, "allow"),
        (Mode::Prefer, "prefer"),
        (Mode::Require, "require"),
        (Mode::VerifyCa, "verify-ca"),
        (Mode::VerifyFull, "verify-full"),
    ];

    fn parse_mode(text: &str) -> Result<Mode> {
        let found = Mode::WORDS.iter().find(|(_, word)| *word == text).map(|(mode, _)| *mode);
        found.ok_or_else(|| {
            Error::usage(format!("unknown sslmode \"{text}\""))
                .hint("disable, allow, prefer, require, verify-ca or verify-full")
        })
    }

    /// As libpq spells it.
    pub(super) fn word(self) -> &'static str {
        Mode::WORDS.iter().find(|(mode, _)| *mode == self).map_or("", |(_, word)| word)
    }
}

/// Whose signature on the server's certificate counts.
#[derive(Clone, Debug)]
enum Roots {
    System,
    File(PathBuf),
    Nobody,
}

/// What the settings say about TLS; files are read when a connection needs them.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) mode: Mode,
    /// sslnegotiation=direct: no SSLRequest before the handshake.
    pub(super) direct: bool,
    roots: Roots,
    revoked: Vec<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    sni: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Tls {
    /// # Errors
    /// Usage for unknown words and for combinations libpq refuses.
    pub(super) fn read_settings(settings: &Settings, around: &Environment) -> Result<Tls> {
        let system = settings.get("sslrootcert") == Some("system");
        let default = if system { "verify-full" } else { "prefer" };
        let mode = Mode::parse_mode(settings.get("sslmode").unwrap_or(default))?;
        // The system's authorities sign for everybody: with less than a comparison of names, anybody's certificate
        // would do. libpq refuses it for that reason ("sslrootcert").
        if system && mode != Mode::VerifyFull {
            return Err(Error::usage(format!("sslrootcert=system with sslmode={}", mode.word()))
                .hint("use sslmode=verify-full"));
        }
        let direct = parse_negotiation(settings)?;
        // Nobody is asked whether TLS is spoken, so there is no answer after which plain text could follow (libpq,
        // "sslnegotiation").
        if direct && mode < Mode::Require {
            return Err(Error::usage(format!("sslnegotiation=direct with sslmode={}", mode.word()))
                .hint("use sslmode=require or stronger"));
        }
        let roots = if system { Roots::System } else { root_file(settings, around) };
        let sni = settings.get("sslsni") != Some("0");
        let (revoked, identity) =
            (list_crl_files(settings, around)?, find_client_certificate(settings, around));
        Ok(Tls { mode, direct, roots, revoked, identity, sni, versions: parse_versions(settings)? })
    }

    /// The file of the system's authorities, for children whose libpq (before 16) does not know `system`.
    pub(super) fn system_file(&self) -> Option<String> {
        let known = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
        let named = std::env::var("SSL_CERT_FILE").ok();
        let files = named.into_iter().chain(known.map(String::from));
        matches!(self.roots, Roots::System).then_some(())?;
        files.into_iter().find(|f| Path::new(f).exists())
    }

    /// What rustls needs to speak to `host`, and where its judgement of the server's certificate will be found.
    ///
    /// # Errors
    /// Usage: a missing root certificate, a bad certificate, key or list, a key others can read.
    pub(super) fn client_config(&self, host: &str) -> Result<(ClientConfig, Arc<Verdict>)> {
        let verdict = Arc::new(Verdict::default());
        let verifier = self.make_verifier(host, Arc::clone(&verdict))?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions)
            .doing(|| "set TLS versions".into())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            // Without the file none is sent, as libpq has it: a server that wants one says so, and explain_failure
            // says how to give it.
            Some((chain, key)) if chain.exists() => builder
                .with_client_auth_cert(read_certificates(chain)?, private_key(key)?)
                .doing(|| format!("use {} with {}", chain.display(), key.display()))?,
            _ => builder.with_no_client_auth(),
        };
        config.enable_sni = self.sni;
        // Direct negotiation demands it, and servers that do not know it ignore it.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok((config, verdict))
    }

    fn make_verifier(&self, host: &str, verdict: Arc<Verdict>) -> Result<Verifier> {
        let (roots, place) = match &self.roots {
            Roots::System => {
                (rustls_native_certs::load_native_certs().certs, "the system's authorities".into())
            }
            Roots::File(path) if path.exists() => (read_certificates(path)?, path.display().to_string()),
            _ if self.mode >= Mode::VerifyCa => return Err(self.no_roots()),
            _ => return Ok(Verifier::accept_any(verdict)),
        };
        let level = if self.mode == Mode::VerifyFull { Level::Name } else { Level::Chain };
        if level == Level::Name && host.is_empty() {
            return Err(
                Error::usage("sslmode=verify-full needs a host name").hint("give host= beside hostaddr=")
            );
        }
        let lists = self.revoked.iter().map(|p| revocation_lists(p)).collect::<Result<Vec<_>>>()?.concat();
        Verifier::new(ServerTrust { level, host, roots, place, lists }, verdict)
    }

    fn no_roots(&self) -> Error {
        let place = match &self.roots {
            Roots::File(path) => format!(" in {}", path.display()),
            _ => String::new(),
        };
        Error::usage(format!("sslmode={} without a root certificate{place}", self.mode.word()))
            .hint("put the authority's certificate there, or give sslrootcert=FILE or sslrootcert=system")
    }
}

fn parse_negotiation(settings: &Settings) -> Result<bool> {
    match settings.get("sslnegotiation") {
        None | Some("postgres") => Ok(false),
        Some("direct") => Ok(true),
        Some(other) => {
            Err(Error::usage(format!("unknown sslnegotiation \"{other}\"")).hint("postgres or direct"))
        }
    }
}

/// Given, else ~/.postgresql/root.crt. (Debian's /etc/postgresql-common/root.crt is for servers: libpq does not look.)
fn root_file(settings: &Settings, around: &Environment) -> Roots {
    let given = settings.get("sslrootcert").map(PathBuf::from);
    given.or_else(|| around.at_home(".postgresql/root.crt")).map_or(Roots::Nobody, Roots::File)
}

fn list_crl_files(settings: &Settings, around: &Environment) -> Result<Vec<PathBuf>> {
    if let Some(dir) = settings.get("sslcrldir") {
        let entries = std::fs::read_dir(dir).doing(|| format!("read sslcrldir {dir}"))?;
        let paths = entries.map(|e| e.map(|e| e.path())).collect::<std::io::Result<Vec<_>>>();
        return paths.doing(|| format!("read sslcrldir {dir}"));
    }
    let given = settings.get("sslcrl").map(PathBuf::from).or_else(|| around.at_home(".postgresql/root.crl"));
    Ok(given.into_iter().filter(|p| p.exists()).collect())
}

fn find_client_certificate(settings: &Settings, around: &Environment) -> Option<(PathBuf, PathBuf)> {
    if settings.get("sslcertmode") == Some("disable") {
        return None;
    }
    let of =
        |key: &str, default: &str| settings.get(key).map(PathBuf::from).or_else(|| around.at_home(default));
    Some((of("sslcert", ".postgresql/postgresql.crt")?, of("sslkey", ".postgresql/postgresql.key")?))
}

fn parse_versions(settings: &Settings) -> Result<Vec<&'static SupportedProtocolVersion>> {
    let rank = |key: &str, default: u8| match settings.get(key).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(default),
        Some("tlsv1") => Ok(0),
        Some("tlsv1.1") => Ok(1),
        Some("tlsv1.2") => Ok(2),
        Some("tlsv1.3") => Ok(3),
        Some(other) => Err(Error::usage(format!("unknown {key} \"{other}\"")).hint("TLSv1.2 or TLSv1.3")),
    };
    let (least, most) = (rank("ssl_min_protocol_version", 2)?, rank("ssl_max_protocol_version", 3)?);
    let ours = [(2, &rustls::version::TLS12), (3, &rustls::version::TLS13)];
    let fit: Vec<_> = ours.iter().filter(|(r, _)| (least..=most).contains(r)).map(|(_, v)| *v).collect();
    match fit.is_empty() {
        true => Err(Error::usage(
            "no TLS version is left by ssl_min_protocol_version and ssl_max_protocol_version",
        )
        .hint("TLSv1.2 and TLSv1.3 are supported")),
        false => Ok(fit),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let doing = || format!("read the certificates in {}", path.display());
    let all: Vec<_> =
        CertificateDer::pem_file_iter(path).doing(doing)?.collect::<Result<_, _>>().doing(doing)?;
    if all.is_empty() { Err(Error::usage(format!("no certificate in {}", path.display()))) } else { Ok(all) }
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    let doing = || format!("read the revocation list {}", path.display());
    CertificateRevocationListDer::pem_file_iter(path).doing(doing)?.collect::<Result<_, _>>().doing(doing)
}

/// libpq's rule: nobody but the owner may touch it; root's may be read by the group.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let doing = || format!("read the private key {}", path.display());
    let meta = std::fs::metadata(path).doing(doing)?;
    let forbidden = if meta.uid() == 0 { 0o037 } else { 0o077 };
    if meta.mode() & forbidden != 0 {
        let message =
            format!("private key {} can be read by others (mode {:o})", path.display(), meta.mode() & 0o777);
        return Err(Error::usage(message).hint(format!("chmod 600 {}", path.display())));
    }
    PrivateKeyDer::from_pem_file(path)
        .doing(doing)
        .map_err(|e| e.hint("PEM without a passphrase is read: openssl pkey -in OLD -out NEW removes one"))
}
