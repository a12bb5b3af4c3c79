//! What changed since the last run, reported once: the memory is a file of what was seen then.

use super::report::CertReport;
use crate::facts::{CertFacts, San};
use crate::rules;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use toban_core::check::Finding;
use toban_core::{Context, Result, durable};

/// What is remembered of a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Remembered {
    /// The address or file where it was seen.
    place: String,
    sha256: String,
    subject: String,
    authority: bool,
    issuer: String,
    kind: String,
    key: String,
    names: Vec<String>,
    /// Extended key usages; none stands for every use.
    usages: Vec<String>,
    sent: usize,
}

impl Remembered {
    fn new(report: &CertReport, leaf: &CertFacts) -> Remembered {
        Remembered {
            place: report.places.first().cloned().unwrap_or_default(),
            sha256: leaf.sha256.clone(),
            subject: leaf.subject.clone(),
            authority: leaf.is_authority(),
            issuer: leaf.issuer.clone(),
            kind: leaf.key.kind.clone(),
            key: leaf.key.spki_sha256.clone(),
            names: leaf.extensions.names.iter().take(1000).map(San::to_string).collect(),
            usages: leaf.extensions.usages.clone(),
            sent: report.chain.len(),
        }
    }

    /// Whether one is likely to have come in place of the other.
    fn resembles(&self, other: &Remembered) -> bool {
        self.subject == other.subject || self.names.iter().any(|name| other.names.contains(name))
    }
}

/// What was seen at one thing: an endpoint as it is asked, or a file.
type Things = BTreeMap<String, Vec<Remembered>>;

/// The file's form; one of another form is as if there was none.
#[derive(Serialize, Deserialize)]
struct MemoryFile {
    form: u32,
    things: Things,
}

const FORM: u32 = 2;

/// Certificates of one thing that are remembered: a bundle of roots has some 150, an endpoint a few per address.
const MOST: usize = 1024;

/// What the last run saw, thing by thing.
pub(crate) struct ChangeMemory {
    path: PathBuf,
    before: Things,
    now: Things,
}

impl ChangeMemory {
    /// The memory of the job `name`; empty on its first run.
    pub(crate) fn open(name: &str) -> ChangeMemory {
        let path = durable::state_dir().join("certificates").join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // A memory that cannot be read is no error: the run judges certificates, and remembers them anew.
        let before = match serde_json::from_str::<MemoryFile>(&text) {
            Ok(kept) if kept.form == FORM => kept.things,
            _ => {
                if !text.is_empty() {
                    log::info!(
                        "{} is of another form: changes are reported from the next run on",
                        path.display()
                    );
                }
                Things::new()
            }
        };
        ChangeMemory { path, before, now: Things::new() }
    }

    /// Adds to the records of one target what is not as it was, and remembers them.
    pub(crate) fn compare(&mut self, records: &mut [CertReport]) {
        let mut things: BTreeMap<String, Vec<&mut CertReport>> = BTreeMap::new();
        for record in records.iter_mut().filter(|r| !r.chain.is_empty()) {
            things.entry(thing_key(record)).or_default().push(record);
        }
        for (thing, mut records) in things {
            let seen: Vec<Remembered> = records.iter().map(|r| Remembered::new(r, &r.chain[0])).collect();
            let mut before = self.before.get(&thing).cloned().unwrap_or_default();
            for (at, old) in match_pairs(&mut before, &seen, thing.starts_with(FILE)) {
                records[at].add(find_changes(&old, &seen[at]));
            }
            // An address that did not answer this time has not lost what it showed.
            let kept = before.into_iter().filter(|old| seen.iter().all(|new| new.place != old.place));
            let all = seen.iter().cloned().chain(kept).take(MOST).collect();
            self.now.insert(thing, all);
        }
    }

    /// Keeps what was seen for the next run; of what did not answer, what was known before.
    pub(crate) fn save(self) -> Result<()> {
        let mut things = self.before;
        things.extend(self.now);
        let kept = MemoryFile { form: FORM, things };
        // Old or new, never half: a run that is killed here must not report everything as changed the next time.
        durable::create_dirs(durable::folder_of(&self.path))?;
        durable::replace(&self.path, 0o600, |w| serde_json::to_writer(w, &kept).doing(|| "write".into()))
    }
}

