//! `status` against a model that knows the true time of everything: what it tells is never better than the truth.

use super::evidence::{RepoEvidence, RestorePoint, Written};
use super::judge::{Evidence, Status};
use super::rulebook;
use crate::objectives::Objectives;
use crate::prune::model::world::{DAY, HOUR, MadeBackup, SIZE, Server, World};
use crate::units::Unit;
use jiff::Timestamp;
use std::time::Duration;
use testkit::{Dice, play_histories};
use toban_core::Severity;
use toban_core::config::Span;
use toban_core::repo::keys::System;
use toban_core::wal::{Lsn, Segment, Timeline, WalName};

#[test]
fn random_states_are_never_told_better_than_they_are() {
    play_histories(25, play);
}

/// A repository that this user may not read is not one in which nothing is.
#[test]
fn of_what_could_not_be_asked_nothing_is_claimed() {
    let mut evidence = Evidence {
        cluster: "main".into(),
        now: Timestamp::UNIX_EPOCH,
        repos: Vec::new(),
        unasked: vec![("local".into(), "open the folder: Permission denied".into())],
        written: None,
        units: Ok(Vec::new()),
    };
    let day = Some(Span(Duration::from_secs(86400)));
    for objectives in [Objectives::default(), Objectives { rpo: day, rto: day, window: day }] {
        let status = evidence.summarize(&objectives);
        assert_eq!(status.verdict, "unknown");
        let findings = evidence.judge(&status, &objectives);
        assert!(findings.iter().all(|f| f.severity != Severity::Critical), "{findings:?}");
    }
    evidence.unasked.clear();
    assert_eq!(evidence.summarize(&Objectives::default()).verdict, "critical");
}

/// One repository and its server, at a random moment.
fn play(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..5 + world.dice.below(40) {
        match world.dice.below(100) {
            0..=39 => world.wait(),
            40..=69 => world.back_up(),
            70..=74 => world.change_timeline(),
            75 => world.begin_system(),
            76..=82 => world.verify(),
            83..=90 => world.drill(),
            91..=93 => world.lose_pack(),
            94..=95 => world.damage_manifest(),
            _ => world.mend_manifests(),
        }
    }
    // Sometimes nothing happens for long.
    world.now += [0, HOUR, 3 * DAY, 60 * DAY][world.dice.index(4)];
    let objectives = choose_objectives(&mut world.dice);
    let now = Timestamp::from_second(world.now).expect("in range");
    let repo = RepoEvidence::read(&world.repo, "main", now).expect("it reads");
    let written = choose_written(&mut world, repo.system);
    let units = choose_units(&mut world.dice);
    let evidence =
        Evidence { cluster: "main".into(), now, repos: vec![repo], unasked: Vec::new(), written, units };
    let status = evidence.summarize(&objectives);
    let truth = Truth { world: &world, evidence: &evidence };
    truth.judge(&status, &objectives);
}

fn choose_objectives(dice: &mut Dice) -> Objectives {
    let mut some = |hours: i64| {
        let span = Span(Duration::from_secs(dice.below((hours * HOUR).unsigned_abs())));
        (dice.below(3) > 0).then_some(span)
    };
    Objectives { rpo: some(48), rto: some(1), window: some(400) }
}

/// The position of the server in service, where it answers.
fn choose_written(world: &mut World, system: Option<u64>) -> Option<Written> {
    let answers = world.dice.below(2) == 0;
    let server = world.servers.last().filter(|s| answers && Some(s.system.identifier) == system)?;
    let newest = server.moments.keys().filter(|(t, _)| *t == server.current).map(|(_, n)| *n).max();
    let to = Lsn(newest.map_or(0, |n| (n + 1) * SIZE));
    Some(Written { system: system?, timeline: Timeline(server.current), to, segment_size: SIZE })
}

fn choose_units(dice: &mut Dice) -> Result<Vec<Unit>, String> {
    if dice.below(5) == 0 {
        return Err("no systemd".into());
    }
    let unit = |job: &str| {
        let (enabled, active) = (dice.below(3) > 0, dice.below(3) > 0);
        Unit { name: format!("{job}@main.timer"), installed: true, enabled, active, ..Unit::default() }
    };
    Ok(["pg-backup-run", "pg-backup-dump", "pg-backup-check"].map(unit).into())
}

/// What is true, by brute force.
struct Truth<'a> {
    world: &'a World,
    evidence: &'a Evidence,
}

