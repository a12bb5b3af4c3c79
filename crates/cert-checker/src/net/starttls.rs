//! What each protocol sends in plain text before TLS begins, and that nothing else comes with it.

use super::connection::TimedStream;
use super::failure::ProbeFailure;
use crate::endpoint::Protocol;
use crate::facts::shorten;
use crate::rules;
use std::io::{Read, Write};

/// Longest line of a greeting, and lines of one answer.
const LINE: usize = 4096;
const LINES: usize = 200;

type Talk<T> = Result<T, ProbeFailure>;

/// Brings the connection to where TLS begins; `host` is the name that the server is asked for.
///
/// # Errors
/// What the server answers instead, or that it sends more than its answer.
pub(crate) fn start_tls(protocol: Protocol, host: &str, line: &mut TimedStream) -> Talk<()> {
    let mut talk = Conversation { line, early: Vec::new() };
    match protocol {
        Protocol::Smtp => start_smtp(&mut talk, "EHLO")?,
        Protocol::Lmtp => start_smtp(&mut talk, "LHLO")?,
        Protocol::Sieve => start_sieve(&mut talk)?,
        Protocol::Xmpp => start_xmpp(&mut talk, "jabber:client", host)?,
        Protocol::XmppServer => start_xmpp(&mut talk, "jabber:server", host)?,
        Protocol::Imap => start_imap(&mut talk)?,
        Protocol::Pop3 => start_pop3(&mut talk)?,
        Protocol::Ftp => start_ftp(&mut talk)?,
        Protocol::Ldap => start_ldap(&mut talk)?,
        Protocol::Postgres => start_postgres(&mut talk)?,
        Protocol::Mysql => start_mysql(&mut talk)?,
        _ => return Ok(()),
    }
    // What follows the answer in plain text may be an attacker's: a client that reads it after the handshake takes it for
    // the server's (response injection). A correct server is silent until the client's hello.
    match talk.early.is_empty() && !talk.line.has_more() {
        true => Ok(()),
        false => Err(ProbeFailure::new(
            &rules::STARTTLS_INJECTED,
            "plain text follows the answer to STARTTLS: an attacker in between could put it there",
        )),
    }
}

struct Conversation<'l> {
    line: &'l mut TimedStream,
    /// Read, and not yet taken.
    early: Vec<u8>,
}

impl Conversation<'_> {
    fn send(&mut self, text: &[u8]) -> Talk<()> {
        self.line.write_all(text).map_err(|e| ProbeFailure::from_io("STARTTLS", &e))
    }

    fn receive(&mut self) -> Talk<()> {
        let mut buffer = [0; 2048];
        let n = self.line.read(&mut buffer).map_err(|e| ProbeFailure::from_io("STARTTLS", &e))?;
        if n == 0 {
            return Err(ProbeFailure::new(&rules::CLOSED, "the server closed the connection: STARTTLS"));
        }
        self.early.extend_from_slice(&buffer[..n]);
        Ok(())
    }

    /// The next line, without its end.
    fn read_line(&mut self) -> Talk<String> {
        loop {
            if let Some(end) = self.early.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.early.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_string());
            }
            if self.early.len() > LINE {
                return Err(not_tls("a line without end instead of a greeting"));
            }
            self.receive()?;
        }
    }

    /// All that comes up to these words, and with them.
    fn read_up_to(&mut self, end: &str) -> Talk<String> {
        loop {
            let found = self.early.windows(end.len()).position(|w| w == end.as_bytes());
            if let Some(at) = found {
                let taken: Vec<u8> = self.early.drain(..at + end.len()).collect();
                return Ok(String::from_utf8_lossy(&taken).into_owned());
            }
            if self.early.len() > LINE * 4 {
                return Err(not_tls("an answer without end"));
            }
            self.receive()?;
        }
    }

    fn read_bytes(&mut self, n: usize) -> Talk<Vec<u8>> {
        while self.early.len() < n {
            self.receive()?;
        }
        Ok(self.early.drain(..n).collect())
    }

    /// An answer of lines that begin with a code, the last without `-` after it (RFC 5321, 4.2.1).
    fn read_reply(&mut self) -> Talk<Vec<String>> {
        let mut lines = Vec::new();
        while lines.len() < LINES {
            let line = self.read_line()?;
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return Ok(lines);
            }
        }
        Err(not_tls("a greeting without end"))
    }

    fn expect_code(&mut self, code: &str) -> Talk<Vec<String>> {
        let lines = self.read_reply()?;
        let fits = lines.last().is_some_and(|l| l.starts_with(code));
        if fits { Ok(lines) } else { Err(refusal(lines.last().map_or("", String::as_str))) }
    }
}

