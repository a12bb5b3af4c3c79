//! Slack by an incoming webhook: one POST per message, inside Slack's limits.
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>

use super::deliver::SendError;
use super::http::{self, Answer, SecretUrl};
use super::message::Message;
use crate::config::SlackConfig;
use crate::error::{Context, Error, Kind, Result};
use crate::secret::Secret;
use serde_json::{Value, json};
use std::time::Duration;

/// A header holds 150 characters, a section's text 3000.
const HEADER: usize = 150;
const SECTION: usize = 3000;
/// Over about 13,000 characters in all Slack answers `msg_blocks_too_long`, which no page of theirs tells.
const ALL: usize = 12_000;

/// A webhook.
#[derive(Clone)]
pub(super) struct Slack {
    webhook: SecretUrl,
}

impl Slack {
    /// The webhook that is set up, if one is.
    ///
    /// # Errors
    /// Usage, when it cannot be read, or is none; or when `[notify.slack]` is there and no webhook is.
    pub(super) fn open_slack(config: Option<&SlackConfig>) -> Result<Option<Slack>> {
        let file = config.and_then(|c| c.webhook_file.as_deref());
        match Secret::find(file, "slack_webhook", "SLACK_WEBHOOK")? {
            Some(url) => {
                let webhook = SecretUrl::parse_url(&url, false).doing(|| "Slack's webhook".into())?;
                Ok(Some(Slack { webhook }))
            }
            None if config.is_none() => Ok(None),
            None => Err(Error::usage("no Slack webhook was found")
                .hint("set webhook_file in [notify.slack], the credential slack_webhook, or SLACK_WEBHOOK")),
        }
    }

    /// Posts `message`, once.
    pub(super) fn post_message(&self, message: &Message, limit: Duration) -> Result<(), SendError> {
        let url = self.webhook.reveal();
        let body = make_payload(message).to_string();
        match http::post(&self.webhook, url, "application/json; charset=utf-8", &body, limit) {
            Ok(answer) => self.judge_answer(answer),
            Err(e) if e.kind() == Kind::Retry => Err(SendError::Transient(e, None)),
            Err(e) => Err(SendError::NotNow(e)),
        }
    }

    /// 200 with the body `ok` is the only success; 429 says when to come again; what else is below 500 is for good.
    fn judge_answer(&self, answer: Answer) -> Result<(), SendError> {
        let (status, text) = (answer.status, self.webhook.redact_text(&answer.body));
        if status == 200 && text == "ok" {
            return Ok(());
        }
        let e = Error::failed(format!("{} answered {status} {text:?}", self.webhook.host()));
        match status {
            429 => Err(SendError::Transient(e, answer.retry_after)),
            500.. => Err(SendError::Transient(e, None)),
            _ => Err(SendError::Refused(e)),
        }
    }
}

/// The subject as header and as the text of the push notification, the text as sections of plain text, where
/// nothing is taken for markup.
fn make_payload(message: &Message) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let header = cut_chunks(&message.subject, HEADER, HEADER).into_iter().next().unwrap_or_default();
    let sections = cut_chunks(&message.text, SECTION, ALL);
    let sections = sections.iter().map(|text| json!({ "type": "section", "text": plain(text) }));
    let blocks: Vec<Value> =
        std::iter::once(json!({ "type": "header", "text": plain(&header) })).chain(sections).collect();
    json!({ "text": escape_markup(&message.subject), "blocks": blocks })
}

/// `text` escaped for Slack and cut, never inside an escape, into pieces of at most `each` and `all` characters.
fn cut_chunks(text: &str, each: usize, all: usize) -> Vec<String> {
    let (mut pieces, mut piece, mut length, mut total) = (Vec::new(), String::new(), 0, 0);
    for c in text.chars() {
        let mark = escape_markup(c.encode_utf8(&mut [0; 4]));
        total += mark.chars().count();
        if total > all {
            break;
        }
        if length + mark.chars().count() > each {
            pieces.push(std::mem::take(&mut piece));
            length = 0;
        }
        length += mark.chars().count();
        piece.push_str(&mark);
    }
    pieces.push(piece);
    pieces.retain(|p| !p.trim().is_empty());
    pieces
}

/// Only these three have a meaning in Slack's text: `<!channel>` must not wake everybody.
fn escape_markup(text: &str) -> String {
    let tidy = |c: &char| !c.is_control() || *c == '\n';
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").chars().filter(tidy).collect()
}

#[cfg(test)]
mod tests {
    use super::super::decide::Event;
    use super::super::message::tests::run;
    use super::*;

    fn sizes(text: &str) -> (Vec<usize>, usize) {
        let message = Message { text: text.into(), ..Message::new(&run(1, "x"), Event::Failed) };
        let blocks = make_payload(&message)["blocks"].as_array().cloned().unwrap_or_default();
        let lengths = blocks[1..].iter().map(|b| b["text"]["text"].as_str().unwrap_or("").chars().count());
        let lengths: Vec<usize> = lengths.collect();
        let all = lengths.iter().sum();
        (lengths, all)
    }

    #[test]
    fn sections_stay_within_the_limits() {
        assert!(sizes("").0.is_empty());
        assert_eq!(sizes(&"x".repeat(2999)).0, [2999]);
        assert_eq!(sizes(&"日".repeat(3001)).0, [3000, 1]);
        assert_eq!(sizes(&"x".repeat(50_000)), (vec![3000; 4], 12_000));
    }

    #[test]
    fn no_escape_is_cut_and_no_mention_gets_through() {
        let pieces = cut_chunks(&format!("{}<!channel>\u{7}&", "x".repeat(2998)), 3000, 12_000);
        assert_eq!(pieces, ["x".repeat(2998), "&lt;!channel&gt;&amp;".to_string()]);
    }
}
