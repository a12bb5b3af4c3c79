//! Finds paths from a leaf to the anchors, in a bounded number of steps (RFC 4158).

use crate::cert::Cert;
use crate::key::Algorithm;
use crate::path::{check_issuer, check_path, leaf_faults};
use crate::profile::Role;
use crate::request::{Code, OtherPath, PathVerdict, Reason, Request};
use crate::signature::SignatureFault;
use std::collections::HashMap;

/// Signatures that one request may have verified; a mesh of twenty authorities has 380.
const MOST_SIGNATURES: usize = 400;
/// Certificates that may be tried as a next one.
const MOST_STEPS: usize = 20_000;
/// The same, once a valid path is known and others are only listed.
const MORE_STEPS: usize = 200;
const MOST_INTERMEDIATES: usize = 16;
const MOST_OTHERS: usize = 16;
/// Complete paths that are remembered, to tell the best of them.
const MOST_KEPT: usize = 64;

/// Whether there is a valid path from the leaf to a root, and why not.
pub fn validate_path(ask: &Request<'_>) -> PathVerdict {
    let leaf = match Cert::parse(ask.leaf) {
        Ok(leaf) => leaf,
        Err(reason) => {
            let path = vec![ask.leaf.to_vec()];
            return PathVerdict { valid: false, reasons: vec![reason], path, others: Vec::new() };
        }
    };
    let faults = leaf_faults(&leaf, ask);
    let mut search = PathSearch::new(&leaf, ask);
    // First only issuers that may issue: a mesh of expired and constrained authorities must not use up the steps before
    // the valid path is found. Then, for the list of others and to tell what is wrong, all.
    search.find_paths(true, MOST_STEPS);
    let more = if search.found.is_some() { MORE_STEPS } else { MOST_STEPS };
    search.find_paths(false, more);
    search.into_verdict(faults)
}

struct Candidate<'a> {
    cert: &'a Cert,
    anchor: bool,
    /// What is wrong with it as an issuer.
    fault: Option<Reason>,
    /// The fewest certificates from here to an anchor, by names alone.
    distance: Option<usize>,
}

struct PathSearch<'a> {
    ask: &'a Request<'a>,
    nodes: Vec<Candidate<'a>>,
    by_subject: HashMap<&'a [Vec<u8>], Vec<usize>>,
    /// By certificate and issuer's key.
    signatures: HashMap<(usize, &'a [u8]), Result<(), Reason>>,
    comparisons: usize,
    steps: usize,
    /// Whether a bound was hit.
    spent: bool,
    found: Option<Vec<usize>>,
    /// Complete paths that are not `found`, with what is wrong.
    others: Vec<(Vec<usize>, Option<Reason>)>,
    /// Paths that end before an anchor, with why.
    dead: Option<(Vec<usize>, Reason)>,
}

