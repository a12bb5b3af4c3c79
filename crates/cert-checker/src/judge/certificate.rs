//! What one certificate tells by itself: its time, its names, its algorithms and form.

use super::Question;
use crate::facts::{CertFacts, FormFault, San, format_span};
use crate::rules;
use crate::threshold::{Thresholds, format_remaining};
use pkix::{PeerName, Suffix, covered_suffix};
use toban_core::Severity;
use toban_core::check::Finding;

const DAY: i64 = 86_400;
/// A root that expires within this time is reported.
const ROOT_EXPIRES: i64 = 90 * DAY;
/// A wrong local clock is likelier than a certificate that begins within this time.
const CLOCK: i64 = DAY;

/// The leaf's own time.
pub(super) fn judge_expiry(cert: &CertFacts, q: &Question<'_>) -> Option<Finding> {
    let remaining = cert.not_after.since(q.at);
    if remaining < 0 {
        let text = format!("expired {}", format_remaining(remaining, cert.not_after));
        return Some(rules::critical(&rules::EXPIRED, text));
    }
    // Expired first: a certificate whose times are swapped is of no use for any clock.
    if cert.not_before > q.at {
        return Some(not_yet_valid(cert, q));
    }
    let text = format!("expires {}", format_remaining(remaining, cert.not_after));
    match q.thresholds.judge(cert.lifetime(), remaining) {
        Severity::Ok => None,
        severity => Some(Finding::new(&rules::EXPIRES, severity).says(text)),
    }
}

fn not_yet_valid(cert: &CertFacts, q: &Question<'_>) -> Finding {
    let wait = cert.not_before.since(q.at);
    let text = format!("becomes valid in {}, on {}", format_span(wait), cert.not_before);
    let finding = rules::critical(&rules::NOT_YET_VALID, text);
    if wait < CLOCK { finding.advise("is the local clock right?") } else { finding }
}

/// A certificate between leaf and root that clients use.
pub(super) fn judge_member_expiry(cert: &CertFacts, q: &Question<'_>) -> Option<Finding> {
    let remaining = cert.not_after.since(q.at);
    let rule = Thresholds::new(None, None).ok()?;
    match rule.judge(cert.lifetime(), remaining) {
        _ if remaining < 0 => None,
        Severity::Ok => None,
        severity => {
            let text = format!(
                "{} of the chain expires {}",
                cert.title(),
                format_remaining(remaining, cert.not_after)
            );
            Some(Finding::new(&rules::CHAIN_EXPIRES, severity).says(text))
        }
    }
}

/// The root at the end of the path.
pub(super) fn judge_root_expiry(cert: &CertFacts, q: &Question<'_>) -> Option<Finding> {
    let remaining = cert.not_after.since(q.at);
    let when = format_remaining(remaining, cert.not_after);
    match remaining {
        r if r < 0 => {
            let text = format!("the root {} expired {when}", cert.title());
            Some(rules::warning(&rules::ROOT_EXPIRED, text))
        }
        r if r < ROOT_EXPIRES => {
            Some(rules::warning(&rules::ROOT_EXPIRES, format!("the root {} expires {when}", cert.title())))
        }
        _ => None,
    }
}

/// What browsers accept of public authorities, by the day the validity begins (Baseline Requirements, 6.3.2).
const LIVES: [(i64, i64); 4] = [
    (1_868_227_200, 47),  // 2029-03-15
    (1_805_068_800, 100), // 2027-03-15
    (1_773_532_800, 200), // 2026-03-15
    (1_598_918_400, 398), // 2020-09-01
];

/// A life longer than browsers accept.
pub(super) fn judge_lifetime(cert: &CertFacts) -> Option<Finding> {
    let (_, days) = LIVES.iter().find(|(from, _)| cert.not_before.0 >= *from)?;
    // Both ends count, so a life of 90 d is 7 775 999 s + 1.
    (cert.lifetime() + 1 > days * DAY).then(|| {
        let text = format!(
            "lives {}, and browsers accept {days} d from public authorities",
            format_span(cert.lifetime())
        );
        rules::warning(&rules::LIFE_TOO_LONG, text)
    })
}

/// Names listed in one line.
const LISTED: usize = 8;

/// What is wrong with the certificate's names for a client that asks for `wanted`.
pub(super) fn judge_names(cert: &CertFacts, wanted: &PeerName) -> Option<Finding> {
    if cert.extensions.names.iter().any(|san| san_fits(san, wanted)) {
        return None;
    }
    let in_common = cert.common_names.iter().any(|cn| match wanted {
        PeerName::Dns(host) => host.is_presented_by(cn),
        other => *cn == other.to_string(),
    });
    // Browsers stopped looking at the CN in 2017 and OpenSSL does only where no alternative name is, so that this one
    // still works for some clients: it is worth an id of its own.
    if !cert.extensions.has_names && in_common {
        let text = format!("{wanted} is only in the CN, and no subjectAltName is there");
        return Some(rules::critical(&rules::NAME_COMMON_ONLY, text));
    }
    Some(rules::critical(
        &rules::NAME_MISMATCH,
        format!("{wanted} is not among its names: {}", list_names(cert)),
    ))
}

