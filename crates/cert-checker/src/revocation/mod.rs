//! Whether the issuer has taken a certificate back: by lists and by stapled answers.

mod fetch;
#[cfg(test)]
mod mutants;
mod ocsp;

use crate::check::Job;
use crate::facts::{Cert, Moment};
use crate::finding::Finding;
use crate::net::deadline::Deadline;
use crate::store::pem;
use pkix::{Crl, Profile, Reading, Revocation, Standing};
use std::path::{Path, PathBuf};
use toban_core::Severity;

/// The lists that files hold.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    read: Vec<Crl>,
    /// Files that hold none that can be read, with why.
    unreadable: Vec<String>,
}

impl Lists {
    /// Reads the files.
    pub(crate) fn load(files: &[PathBuf]) -> Lists {
        let mut lists = Lists::default();
        for file in files {
            for list in blocks(file) {
                match list.and_then(|der| Crl::parse(&der).map_err(|reason| reason.detail)) {
                    Ok(list) => lists.read.push(list),
                    Err(why) => lists.unreadable.push(format!("{}: {why}", file.display())),
                }
            }
        }
        lists
    }
}

/// The lists in a file, each as DER or why it is none.
fn blocks(file: &Path) -> Vec<Result<Vec<u8>, String>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(e) => return vec![Err(e.to_string())],
    };
    let blocks = pem::blocks(&bytes);
    if blocks.is_empty() {
        return vec![Ok(bytes)];
    }
    let lists: Vec<_> = blocks.into_iter().filter(|b| b.label == "X509 CRL").map(|b| b.der).collect();
    match lists.is_empty() {
        true => vec![Err("no revocation list".into())],
        false => lists,
    }
}

/// What is looked up.
pub(crate) struct Seen<'a> {
    /// As it was sent, leaf first.
    pub(crate) chain: &'a [Cert],
    /// The valid path above the leaf, up to the root; empty where none is known.
    pub(crate) above: &'a [Cert],
    /// None for a file, empty when a server sent none.
    pub(crate) staple: Option<&'a [u8]>,
}

/// What lists and staple say of the first certificate, and the given lists of those above it.
pub(crate) fn judge(job: &Job<'_>, seen: &Seen<'_>, deadline: Deadline) -> Vec<Finding> {
    let Some(leaf) = seen.chain.first() else { return Vec::new() };
    let sent = || seen.chain.iter().skip(1).find(|c| leaf.issued_by(c));
    let issuer = seen.above.first().or_else(sent);
    let staple = seen.staple.filter(|_| !job.target.wishes.ignore_ocsp);
    let mut found = staple.map(|s| stapled(leaf, issuer, s, job)).unwrap_or_default();
    let wishes = &job.target.wishes;
    if !wishes.crl.is_empty() || wishes.fetch_crl {
        found.extend(Lookup { job, leaf, issuer }.lists(deadline));
    }
    for pair in seen.above.windows(2) {
        let lookup = Lookup { job, leaf: &pair[0], issuer: Some(&pair[1]) };
        if let Standing::Revoked(entry) = lookup.standing(job.lists.read.iter()) {
            found.push(lookup.revoked(entry));
        }
    }
    found
}

fn stapled(leaf: &Cert, issuer: Option<&Cert>, staple: &[u8], job: &Job<'_>) -> Vec<Finding> {
    if staple.is_empty() {
        let says = "it demands a stapled OCSP answer (must-staple), and the server sent none";
        let missing = leaf.extensions.must_staple;
        return missing.then(|| Finding::critical("staple-missing", says)).into_iter().collect();
    }
    let severity = if leaf.extensions.must_staple { Severity::Critical } else { Severity::Warning };
    match ocsp::read(staple).and_then(|answer| answer.judge(leaf, issuer, job.at)) {
        Ok(found) => found,
        Err(why) => {
            vec![Finding::new("staple-unusable", severity, format!("the stapled OCSP answer: {why}"))]
        }
    }
}

/// One certificate, looked up in lists.
struct Lookup<'a> {
    job: &'a Job<'a>,
    leaf: &'a Cert,
    issuer: Option<&'a Cert>,
}

/// What fetching brought.
#[derive(Default)]
struct Fetched {
    lists: Vec<Crl>,
    /// Of lists that were not had.
    unreachable: Vec<String>,
    /// Of lists that do not answer for this certificate.
    unusable: Vec<String>,
}