fn not_tls(text: &str) -> ProbeFailure {
    ProbeFailure::new(&rules::NOT_TLS, text)
}

fn refused(text: &str) -> ProbeFailure {
    ProbeFailure::new(&rules::STARTTLS_REFUSED, text)
}

fn not_offered() -> ProbeFailure {
    refused("the server does not offer STARTTLS")
}

fn refusal(answer: &str) -> ProbeFailure {
    refused(&format!("the server says: {}", shorten(answer)))
}

/// SMTP and LMTP (RFC 3207, 4; RFC 2033, 4.1) differ in how a client greets.
fn start_smtp(talk: &mut Conversation<'_>, hello: &str) -> Talk<()> {
    talk.expect_code("220")?;
    // Only the extended greeting is answered with what the server offers (RFC 5321, 4.1.1.1); a server that does not offer
    // STARTTLS may take the command for a mistake and close.
    talk.send(format!("{hello} localhost\r\n").as_bytes())?;
    let offers = talk.expect_code("250")?;
    if !offers.iter().any(|o| o.get(4..).is_some_and(|w| w.trim().eq_ignore_ascii_case("STARTTLS"))) {
        return Err(not_offered());
    }
    talk.send(b"STARTTLS\r\n")?;
    talk.expect_code("220").map(drop)
}

/// RFC 9051, 6.2.1.
fn start_imap(talk: &mut Conversation<'_>) -> Talk<()> {
    let greeting = talk.read_line()?;
    // PREAUTH: logged in already, where STARTTLS is no longer allowed (RFC 9051, 7.1.4).
    if !greeting.starts_with("* OK") {
        return Err(refusal(&greeting));
    }
    talk.send(b"a STARTTLS\r\n")?;
    // Untagged lines may come at any time (RFC 9051, 7): only the one with our tag answers.
    for _ in 0..LINES {
        let line = talk.read_line()?;
        match line.strip_prefix("a ") {
            Some(answer) if answer.starts_with("OK") => return Ok(()),
            Some(_) => return Err(refusal(&line)),
            None if line.starts_with("* BYE") => return Err(refusal(&line)),
            None => {}
        }
    }
    Err(not_tls("an answer without end"))
}

/// RFC 2595, 4: the greeting and the answer to STLS look alike.
fn start_pop3(talk: &mut Conversation<'_>) -> Talk<()> {
    for say in [None, Some(&b"STLS\r\n"[..])] {
        if let Some(say) = say {
            talk.send(say)?;
        }
        let line = talk.read_line()?;
        if !line.starts_with("+OK") {
            return Err(refusal(&line));
        }
    }
    Ok(())
}

/// ManageSieve: the greeting lists what the server can, up to its OK (RFC 5804, 1.7).
fn start_sieve(talk: &mut Conversation<'_>) -> Talk<()> {
    let begins =
        |line: &str, word: &str| line.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
    // The list of capabilities has no order, and ends with the line that begins with OK, NO or BYE.
    let mut offered = false;
    for _ in 0..LINES {
        let line = talk.read_line()?;
        match line.as_str() {
            l if begins(l, "OK") && !offered => {
                return Err(not_offered());
            }
            l if begins(l, "OK") => {
                talk.send(b"STARTTLS\r\n")?;
                let answer = talk.read_line()?;
                return if begins(&answer, "OK") { Ok(()) } else { Err(refusal(&answer)) };
            }
            l if begins(l, "NO") || begins(l, "BYE") => return Err(refusal(l)),
            l => offered |= begins(l, "\"STARTTLS\""),
        }
    }
    Err(not_tls("a greeting without end"))
}

