//! SIGTERM and SIGINT: the children end, reads and waits return an error, guards clean up, the status is 75.
//!
//! For a systemd oneshot these signals are not clean exits, so a stopped job must undo what it began.
//! A second signal ends the process at once.
//!
//! A service that has something to finish first calls [`defer`]: then the first signal only requests the end.

use crate::error::{Error, Result};
use crate::sync::lock;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

static DUE: AtomicBool = AtomicBool::new(false);
static DEFERRED: AtomicBool = AtomicBool::new(false);
static INTERRUPTED_CHILD: AtomicBool = AtomicBool::new(false);
static REQUESTED: AtomicBool = AtomicBool::new(false);
static CHILDREN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Begins to listen; called once by [`crate::main`].
pub(crate) fn listen() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGTERM, SIGINT]) else { return };
    std::thread::spawn(move || {
        for signal in &mut signals {
            // The terminal sends it to every process of the foreground group (termios(3), ISIG): the child has it
            // already, and to psql it cancels a query.
            if signal == SIGINT && INTERRUPTED_CHILD.load(Ordering::SeqCst) {
                continue;
            }
            if !REQUESTED.swap(true, Ordering::SeqCst) && DEFERRED.load(Ordering::SeqCst) {
                log::info!("asked to stop: finishing what was begun");
                continue;
            }
            if DUE.swap(true, Ordering::SeqCst) {
                // EX_TEMPFAIL, as for the first signal: what was begun is not undone, and the next run does it.
                signal_hook::low_level::exit(75);
            }
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            log::warn!("{name}: stopping and cleaning up; once more to stop at once");
            lock(&CHILDREN).iter().for_each(|id| end_child(*id));
        }
    });
}

fn end_child(id: u32) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Whether waits and loops must be broken off now.
pub fn due() -> bool {
    DUE.load(Ordering::SeqCst)
}

/// From now on the first signal only makes [`requested`] true; stores and waits go on until [`force`] or a second signal.
pub fn defer() {
    DEFERRED.store(true, Ordering::SeqCst);
}

/// From now on SIGINT is left to the child that has the terminal, which gets it too.
pub fn leave_interrupts() {
    INTERRUPTED_CHILD.store(true, Ordering::SeqCst);
}

/// Whether a signal came.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Ends what [`defer`] began: what still waits is broken off.
pub fn force() {
    DUE.store(true, Ordering::SeqCst);
}

/// For loops: goes on unless the process was told to stop.
///
/// # Errors
/// Retry, once a signal came.
pub fn check() -> Result<()> {
    if due() { Err(Error::retry("stopped by a signal")) } else { Ok(()) }
}

/// A child process that ends with its owner: told to stop by our signals, killed and reaped on drop.
pub struct Guarded(Child);

impl Guarded {
    /// Takes `child` in charge.
    pub fn new(child: Child) -> Guarded {
        // Entered first, and looked at after: a signal between the start of the child and this line did not reach it.
        lock(&CHILDREN).insert(child.id());
        if due() {
            end_child(child.id());
        }
        Guarded(child)
    }

    /// The child, to take its pipes or to wait.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        lock(&CHILDREN).remove(&self.0.id());
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            // Waited for as well: a child that is only killed stays a zombie until we end, and its pipes may still be
            // open.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
