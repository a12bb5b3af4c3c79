//! `[notify]` of the configuration: parsed once into values that cannot be wrong by themselves.

use super::Span;
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The longest that notifications may hold up the end of a run, all channels together.
const BUDGET: Duration = Duration::from_secs(20);

/// `[notify]`: who is notified, of what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// What is news.
    pub on: NotifyOn,
    /// `[notify.mail]`; without it mail is sent when SMTP_HOST and TOBAN_MAIL_TO are set.
    pub mail: Option<MailConfig>,
    /// `[notify.slack]`; without it Slack is notified when a webhook is found.
    pub slack: Option<SlackConfig>,
    /// `[notify.ping]`; without it a monitor is pinged when its URL is found.
    pub ping: Option<PingConfig>,
    /// How long notifications may take, all channels together: at most 20 s, which is the default.
    pub budget: Option<Span>,
}

impl NotifyConfig {
    /// How long notifications may take.
    pub fn budget(&self) -> Duration {
        self.budget.map_or(BUDGET, |s| s.0.min(BUDGET))
    }
}

/// What is news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyOn {
    /// The first failure, a failure of another kind, and the first success after a failure.
    #[default]
    Change,
    /// Every failure.
    Failure,
    /// Every run.
    Always,
}

/// `[notify.mail]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailConfig {
    /// Who gets the mail (TOBAN_MAIL_TO, separated by commas).
    pub to: Vec<Address>,
    /// Who sends it (TOBAN_MAIL_FROM) ; the tool at this host when it is not set.
    pub from: Option<Address>,
    /// The mail server (SMTP_HOST).
    pub smtp_host: Option<String>,
    /// Its port (SMTP_PORT) [default: 587 with STARTTLS, 465 with implicit TLS, 25 without].
    pub smtp_port: Option<u16>,
    /// The name to log in with (SMTP_USER).
    pub smtp_user: Option<String>,
    /// File that holds the password (else the credential `smtp_pass`, else SMTP_PASS).
    pub smtp_pass_file: Option<PathBuf>,
    /// How the connection is protected.
    pub tls: Tls,
    /// Certificates to trust beside the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Hand the mail to this machine's `sendmail` instead: `true`, or its path.
    pub sendmail: Sendmail,
}

/// How the connection to the mail server is protected; never "if the server happens to offer it".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// STARTTLS, or no mail.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// Not at all: only to this machine, and without a password.
    None,
}

/// Whether and which `sendmail` program takes the mail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Sendmail {
    /// Whether the one on PATH does.
    Use(bool),
    /// This one does.
    Path(PathBuf),
}

impl Default for Sendmail {
    fn default() -> Sendmail {
        Sendmail::Use(false)
    }
}

impl Sendmail {
    /// The program, when one is to be used.
    pub fn program(&self) -> Option<PathBuf> {
        match self {
            Sendmail::Use(yes) => yes.then(|| "sendmail".into()),
            Sendmail::Path(path) => Some(path.clone()),
        }
    }
}

/// `[notify.slack]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlackConfig {
    /// File that holds the webhook's URL (else the credential `slack_webhook`, else SLACK_WEBHOOK).
    pub webhook_file: Option<PathBuf>,
}

/// `[notify.ping]`: a monitor that misses us when we stay away, as healthchecks does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PingConfig {
    /// Its URL.
    pub url: Option<crate::Secret>,
    /// File that holds it (else the credential `ping_url`, else TOBAN_PING_URL).
    pub url_file: Option<PathBuf>,
}

/// A mail address, with or without a name: `Ops <ops@example.org>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(pub(crate) String);

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Address> {
        let text = text.trim();
        let bare = text.split_once('<').map_or(Some(text), |(_, rest)| rest.strip_suffix('>'));
        let parts = bare.and_then(|address| address.rsplit_once('@'));
        let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == '<');
        if parts.is_some_and(|(user, domain)| plain(user) && plain(domain)) {
            return Ok(Address(text.into()));
        }
        let e = Error::usage(format!("{text:?} is not a mail address"));
        Err(e.hint("an address is ops@example.org, or Ops <ops@example.org>"))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Address, D::Error> {
        String::deserialize(d)?.parse().map_err(|e: Error| serde::de::Error::custom(e.chain()))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, NotifyOn, Sendmail, Tls};

    #[test]
    fn the_whole_section_parses() {
        let text = r#"
            [notify]
            on = "failure"
            [notify.mail]
            to = ["ops@example.org", "Dba <dba@example.org>"]
            smtp_host = "mail.example.org"
            tls = "implicit"
            sendmail = "/usr/lib/sendmail"
            [notify.slack]
            webhook_file = "/etc/toban/slack"
            [notify.ping]
            url = "https://hc.example.org/ping/uuid"
        "#;
        let notify = Config::parse(text).expect("parses").notify;
        let mail = notify.mail.expect("is there");
        assert_eq!((notify.on, mail.tls, mail.to.len()), (NotifyOn::Failure, Tls::Implicit, 2));
        assert_eq!(mail.sendmail, Sendmail::Path("/usr/lib/sendmail".into()));
        assert!(!format!("{:?}", notify.ping).contains("uuid"), "a ping's URL is a secret");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("[notify]\nteams = 1", "line 2: unknown field `teams`"),
            ("[notify.mail]\ntls = \"maybe\"", "unknown variant `maybe`"),
            ("[notify.mail]\nto = [\"ops\"]", "\"ops\" is not a mail address"),
            ("[notify]\non = \"never\"", "unknown variant `never`"),
        ];
        for (text, wanted) in cases {
            let said = Config::parse(text).expect_err("refused").chain();
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }
}
