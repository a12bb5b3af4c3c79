//! Name constraints (RFC 5280, 4.2.1.10).

use super::cert::Cert;
use super::der::{self, Bad, Der, Result, context, explicit};
use super::general::{self, General};
use super::oid;

/// What an authority may certify.
#[derive(Clone, Debug)]
pub(crate) struct Constraints {
    permitted: Vec<General>,
    excluded: Vec<General>,
    /// Whether a list is empty, or both are missing.
    empty: bool,
}

/// Comparisons of names with constraints that one path may ask for; rustls-webpki and Go allow as many.
pub(crate) const MOST_COMPARISONS: usize = 250_000;

impl Constraints {
    pub(crate) fn read(value: &[u8]) -> Result<Constraints> {
        let mut parts = der::only_sequence(value)?;
        let permitted = parts.optional(explicit(0))?;
        let excluded = parts.optional(explicit(1))?;
        parts.end()?;
        let hollow = |list: Option<&[u8]>| list.is_some_and(<[u8]>::is_empty);
        let empty = hollow(permitted) || hollow(excluded) || (permitted.is_none() && excluded.is_none());
        Ok(Constraints { permitted: subtrees(permitted)?, excluded: subtrees(excluded)?, empty })
    }

    /// What of the constraints themselves breaks the profile.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.empty {
            return Some("the name constraints constrain nothing".into());
        }
        let odd = self.permitted.iter().chain(&self.excluded).find(|base| !is_base(base))?;
        Some(format!("the name constraint {:?} is malformed", odd.text()))
    }

    /// How many comparisons [`Constraints::check`] would make for so many names.
    pub(crate) fn cost(&self, names: usize) -> usize {
        names.saturating_mul(self.permitted.len() + self.excluded.len())
    }

    /// Whether every name lies where it may.
    ///
    /// # Errors
    /// In words, which name does not.
    pub(crate) fn check(&self, names: &[General]) -> std::result::Result<(), String> {
        names.iter().try_for_each(|name| self.check_one(name))
    }

    fn check_one(&self, name: &General) -> std::result::Result<(), String> {
        let of_form = |list: &[General]| list.iter().any(|base| base.form() == name.form());
        let (permits, excludes) = (of_form(&self.permitted), of_form(&self.excluded));
        if !permits && !excludes {
            return Ok(());
        }
        if !is_judgeable(name) {
            return Err(format!("{:?} cannot be judged by the issuer's name constraints", name.text()));
        }
        if excludes && self.excluded.iter().any(|base| base.form() == name.form() && touches(name, base)) {
            return Err(format!("{:?} is excluded by an issuer's name constraints", name.text()));
        }
        if permits && !self.permitted.iter().any(|base| base.form() == name.form() && within(name, base)) {
            return Err(format!("{:?} is not permitted by an issuer's name constraints", name.text()));
        }
        Ok(())
    }
}

/// The names of a certificate that constraints are about.
pub(crate) fn names_of(cert: &Cert) -> Vec<General> {
    let mut names = cert.ext.names().to_vec();
    if !names.iter().any(|n| matches!(n, General::Email(_))) {
        names.extend(cert.subject.texts(oid::EMAIL_ADDRESS).map(|m| General::Email(m.to_string())));
    }
    if !cert.subject.is_empty() {
        names.push(General::Directory(cert.subject.clone()));
    }
    names
}

fn subtrees(list: Option<&[u8]>) -> Result<Vec<General>> {
    let mut all = Vec::new();
    let mut rest = Der::new(list.unwrap_or_default());
    while !rest.is_empty() {
        all.push(subtree(&mut rest)?);
    }
    Ok(all)
}

fn subtree(list: &mut Der<'_>) -> Result<General> {
    let mut parts = list.sequence()?;
    let base = General::read(&mut parts)?;
    let minimum = parts.optional(context(0))?;
    let maximum = parts.optional(context(1))?;
    parts.end()?;
    match minimum.is_none_or(|m| m == [0]) && maximum.is_none() {
        true => Ok(base),
        false => Err(Bad("has a name constraint with a minimum or a maximum")),
    }
}