impl<'a> PathSearch<'a> {
    fn new(leaf: &'a Cert, ask: &'a Request<'a>) -> PathSearch<'a> {
        let mut search = PathSearch {
            ask,
            nodes: Vec::new(),
            by_subject: HashMap::new(),
            signatures: HashMap::new(),
            comparisons: 0,
            steps: 0,
            spent: false,
            found: None,
            others: Vec::new(),
            dead: None,
        };
        // RFC 5280, 6.1.1: an anchor is given, not proven; so a leaf that is one ends the path at once.
        let trusted = ask.roots.certs.iter().any(|root| root.der == leaf.der);
        search.nodes.push(Candidate { cert: leaf, anchor: trusted, fault: None, distance: None });
        search.gather_candidates();
        search.measure_distances();
        search
    }

    /// Only what may stand in a path by its name: a store of roots is large, a path is not.
    fn gather_candidates(&mut self) {
        let pools = [(self.ask.roots, true), (self.ask.sent, false)];
        let mut wanted: HashMap<&[Vec<u8>], Vec<(&'a Cert, bool)>> = HashMap::new();
        for (pool, anchor) in pools {
            for cert in &pool.certs {
                let same = wanted.entry(cert.subject.canonical()).or_default();
                // Roots come first: a root that a server sends along is an anchor all the same, and not an issuer that
                // must prove itself.
                if !same.iter().any(|(known, _)| known.der == cert.der) {
                    same.push((cert, anchor));
                }
            }
        }
        // Names link certificates before any signature is tried: verifying costs far more than comparing, and
        // of the 150 roots of a system one or two have the name that is looked for.
        let mut next = 0;
        while next < self.nodes.len() {
            let name = self.nodes[next].cert.issuer.canonical();
            next += 1;
            for (cert, anchor) in wanted.remove(name).unwrap_or_default() {
                let role = if anchor { Role::Anchor } else { Role::Intermediate };
                let fault = check_issuer(cert, role, self.ask).err();
                self.by_subject.entry(name).or_default().push(self.nodes.len());
                self.nodes.push(Candidate { cert, anchor, fault, distance: anchor.then_some(0) });
            }
        }
    }

    /// From the anchors downward, until nothing gets nearer: a search that follows the nearest issuers first, and leaves
    /// those from which no anchor is reached, walks a mesh of authorities in a few steps.
    fn measure_distances(&mut self) {
        let mut changed = true;
        while changed {
            changed = false;
            for place in 0..self.nodes.len() {
                let issuers = self.by_subject.get(self.nodes[place].cert.issuer.canonical());
                let nearest = issuers.into_iter().flatten().filter_map(|i| self.nodes[*i].distance).min();
                let through = nearest.map(|d| d + 1);
                let known = self.nodes[place].distance;
                if through.is_some_and(|t| known.is_none_or(|k| t < k)) {
                    self.nodes[place].distance = through;
                    changed = true;
                }
            }
        }
    }

    fn find_paths(&mut self, only_sound: bool, steps: usize) {
        self.steps = steps;
        let mut path = vec![0];
        if self.nodes[0].anchor {
            self.take_complete(&path);
        }
        self.extend_path(&mut path, only_sound);
    }

    fn extend_path(&mut self, path: &mut Vec<usize>, only_sound: bool) {
        let last = path[path.len() - 1];
        for next in self.likely_issuers(path, only_sound) {
            // Every step is counted: certificates that sign each other in a ring must not keep us, whoever sent them.
            let enough = if only_sound { self.found.is_some() } else { self.others.len() >= MOST_KEPT };
            if enough || self.steps == 0 {
                return;
            }
            self.steps -= 1;
            self.spent |= self.steps == 0;
            path.push(next);
            match self.check_signature(last, next) {
                Err(reason) => self.note_dead_end(path, reason),
                Ok(()) if self.nodes[next].anchor => self.take_complete(path),
                Ok(()) => self.extend_path(path, only_sound),
            }
            path.pop();
        }
    }

    /// Who may have issued the last certificate, the likeliest first.
    fn likely_issuers(&self, path: &[usize], only_sound: bool) -> Vec<usize> {
        let cert = self.nodes[path[path.len() - 1]].cert;
        let intermediates = path.len() - 1;
        // Like a path length (RFC 5280, 4.2.1.9), a depth does not count what an authority issued to itself.
        let counted = |i: &usize| !self.nodes[*i].anchor && !self.nodes[*i].cert.is_self_issued();
        let depth = path[1..].iter().filter(|i| counted(i)).count();
        let longest = self.ask.max_depth.map_or(MOST_INTERMEDIATES, |most| most.max(MOST_INTERMEDIATES));
        let may = |i: &usize| {
            let node = &self.nodes[*i];
            let short = node.distance.is_none_or(|d| intermediates + d <= longest);
            let shallow = self.ask.max_depth.is_none_or(|most| depth + usize::from(counted(i)) <= most);
            let sound = !only_sound || (node.fault.is_none() && node.distance.is_some());
            let fits = short && shallow && intermediates + usize::from(!node.anchor) <= longest;
            fits && sound && !self.is_repeated(path, *i)
        };
        let known = self.by_subject.get(cert.issuer.canonical());
        let mut all: Vec<usize> = known.into_iter().flatten().copied().filter(may).collect();
        // Key identifiers are hints (RFC 4158, 3.5.12): they say where to look first. An issuer whose identifier differs is
        // tried last, not left out, for authorities have changed the way in which they compute it.
        let id = cert.ext.authority_key.as_ref().and_then(|a| a.value.key_id.as_ref());
        all.sort_by_key(|i| {
            let node = &self.nodes[*i];
            let own = node.cert.ext.subject_key.as_ref().map(|s| &s.value);
            (id.is_some() && own.is_some() && own != id, node.fault.is_some(), node.distance.unwrap_or(99))
        });
        all
    }

    /// The same name with the same key twice would be a circle.
    fn is_repeated(&self, path: &[usize], next: usize) -> bool {
        let new = self.nodes[next].cert;
        path.iter().any(|i| {
            let old = self.nodes[*i].cert;
            *i == next
                || (old.spki == new.spki && old.subject == new.subject && (*i != 0 || old.der == new.der))
        })
    }

    fn check_signature(&mut self, child: usize, parent: usize) -> Result<(), Reason> {
        let (cert, issuer) = (self.nodes[child].cert, self.nodes[parent].cert);
        if let Some(known) = self.signatures.get(&(child, issuer.spki.as_slice())) {
            return known.clone();
        }
        // The same key is met on many paths of a mesh of cross-signed authorities, so that each signature is verified once;
        // and who sends hundreds of certificates with one name must not keep a validator busy (CVE-2018-16875).
        if self.signatures.len() >= MOST_SIGNATURES {
            self.spent = true;
            self.steps = 0;
            return Err(cert.reason(Code::TooMuchWork, "too many signatures to verify"));
        }
        let fits = cert.signed.verify_with(&issuer.key);
        let fits = fits.map_err(|fault| self.explain_fault(fault, child, parent));
        self.signatures.insert((child, issuer.spki.as_slice()), fits.clone());
        fits
    }

    fn explain_fault(&self, fault: SignatureFault, child: usize, parent: usize) -> Reason {
        let cert = self.nodes[child].cert;
        match (fault, &self.nodes[parent].fault) {
            (SignatureFault::Wrong, _) => {
                cert.reason(Code::BadSignature, "its signature does not fit the issuer's key")
            }
            (_, _) if cert.signed.algorithm == Algorithm::Broken => {
                cert.reason(Code::WeakSignature, "the signature's digest is no longer allowed")
            }
            // That no one may use a key tells more than that it cannot be used here.
            (_, Some(why)) => why.clone(),
            (SignatureFault::Unknown(what), None) => {
                let detail = format!("signatures with {what} cannot be verified here");
                cert.reason(Code::UnsupportedAlgorithm, detail)
            }
        }
    }

    fn take_complete(&mut self, path: &[usize]) {
        if self.found.as_deref() == Some(path) || self.others.iter().any(|(p, _)| p == path) {
            return;
        }
        let certs: Vec<&Cert> = path.iter().map(|i| self.nodes[*i].cert).collect();
        let judged = check_path(&certs, self.ask, &mut self.comparisons);
        match judged {
            Ok(()) if self.found.is_none() => self.found = Some(path.to_vec()),
            judged if self.others.len() < MOST_KEPT => self.others.push((path.to_vec(), judged.err())),
            _ => {}
        }
    }

    fn note_dead_end(&mut self, path: &[usize], reason: Reason) {
        if self.dead.as_ref().is_none_or(|(known, _)| known.len() < path.len()) {
            self.dead = Some((path[..path.len() - 1].to_vec(), reason));
        }
    }

    fn into_verdict(mut self, mut faults: Vec<Reason>) -> PathVerdict {
        let path = match self.found.take() {
            Some(path) => path,
            None => {
                let (path, reason) = self.take_nearest();
                faults.push(reason);
                path
            }
        };
        faults.sort_by_key(|reason| reason.code);
        faults.dedup();
        let ders = |path: &[usize]| path.iter().map(|i| self.nodes[*i].cert.der.clone()).collect::<Vec<_>>();
        let others = self.others.iter().filter(|(other, _)| *other != path).take(MOST_OTHERS);
        let others =
            others.map(|(path, reason)| OtherPath { path: ders(path), reason: reason.clone() }).collect();
        PathVerdict { valid: faults.is_empty(), reasons: faults, path: ders(&path), others }
    }

    /// The path that tells most about why there is no valid one.
    fn take_nearest(&mut self) -> (Vec<usize>, Reason) {
        let complete = self.others.iter().filter_map(|(path, reason)| Some((path, reason.as_ref()?)));
        if let Some((path, reason)) = complete.min_by_key(|(path, _)| path.len()) {
            return (path.clone(), reason.clone());
        }
        let leaf = self.nodes[0].cert;
        if self.spent {
            return (vec![0], leaf.reason(Code::TooMuchWork, "the certificates lead into too many paths"));
        }
        let (path, top) = self.longest_chain();
        // That another certificate of the issuer's name did not sign is no news where the issuer is known.
        let news = |dead: &[usize]| dead.len() >= path.len() && !top.is_self_signed();
        if let Some((dead, reason)) = self.dead.take().filter(|(dead, _)| news(dead)) {
            return (dead, reason);
        }
        let detail = format!("no authority that is trusted here issued it: {}", top.issuer.text());
        (path, top.reason(Code::UnknownIssuer, detail))
    }

    /// As far upward as issuers are known, though none of them is trusted.
    fn longest_chain(&mut self) -> (Vec<usize>, &'a Cert) {
        let mut path = vec![0];
        loop {
            let last = path[path.len() - 1];
            let known = self
                .likely_issuers(&path, false)
                .into_iter()
                .find(|next| self.check_signature(last, *next).is_ok());
            match known {
                Some(next) => path.push(next),
                None => return (path, self.nodes[last].cert),
            }
        }
    }
}
