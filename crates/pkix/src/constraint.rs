//! DistinguishedName constraints (RFC 5280, 4.2.1.10).

use crate::cert::Cert;
use crate::der::{self, Der, Malformed, Result, context_tag, explicit_tag};
use crate::host;
use crate::name::GeneralName;
use crate::oid;

/// What an authority may certify.
#[derive(Clone, Debug)]
pub(crate) struct NameConstraints {
    permitted: Vec<GeneralName>,
    excluded: Vec<GeneralName>,
    /// Whether a list is empty, or both are missing.
    empty: bool,
}

/// Comparisons of names with constraints that one path may ask for; rustls-webpki and Go allow as many.
pub(crate) const MOST_COMPARISONS: usize = 250_000;

impl NameConstraints {
    pub(crate) fn read_der(value: &[u8]) -> Result<NameConstraints> {
        let mut parts = der::read_sequence(value)?;
        let permitted = parts.read_optional(explicit_tag(0))?;
        let excluded = parts.read_optional(explicit_tag(1))?;
        parts.expect_end()?;
        let hollow = |list: Option<&[u8]>| list.is_some_and(<[u8]>::is_empty);
        let empty = hollow(permitted) || hollow(excluded) || (permitted.is_none() && excluded.is_none());
        Ok(NameConstraints {
            permitted: read_subtrees(permitted)?,
            excluded: read_subtrees(excluded)?,
            empty,
        })
    }

    /// What of the constraints themselves breaks the profile.
    pub(crate) fn find_fault(&self) -> Option<String> {
        if self.empty {
            return Some("the name constraints constrain nothing".into());
        }
        let bad = self.permitted.iter().chain(&self.excluded).find(|base| !is_base(base))?;
        Some(format!("the name constraint {:?} is malformed", bad.text()))
    }

    /// How many comparisons [`NameConstraints::check_names`] would make for so many names.
    pub(crate) fn count_comparisons(&self, names: usize) -> usize {
        names.saturating_mul(self.permitted.len() + self.excluded.len())
    }

    /// Whether every name lies where it may.
    ///
    /// # Errors
    /// In words, which name does not.
    pub(crate) fn check_names(&self, names: &[GeneralName]) -> std::result::Result<(), String> {
        names.iter().try_for_each(|name| self.check_name(name))
    }

    fn check_name(&self, name: &GeneralName) -> std::result::Result<(), String> {
        let of_form = |list: &[GeneralName]| list.iter().any(|base| base.form() == name.form());
        let (permits, excludes) = (of_form(&self.permitted), of_form(&self.excluded));
        if !permits && !excludes {
            return Ok(());
        }
        // A name that cannot be read as its form demands could be read in another way by a client: what is constrained and
        // cannot be compared is refused, not let through.
        if !is_judgeable(name) {
            return Err(format!("{:?} cannot be judged by the issuer's name constraints", name.text()));
        }
        if excludes && self.excluded.iter().any(|base| base.form() == name.form() && touches(name, base)) {
            return Err(format!("{:?} is excluded by an issuer's name constraints", name.text()));
        }
        if permits && !self.permitted.iter().any(|base| base.form() == name.form() && lies_within(name, base))
        {
            return Err(format!("{:?} is not permitted by an issuer's name constraints", name.text()));
        }
        Ok(())
    }
}

/// The names of a certificate that constraints are about.
pub(crate) fn constrained_names(cert: &Cert) -> Vec<GeneralName> {
    // The subject's mail address is constrained only where no alternative name has one: certificates of old have it
    // nowhere else (RFC 5280, 4.2.1.10). Its common name is no host name to any client, so it is not judged as one.
    let mut names = cert.ext.names().to_vec();
    if !names.iter().any(|n| matches!(n, GeneralName::Email(_))) {
        names.extend(cert.subject.texts(oid::EMAIL_ADDRESS).map(|m| GeneralName::Email(m.to_string())));
    }
    if !cert.subject.is_empty() {
        names.push(GeneralName::Directory(cert.subject.clone()));
    }
    names
}

fn read_subtrees(list: Option<&[u8]>) -> Result<Vec<GeneralName>> {
    let mut all = Vec::new();
    let mut rest = Der::new(list.unwrap_or_default());
    while !rest.is_empty() {
        all.push(read_subtree(&mut rest)?);
    }
    Ok(all)
}

fn read_subtree(list: &mut Der<'_>) -> Result<GeneralName> {
    let mut parts = list.read_sequence()?;
    let base = GeneralName::read_der(&mut parts)?;
    let minimum = parts.read_optional(context_tag(0))?;
    let maximum = parts.read_optional(context_tag(1))?;
    parts.expect_end()?;
    // Both are there in the syntax and must not be used (4.2.1.10); whoever sets them wants something that no one does.
    match minimum.is_none_or(|m| m == [0]) && maximum.is_none() {
        true => Ok(base),
        false => Err(Malformed("has a name constraint with a minimum or a maximum")),
    }
}

