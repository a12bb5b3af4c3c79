//! Random histories of a repository against a model that knows the true time of everything: what was promised is there
//! after every prune, also one that was killed; what the plan says is what is done; and what was deleted comes back.

mod judge;
pub(crate) mod world;

use judge::Seen;
use testkit::play_histories;
use toban_core::config::{Keep, Span};
use world::{DAY, HOUR, World};

/// Steps of one history.
const STEPS: u64 = 45;

/// A history in which a promise was broken once: the first backup of a rebuilt server, by a clock of years before, was the oldest
/// of all.
const BROKEN_ONCE: u64 = 7_393_784_736_388_235_147;

#[test]
fn random_histories_keep_every_promise() {
    play(BROKEN_ONCE);
    play_histories(500, play);
}

/// One history, made again from its number.
fn play(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..15 + world.dice.below(STEPS) {
        match world.dice.below(100) {
            0..=29 => world.wait(),
            30..=54 => world.back_up(),
            55..=59 => world.begin_run(),
            60..=65 => world.end_run(),
            66..=68 => world.change_timeline(),
            69 => world.begin_system(),
            70..=74 => world.verify(),
            75..=78 => world.drill(),
            79 => world.lose_pack(),
            80 => world.damage_manifest(),
            81..=82 => world.mend_manifests(),
            83..=85 => world.pin(),
            86..=88 => undo(&mut world),
            _ => prune(&mut world),
        }
    }
    clear(&mut world);
}

/// Rules at random.
fn choose_rules(world: &mut World) -> Keep {
    let dice = &mut world.dice;
    let mut some = |end: u64| (dice.below(3) == 0).then(|| u32::try_from(dice.below(end)).expect("small"));
    let (last, daily, weekly, min) = (some(4), some(5), some(3), some(3).map(|n| n.max(1)));
    let mut span = |end: i64| {
        let hours = (dice.below(3) == 0).then(|| dice.below(end.unsigned_abs()))?;
        Some(Span(std::time::Duration::from_secs(hours * HOUR.unsigned_abs())))
    };
    let (within, wal, undelete) = (span(200), span(300), span(150));
    Keep { last, daily, weekly, min, within, wal, undelete, ..Keep::default() }
}

/// A prune to its end, or killed on its way.
fn prune(world: &mut World) {
    let keep = choose_rules(world);
    let before = Seen::look(world);
    let as_of = world.now + if world.dice.below(10) == 0 { 40 * DAY } else { 0 };
    let planned = world.plan(&keep, as_of);
    let kill = (world.dice.below(3) == 0).then(|| world.dice.index(planned.operations() + 1));
    let done = world.prune(&keep, as_of, kill);
    let after = Seen::look(world);
    if kill.is_none() {
        planned.assert_done(&done, &before, &after);
    }
    world.assert_promises(&keep, as_of, &before, &after);
    world.note_deletions(&before, &after);
}

/// `--undo` of everything.
fn undo(world: &mut World) {
    let undelete = (world.dice.below(2) == 0).then(|| Span(std::time::Duration::from_secs(3 * 86_400)));
    let before = Seen::look(world);
    world.undo(undelete);
    let after = Seen::look(world);
    world.assert_undone(undelete, &before, &after);
}

/// When nobody runs and nothing can be put back any more, nothing is there but what backups need.
fn clear(world: &mut World) {
    world.mend_manifests();
    world.end_all();
    let keep = Keep { last: Some(3), ..Keep::default() };
    // A date that was in the future may be believed later, and another backup go then: until there is nothing to do.
    for _ in 0..12 {
        world.now += 10 * DAY;
        let now = world.now;
        let idle = world.plan(&keep, now).operations() == 0;
        world.prune(&keep, now, None);
        if idle {
            break;
        }
    }
    world.assert_nothing_left_over();
}
