//! A target on disk: every certificate in the files, each once, with all the places where it lies.

use super::Job;
use super::report::Checked;
use crate::facts::Cert;
use crate::finding::Finding;
use crate::judge::{self, Question, Trusted};
use crate::revocation;
use crate::store::key::{self, StoredKey};
use crate::store::read::{self, Stored, StoredList};
use crate::store::walk::{self, Found};
use crate::threshold::left;
use pkix::PeerName;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::SystemTime;

/// Of the time between two revocation lists, the part in which the next one should be there: issuers replace them
/// well before they end.
const LIST_PERCENT: i64 = 10;

/// A file that was read.
struct Read {
    path: PathBuf,
    stored: Stored,
}

/// What the target names, read and judged.
pub(super) struct Disk {
    pub(super) all: Vec<Checked>,
    /// When the newest file was written.
    pub(super) modified: Option<SystemTime>,
}

/// Every certificate and every revocation list in what the target names.
pub(super) fn check(job: &Job<'_>, what: &str) -> Disk {
    let (files, mut all) = read_all(job, what);
    for file in &files {
        for chain in chains(file, &files) {
            let place = file.path.display().to_string();
            match all.iter_mut().find(|c| c.chain.first() == chain.first()) {
                // The longer chain is the one that a server sends.
                Some(seen) if seen.chain.len() >= chain.len() => seen.places.push(place),
                Some(seen) => {
                    let mut places = std::mem::take(&mut seen.places);
                    places.push(place);
                    *seen = one(job, file, chain, what);
                    seen.places = places;
                }
                None => all.push(one(job, file, chain, what)),
            }
        }
        all.extend(file.stored.lists.iter().map(|list| list_of(job, &file.path, list)));
    }
    if all.is_empty() {
        let says = format!("no certificate in {what}");
        all.push(Checked::nothing(&job.target.text, what, Finding::unknown("nothing-found", says)));
    }
    Disk { all, modified: files.iter().filter_map(|f| f.stored.modified).max() }
}

/// A list past its next update makes whoever looks into it refuse every certificate of the issuer.
fn list_of(job: &Job<'_>, path: &Path, list: &StoredList) -> Checked {
    let mut checked = Checked::of(&job.target.text, &path.display().to_string(), Vec::new(), job.at);
    checked.subject = Some(format!("revocation list of {}", list.issuer));
    let Some(next) = list.next_update else { return checked };
    let remaining = next.since(job.at);
    (checked.not_after, checked.remaining_seconds) = (Some(next), Some(remaining));
    let says = format!("the next update of the revocation list is due {}", left(remaining, next));
    if remaining < 0 {
        checked.add(vec![Finding::critical("crl-expired", says).advise("fetch the issuer's present list")]);
    } else if remaining * 100 < next.since(list.this_update) * LIST_PERCENT {
        checked.add(vec![Finding::warning("crl-expires", says).advise("is it still being fetched?")]);
    }
    checked
}

/// The files that hold something, and records for those that cannot be read.
fn read_all(job: &Job<'_>, what: &str) -> (Vec<Read>, Vec<Checked>) {
    let (mut files, mut troubled) = (Vec::new(), Vec::new());
    let nothing =
        |place: &Path, finding| Checked::nothing(&job.target.text, &place.display().to_string(), finding);
    for step in steps(job, what) {
        let Found { path, named } = match step {
            Ok((found, stored)) => {
                troubled.extend(stored.troubles.iter().map(|t| nothing(&found.path, t.clone())));
                files.push(Read { path: found.path.clone(), stored });
                found
            }
            Err(place) => {
                let says = format!("no answer in time: read {}", place.display());
                let finding = Finding::unknown("timeout", says).advise("is its file system still there?");
                troubled.push(nothing(&place, finding));
                continue;
            }
        };
        let empty = files.last().is_some_and(|f| f.stored.holds_nothing());
        if named && empty {
            let finding = Finding::unknown("nothing-found", format!("no certificate in {}", path.display()));
            troubled.push(nothing(&path, finding));
        }
    }
    (files, troubled)
}

/// A file with what it holds, or the place where reading came to no end.
type Step = Result<(Found, Stored), PathBuf>;

