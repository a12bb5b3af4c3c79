//! One connection: from the login to the end of it, over as many timelines as it leads.

use super::Service;
use super::backlog::Backlog;
use super::begin::{Begin, There};
use super::histories;
use super::keep::{Keeper, Word};
use super::protocol::{Event, Next, Replication};
use super::source::{self, Source};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant};
use toban_core::repo::gap::Gap;
use toban_core::wal::{History, Lsn, Segment, Timeline};
use toban_core::{Context, Error, Result, run, shutdown};

/// The server ends a connection that says nothing for `wal_sender_timeout` (60 s).
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// After so much silence the server is asked whether it is there, and after twice that it is not.
const SILENCE: Duration = Duration::from_secs(30);
/// A client that answers and stores nothing would let `pg_ctl stop -m fast` wait for ever.
pub(super) const STUCK: Duration = Duration::from_secs(20);
/// What is stored after a stop was asked for must be so within this time.
pub(super) const LAST: Duration = Duration::from_secs(20);

pub(super) struct Session<'s> {
    service: &'s Service,
    server: Replication,
    word: Arc<Word>,
    size: u64,
    /// The way to the server's newest timeline that is known.
    history: History,
    timeline: Timeline,
    received: Lsn,
    /// Before this was stored again, nothing is reported: the slot must not move back.
    floor: Lsn,
    reported: (Option<Lsn>, Instant),
    heard: Instant,
    asked: bool,
}

/// Streams until the server or a person ends it: true for the person.
///
/// # Errors
/// Whatever ended it otherwise.
pub(super) fn run(service: &Service) -> Result<bool> {
    let mut source = source::choose(&service.conninfo, &service.slot)?;
    let lost = source.keep_slot(&service.slot)?;
    let mut server = Replication::open(&source.at)?;
    let identity = server.identify()?;
    if identity.system != source.facts.system {
        return Err(Error::retry(format!("{} is another server now", source.at.host())));
    }
    service.claim(&source.facts)?;
    let history = histories::store(service, &mut server, identity.timeline)?;
    let begin = begin(service, &source, &history, lost)?;
    let word = keeper(service, &source).start()?;
    let restart = source.facts.slot.as_ref().and_then(|s| s.restart).unwrap_or_default();
    let host = source.at.host();
    drop(source.client);
    service.backlog.begin();
    let now = Instant::now();
    let mut session = Session {
        service,
        server,
        word,
        size: source.facts.segment_size,
        timeline: history.at(begin),
        history,
        received: begin,
        floor: restart,
        reported: (None, now),
        heard: now,
        asked: false,
    };
    log::info!("stream from {host}, timeline {}, from {begin}", session.timeline);
    run::status(&format!("streams from {host}"));
    session.stream(begin)
}

fn keeper(service: &Service, source: &Source) -> Keeper {
    Keeper {
        conninfo: service.conninfo.clone(),
        slot: service.slot.clone(),
        backlog: Arc::clone(&service.backlog),
        at: source.at.host(),
        facts: source.facts.clone(),
    }
}

/// The position to begin at. What the server has beyond the slot's promise is taken when it is still there.
fn begin(service: &Service, source: &Source, history: &History, lost: bool) -> Result<Lsn> {
    let slot = source.facts.slot.as_ref().and_then(|s| s.restart);
    let restart = slot.ok_or_else(|| Error::retry(format!("the slot {} holds nothing yet", service.slot)))?;
    let held = Segment::holding(restart, history.at(restart), source.facts.segment_size);
    let there = service.each_required(|repo| There::of(&service.archive(repo), history, &held))?;
    let begin = Begin::of(history, restart, source.facts.segment_size, &there);
    if begin.wanted == begin.at || has(source, history, begin.wanted) {
        return Ok(begin.wanted);
    }
    let cause = if lost { "the slot was lost" } else { "the slot holds less" };
    let why = format!("{cause}, and the server has removed the WAL from {} to {}", begin.wanted, begin.at);
    log::error!("{why}: no moment behind it can be restored from an older backup; take a new backup now");
    let name = |at: Lsn| Segment::holding(at, history.at(at), source.facts.segment_size).name().parse();
    let gap = Gap::new(name(begin.wanted)?, name(Lsn(begin.at.0 - 1))?, None, Timestamp::now(), why);
    service.repos.iter().try_for_each(|repo| match gap.is_recorded(&*repo.store, &service.system)? {
        true => Ok(()),
        false => gap.record(&*repo.store, &service.system),
    })?;
    Ok(begin.at)
}

/// Whether the server still has the WAL at `from`: only streaming tells, on a connection of its own.
fn has(source: &Source, history: &History, from: Lsn) -> bool {
    let ask = || -> Result<()> {
        let mut server = Replication::open(&source.at)?;
        if server.start(None, from, history.at(from))?.is_none() {
            let (_bell, ear) =
                std::os::unix::net::UnixStream::pair().doing(|| "make a pair of sockets".into())?;
            server.receive(Duration::from_secs(10), std::os::fd::AsFd::as_fd(&ear))?;
        }
        Ok(())
    };
    ask().inspect_err(|e| log::debug!("{}", e.chain())).is_ok()
}

