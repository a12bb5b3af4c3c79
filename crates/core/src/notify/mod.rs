//! Notifications: mail, Slack, pings. Nothing here ever changes a job's status.

mod decide;
mod deliver;
mod http;
mod mail;
mod message;
mod ping;
mod slack;
mod state;

pub(crate) use state::{NotifyCounts, read_counts};
pub use state::{Undelivered, list_undelivered};

use crate::config::{NotifyConfig, NotifyOn};
use crate::error::{Error, Result};
use crate::run_record::RunRecord;
use deliver::{Channel, Delivery, deliver_all};
use ping::Pinger;
use state::NotifyState;
use std::time::Instant;

/// A variable of the environment; the edge hands in the real one.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The channels that are set up, opened once when a job begins, so that a missing secret is warned of at once.
pub(crate) struct Notifier<'c> {
    config: &'c NotifyConfig,
    channels: Vec<(&'static str, Result<Channel>)>,
    pinger: Option<Pinger>,
    failed_pings: u64,
}

impl<'c> Notifier<'c> {
    /// Opens the channels of `config` and the environment; warns of each that cannot be used as it is set up.
    pub(crate) fn open(config: &'c NotifyConfig, tool: &str) -> Notifier<'c> {
        let env = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let mail = mail::Mail::open_mail(config.mail.as_ref(), tool, &env).transpose();
        let slack = slack::Slack::open_slack(config.slack.as_ref()).transpose();
        let mut channels = Vec::new();
        channels.extend(mail.map(|m| ("mail", m.map(Channel::Mail))));
        channels.extend(slack.map(|s| ("slack", s.map(Channel::Slack))));
        for (name, broken) in channels.iter().filter_map(|(n, c)| Some((n, c.as_ref().err()?))) {
            log::warn!("notifications by {name} cannot be sent: {}", with_hint(broken));
        }
        let ping = Pinger::open_pinger(config.ping.as_ref());
        let failed_pings = u64::from(ping.is_err());
        let pinger = ping.unwrap_or_else(|e| {
            log::warn!("the ping cannot be sent: {}", with_hint(&e));
            None
        });
        Notifier { config, channels, pinger, failed_pings }
    }

    /// Pings that the job begins: at most 2 s.
    pub(crate) fn job_started(&mut self) {
        self.send_ping("start", "");
    }

    /// Notifies every channel of `run`, if that is news there, and first of what it could not be notified of before,
    /// within the budget; then pings the exit status. Returns what could not be notified so far.
    pub(crate) fn job_ended(mut self, run: &RunRecord) -> NotifyCounts {
        if self.channels.is_empty() && self.pinger.is_none() && self.failed_pings == 0 {
            return NotifyCounts::default();
        }
        let mut state = NotifyState::open(&run.job_name());
        let channels = std::mem::take(&mut self.channels);
        let until = Instant::now() + self.config.budget();
        let deliveries = add_news(channels, run, self.config.on, &mut state);
        // Saved before anything is sent: whoever kills us now must not make the news forgotten. A message that was sent
        // and not noted as sent comes twice, which is the lesser evil.
        state.save();
        deliver_all(deliveries, until, &mut state);
        state.save();
        self.send_ping(&run.status.to_string(), &run.text());
        if self.failed_pings > 0 {
            state.count_failures("ping", self.failed_pings);
            state.save();
        }
        state.counts()
    }

    fn send_ping(&mut self, what: &str, body: &str) {
        let Some(pinger) = &self.pinger else { return };
        if let Err(e) = pinger.send_ping(what, body) {
            log::warn!("{}", e.chain());
            self.failed_pings += 1;
        }
    }
}

/// The names of the channels that are set up by `config` and the environment, with what keeps one from working.
pub fn list_channels(config: &NotifyConfig, tool: &str) -> Vec<(&'static str, Option<Error>)> {
    let Notifier { channels, pinger, failed_pings, .. } = Notifier::open(config, tool);
    let channels = channels.into_iter().map(|(name, channel)| (name, channel.err()));
    let ping = (pinger.is_some() || failed_pings > 0).then_some(("ping", None));
    channels.chain(ping).collect()
}

fn with_hint(e: &Error) -> String {
    e.find_hint().map_or_else(|| e.chain(), |remedy| format!("{} (hint: {remedy})", e.chain()))
}

/// Adds the news to what is pending for each channel; returns the channels that can be used and have something pending.
fn add_news(
    channels: Vec<(&'static str, Result<Channel>)>,
    run: &RunRecord,
    on: NotifyOn,
    state: &mut NotifyState,
) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for (name, channel) in channels {
        let channel_state = state.channel(name);
        channel_state.add_news(run, on);
        let messages = channel_state.pending().to_vec();
        match channel {
            _ if messages.is_empty() => {}
            Ok(channel) => deliveries.push(Delivery { name, channel, messages }),
            Err(_) => state.count_failures(name, 1),
        }
    }
    deliveries
}
