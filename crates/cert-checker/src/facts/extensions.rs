//! What the extensions say, each read by itself: one that cannot be read hides no other.

use super::FormFault;
use super::text::shorten;
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;
use std::net::IpAddr;
use toban_core::sum::hex;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::X509Certificate;

/// Most addresses and names kept of one kind of pointer (CRL, OCSP, issuer).
const POINTERS: usize = 8;
const MUST_STAPLE: &str = "1.3.6.1.5.5.7.1.24";

/// The extensions of one certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct ExtensionFacts {
    pub(crate) names: Vec<San>,
    /// Whether there is a subjectAltName at all.
    #[serde(skip)]
    pub(crate) has_names: bool,
    pub(crate) authority: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path_length: Option<u32>,
    /// Object identifiers, or the usual names of the well-known ones.
    pub(crate) usages: Vec<String>,
    /// Signed certificate timestamps that it carries.
    pub(crate) timestamps: usize,
    pub(crate) must_staple: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) issuer_urls: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ocsp_urls: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) crl_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authority_key: Option<String>,
}

/// A subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum San {
    Dns(String),
    Ip(IpAddr),
    /// An address that is no address: 4 or 16 bytes are right.
    BadIp(String),
    Other(String),
}

impl std::fmt::Display for San {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            San::Dns(name) => f.pad(name),
            San::Ip(address) => f.pad(&address.to_string()),
            San::BadIp(bytes) => write!(f, "address {bytes}"),
            San::Other(text) => f.pad(text),
        }
    }
}

impl Serialize for San {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl ExtensionFacts {
    /// Reads every extension; what is wrong goes to `form_faults`.
    pub(super) fn read_der(cert: &X509Certificate<'_>, form_faults: &mut Vec<FormFault>) -> ExtensionFacts {
        let (mut found, mut seen) = (ExtensionFacts::default(), BTreeSet::new());
        for extension in cert.extensions() {
            // The first counts; that there are two is a fault of its own.
            if !seen.insert(extension.oid.to_id_string()) {
                push_once(form_faults, FormFault::DuplicateExtension);
                continue;
            }
            found.read_extension(extension, form_faults);
        }
        found
    }

    fn read_extension(&mut self, extension: &X509Extension<'_>, form_faults: &mut Vec<FormFault>) {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => {
                self.has_names = true;
                self.names = san.general_names.iter().map(san_of).collect();
            }
            ParsedExtension::BasicConstraints(basic) => {
                self.authority = basic.ca;
                self.path_length = basic.path_len_constraint;
            }
            ParsedExtension::ExtendedKeyUsage(usage) => self.usages = usage_names(usage),
            ParsedExtension::SCT(list) => self.timestamps = list.len(),
            ParsedExtension::AuthorityInfoAccess(access) => self.read_access(access),
            ParsedExtension::CRLDistributionPoints(points) => {
                let full = points.points.iter().filter_map(|p| p.distribution_point.as_ref());
                let names = full.filter_map(|d| match d {
                    DistributionPointName::FullName(names) => Some(names),
                    DistributionPointName::NameRelativeToCRLIssuer(_) => None,
                });
                self.crl_urls = names.flatten().filter_map(url_of).take(POINTERS).collect();
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key = Some(hex(id.0)),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key = id.key_identifier.as_ref().map(|k| hex(k.0));
            }
            ParsedExtension::ParseError { .. } => push_once(form_faults, FormFault::UnreadableExtension),
            ParsedExtension::UnsupportedExtension { oid } => match oid.to_id_string() == MUST_STAPLE {
                // A SEQUENCE with the one number 5, status_request: RFC 7633.
                true => self.must_staple = extension.value.ends_with(&[2, 1, 5]),
                false if extension.critical => push_once(form_faults, FormFault::UnknownCriticalExtension),
                false => {}
            },
            _ => {}
        }
    }

    fn read_access(&mut self, access: &x509_parser::extensions::AuthorityInfoAccess<'_>) {
        for description in &access.accessdescs {
            let Some(url) = url_of(&description.access_location) else { continue };
            let list = match description.access_method.to_id_string().as_str() {
                "1.3.6.1.5.5.7.48.1" => &mut self.ocsp_urls,
                "1.3.6.1.5.5.7.48.2" => &mut self.issuer_urls,
                _ => continue,
            };
            if list.len() < POINTERS {
                list.push(url);
            }
        }
    }
}

fn push_once(form_faults: &mut Vec<FormFault>, form_fault: FormFault) {
    if !form_faults.contains(&form_fault) {
        form_faults.push(form_fault);
    }
}

fn url_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(url) => Some(shorten(url)),
        _ => None,
    }
}

fn san_of(name: &GeneralName<'_>) -> San {
    match name {
        GeneralName::DNSName(name) => San::Dns(shorten(name)),
        GeneralName::IPAddress(bytes) => read_address(bytes).map_or_else(|| San::BadIp(hex(bytes)), San::Ip),
        GeneralName::RFC822Name(mail) => San::Other(shorten(&format!("mail {mail}"))),
        GeneralName::URI(url) => San::Other(shorten(&format!("URI {url}"))),
        GeneralName::Invalid(tag, bytes) if tag.0 == 2 => {
            San::Other(shorten(&format!("name {:?}", String::from_utf8_lossy(bytes))))
        }
        _ => San::Other("another kind of name".into()),
    }
}

fn read_address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.ok().or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

fn usage_names(usage: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> Vec<String> {
    let known = [
        (usage.any, "any"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ];
    let named = known.into_iter().filter(|(there, _)| *there).map(|(_, name)| name.to_string());
    named.chain(usage.other.iter().map(|oid| shorten(&oid.to_id_string()))).collect()
}
