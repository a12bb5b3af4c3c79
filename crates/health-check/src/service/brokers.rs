//! RabbitMQ and Elasticsearch, by what their HTTP interfaces say of themselves.

use super::endpoint::open_endpoint;
use crate::damping::{DELAY, TWICE};
use crate::net::http::{HttpAnswer, SHORT};
use crate::reading::Reading;
use crate::rules;
use crate::settings::HttpSettings;
use serde_json::Value;
use std::time::{Duration, Instant};
use toban_core::Severity;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broker {
    /// `/api/health/checks/alarms` of the management plugin: 200, or 503 with the alarms.
    RabbitMq,
    /// `/_cluster/health`: green, yellow (a copy is missing), red (data is missing).
    Elasticsearch,
}

impl Broker {
    fn path(self) -> &'static str {
        match self {
            Broker::RabbitMq => "/api/health/checks/alarms",
            Broker::Elasticsearch => "/_cluster/health",
        }
    }
}

/// Asks the broker at the URL for its health.
pub(crate) fn check_broker(broker: Broker, name: &str, settings: &HttpSettings, limit: Duration) -> Reading {
    let url = format!("{}{}", settings.url.trim_end_matches('/'), broker.path());
    let endpoint = match open_endpoint(&HttpSettings { url, ..settings.clone() }) {
        Ok(endpoint) => endpoint,
        Err(e) => return Reading::unknown(&rules::BROKER, e.chain()).about(name),
    };
    let reading = match endpoint.ask(SHORT, Instant::now() + limit) {
        Ok(answer) => judge_broker(broker, &answer),
        Err(e) => Reading::of_state(&rules::BROKER, Severity::Critical, e.chain()).damped_by(&TWICE),
    };
    reading.about(name)
}

fn judge_broker(broker: Broker, answer: &HttpAnswer) -> Reading {
    if matches!(answer.status, 401 | 403) {
        return Reading::unknown(&rules::BROKER, format!("status {}: it refuses the user", answer.status))
            .advise("authorization_file holds `Basic …` of a user with the tag monitoring, or with the privilege monitor");
    }
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let word = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let (severity, text) = match (broker, answer.status) {
        (Broker::RabbitMq, 200) => (Severity::Ok, "no alarm".to_string()),
        (Broker::RabbitMq, 503) => {
            (Severity::Critical, format!("{} {}", word("reason"), describe_alarms(&body)))
        }
        (Broker::Elasticsearch, 200) => match word("status").as_str() {
            "green" => (Severity::Ok, "green".to_string()),
            "yellow" => (Severity::Warning, format!("yellow: {} shards have no copy", shards(&body))),
            "red" => (Severity::Critical, format!("red: {} shards are missing", shards(&body))),
            _ => (Severity::Unknown, "the answer has no status".to_string()),
        },
        (_, status) => (Severity::Critical, format!("status {status}")),
    };
    let policy = if severity == Severity::Warning { &DELAY } else { &TWICE };
    Reading::of_state(&rules::BROKER, severity, text.trim()).damped_by(policy)
}

fn shards(body: &Value) -> u64 {
    body.get("unassigned_shards").and_then(Value::as_u64).unwrap_or(0)
}

fn describe_alarms(body: &Value) -> String {
    let alarms = body.get("alarms").and_then(Value::as_array).into_iter().flatten();
    let named = alarms
        .filter_map(|a| Some(format!("{} on {}", a.get("resource")?.as_str()?, a.get("node")?.as_str()?)));
    let all: Vec<String> = named.collect();
    if all.is_empty() { String::new() } else { format!("({})", all.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_say_it_in_their_own_way() {
        let judged = |broker, status, body: &str| {
            let timing = crate::net::http::Timing::default();
            let reading =
                judge_broker(broker, &HttpAnswer { status, location: None, body: body.into(), timing });
            (reading.severity, reading.text)
        };
        let alarm = r#"{"status":"failed","reason":"There are alarms in effect","alarms":[{"node":"rabbit@a","resource":"memory"}]}"#;
        assert_eq!(judged(Broker::RabbitMq, 200, r#"{"status":"ok"}"#).0, Severity::Ok);
        let (severity, text) = judged(Broker::RabbitMq, 503, alarm);
        assert_eq!(
            (severity, text.as_str()),
            (Severity::Critical, "There are alarms in effect (memory on rabbit@a)")
        );
        assert_eq!(judged(Broker::RabbitMq, 401, "").0, Severity::Unknown);
        let health = |status: &str| format!(r#"{{"status":"{status}","unassigned_shards":3}}"#);
        assert_eq!(judged(Broker::Elasticsearch, 200, &health("green")).0, Severity::Ok);
        assert_eq!(judged(Broker::Elasticsearch, 200, &health("yellow")).0, Severity::Warning);
        assert_eq!(judged(Broker::Elasticsearch, 200, &health("red")).0, Severity::Critical);
        assert_eq!(judged(Broker::Elasticsearch, 200, "{}").0, Severity::Unknown);
        assert_eq!(judged(Broker::Elasticsearch, 503, "").0, Severity::Critical);
    }
}
