//! What a protocol wants to hear before TLS begins, and that nothing else is said by then.

use super::deadline::Line;
use super::trouble::Trouble;
use crate::target::Protocol;
use std::io::{Read, Write};

/// Longest line of a greeting, and lines of one answer.
const LINE: usize = 4096;
const LINES: usize = 200;

type Said<T> = Result<T, Trouble>;

/// Brings the connection to where TLS begins; `host` is the name that the server is asked for.
///
/// # Errors
/// What the server said instead, or that it said too much.
pub(crate) fn begin(protocol: Protocol, host: &str, line: &mut Line) -> Said<()> {
    let mut talk = Talk { line, early: Vec::new() };
    match protocol {
        Protocol::Smtp => smtp(&mut talk, "EHLO")?,
        Protocol::Lmtp => smtp(&mut talk, "LHLO")?,
        Protocol::Sieve => sieve(&mut talk)?,
        Protocol::Xmpp => xmpp(&mut talk, "jabber:client", host)?,
        Protocol::XmppServer => xmpp(&mut talk, "jabber:server", host)?,
        Protocol::Imap => imap(&mut talk)?,
        Protocol::Pop3 => pop3(&mut talk)?,
        Protocol::Ftp => ftp(&mut talk)?,
        Protocol::Ldap => ldap(&mut talk)?,
        Protocol::Postgres => postgres(&mut talk)?,
        Protocol::Mysql => mysql(&mut talk)?,
        _ => return Ok(()),
    }
    match talk.early.is_empty() && !talk.line.has_more() {
        true => Ok(()),
        false => Err(Trouble::new(
            "starttls-injected",
            "plain text follows the answer to STARTTLS: somebody in between could put it there",
        )),
    }
}

struct Talk<'l> {
    line: &'l mut Line,
    /// Read, and not yet taken.
    early: Vec<u8>,
}

impl Talk<'_> {
    fn say(&mut self, text: &[u8]) -> Said<()> {
        self.line.write_all(text).map_err(|e| Trouble::of("STARTTLS", &e))
    }

    fn more(&mut self) -> Said<()> {
        let mut buffer = [0; 2048];
        let n = self.line.read(&mut buffer).map_err(|e| Trouble::of("STARTTLS", &e))?;
        if n == 0 {
            return Err(Trouble::new("closed", "the server closed the connection: STARTTLS"));
        }
        self.early.extend_from_slice(&buffer[..n]);
        Ok(())
    }

    /// The next line, without its end.
    fn line(&mut self) -> Said<String> {
        loop {
            if let Some(end) = self.early.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.early.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_string());
            }
            if self.early.len() > LINE {
                return Err(Trouble::new("not-tls", "a line without end instead of a greeting"));
            }
            self.more()?;
        }
    }

    /// All that comes up to these words, and with them.
    fn up_to(&mut self, end: &str) -> Said<String> {
        loop {
            let found = self.early.windows(end.len()).position(|w| w == end.as_bytes());
            if let Some(at) = found {
                let said: Vec<u8> = self.early.drain(..at + end.len()).collect();
                return Ok(String::from_utf8_lossy(&said).into_owned());
            }
            if self.early.len() > LINE * 4 {
                return Err(Trouble::new("not-tls", "an answer without end"));
            }
            self.more()?;
        }
    }

    fn bytes(&mut self, n: usize) -> Said<Vec<u8>> {
        while self.early.len() < n {
            self.more()?;
        }
        Ok(self.early.drain(..n).collect())
    }

    /// An answer of lines that begin with a code, the last without `-` behind it.
    fn reply(&mut self) -> Said<Vec<String>> {
        let mut lines = Vec::new();
        while lines.len() < LINES {
            let line = self.line()?;
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return Ok(lines);
            }
        }
        Err(Trouble::new("not-tls", "a greeting without end"))
    }

    fn expect(&mut self, code: &str) -> Said<Vec<String>> {
        let lines = self.reply()?;
        let fits = lines.last().is_some_and(|l| l.starts_with(code));
        if fits { Ok(lines) } else { Err(refused(lines.last().map_or("", String::as_str))) }
    }
}

fn refused(said: &str) -> Trouble {
    let said = crate::facts::short(said);
    Trouble::new("starttls-refused", format!("the server says: {said}"))
}

/// SMTP and LMTP (RFC 3207, RFC 2033) differ in how one greets.
fn smtp(talk: &mut Talk<'_>, hello: &str) -> Said<()> {
    talk.expect("220")?;
    talk.say(format!("{hello} localhost\r\n").as_bytes())?;
    let offers = talk.expect("250")?;
    if !offers.iter().any(|o| o.get(4..).is_some_and(|w| w.trim().eq_ignore_ascii_case("STARTTLS"))) {
        return Err(Trouble::new("starttls-refused", "the server does not offer STARTTLS"));
    }
    talk.say(b"STARTTLS\r\n")?;
    talk.expect("220").map(drop)
}

fn imap(talk: &mut Talk<'_>) -> Said<()> {
    let greeting = talk.line()?;
    // PREAUTH: logged in already, where STARTTLS is no longer allowed (RFC 9051, 7.1.4).
    if !greeting.starts_with("* OK") {
        return Err(refused(&greeting));
    }
    talk.say(b"a STARTTLS\r\n")?;
    for _ in 0..LINES {
        let line = talk.line()?;
        match line.strip_prefix("a ") {
            Some(said) if said.starts_with("OK") => return Ok(()),
            Some(_) => return Err(refused(&line)),
            None if line.starts_with("* BYE") => return Err(refused(&line)),
            None => {}
        }
    }
    Err(Trouble::new("not-tls", "an answer without end"))
}

