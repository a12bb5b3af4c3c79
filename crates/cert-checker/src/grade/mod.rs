//! The grade after SSL Labs' "SSL Server Rating Guide" (2009r), of facts that were gathered here: nothing is asked of
//! anybody. <https://github.com/ssllabs/research/wiki/SSL-Server-Rating-Guide>

use crate::facts::KeyFacts;
use crate::net::ciphers::Cipher;
use crate::net::hello::{SSL3, TLS10, TLS11, TLS12, TLS13};
use crate::net::http::Hsts;
use serde::{Deserialize, Serialize, Serializer};

/// A grade, the best first. `T`: not trusted, `M`: another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Grade {
    APlus,
    A,
    AMinus,
    B,
    C,
    D,
    E,
    F,
    T,
    M,
}

const LETTERS: [(Grade, &str); 10] = [
    (Grade::APlus, "A+"),
    (Grade::A, "A"),
    (Grade::AMinus, "A-"),
    (Grade::B, "B"),
    (Grade::C, "C"),
    (Grade::D, "D"),
    (Grade::E, "E"),
    (Grade::F, "F"),
    (Grade::T, "T"),
    (Grade::M, "M"),
];

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(LETTERS.iter().find(|(g, _)| g == self).map_or("", |(_, l)| l))
    }
}

impl std::str::FromStr for Grade {
    type Err = String;

    fn from_str(text: &str) -> Result<Grade, String> {
        let found = LETTERS.iter().find(|(_, l)| l.eq_ignore_ascii_case(text)).map(|(g, _)| *g);
        found.ok_or_else(|| "A+, A, A-, B, C, D, E or F".into())
    }
}

impl TryFrom<String> for Grade {
    type Error = String;

    fn try_from(text: String) -> Result<Grade, String> {
        text.parse()
    }
}

impl Serialize for Grade {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Half a year: what the guide calls long.
pub(crate) const HSTS_LONG: u64 = 15_552_000;

/// Facts for a grade.
#[derive(Clone, Debug)]
pub(crate) struct GradeFacts<'a> {
    pub(crate) versions: &'a [u16],
    /// Version and suite of every cipher that is taken.
    pub(crate) ciphers: &'a [(u16, u16)],
    pub(crate) dh_bits: Option<usize>,
    pub(crate) key: &'a KeyFacts,
    pub(crate) trusted: bool,
    pub(crate) named: bool,
    pub(crate) chain_complete: bool,
    pub(crate) old_signature: bool,
    pub(crate) hsts: Hsts,
}

/// A grade and why it is no better.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Graded {
    pub(crate) grade: Grade,
    /// 0 to 100, before the rules that cap it.
    pub(crate) score: u32,
    pub(crate) because: Vec<String>,
}

/// The grade.
pub(crate) fn compute_grade(facts: &GradeFacts<'_>) -> Graded {
    let score = (30 * score_protocols(facts.versions)
        + 30 * score_key_exchange(facts)
        + 40 * score_strength(facts.ciphers))
        / 100;
    let by_score = match score {
        80.. => Grade::APlus,
        65.. => Grade::B,
        50.. => Grade::C,
        35.. => Grade::D,
        20.. => Grade::E,
        _ => Grade::F,
    };
    let mut because: Vec<(Grade, String)> = find_caps(facts).into_iter().collect();
    if by_score > Grade::A {
        because.push((by_score, format!("the score is {score} of 100")));
    }
    // A cap is no lower bound: of several the worst counts, and T and M, which are no letters of strength, outweigh all.
    because.sort_by_key(|(worst, _)| std::cmp::Reverse(*worst));
    let grade = because.first().map_or(Grade::APlus, |(worst, _)| *worst);
    Graded {
        grade,
        score,
        because: because.into_iter().map(|(g, why)| format!("{why} ({g} at best)")).collect(),
    }
}

/// The guide's table 3: best and worst, halved.
fn score_protocols(versions: &[u16]) -> u32 {
    let points = |v: &u16| match *v {
        SSL3 => 80,
        TLS10 => 90,
        TLS11 => 95,
        _ => 100,
    };
    mean_of_extremes(versions.iter().map(points))
}

/// Table 4: the weaker of the certificate's key and the exchange's.
fn score_key_exchange(facts: &GradeFacts<'_>) -> u32 {
    let anonymous =
        facts.ciphers.iter().filter_map(|(_, id)| Cipher::by_number(*id)).any(Cipher::is_anonymous);
    let bits = facts.dh_bits.map_or(rsa_strength(facts.key), |dh| dh.min(rsa_strength(facts.key)));
    match bits {
        _ if anonymous => 0,
        ..512 => 20,
        512..1024 => 40,
        1024..2048 => 80,
        2048..4096 => 90,
        _ => 100,
    }
}

