//! Letters derived by hand from the guide's tables and rules, not from what the code says.

use super::*;
use crate::facts::KeyFacts;

const GCM_128: u16 = 0xC02F;
const GCM_256: u16 = 0xC030;
const CBC_128: u16 = 0xC013;
const STATIC_GCM: u16 = 0x009C;
const STATIC_CBC: u16 = 0x002F;
const DHE_GCM: u16 = 0x009E;
const TRIPLE: u16 = 0x000A;
const RC4: u16 = 0x0005;
const EXPORT: u16 = 0x0003;
const NULL: u16 = 0x003B;
const ANON: u16 = 0x0034;
const DES: u16 = 0x0009;
const T13: [(u16, u16); 3] = [(TLS13, 0x1301), (TLS13, 0x1302), (TLS13, 0x1303)];
const YEAR: Hsts = Hsts::For(31_536_000);

fn rsa(bits: usize) -> KeyFacts {
    KeyFacts { kind: "RSA".into(), bits, ..KeyFacts::default() }
}

fn ec(bits: usize) -> KeyFacts {
    KeyFacts { kind: "EC".into(), bits, ..KeyFacts::default() }
}

/// A server as it should be, from which a row changes what it is about.
#[derive(Clone)]
struct Site {
    versions: Vec<u16>,
    ciphers: Vec<(u16, u16)>,
    dh_bits: Option<usize>,
    key: KeyFacts,
    trusted: bool,
    named: bool,
    complete: bool,
    old_signature: bool,
    hsts: Hsts,
}

fn good() -> Site {
    Site {
        versions: vec![TLS13, TLS12],
        ciphers: [&T13[..], &[(TLS12, GCM_256), (TLS12, GCM_128)]].concat(),
        dh_bits: None,
        key: rsa(2048),
        trusted: true,
        named: true,
        complete: true,
        old_signature: false,
        hsts: YEAR,
    }
}

impl Site {
    fn of(mut self, versions: &[u16], ciphers: &[u16]) -> Site {
        self.versions = versions.to_vec();
        self.ciphers = Vec::new();
        for version in versions {
            match *version == TLS13 {
                true => self.ciphers.extend(T13),
                false => self.ciphers.extend(ciphers.iter().map(|c| (*version, *c))),
            }
        }
        self
    }

    fn dh(mut self, bits: usize) -> Site {
        self.dh_bits = Some(bits);
        self
    }

    fn key(mut self, key: KeyFacts) -> Site {
        self.key = key;
        self
    }

    fn hsts(mut self, hsts: Hsts) -> Site {
        self.hsts = hsts;
        self
    }

    fn letter(&self) -> String {
        let facts = GradeFacts {
            versions: &self.versions,
            ciphers: &self.ciphers,
            dh_bits: self.dh_bits,
            key: &self.key,
            trusted: self.trusted,
            named: self.named,
            chain_complete: self.complete,
            old_signature: self.old_signature,
            hsts: self.hsts,
        };
        compute_grade(&facts).grade.to_string()
    }
}