const FILE: &str = "file ";

/// What the record is of: the endpoint with the name that it was asked for, whatever its address is today; or the file,
/// whatever target led there.
fn thing_key(record: &CertReport) -> String {
    let place = record.places.first().map_or("", String::as_str);
    match &record.connection {
        Some(_) => format!("served {} {}", record.target, record.asked),
        None => {
            let path = std::path::absolute(place).unwrap_or_else(|_| place.into());
            format!("{FILE}{}", path.display())
        }
    }
}

/// Which of those that were seen stands where which of those before stood; these are taken out of `before`, and of what
/// is left nothing is known any more. The same certificate is the same wherever it stands; then go place and kind of key,
/// or subject and names. In a file with several, only what resembles another one came in its place: an authority that
/// left a bundle is not the one that joined it.
fn match_pairs(before: &mut Vec<Remembered>, seen: &[Remembered], file: bool) -> Vec<(usize, Remembered)> {
    type Fits = fn(&Remembered, &Remembered) -> bool;
    let alone = |list: &[Remembered]| list.iter().filter(|r| !r.authority).count() == 1;
    let single = alone(before) && alone(seen);
    let mut rules: Vec<Fits> = vec![
        |old, new| old.sha256 == new.sha256 && old.place == new.place,
        |old, new| old.sha256 == new.sha256,
        |old, new| old.place == new.place && old.kind == new.kind && old.resembles(new),
        |old, new| old.kind == new.kind && old.resembles(new),
        Remembered::resembles,
    ];
    if !file || single {
        rules.push(|old, new| !old.authority && !new.authority && old.kind == new.kind);
        rules.push(|old, new| !old.authority && !new.authority);
    }
    let mut found: Vec<(usize, Remembered)> = Vec::new();
    for fits in rules {
        for (at, new) in seen.iter().enumerate() {
            if found.iter().any(|(known, _)| *known == at) {
                continue;
            }
            if let Some(old) = before.iter().position(|old| fits(old, new)) {
                found.push((at, before.remove(old)));
            }
        }
    }
    found
}

fn find_changes(before: &Remembered, now: &Remembered) -> Vec<Finding> {
    let mut found = Vec::new();
    if before.sent > now.sent {
        let text =
            format!("{} certificates were in the chain in the last run, {} now", before.sent, now.sent);
        found.push(rules::info(&rules::CHANGED_CHAIN, text));
    }
    if before.sha256 == now.sha256 {
        return found;
    }
    if before.issuer != now.issuer {
        found.push(rules::info(
            &rules::CHANGED_ISSUER,
            format!("issued by {} before, by {} now", before.issuer, now.issuer),
        ));
    }
    match before.key == now.key {
        true => found.push(rules::info(&rules::KEY_REUSED, "renewed with the same key as before")),
        false => found.push(rules::info(&rules::CHANGED_KEY, "another key than in the last run")),
    }
    let lost = lost_items(&before.names, &now.names);
    if !lost.is_empty() {
        found.push(rules::info(
            &rules::CHANGED_NAMES,
            format!("no longer among its names: {}", lost.join(", ")),
        ));
    }
    found.extend(lost_usages(&before.usages, &now.usages));
    found
}

fn lost_items<'a>(before: &'a [String], now: &[String]) -> Vec<&'a str> {
    before.iter().filter(|n| !now.contains(n)).map(String::as_str).collect()
}

/// Without an extended key usage, or with `any`, it is for every use.
fn lost_usages(before: &[String], now: &[String]) -> Option<Finding> {
    let every = |list: &[String]| list.is_empty() || list.iter().any(|u| u == "any");
    if every(now) {
        return None;
    }
    let lost = lost_items(before, now);
    let text = match (every(before), lost.is_empty()) {
        (true, _) => format!("it was for every use, and is now only for {}", now.join(", ")),
        (false, true) => return None,
        (false, false) => format!("no longer among its uses: {}", lost.join(", ")),
    };
    Some(rules::info(&rules::CHANGED_USAGE, text).advise(rules::CHANGED_USAGE.action))
}
