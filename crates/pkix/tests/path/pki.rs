//! Authorities, leaves and revocation lists made at test time, right in everything until a test bends them.

use crate::der::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use sha1::{Digest, Sha1};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) const BASIC: &str = "2.5.29.19";
pub(crate) const USAGE: &str = "2.5.29.15";
pub(crate) const EKU: &str = "2.5.29.37";
pub(crate) const SAN: &str = "2.5.29.17";
pub(crate) const SKI: &str = "2.5.29.14";
pub(crate) const AKI: &str = "2.5.29.35";
pub(crate) const NC: &str = "2.5.29.30";
pub(crate) const AIA: &str = "1.3.6.1.5.5.7.1.1";
pub(crate) const CDP: &str = "2.5.29.31";
pub(crate) const POLICIES: &str = "2.5.29.32";
pub(crate) const MAPPINGS: &str = "2.5.29.33";
pub(crate) const LIMITS: &str = "2.5.29.36";
pub(crate) const INHIBIT_ANY: &str = "2.5.29.54";
pub(crate) const PRIVATE: &str = "1.3.6.1.4.1.55738.666.1";

pub(crate) const SERVER: &str = "1.3.6.1.5.5.7.3.1";
pub(crate) const CLIENT: &str = "1.3.6.1.5.5.7.3.2";
pub(crate) const CODE: &str = "1.3.6.1.5.5.7.3.3";
pub(crate) const EMAIL: &str = "1.3.6.1.5.5.7.3.4";
pub(crate) const STAMP: &str = "1.3.6.1.5.5.7.3.8";
pub(crate) const OCSP: &str = "1.3.6.1.5.5.7.3.9";
pub(crate) const ANY_EKU: &str = "2.5.29.37.0";

type Signer = dyn Fn(&[u8]) -> Vec<u8>;

/// A key pair: what it signs with and how that is called.
#[derive(Clone)]
pub(crate) struct Key {
    /// SubjectPublicKeyInfo.
    pub(crate) spki: Vec<u8>,
    /// AlgorithmIdentifier of its signatures.
    pub(crate) algorithm: Vec<u8>,
    pub(crate) sign: Rc<Signer>,
}

pub(crate) fn ecdsa_sha256() -> Vec<u8> {
    seq(&[oid("1.2.840.10045.4.3.2")])
}

impl Key {
    /// A fresh key on P-256.
    pub(crate) fn new() -> Key {
        let random = SystemRandom::new();
        let how = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(how, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(how, pkcs8.as_ref(), &random).expect("its own key");
        let kind = seq(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]);
        let spki = seq(&[kind, bits(pair.public_key().as_ref())]);
        let sign = move |m: &[u8]| pair.sign(&random, m).expect("a signature").as_ref().to_vec();
        Key::with(spki, ecdsa_sha256(), sign)
    }

    pub(crate) fn with(spki: Vec<u8>, algorithm: Vec<u8>, sign: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Key {
        Key { spki, algorithm, sign: Rc::new(sign) }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        (self.sign)(message)
    }

    pub(crate) fn id(&self) -> Vec<u8> {
        Sha1::digest(&self.spki).to_vec()
    }
}

/// Everything of a certificate that a test may bend.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) version: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) not_before: Vec<u8>,
    pub(crate) not_after: Vec<u8>,
    pub(crate) key: Key,
    pub(crate) inner_algorithm: Option<Vec<u8>>,
    pub(crate) extensions: Vec<(String, bool, Vec<u8>)>,
    /// Extensions that say `critical FALSE`, which DER leaves out.
    pub(crate) spelled: Vec<&'static str>,
    /// What stands before the certificate's signature is flipped.
    pub(crate) break_signature: bool,
}

static NEXT: AtomicU32 = AtomicU32::new(0x0100_0000);

impl Spec {
    fn new(issuer: &[u8], subject: &[u8]) -> Spec {
        Spec {
            version: tlv(0xa0, &int(2)),
            serial: int(NEXT.fetch_add(1, Ordering::Relaxed)),
            issuer: issuer.to_vec(),
            subject: subject.to_vec(),
            not_before: time("700101000000Z"),
            not_after: time("29690503000000Z"),
            key: Key::new(),
            inner_algorithm: None,
            extensions: Vec::new(),
            spelled: Vec::new(),
            break_signature: false,
        }
    }

