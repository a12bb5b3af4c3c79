//! A certificate's extensions (RFC 5280, 4.2).

use crate::constraint::NameConstraints;
use crate::der::{self, Der, Malformed, Result, context_tag, explicit_tag};
use crate::name::GeneralName;
use crate::oid;
use crate::policy::{Policies, PolicyLimits};

/// An extension and whether it is critical: whoever does not know a critical one must refuse the certificate (4.2).
#[derive(Clone, Debug)]
pub(crate) struct Ext<T> {
    pub(crate) critical: bool,
    pub(crate) value: T,
}

/// Basic constraints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BasicConstraints {
    pub(crate) ca: bool,
    pub(crate) path_len: Option<u32>,
}

/// Authority key identifier.
#[derive(Clone, Debug)]
pub(crate) struct AuthorityKey {
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
    pub(crate) basic: Option<Ext<BasicConstraints>>,
    /// The bits of the key usage, the first as 1.
    pub(crate) key_usage: Option<Ext<u16>>,
    pub(crate) extended: Option<Ext<Vec<Vec<u8>>>>,
    pub(crate) alt_names: Option<Ext<Vec<GeneralName>>>,
    pub(crate) constraints: Option<Ext<NameConstraints>>,
    pub(crate) policies: Policies,
    pub(crate) subject_key: Option<Ext<Vec<u8>>>,
    pub(crate) authority_key: Option<Ext<AuthorityKey>>,
    /// Where the issuer's lists are: the full names of each distribution point.
    pub(crate) crl_points: Option<Vec<Vec<GeneralName>>>,
    /// Authority or subject information access that is critical.
    pub(crate) critical_access: bool,
    /// The first critical extension that is unknown here.
    pub(crate) unknown_critical: Option<Vec<u8>>,
    /// The first extension that appears twice.
    pub(crate) twice: Option<Vec<u8>>,
    /// An extension that does not decide about a path and is malformed.
    pub(crate) malformed: Option<(&'static str, Malformed)>,
}

/// One undecoded extension.
pub(crate) struct RawExtension<'a> {
    pub(crate) oid: &'a [u8],
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
}

impl<'a> RawExtension<'a> {
    /// Reads the next element as an extension.
    pub(crate) fn read_der(list: &mut Der<'a>) -> Result<RawExtension<'a>> {
        let mut parts = list.read_sequence()?;
        let oid = der::check_oid(parts.expect_tag(der::OID)?)?;
        let critical = der::read_flag(&mut parts, der::BOOLEAN)?;
        let value = parts.expect_tag(der::OCTET_STRING)?;
        parts.expect_end()?;
        Ok(RawExtension { oid, critical, value })
    }
}

impl Extensions {
    /// Reads the list that the explicit tag holds.
    pub(crate) fn read_der(value: &[u8]) -> Result<Extensions> {
        let mut all = Extensions::default();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for raw in der::read_sequence(value)?.read_each(RawExtension::read_der)? {
            // RFC 5280, 4.2, forbids it; which of two would count, each validator would decide in its own way.
            if seen.iter().any(|s| s == raw.oid) {
                all.twice.get_or_insert_with(|| raw.oid.to_vec());
                continue;
            }
            seen.push(raw.oid.to_vec());
            all.read_extension(&raw)?;
        }
        Ok(all)
    }

    fn read_extension(&mut self, raw: &RawExtension<'_>) -> Result<()> {
        let critical = raw.critical;
        match raw.oid {
            oid::BASIC_CONSTRAINTS => self.basic = Some(Ext { critical, value: read_basic(raw.value)? }),
            oid::KEY_USAGE => {
                let value = der::read_named_bits(der::read_value(raw.value, der::BIT_STRING)?)?;
                self.key_usage = Some(Ext { critical, value });
            }
            oid::EXT_KEY_USAGE => {
                self.extended = Some(Ext { critical, value: read_extended_usage(raw.value)? });
            }
            oid::SUBJECT_ALT_NAME => {
                self.alt_names = Some(Ext { critical, value: read_general_names(raw.value)? });
            }
            oid::NAME_CONSTRAINTS => {
                self.constraints = Some(Ext { critical, value: NameConstraints::read_der(raw.value)? });
            }
            oid::POLICIES => self.policies.stated = Some(Policies::read_stated(raw.value)?),
            oid::POLICY_MAPPINGS => self.policies.mapped = Policies::read_mapped(raw.value)?,
            oid::POLICY_CONSTRAINTS => {
                self.policies.limits = Some(Ext { critical, value: PolicyLimits::read_der(raw.value)? });
            }
            oid::INHIBIT_ANY => {
                let value = der::read_small(der::read_value(raw.value, der::INTEGER)?)?;
                self.policies.inhibit_any = Some(Ext { critical, value });
            }
            _ => self.read_minor(raw),
        }
        Ok(())
    }