/// The bits of an RSA key of the same strength (NIST SP 800-57, table 2).
fn rsa_strength(key: &KeyFacts) -> usize {
    match (key.kind.as_str(), key.bits) {
        ("EC" | "Ed25519" | "Ed448", ..224) => 1024,
        ("EC", 224..256) => 2048,
        ("EC" | "Ed25519" | "Ed448", 256..384) => 3072,
        ("EC" | "Ed25519" | "Ed448", _) => 7680,
        (_, bits) => bits,
    }
}

/// Table 5: best and worst, halved.
fn score_strength(ciphers: &[(u16, u16)]) -> u32 {
    let points = |bits| match bits {
        0 => 0,
        1..128 => 20,
        128..256 => 80,
        _ => 100,
    };
    mean_of_extremes(ciphers.iter().filter_map(|(_, id)| Cipher::by_number(*id)).map(|c| points(c.bits())))
}

fn mean_of_extremes(points: impl Iterator<Item = u32> + Clone) -> u32 {
    let (best, worst) = (points.clone().max(), points.min());
    best.zip(worst).map_or(0, |(b, w)| u32::midpoint(b, w))
}

/// The rules that no score outweighs.
fn find_caps(facts: &GradeFacts<'_>) -> Vec<(Grade, String)> {
    let spoken = |v: u16| facts.versions.contains(&v);
    let takes = |test: &dyn Fn(u16, Cipher) -> bool| {
        facts.ciphers.iter().any(|(v, id)| Cipher::by_number(*id).is_some_and(|c| test(*v, c)))
    };
    // The suites stand in the server's order: of each version the first is the one that clients get.
    let preferred =
        |v: &u16| facts.ciphers.iter().find(|(of, _)| of == v).and_then(|(_, id)| Cipher::by_number(*id));
    let without_secrecy = facts.versions.iter().filter_map(preferred).any(|c| !c.is_forward_secret());
    let rc4 = |c: Cipher| c.name.contains("RC4");
    let modern = spoken(TLS12) || spoken(TLS13);
    let rsa = facts.key.kind == "RSA" || facts.key.kind == "DSA";
    let rules = [
        (!facts.trusted, Grade::T, "the certificate is not trusted"),
        (!facts.named, Grade::M, "the certificate is for another name"),
        (
            takes(&|_, c| c.is_anonymous() || c.bits() < 112 || c.name.contains("EXPORT")),
            Grade::F,
            "insecure ciphers are taken",
        ),
        (rsa && facts.key.bits < 1024, Grade::F, "the key has less than 1024 bits"),
        (facts.dh_bits.is_some_and(|b| b < 1024), Grade::F, "Diffie-Hellman uses less than 1024 bits"),
        (facts.old_signature, Grade::F, "a certificate is signed with MD5 or SHA-1"),
        (!modern, Grade::C, "TLS 1.2 is not spoken"),
        (takes(&|v, c| v >= TLS12 && rc4(c)), Grade::C, "RC4 is taken with TLS 1.2"),
        (
            takes(&|v, c| v >= TLS11 && c.name.contains("3DES")),
            Grade::C,
            "3DES is taken with TLS 1.1 or newer",
        ),
        (takes(&|_, c| rc4(c)), Grade::B, "RC4 is taken"),
        (spoken(SSL3), Grade::B, "SSLv3 is spoken"),
        (spoken(TLS10) || spoken(TLS11), Grade::B, "TLS 1.0 or 1.1 is spoken"),
        (rsa && facts.key.bits < 2048, Grade::B, "the key has less than 2048 bits"),
        (facts.dh_bits.is_some_and(|b| b < 2048), Grade::B, "Diffie-Hellman uses less than 2048 bits"),
        (!facts.chain_complete, Grade::B, "the chain is incomplete"),
        (!takes(&|_, c| c.is_forward_secret()), Grade::B, "no cipher has forward secrecy"),
        (without_secrecy, Grade::B, "a cipher without forward secrecy is preferred"),
        (!takes(&|_, c| c.is_aead()), Grade::B, "no cipher has authenticated encryption"),
        (!spoken(TLS13), Grade::AMinus, "TLS 1.3 is not spoken"),
        (facts.hsts == Hsts::Missing, Grade::AMinus, "no Strict-Transport-Security header"),
        (
            matches!(facts.hsts, Hsts::For(s) if s < HSTS_LONG),
            Grade::A,
            "Strict-Transport-Security is for less than half a year",
        ),
    ];
    rules.into_iter().filter(|(holds, ..)| *holds).map(|(_, grade, why)| (grade, why.to_string())).collect()
}

#[cfg(test)]
mod tests;