    /// Puts an extension in place of one of its kind, else behind all.
    pub(crate) fn put(&mut self, id: &str, critical: bool, value: Vec<u8>) -> &mut Spec {
        let new = (id.to_string(), critical, value);
        match self.extensions.iter_mut().find(|(known, ..)| known == id) {
            Some(old) => *old = new,
            None => self.extensions.push(new),
        }
        self
    }

    pub(crate) fn without(&mut self, id: &str) -> &mut Spec {
        self.extensions.retain(|(known, ..)| known != id);
        self
    }

    /// The same extension with another criticality.
    pub(crate) fn mark(&mut self, id: &str, critical: bool) -> &mut Spec {
        let found = self.extensions.iter_mut().find(|(known, ..)| known == id);
        found.expect("the extension").1 = critical;
        self
    }

    pub(crate) fn lasting(&mut self, begin: &str, end: &str) -> &mut Spec {
        self.not_before = time(begin);
        self.not_after = time(end);
        self
    }

    fn signed_by(&self, signer: &Key) -> Vec<u8> {
        let extension = |(id, critical, value): &(String, bool, Vec<u8>)| {
            let spelled = self.spelled.contains(&id.as_str());
            let mark = if *critical || spelled { boolean(*critical) } else { vec![] };
            seq(&[oid(id), mark, octets(value)])
        };
        let extensions = match self.extensions.is_empty() {
            true => vec![],
            false => tlv(0xa3, &seq(&self.extensions.iter().map(extension).collect::<Vec<_>>())),
        };
        let tbs = seq(&[
            self.version.clone(),
            self.serial.clone(),
            self.inner_algorithm.clone().unwrap_or_else(|| signer.algorithm.clone()),
            self.issuer.clone(),
            seq(&[self.not_before.clone(), self.not_after.clone()]),
            self.subject.clone(),
            self.key.spki.clone(),
            extensions,
        ]);
        let mut signature = signer.sign(&tbs);
        if self.break_signature {
            let last = signature.len() - 1;
            signature[last] ^= 1;
        }
        seq(&[tbs, signer.algorithm.clone(), bits(&signature)])
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) der: Vec<u8>,
    pub(crate) key: Key,
    pub(crate) subject: Vec<u8>,
    pub(crate) serial: Vec<u8>,
}

/// Basic constraints.
pub(crate) fn basic(ca: bool, path_len: Option<u32>) -> Vec<u8> {
    let flag = if ca { boolean(true) } else { vec![] };
    seq(&[flag, path_len.map(int).unwrap_or_default()])
}

/// Key usage: digitalSignature is 0, keyEncipherment 2, keyAgreement 4, keyCertSign 5, cRLSign 6.
pub(crate) fn usage(all: &[u8]) -> Vec<u8> {
    let byte = all.iter().fold(0u8, |sum, bit| sum | 0x80 >> bit);
    let unused = if byte == 0 { 7 } else { byte.trailing_zeros() as u8 };
    tlv(0x03, &[unused, byte])
}

pub(crate) fn eku(all: &[&str]) -> Vec<u8> {
    seq(&all.iter().map(|id| oid(id)).collect::<Vec<_>>())
}

pub(crate) fn san(all: &[Vec<u8>]) -> Vec<u8> {
    seq(all)
}

