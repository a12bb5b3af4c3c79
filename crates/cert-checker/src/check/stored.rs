//! A target on disk: every certificate in the files, each once, with all the places where it lies.

use super::Job;
use super::report::Checked;
use crate::facts::Cert;
use crate::finding::Finding;
use crate::judge::{self, Question, Wanted};
use crate::revocation;
use crate::store::key::{self, StoredKey};
use crate::store::read::{self, Stored};
use crate::store::walk::{self, Found};
use std::path::{Path, PathBuf};

/// A file that was read.
pub(super) struct Read {
    pub(super) path: PathBuf,
    pub(super) stored: Stored,
}

/// Every certificate in what the target names.
pub(crate) fn check(job: &Job<'_>, what: &str) -> Vec<Checked> {
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
    }
    if all.is_empty() {
        let says = format!("no certificate in {what}");
        all.push(Checked::nothing(&job.target.text, what, Finding::unknown("nothing-found", says)));
    }
    all
}

/// The files that hold something, and records for those that cannot be read.
pub(super) fn read_all(job: &Job<'_>, what: &str) -> (Vec<Read>, Vec<Checked>) {
    let (mut files, mut troubled) = (Vec::new(), Vec::new());
    for Found { path, named } in walk::files(what) {
        let stored = read::file(&path, job.password());
        let place = path.display().to_string();
        for trouble in stored.troubles.clone() {
            troubled.push(Checked::nothing(&job.target.text, &place, trouble));
        }
        if named && stored.certs.is_empty() && stored.troubles.is_empty() {
            let finding = Finding::unknown("nothing-found", format!("no certificate in {place}"));
            troubled.push(Checked::nothing(&job.target.text, &place, finding));
        }
        files.push(Read { path, stored });
    }
    (files, troubled)
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
    let wanted = job.target.wishes.name.as_deref().and_then(|n| Wanted::read(n).ok());
    let question = Question { rules: &job.rules, roots: &job.roots, at: job.at, name: wanted.as_ref() };
    let leaf = &checked.chain[0];
    let mut found = Vec::new();
    if leaf.is_authority() {
        found.extend(judge::judge_authority(leaf, &question));
    } else {
        let (trusted, judged) = judge::judge(&checked.chain, &question);
        found.extend(judged);
        found.extend(keys(file).iter().flat_map(|key| key::judge(key, leaf)));
        let root = trusted.as_ref().map(|t| (*t.root).clone());
        let issuer = trusted.as_ref().and_then(|t| t.path.get(1).cloned()).or(root);
        found.extend(revocation::judge(job, &checked.chain, issuer.as_ref(), None, job.deadline()));
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
