//! One connection: from the login to the end of it, over as many timelines as it leads.

use super::Service;
use super::backlog::Backlog;
use super::histories::store_histories;
use super::protocol::{Replication, StreamEvent};
use super::slot_keeper::{Handover, SlotKeeper};
use super::source::{SourceServer, choose_source};
use super::start_point::{StartPoint, complete_switched_segments};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant};
use toban_core::pg::ConnInfo;
use toban_core::repo::gap::Gap;
use toban_core::systemd;
use toban_core::wal::{History, Lsn, Segment, Timeline};
use toban_core::{Context, Error, Result, shutdown};

/// The server ends a connection that says nothing for `wal_sender_timeout` (60 s).
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// After so much silence the server is asked whether it is there, and after twice that it is not.
const SILENCE: Duration = Duration::from_secs(30);
/// A server that is stopped waits until a connected client has flushed everything (manual, "Shutting Down the Server"):
/// one that answers and stores nothing would let `pg_ctl stop -m fast` wait for ever.
pub(super) const STUCK: Duration = Duration::from_secs(20);
/// What is stored after a stop was asked for must be so within this time.
pub(super) const DRAIN_LIMIT: Duration = Duration::from_secs(20);

pub(super) struct Session<'s> {
    service: &'s Service,
    at: ConnInfo,
    server: Replication,
    handover: Arc<Handover>,
    size: u64,
    /// That of the newest timeline of the server that is known.
    history: History,
    timeline: Timeline,
    received: Lsn,
    /// Before this was stored again, nothing is reported: the slot must not move back.
    floor: Lsn,
    /// What was last reported as stored, and when.
    reported: Option<Lsn>,
    reported_at: Instant,
    heard_at: Instant,
    /// Since then the server was asked for an answer.
    asked: bool,
}

/// Streams until the server or a person ends it: true for the person.
///
/// # Errors
/// Whatever ended it otherwise.
pub(super) fn stream_session(service: &Service) -> Result<bool> {
    let mut source = choose_source(&service.conninfo, &service.slot)?;
    let slot_lost = source.ensure_slot(&service.slot)?;
    let mut server = Replication::open(&source.at)?;
    let answer = server.identify_system()?;
    // Two connections to one address may end at two servers, behind a pooler or a name that moves with the primary.
    if answer.system != source.facts.id.system {
        return Err(Error::retry(format!("{} is another server now", source.at.host())));
    }
    service.claim_repos(&source.facts.id)?;
    let history = store_histories(service, &mut server, answer.timeline)?;
    let start = find_start(service, &source, &history, slot_lost)?;
    let handover = slot_keeper(service, &source).start()?;
    let restart = source.facts.slot.as_ref().and_then(|s| s.restart).unwrap_or_default();
    let (at, host) = (source.at.clone(), source.at.host());
    drop(source.client);
    service.backlog.begin_session();
    let now = Instant::now();
    let mut session = Session {
        service,
        at,
        server,
        handover,
        size: source.facts.id.segment_size,
        timeline: history.timeline_at(start),
        history,
        received: start,
        floor: restart,
        reported: None,
        reported_at: now,
        heard_at: now,
        asked: false,
    };
    log::info!("stream from {host}, timeline {}, from {start}", session.timeline);
    systemd::show_status(&format!("streams from {host}"));
    session.stream_from(start)
}

fn slot_keeper(service: &Service, source: &SourceServer) -> SlotKeeper {
    SlotKeeper {
        conninfo: service.conninfo.clone(),
        slot: service.slot.clone(),
        backlog: Arc::clone(&service.backlog),
        at: source.at.host(),
        facts: source.facts.clone(),
    }
}