/// No call of the system that reads has a deadline, and a dead mount keeps it for ever: a thread of its own waits.
fn steps(job: &Job<'_>, what: &str) -> Vec<Step> {
    let (tell, told) = mpsc::channel();
    let (start, password) = (what.to_string(), job.password().to_string());
    let reader = move || {
        for found in walk::files(&start) {
            let _ = tell.send(Err(found.path.clone()));
            let stored = read::file(&found.path, &password);
            let _ = tell.send(Ok((found, stored)));
        }
    };
    let mut steps: Vec<Step> = Vec::new();
    let mut place = PathBuf::from(what);
    if std::thread::Builder::new().spawn(reader).is_err() {
        return vec![Err(place)];
    }
    loop {
        match told.recv_timeout(job.timeout()) {
            Ok(Err(begun)) => place = begun,
            Ok(done) => steps.push(done),
            Err(mpsc::RecvTimeoutError::Disconnected) => return steps,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                steps.push(Err(place));
                return steps;
            }
        }
    }
}

/// The file's chains: each server's certificate with the authorities of the file behind it; an authority by itself
/// where no other's chain needs it.
fn chains(file: &Read, files: &[Read]) -> Vec<Vec<Cert>> {
    let certs = &file.stored.certs;
    let leaves: Vec<&Cert> = certs.iter().filter(|c| !c.is_authority()).collect();
    if leaves.is_empty() {
        return certs.iter().map(|c| vec![c.clone()]).collect();
    }
    let authorities: Vec<Cert> = certs.iter().filter(|c| c.is_authority()).cloned().collect();
    let near = if authorities.is_empty() { neighbours(file, files) } else { authorities };
    leaves.into_iter().map(|leaf| std::iter::once(leaf.clone()).chain(near.clone()).collect()).collect()
}

/// Let's Encrypt's layout keeps the authorities in chain.pem beside cert.pem.
fn neighbours(file: &Read, files: &[Read]) -> Vec<Cert> {
    let beside = file.path.with_file_name("chain.pem");
    let known = files.iter().find(|f| f.path == beside && f.path != file.path);
    let certs = match known {
        Some(found) => found.stored.certs.clone(),
        None if beside.is_file() && beside != file.path => read::file(&beside, "").certs,
        None => Vec::new(),
    };
    certs.into_iter().filter(Cert::is_authority).collect()
}

fn one(job: &Job<'_>, file: &Read, chain: Vec<Cert>, what: &str) -> Checked {
    let place = file.path.display().to_string();
    let shown = if what.is_empty() { &place } else { &job.target.text };
    let mut checked = Checked::of(shown, &place, chain, job.at);
    let wanted = job.target.wishes.name.as_deref().and_then(|n| PeerName::parse_host(n).ok());
    let question = Question { rules: &job.rules, roots: &job.roots, at: job.at, name: wanted.as_ref() };
    let leaf = &checked.chain[0];
    let mut found = Vec::new();
    if leaf.is_authority() {
        found.extend(judge::judge_authority(leaf, &question));
    } else {
        let (trusted, judged) = judge::judge(&checked.chain, &question);
        found.extend(judged);
        found.extend(keys(file).iter().flat_map(|key| key::judge(key, leaf)));
        let above = trusted.as_ref().map(Trusted::above).unwrap_or_default();
        let seen = revocation::Seen { chain: &checked.chain, above: &above, staple: None };
        found.extend(revocation::judge(job, &seen, job.deadline()));
    }
    checked.add(found);
    checked.under(&job.rules);
    checked
}

/// The keys of the file itself, else the one that by its name belongs to it.
fn keys(file: &Read) -> Vec<StoredKey> {
    if !file.stored.keys.is_empty() {
        return file.stored.keys.clone();
    }
    let beside = beside(&file.path).into_iter().find(|p| p.is_file());
    beside.map(|p| read::file(&p, "").keys).unwrap_or_default()
}

/// `x.key` and `x-key.pem` beside `x.pem`; `privkey.pem` beside `cert.pem` and `fullchain.pem`; `tls.key` and the like.
fn beside(path: &Path) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut names = vec![format!("{stem}.key"), format!("{stem}-key.pem"), format!("{stem}.key.pem")];
    let certbot = stem.strip_prefix("fullchain").or_else(|| stem.strip_prefix("cert"));
    if let Some(number) = certbot.filter(|n| n.chars().all(|c| c.is_ascii_digit())) {
        names.insert(0, format!("privkey{number}.pem"));
    }
    names.into_iter().map(|n| path.with_file_name(n)).collect()
}
