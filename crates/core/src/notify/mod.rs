//! Telling people: mail, Slack, pings. Nothing here ever changes a job's status.

mod config;
mod decide;
mod deliver;
mod http;
mod mail;
mod message;
mod ping;
mod slack;
mod state;

pub use config::{Address, MailConfig, NotifyConfig, On, PingConfig, Sendmail, SlackConfig, Tls};
pub use decide::{Event, Standing, decide};

pub(crate) use message::{Outcome, job_name};
pub(crate) use state::Tally;

use crate::error::{Error, Result};
use deliver::Channel;
use ping::Pinger;
use state::Memory;
use std::time::Instant;

/// A variable of the environment; the edge hands in the real one.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The channels that are set up, opened once when a job begins, so that a missing secret is said at once.
pub(crate) struct Teller<'c> {
    config: &'c NotifyConfig,
    channels: Vec<(&'static str, Result<Channel>)>,
    pinger: Option<Pinger>,
    /// Pings that did not arrive.
    unheard: u64,
}

impl<'c> Teller<'c> {
    /// Opens the channels of `config` and the environment; warns of each that cannot be used as it is set up.
    pub(crate) fn open(config: &'c NotifyConfig, tool: &str) -> Teller<'c> {
        let env = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let mail = mail::Mail::open(config.mail.as_ref(), tool, &env).transpose();
        let slack = slack::Slack::open(config.slack.as_ref()).transpose();
        let mut channels = Vec::new();
        channels.extend(mail.map(|m| ("mail", m.map(Channel::Mail))));
        channels.extend(slack.map(|s| ("slack", s.map(Channel::Slack))));
        for (name, broken) in channels.iter().filter_map(|(n, c)| Some((n, c.as_ref().err()?))) {
            log::warn!("notifications by {name} cannot be sent: {}", with_cure(broken));
        }
        let ping = Pinger::open(config.ping.as_ref());
        let unheard = u64::from(ping.is_err());
        let pinger = ping.unwrap_or_else(|e| {
            log::warn!("the ping cannot be sent: {}", with_cure(&e));
            None
        });
        Teller { config, channels, pinger, unheard }
    }

    /// Pings that the job begins: at most 2 s.
    pub(crate) fn started(&mut self) {
        self.ping("start", "");
    }

    /// Tells every channel of `outcome`, if its standing makes it news there, and first what it could not be told
    /// before, within the budget; then pings the exit status. Yields what could not be told so far.
    pub(crate) fn ended(mut self, outcome: &Outcome) -> Tally {
        if self.channels.is_empty() && self.pinger.is_none() && self.unheard == 0 {
            return Tally::default();
        }
        let mut memory = Memory::open(&outcome.job());
        let channels = std::mem::take(&mut self.channels);
        let until = Instant::now() + self.config.budget();
        let work = ready(channels, outcome, self.config.on, &mut memory);
        // Before anything is sent: whoever kills us now must not make the news forgotten.
        memory.save();
        deliver::all(work, until, &mut memory);
        memory.save();
        self.ping(&outcome.status.to_string(), &outcome.text());
        if self.unheard > 0 {
            memory.failed("ping", self.unheard);
            memory.save();
        }
        memory.counts()
    }

    fn ping(&mut self, what: &str, body: &str) {
        let Some(pinger) = &self.pinger else { return };
        if let Err(e) = pinger.ping(what, body) {
            log::warn!("{}", e.chain());
            self.unheard += 1;
        }
    }
}

fn with_cure(e: &Error) -> String {
    e.cure().map_or_else(|| e.chain(), |cure| format!("{} (hint: {cure})", e.chain()))
}

/// What could not be told of a job so far, for metrics that are written before anybody is told.
pub(crate) fn tally(job: &str) -> Tally {
    state::counts(job)
}

/// Adds the news to what waits for each channel; those that can be told and have something to hear.
fn ready(
    channels: Vec<(&'static str, Result<Channel>)>,
    outcome: &Outcome,
    on: On,
    memory: &mut Memory,
) -> Vec<deliver::Work> {
    let mut work = Vec::new();
    for (name, channel) in channels {
        let told = memory.channel(name);
        told.news(outcome, on);
        let messages = told.pending().to_vec();
        match channel {
            _ if messages.is_empty() => {}
            Ok(channel) => work.push(deliver::Work { name, channel, messages }),
            Err(_) => memory.failed(name, 1),
        }
    }
    work
}