/// The position to begin at. What the server still has of the time before the slot's restart_lsn is taken, too.
fn find_start(service: &Service, source: &SourceServer, history: &History, slot_lost: bool) -> Result<Lsn> {
    let size = source.facts.id.segment_size;
    let slot = source.facts.slot.as_ref().and_then(|s| s.restart);
    let restart = slot.ok_or_else(|| Error::retry(format!("the slot {} holds nothing yet", service.slot)))?;
    let held = Segment::holding_lsn(restart, history.timeline_at(restart), size);
    let stored =
        service.in_each_repo(|repo| complete_switched_segments(&service.archive(repo), history, &held))?;
    let start = StartPoint::new(history, restart, size, &stored);
    let wanted = Segment::holding_lsn(start.wanted, history.timeline_at(start.wanted), size);
    if start.wanted == start.at || find_copy(&source.at, history, &wanted).is_some() {
        return Ok(start.wanted);
    }
    let cause = if slot_lost { "the slot was lost" } else { "the slot holds less" };
    let why = format!("{cause}, and the server has removed the WAL from {} to {}", start.wanted, start.at);
    log::error!("{why}: no later position can be restored from an older backup; take a new backup now");
    let name = |at: Lsn| Segment::holding_lsn(at, history.timeline_at(at), size).name().parse();
    let gap = Gap::new(name(start.wanted)?, name(Lsn(start.at.0 - 1))?, None, Timestamp::now(), why);
    // Recorded before the first byte that follows: where the later segments are, the record is, too.
    service.in_each_repo(|repo| match gap.is_recorded(&*repo.store, &service.system)? {
        true => Ok(()),
        false => gap.store_record(&*repo.store, &service.system),
    })?;
    Ok(start.at)
}

/// The first timeline, from the segment's own on, whose copy of the segment the server has.
//
// Where several timelines end in one segment, a server that recovered from an archive has only the copies that recovery read
// and wrote, the last ones: each holds what those before wrote up to their ends. PostgreSQL reads what a timeline wrote
// before its end from the copy of the next (WalSndSegmentOpen), and fails where that is not there.
fn find_copy(at: &ConnInfo, history: &History, segment: &Segment) -> Option<Timeline> {
    let timelines = history.switches.iter().map(|s| s.timeline).chain([history.timeline]);
    let mut counting =
        timelines.filter(|t| (segment.timeline..=history.segment_timeline(segment)).contains(t));
    counting.find(|timeline| still_has(at, segment.start(), *timeline))
}

