//! Certificate policies (RFC 5280, 6.1), with any policy acceptable to whoever asks.
//!
//! As no single policy is asked for, only the deepest level of the policy tree matters: the tree is empty exactly
//! when that level is.

use crate::cert::Cert;
use crate::der::{self, Der, Malformed, Result, context_tag};
use crate::extensions::Ext;
use crate::oid;
use crate::request::{Code, Reason};
use std::collections::{BTreeMap, BTreeSet};

type Oid = Vec<u8>;

/// What a certificate says of policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    pub(crate) stated: Option<Vec<Oid>>,
    /// From the issuer's policy to the subject's.
    pub(crate) mapped: Vec<(Oid, Oid)>,
    pub(crate) limits: Option<Ext<PolicyLimits>>,
    pub(crate) inhibit_any: Option<Ext<u32>>,
}

/// Policy constraints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyLimits {
    require_explicit: Option<u32>,
    inhibit_mapping: Option<u32>,
}

impl Policies {
    pub(crate) fn read_stated(value: &[u8]) -> Result<Vec<Oid>> {
        let read_one = |list: &mut Der<'_>| {
            let mut parts = list.read_sequence()?;
            let id = der::check_oid(parts.expect_tag(der::OID)?)?.to_vec();
            if let Some(qualifiers) = parts.read_optional(der::SEQUENCE)? {
                Der::new(qualifiers).read_each(|q| q.read_sequence().map(|_| ()))?;
            }
            parts.expect_end()?;
            Ok(id)
        };
        let all = der::read_sequence(value)?.read_each(read_one)?;
        let different: BTreeSet<&Oid> = all.iter().collect();
        if different.len() == all.len() { Ok(all) } else { Err(Malformed("states a policy twice")) }
    }

    pub(crate) fn read_mapped(value: &[u8]) -> Result<Vec<(Oid, Oid)>> {
        let read_one = |list: &mut Der<'_>| {
            let mut pair = list.read_sequence()?;
            let from = der::check_oid(pair.expect_tag(der::OID)?)?.to_vec();
            let to = der::check_oid(pair.expect_tag(der::OID)?)?.to_vec();
            pair.expect_end()?;
            Ok((from, to))
        };
        der::read_sequence(value)?.read_each(read_one)
    }
}

impl PolicyLimits {
    pub(crate) fn read_der(value: &[u8]) -> Result<PolicyLimits> {
        let mut parts = der::read_sequence(value)?;
        let require_explicit = parts.read_optional(context_tag(0))?.map(der::read_small).transpose()?;
        let inhibit_mapping = parts.read_optional(context_tag(1))?.map(der::read_small).transpose()?;
        parts.expect_end()?;
        match require_explicit.is_none() && inhibit_mapping.is_none() {
            true => Err(Malformed("has policy constraints that constrain nothing")),
            false => Ok(PolicyLimits { require_explicit, inhibit_mapping }),
        }
    }
}

/// The policies that are valid so far, each with those that a next certificate may state for it.
struct PolicyState {
    tree: BTreeMap<Oid, BTreeSet<Oid>>,
    explicit: u32,
    mapping: u32,
    any: u32,
}

/// Whether the policies of a path hold; `below` are the certificates below the anchor, the leaf first.
///
/// # Errors
/// The certificate at which they fail, and why.
pub(crate) fn check_policies(below: &[&Cert]) -> std::result::Result<(), Reason> {
    // 6.1.2 d to f: the counters begin above the length of the path, so that they stop nothing until a certificate
    // lowers them.
    let steps = u32::try_from(below.len()).unwrap_or(u32::MAX - 1) + 1;
    let any = oid::ANY_POLICY.to_vec();
    let tree = BTreeMap::from([(any.clone(), BTreeSet::from([any]))]);
    let mut state = PolicyState { tree, explicit: steps, mapping: steps, any: steps };
    for (place, cert) in below.iter().enumerate().rev() {
        state.process_certificate(cert, place == 0).map_err(|why| cert.reason(Code::Policy, why))?;
    }
    Ok(())
}

impl PolicyState {
    fn process_certificate(&mut self, cert: &Cert, last: bool) -> std::result::Result<(), &'static str> {
        // 6.1.3 d to f.
        self.state_policies(cert, last);
        self.check_explicit()?;
        // 6.1.4 a and b, then h: what an authority issued to itself does not count, but the last certificate does
        // (6.1.5 a).
        if !last {
            self.map_policies(cert)?;
        }
        if last || !cert.is_self_issued() {
            self.explicit = self.explicit.saturating_sub(1);
        }
        if !last && !cert.is_self_issued() {
            self.mapping = self.mapping.saturating_sub(1);
            self.any = self.any.saturating_sub(1);
        }
        // 6.1.4 i and j, 6.1.5 b.
        self.tighten_limits(cert, last);
        self.check_explicit()
    }

    /// An explicit policy is due only from the certificate on that exhausts the count.
    fn check_explicit(&self) -> std::result::Result<(), &'static str> {
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
        // anyPolicy stands for all that the issuer allowed, unless a certificate above has forbidden that (6.1.3 d 2); what
        // an authority issued to itself is excepted, for there it only renews a key.
        let states_any = stated.iter().any(|p| p == oid::ANY_POLICY);
        if states_any && (self.any > 0 || (!last && cert.is_self_issued())) {
            for policy in self.tree.values().flatten() {
                next.entry(policy.clone()).or_insert_with(|| BTreeSet::from([policy.clone()]));
            }
        }
        self.tree = next;
    }

    fn map_policies(&mut self, cert: &Cert) -> std::result::Result<(), &'static str> {
        let mapped = &cert.ext.policies.mapped;
        if mapped.iter().any(|(from, to)| from == oid::ANY_POLICY || to == oid::ANY_POLICY) {
            return Err("a policy mapping names any policy");
        }
        let froms: BTreeSet<&Oid> = mapped.iter().map(|(from, _)| from).collect();
        for from in froms {
            let tos = || mapped.iter().filter(|(f, _)| f == from).map(|(_, to)| to.clone()).collect();
            let known = self.tree.contains_key(from) || self.tree.contains_key(oid::ANY_POLICY);
            // Where mapping is inhibited, a policy that is mapped is lost (6.1.4 b 2): otherwise an authority below could
            // rename a weak policy into a strong one.
            match self.mapping > 0 {
                true if known => drop(self.tree.insert(from.clone(), tos())),
                true => {}
                false => drop(self.tree.remove(from)),
            }
        }
        Ok(())
    }

    fn tighten_limits(&mut self, cert: &Cert, last: bool) {
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
