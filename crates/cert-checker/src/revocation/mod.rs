//! Whether the issuer has taken a certificate back: by lists, given and fetched, and by stapled answers.

pub(crate) mod ocsp;

use crate::facts::{CertFacts, UnixSeconds, fingerprint};
use crate::files::pem;
use crate::net::connection::Deadline;
use crate::options::Options;
use crate::rules;
use pkix::{Crl, Profile, Reading, Revocation, Standing};
use std::path::{Path, PathBuf};
use toban_core::check::Finding;
use toban_core::{Context, Severity, durable};

/// The lists that files hold.
#[derive(Debug, Default)]
pub(crate) struct GivenLists {
    read: Vec<Crl>,
    /// Files that hold none that can be read, with why.
    unreadable: Vec<String>,
}

impl GivenLists {
    /// Reads the files.
    pub(crate) fn load(files: &[PathBuf]) -> GivenLists {
        let mut lists = GivenLists::default();
        for file in files {
            for list in read_lists(file) {
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
fn read_lists(file: &Path) -> Vec<Result<Vec<u8>, String>> {
    match std::fs::read(file).map(|bytes| pem::select_ders(&bytes, pem::Block::is_list)) {
        Ok(lists) if lists.is_empty() => vec![Err("no revocation list".into())],
        Ok(lists) => lists,
        Err(e) => vec![Err(e.to_string())],
    }
}

/// What is looked up.
pub(crate) struct SeenChain<'a> {
    /// As it was sent, leaf first.
    pub(crate) chain: &'a [CertFacts],
    /// The valid path above the leaf, up to the root; empty where none is known.
    pub(crate) above: &'a [CertFacts],
    /// None for a file, empty when a server sent none.
    pub(crate) staple: Option<&'a [u8]>,
}

/// With what it is looked up.
pub(crate) struct RevocationCheck<'a> {
    pub(crate) options: &'a Options,
    /// The revocation lists of the target's files.
    pub(crate) lists: &'a GivenLists,
    pub(crate) at: UnixSeconds,
    pub(crate) deadline: Deadline,
}

impl RevocationCheck<'_> {
    /// What lists and staple say of the first certificate, and the given lists of those above it.
    pub(crate) fn judge_chain(&self, seen: &SeenChain<'_>) -> Vec<Finding> {
        let Some(leaf) = seen.chain.first() else { return Vec::new() };
        let sent = || seen.chain.iter().skip(1).find(|c| leaf.may_be_issued_by(c));
        let issuer = seen.above.first().or_else(sent);
        let staple = seen.staple.filter(|_| !self.options.ignore_ocsp);
        let mut found = staple.map(|s| self.judge_staple(leaf, issuer, s)).unwrap_or_default();
        if !self.options.crl.is_empty() || self.options.fetch_crl {
            found.extend(Lookup { check: self, leaf, issuer }.judge_lists());
        }
        // Of those above the leaf only revocation is news: a missing list of theirs is the issuer's affair.
        for pair in seen.above.windows(2) {
            let lookup = Lookup { check: self, leaf: &pair[0], issuer: Some(&pair[1]) };
            if let Standing::Revoked(entry) = lookup.find_standing(self.lists.read.iter()) {
                found.push(lookup.revoked(entry));
            }
        }
        found
    }

    fn judge_staple(&self, leaf: &CertFacts, issuer: Option<&CertFacts>, staple: &[u8]) -> Vec<Finding> {
        // RFC 7633, 4.3.3: a server without staple is as good as one whose certificate is revoked, for whoever can keep
        // the staple away could hide the revocation.
        let demanded = leaf.extensions.must_staple;
        if staple.is_empty() {
            let text = "it demands a stapled OCSP answer (must-staple), and the server sent none";
            return demanded.then(|| rules::critical(&rules::STAPLE_MISSING, text)).into_iter().collect();
        }
        let severity = if demanded { Severity::Critical } else { Severity::Warning };
        let judged =
            ocsp::read_answer(staple).and_then(|answer| answer.judge_certificate(leaf, issuer, self.at));
        judged.unwrap_or_else(|why| {
            vec![
                Finding::new(&rules::STAPLE_UNUSABLE, severity)
                    .says(format!("the stapled OCSP answer: {why}")),
            ]
        })
    }
}

/// One certificate, looked up in lists.
struct Lookup<'a> {
    check: &'a RevocationCheck<'a>,
    leaf: &'a CertFacts,
    issuer: Option<&'a CertFacts>,
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
    fn judge_lists(&self) -> Vec<Finding> {
        let (given, options) = (self.check.lists, self.check.options);
        let mut found: Vec<Finding> = given.unreadable.iter().map(|why| self.unusable(why)).collect();
        let fetched = if options.fetch_crl { self.fetch_lists() } else { Fetched::default() };
        let standing = self.find_standing(given.read.iter().chain(&fetched.lists));
        match standing {
            Standing::Revoked(entry) => return vec![self.revoked(entry)],
            Standing::Good => return found,
            Standing::Stale(next) => found.push(self.stale(UnixSeconds(next))),
            _ if !fetched.unusable.is_empty() => found.push(self.unusable(&fetched.unusable.join("; "))),
            Standing::Unknown(why) => found.push(self.unusable(&why)),
            Standing::NoList if found.is_empty() && !options.crl.is_empty() => {
                found.push(self.unusable("no list given is of the certificate's issuer"));
            }
            Standing::NoList => {}
        }
        match fetched.unreachable.is_empty() {
            false => {
                let text = fetched.unreachable.join("; ");
                found.push(Finding::new(&rules::CRL_UNREACHABLE, self.severity()).says(text));
            }
            true if options.fetch_crl => found.extend(self.unnamed()),
            true => {}
        }
        found
    }