/// Whether a constraint is of the form that its kind must have.
fn is_base(base: &General) -> bool {
    match base {
        General::Dns(name) => name.is_empty() || general::is_host(name),
        General::Email(text) if text.contains('@') => general::mailbox(text).is_some(),
        General::Email(host) | General::Uri(host) => general::is_host(host.strip_prefix('.').unwrap_or(host)),
        General::Ip(bytes) => mask(bytes).is_some_and(is_prefix),
        General::Directory(_) | General::Else(_) => true,
    }
}

/// Whether a name is well-formed enough to be compared; a form that is unknown here never is.
fn is_judgeable(name: &General) -> bool {
    match name {
        General::Dns(name) => general::is_presented(name),
        General::Email(address) => general::mailbox(address).is_some(),
        General::Uri(uri) => general::uri_host(uri)
            .is_some_and(|host| general::is_host(host) && host.parse::<std::net::IpAddr>().is_err()),
        General::Ip(bytes) => bytes.len() == 4 || bytes.len() == 16,
        General::Directory(_) => true,
        General::Else(_) => false,
    }
}

/// Whether all that the name stands for lies within the permitted base.
fn within(name: &General, base: &General) -> bool {
    match (name, base) {
        (General::Dns(name), General::Dns(base)) => match name.strip_prefix("*.") {
            Some(parent) => host_below(parent, base.strip_prefix('.').unwrap_or(base)),
            None => host_below(name, base),
        },
        (General::Email(address), General::Email(base)) => email_in(address, base),
        (General::Uri(uri), General::Uri(base)) => {
            general::uri_host(uri).is_some_and(|host| host_in(host, base))
        }
        (General::Ip(address), General::Ip(base)) => ip_in(address, base),
        (General::Directory(name), General::Directory(base)) => name.is_below(base),
        _ => false,
    }
}

/// Whether anything that the name stands for lies within the excluded base; a malformed base takes all.
fn touches(name: &General, base: &General) -> bool {
    if !is_base(base) && !matches!(base, General::Dns(b) if b.starts_with('.')) {
        return true;
    }
    match (name, base) {
        (General::Dns(name), General::Dns(base)) => within_or_may_be(name, base),
        _ => within(name, base),
    }
}

/// A wildcard may also stand for an excluded host one label below its parent (CVE-2025-61727).
fn within_or_may_be(name: &str, base: &str) -> bool {
    let expanded = name.strip_prefix('*').is_some_and(|parent| {
        let label = base.len().checked_sub(parent.len()).map(|n| base.split_at(n));
        label.is_some_and(|(label, rest)| rest.eq_ignore_ascii_case(parent) && !label.contains('.'))
    });
    expanded || within(&General::Dns(name.to_string()), &General::Dns(base.to_string()))
}

/// Whether `host` is `base` or below it; `.base` means below only, and nothing at all means every host.
fn host_below(host: &str, base: &str) -> bool {
    let (host, base) = (host.to_ascii_lowercase(), base.to_ascii_lowercase());
    let dotted = if base.starts_with('.') { base.clone() } else { format!(".{base}") };
    base.is_empty() || host == base || (host.len() > dotted.len() && host.ends_with(&dotted))
}

/// Whether `host` is `base` itself or, where that begins with a dot, below it.
fn host_in(host: &str, base: &str) -> bool {
    match base.starts_with('.') {
        true => host_below(host, base),
        false => host.eq_ignore_ascii_case(base),
    }
}

fn email_in(address: &str, base: &str) -> bool {
    let Some((local, host)) = general::mailbox(address) else { return false };
    match base.rsplit_once('@') {
        Some((only, at)) => local == only && host.eq_ignore_ascii_case(at),
        None => host_in(host, base),
    }
}

fn ip_in(address: &[u8], base: &[u8]) -> bool {
    let Some(mask) = mask(base) else { return false };
    let network = &base[..mask.len()];
    address.len() == mask.len() && address.iter().zip(network).zip(mask).all(|((a, n), m)| a & m == n & m)
}

fn mask(base: &[u8]) -> Option<&[u8]> {
    matches!(base.len(), 8 | 32).then(|| &base[base.len() / 2..])
}

/// Whether the mask is that of a CIDR block.
fn is_prefix(mask: &[u8]) -> bool {
    let bits: Vec<bool> = mask.iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1 == 1)).collect();
    !bits.windows(2).any(|pair| !pair[0] && pair[1])
}
