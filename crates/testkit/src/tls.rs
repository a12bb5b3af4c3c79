//! Certificates of every kind that servers show, made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyPair,
};
use rcgen::{KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd};

/// A certificate (PEM, what it is issued by not included) and its private key.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate.
    pub pem: String,
    /// Its key.
    pub key: String,
}

/// What a certificate shall say.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The CN.
    pub common: String,
    /// subjectAltNames: host names and addresses.
    pub names: Vec<String>,
    /// CA:TRUE.
    pub authority: bool,
    /// Its dates lie in the past.
    pub expired: bool,
}

impl Wish {
    /// Valid for years, CA:FALSE.
    pub fn new(common: &str, names: &[&str]) -> Wish {
        let names = names.iter().map(ToString::to_string).collect();
        Wish { common: common.into(), names, authority: false, expired: false }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(self.names.clone()).expect("names");
        params.distinguished_name.push(DnType::CommonName, &*self.common);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = if self.expired { date_time_ymd(2021, 1, 1) } else { date_time_ymd(2090, 1, 1) };
        params.serial_number = Some(SerialNumber::from(SERIAL));
        if self.authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![
                KeyUsagePurpose::KeyCertSign,
                KeyUsagePurpose::CrlSign,
                KeyUsagePurpose::DigitalSignature,
            ];
        } else {
            params.is_ca = IsCa::ExplicitNoCa;
        }
        params
    }

    /// Signed by its own key.
    pub fn self_signed(&self) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let cert = self.params().self_signed(&key).expect("a certificate");
        Certificate { pem: cert.pem(), key: key.serialize_pem() }
    }
}

/// Every certificate's serial number here; nothing compares them but revocation lists.
const SERIAL: u64 = 4711;

/// Somebody who signs.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The certificate, PEM.
    pub pem: String,
}

impl Authority {
    /// A root of this name.
    pub fn root(common: &str) -> Authority {
        let (key, params) = (KeyPair::generate().expect("a key"), authority(common));
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// An authority that this one vouches for.
    pub fn intermediate(&self, common: &str) -> Authority {
        let (key, params) = (KeyPair::generate().expect("a key"), authority(common));
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate that this authority signed.
    pub fn sign(&self, wish: &Wish) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let cert = wish.params().signed_by(&key, &self.issuer).expect("a certificate");
        Certificate { pem: cert.pem(), key: key.serialize_pem() }
    }

    /// A revocation list with every certificate that [`Authority::sign`] made.
    pub fn revoke_all(&self) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(SERIAL),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }
}

fn authority(common: &str) -> CertificateParams {
    Wish { authority: true, ..Wish::new(common, &[]) }.params()
}
