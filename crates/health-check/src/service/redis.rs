//! Redis and Valkey by their own protocol (RESP): what PING answers, and what INFO says.

use crate::damping::{DELAY, MEMORY, SESSIONS, TWICE};
use crate::net::{Line, TlsSetup, resolve_name, server_name};
use crate::reading::{Checked, Facts, Limits, Measure, Reading, percent};
use crate::rules;
use crate::settings::RedisSettings;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use toban_core::out::bytes;
use toban_core::{Context, Error, Kind, Result, Secret, Severity};

/// No answer to PING or INFO is longer.
const MOST: usize = 1 << 20;

/// What the server answered to one command.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Text(String),
    Refusal(String),
}

/// One session.
struct RedisSession {
    line: Line,
}

/// Asks the server and judges its answers.
pub(crate) fn check_redis(name: &str, settings: &RedisSettings, limit: Duration, before: &Facts) -> Checked {
    let fact = format!("redis {name}");
    let mut checked = match ask_server(settings, Instant::now() + limit) {
        Err(e) => Checked::from(judge_failure(&e)),
        Ok((ping, info)) => {
            let known = before.get(&fact).and_then(|v| v.as_object().cloned()).unwrap_or_default();
            let counters = |key: &str| known.get(key).and_then(serde_json::Value::as_f64);
            let info = info.map(|text| parse_info(&text));
            let mut checked = Checked::from(judge_server(&ping, info.as_ref(), &counters));
            if let Ok(info) = &info {
                let kept = ["rejected_connections", "evicted_keys"].map(|key| (key, number(info, key)));
                checked.facts.insert(fact, json!(BTreeMap::from(kept)));
            }
            checked
        }
    };
    for reading in &mut checked.readings {
        reading.object = name.into();
    }
    checked
}

type Answers = (Answer, std::result::Result<String, String>);

fn ask_server(settings: &RedisSettings, deadline: Instant) -> Result<Answers> {
    let mut session = RedisSession { line: open_line(settings, deadline)? };
    if let Some(path) = &settings.password_file {
        // A file that we may not read says nothing of the server: unknown, not down.
        let password = Secret::from_file(path).map_err(|e| e.kind_as(Kind::Usage))?;
        let words: Vec<&str> = match &settings.user {
            Some(user) => vec!["AUTH", user, password.reveal()],
            None => vec!["AUTH", password.reveal()],
        };
        if let Answer::Refusal(why) = session.send_command(&words)? {
            // It may quote what was sent, the password too: its first word is told, or that the server is full.
            let full = "ERR max number of clients reached";
            let told = if why.starts_with(full) { full } else { why.split(' ').next().unwrap_or_default() };
            return Ok((Answer::Refusal(told.to_string()), Err(String::new())));
        }
    }
    let ping = session.send_command(&["PING"])?;
    if matches!(&ping, Answer::Refusal(why) if ["NOAUTH", "DENIED"].iter().any(|w| why.starts_with(w))) {
        return Ok((ping, Err(String::new())));
    }
    let info = match session.send_command(&["INFO"]) {
        Ok(Answer::Text(info)) => Ok(info),
        Ok(Answer::Refusal(why)) => Err(why),
        Err(e) => Err(e.chain()),
    };
    Ok((ping, info))
}

fn open_line(settings: &RedisSettings, deadline: Instant) -> Result<Line> {
    let address = &settings.address;
    let doing = || format!("connect to {address}");
    if address.starts_with('/') {
        return Line::connect_unix(Path::new(address), deadline)
            .doing(doing)
            .map_err(|e| e.kind_as(Kind::Retry));
    }
    let odd = || Error::usage(format!("{address:?}: HOST:PORT, or the path of a socket"));
    let (host, port) = address.rsplit_once(':').ok_or_else(odd)?;
    let port = port.parse().map_err(|_| odd())?;
    let mut last = Err(Error::new(Kind::Retry, format!("{host} has no address")));
    for to in resolve_name(host, port, deadline).doing(|| format!("look up {host}"))? {
        last = Line::connect_tcp(to, deadline).doing(doing);
        if last.is_ok() {
            break;
        }
    }
    let line = last?;
    if !settings.tls {
        return Ok(line);
    }
    let setup = TlsSetup::trusting(settings.trust.as_deref())?;
    let begun = line.begin_tls(&setup, server_name(host)?);
    begun
        .map_err(|e| {
            Error::new(Kind::Retry, format!("TLS: {}", toban_core::tls::describe_error(&e.to_string())))
        })
        .doing(doing)
}

