//! A certificate's extensions.

use super::constraint::Constraints;
use super::der::{self, Bad, Der, Result, context, explicit};
use super::general::General;
use super::oid;
use super::policy::{Limits, Policies};

/// An extension and whether it is critical.
#[derive(Clone, Debug)]
pub(crate) struct Ext<T> {
    pub(crate) critical: bool,
    pub(crate) value: T,
}

/// Basic constraints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Basic {
    pub(crate) ca: bool,
    pub(crate) path_len: Option<u32>,
}

/// Authority key identifier.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) key_id: Option<Vec<u8>>,
    pub(crate) issuer: bool,
    pub(crate) serial: bool,
}

pub(crate) const SIGN_CERTIFICATES: u16 = 32;
pub(crate) const SIGN_CRLS: u16 = 64;
/// keyEncipherment, dataEncipherment, keyAgreement, encipherOnly, decipherOnly.
pub(crate) const ENCRYPT_OR_AGREE: u16 = 4 | 8 | 16 | 128 | 256;

/// Everything an extension can say that matters here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) basic: Option<Ext<Basic>>,
    /// The bits of the key usage, the first as 1.
    pub(crate) key_usage: Option<Ext<u16>>,
    pub(crate) extended: Option<Ext<Vec<Vec<u8>>>>,
    pub(crate) alt_names: Option<Ext<Vec<General>>>,
    pub(crate) constraints: Option<Ext<Constraints>>,
    pub(crate) policies: Policies,
    pub(crate) subject_key: Option<Ext<Vec<u8>>>,
    pub(crate) authority_key: Option<Ext<Authority>>,
    /// Where the issuer's lists are: the full names of each distribution point.
    pub(crate) crl_points: Option<Vec<Vec<General>>>,
    /// Authority or subject information access that is critical.
    pub(crate) critical_access: bool,
    /// The first critical extension that is unknown here.
    pub(crate) unknown_critical: Option<Vec<u8>>,
    /// The first extension that appears twice.
    pub(crate) twice: Option<Vec<u8>>,
    /// An extension that does not decide about a path and is malformed.
    pub(crate) malformed: Option<(&'static str, Bad)>,
}

/// One undecoded extension.
pub(crate) struct Raw<'a> {
    pub(crate) oid: &'a [u8],
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Reads the next element as an extension.
    pub(crate) fn read(list: &mut Der<'a>) -> Result<Raw<'a>> {
        let mut parts = list.sequence()?;
        let oid = der::oid(parts.expect(der::OID)?)?;
        let critical = der::flag(&mut parts)?;
        let value = parts.expect(der::OCTET_STRING)?;
        parts.end()?;
        Ok(Raw { oid, critical, value })
    }
}

impl Extensions {
    /// Reads the list that the explicit tag holds.
    pub(crate) fn read(value: &[u8]) -> Result<Extensions> {
        let mut all = Extensions::default();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for raw in der::only_sequence(value)?.each(Raw::read)? {
            if seen.iter().any(|s| s == raw.oid) {
                all.twice.get_or_insert_with(|| raw.oid.to_vec());
                continue;
            }
            seen.push(raw.oid.to_vec());
            all.take(&raw)?;
        }
        Ok(all)
    }

    fn take(&mut self, raw: &Raw<'_>) -> Result<()> {
        let critical = raw.critical;
        match raw.oid {
            oid::BASIC_CONSTRAINTS => self.basic = Some(Ext { critical, value: basic(raw.value)? }),
            oid::KEY_USAGE => {
                let value = der::named_bits(der::only(raw.value, der::BIT_STRING)?)?;
                self.key_usage = Some(Ext { critical, value });
            }
            oid::EXT_KEY_USAGE => self.extended = Some(Ext { critical, value: extended(raw.value)? }),
            oid::SUBJECT_ALT_NAME => {
                self.alt_names = Some(Ext { critical, value: generals(raw.value)? });
            }
            oid::NAME_CONSTRAINTS => {
                self.constraints = Some(Ext { critical, value: Constraints::read(raw.value)? });
            }
            oid::POLICIES => self.policies.stated = Some(Policies::stated(raw.value)?),
            oid::POLICY_MAPPINGS => self.policies.mapped = Policies::mapped(raw.value)?,
            oid::POLICY_CONSTRAINTS => {
                self.policies.limits = Some(Ext { critical, value: Limits::read(raw.value)? });
            }
            oid::INHIBIT_ANY => {
                let value = der::small(der::only(raw.value, der::INTEGER)?)?;
                self.policies.inhibit_any = Some(Ext { critical, value });
            }
            _ => self.take_minor(raw),
        }
        Ok(())
    }

