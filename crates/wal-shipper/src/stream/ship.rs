//! The shipper: stores what the backlog has, oldest first, and tries for as long as it takes.

use super::backlog::{Backlog, Load};
use super::repo_writers::{RepoWriters, WalObject};
use super::sweep::Sweeper;
use std::sync::Arc;
use std::time::Duration;
use toban_core::repo::archive::{Conflict, Tail};
use toban_core::wal::WalName;
use toban_core::{Context, Result, shutdown};

pub(super) struct Shipper {
    pub(super) backlog: Arc<Backlog>,
    pub(super) writers: RepoWriters,
    pub(super) sweeper: Sweeper,
    pub(super) level: i32,
}

const PAUSE: Duration = Duration::from_millis(500);
const SLOWEST_PAUSE: Duration = Duration::from_secs(1);

impl Shipper {
    /// Starts it; it ends with the process, or with an error that no other try can change.
    pub(super) fn start(self) -> Result<()> {
        let spawned = std::thread::Builder::new().name("ship".into()).spawn(move || self.ship_all());
        spawned.map(drop).doing(|| "start a thread".into())
    }

    fn ship_all(&self) {
        while !shutdown::due() {
            let Some(load) = self.backlog.wait_for_load(Duration::from_secs(1)) else { continue };
            if !self.ship_load(&load) {
                return;
            }
        }
    }

    /// Whether it is stored; false only when that cannot be.
    fn ship_load(&self, load: &Load) -> bool {
        let mut pause = PAUSE;
        loop {
            let e = match self.store_load(load) {
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
        // Only now, when every required repository has it durable: what the backlog calls stored is reported to the server
        // as flushed, and the server then removes it (manual, "Streaming Replication Protocol", Standby status update).
        self.backlog.mark_stored(load);
        if load.is_whole() {
            self.sweeper.sweep_later(WalName::from(load.segment));
        }
        true
    }

    fn store_load(&self, load: &Load) -> Result<()> {
        let name = WalName::from(load.segment);
        let compressed = load.spool.compress(load.from..load.to, self.level)?;
        log::debug!("store {name} from {:X} to {:X}", load.from, load.to);
        self.writers.store_object(match load.is_whole() {
            true => WalObject::File(name, compressed),
            false => WalObject::Tail(Tail::new(name, load.from, load.to - load.from), compressed),
        })
    }
}