impl RedisSession {
    /// Sends one command and reads its answer.
    ///
    /// # Errors
    /// Retry when no whole answer comes; Failed when it is no answer of Redis'.
    fn send_command(&mut self, words: &[&str]) -> Result<Answer> {
        let doing = || format!("send {}", words[0]);
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        // A server that is full says so and closes before it reads: the write may fail, and the answer is there.
        let written = self.line.write_all(command.as_bytes()).and_then(|()| self.line.flush());
        let head = match self.read_until_newline().doing(doing) {
            Ok(head) => head,
            Err(e) => return Err(written.doing(doing).err().unwrap_or(e)),
        };
        let rest = head[1..].to_string();
        match head.as_bytes()[0] {
            b'+' | b':' => Ok(Answer::Text(rest)),
            b'-' => Ok(Answer::Refusal(rest)),
            b'$' => self.read_bulk(&rest).doing(doing).map(Answer::Text),
            _ => Err(Error::failed("what answers speaks something else than Redis")),
        }
    }

    fn read_until_newline(&mut self) -> Result<String> {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n") {
            let read = self.line.read(&mut byte).doing(|| "read the answer".into())?;
            if read == 0 {
                return Err(Error::new(Kind::Retry, "the connection was closed before a whole answer"));
            }
            text.push(byte[0]);
            if text.len() > 4096 || !matches!(text[0], b'+' | b'-' | b'$' | b':' | b'*') {
                return Err(Error::failed("what answers speaks something else than Redis"));
            }
        }
        Ok(String::from_utf8_lossy(&text[..text.len() - 2]).into_owned())
    }

    fn read_bulk(&mut self, length: &str) -> Result<String> {
        let length: usize = length.parse().map_err(|_| Error::failed("a length that is none"))?;
        if length > MOST {
            return Err(Error::failed(format!("an answer of {length} bytes is announced, and is not read")));
        }
        let mut bytes = vec![0; length + 2];
        self.line.read_exact(&mut bytes).doing(|| "read the answer".into())?;
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }
}

fn judge_failure(e: &Error) -> Reading {
    match e.kind() {
        Kind::Usage => Reading::unknown(&rules::REDIS, e.chain()),
        _ => Reading::of_state(&rules::REDIS, Severity::Critical, e.chain()).damped_by(&TWICE),
    }
}

fn parse_info(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.trim_end().split_once(':'));
    pairs.map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

type Info = BTreeMap<String, String>;

fn number(info: &Info, key: &str) -> Option<f64> {
    info.get(key)?.parse().ok()
}

/// Everything that the two answers tell.
fn judge_server(
    ping: &Answer,
    info: std::result::Result<&Info, &String>,
    before: &dyn Fn(&str) -> Option<f64>,
) -> Vec<Reading> {
    let mut readings = vec![judge_ping(ping)];
    let info = match info {
        Ok(info) => info,
        // PING has said all: there was nothing to ask for.
        Err(why) if why.is_empty() => return readings,
        Err(why) => {
            let text = format!("INFO: {why}");
            readings
                .push(Reading::unknown(&rules::REDIS_MEMORY, text).advise("acl setuser NAME +ping +info"));
            return readings;
        }
    };
    readings.extend(judge_memory(info, before));
    readings.extend(judge_clients(info, before));
    readings.extend(judge_replica(info));
    readings.push(judge_saving(info));
    readings
}