/// Whether the server still has the WAL of `timeline` at `from`: only an attempt to stream shows that, on a connection of
/// its own.
fn still_has(at: &ConnInfo, from: Lsn, timeline: Timeline) -> bool {
    let ask = || -> Result<()> {
        let mut server = Replication::open(at)?;
        if server.start_streaming(None, from, timeline)?.is_none() {
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
    fn stream_from(&mut self, mut from: Lsn) -> Result<bool> {
        loop {
            self.choose_copy(from);
            let next = self.server.start_streaming(Some(&self.service.slot), from, self.timeline)?;
            let Some(timeline) = next.map_or_else(|| self.stream_timeline(), |next| Ok(Some(next)))? else {
                return Ok(true);
            };
            self.backlog().end_timeline();
            log::info!("timeline {} ends at {}; it goes on as {timeline}", self.timeline, self.received);
            self.store_history_of(timeline)?;
            // The switch lies inside a segment, and the new timeline has that segment under a name of its own, whole: from its
            // first byte, which the server copied from the old one (manual, "Timelines").
            from = Segment::holding_lsn(self.received, timeline, self.size).start();
            (self.timeline, self.received) = (timeline, from);
        }
    }

    /// Passes over timelines that ended in the segment at `from`, and whose copy of it the server does not have.
    fn choose_copy(&mut self, from: Lsn) {
        let segment = Segment::holding_lsn(from, self.timeline, self.size);
        let last = self.history.segment_timeline(&segment);
        let ended = self.history.switches.iter().filter(|s| (self.timeline..last).contains(&s.timeline));
        // Of the last one that ended the server has the copy: it is where it goes on to write.
        if ended.count() < 2 {
            return;
        }
        match find_copy(&self.at, &self.history, &segment) {
            Some(copy) if copy != self.timeline => {
                log::info!("the server has no copy of {} before timeline {copy}", segment.name());
                self.timeline = copy;
            }
            _ => {}
        }
    }

    /// Before the first byte of a timeline its history is stored: no repository has WAL whose origin is unknown.
    fn store_history_of(&mut self, timeline: Timeline) -> Result<()> {
        let known = timeline == self.history.timeline || self.history.ancestor(timeline).is_some();
        if !known {
            self.history = store_histories(self.service, &mut self.server, timeline)?;
        }
        Ok(())
    }

    /// Until the timeline ends: the next; `None` when we were told to stop.
    fn stream_timeline(&mut self) -> Result<Option<Timeline>> {
        loop {
            systemd::notify_alive();
            self.check_state()?;
            if shutdown::requested() {
                return self.finish_session().map(|()| None);
            }
            self.report_if_due(false)?;
            let event = match self.backlog().is_full() {
                // The server still gets our reports; it stops sending until we read again (TCP's own flow control).
                true => self.wait_for_shipper()?,
                false => self.server.receive(Duration::from_millis(500), self.service.backlog.bell())?,
            };
            self.backlog().clear_bell();
            match event {
                StreamEvent::Wal { start, bytes } => self.take_wal(start, &bytes)?,
                StreamEvent::Alive { reply } => {
                    self.note_answer();
                    self.report_if_due(reply)?;
                }
                StreamEvent::TimelineEnds => return self.server.end_timeline().map(Some),
                StreamEvent::Shutdown => return Err(Error::retry("the server shuts down")),
                StreamEvent::Nothing => {}
            }
        }
    }

    fn take_wal(&mut self, start: Lsn, bytes: &[u8]) -> Result<()> {
        self.note_answer();
        self.service.backlog.append(self.timeline, self.size, start, bytes)?;
        self.received = Lsn(start.0 + bytes.len() as u64);
        Ok(())
    }

    fn note_answer(&mut self) {
        (self.heard_at, self.asked) = (Instant::now(), false);
    }

    /// Ends the session when nothing more can be stored, another server took over, or this one is silent.
    fn check_state(&mut self) -> Result<()> {
        if let Some(e) = self.backlog().take_error() {
            return Err(e);
        }
        if self.backlog().is_stuck(STUCK) {
            return Err(Error::retry(format!(
                "nothing could be stored for {} s: the slot keeps the WAL",
                STUCK.as_secs()
            )));
        }
        if let Some(why) = self.handover.reason() {
            return Err(Error::retry(why));
        }
        match self.heard_at.elapsed() {
            silent if silent > SILENCE * 2 => Err(Error::retry("the server is silent")),
            silent if silent > SILENCE && !self.asked => {
                self.asked = true;
                self.server.report_progress(self.received, self.reportable(), true)
            }
            _ => Ok(()),
        }
    }

    /// Waits for the shipper without reading what the server sends.
    fn wait_for_shipper(&mut self) -> Result<StreamEvent> {
        self.note_answer();
        self.service.backlog.wait(Duration::from_millis(500));
        Ok(StreamEvent::Nothing)
    }

    /// Up to where the server may rely on what is stored.
    fn reportable(&self) -> Option<Lsn> {
        // A session may begin before restart_lsn, with what a repository lacks. A report from there would say that less is
        // stored than the slot has been told already.
        self.backlog().stored().filter(|stored| *stored >= self.floor)
    }

    /// Reports how far we are, when that is new, or wanted, or was long ago.
    fn report_if_due(&mut self, wanted: bool) -> Result<()> {
        let stored = self.reportable();
        if wanted || stored != self.reported || self.reported_at.elapsed() > REPORT_EVERY {
            self.server.report_progress(self.received, stored, false)?;
            (self.reported, self.reported_at) = (stored, Instant::now());
        }
        Ok(())
    }

    /// Stores what is here, reports it, and leaves.
    fn finish_session(&mut self) -> Result<()> {
        systemd::notify_stopping();
        let service = self.service;
        service.drain_backlog(|| self.report_if_due(false))?;
        // Before CopyDone: the server keeps in the slot what this report does not say is stored.
        self.report_if_due(true)?;
        self.server.end_streaming()
    }
}
