//! What is wanted of one target: from its own line or section, else from the flags, else from `[certs]`.

use crate::grade::Grade;
use crate::threshold::Threshold;
use pkix::PeerName;
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;
use toban_core::config::{Config, Span};
use toban_core::{Error, Result};

/// Every key may stand in `[certs]`, in a `[[certs.target]]`, after a target in a list (`key=value`), and is a flag.
#[derive(clap::Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Warn when less than this is left: days (20, 0.5), a time (48h) or a part of the life (30%); add ,>=FLOOR or
    /// ,<=CEILING [default: 30%,<=25d]
    #[arg(short, long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) warning: Option<Threshold>,
    /// Critical when less than this is left [default: 15%,<=7d]
    #[arg(short, long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) critical: Option<Threshold>,
    /// Name that the certificate must hold [default: the target's host; for a file none]
    #[arg(short, long, visible_alias = "cn", value_name = "NAME", value_parser = PeerName::parse_host)]
    #[serde(deserialize_with = "deserialize_name")]
    pub(crate) name: Option<PeerName>,
    /// Name to send in the handshake (SNI) [default: the name]
    #[arg(long, value_name = "NAME", value_parser = PeerName::parse_host)]
    #[serde(deserialize_with = "deserialize_name")]
    pub(crate) sni: Option<PeerName>,
    /// Connect there instead of looking up the target's host
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    pub(crate) connect_to: Option<String>,
    /// Client certificate to show (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Trust only the roots in this file or folder, not the system's; may be given several times
    #[arg(short = 'r', long, visible_alias = "rootcert", value_name = "FILE")]
    pub(crate) trust: Vec<PathBuf>,
    /// Trust the authorities in this file too; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
    /// SHA-256 of the expected certificate or public key: it is accepted whoever signed it; may be given several times
    #[arg(long, value_name = "HEX")]
    pub(crate) pin: Vec<Pin>,
    /// Do not judge who issued it: only time and names
    #[arg(short = 'A', long, visible_alias = "noauth")]
    pub(crate) any_issuer: bool,
    /// Trust a certificate that its own key signed
    #[arg(short, long = "self-signed", visible_alias = "selfsigned")]
    pub(crate) self_signed: bool,
    /// Revocation list to look into (PEM or DER); may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) crl: Vec<PathBuf>,
    /// Fetch the revocation list that the certificate names, and keep it until its next update
    #[arg(long)]
    pub(crate) fetch_crl: bool,
    /// A revocation list that cannot be fetched or used is critical, not only a warning
    #[arg(long, requires = "fetch_crl")]
    pub(crate) require_crl: bool,
    /// Do not judge the OCSP answer that the server staples; responders are never asked
    #[arg(long)]
    pub(crate) ignore_ocsp: bool,
    /// The browsers' rules for public authorities too: length of life, transparency
    #[arg(long)]
    pub(crate) policy: bool,
    /// Ask for the Strict-Transport-Security header
    #[arg(long)]
    pub(crate) hsts: bool,
    /// Follow a web server's redirects and check every server on the way
    #[arg(long)]
    pub(crate) redirects: bool,
    /// List protocol versions and ciphers, and grade them after SSL Labs' guide
    #[arg(long)]
    pub(crate) grade: bool,
    /// Warn when the grade is worse (A+, A, A-, B …)
    #[arg(long, value_name = "GRADE", requires = "grade")]
    pub(crate) least_grade: Option<Grade>,
    /// The server must ask for a client certificate
    #[arg(long)]
    pub(crate) expect_client_auth: bool,
    /// File with the password of PKCS#12 files [default: credential certs_p12_password, or TOBAN_P12_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Give up on a target after this time; a number alone is of seconds [default: 10s]
    #[arg(short, long, value_name = "TIME", value_parser = parse_timeout)]
    #[serde(deserialize_with = "deserialize_timeout")]
    pub(crate) timeout: Option<Span>,
}

/// Keys that are lists, and those that are yes or no, for `key=value` words.
const LISTS: [&str; 4] = ["trust", "ca", "pin", "crl"];
const SWITCHES: [&str; 10] = [
    "any_issuer",
    "self_signed",
    "ignore_ocsp",
    "fetch_crl",
    "require_crl",
    "policy",
    "hsts",
    "redirects",
    "grade",
    "expect_client_auth",
];

/// SHA-256 of a certificate or of its public key, in lower-case digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pin(String);

impl Pin {
    /// The digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Pin {
    type Err = Error;

    /// A pin that nothing can fit would be a mismatch for ever, so it is refused.
    fn from_str(text: &str) -> Result<Pin> {
        let digits = text.trim_start_matches("sha256:").replace(':', "").to_ascii_lowercase();
        match digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            true => Ok(Pin(digits)),
            false => Err(Error::usage(format!("the pin {text:?} is no SHA-256")).hint(
                "64 hexadecimal digits, with or without colons: --json shows those of certificate and key",
            )),
        }
    }
}

impl TryFrom<String> for Pin {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Pin, String> {
        text.parse().map_err(|e: Error| e.chain())
    }
}

/// As check_ssl_cert has it, a number alone is of seconds.
fn parse_timeout(text: &str) -> Result<Span> {
    match text.parse() {
        Ok(seconds) => Ok(Span(std::time::Duration::from_secs(seconds))),
        Err(_) => text.parse(),
    }
}

fn deserialize_timeout<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Option<Span>, D::Error> {
    let text = String::deserialize(d)?;
    parse_timeout(&text).map(Some).map_err(|e| serde::de::Error::custom(e.chain()))
}