impl Truth<'_> {
    fn server(&self) -> Option<&Server> {
        let system = self.evidence.repos[0].system?;
        self.world.servers.iter().find(|s| s.system.identifier == system)
    }

    /// Backups that can be restored.
    fn usable(&self, system: &System) -> Vec<&MadeBackup> {
        let damaged = |m: &&MadeBackup| m.damaged.is_some_and(|at| m.verified.is_none_or(|v| v <= at));
        let own = self.world.made.iter().filter(|m| m.system == *system && self.world.is_whole(m));
        own.filter(|m| !damaged(m)).collect()
    }

    /// The timeline that segment `n` of the way to `timeline` is of.
    fn timeline_of(server: &Server, timeline: u32, n: u64) -> u32 {
        let left = server.histories[&timeline].iter().find(|(_, end)| n < end / SIZE);
        left.map_or(timeline, |(parent, _)| *parent)
    }

    /// The number of the last segment that can be replayed from `made` towards `timeline`; none where it is not on the way.
    fn reach(&self, server: &Server, made: &MadeBackup, timeline: u32) -> Option<u64> {
        let left = server.histories[&timeline].iter().find(|(parent, _)| *parent == made.timeline);
        let on_way =
            made.timeline == timeline || left.is_some_and(|(_, end)| made.segment * SIZE + 900 <= *end);
        let is_there = |n: &u64| {
            let timeline = Timeline(Self::timeline_of(server, timeline, *n));
            let name = WalName::from(Segment { timeline, number: *n, size: SIZE });
            self.world.size(&server.system.key(&name.path())).is_some()
        };
        on_way.then(|| (made.segment + 1..).take_while(is_there).last().unwrap_or(made.segment))
    }

    /// The timeline before and the end of what counts of its segment `n`, where the way to `timeline` leaves it there and its
    /// copy alone was stored.
    fn find_left_segment(&self, server: &Server, timeline: u32, n: u64) -> Option<(u32, u64)> {
        let (parent, end) = server.histories[&timeline].iter().find(|(_, end)| end / SIZE == n)?;
        let name = WalName::from(Segment { timeline: Timeline(*parent), number: n, size: SIZE });
        self.world.size(&server.system.key(&name.path())).map(|_| (*parent, *end))
    }

    fn judge(&self, status: &Status, objectives: &Objectives) {
        let point = self.evidence.newest_point();
        let loss = match (self.server(), point) {
            (Some(server), Some(point)) => self.judge_point(server, point, status),
            _ => {
                assert_eq!(
                    (status.restorable_to, status.covered_since, status.recovery_seconds),
                    (None, None, None)
                );
                None
            }
        };
        assert!(status.loss_seconds.is_none() || status.loss_seconds >= loss, "{status:?}: {loss:?}");
        // Only a server that answers says that it wrote nothing since.
        assert!(status.loss_seconds != Some(0) || self.evidence.written.is_some(), "{status:?}");
        self.judge_proofs(status);
        let findings = self.evidence.judge(status, objectives);
        let of = |id: &str| findings.iter().find(|f| f.rule.id == id).expect("it is told").severity;
        let ok = |id: &str, limit: Option<Span>, truth: Option<u64>| {
            let met = truth.is_some_and(|truth| limit.is_none_or(|limit| truth <= limit.0.as_secs()));
            assert!(of(id) != Severity::Ok || met, "{id}: {status:?}: {truth:?} of {limit:?}");
        };
        ok(rulebook::RECOVERY_POINT.id, objectives.rpo, loss);
        ok(rulebook::RECOVERY_TIME.id, objectives.rto, status.recovery_seconds);
        let timers =
            self.evidence.units.as_ref().map_or(0, |units| units.iter().filter(|u| u.is_on()).count());
        assert!(of(rulebook::NEXT_RUN.id) != Severity::Ok || timers > 0);
        let set = [objectives.rpo, objectives.rto, objectives.window].iter().flatten().count();
        let single =
            [&rulebook::RECOVERY_POINT, &rulebook::RECOVERY_TIME, &rulebook::WINDOW].map(|rule| of(rule.id));
        let all = set < 3 || single.iter().all(|s| *s == Severity::Ok);
        assert!(of(rulebook::OBJECTIVES.id) != Severity::Ok || all, "{status:?}: {single:?}");
    }

    /// Seconds that are truly lost; asserts that what is claimed of moments can be restored.
    fn judge_point(&self, server: &Server, point: RestorePoint, status: &Status) -> Option<u64> {
        let timeline = point.timeline.0;
        let usable = self.usable(&server.system);
        let time = |n: u64| server.moments.get(&(Self::timeline_of(server, timeline, n), n)).copied();
        let reaches: Vec<(&MadeBackup, u64)> =
            usable.iter().filter_map(|m| Some((*m, self.reach(server, m, timeline)?))).collect();
        let (_, last) = reaches.iter().max_by_key(|(_, n)| *n).expect("something leads to what is claimed");
        let left = self.find_left_segment(server, timeline, last + 1);
        let end = left.map_or((last + 1) * SIZE, |(_, end)| end);
        assert!(point.to.0 <= end, "{point:?} lies after {end}, in or after segment {last}");
        let newest = reaches
            .iter()
            .map(|(m, n)| if *n == m.segment { m.ended } else { time(*n).unwrap_or(m.ended) })
            .chain(left.and_then(|(parent, _)| server.moments.get(&(parent, last + 1)).copied()))
            .max();
        if let (Some(claimed), Some(newest)) = (status.restorable_to, newest) {
            assert!(claimed.as_second() <= newest, "{claimed} is after {newest}");
        }
        if let Some(since) = status.covered_since {
            let claimed = point.to.0.min((last + 1) * SIZE).div_ceil(SIZE);
            // Of a clock that was wrong and that no other date contradicts nobody can know.
            let by_then = |m: &MadeBackup| m.ended <= since.as_second() || !m.dated;
            let leads = reaches.iter().filter(|(m, n)| by_then(m) && n + 1 >= claimed);
            assert!(leads.count() > 0, "nothing leads from {since} to {point:?}");
        }
        // A server that wrote nothing after what is stored loses nothing.
        let all = server.moments.keys().filter(|(t, _)| *t == server.current).map(|(_, n)| *n).max();
        if timeline == server.current && all.is_none_or(|n| n <= *last) {
            return Some(0);
        }
        newest.map(|newest| (self.world.now - newest).max(0).unsigned_abs())
    }

    fn judge_proofs(&self, status: &Status) {
        let made = &self.world.made;
        let verified = made.iter().filter_map(|m| m.verified).max();
        assert!(status.verified.map(Timestamp::as_second) <= verified, "{status:?}");
        let passed = made.iter().filter_map(|m| m.passed).max();
        assert!(status.drilled.map(Timestamp::as_second) <= passed, "{status:?}");
        // The drills of the model measure nothing.
        assert_eq!((status.recovery_seconds, status.key_tested), (None, None));
    }
}