fn list_names(cert: &CertFacts) -> String {
    let names = &cert.extensions.names;
    if names.is_empty() {
        return "it has none".into();
    }
    let listed: Vec<String> = names.iter().take(LISTED).map(ToString::to_string).collect();
    match names.len() > LISTED {
        true => format!("{} and {} more", listed.join(", "), names.len() - LISTED),
        false => listed.join(", "),
    }
}

fn san_fits(san: &San, wanted: &PeerName) -> bool {
    match (san, wanted) {
        // As `*.com`: no client takes it, whatever it is asked for.
        (San::Dns(given), PeerName::Dns(host)) => {
            host.is_presented_by(given) && covered_suffix(given) != Some(Suffix::TopLevel)
        }
        (San::Ip(ip), PeerName::Ip(wanted)) => ip == wanted,
        _ => false,
    }
}

/// A wildcard over names that anyone can register. Over names that an owner lends, as `*.github.io`, it is the owner's.
pub(super) fn judge_wildcards(cert: &CertFacts) -> Option<Finding> {
    let wide = cert.extensions.names.iter().find_map(|san| match san {
        San::Dns(name) if name == "*" => Some(name),
        San::Dns(name) if matches!(covered_suffix(name), Some(Suffix::TopLevel | Suffix::Registry)) => {
            Some(name)
        }
        _ => None,
    })?;
    Some(rules::warning(&rules::NAME_WILDCARD_WIDE, format!("{wide} covers a public suffix")))
}

/// What is wrong with the signature on it; a root's own signature proves nothing, so it is not asked for.
pub(super) fn judge_signature(cert: &CertFacts, who: &str) -> Option<Finding> {
    let name = cert.signature.to_ascii_lowercase();
    let text = format!("{who} is signed with {}", cert.signature);
    if name.starts_with("md5") || name.starts_with("md2") {
        return Some(rules::critical(&rules::SIGNATURE_MD5, text));
    }
    let sha1 = name.contains("sha1");
    sha1.then(|| rules::critical(&rules::SIGNATURE_SHA1, text))
}

/// What is wrong with its public key.
pub(super) fn judge_key(cert: &CertFacts, who: &str) -> Option<Finding> {
    let key = &cert.key;
    let title = key.title();
    let weak = |text: String| Some(rules::critical(&rules::KEY_WEAK, text));
    match (key.kind.as_str(), key.bits) {
        ("RSA", ..2040) => weak(format!("{who} has a key of {title} bits: 2048 is the least")),
        ("RSA", bits) if !bits.is_multiple_of(64) => {
            Some(rules::warning(&rules::KEY_UNUSUAL, format!("{who} has a key of {title} bits")))
        }
        ("RSA" | "Ed25519" | "Ed448", _) => None,
        ("EC", _) if key.curve.as_deref() == Some("explicit") => {
            weak(format!("{who} has a key on a curve of explicit parameters, which clients refuse"))
        }
        ("EC", 1..224) => weak(format!("{who} has a key on {title}: P-256 is the least")),
        ("EC", 224..) => None,
        ("DSA", _) => weak(format!("{who} has a DSA key, which no client takes any more")),
        _ => Some(rules::info(&rules::KEY_UNKNOWN, format!("{who} has a key of the algorithm {title}"))),
    }
}

/// What RFC 5280 wants otherwise, of the form_faults that are `asked` for.
pub(super) fn judge_form(cert: &CertFacts, who: &str, asked: impl Fn(&FormFault) -> bool) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        cert.form_faults.iter().filter(|o| asked(o)).map(|fault| form_finding(*fault, who)).collect();
    if cert.version < 3 {
        let text = format!("{who} is of version {}, without extensions", cert.version);
        found.push(rules::warning(&rules::CERTIFICATE_NONSTANDARD, text));
    }
    found
}

fn form_finding(fault: FormFault, who: &str) -> Finding {
    let text = match fault {
        FormFault::SerialNegative => "has a negative serial number",
        FormFault::SerialZero => "has the serial number 0",
        FormFault::SerialLong => "has a serial number of more than 20 bytes",
        FormFault::TrailingBytes => "is followed by bytes that belong to nothing",
        FormFault::DuplicateExtension => "has the same extension twice",
        FormFault::UnreadableExtension => "has an extension that cannot be read",
        FormFault::UnknownCriticalExtension => "has a critical extension that is not known here",
        FormFault::SignatureAlgorithmsDiffer => "names two different signature algorithms",
    };
    let text = format!("{who} {text}");
    match fault {
        FormFault::DuplicateExtension
        | FormFault::UnreadableExtension
        | FormFault::UnknownCriticalExtension
        | FormFault::SignatureAlgorithmsDiffer => rules::critical(&rules::CERTIFICATE_NONSTANDARD, text),
        _ => rules::warning(&rules::CERTIFICATE_NONSTANDARD, text),
    }
}
