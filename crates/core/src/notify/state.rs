//! What each channel was told last of a job, and what it is still to be told: one small file per job.

use super::config::On;
use super::decide::{Standing, decide};
use super::message::{Message, Outcome};
use crate::durable::{self, Lock};
use crate::error::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Messages that wait per channel; the oldest goes when one more comes.
pub(super) const SPOOL: usize = 20;
/// No state is larger: 2 channels, 20 messages of 10 kB each, with room.
const LARGEST: u64 = 4 << 20;

/// One channel's memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    /// How the job stood when the channel last heard of it.
    last: Option<Standing>,
    /// What it is still to be told, in order.
    spool: Vec<Message>,
}

impl Told {
    /// Adds the message of `outcome` to what waits, if it is news to whoever reads this channel to its end.
    pub(super) fn news(&mut self, outcome: &Outcome, on: On) {
        let previous = self.spool.last().map(|m| m.standing).or(self.last);
        let event = decide(previous, outcome.standing(), on);
        match event {
            Some(event) => self.add(Message::new(outcome, event)),
            // What was not worth telling still changes what comes next: fail, fine, fail is two failures.
            None if self.spool.is_empty() => self.last = Some(outcome.standing()),
            None => {}
        }
    }

    fn add(&mut self, message: Message) {
        self.spool.push(message);
        if self.spool.len() > SPOOL {
            let lost = self.spool.remove(0);
            log::warn!("too many notifications wait; dropped the oldest: {}", lost.subject);
        }
    }

    /// What waits, in order.
    pub(super) fn pending(&self) -> &[Message] {
        &self.spool
    }

    /// The first message that waits was delivered.
    pub(super) fn delivered(&mut self) {
        if !self.spool.is_empty() {
            self.last = Some(self.spool.remove(0).standing);
        }
    }

    /// The first message that waits was refused for good. The channel has not heard it, so that a failure which
    /// lasts is news again at the next run, when the address may have been mended.
    pub(super) fn refused(&mut self) {
        if !self.spool.is_empty() {
            self.spool.remove(0);
        }
    }
}

/// How often a channel could not be told, ever, and how many messages wait for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally(pub(crate) BTreeMap<String, (u64, usize)>);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct File {
    schema: String,
    channels: BTreeMap<String, Told>,
    failures: BTreeMap<String, u64>,
}

impl File {
    fn counts(&self) -> Tally {
        let failed = self.failures.iter().map(|(name, n)| (name.clone(), (*n, 0)));
        let mut counts: BTreeMap<String, (u64, usize)> = failed.collect();
        for (name, told) in &self.channels {
            counts.entry(name.clone()).or_default().1 = told.spool.len();
        }
        Tally(counts)
    }
}

/// A job's file. Trouble with it is warned of, and telling goes on without memory.
pub(super) struct Memory {
    path: PathBuf,
    file: File,
    lock: Option<Lock>,
}

impl Memory {
    /// Reads what is remembered of `job` and keeps others out until it is dropped.
    pub(super) fn open(job: &str) -> Memory {
        let path = path_of(job);
        let lock = Lock::take(&path.with_extension("lock"), &format!("telling of {job}"));
        let lock = lock.inspect_err(|e| log::warn!("notifications go without memory: {}", e.chain())).ok();
        let file = if lock.is_some() { read(&path) } else { Ok(File::default()) };
        let file = file.unwrap_or_else(|e| {
            log::warn!("what was notified before is lost: {}", e.chain());
            File::default()
        });
        Memory { path, file, lock }
    }

    /// The memory of one channel.
    pub(super) fn channel(&mut self, name: &str) -> &mut Told {
        self.file.channels.entry(name.to_string()).or_default()
    }

    /// Counts `failures` more of a channel.
    pub(super) fn failed(&mut self, name: &str, failures: u64) {
        *self.file.failures.entry(name.to_string()).or_default() += failures;
    }

    /// What could not be told so far.
    pub(super) fn counts(&self) -> Tally {
        self.file.counts()
    }

    /// Writes what is remembered.
    pub(super) fn save(&mut self) {
        if self.lock.is_none() {
            return;
        }
        self.file.schema = "toban.notify/1".to_string();
        let json = serde_json::to_vec(&self.file).doing(|| "write what was notified".into());
        let saved = json.and_then(|bytes| {
            durable::replace(&self.path, 0o600, |w| w.write_all(&bytes).doing(|| "write".into()))
        });
        if let Err(e) = saved {
            log::warn!("what was notified is not remembered: {}", e.chain());
        }
    }
}

/// What could not be told of `job` so far; nothing when its file cannot be read, which [`Memory::open`] will say.
pub(super) fn counts(job: &str) -> Tally {
    read(&path_of(job)).unwrap_or_default().counts()
}

fn path_of(job: &str) -> PathBuf {
    durable::state_dir().join("notify").join(format!("{job}.json"))
}

fn read(path: &Path) -> Result<File> {
    let doing = || format!("read {}", path.display());
    let mut text = String::new();
    match std::fs::File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        opened => opened.doing(doing)?.take(LARGEST).read_to_string(&mut text).doing(doing)?,
    };
    serde_json::from_str(&text).doing(doing)
}

#[cfg(test)]
mod tests {
    use super::super::decide::Event;
    use super::super::message::tests::outcome;
    use super::*;

    fn waiting(told: &Told) -> Vec<Event> {
        told.pending().iter().map(|m| m.event).collect()
    }

    #[test]
    fn a_short_alert_that_ended_before_its_delivery_is_told_whole() {
        let mut told = Told::default();
        for status in [0, 75, 75, 5, 0, 0] {
            told.news(&outcome(status, "x"), On::Change);
        }
        assert_eq!(waiting(&told), [Event::Failed, Event::Changed, Event::Resolved]);
    }

    #[test]
    fn what_was_refused_is_news_again_and_what_was_delivered_is_not() {
        let mut told = Told::default();
        told.news(&outcome(1, "x"), On::Change);
        told.refused();
        told.news(&outcome(1, "x"), On::Change);
        assert_eq!(waiting(&told), [Event::Failed]);
        told.delivered();
        told.news(&outcome(1, "x"), On::Change);
        assert!(waiting(&told).is_empty());
    }

    #[test]
    fn the_spool_is_bounded_and_keeps_the_newest() {
        let mut told = Told::default();
        for n in 0..100 {
            told.news(&outcome(n % 2, "x"), On::Always);
        }
        assert_eq!(told.pending().len(), SPOOL);
        assert_eq!(waiting(&told).last(), Some(&Event::Failed));
    }

    #[test]
    fn a_success_in_between_makes_the_next_failure_a_first_one() {
        let mut told = Told::default();
        for status in [1, 0, 1] {
            told.news(&outcome(status, "x"), On::Failure);
            told.delivered();
        }
        told.last = Some(Standing::Failed(1));
        told.news(&outcome(0, "x"), On::Failure);
        told.news(&outcome(1, "x"), On::Failure);
        assert_eq!(waiting(&told), [Event::Failed]);
    }
}