fn deserialize_name<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Option<PeerName>, D::Error> {
    let text = String::deserialize(d)?;
    PeerName::parse_host(&text).map(Some).map_err(serde::de::Error::custom)
}

impl Options {
    /// Reads `key=value` words; a switch may stand without a value, a list may be repeated.
    pub(crate) fn parse_words<'w>(words: impl Iterator<Item = &'w str>) -> Result<Options> {
        let mut table = toml::Table::new();
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, "true"));
            let key = key.replace('-', "_");
            let text = toml::Value::String(value.into());
            match key.as_str() {
                k if LISTS.contains(&k) => {
                    let list = table.entry(key).or_insert_with(|| toml::Value::Array(Vec::new()));
                    if let Some(list) = list.as_array_mut() {
                        list.push(text);
                    }
                }
                k if SWITCHES.contains(&k) => {
                    table.insert(key, toml::Value::Boolean(value == "true"));
                }
                _ => {
                    table.insert(key, text);
                }
            }
        }
        table.try_into().map_err(|e: toml::de::Error| Error::usage(e.message().to_string()))
    }

    /// These, and where they say nothing `others`.
    pub(crate) fn over(self, others: &Options) -> Options {
        let list = |own: Vec<PathBuf>, other: &Vec<PathBuf>| if own.is_empty() { other.clone() } else { own };
        // Certificate and key belong together: one from here and the other from there would never fit.
        let identity = if self.cert.is_some() {
            (self.cert, self.key)
        } else {
            (others.cert.clone(), others.key.clone())
        };
        Options {
            warning: self.warning.or(others.warning),
            critical: self.critical.or(others.critical),
            name: self.name.or_else(|| others.name.clone()),
            sni: self.sni.or_else(|| others.sni.clone()),
            connect_to: self.connect_to.or_else(|| others.connect_to.clone()),
            cert: identity.0,
            key: identity.1,
            trust: list(self.trust, &others.trust),
            ca: list(self.ca, &others.ca),
            pin: if self.pin.is_empty() { others.pin.clone() } else { self.pin },
            any_issuer: self.any_issuer || others.any_issuer,
            self_signed: self.self_signed || others.self_signed,
            ignore_ocsp: self.ignore_ocsp || others.ignore_ocsp,
            crl: list(self.crl, &others.crl),
            fetch_crl: self.fetch_crl || others.fetch_crl,
            require_crl: self.require_crl || others.require_crl,
            policy: self.policy || others.policy,
            hsts: self.hsts || others.hsts,
            redirects: self.redirects || others.redirects,
            grade: self.grade || others.grade,
            least_grade: self.least_grade.or(others.least_grade),
            expect_client_auth: self.expect_client_auth || others.expect_client_auth,
            password_file: self.password_file.or_else(|| others.password_file.clone()),
            timeout: self.timeout.or(others.timeout),
        }
    }
}

/// The `[certs]` section of the configuration: what every target wants, and the targets.
#[derive(Debug, Default)]
pub(crate) struct CertsSection {
    /// `targets = […]`, as on the command line.
    pub(crate) targets: Vec<String>,
    /// `[[certs.target]]`, each with options of its own.
    pub(crate) own: Vec<(String, Options)>,
    /// What the rest of the section wants of every target.
    pub(crate) options: Options,
}

/// Reads the section.
pub(crate) fn read_section(config: &Config) -> Result<CertsSection> {
    let mut table: toml::Table = config.section(&["certs"])?;
    let bad = |why: String| Error::usage(format!("configuration: [certs]: {why}"));
    let targets = table.remove("targets").map(toml::Value::try_into).transpose();
    let own: Option<Vec<toml::Table>> =
        table.remove("target").map(toml::Value::try_into).transpose().map_err(|e| bad(e.message().into()))?;
    let own = own.unwrap_or_default().into_iter().map(|mut section| {
        let target = section.remove("target").and_then(|t| t.as_str().map(ToString::to_string));
        let target = target.ok_or_else(|| bad("a [[certs.target]] without target = \"…\"".into()))?;
        let options =
            section.try_into().map_err(|e: toml::de::Error| bad(format!("{target}: {}", e.message())))?;
        Ok((target, options))
    });
    Ok(CertsSection {
        targets: targets.map_err(|e| bad(e.message().into()))?.unwrap_or_default(),
        own: own.collect::<Result<_>>()?,
        options: table.try_into().map_err(|e: toml::de::Error| bad(e.message().into()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_behind_a_target() {
        let words = "warning=30d ca=/a.pem ca=/b.pem any-issuer timeout=2s";
        let options = Options::parse_words(words.split(' ')).expect("reads");
        assert_eq!(options.ca, [PathBuf::from("/a.pem"), PathBuf::from("/b.pem")]);
        assert!(options.any_issuer && options.warning.is_some() && options.timeout.is_some());
        let e = Options::parse_words("wrning=30d".split(' ')).unwrap_err();
        assert!(e.chain().contains("unknown field `wrning`"), "{e:?}");
    }

    #[test]
    fn the_section() {
        let text = "[certs]\ntargets = [\"a:443\"]\nwarning = \"20d\"\n[[certs.target]]\ntarget = \"b:443\"\nany_issuer = true\n";
        let section = read_section(&Config::parse(text).expect("parses")).expect("reads");
        assert_eq!(section.targets, ["a:443"]);
        assert!(section.options.warning.is_some() && section.own[0].1.any_issuer);
        let e = read_section(&Config::parse("[certs]\nwarnin = \"20d\"\n").expect("parses")).unwrap_err();
        assert!(e.chain().contains("unknown field `warnin`"), "{e:?}");
    }
}
