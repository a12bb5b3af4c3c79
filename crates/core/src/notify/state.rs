//! What each channel was notified of last, and what is still pending: one small file for each job.

use super::decide::{Standing, decide};
use super::message::Message;
use crate::config::NotifyOn;
use crate::durable::{self, Lock};
use crate::error::{Context, Result};
use crate::run_record::RunRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Messages that wait per channel; the oldest goes when one more comes.
pub(super) const SPOOL: usize = 20;
/// No state is larger: 2 channels, 20 messages of 10 kB each, with room.
const LARGEST: u64 = 4 << 20;

/// One channel's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ChannelState {
    /// How the job stood when the channel was last notified of it.
    last: Option<Standing>,
    /// What is pending, in order.
    spool: Vec<Message>,
}

impl ChannelState {
    /// Adds the message about `run` to what is pending, if it is news to whoever reads this channel to its end.
    pub(super) fn add_news(&mut self, run: &RunRecord, on: NotifyOn) {
        let previous = self.spool.last().map(|m| m.standing).or(self.last);
        match decide(previous, run.standing(), on) {
            Some(event) => self.add_message(Message::new(run, event)),
            // What was not worth a message still changes what comes next: fail, fine, fail is two failures.
            None if self.spool.is_empty() => self.last = Some(run.standing()),
            None => {}
        }
    }

    fn add_message(&mut self, message: Message) {
        self.spool.push(message);
        if self.spool.len() > SPOOL {
            let lost = self.spool.remove(0);
            log::warn!("too many notifications wait; dropped the oldest: {}", lost.subject);
        }
    }

    /// What is pending, in order.
    pub(super) fn pending(&self) -> &[Message] {
        &self.spool
    }

    /// The first pending message was delivered.
    pub(super) fn set_delivered(&mut self) {
        if !self.spool.is_empty() {
            // What was delivered, and not how the job stands by now: that is what the reader of this channel
            // remembers.
            self.last = Some(self.spool.remove(0).standing);
        }
    }

    /// The first pending message was refused for good. The channel was not notified, so that a failure which lasts is
    /// news again at the next run, when the address may have been corrected.
    pub(super) fn set_refused(&mut self) {
        if !self.spool.is_empty() {
            self.spool.remove(0);
        }
    }
}

/// How often a channel could not be notified, ever, and how many messages are pending for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NotifyCounts(pub(crate) BTreeMap<String, (u64, usize)>);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct StateFile {
    schema: String,
    channels: BTreeMap<String, ChannelState>,
    failures: BTreeMap<String, u64>,
}

impl StateFile {
    fn counts(&self) -> NotifyCounts {
        let failed = self.failures.iter().map(|(name, n)| (name.clone(), (*n, 0)));
        let mut counts: BTreeMap<String, (u64, usize)> = failed.collect();
        for (name, channel) in &self.channels {
            counts.entry(name.clone()).or_default().1 = channel.spool.len();
        }
        NotifyCounts(counts)
    }
}

/// A job's state file. When it cannot be used that is warned of, and notifying goes on without it.
pub(super) struct NotifyState {
    path: PathBuf,
    file: StateFile,
    lock: Option<Lock>,
}

impl NotifyState {
    /// Reads what is remembered of `job` and keeps others out until it is dropped.
    pub(super) fn open(job: &str) -> NotifyState {
        let path = state_path(job);
        let lock = Lock::take(&path.with_extension("lock"), &format!("notifying of {job}"));
        let lock =
            lock.inspect_err(|e| log::warn!("what was notified before is not known: {}", e.chain())).ok();
        // Without the lock nothing is read and nothing written: two runs of one job would each take the other's
        // message for delivered. Then a message may come twice, and none is lost.
        let file = if lock.is_some() { read_state(&path) } else { Ok(StateFile::default()) };
        let file = file.unwrap_or_else(|e| {
            log::warn!("what was notified before is lost: {}", e.chain());
            StateFile::default()
        });
        NotifyState { path, file, lock }
    }

    /// The state of one channel.
    pub(super) fn channel(&mut self, name: &str) -> &mut ChannelState {
        self.file.channels.entry(name.to_string()).or_default()
    }