fn pop3(talk: &mut Talk<'_>) -> Said<()> {
    for say in [None, Some(&b"STLS\r\n"[..])] {
        if let Some(say) = say {
            talk.say(say)?;
        }
        let line = talk.line()?;
        if !line.starts_with("+OK") {
            return Err(refused(&line));
        }
    }
    Ok(())
}

/// ManageSieve: the greeting lists what the server can, up to its OK (RFC 5804, 1.7).
fn sieve(talk: &mut Talk<'_>) -> Said<()> {
    let said = |line: &str, word: &str| line.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
    let mut offered = false;
    for _ in 0..LINES {
        let line = talk.line()?;
        match line.as_str() {
            l if said(l, "OK") && !offered => {
                return Err(Trouble::new("starttls-refused", "the server does not offer STARTTLS"));
            }
            l if said(l, "OK") => {
                talk.say(b"STARTTLS\r\n")?;
                let answer = talk.line()?;
                return if said(&answer, "OK") { Ok(()) } else { Err(refused(&answer)) };
            }
            l if said(l, "NO") || said(l, "BYE") => return Err(refused(l)),
            l => offered |= said(l, "\"STARTTLS\""),
        }
    }
    Err(Trouble::new("not-tls", "a greeting without end"))
}

/// The stream's head, its features, then STARTTLS (RFC 6120, 5.4).
fn xmpp(talk: &mut Talk<'_>, kind: &str, host: &str) -> Said<()> {
    const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
    let head = format!(
        "<?xml version='1.0'?><stream:stream xmlns='{kind}' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{host}' version='1.0'>"
    );
    talk.say(head.as_bytes())?;
    let features = talk.up_to("</stream:features>")?;
    if !features.contains(TLS) {
        return Err(Trouble::new("starttls-refused", "the server does not offer STARTTLS"));
    }
    talk.say(format!("<starttls xmlns='{TLS}'/>").as_bytes())?;
    let answer = talk.up_to(">")?;
    if answer.contains("<proceed") { Ok(()) } else { Err(refused(&answer)) }
}

fn ftp(talk: &mut Talk<'_>) -> Said<()> {
    talk.expect("220")?;
    talk.say(b"AUTH TLS\r\n")?;
    talk.expect("234").map(drop)
}

/// ExtendedRequest 1.3.6.1.4.1.1466.20037 (RFC 4511, 4.14), as message 1.
fn ldap(talk: &mut Talk<'_>) -> Said<()> {
    let mut request = vec![0x30, 0x1d, 2, 1, 1, 0x77, 0x18, 0x80, 0x16];
    request.extend_from_slice(b"1.3.6.1.4.1.1466.20037");
    talk.say(&request)?;
    let head = talk.bytes(2)?;
    let length = match (head[0], head[1]) {
        (0x30, short @ ..=0x7f) => usize::from(short),
        (0x30, long @ 0x81..=0x84) => {
            let bytes = talk.bytes(usize::from(long & 0x7f))?;
            bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))
        }
        _ => return Err(Trouble::new("not-tls", "no LDAP answer")),
    };
    if length > 64 << 10 {
        return Err(Trouble::new("not-tls", "an LDAP answer of more than 64 KiB"));
    }
    let body = talk.bytes(length)?;
    match body.windows(3).find(|w| w[..2] == [0x0a, 1]) {
        Some([_, _, 0]) => Ok(()),
        Some([_, _, code]) => Err(refused(&format!("LDAP result {code}"))),
        _ => Err(Trouble::new("not-tls", "no LDAP answer")),
    }
}

/// SSLRequest: <https://www.postgresql.org/docs/current/protocol-message-formats.html>
fn postgres(talk: &mut Talk<'_>) -> Said<()> {
    talk.say(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f])?;
    match talk.bytes(1)?[0] {
        b'S' => Ok(()),
        b'N' => Err(Trouble::new("starttls-refused", "the server has TLS switched off (ssl = off)")),
        b'E' => Err(Trouble::new("starttls-refused", "the server answers with an error")),
        _ => Err(Trouble::new("not-tls", "no PostgreSQL answer")),
    }
}

/// The server's handshake packet, then SSLRequest.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>
fn mysql(talk: &mut Talk<'_>) -> Said<()> {
    const SSL: u16 = 0x0800;
    let head = talk.bytes(4)?;
    let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
    if !(1..=4096).contains(&length) {
        return Err(Trouble::new("not-tls", "no MySQL greeting"));
    }
    let body = talk.bytes(length)?;
    if body[0] == 0xff {
        return Err(refused(&String::from_utf8_lossy(body.get(3..).unwrap_or_default())));
    }
    // Version text and its NUL, thread id (4), half of the salt (8), filler (1), then the lower capabilities.
    let version = body.iter().skip(1).position(|b| *b == 0);
    let at = version.map(|v| 2 + v + 13).filter(|_| body[0] == 10);
    let Some([low, high]) = at.and_then(|at| body.get(at..at + 2)) else {
        return Err(Trouble::new("not-tls", "no MySQL greeting"));
    };
    if u16::from_le_bytes([*low, *high]) & SSL == 0 {
        return Err(Trouble::new("starttls-refused", "the server has TLS switched off"));
    }
    let mut request = vec![32, 0, 0, 1, 0x00, 0x8a, 0, 0, 0, 0, 0, 1, 33];
    request.resize(36, 0);
    talk.say(&request)
}