    /// Extensions that help to find a path and never decide about one.
    fn read_minor(&mut self, raw: &RawExtension<'_>) {
        let critical = raw.critical;
        let read = match raw.oid {
            oid::SUBJECT_KEY_ID => der::read_value(raw.value, der::OCTET_STRING)
                .map(|id| self.subject_key = Some(Ext { critical, value: id.to_vec() })),
            oid::AUTHORITY_KEY_ID => {
                read_authority_key(raw.value).map(|value| self.authority_key = Some(Ext { critical, value }))
            }
            oid::CRL_POINTS => read_points(raw.value).map(|value| self.crl_points = Some(value)),
            oid::FRESHEST_CRL => read_points(raw.value).map(drop),
            oid::ISSUER_ALT_NAME => read_general_names(raw.value).map(drop),
            oid::AUTHORITY_INFO | oid::SUBJECT_INFO => {
                check_access(raw.value).map(|()| self.critical_access |= critical)
            }
            unknown if critical => {
                self.unknown_critical.get_or_insert_with(|| unknown.to_vec());
                Ok(())
            }
            _ => Ok(()),
        };
        // These only help to find issuers and lists. In many certificates they are malformed, and clients take them, so only
        // the strict profiles refuse them.
        if let Err(bad) = read {
            self.malformed.get_or_insert((minor_label(raw.oid), bad));
        }
    }

    /// The alternative names, or none.
    pub(crate) fn names(&self) -> &[GeneralName] {
        self.alt_names.as_ref().map_or(&[], |ext| &ext.value)
    }

    pub(crate) fn is_ca(&self) -> bool {
        self.basic.as_ref().is_some_and(|b| b.value.ca)
    }

    /// Whether the key usage, if there is one, has all of these bits.
    pub(crate) fn allows_usage(&self, bits: u16) -> bool {
        self.key_usage.as_ref().is_none_or(|ext| ext.value & bits == bits)
    }
}

fn minor_label(oid: &[u8]) -> &'static str {
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

fn read_basic(value: &[u8]) -> Result<BasicConstraints> {
    let mut parts = der::read_sequence(value)?;
    let ca = der::read_flag(&mut parts, der::BOOLEAN)?;
    let path_len = parts.read_optional(der::INTEGER)?.map(der::read_small).transpose()?;
    parts.expect_end()?;
    Ok(BasicConstraints { ca, path_len })
}

fn read_extended_usage(value: &[u8]) -> Result<Vec<Vec<u8>>> {
    der::read_sequence(value)?.read_each(|d| Ok(der::check_oid(d.expect_tag(der::OID)?)?.to_vec()))
}

fn read_general_names(value: &[u8]) -> Result<Vec<GeneralName>> {
    der::read_sequence(value)?.read_each(GeneralName::read_der)
}

fn read_authority_key(value: &[u8]) -> Result<AuthorityKey> {
    let mut parts = der::read_sequence(value)?;
    let key_id = parts.read_optional(context_tag(0))?.map(<[u8]>::to_vec);
    let issuer = parts
        .read_optional(explicit_tag(1))?
        .map(|v| Der::new(v).read_each(GeneralName::read_der))
        .transpose()?;
    let serial = parts.read_optional(context_tag(2))?.map(der::check_integer).transpose()?;
    parts.expect_end()?;
    Ok(AuthorityKey { key_id, issuer: issuer.is_some(), serial: serial.is_some() })
}

fn read_points(value: &[u8]) -> Result<Vec<Vec<GeneralName>>> {
    der::read_sequence(value)?.read_each(read_point)
}

fn read_point(list: &mut Der<'_>) -> Result<Vec<GeneralName>> {
    let mut parts = list.read_sequence()?;
    let names = match parts.read_optional(explicit_tag(0))? {
        Some(name) => read_full_names(name)?,
        None => Vec::new(),
    };
    parts.read_optional(context_tag(1))?.map(der::read_named_bits).transpose()?;
    parts
        .read_optional(explicit_tag(2))?
        .map(|v| Der::new(v).read_each(GeneralName::read_der))
        .transpose()?;
    parts.expect_end()?;
    Ok(names)
}

/// The full names of a distribution point's name; none when it is relative to the issuer.
pub(crate) fn read_full_names(value: &[u8]) -> Result<Vec<GeneralName>> {
    let mut choice = Der::new(value);
    let found = choice.read_element()?;
    choice.expect_end()?;
    match found.tag {
        t if t == explicit_tag(0) => Der::new(found.value).read_each(GeneralName::read_der),
        t if t == explicit_tag(1) => Ok(Vec::new()),
        _ => Err(Malformed("has a distribution point of an unknown form")),
    }
}

fn check_access(value: &[u8]) -> Result<()> {
    let read_one = |list: &mut Der<'_>| {
        let mut parts = list.read_sequence()?;
        der::check_oid(parts.expect_tag(der::OID)?)?;
        GeneralName::read_der(&mut parts)?;
        parts.expect_end()
    };
    der::read_sequence(value)?.read_each(read_one).map(|_| ())
}
