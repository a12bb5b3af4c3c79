//! HTTP endpoints: what they answer, what their body says of itself, and how long it takes.

use crate::damping::{DELAY, TWICE};
use crate::net::http::{Endpoint, HttpAnswer, SHORT};
use crate::reading::{Measure, Reading, seconds};
use crate::rules;
use crate::settings::HttpSettings;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use toban_core::{Error, Kind, Result, Secret, Severity};

/// Requests whose median counts.
const REQUESTS: usize = 3;
/// What a body says that is well, that is well enough, and that is down.
const HEALTHY: &[&str] = &["healthy", "ok", "up", "pass", "passed", "ready", "alive"];
const DEGRADED: &[&str] = &["degraded", "warn", "warning"];
const DOWN: &[&str] =
    &["down", "fail", "failed", "unhealthy", "error", "critical", "unavailable", "not_ready", "fatal"];

/// The endpoint of these settings, with its secret.
///
/// # Errors
/// Usage for a URL that cannot be asked, and for a file of a secret that others may read.
pub(crate) fn open_endpoint(settings: &HttpSettings) -> Result<Endpoint> {
    let endpoint = Endpoint::parse(&settings.url, settings.trust.as_deref())?;
    let authorization = settings.authorization_file.as_deref().map(Secret::from_file).transpose()?;
    Ok(endpoint.authorized_by(authorization))
}

/// Asks all addresses of `name`, the answering one three times.
pub(crate) fn check_endpoint(name: &str, settings: &HttpSettings, limit: Duration) -> Vec<Reading> {
    let deadline = Instant::now() + limit;
    let readings = match open_endpoint(settings) {
        Err(e) => vec![Reading::unknown(&rules::HTTP, e.chain())],
        Ok(endpoint) => match endpoint.resolve_addresses(deadline) {
            Err(e) => vec![Reading::of_state(&rules::HTTP, Severity::Critical, e.chain()).damped_by(&TWICE)],
            Ok(addresses) => ask_addresses(&endpoint, &addresses, settings, deadline),
        },
    };
    let object = |reading: Reading| if reading.object.is_empty() { reading.about(name) } else { reading };
    readings.into_iter().map(object).collect()
}

fn ask_addresses(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    settings: &HttpSettings,
    deadline: Instant,
) -> Vec<Reading> {
    let mut answers = Vec::new();
    let mut dead: Vec<(SocketAddr, Error)> = Vec::new();
    for (at, address) in addresses.iter().enumerate() {
        // A silent address must leave time for those after it, or the whole name would be told as down.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - at).unwrap_or(1);
        match endpoint.ask_address(*address, SHORT, Instant::now() + share) {
            Ok(answer) => answers.push((*address, answer)),
            Err(e) => dead.push((*address, e)),
        }
    }
    let Some((first, _)) = answers.first().cloned() else {
        let first = dead.into_iter().next().map(|(_, e)| e);
        return vec![unreachable(
            &first.unwrap_or_else(|| Error::new(Kind::Retry, "the name has no address")),
        )];
    };
    let mut times: Vec<f64> = answers.iter().map(|(_, a)| a.timing.whole.as_secs_f64()).collect();
    while times.len() < REQUESTS {
        let Ok(answer) = endpoint.ask_address(first, SHORT, deadline) else { break };
        times.push(answer.timing.whole.as_secs_f64());
    }
    // Of several addresses the worst is told: behind each may be another server.
    let judged = answers.iter().map(|(_, answer)| judge_answer(answer, settings));
    let mut readings: Vec<Reading> = judged.min_by_key(|r| r.severity.rank()).into_iter().collect();
    readings.push(judge_times(times, &answers[0].1, settings));
    if !endpoint.is_local() {
        readings.extend(dead.into_iter().map(|(address, e)| {
            let text = format!("{address} does not answer: {}", e.chain());
            Reading::of_state(&rules::HTTP_ADDRESS, Severity::Warning, text).damped_by(&TWICE)
        }));
    }
    readings
}

fn unreachable(e: &Error) -> Reading {
    let cure = if e.kind() == Kind::Retry {
        "is it running? systemctl status; journalctl -u"
    } else {
        "openssl s_client -connect shows the certificate; trust = names a file of one's own"
    };
    Reading::of_state(&rules::HTTP, Severity::Critical, e.chain()).damped_by(&TWICE).advise(cure)
}

