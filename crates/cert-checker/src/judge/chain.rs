//! The chain as it was sent, and the way from it to a root.

use super::trust::{self, Roots, TrustedPath};
use super::{Question, certificate};
use crate::facts::{CertFacts, UnixSeconds};
use crate::rules;
use pkix::{Code, Reason};
use toban_core::check::{Finding, Rule};

/// What is wrong with what was sent, whoever is trusted.
pub(super) fn judge_order(sent: &[CertFacts]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut distinct: Vec<&CertFacts> = Vec::new();
    for cert in sent {
        match distinct.contains(&cert) {
            true => {
                found
                    .push(rules::warning(&rules::CHAIN_DUPLICATE, format!("{} is sent twice", cert.title())));
            }
            false => distinct.push(cert),
        }
    }
    found.extend(judge_sequence(&distinct));
    found
}

/// A certificate may follow any of those that it issued: a cross-signed one is sent beside its twin.
fn judge_sequence(sent: &[&CertFacts]) -> Vec<Finding> {
    let mut found = Vec::new();
    // By names, as RFC 8446, 4.4.2, leaves it to clients: TLS 1.2 wants each certificate to certify the one before it, and
    // clients of today take any order, but for programs with old TLS libraries.
    let mut reached = vec![false; sent.len()];
    let mut way = vec![0];
    while let Some(at) = way.pop() {
        let issuers = (1..sent.len()).filter(|i| sent[at].issuer_der == sent[*i].subject_der);
        for issuer in issuers {
            if !std::mem::replace(&mut reached[issuer], true) {
                way.push(issuer);
            }
        }
    }
    for (at, cert) in sent.iter().enumerate().skip(1) {
        let follows = sent[..at].iter().any(|c| c.issuer_der == cert.subject_der);
        let text = match (reached[at], follows) {
            (false, _) => {
                let text = format!("{} is sent and has no part in the chain", cert.title());
                found.push(rules::warning(&rules::CHAIN_UNRELATED, text));
                continue;
            }
            (true, true) => None,
            (true, false) => Some(format!("{} is sent before what it issued", cert.title())),
        };
        found.extend(text.map(|s| rules::warning(&rules::CHAIN_ORDER, s)));
        if cert.is_self_signed() {
            let text = format!("the root {} is sent: clients have it or do not trust it", cert.title());
            found.push(rules::info(&rules::CHAIN_ROOT_SENT, text));
        }
    }
    found
}

/// Whether the chain leads to a root, and what is to say about its members.
pub(super) fn judge_path(sent: &[CertFacts], q: &Question<'_>) -> (Option<TrustedPath>, Vec<Finding>) {
    match trust::find_path(sent, q.roots, q.at) {
        Ok(trusted) => {
            let found = judge_members(&trusted, sent, q);
            (Some(trusted), found)
        }
        Err(why) => {
            let found = explain_broken(sent, q, &why);
            (None, found)
        }
    }
}

/// When the issuers that were sent expire, where who they are is not asked: clients that verify them stop with them.
pub(super) fn judge_times(sent: &[CertFacts], q: &Question<'_>) -> Vec<Finding> {
    if let Ok(trusted) = trust::find_path(sent, q.roots, q.at) {
        return judge_ends(&trusted, sent, q);
    }
    let Some((mut at, others)) = sent.split_first() else { return Vec::new() };
    let mut found = Vec::new();
    for _ in others {
        // Of several the one that lasts longest is what clients can take.
        let issuers = others.iter().filter(|c| *c != at && at.may_be_issued_by(c));
        let Some(next) = issuers.max_by_key(|c| c.not_after).filter(|_| !at.is_self_signed()) else { break };
        found.extend(match next.is_self_signed() {
            true => certificate::judge_root_expiry(next, q),
            false => expired_member(next, q).or_else(|| certificate::judge_member_expiry(next, q)),
        });
        at = next;
    }
    found
}

fn judge_members(trusted: &TrustedPath, sent: &[CertFacts], q: &Question<'_>) -> Vec<Finding> {
    let mut found = judge_ends(trusted, sent, q);
    for cert in &trusted.path[1..] {
        found.extend(certificate::judge_signature(cert, &cert.title()));
        found.extend(certificate::judge_key(cert, &cert.title()));
    }
    found
}

fn judge_ends(trusted: &TrustedPath, sent: &[CertFacts], q: &Question<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = certificate::judge_root_expiry(&trusted.root, q).into_iter().collect();
    found.extend(trusted.path[1..].iter().filter_map(|cert| certificate::judge_member_expiry(cert, q)));
    let aside = sent.iter().skip(1).filter(|c| !trusted.path.contains(c) && c.not_after < q.at);
    found.extend(aside.map(|c| {
        let text = format!(
            "{} has expired on {}, and another path, by {} until {}, is valid",
            c.title(),
            c.not_after,
            trusted.root.title(),
            earliest_end(trusted)
        );
        rules::info(&rules::CHAIN_EXPIRED, text)
    }));
    found
}

