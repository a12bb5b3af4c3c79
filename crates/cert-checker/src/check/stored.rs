//! A target on disk: every certificate in the files, each once, with all the places where it lies.

use super::TargetJob;
use super::report::CertReport;
use crate::facts::CertFacts;
use crate::files::key::{StoredKey, judge_stored_key};
use crate::files::walk::{FoundFile, find_files};
use crate::files::{StoredFile, StoredList, read_file};
use crate::judge::{self, TrustedPath};
use crate::revocation::SeenChain;
use crate::rules;
use crate::threshold::format_remaining;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::SystemTime;

/// Of the time between two revocation lists, the part in which the next one should be there: issuers replace them
/// well before they end.
const LIST_PERCENT: i64 = 10;

/// A file that was read.
struct ReadFile {
    path: PathBuf,
    stored: StoredFile,
}

/// What the target names, read and judged.
pub(super) struct StoredReports {
    pub(super) all: Vec<CertReport>,
    /// When the newest file was written.
    pub(super) modified: Option<SystemTime>,
}

/// Every certificate and every revocation list in what the target names.
pub(super) fn check_files(job: &TargetJob<'_>, what: &str) -> StoredReports {
    let (files, mut all) = read_files(job, what);
    for file in &files {
        for chain in file_chains(file, &files) {
            let place = file.path.display().to_string();
            match all.iter_mut().find(|c| c.chain.first() == chain.first()) {
                // The longer chain is the one that a server sends.
                Some(seen) if seen.chain.len() >= chain.len() => seen.places.push(place),
                Some(seen) => {
                    let mut places = std::mem::take(&mut seen.places);
                    places.push(place);
                    *seen = check_chain(job, file, chain);
                    seen.places = places;
                }
                None => all.push(check_chain(job, file, chain)),
            }
        }
        all.extend(file.stored.lists.iter().map(|list| check_list(job, &file.path, list)));
    }
    if all.is_empty() {
        let text = format!("no certificate in {what}");
        all.push(CertReport::unseen(&job.target.text, what, rules::unknown(&rules::NOTHING_FOUND, text)));
    }
    StoredReports { all, modified: files.iter().filter_map(|f| f.stored.modified).max() }
}

/// A list past its next update makes whoever looks into it refuse every certificate of the issuer.
fn check_list(job: &TargetJob<'_>, path: &Path, list: &StoredList) -> CertReport {
    let mut report = CertReport::new(&job.target.text, &path.display().to_string(), Vec::new(), job.at);
    report.subject = Some(format!("revocation list of {}", list.issuer));
    let Some(next) = list.next_update else { return report };
    let remaining = next.since(job.at);
    (report.not_after, report.remaining_seconds) = (Some(next), Some(remaining));
    let text = format!("the next update of the revocation list is due {}", format_remaining(remaining, next));
    if remaining < 0 {
        report.add(vec![rules::critical(&rules::CRL_EXPIRED, text)]);
    } else if remaining * 100 < next.since(list.this_update) * LIST_PERCENT {
        report.add(vec![rules::warning(&rules::CRL_EXPIRES, text)]);
    }
    report
}

/// The files that hold something, and records for those that cannot be read.
fn read_files(job: &TargetJob<'_>, what: &str) -> (Vec<ReadFile>, Vec<CertReport>) {
    let (mut files, mut faulty) = (Vec::new(), Vec::new());
    let nothing =
        |place: &Path, finding| CertReport::unseen(&job.target.text, &place.display().to_string(), finding);
    for step in read_within_time(job, what) {
        let FoundFile { path, named } = match step {
            Ok((found, stored)) => {
                faulty.extend(stored.faults.iter().map(|t| nothing(&found.path, t.clone())));
                files.push(ReadFile { path: found.path.clone(), stored });
                found
            }
            Err(place) => {
                let text = format!("no answer in time: read {}", place.display());
                let finding = rules::unknown(&rules::TIMEOUT, text).advise("is its file system still there?");
                faulty.push(nothing(&place, finding));
                continue;
            }
        };
        let empty = files.last().is_some_and(|f| f.stored.is_empty());
        if named && empty {
            let finding =
                rules::unknown(&rules::NOTHING_FOUND, format!("no certificate in {}", path.display()));
            faulty.push(nothing(&path, finding));
        }
    }
    (files, faulty)
}

/// A file with what it holds, or the place where reading came to no end.
type ReadStep = Result<(FoundFile, StoredFile), PathBuf>;