/// Whether a constraint is of the form that its kind must have.
fn is_base(base: &GeneralName) -> bool {
    match base {
        GeneralName::Dns(name) => name.is_empty() || host::is_host(name),
        GeneralName::Email(text) if text.contains('@') => host::split_mailbox(text).is_some(),
        GeneralName::Email(host) | GeneralName::Uri(host) => {
            host::is_host(host.strip_prefix('.').unwrap_or(host))
        }
        GeneralName::Ip(bytes) => address_mask(bytes).is_some_and(is_prefix),
        GeneralName::Directory(_) | GeneralName::Else(_) => true,
    }
}

/// Whether a name is well-formed enough to be compared; a form that is unknown here never is.
fn is_judgeable(name: &GeneralName) -> bool {
    match name {
        GeneralName::Dns(name) => host::is_presentable(name),
        GeneralName::Email(address) => host::split_mailbox(address).is_some(),
        GeneralName::Uri(uri) => host::uri_host(uri)
            .is_some_and(|host| host::is_host(host) && host.parse::<std::net::IpAddr>().is_err()),
        GeneralName::Ip(bytes) => bytes.len() == 4 || bytes.len() == 16,
        GeneralName::Directory(_) => true,
        GeneralName::Else(_) => false,
    }
}

/// Whether all that the name stands for lies within the permitted base.
fn lies_within(name: &GeneralName, base: &GeneralName) -> bool {
    match (name, base) {
        (GeneralName::Dns(name), GeneralName::Dns(base)) => match name.strip_prefix("*.") {
            Some(parent) => host_lies_below(parent, base.strip_prefix('.').unwrap_or(base)),
            None => host_lies_below(name, base),
        },
        (GeneralName::Email(address), GeneralName::Email(base)) => email_lies_in(address, base),
        (GeneralName::Uri(uri), GeneralName::Uri(base)) => {
            host::uri_host(uri).is_some_and(|host| host_lies_in(host, base))
        }
        (GeneralName::Ip(address), GeneralName::Ip(base)) => address_lies_in(address, base),
        (GeneralName::Directory(name), GeneralName::Directory(base)) => name.is_below(base),
        _ => false,
    }
}

/// Whether anything that the name stands for lies within the excluded base; a malformed base takes all.
fn touches(name: &GeneralName, base: &GeneralName) -> bool {
    if !is_base(base) && !matches!(base, GeneralName::Dns(b) if b.starts_with('.')) {
        return true;
    }
    match (name, base) {
        (GeneralName::Dns(name), GeneralName::Dns(base)) => wildcard_touches(name, base),
        _ => lies_within(name, base),
    }
}

/// A wildcard may also stand for an excluded host one label below its parent (CVE-2025-61727).
fn wildcard_touches(name: &str, base: &str) -> bool {
    let expanded = name.strip_prefix('*').is_some_and(|parent| {
        let label = base.len().checked_sub(parent.len()).map(|n| base.split_at(n));
        label.is_some_and(|(label, rest)| rest.eq_ignore_ascii_case(parent) && !label.contains('.'))
    });
    expanded || lies_within(&GeneralName::Dns(name.to_string()), &GeneralName::Dns(base.to_string()))
}

/// Whether `host` is `base` or below it; `.base` means below only, and nothing at all means every host.
fn host_lies_below(host: &str, base: &str) -> bool {
    let (host, base) = (host.to_ascii_lowercase(), base.to_ascii_lowercase());
    let dotted = if base.starts_with('.') { base.clone() } else { format!(".{base}") };
    base.is_empty() || host == base || (host.len() > dotted.len() && host.ends_with(&dotted))
}

/// Whether `host` is `base` itself or, where that begins with a dot, below it.
fn host_lies_in(host: &str, base: &str) -> bool {
    if base.starts_with('.') { host_lies_below(host, base) } else { host.eq_ignore_ascii_case(base) }
}

fn email_lies_in(address: &str, base: &str) -> bool {
    let Some((local, host)) = host::split_mailbox(address) else { return false };
    match base.rsplit_once('@') {
        Some((only, at)) => local == only && host.eq_ignore_ascii_case(at),
        None => host_lies_in(host, base),
    }
}

fn address_lies_in(address: &[u8], base: &[u8]) -> bool {
    let Some(mask) = address_mask(base) else { return false };
    let network = &base[..mask.len()];
    address.len() == mask.len() && address.iter().zip(network).zip(mask).all(|((a, n), m)| a & m == n & m)
}

fn address_mask(base: &[u8]) -> Option<&[u8]> {
    matches!(base.len(), 8 | 32).then(|| &base[base.len() / 2..])
}

/// Whether the mask is that of a CIDR block.
fn is_prefix(mask: &[u8]) -> bool {
    let bits: Vec<bool> = mask.iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1 == 1)).collect();
    !bits.windows(2).any(|pair| !pair[0] && pair[1])
}