/// Name constraints.
pub(crate) fn nc(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Vec<u8> {
    let list = |tag, all: &[Vec<u8>]| match all.is_empty() {
        true => vec![],
        false => tlv(tag, &all.iter().map(|n| seq(std::slice::from_ref(n))).collect::<Vec<_>>().concat()),
    };
    seq(&[list(0xa0, permitted), list(0xa1, excluded)])
}

pub(crate) fn aki(key: &Key) -> Vec<u8> {
    seq(&[tlv(0x80, &key.id())])
}

pub(crate) fn ski(key: &Key) -> Vec<u8> {
    octets(&key.id())
}

pub(crate) fn policies(all: &[&str]) -> Vec<u8> {
    seq(&all.iter().map(|id| seq(&[oid(id)])).collect::<Vec<_>>())
}

fn authority(spec: &mut Spec) {
    spec.put(BASIC, true, basic(true, None)).put(USAGE, false, usage(&[5, 6]));
    spec.put(SAN, false, san(&[dns("example.com")]));
}

/// A self-signed root.
pub(crate) fn root(bend: impl FnOnce(&mut Spec)) -> Pair {
    let name = name("CN=limbo-root");
    let mut spec = Spec::new(&name, &name);
    authority(&mut spec);
    bend(&mut spec);
    if !spec.extensions.iter().any(|(id, ..)| id == SKI) {
        let id = ski(&spec.key);
        spec.put(SKI, false, id);
    }
    finish(&spec, &spec.key.clone())
}

pub(crate) fn plain_root() -> Pair {
    root(|_| {})
}

fn finish(spec: &Spec, signer: &Key) -> Pair {
    // An empty value says: without this extension.
    let mut spec = spec.clone();
    spec.extensions.retain(|(_, _, value)| !value.is_empty());
    Pair {
        der: spec.signed_by(signer),
        key: spec.key.clone(),
        subject: spec.subject.clone(),
        serial: spec.serial.clone(),
    }
}

impl Pair {
    /// An authority below this one.
    pub(crate) fn intermediate(&self, bend: impl FnOnce(&mut Spec)) -> Pair {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut spec = Spec::new(&self.subject, &name(&format!("CN=intermediate-{number}")));
        authority(&mut spec);
        spec.put(AKI, false, aki(&self.key));
        bend(&mut spec);
        if !spec.extensions.iter().any(|(id, ..)| id == SKI) {
            let id = ski(&spec.key);
            spec.put(SKI, false, id);
        }
        finish(&spec, &self.key)
    }

    /// A server's certificate for example.com.
    pub(crate) fn leaf(&self, bend: impl FnOnce(&mut Spec)) -> Pair {
        let mut spec = Spec::new(&self.subject, &name("CN=example.com"));
        spec.put(AKI, false, aki(&self.key)).put(USAGE, false, usage(&[0]));
        spec.put(EKU, false, eku(&[SERVER])).put(SAN, false, san(&[dns("example.com")]));
        bend(&mut spec);
        if !spec.extensions.is_empty() && !spec.extensions.iter().any(|(id, ..)| id == SKI) {
            let id = ski(&spec.key);
            spec.put(SKI, false, id);
        }
        finish(&spec, &self.key)
    }

    /// A leaf whose alternative names are these.
    pub(crate) fn leaf_for(&self, names: &[Vec<u8>]) -> Pair {
        self.leaf(|s| {
            s.put(SAN, false, san(names));
        })
    }

    /// A revocation list of this authority.
    pub(crate) fn crl(&self, bend: impl FnOnce(&mut CrlSpec)) -> Vec<u8> {
        let mut spec = CrlSpec {
            version: int(1),
            issuer: self.subject.clone(),
            this_update: time("231201000000Z"),
            next_update: time("240301000000Z"),
            revoked: Vec::new(),
            extensions: vec![("2.5.29.20".into(), false, int(7)), (AKI.into(), false, aki(&self.key))],
            signer: self.key.clone(),
        };
        bend(&mut spec);
        spec.signed()
    }
}

/// Everything of a revocation list that a test may bend.
pub(crate) struct CrlSpec {
    pub(crate) version: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) this_update: Vec<u8>,
    pub(crate) next_update: Vec<u8>,
    /// Entries in DER.
    pub(crate) revoked: Vec<Vec<u8>>,
    pub(crate) extensions: Vec<(String, bool, Vec<u8>)>,
    pub(crate) signer: Key,
}

/// An entry of a revocation list.
pub(crate) fn entry(serial: &[u8], when: &str, extensions: &[(&str, bool, Vec<u8>)]) -> Vec<u8> {
    let extra = match extensions.is_empty() {
        true => vec![],
        false => {
            extension_list(extensions.iter().map(|(id, c, v)| (id.to_string(), *c, v.clone())).collect())
        }
    };
    seq(&[serial.to_vec(), time(when), extra])
}

fn extension_list(all: Vec<(String, bool, Vec<u8>)>) -> Vec<u8> {
    let one = |(id, critical, value): &(String, bool, Vec<u8>)| {
        let mark = if *critical { boolean(true) } else { vec![] };
        seq(&[oid(id), mark, octets(value)])
    };
    seq(&all.iter().map(one).collect::<Vec<_>>())
}

impl CrlSpec {
    fn signed(&self) -> Vec<u8> {
        let revoked = if self.revoked.is_empty() { vec![] } else { seq(&self.revoked) };
        let extensions = match self.extensions.is_empty() {
            true => vec![],
            false => tlv(0xa0, &extension_list(self.extensions.clone())),
        };
        let tbs = seq(&[
            self.version.clone(),
            self.signer.algorithm.clone(),
            self.issuer.clone(),
            self.this_update.clone(),
            self.next_update.clone(),
            revoked,
            extensions,
        ]);
        seq(&[tbs.clone(), self.signer.algorithm.clone(), bits(&self.signer.sign(&tbs))])
    }
}