    /// Counts `failures` more of a channel.
    pub(super) fn count_failures(&mut self, name: &str, failures: u64) {
        *self.file.failures.entry(name.to_string()).or_default() += failures;
    }

    /// What could not be notified so far.
    pub(super) fn counts(&self) -> NotifyCounts {
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

/// What could not be notified of `job` so far; nothing when its file cannot be read, of which [`NotifyState::open`] warns.
pub(crate) fn read_counts(job: &str) -> NotifyCounts {
    read_state(&state_path(job)).unwrap_or_default().counts()
}

/// Messages that a channel did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The job that they are of, by the name of its files.
    pub job: String,
    /// The channel.
    pub channel: String,
    /// How many wait.
    pub waiting: usize,
}

/// What waits to be notified on this machine, of whatever job; a file that does not read is passed over.
pub fn list_undelivered() -> Vec<Undelivered> {
    let folder = durable::state_dir().join("notify");
    let paths = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all = Vec::new();
    for path in paths.filter(|path| path.extension().is_some_and(|e| e == "json")) {
        let Ok(state) = read_state(&path) else { continue };
        let job = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let waiting = state.counts().0.into_iter().map(|(channel, (_, waiting))| (channel, waiting));
        all.extend(waiting.filter(|(_, waiting)| *waiting > 0).map(|(channel, waiting)| Undelivered {
            job: job.clone(),
            channel,
            waiting,
        }));
    }
    all.sort_by(|a, b| (&a.job, &a.channel).cmp(&(&b.job, &b.channel)));
    all
}

fn state_path(job: &str) -> PathBuf {
    durable::state_dir().join("notify").join(format!("{job}.json"))
}

fn read_state(path: &Path) -> Result<StateFile> {
    let doing = || format!("read {}", path.display());
    let mut text = String::new();
    match std::fs::File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(StateFile::default()),
        opened => opened.doing(doing)?.take(LARGEST).read_to_string(&mut text).doing(doing)?,
    };
    serde_json::from_str(&text).doing(doing)
}

#[cfg(test)]
mod tests {
    use super::super::decide::Event;
    use super::super::message::tests::run;
    use super::*;

    fn pending(state: &ChannelState) -> Vec<Event> {
        state.pending().iter().map(|m| m.event).collect()
    }

    #[test]
    fn a_short_alert_that_ended_before_its_delivery_is_notified_whole() {
        let mut state = ChannelState::default();
        for status in [0, 75, 75, 5, 0, 0] {
            state.add_news(&run(status, "x"), NotifyOn::Change);
        }
        assert_eq!(pending(&state), [Event::Failed, Event::Changed, Event::Resolved]);
    }

    #[test]
    fn what_was_refused_is_news_again_and_what_was_delivered_is_not() {
        let mut state = ChannelState::default();
        state.add_news(&run(1, "x"), NotifyOn::Change);
        state.set_refused();
        state.add_news(&run(1, "x"), NotifyOn::Change);
        assert_eq!(pending(&state), [Event::Failed]);
        state.set_delivered();
        state.add_news(&run(1, "x"), NotifyOn::Change);
        assert!(pending(&state).is_empty());
    }

    #[test]
    fn the_spool_is_bounded_and_keeps_the_newest() {
        let mut state = ChannelState::default();
        for n in 0..100 {
            state.add_news(&run(n % 2, "x"), NotifyOn::Always);
        }
        assert_eq!(state.pending().len(), SPOOL);
        assert_eq!(pending(&state).last(), Some(&Event::Failed));
    }

    #[test]
    fn a_success_in_between_makes_the_next_failure_a_first_one() {
        let mut state = ChannelState::default();
        for status in [1, 0, 1] {
            state.add_news(&run(status, "x"), NotifyOn::Failure);
            state.set_delivered();
        }
        state.last = Some(Standing::Failed(1));
        state.add_news(&run(0, "x"), NotifyOn::Failure);
        state.add_news(&run(1, "x"), NotifyOn::Failure);
        assert_eq!(pending(&state), [Event::Failed]);
    }
}
