//! One request for the headers of an answer.

use super::collect;
use super::failure::ProbeFailure;
use super::probe::{self, ProbeRequest};
use crate::rules;
use std::io::{Read, Write};
use std::sync::Arc;

/// Headers longer than this are not read.
const HEADERS: usize = 64 << 10;

/// The Strict-Transport-Security header (RFC 6797), as far as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hsts {
    /// The protocol has no such header.
    NotAsked,
    Missing,
    /// Seconds.
    For(u64),
}

/// The Strict-Transport-Security header of `/`; none when the server does not answer in HTTP.
pub(crate) fn fetch_hsts(ask: &ProbeRequest<'_>) -> Option<Hsts> {
    fetch_head(ask, "/").map(|head| read_hsts(&head))
}

/// Where the answer for `path` leads, as the server writes it; none when it leads nowhere.
pub(crate) fn fetch_location(ask: &ProbeRequest<'_>, path: &str) -> Option<String> {
    redirect_location(&fetch_head(ask, path)?)
}

/// The status of an answer without TLS, and where it leads.
pub(crate) struct PlainAnswer {
    pub(crate) status: String,
    pub(crate) location: Option<String>,
}

/// What a server answers for `path` without TLS.
pub(crate) fn ask_without_tls(ask: &ProbeRequest<'_>, path: &str) -> Result<PlainAnswer, ProbeFailure> {
    let host = match ask.endpoint.port {
        80 => ask.endpoint.host.clone(),
        _ => ask.endpoint.to_string().replace("http://", ""),
    };
    let mut line = probe::open_stream(ask)?;
    let head = send_request(&mut line, &host, "HEAD", path)
        .map_err(|e| ProbeFailure::from_io("ask in plain HTTP", &e))?;
    match head.starts_with("HTTP/") {
        true => {
            let status = head.split_whitespace().nth(1).unwrap_or_default().to_string();
            Ok(PlainAnswer { status, location: redirect_location(&head) })
        }
        false => Err(ProbeFailure::new(&rules::NOT_HTTP, "what answers does not speak HTTP")),
    }
}

/// What a web server says that takes every client certificate in the handshake and refuses it in HTTP, as nginx does:
/// `400 The SSL certificate error`.
pub(crate) fn fetch_client_refusal(ask: &ProbeRequest<'_>) -> Option<String> {
    let answer = fetch_answer(ask, "GET", "/")?;
    let status = answer.split_whitespace().nth(1)?.to_string();
    let refused = answer.contains("SSL certificate error") || answer.contains("required SSL certificate");
    (status.starts_with('4') && refused).then(|| format!("HTTP status {status}, SSL certificate error"))
}

fn fetch_head(ask: &ProbeRequest<'_>, path: &str) -> Option<String> {
    fetch_answer(ask, "HEAD", path)
}

fn fetch_answer(ask: &ProbeRequest<'_>, method: &str, path: &str) -> Option<String> {
    let mut line = probe::open_stream(ask).ok()?;
    let (mut config, _) = collect::client_config(None, ask.own.clone()).ok()?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_sni = ask.sni.is_some();
    let name = probe::server_name(ask).ok()?;
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).ok()?;
    let mut stream = rustls::Stream::new(&mut connection, &mut line);
    let host = ask.sni.map_or_else(|| ask.at.to_string(), ToString::to_string);
    let head = send_request(&mut stream, &host, method, path).ok()?;
    head.starts_with("HTTP/").then_some(head)
}

/// What is answered, whatever it is: up to its end, or for `HEAD` to that of its head.
fn send_request(
    stream: &mut (impl Read + Write),
    host: &str,
    method: &str,
    path: &str,
) -> std::io::Result<String> {
    // `Connection: close`, so that the end of the answer is the end of the connection, and no length or chunk must be
    // understood.
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: cert-checker\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    // For GET up to the connection's end: nginx says in the body why it refuses a client certificate.
    let whole = |head: &[u8]| method == "HEAD" && head.windows(4).any(|w| w == b"\r\n\r\n");
    while head.len() < HEADERS && !whole(&head) {
        match stream.read(&mut buffer) {
            Err(e) if head.is_empty() => return Err(e),
            Ok(0) if head.is_empty() => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(0) | Err(_) => break,
            Ok(n) => head.extend_from_slice(&buffer[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The first header of this name.
fn find_header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().take_while(|l| !l.is_empty());
    let mut headers = lines.filter_map(|l| l.split_once(':'));
    headers.find(|(known, _)| known.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn redirect_location(head: &str) -> Option<String> {
    let status = head.split_whitespace().nth(1)?;
    let leads = matches!(status, "301" | "302" | "303" | "307" | "308");
    // What could end the next request's line is no address.
    let plain = |to: &&str| to.bytes().all(|b| b.is_ascii_graphic());
    find_header(head, "location").filter(|_| leads).filter(plain).map(ToString::to_string)
}

/// RFC 6797, 8.1: the first such header counts, and of each directive the first.
fn read_hsts(head: &str) -> Hsts {
    let Some(value) = find_header(head, "strict-transport-security") else { return Hsts::Missing };
    let mut directives = value.split(';').filter_map(|d| d.split_once('='));
    let age = directives.find(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"));
    let seconds = age.and_then(|(_, s)| s.trim().trim_matches('"').parse().ok());
    // Without an age that can be read, browsers ignore the header; an age of 0 takes it back.
    seconds.filter(|s| *s > 0).map_or(Hsts::Missing, Hsts::For)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_answers_lead() {
        let cases = [
            ("301 Moved\r\nLocation: https://b.example/x", Some("https://b.example/x")),
            ("308 Moved\r\nlocation:/y", Some("/y")),
            ("200 OK\r\nLocation: /y", None),
            ("302 Found\r\nLocation: /a b", None),
            ("302 Found", None),
        ];
        for (head, expected) in cases {
            assert_eq!(redirect_location(&format!("HTTP/1.1 {head}\r\n\r\n")).as_deref(), expected, "{head}");
        }
    }

    #[test]
    fn headers_as_servers_send_them() {
        let cases = [
            ("", Hsts::Missing),
            (
                "Strict-Transport-Security: max-age=31536000; includeSubDomains; preload",
                Hsts::For(31_536_000),
            ),
            ("strict-transport-security: includeSubDomains; max-age=\"60\"", Hsts::For(60)),
            ("Strict-Transport-Security: max-age=0", Hsts::Missing),
            ("Strict-Transport-Security: max-age=forever", Hsts::Missing),
            ("Strict-Transport-Security: max-age=1\r\nStrict-Transport-Security: max-age=2", Hsts::For(1)),
        ];
        for (header, expected) in cases {
            let head = format!(
                "HTTP/1.1 200 OK\r\n{header}\r\nServer: x\r\n\r\nStrict-Transport-Security: max-age=9"
            );
            assert_eq!(read_hsts(&head), expected, "{header}");
        }
    }
}