    fn find_standing<'l>(&self, lists: impl Iterator<Item = &'l Crl>) -> Standing {
        let reading = Reading { at: self.check.at.0, profile: Profile::Basic };
        let Some(issuer) = self.issuer else {
            return Standing::Unknown(
                "the issuer's certificate is not known, so that no list can be proven to be its".into(),
            );
        };
        match (pkix::Cert::parse(&self.leaf.der), pkix::Cert::parse(&issuer.der)) {
            (Ok(leaf), Ok(issuer)) => pkix::find_standing(&leaf, &issuer, lists, reading),
            (Err(why), _) | (_, Err(why)) => Standing::Unknown(why.detail),
        }
    }

    /// Asks one address after the other, until a list answers for this certificate.
    fn fetch_lists(&self) -> Fetched {
        let mut fetched = Fetched::default();
        for url in &self.leaf.extensions.crl_urls {
            let answers = |list: &Crl| match self.find_standing(std::iter::once(list)) {
                Standing::Revoked(_) | Standing::Good | Standing::Stale(_) => Ok(()),
                Standing::NoList => Err("another issuer's list".to_string()),
                Standing::Unknown(why) => Err(why),
            };
            match obtain_list(url, self.check.at, self.check.deadline, &answers) {
                Ok(FetchedList { list, answers: Ok(()) }) => {
                    fetched.lists.push(list);
                    break;
                }
                Ok(FetchedList { list, answers: Err(why) }) => {
                    fetched.lists.push(list);
                    fetched.unusable.push(format!("{url}: {why}"));
                }
                Err(FetchFailure::Unreadable(why)) => fetched.unusable.push(format!("{url}: {why}")),
                Err(FetchFailure::Unreachable(why)) => fetched.unreachable.push(format!("{url}: {why}")),
            }
        }
        fetched
    }

    fn revoked(&self, entry: Revocation) -> Finding {
        let issuer = self.issuer.map_or_else(|| self.leaf.issuer.clone(), CertFacts::title);
        let reason = entry.reason_text().map(|r| format!(": {r}")).unwrap_or_default();
        let whom = if self.leaf.is_authority() {
            format!("{} of the chain", self.leaf.title())
        } else {
            "it".into()
        };
        let text = format!("{issuer} has revoked {whom} on {}{reason}", UnixSeconds(entry.at));
        rules::critical(&rules::REVOKED, text)
    }

    fn stale(&self, next: UnixSeconds) -> Finding {
        let issuer = self.issuer.map_or_else(|| self.leaf.issuer.clone(), CertFacts::title);
        let text = format!("the revocation list of {issuer} should have been replaced on {next}");
        Finding::new(&rules::CRL_EXPIRED, self.severity()).says(text)
    }

    fn unusable(&self, why: &str) -> Finding {
        Finding::new(&rules::CRL_UNUSABLE, self.severity()).says(why)
    }

    /// Whether it is revoked is asked for, and unknown.
    fn severity(&self) -> Severity {
        if self.check.options.require_crl { Severity::Critical } else { Severity::Warning }
    }

    /// It names no list, so there is nothing to fetch.
    fn unnamed(&self) -> Option<Finding> {
        let extensions = &self.leaf.extensions;
        // Short-lived certificates have none on purpose (Baseline Requirements, 7.1.2.11.2).
        let short = self.leaf.lifetime() <= 10 * 86_400;
        let severity = if self.check.options.require_crl { Severity::Critical } else { Severity::Ok };
        let text = "it names no revocation list";
        (extensions.crl_urls.is_empty() && !short)
            .then(|| Finding::new(&rules::CRL_UNREACHABLE, severity).says(text))
    }
}