/// Status first, then what the body says of itself. A text is never searched for a word: `"status":"ok"` of one part
/// stands in the body of a degraded whole as well.
fn judge_answer(answer: &HttpAnswer, settings: &HttpSettings) -> Reading {
    let allowed = if settings.status.is_empty() {
        answer.status == 200
    } else {
        settings.status.contains(&answer.status)
    };
    let body = serde_json::from_slice::<Value>(&answer.body).ok();
    let (severity, text) = match (allowed, &settings.pointer) {
        (false, _) => (Severity::Critical, describe_status(answer, body.as_ref())),
        (true, Some(pointer)) => judge_member(body.as_ref(), pointer, settings),
        (true, None) => judge_own_words(body.as_ref()),
    };
    let text = if allowed { format!("status {}, {text}", answer.status) } else { text };
    Reading::of_state(&rules::HTTP, severity, text).damped_by(&TWICE)
}

fn describe_status(answer: &HttpAnswer, body: Option<&Value>) -> String {
    let status = answer.status;
    let why = match (status, &answer.location) {
        (300..=399, Some(to)) => format!("leads to {}", short(to)),
        (401 | 403, _) => {
            "it wants a login: a path for checks must be open, or have its authorization_file".into()
        }
        (404, _) => "there is no such path".into(),
        _ => body.map(failing_parts).unwrap_or_default(),
    };
    if why.is_empty() { format!("status {status}") } else { format!("status {status}: {why}") }
}

/// The members that do not say that they are well, of a body that tells parts: `database: down, queue: fail`.
fn failing_parts(body: &Value) -> String {
    let parts =
        ["/checks", "/details", "/components", "/services"].iter().find_map(|p| body.pointer(p)?.as_object());
    let said = |value: &Value| {
        let word = value.as_str().or_else(|| value.get("status").and_then(Value::as_str));
        word.map(str::to_lowercase)
            .or_else(|| value.as_bool().map(|ok| if ok { "ok" } else { "false" }.to_string()))
    };
    let failing = parts.into_iter().flatten().filter_map(|(name, value)| {
        let word = said(value)?;
        (!HEALTHY.contains(&word.as_str())).then(|| format!("{}: {}", short(name), short(&word)))
    });
    failing.take(5).collect::<Vec<_>>().join(", ")
}

fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

fn judge_member(body: Option<&Value>, pointer: &str, settings: &HttpSettings) -> (Severity, String) {
    let Some(body) = body else { return (Severity::Critical, "the body is no JSON".into()) };
    let Some(member) = body.pointer(pointer) else {
        return (Severity::Critical, format!("the body has no {pointer}"));
    };
    let said = member.as_str().map_or_else(|| member.to_string(), String::from);
    let known = |list: &[&str]| list.iter().any(|word| word.eq_ignore_ascii_case(&said));
    let healthy = match settings.healthy.is_empty() {
        true => known(HEALTHY) || member == &Value::Bool(true),
        false => settings.healthy.contains(&said),
    };
    let severity = match healthy {
        true => Severity::Ok,
        false if known(DEGRADED) => Severity::Warning,
        false => Severity::Critical,
    };
    let parts = if healthy { String::new() } else { failing_parts(body) };
    let parts = if parts.is_empty() { parts } else { format!(" ({parts})") };
    (severity, format!("{pointer} says {:?}{parts}", short(&said)))
}

/// Without a pointer nobody promised a form; what says by itself that it is not well is believed all the same.
fn judge_own_words(body: Option<&Value>) -> (Severity, String) {
    let Some(said) = body.and_then(|b| b.get("status")?.as_str()) else {
        return (Severity::Ok, "answers".into());
    };
    let known = |list: &[&str]| list.iter().any(|word| word.eq_ignore_ascii_case(said));
    let severity = match (known(DOWN), known(DEGRADED)) {
        (true, _) => Severity::Critical,
        (_, true) => Severity::Warning,
        _ => Severity::Ok,
    };
    let parts = body.map(failing_parts).filter(|parts| !parts.is_empty() && severity != Severity::Ok);
    (severity, format!("says {:?}{}", short(said), parts.map(|p| format!(" ({p})")).unwrap_or_default()))
}

