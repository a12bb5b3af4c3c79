//! Finds paths from a leaf to the anchors, in a bounded number of steps.

use super::alg::Algorithm;
use super::cert::Cert;
use super::lint::{self, Role};
use super::reason::{Code, Reason};
use super::request::{Other, Request, Verdict};
use super::{chain, leaf, sig};
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
pub fn validate(ask: &Request<'_>) -> Verdict {
    let leaf = match Cert::parse(ask.leaf) {
        Ok(leaf) => leaf,
        Err(reason) => {
            let path = vec![ask.leaf.to_vec()];
            return Verdict { valid: false, reasons: vec![reason], path, others: Vec::new() };
        }
    };
    let faults = leaf::faults(&leaf, ask);
    let mut search = Search::new(&leaf, ask);
    // First only issuers that may issue; then, for the list of others and to tell what is wrong, all.
    search.run(true, MOST_STEPS);
    let more = if search.found.is_some() { MORE_STEPS } else { MOST_STEPS };
    search.run(false, more);
    search.verdict(faults)
}

struct Node<'a> {
    cert: &'a Cert,
    anchor: bool,
    /// What is wrong with it as an issuer.
    fault: Option<Reason>,
    /// The fewest certificates from here to an anchor, by names alone.
    distance: Option<usize>,
}

struct Search<'a> {
    ask: &'a Request<'a>,
    nodes: Vec<Node<'a>>,
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