impl Lookup<'_> {
    /// Files and fetched lists are read together: a delta may lie in the one, its base come from the other.
    fn lists(&self, deadline: Deadline) -> Vec<Finding> {
        let (given, wishes) = (&self.job.lists, &self.job.target.wishes);
        let mut found: Vec<Finding> = given.unreadable.iter().map(|why| self.unusable(why)).collect();
        let fetched = if wishes.fetch_crl { self.fetch(deadline) } else { Fetched::default() };
        let standing = self.standing(given.read.iter().chain(&fetched.lists));
        match standing {
            Standing::Revoked(entry) => return vec![self.revoked(entry)],
            Standing::Good => return found,
            Standing::Stale(next) => found.push(self.stale(Moment(next))),
            _ if !fetched.unusable.is_empty() => found.push(self.unusable(&fetched.unusable.join("; "))),
            Standing::Unknown(why) => found.push(self.unusable(&why)),
            Standing::NoList if found.is_empty() && !wishes.crl.is_empty() => {
                found.push(self.unusable("no list given is of the certificate's issuer"));
            }
            Standing::NoList => {}
        }
        match fetched.unreachable.is_empty() {
            false => {
                let says = fetched.unreachable.join("; ");
                found.push(Finding::new("crl-unreachable", self.severity(), says));
            }
            true if wishes.fetch_crl => found.extend(self.unnamed()),
            true => {}
        }
        found
    }

    fn standing<'l>(&self, lists: impl Iterator<Item = &'l Crl>) -> Standing {
        let reading = Reading { at: self.job.at.0, profile: Profile::Basic };
        let Some(issuer) = self.issuer else {
            return Standing::Unknown(
                "the issuer's certificate is not known, so nobody can tell whose list it is".into(),
            );
        };
        match (pkix::Cert::parse(&self.leaf.der), pkix::Cert::parse(&issuer.der)) {
            (Ok(leaf), Ok(issuer)) => pkix::find_standing(&leaf, &issuer, lists, reading),
            (Err(why), _) | (_, Err(why)) => Standing::Unknown(why.detail),
        }
    }

    /// Asks one address after the other, until a list answers for this certificate.
    fn fetch(&self, deadline: Deadline) -> Fetched {
        let mut fetched = Fetched::default();
        for url in &self.leaf.extensions.crl_urls {
            let answers = |list: &Crl| match self.standing(std::iter::once(list)) {
                Standing::Revoked(_) | Standing::Good | Standing::Stale(_) => Ok(()),
                Standing::NoList => Err("another issuer's list".to_string()),
                Standing::Unknown(why) => Err(why),
            };
            match fetch::list(url, self.job.at, deadline, &answers) {
                Ok(fetch::Had { list, answers: Ok(()) }) => {
                    fetched.lists.push(list);
                    break;
                }
                Ok(fetch::Had { list, answers: Err(why) }) => {
                    fetched.lists.push(list);
                    fetched.unusable.push(format!("{url}: {why}"));
                }
                Err(fetch::Trouble::Unreadable(why)) => fetched.unusable.push(format!("{url}: {why}")),
                Err(fetch::Trouble::Unreachable(why)) => fetched.unreachable.push(format!("{url}: {why}")),
            }
        }
        fetched
    }

    fn revoked(&self, entry: Revocation) -> Finding {
        let issuer = self.issuer.map_or_else(|| self.leaf.issuer.clone(), Cert::title);
        let reason = entry.reason_text().map(|r| format!(": {r}")).unwrap_or_default();
        let whom = if self.leaf.is_authority() {
            format!("{} of the chain", self.leaf.title())
        } else {
            "it".into()
        };
        let says = format!("{issuer} has revoked {whom} on {}{reason}", Moment(entry.at));
        Finding::critical("revoked", says).advise("replace it, and its key")
    }

    fn stale(&self, next: Moment) -> Finding {
        let issuer = self.issuer.map_or_else(|| self.leaf.issuer.clone(), Cert::title);
        let says = format!("the revocation list of {issuer} should have been replaced on {next}");
        Finding::new("crl-expired", self.severity(), says)
    }

    fn unusable(&self, why: &str) -> Finding {
        Finding::new("crl-unusable", self.severity(), why)
    }

    /// Somebody wants to know whether it is revoked, and that is unknown.
    fn severity(&self) -> Severity {
        if self.job.target.wishes.require_crl { Severity::Critical } else { Severity::Warning }
    }

    /// It names no list, so there is nothing to fetch.
    fn unnamed(&self) -> Option<Finding> {
        let extensions = &self.leaf.extensions;
        // Short-lived certificates have none on purpose (Baseline Requirements, 7.1.2.11.2).
        let short = self.leaf.life() <= 10 * 86_400;
        let severity = if self.job.target.wishes.require_crl { Severity::Critical } else { Severity::Ok };
        let says = "it names no revocation list";
        (extensions.crl_urls.is_empty() && !short).then(|| Finding::new("crl-unreachable", severity, says))
    }
}
