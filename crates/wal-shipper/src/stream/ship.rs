//! The shipper: stores what the backlog has, oldest first, and tries for as long as it takes.

use super::backlog::{Backlog, Load};
use super::lanes::{Lanes, Thing};
use super::sweep::Sweeper;
use std::sync::Arc;
use std::time::Duration;
use toban_core::repo::archive::{Conflict, Tail};
use toban_core::wal::WalName;
use toban_core::{Context, Result, shutdown};

pub(super) struct Shipper {
    pub(super) backlog: Arc<Backlog>,
    pub(super) lanes: Lanes,
    pub(super) sweeper: Sweeper,
    pub(super) level: i32,
}

const PAUSE: Duration = Duration::from_millis(500);
const SLOWEST_PAUSE: Duration = Duration::from_secs(1);

impl Shipper {
    /// Starts it; it ends with the process, or with what no other try can mend.
    pub(super) fn start(self) -> Result<()> {
        let spawned = std::thread::Builder::new().name("ship".into()).spawn(move || self.run());
        spawned.map(drop).doing(|| "start a thread".into())
    }

    fn run(&self) {
        while !shutdown::due() {
            let Some(load) = self.backlog.next(Duration::from_secs(1)) else { continue };
            if !self.ship(&load) {
                return;
            }
        }
    }

    /// Whether it is stored; false only when that cannot be.
    fn ship(&self, load: &Load) -> bool {
        let mut pause = PAUSE;
        loop {
            let e = match self.store(load) {
                Ok(()) => break,
                Err(e) => e,
            };
            if Conflict::caused(&e) || shutdown::due() {
                self.backlog.fail(e);
                return false;
            }
            if pause == PAUSE {
                log::warn!("{}; the server keeps its WAL until it is stored", e.chain());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(SLOWEST_PAUSE);
        }
        if pause > PAUSE {
            log::warn!("storing works again");
        }
        self.backlog.done(load);
        if load.is_whole() {
            self.sweeper.whole(WalName::from(load.segment));
        }
        true
    }

    fn store(&self, load: &Load) -> Result<()> {
        let name = WalName::from(load.segment);
        let compressed = load.spool.compressed(load.from..load.to, self.level)?;
        log::debug!("store {name} from {:X} to {:X}", load.from, load.to);
        self.lanes.store(match load.is_whole() {
            true => Thing::File(name, compressed),
            false => Thing::Tail(Tail::new(name, load.from, load.to - load.from), compressed),
        })
    }
}