    /// Extensions that help to find a path and never decide about one.
    fn take_minor(&mut self, raw: &Raw<'_>) {
        let critical = raw.critical;
        let done = match raw.oid {
            oid::SUBJECT_KEY_ID => der::only(raw.value, der::OCTET_STRING).map(|id| {
                self.subject_key = Some(Ext { critical, value: id.to_vec() });
                "subject key identifier"
            }),
            oid::AUTHORITY_KEY_ID => authority(raw.value).map(|value| {
                self.authority_key = Some(Ext { critical, value });
                "authority key identifier"
            }),
            oid::CRL_POINTS => points(raw.value).map(|value| {
                self.crl_points = Some(value);
                "CRL distribution points"
            }),
            oid::FRESHEST_CRL => points(raw.value).map(|_| "freshest CRL"),
            oid::ISSUER_ALT_NAME => generals(raw.value).map(|_| "issuer alternative name"),
            oid::AUTHORITY_INFO | oid::SUBJECT_INFO => access(raw.value).map(|()| {
                self.critical_access |= critical;
                "information access"
            }),
            unknown => {
                if critical {
                    self.unknown_critical.get_or_insert_with(|| unknown.to_vec());
                }
                return;
            }
        };
        if let Err(bad) = done {
            self.malformed.get_or_insert((minor_name(raw.oid), bad));
        }
    }

    /// The alternative names, or none.
    pub(crate) fn names(&self) -> &[General] {
        self.alt_names.as_ref().map_or(&[], |ext| &ext.value)
    }

    pub(crate) fn is_ca(&self) -> bool {
        self.basic.as_ref().is_some_and(|b| b.value.ca)
    }

    /// Whether the key usage, if there is one, has all of these bits.
    pub(crate) fn may(&self, bits: u16) -> bool {
        self.key_usage.as_ref().is_none_or(|ext| ext.value & bits == bits)
    }
}

fn minor_name(oid: &[u8]) -> &'static str {
    match oid {
        oid::SUBJECT_KEY_ID => "the subject key identifier",
        oid::AUTHORITY_KEY_ID => "the authority key identifier",
        oid::CRL_POINTS => "the CRL distribution points",
        oid::FRESHEST_CRL => "the freshest CRL",
        oid::ISSUER_ALT_NAME => "the issuer alternative name",
        oid::AUTHORITY_INFO => "the authority information access",
        _ => "the subject information access",
    }
}

fn basic(value: &[u8]) -> Result<Basic> {
    let mut parts = der::only_sequence(value)?;
    let ca = der::flag(&mut parts)?;
    let path_len = parts.optional(der::INTEGER)?.map(der::small).transpose()?;
    parts.end()?;
    Ok(Basic { ca, path_len })
}

fn extended(value: &[u8]) -> Result<Vec<Vec<u8>>> {
    der::only_sequence(value)?.each(|d| Ok(der::oid(d.expect(der::OID)?)?.to_vec()))
}

fn generals(value: &[u8]) -> Result<Vec<General>> {
    der::only_sequence(value)?.each(General::read)
}

fn authority(value: &[u8]) -> Result<Authority> {
    let mut parts = der::only_sequence(value)?;
    let key_id = parts.optional(context(0))?.map(<[u8]>::to_vec);
    let issuer = parts.optional(explicit(1))?.map(|v| Der::new(v).each(General::read)).transpose()?;
    let serial = parts.optional(context(2))?.map(der::integer).transpose()?;
    parts.end()?;
    Ok(Authority { key_id, issuer: issuer.is_some(), serial: serial.is_some() })
}

fn points(value: &[u8]) -> Result<Vec<Vec<General>>> {
    der::only_sequence(value)?.each(point)
}

fn point(list: &mut Der<'_>) -> Result<Vec<General>> {
    let mut parts = list.sequence()?;
    let names = match parts.optional(explicit(0))? {
        Some(name) => full_names(name)?,
        None => Vec::new(),
    };
    parts.optional(context(1))?.map(der::named_bits).transpose()?;
    parts.optional(explicit(2))?.map(|v| Der::new(v).each(General::read)).transpose()?;
    parts.end()?;
    Ok(names)
}

/// The full names of a distribution point's name; none when it is relative to the issuer.
pub(crate) fn full_names(value: &[u8]) -> Result<Vec<General>> {
    let mut choice = Der::new(value);
    let found = choice.read()?;
    choice.end()?;
    match found.tag {
        t if t == explicit(0) => Der::new(found.value).each(General::read),
        t if t == explicit(1) => Ok(Vec::new()),
        _ => Err(Bad("has a distribution point of an unknown form")),
    }
}

fn access(value: &[u8]) -> Result<()> {
    let one = |list: &mut Der<'_>| {
        let mut parts = list.sequence()?;
        der::oid(parts.expect(der::OID)?)?;
        General::read(&mut parts)?;
        parts.end()
    };
    der::only_sequence(value)?.each(one).map(|_| ())
}
