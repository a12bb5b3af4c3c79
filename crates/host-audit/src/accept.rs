//! `accept`: somebody answers for what was seen. What was not seen is never accepted.

use crate::baseline::{AcceptedFact, HostBaseline, SignOff};
use crate::cli;
use crate::list::load_last;
use crate::memory::{LastLook, SeenSubject, whole_key};
use crate::settings::read_settings;
use crate::state::HostState;
use crate::subject::HostSubject;
use crate::verify::check_pack;
use serde::Serialize;
use std::io::ErrorKind;
use std::path::Path;
use toban_core::check::matches_pattern;
use toban_core::config::Config;
use toban_core::{Context, Error, Kind, Out, Record, Result, durable};

/// What was decided of one subject.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct AcceptedSubject {
    subject: String,
    pub(crate) added: usize,
    pub(crate) changed: usize,
    /// Accepted before and no longer there: taken out.
    pub(crate) removed: usize,
    reviewer: String,
    ticket: String,
    /// The evidence pack, where one was reviewed.
    pack: String,
    /// `recorded`, in a dry run `would be recorded`, or why not all of it was.
    state: String,
}

impl Record for AcceptedSubject {
    const SCHEMA: &'static str = "host-audit.accept/1";
    const HEAD: &'static [&'static str] =
        &["subject", "added", "changed", "removed", "reviewer", "ticket", "state"];

    fn cells(&self) -> Vec<String> {
        let numbers = [self.added, self.changed, self.removed].map(|n| n.to_string());
        let [added, changed, removed] = numbers;
        vec![
            self.subject.clone(),
            added,
            changed,
            removed,
            self.reviewer.clone(),
            self.ticket.clone(),
            self.state.clone(),
        ]
    }
}

/// Runs the verb.
pub(crate) fn accept_facts(args: &cli::Accept, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let settings = read_settings(config)?;
    let state = HostState::open(&args.place)?;
    let mut reviewed = ReviewedPack::default();
    let run = match &args.pack {
        Some(pack) => {
            let allowed = args.allowed_signers.as_deref().or(settings.allowed_signers.as_deref());
            let (pack_name, pack_sha256) = check_pack(pack, allowed, &state.dir)?.chain.swap_remove(0);
            reviewed = ReviewedPack { pack: pack_name, pack_sha256 };
            LastLook::load(pack)?
                .ok_or_else(|| Error::failed(format!("{} holds no facts", pack.display())))?
        }
        None => load_last(&state)?,
    };
    if run.machine != state.machine {
        return Err(Error::usage(format!(
            "it is of the machine {}, this one is {}",
            run.machine, state.machine
        )));
    }
    let known = HostBaseline::load(&state.dir, &state.machine).map_err(|e| {
        e.hint(
            "it is not written over: put it back from a backup, or move it away and review everything anew",
        )
    })?;
    let mut baseline = known.unwrap_or_else(|| HostBaseline::empty(&state.machine));
    let by = SignOff { reviewer: args.reviewer.clone(), ticket: args.ticket.clone(), date: args.at.now() };
    let decided = decide_subjects(&run, &mut baseline, &AcceptChoice { only: &args.only, by: &by })?;
    if !args.dry.dry_run {
        append_log(&state.dir, &decided, &by, &reviewed)?;
        baseline.save(&state.dir)?;
    }
    let unseen = decided.iter().filter(|d| !d.state.is_empty()).count();
    for one in decided {
        let done = if args.dry.dry_run { "would be recorded" } else { "recorded" };
        let state = if one.state.is_empty() { done.into() } else { one.state };
        let pack = reviewed.pack.clone();
        let (reviewer, ticket) = (args.reviewer.clone(), args.ticket.clone());
        out.emit(&AcceptedSubject { state, pack, reviewer, ticket, ..one })?;
    }
    match unseen {
        0 => Ok(()),
        n => Err(Error::new(
            Kind::Partial,
            format!("{n} subjects were not, or not wholly, seen: what was not is not accepted"),
        )
        .hint("host-audit run as root, then accept what it saw")),
    }
}

/// What somebody wants to accept.
pub(crate) struct AcceptChoice<'a> {
    /// Patterns of whole keys; everything when there are none.
    pub(crate) only: &'a [String],
    pub(crate) by: &'a SignOff,
}