/// The stream's head, its features, then STARTTLS (RFC 6120, 5.4).
fn start_xmpp(talk: &mut Conversation<'_>, kind: &str, host: &str) -> Talk<()> {
    const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
    let head = format!(
        "<?xml version='1.0'?><stream:stream xmlns='{kind}' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{host}' version='1.0'>"
    );
    // Servers with several domains choose the certificate by `to`, as others do by SNI (RFC 6120, 4.7.2).
    talk.send(head.as_bytes())?;
    let features = talk.read_up_to("</stream:features>")?;
    if !features.contains(TLS) {
        return Err(not_offered());
    }
    talk.send(format!("<starttls xmlns='{TLS}'/>").as_bytes())?;
    let answer = talk.read_up_to(">")?;
    if answer.contains("<proceed") { Ok(()) } else { Err(refusal(&answer)) }
}

/// RFC 4217, 4.
fn start_ftp(talk: &mut Conversation<'_>) -> Talk<()> {
    talk.expect_code("220")?;
    talk.send(b"AUTH TLS\r\n")?;
    talk.expect_code("234").map(drop)
}

/// ExtendedRequest 1.3.6.1.4.1.1466.20037 (RFC 4511, 4.14), as message 1.
fn start_ldap(talk: &mut Conversation<'_>) -> Talk<()> {
    let mut request = vec![0x30, 0x1d, 2, 1, 1, 0x77, 0x18, 0x80, 0x16];
    request.extend_from_slice(b"1.3.6.1.4.1.1466.20037");
    talk.send(&request)?;
    let head = talk.read_bytes(2)?;
    let length = match (head[0], head[1]) {
        (0x30, short @ ..=0x7f) => usize::from(short),
        (0x30, long @ 0x81..=0x84) => {
            let bytes = talk.read_bytes(usize::from(long & 0x7f))?;
            bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))
        }
        _ => return Err(not_tls("no LDAP answer")),
    };
    if length > 64 << 10 {
        return Err(not_tls("an LDAP answer of more than 64 KiB"));
    }
    let body = talk.read_bytes(length)?;
    // The result code is the answer's only ENUMERATED (RFC 4511, 4.1.9), and 0 is success.
    match body.windows(3).find(|w| w[..2] == [0x0a, 1]) {
        Some([_, _, 0]) => Ok(()),
        Some([_, _, code]) => Err(refusal(&format!("LDAP result {code}"))),
        _ => Err(not_tls("no LDAP answer")),
    }
}

/// SSLRequest: <https://www.postgresql.org/docs/current/protocol-message-formats.html>
fn start_postgres(talk: &mut Conversation<'_>) -> Talk<()> {
    // Length 8, then 80877103 in place of a protocol version. One byte answers it; an error message may come in its place
    // from a server that cannot start a process, and is not to be trusted, for it comes without TLS (CVE-2024-10977).
    talk.send(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f])?;
    match talk.read_bytes(1)?[0] {
        b'S' => Ok(()),
        b'N' => Err(refused("the server has TLS switched off (ssl = off)")),
        b'E' => Err(refused("the server answers with an error")),
        _ => Err(not_tls("no PostgreSQL answer")),
    }
}

/// The server's handshake packet, then SSLRequest.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>
fn start_mysql(talk: &mut Conversation<'_>) -> Talk<()> {
    const SSL: u16 = 0x0800;
    let head = talk.read_bytes(4)?;
    let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
    if !(1..=4096).contains(&length) {
        return Err(not_tls("no MySQL greeting"));
    }
    let body = talk.read_bytes(length)?;
    if body[0] == 0xff {
        return Err(refusal(&String::from_utf8_lossy(body.get(3..).unwrap_or_default())));
    }
    // Version text and its NUL, thread id (4), half of the salt (8), filler (1), then the lower capabilities.
    let version = body.iter().skip(1).position(|b| *b == 0);
    let at = version.map(|v| 2 + v + 13).filter(|_| body[0] == 10);
    let Some([low, high]) = at.and_then(|at| body.get(at..at + 2)) else {
        return Err(not_tls("no MySQL greeting"));
    };
    if u16::from_le_bytes([*low, *high]) & SSL == 0 {
        return Err(refused("the server has TLS switched off"));
    }
    // A packet of 32 bytes, number 1: CLIENT_SSL among the capabilities, the largest packet, a character set, zeros.
    let mut request = vec![32, 0, 0, 1, 0x00, 0x8a, 0, 0, 0, 0, 0, 1, 33];
    request.resize(36, 0);
    talk.send(&request)
}