fn judge_ping(ping: &Answer) -> Reading {
    let why = match ping {
        Answer::Text(text) => {
            return Reading::of_state(&rules::REDIS, Severity::Ok, format!("answers {text}"));
        }
        Answer::Refusal(why) => why.as_str(),
    };
    let critical = |text: &str| Reading::of_state(&rules::REDIS, Severity::Critical, text);
    match why.split(' ').next().unwrap_or_default() {
        "NOAUTH" => Reading::unknown(&rules::REDIS, "it wants a password")
            .advise("password_file names the file that holds it"),
        "WRONGPASS" => Reading::unknown(&rules::REDIS, "it refuses the password")
            .advise("correct user and password_file"),
        "NOPERM" => {
            Reading::unknown(&rules::REDIS, "the user may not ask").advise("acl setuser NAME +ping +info")
        }
        "LOADING" => critical("it is loading its data, and serves nothing yet")
            .advise("wait; its log says how far it is"),
        "MASTERDOWN" => critical("its master is away, and it is set to serve nothing meanwhile"),
        "DENIED" => Reading::unknown(&rules::REDIS, "protected mode: it takes no connection from here")
            .advise("ask by 127.0.0.1, or set a password"),
        "MISCONF" => Reading {
            rule: &rules::REDIS_WRITES,
            ..critical("it refuses writes, since its last save failed")
        }
        .advise(rules::REDIS_WRITES.action),
        _ if why.contains("max number of clients") => {
            Reading { rule: &rules::REDIS_CLIENTS, ..critical("it takes no more clients") }
                .advise(rules::REDIS_CLIENTS.action)
        }
        _ => Reading::unknown(&rules::REDIS, format!("PING: {why}")),
    }
}

fn judge_memory(info: &Info, before: &dyn Fn(&str) -> Option<f64>) -> Option<Reading> {
    let used = number(info, "used_memory")?;
    let most = number(info, "maxmemory").filter(|most| *most > 0.0);
    let all = most.or_else(|| number(info, "total_system_memory").filter(|all| *all > 0.0))?;
    let policy = info.get("maxmemory_policy").map_or("noeviction", String::as_str);
    let evicts = most.is_some() && policy != "noeviction";
    let part = used / all;
    let measure = Measure::new(part, "ratio").seen_by("server");
    // A cache that throws out its oldest is full by design.
    let measure = if evicts { measure } else { measure.judged_by(Limits::of_percent(80.0, 90.0)) };
    let evicted =
        number(info, "evicted_keys").zip(before("evicted_keys")).map_or(0.0, |(now, then)| now - then);
    let thrown =
        if evicted > 0.0 { format!(", {evicted} keys thrown out since the last run") } else { String::new() };
    let of = if most.is_some() { "maxmemory" } else { "the machine's memory (maxmemory is not set)" };
    let text = format!("{}, {} of {of}, {policy}{thrown}", bytes(used as u64), percent(part));
    Some(Reading::of_measure(&rules::REDIS_MEMORY, measure, text).damped_by(&MEMORY))
}

fn judge_clients(info: &Info, before: &dyn Fn(&str) -> Option<f64>) -> Option<Reading> {
    let (clients, most) =
        (number(info, "connected_clients")?, number(info, "maxclients").filter(|m| *m > 0.0)?);
    let rejected = number(info, "rejected_connections")
        .zip(before("rejected_connections"))
        .map_or(0.0, |(now, then)| now - then);
    if rejected > 0.0 {
        let text = format!("{rejected} clients were turned away since the last run");
        return Some(Reading::of_state(&rules::REDIS_CLIENTS, Severity::Critical, text));
    }
    let measure =
        Measure::new(clients / most, "ratio").judged_by(Limits::of_percent(80.0, 90.0)).seen_by("server");
    let text = format!("{clients} of {most} clients");
    Some(Reading::of_measure(&rules::REDIS_CLIENTS, measure, text).damped_by(&SESSIONS))
}

