//! What is weak in one line of pg_hba.conf.

use super::HbaLine;
use super::reach::HbaContext;
use crate::finding::AuditFinding;
use crate::rulebook::roles;
use toban_core::Severity::{self, Critical, Warning};
use toban_core::check::Rule;

/// Rule, severity, what is wrong, what cures it.
type Weakness = (&'static Rule, Severity, String, String);

/// Every finding of a line that connections come to.
pub(super) fn judge_weakness(line: &HbaLine, known: &HbaContext) -> Vec<AuditFinding> {
    if line.method == "reject" {
        return Vec::new();
    }
    let of_method = judge_method(line, known).or_else(|| {
        let said = "keeps clients from using TLS".to_string();
        (line.kind == "hostnossl").then(|| (&roles::HBA_CLEARTEXT, Warning, said, TLS.to_string()))
    });
    let wide = "lets every address in the world ask".to_string();
    let wide = (&roles::HBA_WIDE, Warning, wide, "name the networks".to_string());
    let all = of_method.into_iter().chain(line.is_everywhere().then_some(wide));
    let mut found: Vec<AuditFinding> =
        all.map(|(rule, severity, said, advice)| line.new_finding(rule, severity, &said, &advice)).collect();
    if line.is_remote() && line.lets_superusers(known) {
        let said = "superusers may come over the network";
        let advice = match known.superusers_by_socket {
            true => "reject them above, by name",
            false => {
                "first let a superuser in by the socket (local all postgres peer), then reject them above, by name"
            }
        };
        found.push(line.new_finding(&roles::HBA_SUPERUSER_REMOTE, Warning, said, advice).cis(&["5.11"]));
    }
    found
}

fn judge_method(line: &HbaLine, known: &HbaContext) -> Option<Weakness> {
    let plain = !["local", "hostssl", "hostgssenc"].contains(&line.kind.as_str());
    let scram = || advise_scram(line, known);
    Some(match line.method.as_str() {
        "trust" => judge_trust(line, known)?,
        "password" => {
            let severity = if plain { Critical } else { Warning };
            (&roles::HBA_PASSWORD, severity, "the password travels as it is".into(), scram())
        }
        "md5" if line.is_scram_already(known) => {
            let said = "every password here is kept as SCRAM already, so nothing but the word md5 is left";
            (&roles::HBA_MD5, Warning, said.into(), scram())
        }
        "md5" => (&roles::HBA_MD5, Warning, "md5 hashes can be replayed and are going away".into(), scram()),
        "ident" => {
            let said = "believes what the other machine says".into();
            (&roles::HBA_IDENT, Warning, said, scram() + ", or cert")
        }
        "ldap" if !line.ldap_is_safe() => {
            let said = "the password goes to LDAP without TLS".into();
            (&roles::HBA_CLEARTEXT, Warning, said, "ldaptls=1 or ldaps".into())
        }
        "radius" => {
            let said = "RADIUS hides the password by MD5 alone".into();
            (&roles::HBA_CLEARTEXT, Warning, said, scram() + ", or gss")
        }
        "pam" | "bsd" | "ldap" if plain => {
            (&roles::HBA_CLEARTEXT, Warning, "the password travels without TLS".into(), TLS.into())
        }
        _ => return None,
    })
}

const TLS: &str = "hostssl, once every client uses TLS (pg_stat_ssl)";

/// The method to take instead, and who must have a password first: nobody is locked out by it.
fn advise_scram(line: &HbaLine, known: &HbaContext) -> String {
    let lacking = line.without_scram(known);
    match lacking.len() {
        _ if known.passwords.is_empty() => {
            "scram-sha-256, once every role here has a password kept so".into()
        }
        0 => "scram-sha-256".into(),
        n if n > 5 => format!(
            "first set passwords under scram-sha-256 for {n} roles here that have none kept so; then scram-sha-256"
        ),
        _ => {
            format!("first set passwords under scram-sha-256 for {}; then scram-sha-256", lacking.join(", "))
        }
    }
}

/// A client's certificate is a proof, if it must be one in the role's own name.
fn judge_trust(line: &HbaLine, known: &HbaContext) -> Option<Weakness> {
    let who = line.name_roles(known);
    match line.option_value("clientcert") {
        Some("verify-full") => None,
        Some(_) => {
            let said = format!("any certificate of the authority lets in as whichever role it likes: {who}");
            Some((&roles::HBA_TRUST, Warning, said, "clientcert=verify-full, or cert".into()))
        }
        None => {
            let said = format!("lets in without any proof: {who}");
            Some((&roles::HBA_TRUST, Critical, said, advise_scram(line, known) + ", peer or cert"))
        }
    }
}
