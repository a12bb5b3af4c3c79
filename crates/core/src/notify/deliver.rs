//! Delivery: every channel at once, its messages in order, all inside one budget.

use super::mail::Mail;
use super::message::Message;
use super::slack::Slack;
use super::state::Memory;
use crate::error::Error;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// The longest wait for one answer.
const ONE_TRY: Duration = Duration::from_secs(10);
/// The first pause before another try; each that follows is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// A way to reach people.
pub(super) enum Channel {
    Mail(Mail),
    Slack(Slack),
}

/// How one try went wrong.
pub(super) enum Trouble {
    /// Another try may do, this long from now or after a growing pause.
    Soon(Error, Option<Duration>),
    /// Not in this run.
    Later(Error),
    /// Never: the message was refused.
    Refused(Error),
}

/// A channel and what it is to be told.
pub(super) struct Work {
    pub(super) name: &'static str,
    pub(super) channel: Channel,
    pub(super) messages: Vec<Message>,
}

enum News {
    Delivered(&'static str),
    Refused(&'static str, Error),
    Kept(&'static str, Error),
}

/// Delivers all `work` by `until` and notes in `memory` what became of it. A server that drips byte after byte
/// outlasts every time-out of a single read: so each channel has a thread, which is left behind at `until`.
pub(super) fn all(work: Vec<Work>, until: Instant, memory: &mut Memory) {
    let (say, hear) = channel();
    let mut open: Vec<&'static str> = work.iter().map(|w| w.name).collect();
    for work in work {
        let say = say.clone();
        std::thread::spawn(move || one(work, until, &say));
    }
    drop(say);
    listen(&hear, until, memory, &mut open);
    for name in open {
        log::warn!("{name}: no answer in the time that telling may take; kept for the next run");
        memory.failed(name, 1);
    }
}

/// Takes what the threads say; leaves in `open` the channels that have not ended by `until`.
fn listen(hear: &Receiver<News>, until: Instant, memory: &mut Memory, open: &mut Vec<&'static str>) {
    loop {
        match hear.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(news) => note(news, memory, open),
            Err(RecvTimeoutError::Disconnected) => return open.clear(),
            Err(RecvTimeoutError::Timeout) => return,
        }
    }
}

fn note(news: News, memory: &mut Memory, open: &mut Vec<&'static str>) {
    match news {
        News::Delivered(name) => {
            memory.channel(name).delivered();
            // At once: whoever kills us now must not make the next run say it again.
            memory.save();
            open.retain(|n| *n != name || !memory.channel(name).pending().is_empty());
        }
        News::Refused(name, e) => {
            log::warn!("{name}: the notification was refused: {}", e.chain());
            memory.channel(name).refused();
            memory.failed(name, 1);
            open.retain(|n| *n != name || !memory.channel(name).pending().is_empty());
        }
        News::Kept(name, e) => {
            log::warn!("{name}: the notification is kept for the next run: {}", e.chain());
            memory.failed(name, 1);
            open.retain(|n| *n != name);
        }
    }
}

/// Sends one channel's messages in order, until one must wait for the next run.
fn one(work: Work, until: Instant, say: &Sender<News>) {
    for message in &work.messages {
        let news = match persist(&work.channel, message, until) {
            Ok(()) => News::Delivered(work.name),
            Err(Trouble::Refused(e)) => News::Refused(work.name, e),
            Err(Trouble::Later(e) | Trouble::Soon(e, _)) => {
                let _ = say.send(News::Kept(work.name, e));
                return;
            }
        };
        let _ = say.send(news);
    }
}

/// Tries until it works, is refused, or the time is up.
fn persist(channel: &Channel, message: &Message, until: Instant) -> Result<(), Trouble> {
    let mut pause = PAUSE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let (e, wait) = match channel.send(message, left.min(ONE_TRY)) {
            Err(Trouble::Soon(e, wait)) => (e, wait.unwrap_or(pause)),
            settled => return settled,
        };
        if wait >= until.saturating_duration_since(Instant::now()) || crate::shutdown::due() {
            return Err(Trouble::Later(e));
        }
        std::thread::sleep(wait);
        pause *= 2;
    }
}

impl Channel {
    fn send(&self, message: &Message, limit: Duration) -> Result<(), Trouble> {
        match self {
            Channel::Mail(mail) => mail.send(message, limit),
            Channel::Slack(slack) => slack.send(message, limit),
        }
    }
}
