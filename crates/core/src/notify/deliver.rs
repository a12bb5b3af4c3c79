//! Delivery: every channel at once, its messages in order, all inside one budget.

use super::mail::Mail;
use super::message::Message;
use super::slack::Slack;
use super::state::NotifyState;
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

/// Why a message was not sent.
pub(super) enum SendError {
    /// Another try may do, this long from now or after a growing pause.
    Transient(Error, Option<Duration>),
    /// Not in this run.
    NotNow(Error),
    /// Never: the message was refused.
    Refused(Error),
}

/// A channel and what is pending for it.
pub(super) struct Delivery {
    pub(super) name: &'static str,
    pub(super) channel: Channel,
    pub(super) messages: Vec<Message>,
}

/// What became of the first pending message of a channel.
enum Progress {
    Delivered(&'static str),
    Refused(&'static str, Error),
    Kept(&'static str, Error),
}

/// Delivers by `until` and records in `state` what became of each message. A server that drips byte after byte outlasts
/// every time-out of a single read: so each channel has a thread, which is abandoned at `until`.
pub(super) fn deliver_all(deliveries: Vec<Delivery>, until: Instant, state: &mut NotifyState) {
    let (sender, progress) = channel();
    let mut open: Vec<&'static str> = deliveries.iter().map(|d| d.name).collect();
    for delivery in deliveries {
        let sender = sender.clone();
        std::thread::spawn(move || deliver_in_order(delivery, until, &sender));
    }
    drop(sender);
    record_until(&progress, until, state, &mut open);
    for name in open {
        log::warn!("{name}: no answer in the time that notifications may take; kept for the next run");
        state.count_failures(name, 1);
    }
}

/// Records what the threads report; leaves in `open` the channels that have not ended by `until`.
fn record_until(
    progress: &Receiver<Progress>,
    until: Instant,
    state: &mut NotifyState,
    open: &mut Vec<&'static str>,
) {
    loop {
        match progress.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(progress) => record_progress(progress, state, open),
            Err(RecvTimeoutError::Disconnected) => return open.clear(),
            Err(RecvTimeoutError::Timeout) => return,
        }
    }
}

fn record_progress(progress: Progress, state: &mut NotifyState, open: &mut Vec<&'static str>) {
    match progress {
        Progress::Delivered(name) => {
            state.channel(name).set_delivered();
            // Saved at once: whoever kills us now must not make the next run send it again.
            state.save();
            open.retain(|n| *n != name || !state.channel(name).pending().is_empty());
        }
        Progress::Refused(name, e) => {
            log::warn!("{name}: the notification was refused: {}", e.chain());
            state.channel(name).set_refused();
            state.count_failures(name, 1);
            open.retain(|n| *n != name || !state.channel(name).pending().is_empty());
        }
        Progress::Kept(name, e) => {
            log::warn!("{name}: the notification is kept for the next run: {}", e.chain());
            state.count_failures(name, 1);
            open.retain(|n| *n != name);
        }
    }
}

/// Sends one channel's messages in order, until one must wait for the next run.
fn deliver_in_order(delivery: Delivery, until: Instant, sender: &Sender<Progress>) {
    for message in &delivery.messages {
        let progress = match send_with_retries(&delivery.channel, message, until) {
            Ok(()) => Progress::Delivered(delivery.name),
            Err(SendError::Refused(e)) => Progress::Refused(delivery.name, e),
            Err(SendError::NotNow(e) | SendError::Transient(e, _)) => {
                let _ = sender.send(Progress::Kept(delivery.name, e));
                return;
            }
        };
        let _ = sender.send(progress);
    }
}

/// Tries until it works, is refused, or the time is up.
fn send_with_retries(channel: &Channel, message: &Message, until: Instant) -> Result<(), SendError> {
    let mut pause = PAUSE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let (e, wait) = match channel.send(message, left.min(ONE_TRY)) {
            Err(SendError::Transient(e, wait)) => (e, wait.unwrap_or(pause)),
            settled => return settled,
        };
        // Told to stop, nothing is lost by not trying again: the message lies in the state file for the next run.
        if wait >= until.saturating_duration_since(Instant::now()) || crate::shutdown::due() {
            return Err(SendError::NotNow(e));
        }
        std::thread::sleep(wait);
        pause *= 2;
    }
}

impl Channel {
    fn send(&self, message: &Message, limit: Duration) -> Result<(), SendError> {
        match self {
            Channel::Mail(mail) => mail.send_mail(message, limit),
            Channel::Slack(slack) => slack.post_message(message, limit),
        }
    }
}