impl Session<'_> {
    fn backlog(&self) -> &Backlog {
        &self.service.backlog
    }

    /// Timeline after timeline.
    fn stream(&mut self, mut from: Lsn) -> Result<bool> {
        loop {
            let next = match self.server.start(Some(&self.service.slot), from, self.timeline)? {
                Some(next) => next,
                None => match self.follow()? {
                    Some(next) => next,
                    None => return Ok(true),
                },
            };
            self.backlog().end_timeline();
            let Next(timeline) = next;
            log::info!("timeline {} ends at {}; it goes on as {timeline}", self.timeline, self.received);
            self.know(timeline)?;
            from = Segment::holding(self.received, timeline, self.size).start();
            (self.timeline, self.received) = (timeline, from);
        }
    }

    /// Before the first byte of a timeline its history is stored.
    fn know(&mut self, timeline: Timeline) -> Result<()> {
        let known = timeline == self.history.timeline || self.history.ancestor(timeline).is_some();
        if !known {
            self.history = histories::store(self.service, &mut self.server, timeline)?;
        }
        Ok(())
    }

    /// Until the timeline ends; `None` when we were told to stop.
    fn follow(&mut self) -> Result<Option<Next>> {
        loop {
            run::alive();
            self.look_around()?;
            if shutdown::requested() {
                return self.finish().map(|()| None);
            }
            self.report(false)?;
            let event = match self.backlog().is_full() {
                // The server goes on to hear from us; it waits until we read again.
                true => self.rest()?,
                false => self.server.receive(Duration::from_millis(500), self.service.backlog.ear())?,
            };
            self.backlog().heard();
            match event {
                Event::Wal { start, bytes } => self.take(start, &bytes)?,
                Event::Alive { reply } => {
                    self.heard();
                    self.report(reply)?;
                }
                Event::TimelineEnds => return self.server.turn().map(Some),
                Event::Shutdown => return Err(Error::retry("the server shuts down")),
                Event::Nothing => {}
            }
        }
    }

    fn take(&mut self, start: Lsn, bytes: &[u8]) -> Result<()> {
        self.heard();
        self.service.backlog.take(self.timeline, self.size, start, bytes)?;
        self.received = Lsn(start.0 + bytes.len() as u64);
        Ok(())
    }

    fn heard(&mut self) {
        (self.heard, self.asked) = (Instant::now(), false);
    }

    /// Ends the session when others say so.
    fn look_around(&mut self) -> Result<()> {
        if let Some(e) = self.backlog().broken() {
            return Err(e);
        }
        if self.backlog().is_stuck(STUCK) {
            return Err(Error::retry(format!(
                "nothing could be stored for {} s: the slot keeps the WAL",
                STUCK.as_secs()
            )));
        }
        if let Some(why) = self.word.moved() {
            return Err(Error::retry(why));
        }
        match self.heard.elapsed() {
            silent if silent > SILENCE * 2 => Err(Error::retry("the server is silent")),
            silent if silent > SILENCE && !self.asked => {
                self.asked = true;
                self.server.report(self.received, self.stored(), true)
            }
            _ => Ok(()),
        }
    }

    /// Waits for the shipper without reading what the server sends.
    fn rest(&mut self) -> Result<Event> {
        self.heard();
        self.service.backlog.wait(Duration::from_millis(500));
        Ok(Event::Nothing)
    }

    /// What the server may rely on.
    fn stored(&self) -> Option<Lsn> {
        self.backlog().stored().filter(|stored| *stored >= self.floor)
    }

    /// Says how far we are, when that is new, or wanted, or was long ago.
    fn report(&mut self, wanted: bool) -> Result<()> {
        let (stored, (before, at)) = (self.stored(), self.reported);
        if wanted || stored != before || at.elapsed() > REPORT_EVERY {
            self.server.report(self.received, stored, false)?;
            self.reported = (stored, Instant::now());
        }
        Ok(())
    }

    /// Stores what is here, says so, and leaves.
    fn finish(&mut self) -> Result<()> {
        run::stopping();
        self.backlog().hurry();
        let until = Instant::now() + LAST;
        while !self.backlog().is_empty() && Instant::now() < until {
            run::alive();
            if let Some(e) = self.backlog().broken() {
                return Err(e);
            }
            self.report(false)?;
            self.service.backlog.wait(Duration::from_millis(100));
        }
        if !self.backlog().is_empty() {
            log::warn!("not everything could be stored; the slot {} keeps it", self.service.slot);
        }
        self.report(true)?;
        self.server.finish()
    }
}