#[test]
fn the_guides_letters() {
    let both = [TLS13, TLS12];
    let strong = [GCM_256, GCM_128];
    let of = |versions: &[u16], ciphers: &[u16]| good().of(versions, ciphers);
    let with = |cipher: u16| of(&both, &[GCM_256, cipher]);
    let rows: Vec<(&str, Site)> = vec![
        // What is right, by key: 2048 bits of RSA score 90, 4096 and P-384 100; no cap holds.
        ("A+", good()),
        ("A+", good().key(rsa(3072))),
        ("A+", good().key(rsa(4096))),
        ("A+", good().key(ec(256))),
        ("A+", good().key(ec(384))),
        ("A+", of(&[TLS13], &[])),
        ("A+", good().hsts(Hsts::NotAsked)),
        ("A+", good().hsts(Hsts::For(HSTS_LONG))),
        ("A+", of(&both, &[GCM_256, DHE_GCM]).dh(2048)),
        ("A+", of(&both, &[GCM_256, DHE_GCM]).dh(4096)),
        ("A+", with(CBC_128)),
        ("A+", with(STATIC_GCM)),
        // The header: short keeps from A+, missing caps at A- (2009r).
        ("A", good().hsts(Hsts::For(HSTS_LONG - 1))),
        ("A", good().hsts(Hsts::For(300))),
        ("A-", good().hsts(Hsts::Missing)),
        // No TLS 1.3: A- (2009r).
        ("A-", of(&[TLS12], &strong)),
        ("A-", of(&[TLS12], &strong).hsts(Hsts::NotAsked)),
        ("A-", of(&[TLS12], &strong).hsts(Hsts::Missing)),
        ("A-", of(&[TLS12], &[GCM_256, CBC_128])),
        // TLS 1.0 or 1.1 beside: B.
        ("B", of(&[TLS13, TLS12, TLS11], &strong)),
        ("B", of(&[TLS13, TLS12, TLS10], &strong)),
        ("B", of(&[TLS13, TLS12, TLS11, TLS10], &strong)),
        ("B", of(&[TLS12, TLS11], &[GCM_256, CBC_128])),
        ("B", of(&[TLS12, TLS10], &[GCM_256, CBC_128])),
        ("B", of(&[TLS12, TLS11, TLS10, SSL3], &[GCM_256, CBC_128])),
        ("B", of(&[TLS13, TLS12, SSL3], &strong)),
        // Nothing newer than TLS 1.1: C.
        ("C", of(&[TLS11], &[CBC_128])),
        ("C", of(&[TLS10], &[CBC_128])),
        ("C", of(&[SSL3], &[STATIC_CBC])),
        ("C", of(&[TLS11, TLS10], &[CBC_128])),
        ("C", of(&[TLS10, SSL3], &[CBC_128])),
        // RC4: C with TLS 1.2 (and 1.1 has no better), else B, but then TLS 1.2 is missing anyhow.
        ("C", with(RC4)),
        ("C", of(&[TLS12], &[RC4])),
        ("C", of(&[TLS10], &[RC4, CBC_128])),
        // 3DES with TLS 1.1 or newer: C.
        ("C", with(TRIPLE)),
        ("C", of(&[TLS12, TLS11], &[GCM_128, TRIPLE])),
        // No forward secrecy, no authenticated encryption: B.
        ("B", of(&[TLS12], &[STATIC_GCM])),
        ("B", of(&[TLS12], &[STATIC_GCM, STATIC_CBC])),
        ("B", of(&[TLS12], &[CBC_128])),
        ("B", of(&[TLS12], &[STATIC_CBC])),
        ("B", of(&[TLS12], &[CBC_128, STATIC_CBC])),
        // What the server prefers is what clients get.
        ("B", of(&both, &[STATIC_GCM, GCM_256])),
        ("B", of(&[TLS12], &[STATIC_CBC, GCM_256])),
        ("A+", of(&both, &[GCM_256, STATIC_CBC, STATIC_GCM])),
        // Diffie-Hellman: below 2048 bits B, below 1024 F.
        ("B", of(&both, &[GCM_256, DHE_GCM]).dh(1024)),
        ("B", of(&both, &[DHE_GCM]).dh(1536)),
        ("F", of(&both, &[GCM_256, DHE_GCM]).dh(768)),
        ("F", of(&both, &[DHE_GCM]).dh(512)),
        // The key: below 2048 bits B, below 1024 F.
        ("B", good().key(rsa(1024))),
        ("B", good().key(rsa(2040))),
        ("F", good().key(rsa(512))),
        ("F", good().key(rsa(1023))),
        // What is insecure: F.
        ("F", with(EXPORT)),
        ("F", with(NULL)),
        ("F", with(ANON)),
        ("F", with(DES)),
        ("F", of(&[TLS10], &[DES])),
        ("F", of(&[SSL3], &[EXPORT, RC4])),
        ("F", Site { old_signature: true, ..good() }),
        // The chain, the trust, the name: B, T, M; the worst of several.
        ("B", Site { complete: false, ..good() }),
        ("T", Site { trusted: false, ..good() }),
        ("T", Site { trusted: false, ..of(&[TLS10], &[RC4]) }),
        ("M", Site { named: false, ..good() }),
        ("M", Site { named: false, trusted: false, ..good() }),
        ("A-", Site { key: ec(384), ..of(&[TLS12], &strong).hsts(Hsts::For(1)) }),
    ];
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .enumerate()
        .filter(|(_, (letter, site))| site.letter() != *letter)
        .map(|(n, (letter, site))| format!("row {n}: {letter} expected, {} given", site.letter()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Tables 3 to 6 of the guide, worked out by hand.
#[test]
fn the_guides_scores() {
    let score = |site: Site| {
        let facts = GradeFacts {
            versions: &site.versions,
            ciphers: &site.ciphers,
            dh_bits: site.dh_bits,
            key: &site.key,
            trusted: true,
            named: true,
            chain_complete: true,
            old_signature: false,
            hsts: YEAR,
        };
        compute_grade(&facts).score
    };
    // 100 × 0.3 + 90 × 0.3 + (80 + 100) / 2 × 0.4
    assert_eq!(score(good()), 93);
    // 100 × 0.3 + 100 × 0.3 + 100 × 0.4
    assert_eq!(score(Site { key: rsa(4096), ..good().of(&[TLS12], &[GCM_256]) }), 100);
    // (80 + 100) / 2 × 0.3 + 80 × 0.3 + (20 + 80) / 2 × 0.4
    assert_eq!(score(Site { key: rsa(1024), ..good().of(&[TLS12, SSL3], &[STATIC_CBC, TRIPLE]) }), 71);
}
