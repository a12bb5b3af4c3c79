//! Beside a session: the slots of the other servers, the state of the session's own, and whether another server took
//! over.

use super::backlog::Backlog;
use super::source::{ServerFacts, SourceServer, rank_source};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use toban_core::pg::ConnInfo;
use toban_core::sync::lock;
use toban_core::wal::Lsn;
use toban_core::{Context, Result, shutdown};

/// How often the servers are asked.
const EVERY: Duration = Duration::from_secs(5);

/// What the keeper tells its session: that another server took over. The keeper ends when the session drops it.
#[derive(Default)]
pub(super) struct Handover(Mutex<Option<String>>);

impl Handover {
    /// Why the session should end: another server is the primary now.
    pub(super) fn reason(&self) -> Option<String> {
        lock(&self.0).clone()
    }
}

pub(super) struct SlotKeeper {
    pub(super) conninfo: ConnInfo,
    pub(super) slot: String,
    pub(super) backlog: Arc<Backlog>,
    /// The server that streams.
    pub(super) at: String,
    pub(super) facts: ServerFacts,
}

impl SlotKeeper {
    pub(super) fn start(self) -> Result<Arc<Handover>> {
        let handover = Arc::new(Handover::default());
        let observed = Arc::downgrade(&handover);
        let watch = move || self.watch_servers(&observed);
        std::thread::Builder::new().name("slots".into()).spawn(watch).doing(|| "start a thread".into())?;
        Ok(handover)
    }

    fn watch_servers(&self, handover: &Weak<Handover>) {
        let mut warned = BTreeSet::new();
        while handover.strong_count() > 0 && !shutdown::requested() {
            for at in self.conninfo.split_hosts() {
                let why = match self.keep_server(&at, &mut warned) {
                    Ok(facts) => self.superseding(&at, &facts),
                    Err(e) => {
                        warn_once(&mut warned, e.chain());
                        None
                    }
                };
                if let (Some(handover), Some(why)) = (handover.upgrade(), why) {
                    *lock(&handover.0) = Some(why);
                }
            }
            std::thread::sleep(EVERY);
        }
    }

    /// Keeps the slot of one server, and warns of what is wrong with that of the server that streams.
    fn keep_server(&self, at: &ConnInfo, warned: &mut BTreeSet<String>) -> Result<ServerFacts> {
        let mut source = SourceServer::connect(at, &self.slot)?;
        if source.facts.id.system != self.facts.id.system {
            warn_once(warned, format!("{} is of another system, and left alone", at.host()));
        } else if at.host() == self.at {
            self.backlog.set_synchronous(source.facts.synchronous);
            slot_warnings(&source.facts, &self.slot).into_iter().for_each(|w| warn_once(warned, w));
        } else {
            // Physical slots are not copied to standbys (manual, "Replication Slots"): the standby that is promoted next must
            // have held the WAL since before its promotion. It moves on only to what is stored, so that whichever server
            // takes over still has all that the repositories lack.
            source.ensure_slot(&self.slot)?;
            let stored = self.backlog.stored();
            stored.map_or(Ok(()), |stored| source.advance_slot(&self.slot, stored))?;
        }
        Ok(source.facts)
    }

    /// Why to leave our server for this one: it is a primary, of a newer timeline or beside a standby, and wanted.
    fn superseding(&self, at: &ConnInfo, facts: &ServerFacts) -> Option<String> {
        let ours = (!self.facts.id.standby, self.facts.id.timeline, Lsn(u64::MAX));
        let (_, primaries) = self.conninfo.wanted_roles();
        let better = !facts.id.standby
            && primaries
            && facts.id.system == self.facts.id.system
            && rank_source(facts) > ours;
        better.then(|| format!("{} is the primary now, on timeline {}", at.host(), facts.id.timeline))
    }
}

fn warn_once(warned: &mut BTreeSet<String>, text: String) {
    if warned.insert(text.clone()) {
        log::warn!("{text}");
    }
}

/// What is worth a warning about our slot.
fn slot_warnings(facts: &ServerFacts, name: &str) -> Vec<String> {
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