/// Larger lists are not read; the largest that public authorities publish have some 50 MiB.
const LARGEST_LIST: u64 = 64 << 20;

/// A list, and whether it answers for the certificate.
struct FetchedList {
    list: Crl,
    answers: Result<(), String>,
}

/// Why there is no list, in words.
enum FetchFailure {
    Unreachable(String),
    Unreadable(String),
}

/// The list at `url`, or the one kept from before while it is fresh and `answers`. Who can put another list on the way,
/// which comes without TLS, must not have it kept.
fn obtain_list(
    url: &str,
    at: UnixSeconds,
    deadline: Deadline,
    answers: &dyn Fn(&Crl) -> Result<(), String>,
) -> Result<FetchedList, FetchFailure> {
    // Only a list that answers is kept, under the hash of its address: a URL is no safe file name, and what an attacker in
    // between sends must not be found there by the next run.
    let kept = kept_path(url);
    let before = std::fs::read(&kept).ok().and_then(|bytes| Crl::parse(&bytes).ok());
    if let Some(list) = before.filter(|list| is_fresh(list, at) && answers(list).is_ok()) {
        return Ok(FetchedList { list, answers: Ok(()) });
    }
    let bytes = download_list(url, deadline).map_err(FetchFailure::Unreachable)?;
    let list = Crl::parse(&bytes).map_err(|reason| FetchFailure::Unreadable(reason.detail))?;
    let answers = answers(&list);
    if answers.is_ok() && is_fresh(&list, at) {
        keep_list(&kept, &bytes);
    }
    Ok(FetchedList { list, answers })
}

fn keep_list(path: &Path, bytes: &[u8]) {
    let saved = durable::create_dirs(durable::folder_of(path))
        .and_then(|()| durable::replace(path, 0o600, |w| w.write_all(bytes).doing(|| "write".into())));
    if let Err(e) = saved {
        log::info!("the list is not kept: {}", e.chain());
    }
}

fn kept_path(url: &str) -> PathBuf {
    durable::state_dir().join("certificates").join("lists").join(fingerprint(url.as_bytes()))
}

fn is_fresh(list: &Crl, at: UnixSeconds) -> bool {
    list.validity().1.is_some_and(|next| next > at.0)
}

/// Lists are signed, so they are fetched without TLS (RFC 5280, 8); no other scheme is followed.
fn download_list(url: &str, deadline: Deadline) -> Result<Vec<u8>, String> {
    // Over https the list's own server would need a certificate that is not revoked.
    if !url.starts_with("http://") {
        return Err("only http:// is fetched".into());
    }
    let left = deadline.time_left().map_err(|_| "no time is left".to_string())?;
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(left))
        .max_redirects(3)
        .user_agent(concat!("toban/", env!("CARGO_PKG_VERSION")));
    let mut response = config.build().new_agent().get(url).call().map_err(|e| e.to_string())?;
    response.body_mut().with_config().limit(LARGEST_LIST).read_to_vec().map_err(|e| e.to_string())
}