impl<'a> Search<'a> {
    fn new(leaf: &'a Cert, ask: &'a Request<'a>) -> Search<'a> {
        let mut search = Search {
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
        let trusted = ask.roots.certs.iter().any(|root| root.der == leaf.der);
        search.nodes.push(Node { cert: leaf, anchor: trusted, fault: None, distance: None });
        search.gather();
        search.measure();
        search
    }

    /// Only what may stand in a path by its name: a store of roots is large, a path is not.
    fn gather(&mut self) {
        let pools = [(self.ask.roots, true), (self.ask.sent, false), (self.ask.extra, false)];
        let mut wanted: HashMap<&[Vec<u8>], Vec<(&'a Cert, bool)>> = HashMap::new();
        for (pool, anchor) in pools {
            for cert in &pool.certs {
                let same = wanted.entry(cert.subject.key()).or_default();
                if !same.iter().any(|(known, _)| known.der == cert.der) {
                    same.push((cert, anchor));
                }
            }
        }
        let mut next = 0;
        while next < self.nodes.len() {
            let name = self.nodes[next].cert.issuer.key();
            next += 1;
            for (cert, anchor) in wanted.remove(name).unwrap_or_default() {
                let role = if anchor { Role::Anchor } else { Role::Intermediate };
                let fault = chain::issuer(cert, role, self.ask).err();
                self.by_subject.entry(name).or_default().push(self.nodes.len());
                self.nodes.push(Node { cert, anchor, fault, distance: anchor.then_some(0) });
            }
        }
    }

    fn measure(&mut self) {
        let mut changed = true;
        while changed {
            changed = false;
            for place in 0..self.nodes.len() {
                let issuers = self.by_subject.get(self.nodes[place].cert.issuer.key());
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

    fn run(&mut self, only_sound: bool, steps: usize) {
        self.steps = steps;
        let mut path = vec![0];
        if self.nodes[0].anchor {
            self.complete(&path);
        }
        self.extend(&mut path, only_sound);
    }

    fn extend(&mut self, path: &mut Vec<usize>, only_sound: bool) {
        let last = path[path.len() - 1];
        for next in self.issuers(path, only_sound) {
            let enough = if only_sound { self.found.is_some() } else { self.others.len() >= MOST_KEPT };
            if enough || self.steps == 0 {
                return;
            }
            self.steps -= 1;
            self.spent |= self.steps == 0;
            path.push(next);
            match self.signed(last, next) {
                Err(reason) => self.dead_end(path, reason),
                Ok(()) if self.nodes[next].anchor => self.complete(path),
                Ok(()) => self.extend(path, only_sound),
            }
            path.pop();
        }
    }

    /// Who may have issued the last certificate, the likeliest first.
    fn issuers(&self, path: &[usize], only_sound: bool) -> Vec<usize> {
        let cert = self.nodes[path[path.len() - 1]].cert;
        let intermediates = path.len() - 1;
        // Like a path length (RFC 5280, 4.2.1.9), a depth does not count what an authority issued to itself.
        let counted = |i: &usize| !self.nodes[*i].anchor && !self.nodes[*i].cert.self_issued();
        let depth = path[1..].iter().filter(|i| counted(i)).count();
        let longest = self.ask.max_depth.map_or(MOST_INTERMEDIATES, |most| most.max(MOST_INTERMEDIATES));
        let may = |i: &usize| {
            let node = &self.nodes[*i];
            let short = node.distance.is_none_or(|d| intermediates + d <= longest);
            let shallow = self.ask.max_depth.is_none_or(|most| depth + usize::from(counted(i)) <= most);
            let sound = !only_sound || (node.fault.is_none() && node.distance.is_some());
            let fits = short && shallow && intermediates + usize::from(!node.anchor) <= longest;
            fits && sound && !self.repeats(path, *i)
        };
        let known = self.by_subject.get(cert.issuer.key());
        let mut all: Vec<usize> = known.into_iter().flatten().copied().filter(may).collect();
        let id = cert.ext.authority_key.as_ref().and_then(|a| a.value.key_id.as_ref());
        all.sort_by_key(|i| {
            let node = &self.nodes[*i];
            let own = node.cert.ext.subject_key.as_ref().map(|s| &s.value);
            (id.is_some() && own.is_some() && own != id, node.fault.is_some(), node.distance.unwrap_or(99))
        });
        all
    }

    /// The same name with the same key twice would be a circle.
    fn repeats(&self, path: &[usize], next: usize) -> bool {
        let new = self.nodes[next].cert;
        path.iter().any(|i| {
            let old = self.nodes[*i].cert;
            *i == next
                || (old.spki == new.spki && old.subject == new.subject && (*i != 0 || old.der == new.der))
        })
    }

    fn signed(&mut self, child: usize, parent: usize) -> Result<(), Reason> {
        let (cert, issuer) = (self.nodes[child].cert, self.nodes[parent].cert);
        if let Some(known) = self.signatures.get(&(child, issuer.spki.as_slice())) {
            return known.clone();
        }
        if self.signatures.len() >= MOST_SIGNATURES {
            self.spent = true;
            self.steps = 0;
            return Err(cert.reason(Code::TooMuchWork, "too many signatures to verify"));
        }
        let fits = sig::verify(&cert.algorithm, &issuer.key, &cert.signed, &cert.signature);
        let fits = fits.map_err(|fault| self.told(fault, child, parent));
        self.signatures.insert((child, issuer.spki.as_slice()), fits.clone());
        fits
    }

    fn told(&self, fault: sig::Fault, child: usize, parent: usize) -> Reason {
        let cert = self.nodes[child].cert;
        match (fault, &self.nodes[parent].fault) {
            (sig::Fault::Wrong, _) => {
                cert.reason(Code::BadSignature, "its signature does not fit the issuer's key")
            }
            (_, _) if cert.algorithm == Algorithm::Broken => {
                cert.reason(Code::WeakSignature, "the signature's digest is no longer allowed")
            }
            // A key that nobody may use tells more than that nobody here can.
            (_, Some(why)) => why.clone(),
            (sig::Fault::Unknown(what), None) => {
                let detail = format!("signatures with {what} cannot be verified here");
                cert.reason(Code::UnsupportedAlgorithm, detail)
            }
        }
    }

    fn complete(&mut self, path: &[usize]) {
        if self.found.as_deref() == Some(path) || self.others.iter().any(|(p, _)| p == path) {
            return;
        }
        let certs: Vec<&Cert> = path.iter().map(|i| self.nodes[*i].cert).collect();
        let judged = chain::check(&certs, self.ask, &mut self.comparisons);
        match judged {
            Ok(()) if self.found.is_none() => self.found = Some(path.to_vec()),
            judged if self.others.len() < MOST_KEPT => self.others.push((path.to_vec(), judged.err())),
            _ => {}
        }
    }

    fn dead_end(&mut self, path: &[usize], reason: Reason) {
        if self.dead.as_ref().is_none_or(|(known, _)| known.len() < path.len()) {
            self.dead = Some((path[..path.len() - 1].to_vec(), reason));
        }
    }

    fn verdict(mut self, mut faults: Vec<Reason>) -> Verdict {
        let path = match self.found.take() {
            Some(path) => path,
            None => {
                let (path, reason) = self.nearest();
                faults.push(reason);
                path
            }
        };
        faults.sort_by_key(|reason| reason.code);
        faults.dedup();
        let ders = |path: &[usize]| path.iter().map(|i| self.nodes[*i].cert.der.clone()).collect::<Vec<_>>();
        let others = self.others.iter().filter(|(other, _)| *other != path).take(MOST_OTHERS);
        let others =
            others.map(|(path, reason)| Other { path: ders(path), reason: reason.clone() }).collect();
        Verdict { valid: faults.is_empty(), reasons: faults, path: ders(&path), others }
    }

    /// The path that tells most about why there is no valid one.
    fn nearest(&mut self) -> (Vec<usize>, Reason) {
        let complete = self.others.iter().filter_map(|(path, reason)| Some((path, reason.as_ref()?)));
        if let Some((path, reason)) = complete.min_by_key(|(path, _)| path.len()) {
            return (path.clone(), reason.clone());
        }
        let leaf = self.nodes[0].cert;
        if self.spent {
            return (vec![0], leaf.reason(Code::TooMuchWork, "the certificates lead into too many paths"));
        }
        let (path, top) = self.longest();
        // A stranger of the issuer's name is no news where the issuer is known, be it the certificate itself.
        let news = |dead: &[usize]| dead.len() >= path.len() && !lint::is_self_signed(top);
        if let Some((dead, reason)) = self.dead.take().filter(|(dead, _)| news(dead)) {
            return (dead, reason);
        }
        let detail = format!("nobody trusted here issued it: {}", top.issuer.text());
        (path, top.reason(Code::UnknownIssuer, detail))
    }

    /// As far upward as issuers are known, though none of them is trusted.
    fn longest(&mut self) -> (Vec<usize>, &'a Cert) {
        let mut path = vec![0];
        loop {
            let last = path[path.len() - 1];
            let known = self.issuers(&path, false).into_iter().find(|next| self.signed(last, *next).is_ok());
            match known {
                Some(next) => path.push(next),
                None => return (path, self.nodes[last].cert),
            }
        }
    }
}