fn earliest_end(trusted: &TrustedPath) -> UnixSeconds {
    trusted.path.iter().map(|c| c.not_after).min().unwrap_or(trusted.root.not_after)
}

/// The reason that leads an administrator to the cause.
fn explain_broken(sent: &[CertFacts], q: &Question<'_>, why: &[Reason]) -> Vec<Finding> {
    let leaf = &sent[0];
    let mut found: Vec<Finding> = sent.iter().skip(1).filter_map(|c| expired_member(c, q)).collect();
    for cert in &sent[1..] {
        found.extend(certificate::judge_signature(cert, &cert.title()));
        found.extend(certificate::judge_key(cert, &cert.title()));
    }
    // The path ends at the last issuer that was sent. Is the next one missing, unknown, or there and not valid? The three
    // need different hands: the server's administrator, the client's, or the authority.
    let top = last_issuer(sent);
    // One that issued itself is a root of its own, whoever else has its name.
    let rooted = q.roots.holds(top) || (!top.is_self_signed() && q.roots.issuer_of(top).is_some());
    if !rooted {
        found.push(explain_unrooted(leaf, top, q.roots));
        return found;
    }
    if let Some(root) = expired_root(top, q, why) {
        found.push(root);
        return found;
    }
    let known = found_rules(leaf, &found, q);
    let news = why.iter().find(|r| !is_known(r.code, &known));
    found.extend(
        news.map(|r| rules::critical(&rules::CHAIN_INVALID, format!("no valid path to a trusted root: {r}"))),
    );
    found
}

/// The rules of what is found in the leaf, and of `found`.
fn found_rules(leaf: &CertFacts, found: &[Finding], q: &Question<'_>) -> Vec<&'static Rule> {
    let own = [
        certificate::judge_expiry(leaf, q),
        certificate::judge_signature(leaf, "it"),
        certificate::judge_key(leaf, "it"),
    ];
    found.iter().chain(own.iter().flatten()).map(|f| f.rule).collect()
}

/// Whether another finding has the same in more detail: dates, and algorithms of leaf and chain.
fn is_known(code: Code, known: &[&Rule]) -> bool {
    let better: &[&Rule] = match code {
        Code::Expired => &[&rules::EXPIRED, &rules::CHAIN_EXPIRED],
        Code::NotYetValid => &[&rules::NOT_YET_VALID],
        Code::WeakKey => &[&rules::KEY_WEAK],
        Code::WeakSignature => &[&rules::SIGNATURE_MD5, &rules::SIGNATURE_SHA1],
        _ => &[],
    };
    known.iter().any(|rule| better.contains(rule))
}

/// A root whose own time is over: many clients do not look at it, some do.
fn expired_root(top: &CertFacts, q: &Question<'_>, why: &[Reason]) -> Option<Finding> {
    let root = q.roots.issuer_of(top)?;
    (why.iter().all(|r| r.code == Code::Expired) && root.not_after < q.at)
        .then(|| certificate::judge_root_expiry(&root, q))
        .flatten()
}

fn expired_member(cert: &CertFacts, q: &Question<'_>) -> Option<Finding> {
    (cert.not_after < q.at).then(|| {
        let text = format!("{} of the chain has expired on {}", cert.title(), cert.not_after);
        rules::critical(&rules::CHAIN_EXPIRED, text)
    })
}

fn explain_unrooted(leaf: &CertFacts, top: &CertFacts, roots: &Roots) -> Finding {
    if leaf.is_self_signed() {
        let text = format!("it is signed by its own key, subject {}", leaf.subject);
        return rules::critical(&rules::SELF_SIGNED, text);
    }
    if roots.have_issuer_name_of(top) {
        let text = format!("a root of the name {} is trusted, but its key did not sign this", top.issuer);
        return rules::critical(&rules::CHAIN_INVALID, text);
    }
    match top == leaf && !leaf.is_self_signed() {
        true => missing_issuer(leaf),
        false => rules::critical(&rules::UNTRUSTED_ROOT, format!("unknown root, subject {}", top.issuer)),
    }
}

fn missing_issuer(leaf: &CertFacts) -> Finding {
    let text = format!(
        "the certificate of its issuer was not sent, or it is an unknown root, subject {}",
        leaf.issuer
    );
    let advice = match leaf.extensions.issuer_urls.first() {
        Some(url) => {
            format!("add it to the server's chain ({url}); browsers may still work, programs do not")
        }
        None => "add the intermediate to the server's chain, or trust the root with ca".into(),
    };
    rules::critical(&rules::CHAIN_INCOMPLETE, text).advise(advice)
}

/// The last certificate that issuers among those sent lead to.
fn last_issuer(sent: &[CertFacts]) -> &CertFacts {
    let mut top = &sent[0];
    for _ in sent {
        if top.is_self_signed() {
            break;
        }
        // Several may have the issuer's name: an authority's old and new key.
        let named = || sent.iter().skip(1).filter(|c| top.issuer_der == c.subject_der && *c != top);
        match named().find(|c| top.may_be_issued_by(c)).or_else(|| named().next()) {
            Some(next) => top = next,
            None => break,
        }
    }
    top
}
