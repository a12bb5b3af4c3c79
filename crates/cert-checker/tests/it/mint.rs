//! Certificates of every kind that servers show, made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

pub(crate) const DAY: i64 = 86_400;
/// [`crate::world::judged_at`] in seconds since 1970; the same in all of one process.
pub(crate) fn now() -> i64 {
    static NOW: LazyLock<i64> = LazyLock::new(|| {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        (i64::try_from(clock.as_secs()).expect("some years") / DAY + 1) * DAY + DAY / 2
    });
    *NOW
}

/// What a certificate shall say, from which a test changes what it is about.
#[derive(Clone)]
pub(crate) struct Wish(pub(crate) CertificateParams);

/// A certificate and its key.
pub(crate) struct Made {
    pub(crate) der: Vec<u8>,
    pub(crate) key: KeyPair,
}

/// Somebody who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) der: Vec<u8>,
}

impl Wish {
    /// A server's, for localhost, 127.0.0.1 and these names, from 30 days ago for 90 days.
    pub(crate) fn server(names: &[&str]) -> Wish {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("localhost"));
        params.subject_alt_names = ["localhost"].iter().chain(names).map(|n| dns(n)).collect();
        params.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse().expect("an address")));
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Wish(params).between(-30 * DAY, 60 * DAY)
    }

    /// An authority's, from a year ago for ten years.
    pub(crate) fn authority(name: &str) -> Wish {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Wish(params).between(-365 * DAY, 9 * 365 * DAY)
    }

    /// Valid from and until so many seconds from now.
    pub(crate) fn between(mut self, from: i64, until: i64) -> Wish {
        (self.0.not_before, self.0.not_after) = (moment(now() + from).into(), moment(now() + until).into());
        self
    }

    /// With this serial number, big-endian.
    pub(crate) fn serial(mut self, bytes: &[u8]) -> Wish {
        self.0.serial_number = Some(SerialNumber::from(bytes.to_vec()));
        self
    }

    /// With an extension of these bytes.
    pub(crate) fn extension(mut self, oid: &[u64], critical: bool, content: &[u8]) -> Wish {
        let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
        extension.set_criticality(critical);
        self.0.custom_extensions.push(extension);
        self
    }

    pub(crate) fn signed_by(&self, by: &Authority) -> Made {
        let key = KeyPair::generate().expect("a key");
        let cert = self.0.signed_by(&key, &by.issuer).expect("a certificate");
        Made { der: cert.der().to_vec(), key }
    }

    /// Signed by its own key.
    pub(crate) fn self_signed(&self) -> Made {
        let key = KeyPair::generate().expect("a key");
        let cert = self.0.self_signed(&key).expect("a certificate");
        Made { der: cert.der().to_vec(), key }
    }

    pub(crate) fn root(self) -> Authority {
        let made = self.self_signed();
        Authority { issuer: Issuer::new(self.0, made.key), der: made.der }
    }

    pub(crate) fn below(self, by: &Authority) -> Authority {
        let made = self.signed_by(by);
        Authority { issuer: Issuer::new(self.0, made.key), der: made.der }
    }
}

impl Authority {
    /// The same authority vouched for by another one: a cross-signature.
    pub(crate) fn crossed(&self, wish: &Wish, by: &Authority) -> Vec<u8> {
        let cert = wish.0.signed_by(self.issuer.key(), &by.issuer).expect("a certificate");
        cert.der().to_vec()
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a name"))
}

pub(crate) fn ip(address: &str) -> SanType {
    SanType::IpAddress(address.parse().expect("an address"))
}

fn moment(seconds: i64) -> SystemTime {
    let since = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::UNIX_EPOCH - since } else { SystemTime::UNIX_EPOCH + since }
}

/// PEM of certificates.
pub(crate) fn pem(chain: &[&[u8]]) -> String {
    chain.iter().map(|der| block("CERTIFICATE", der)).collect()
}

/// One PEM block.
pub(crate) fn block(label: &str, der: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = format!("-----BEGIN {label}-----\n");
    let body = base64(der);
    for line in body.as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    let _ = writeln!(text, "-----END {label}-----");
    text
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

impl Authority {
    /// Somebody who signs with a certificate that may say anything.
    pub(crate) fn of(wish: Wish, made: Made) -> Authority {
        Authority { der: made.der, issuer: Issuer::new(wish.0, made.key) }
    }
}
