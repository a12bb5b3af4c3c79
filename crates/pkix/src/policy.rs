//! Certificate policies (RFC 5280, 6.1), with any policy acceptable to whoever asks.
//!
//! As no single policy is asked for, only the deepest level of the policy tree matters: the tree is empty exactly
//! when that level is.

use super::cert::Cert;
use super::der::{self, Bad, Der, Result, context};
use super::ext::Ext;
use super::oid;
use std::collections::{BTreeMap, BTreeSet};

type Oid = Vec<u8>;

/// What a certificate says of policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    pub(crate) stated: Option<Vec<Oid>>,
    /// From the issuer's policy to the subject's.
    pub(crate) mapped: Vec<(Oid, Oid)>,
    pub(crate) limits: Option<Ext<Limits>>,
    pub(crate) inhibit_any: Option<Ext<u32>>,
}

/// Policy constraints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    require_explicit: Option<u32>,
    inhibit_mapping: Option<u32>,
}

impl Policies {
    pub(crate) fn stated(value: &[u8]) -> Result<Vec<Oid>> {
        let one = |list: &mut Der<'_>| {
            let mut parts = list.sequence()?;
            let id = der::oid(parts.expect(der::OID)?)?.to_vec();
            if let Some(qualifiers) = parts.optional(der::SEQUENCE)? {
                Der::new(qualifiers).each(|q| q.sequence().map(|_| ()))?;
            }
            parts.end()?;
            Ok(id)
        };
        let all = der::only_sequence(value)?.each(one)?;
        let different: BTreeSet<&Oid> = all.iter().collect();
        match different.len() == all.len() {
            true => Ok(all),
            false => Err(Bad("states a policy twice")),
        }
    }

    pub(crate) fn mapped(value: &[u8]) -> Result<Vec<(Oid, Oid)>> {
        let one = |list: &mut Der<'_>| {
            let mut pair = list.sequence()?;
            let from = der::oid(pair.expect(der::OID)?)?.to_vec();
            let to = der::oid(pair.expect(der::OID)?)?.to_vec();
            pair.end()?;
            Ok((from, to))
        };
        der::only_sequence(value)?.each(one)
    }
}

impl Limits {
    pub(crate) fn read(value: &[u8]) -> Result<Limits> {
        let mut parts = der::only_sequence(value)?;
        let require_explicit = parts.optional(context(0))?.map(der::small).transpose()?;
        let inhibit_mapping = parts.optional(context(1))?.map(der::small).transpose()?;
        parts.end()?;
        match require_explicit.is_none() && inhibit_mapping.is_none() {
            true => Err(Bad("has policy constraints that constrain nothing")),
            false => Ok(Limits { require_explicit, inhibit_mapping }),
        }
    }
}

/// The policies that are valid so far, each with those that a next certificate may state for it.
struct State {
    tree: BTreeMap<Oid, BTreeSet<Oid>>,
    explicit: u32,
    mapping: u32,
    any: u32,
}

/// Whether the policies of a path hold.
///
/// `below` are the certificates below the anchor, the leaf first.
///
/// # Errors
/// The certificate at which they fail, and why.
pub(crate) fn check(below: &[&Cert]) -> std::result::Result<(), (usize, &'static str)> {
    let steps = u32::try_from(below.len()).unwrap_or(u32::MAX - 1) + 1;
    let any = oid::ANY_POLICY.to_vec();
    let tree = BTreeMap::from([(any.clone(), BTreeSet::from([any]))]);
    let mut state = State { tree, explicit: steps, mapping: steps, any: steps };
    for (place, cert) in below.iter().enumerate().rev() {
        state.take(cert, place == 0).map_err(|why| (place, why))?;
    }
    Ok(())
}

impl State {
    fn take(&mut self, cert: &Cert, last: bool) -> std::result::Result<(), &'static str> {
        self.state_policies(cert, last);
        self.must_hold()?;
        if !last {
            self.map(cert)?;
        }
        if last || !cert.self_issued() {
            self.explicit = self.explicit.saturating_sub(1);
        }
        if !last && !cert.self_issued() {
            self.mapping = self.mapping.saturating_sub(1);
            self.any = self.any.saturating_sub(1);
        }
        self.limit(cert, last);
        self.must_hold()
    }

    /// An explicit policy is due only from the certificate on that exhausts the count.
    fn must_hold(&self) -> std::result::Result<(), &'static str> {
        match self.explicit == 0 && self.tree.is_empty() {
            true => Err("no certificate policy is valid for the whole path, and one is required"),
            false => Ok(()),
        }
    }

    fn state_policies(&mut self, cert: &Cert, last: bool) {
        let Some(stated) = &cert.ext.policies.stated else { return self.tree.clear() };
        let had_any = self.tree.contains_key(oid::ANY_POLICY);
        let mut next = BTreeMap::new();
        for policy in stated.iter().filter(|p| *p != oid::ANY_POLICY) {
            if had_any || self.tree.values().any(|expected| expected.contains(policy)) {
                next.insert(policy.clone(), BTreeSet::from([policy.clone()]));
            }
        }
        let states_any = stated.iter().any(|p| p == oid::ANY_POLICY);
        if states_any && (self.any > 0 || (!last && cert.self_issued())) {
            for policy in self.tree.values().flatten() {
                next.entry(policy.clone()).or_insert_with(|| BTreeSet::from([policy.clone()]));
            }
        }
        self.tree = next;
    }

    fn map(&mut self, cert: &Cert) -> std::result::Result<(), &'static str> {
        let mapped = &cert.ext.policies.mapped;
        if mapped.iter().any(|(from, to)| from == oid::ANY_POLICY || to == oid::ANY_POLICY) {
            return Err("a policy mapping names any policy");
        }
        let froms: BTreeSet<&Oid> = mapped.iter().map(|(from, _)| from).collect();
        for from in froms {
            let tos = || mapped.iter().filter(|(f, _)| f == from).map(|(_, to)| to.clone()).collect();
            let known = self.tree.contains_key(from) || self.tree.contains_key(oid::ANY_POLICY);
            match self.mapping > 0 {
                true if known => drop(self.tree.insert(from.clone(), tos())),
                true => {}
                false => drop(self.tree.remove(from)),
            }
        }
        Ok(())
    }

    fn limit(&mut self, cert: &Cert, last: bool) {
        let policies = &cert.ext.policies;
        let limits = policies.limits.as_ref().map(|ext| ext.value);
        if let Some(most) = limits.and_then(|l| l.require_explicit)
            && (!last || most == 0)
        {
            self.explicit = self.explicit.min(most);
        }
        if let Some(most) = limits.and_then(|l| l.inhibit_mapping) {
            self.mapping = self.mapping.min(most);
        }
        if let Some(most) = &policies.inhibit_any {
            self.any = self.any.min(most.value);
        }
    }
}