/// No call of the system that reads has a deadline, and a dead mount keeps it for ever: a thread of its own waits.
fn read_within_time(job: &TargetJob<'_>, what: &str) -> Vec<ReadStep> {
    let (sender, receiver) = mpsc::channel();
    let (start, password) = (what.to_string(), job.password().to_string());
    // Each path is announced before it is read, so that the one that hangs can be named.
    let reader = move || {
        for found in find_files(&start) {
            let _ = sender.send(Err(found.path.clone()));
            let stored = read_file(&found.path, &password);
            let _ = sender.send(Ok((found, stored)));
        }
    };
    let mut steps: Vec<ReadStep> = Vec::new();
    let mut place = PathBuf::from(what);
    if std::thread::Builder::new().spawn(reader).is_err() {
        return vec![Err(place)];
    }
    loop {
        match receiver.recv_timeout(job.timeout()) {
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

/// The file's chains: each server's certificate with the authorities of the file after it; an authority by itself
/// where no other's chain needs it.
fn file_chains(file: &ReadFile, files: &[ReadFile]) -> Vec<Vec<CertFacts>> {
    let certs = &file.stored.certs;
    let leaves: Vec<&CertFacts> = certs.iter().filter(|c| !c.is_authority()).collect();
    if leaves.is_empty() {
        return certs.iter().map(|c| vec![c.clone()]).collect();
    }
    let authorities: Vec<CertFacts> = certs.iter().filter(|c| c.is_authority()).cloned().collect();
    let near = if authorities.is_empty() { neighbour_authorities(file, files) } else { authorities };
    leaves.into_iter().map(|leaf| std::iter::once(leaf.clone()).chain(near.clone()).collect()).collect()
}

/// Let's Encrypt's layout keeps the authorities in chain.pem beside cert.pem.
fn neighbour_authorities(file: &ReadFile, files: &[ReadFile]) -> Vec<CertFacts> {
    let beside = file.path.with_file_name("chain.pem");
    let known = files.iter().find(|f| f.path == beside && f.path != file.path);
    let certs = match known {
        Some(found) => found.stored.certs.clone(),
        None if beside.is_file() && beside != file.path => read_file(&beside, "").certs,
        None => Vec::new(),
    };
    certs.into_iter().filter(CertFacts::is_authority).collect()
}

fn check_chain(job: &TargetJob<'_>, file: &ReadFile, chain: Vec<CertFacts>) -> CertReport {
    let place = file.path.display().to_string();
    let mut report = CertReport::new(&job.target.text, &place, chain, job.at);
    let question = job.question(job.target.options.name.as_ref());
    let leaf = &report.chain[0];
    let mut found = Vec::new();
    if leaf.is_authority() {
        found.extend(judge::judge_authority(leaf, &question));
    } else {
        let (trusted, judged) = judge::judge_chain(&report.chain, &question);
        found.extend(judged);
        found.extend(file_keys(file).iter().flat_map(|key| judge_stored_key(key, leaf)));
        let above = trusted.as_ref().map(TrustedPath::issuers).unwrap_or_default();
        let seen = SeenChain { chain: &report.chain, above: &above, staple: None };
        found.extend(job.revocation_check(job.deadline()).judge_chain(&seen));
    }
    report.add(found);
    report.set_thresholds(&job.thresholds);
    report
}

/// The keys of the file itself, else the one that by its name belongs to it.
fn file_keys(file: &ReadFile) -> Vec<StoredKey> {
    if !file.stored.keys.is_empty() {
        return file.stored.keys.clone();
    }
    let beside = key_candidates(&file.path).into_iter().find(|p| p.is_file());
    beside.map(|p| read_file(&p, "").keys).unwrap_or_default()
}

/// `x.key` and `x-key.pem` beside `x.pem`; `privkey.pem` beside `cert.pem` and `fullchain.pem`; `tls.key` and the like.
fn key_candidates(path: &Path) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut names = vec![format!("{stem}.key"), format!("{stem}-key.pem"), format!("{stem}.key.pem")];
    let certbot = stem.strip_prefix("fullchain").or_else(|| stem.strip_prefix("cert"));
    if let Some(number) = certbot.filter(|n| n.chars().all(|c| c.is_ascii_digit())) {
        names.insert(0, format!("privkey{number}.pem"));
    }
    names.into_iter().map(|n| path.with_file_name(n)).collect()
}