fn judge_times(mut times: Vec<f64>, answer: &HttpAnswer, settings: &HttpSettings) -> Reading {
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let limit =
        |span: Option<toban_core::config::Span>, default: f64| span.map_or(default, |s| s.0.as_secs_f64());
    let limits = crate::reading::Limits {
        warning: limit(settings.warning, 1.0),
        critical: limit(settings.critical, 2.0),
    };
    let t = &answer.timing;
    let tls = t.tls.map(|tls| format!(", TLS {}", seconds(tls.as_secs_f64()))).unwrap_or_default();
    let first = t.first_byte.unwrap_or(t.whole).as_secs_f64();
    let parts = format!("connect {}{tls}, first byte {}", seconds(t.connect.as_secs_f64()), seconds(first));
    let text = format!("{}, the median of {} requests ({parts})", seconds(median), times.len());
    let measure = Measure::new(median, "s").judged_by(limits).seen_by("server");
    Reading::of_measure(&rules::HTTP_TIME, measure, text).damped_by(&DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str, pointer: Option<&str>) -> (Severity, String) {
        let settings =
            HttpSettings { pointer: pointer.map(String::from), ..HttpSettings::of_url("http://x/") };
        let location = (300..400).contains(&status).then(|| "https://x/login".to_string());
        let answer =
            HttpAnswer { status, location, body: body.into(), timing: crate::net::http::Timing::default() };
        let reading = judge_answer(&answer, &settings);
        (reading.severity, reading.text)
    }

    #[test]
    fn a_body_is_judged_by_its_member_and_never_by_a_word_in_it() {
        let nested = r#"{"checks":{"a":{"status":"ok"},"db":{"status":"down"}},"status":"degraded"}"#;
        for (status, body, pointer, severity, words) in [
            (200, r#"{"status":"healthy"}"#, Some("/status"), Severity::Ok, "healthy"),
            (200, r#"{"status":"UP"}"#, Some("/status"), Severity::Ok, "UP"),
            (200, r#"{"ok":true}"#, Some("/ok"), Severity::Ok, "true"),
            (200, nested, Some("/status"), Severity::Warning, "db: down"),
            (200, nested, None, Severity::Warning, "degraded"),
            (200, r#"{"status":"error"}"#, None, Severity::Critical, "error"),
            (200, r#"{"status":"serving"}"#, None, Severity::Ok, "serving"),
            (200, r#"{"status":"serving"}"#, Some("/status"), Severity::Critical, "serving"),
            (200, "", Some("/status"), Severity::Critical, "no JSON"),
            (200, "", None, Severity::Ok, "200"),
            (200, "<html>ok</html>", Some("/status"), Severity::Critical, "no JSON"),
            (200, r#"{"state":"ok"}"#, Some("/status"), Severity::Critical, "has no /status"),
            (204, "", None, Severity::Critical, "204"),
            (301, "", None, Severity::Critical, "leads to https://x/login"),
            (401, "", None, Severity::Critical, "wants a login"),
            (404, "", None, Severity::Critical, "no such path"),
            (500, "oops", None, Severity::Critical, "500"),
            (
                503,
                r#"{"status":"down","checks":{"database":{"status":"down"},"disk":"ok","q":false}}"#,
                Some("/status"),
                Severity::Critical,
                "database: down, q: false",
            ),
        ] {
            let (found, text) = judged(status, body, pointer);
            assert_eq!(found, severity, "{status} {body}: {text}");
            assert!(text.contains(words), "{status} {body}: {text}");
        }
    }

    #[test]
    fn one_slow_request_is_no_slow_endpoint_and_a_limit_that_is_met_is_reached() {
        let answer = HttpAnswer {
            status: 200,
            location: None,
            body: Vec::new(),
            timing: crate::net::http::Timing::default(),
        };
        let judge =
            |times: &[f64]| judge_times(times.to_vec(), &answer, &HttpSettings::of_url("http://x/")).severity;
        assert_eq!(judge(&[0.1, 9.0, 0.2]), Severity::Ok);
        assert_eq!(judge(&[1.0, 1.0, 0.2]), Severity::Warning);
        assert_eq!(judge(&[0.9999, 0.9999, 5.0]), Severity::Ok);
        assert_eq!(judge(&[2.0, 2.0, 0.2]), Severity::Critical);
    }
}