impl AcceptChoice<'_> {
    fn takes(&self, subject: HostSubject, key: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|p| matches_pattern(p, &whole_key(subject, key)))
    }

    /// Whether a subject is reviewed as a whole, so that what comes later is new.
    fn is_whole(&self, subject: HostSubject) -> bool {
        self.only.is_empty() || self.only.iter().any(|p| *p == whole_key(subject, "*") || p == "*")
    }
}

/// Changes the baseline, and tells of each subject what was decided. Pure.
///
/// # Errors
/// Usage when a pattern fits nothing that was seen or accepted.
pub(crate) fn decide_subjects(
    run: &LastLook,
    baseline: &mut HostBaseline,
    choice: &AcceptChoice<'_>,
) -> Result<Vec<AcceptedSubject>> {
    for pattern in choice.only {
        let fits = |s: &HostSubject, key: &str| matches_pattern(pattern, &whole_key(*s, key));
        let seen =
            run.subjects.iter().any(|(s, seen)| seen.facts.iter().any(|f| fits(s, &f.key)) || fits(s, "*"));
        let known = baseline.facts.iter().any(|(s, facts)| facts.keys().any(|key| fits(s, key)));
        if !seen && !known {
            return Err(Error::usage(format!("{pattern}: the last run saw nothing of this key"))
                .hint("host-audit list shows the keys"));
        }
    }
    let mut decided = Vec::new();
    for (subject, seen) in run.subjects.iter().filter(|(s, _)| s.has_facts()) {
        let one = decide_subject(*subject, seen, baseline, choice);
        let touched = one.added + one.changed + one.removed > 0 || choice.is_whole(*subject);
        decided.extend(touched.then_some(one));
    }
    Ok(decided)
}

fn decide_subject(
    subject: HostSubject,
    seen: &SeenSubject,
    baseline: &mut HostBaseline,
    choice: &AcceptChoice<'_>,
) -> AcceptedSubject {
    let mut one = AcceptedSubject { subject: subject.name().into(), ..AcceptedSubject::default() };
    let facts = baseline.facts.entry(subject).or_default();
    for fact in seen.facts.iter().filter(|f| choice.takes(subject, &f.key)) {
        match facts.get(&fact.key) {
            Some(known) if (&known.fact.value, known.fact.rank) == (&fact.value, fact.rank) => continue,
            Some(_) => one.changed += 1,
            None => one.added += 1,
        }
        facts.insert(fact.key.clone(), AcceptedFact { fact: fact.clone(), by: choice.by.clone() });
    }
    if !seen.gaps.is_empty() {
        let why: Vec<String> = seen.gaps.iter().take(3).map(|g| format!("{}: {}", g.what, g.why)).collect();
        // What is missing may only not have been seen: it stays accepted, and the subject is not reviewed as a whole.
        one.state = format!("not wholly: not seen, because {}", why.join("; "));
        return one;
    }
    let there: std::collections::BTreeSet<&str> = seen.facts.iter().map(|f| f.key.as_str()).collect();
    let before = facts.len();
    facts
        .retain(|key, known| known.fact.event || there.contains(key.as_str()) || !choice.takes(subject, key));
    one.removed = before - facts.len();
    if choice.is_whole(subject) {
        baseline.reviewed.insert(subject, choice.by.clone());
    }
    one
}

/// The evidence that was looked at; empty where somebody looked at the last run.
#[derive(Default, Serialize)]
struct ReviewedPack {
    pack: String,
    pack_sha256: String,
}

/// A line of the log, of which later packs are checked.
#[derive(Serialize)]
struct Decision<'a> {
    #[serde(flatten)]
    by: &'a SignOff,
    #[serde(flatten)]
    reviewed: &'a ReviewedPack,
    subjects: Vec<serde_json::Value>,
}

/// The log first: a decision that is in force and in no log could not be answered for.
fn append_log(dir: &Path, decided: &[AcceptedSubject], by: &SignOff, reviewed: &ReviewedPack) -> Result<()> {
    let path = dir.join("log.jsonl");
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
        Err(e) => return Err(e).doing(|| format!("read {}", path.display())),
    };
    let counts: Vec<serde_json::Value> = decided
        .iter()
        .map(|d| serde_json::json!({"subject": d.subject, "added": d.added, "changed": d.changed, "removed": d.removed}))
        .collect();
    let line = Decision { by, reviewed, subjects: counts };
    let line = serde_json::to_string(&line).doing(|| "write the decision as JSON".into())?;
    durable::replace(&path, 0o600, |w| {
        w.write_all(format!("{before}{line}\n").as_bytes()).doing(|| "write".into())
    })
}
