//! `stream`: the WAL as the server writes it, into every repository, over PostgreSQL's replication protocol.
//!
//! Three threads share a [`backlog::Backlog`]: the session reads the socket and reports, the shipper stores, the slot
//! keeper keeps the slots. What the server may forget is only what the repositories have.

mod backlog;
mod histories;
mod protocol;
mod repo_writers;
mod session;
mod ship;
mod slot_keeper;
mod source;
mod spool;
mod start_point;
mod sweep;

use crate::cli;
use crate::server_id::ServerId;
use backlog::Backlog;
use repo_writers::RepoWriters;
use ship::Shipper;
use std::sync::Arc;
use std::time::{Duration, Instant};
use sweep::Sweeper;
use toban_core::config::Config;
use toban_core::pg::ConnInfo;
use toban_core::repo::archive::{Archive, Conflict};
use toban_core::repo::cluster::{Cluster, FORMAT};
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, Repos};
use toban_core::systemd;
use toban_core::{Error, Kind, Result, shutdown};

/// What lives as long as the process.
struct Service {
    conninfo: ConnInfo,
    slot: String,
    repos: Repos,
    system: System,
    new_system: bool,
    backlog: Arc<Backlog>,
}

const PAUSE: Duration = Duration::from_millis(200);
/// What is lost when the next server dies too is what was written meanwhile.
const SLOWEST_PAUSE: Duration = Duration::from_secs(1);
/// A session that lasted so long is news when it ends, whatever it ends with.
const LASTED: Duration = Duration::from_secs(5);

/// Streams session after session, until told to stop.
pub(crate) fn stream_wal(args: &cli::Stream, config: &Config) -> Result<()> {
    shutdown::defer();
    let section = config.cluster.get(&args.repos.cluster);
    let db = args.db.as_deref().or(section.and_then(|s| s.db.as_deref()));
    let conninfo = ConnInfo::resolve(db, "wal-shipper")?;
    let service = Service::start(args, config, conninfo)?;
    systemd::notify_ready();
    service.run_sessions()
}

impl Service {
    /// The first server that answers says which system it is; that never changes.
    fn start(args: &cli::Stream, config: &Config, conninfo: ConnInfo) -> Result<Service> {
        let repos = args.repos.open(config)?;
        let first = source::choose_source(&conninfo, &args.slot)?;
        let system = System { cluster: args.repos.cluster.clone(), identifier: first.facts.id.system };
        let backlog = Arc::new(Backlog::new(args.interval.0)?);
        let writers = RepoWriters::new(&repos, &system);
        let sweeper = Sweeper::start(repos.clone(), system.clone())?;
        let (level, new_system, slot) = (args.level, args.new_system, args.slot.clone());
        Shipper { backlog: Arc::clone(&backlog), writers, sweeper, level }.start()?;
        Ok(Service { conninfo, slot, repos, system, new_system, backlog })
    }

    fn run_sessions(&self) -> Result<()> {
        let (mut pause, mut last_error, mut streamed) = (PAUSE, String::new(), false);
        while !shutdown::requested() {
            let began = Instant::now();
            let e = match session::stream_session(self) {
                Ok(true) => return Ok(()),
                Ok(false) => continue,
                Err(e) => e,
            };
            // A service that never stored anything is wrongly set up: systemd and the operator should see it end.
            streamed |= self.backlog.stored().is_some();
            if Conflict::caused(&e) || !streamed && e.kind() != Kind::Retry {
                return Err(e);
            }
            pause = if began.elapsed() > SLOWEST_PAUSE { PAUSE } else { (pause * 2).min(SLOWEST_PAUSE) };
            warn_if_new(&mut last_error, &e, began);
            self.drain_backlog(|| Ok(()))?;
            self.pause(pause);
        }
        self.drain_backlog(|| Ok(()))
    }

    /// Stores what a session has left, `meanwhile` again and again: what the server sends again is there then. Once a stop
    /// was requested the time for it is limited.
    fn drain_backlog(&self, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        self.backlog.hurry();
        let mut requested = None;
        while !self.backlog.is_empty() {
            systemd::notify_alive();
            if let Some(e) = self.backlog.take_error() {
                return Err(e);
            }
            let since = shutdown::requested().then(|| *requested.get_or_insert_with(Instant::now));
            if since.is_some_and(|since| since.elapsed() > session::DRAIN_LIMIT) {
                log::warn!("not everything could be stored; the slot {} keeps it", self.slot);
                return Ok(());
            }
            meanwhile()?;
            self.backlog.wait(Duration::from_millis(100));
        }
        Ok(())
    }

    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !shutdown::requested() {
            systemd::notify_alive();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn archive<'r>(&self, repo: &'r Repo) -> Archive<'r> {
        Archive::new(&*repo.store, self.system.clone())
    }

    /// Makes sure that every repository belongs to this system.
    fn claim_repos(&self, server: &ServerId) -> Result<()> {
        if server.system != self.system.identifier {
            let (there, ours) = (server.system, self.system.identifier);
            return Err(Error::failed(format!(
                "the server is system {there} now; this runs for system {ours}"
            )));
        }
        let cluster = Cluster {
            format: FORMAT,
            system_identifier: server.system.to_string(),
            major: server.major,
            wal_segment_size: server.segment_size,
        };
        let claim = |repo: &Repo| cluster.claim(&*repo.store, &self.system, self.new_system);
        self.in_each_repo(claim).map(drop)
    }

    /// One that is not required and fails is warned of and left out.
    fn in_each_repo<T: Send>(&self, act: impl Fn(&Repo) -> Result<T> + Sync) -> Result<Vec<T>> {
        let settled = self.repos.ask_each(act).settle()?;
        for (_, e) in &settled.lacking {
            log::warn!("{}; it is not required", e.chain());
        }
        Ok(settled.written.into_iter().map(|(_, answer)| answer).collect())
    }
}

/// The same error again and again is logged once.
fn warn_if_new(last: &mut String, e: &Error, began: Instant) {
    let text = e.chain();
    if *last != text || began.elapsed() > LASTED {
        log::warn!("{text}");
    }
    systemd::show_status(&text);
    *last = text;
}
