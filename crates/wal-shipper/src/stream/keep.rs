//! Beside a session: the slots of the other servers, the state of our own, and whether another server took over.

use super::backlog::Backlog;
use super::source::{Facts, Source, rank};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use toban_core::pg::ConnInfo;
use toban_core::wal::Lsn;
use toban_core::{Context, Result, shutdown};

/// How often the servers are asked.
const EVERY: Duration = Duration::from_secs(5);

/// What the keeper tells its session; it ends when the session drops it.
#[derive(Default)]
pub(super) struct Word(Mutex<Option<String>>);

impl Word {
    /// Why the session should end: another server is the primary now.
    pub(super) fn moved(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) struct Keeper {
    pub(super) conninfo: ConnInfo,
    pub(super) slot: String,
    pub(super) backlog: Arc<Backlog>,
    /// The server that streams.
    pub(super) at: String,
    pub(super) facts: Facts,
}

impl Keeper {
    pub(super) fn start(self) -> Result<Arc<Word>> {
        let word = Arc::new(Word::default());
        let heard = Arc::downgrade(&word);
        let run = move || self.run(&heard);
        std::thread::Builder::new().name("keep".into()).spawn(run).doing(|| "start a thread".into())?;
        Ok(word)
    }

    fn run(&self, word: &Weak<Word>) {
        let mut said = BTreeSet::new();
        while word.strong_count() > 0 && !shutdown::requested() {
            for at in self.conninfo.each() {
                let why = match self.look(&at, &mut said) {
                    Ok(facts) => self.supersedes(&at, &facts),
                    Err(e) => {
                        once(&mut said, e.chain());
                        None
                    }
                };
                if let (Some(word), Some(why)) = (word.upgrade(), why) {
                    *word.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                }
            }
            std::thread::sleep(EVERY);
        }
    }

    /// Looks after the slot of one server, and warns of what is wrong with ours.
    fn look(&self, at: &ConnInfo, said: &mut BTreeSet<String>) -> Result<Facts> {
        let mut source = Source::ask(at, &self.slot)?;
        if source.facts.system != self.facts.system {
            once(said, format!("{} is of another system, and left alone", at.host()));
        } else if at.host() == self.at {
            self.backlog.set_synchronous(source.facts.synchronous);
            slot_trouble(&source.facts, &self.slot).into_iter().for_each(|t| once(said, t));
        } else {
            source.keep_slot(&self.slot)?;
            let stored = self.backlog.stored();
            stored.map_or(Ok(()), |stored| source.advance_slot(&self.slot, stored))?;
        }
        Ok(source.facts)
    }

    /// Why to leave our server for this one: it is a primary, of a newer timeline or beside a standby, and wanted.
    fn supersedes(&self, at: &ConnInfo, facts: &Facts) -> Option<String> {
        let ours = (!self.facts.standby, self.facts.timeline, Lsn(u64::MAX));
        let (_, primaries) = self.conninfo.wants();
        let better = !facts.standby && primaries && facts.system == self.facts.system && rank(facts) > ours;
        better.then(|| format!("{} is the primary now, on timeline {}", at.host(), facts.timeline))
    }
}

fn once(said: &mut BTreeSet<String>, text: String) {
    if said.insert(text.clone()) {
        log::warn!("{text}");
    }
}

/// What is worth a warning about our slot.
fn slot_trouble(facts: &Facts, name: &str) -> Vec<String> {
    let status = facts.slot.as_ref().map_or("", |s| s.status.as_str());
    let lost = match status {
        "lost" => Some(format!("the slot {name} is lost: the server removes WAL that is not stored")),
        "unreserved" => Some(format!(
            "the slot {name} is about to be lost: the server will remove WAL that is not stored"
        )),
        _ => None,
    };
    let unlimited = facts.unlimited.then(|| {
        "max_slot_wal_keep_size is unlimited: while nothing can be stored pg_wal grows until the disk is full".into()
    });
    lost.into_iter().chain(unlimited).collect()
}