fn judge_replica(info: &Info) -> Option<Reading> {
    if info.get("role").is_none_or(|role| role != "slave") {
        return None;
    }
    let syncing = info.get("master_sync_in_progress").is_some_and(|s| s == "1");
    let up = info.get("master_link_status").is_some_and(|s| s == "up");
    let (severity, text) = match (up, syncing) {
        (_, true) => (Severity::Warning, "it copies everything from its master".to_string()),
        (true, false) => (Severity::Ok, "connected to its master".to_string()),
        (false, false) => {
            let since = number(info, "master_link_down_since_seconds").unwrap_or(0.0);
            (Severity::Critical, format!("its master is away for {}", crate::reading::seconds(since)))
        }
    };
    Some(Reading::of_state(&rules::REDIS_REPLICA, severity, text).damped_by(if syncing {
        &DELAY
    } else {
        &TWICE
    }))
}

fn judge_saving(info: &Info) -> Reading {
    let failed = |key: &str| info.get(key).is_some_and(|status| status != "ok");
    let appending = info.get("aof_enabled").is_some_and(|on| on == "1");
    if failed("rdb_last_bgsave_status") || (appending && failed("aof_last_write_status")) {
        return Reading::of_state(&rules::REDIS_SAVING, Severity::Critical, "the last save to disk failed");
    }
    Reading::of_state(&rules::REDIS_SAVING, Severity::Ok, "the last save to disk succeeded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_told_for_what_it_is() {
        for (answer, id, severity) in [
            ("NOAUTH Authentication required.", "redis", Severity::Unknown),
            ("WRONGPASS invalid username-password pair", "redis", Severity::Unknown),
            ("NOPERM this user has no permissions", "redis", Severity::Unknown),
            ("LOADING Redis is loading the dataset in memory", "redis", Severity::Critical),
            ("MASTERDOWN Link with MASTER is down", "redis", Severity::Critical),
            ("DENIED Redis is running in protected mode", "redis", Severity::Unknown),
            ("ERR max number of clients reached", "redis-clients", Severity::Critical),
            ("MISCONF Redis is configured to save RDB snapshots", "redis-writes", Severity::Critical),
            ("ERR anything else", "redis", Severity::Unknown),
        ] {
            let reading = judge_ping(&Answer::Refusal(answer.into()));
            assert_eq!((reading.rule.id, reading.severity), (id, severity), "{answer}");
        }
    }

    fn of_info(text: &str) -> Vec<(&'static str, Severity)> {
        let info = parse_info(text);
        let before = |key: &str| (key == "rejected_connections").then_some(5.0);
        let readings = judge_server(&Answer::Text("PONG".into()), Ok(&info), &before);
        readings.iter().filter(|r| r.severity != Severity::Ok).map(|r| (r.rule.id, r.severity)).collect()
    }

    #[test]
    fn info_is_judged() {
        let used = "used_memory:95\r\nmaxmemory:100\r\n";
        for (text, found) in [
            (format!("{used}maxmemory_policy:noeviction\r\n"), vec![("redis-memory", Severity::Critical)]),
            (format!("{used}maxmemory_policy:allkeys-lru\r\n"), vec![]),
            // No limit: of the machine's, and never of zero.
            ("used_memory:95\r\nmaxmemory:0\r\ntotal_system_memory:1000\r\n".into(), vec![]),
            ("used_memory:95\r\nmaxmemory:0\r\n".into(), vec![]),
            (
                "connected_clients:9\r\nmaxclients:10\r\nrejected_connections:5\r\n".into(),
                vec![("redis-clients", Severity::Critical)],
            ),
            (
                "connected_clients:1\r\nmaxclients:10\r\nrejected_connections:6\r\n".into(),
                vec![("redis-clients", Severity::Critical)],
            ),
            ("role:slave\r\nmaster_link_status:down\r\n".into(), vec![("redis-replica", Severity::Critical)]),
            (
                "role:slave\r\nmaster_link_status:down\r\nmaster_sync_in_progress:1\r\n".into(),
                vec![("redis-replica", Severity::Warning)],
            ),
            ("rdb_last_bgsave_status:err\r\n".into(), vec![("redis-saving", Severity::Critical)]),
            ("aof_enabled:0\r\naof_last_write_status:err\r\n".into(), vec![]),
            (
                "aof_enabled:1\r\naof_last_write_status:err\r\n".into(),
                vec![("redis-saving", Severity::Critical)],
            ),
        ] {
            assert_eq!(of_info(&text), found, "{text}");
        }
    }
}
