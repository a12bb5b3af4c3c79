//! Reads a plain SQL dump as psql would, without a server: is it whole, and does it stay inside its database?
//!
//! psql obeys backslash commands anywhere outside quotes: a dump by pg_dumpall or `pg_dump --create` holds
//! `\connect` and `CREATE DATABASE` and would write where it pleases, not where it is told to.

use memchr::memchr;
use std::io::{BufRead, BufReader, Read};
use toban_core::{Context, Error, Result, shutdown};

/// What a plain dump tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Major of the server it was taken from, by its header.
    pub(crate) major: Option<u32>,
    /// It creates tables.
    pub(crate) schema: bool,
    /// It fills tables.
    pub(crate) data: bool,
    /// It says whose its objects are.
    pub(crate) owners: bool,
    /// It creates the schema `public`, as a dump of that schema alone does.
    pub(crate) public: bool,
    /// It drops what may not be there (`--clean` without `--if-exists`).
    pub(crate) drops: bool,
    /// Tables whose rows it announces (`Data for Name: …; Type: TABLE DATA`), in comments of pg_dump.
    pub(crate) tables: usize,
    /// Large objects that it creates, and those whose content it opens to write.
    pub(crate) large_created: usize,
    pub(crate) large_filled: usize,
}

/// Reads `dump` to its end.
///
/// # Errors
/// Corrupt for a dump that is cut off; Failed, with the line, for one that leaves its database.
pub(crate) fn check(dump: impl Read, name: &str) -> Result<Facts> {
    let mut reader = BufReader::with_capacity(1 << 20, dump);
    let mut scanner = Scanner::default();
    loop {
        shutdown::check()?;
        let bytes = reader.fill_buf().doing(|| format!("read {name}"))?;
        if bytes.is_empty() {
            return scanner.finish(name);
        }
        let n = bytes.len();
        scanner.feed(bytes).map_err(|e| Error::new(e.kind(), name.to_string()).because(e))?;
        reader.consume(n);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Sql,
    /// `'…'`; with backslash escapes after E.
    Text {
        escapes: bool,
        escaped: bool,
    },
    Name,
    /// `$tag$ … $tag$`: the delimiter, and how much of what came last could begin its end.
    Dollar {
        tag: Vec<u8>,
        recent: Vec<u8>,
    },
    LineComment,
    BlockComment {
        depth: u32,
        last: u8,
    },
    /// Rows of a COPY: the first bytes of the line.
    Copy {
        line: Vec<u8>,
        long: bool,
    },
    /// A backslash command up to the end of its line.
    Meta,
}

#[derive(Default)]
struct Scanner {
    state: State,
    line: u64,
    /// The statement so far without its strings and comments: its beginning and its end are enough.
    statement: Vec<u8>,
    /// What a comment or backslash command says, or a `$…` that may become a dollar quote.
    word: Vec<u8>,
    facts: Facts,
    header: bool,
    trailer: bool,
    /// COPY … FROM stdin; was read: rows begin with the next line.
    copy_next: bool,
}

/// Enough of a statement's beginning to know it, and of its end to see `FROM stdin`.
const HEAD: usize = 64;
const TAIL: usize = 64;

impl Scanner {
    fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        // No text of PostgreSQL holds one, but a file whose blocks were lost does; psql passes over the line's rest.
        if let Some(at) = memchr(0, bytes) {
            let line = self.line + 1 + memchr::memchr_iter(b'\n', &bytes[..at]).count() as u64;
            return Err(Error::corrupt(format!("line {line}: a NUL byte: what stood there is lost")));
        }
        while let Some(&b) = bytes.first() {
            if let State::Copy { .. } = self.state {
                bytes = self.rows(bytes);
                continue;
            }
            bytes = &bytes[1..];
            self.line += u64::from(b == b'\n');
            self.step(b)?;
        }
        Ok(())
    }

    /// Takes rows up to the end of a line or of the bytes.
    fn rows<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let State::Copy { line, long } = &mut self.state else { return bytes };
        let end = memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = 4 - line.len().min(4);
        line.extend_from_slice(&part[..part.len().min(room)]);
        *long |= part.len() > room;
        let Some(end) = end else { return &[] };
        let over = !*long && matches!(line.as_slice(), b"\\." | b"\\.\r");
        line.clear();
        *long = false;
        self.line += 1;
        if over {
            self.state = State::Sql;
        }
        &bytes[end + 1..]
    }

    fn step(&mut self, b: u8) -> Result<()> {
        match &mut self.state {
            State::Sql => return self.sql(b),
            State::Text { escapes, escaped } => match b {
                _ if *escaped => *escaped = false,
                b'\\' if *escapes => *escaped = true,
                b'\'' => self.state = State::Sql,
                _ => {}
            },
            State::Name if b == b'"' => self.state = State::Sql,
            State::Dollar { tag, recent } => {
                recent.push(b);
                if recent.ends_with(tag) {
                    self.state = State::Sql;
                } else if recent.len() > 2 * tag.len() + 64 {
                    recent.drain(..recent.len() - tag.len());
                }
            }
            State::LineComment if b == b'\n' => self.comment(),
            State::LineComment | State::Meta if b != b'\n' => {
                if self.word.len() < 120 {
                    self.word.push(b);
                }
            }
            State::BlockComment { depth, last } => {
                match (*last, b) {
                    (b'/', b'*') => (*depth, *last) = (*depth + 1, 0),
                    (b'*', b'/') => (*depth, *last) = (*depth - 1, 0),
                    _ => *last = b,
                }
                if *depth == 0 {
                    self.state = State::Sql;
                }
            }
            State::Meta => return self.meta(),
            State::Name | State::LineComment | State::Copy { .. } => {}
        }
        Ok(())
    }

    fn sql(&mut self, b: u8) -> Result<()> {
        if self.dollar(b) {
            return Ok(());
        }
        match b {
            b'\'' => {
                let e = self.statement.last().is_some_and(|l| l.eq_ignore_ascii_case(&b'e'));
                let word = self.statement.iter().rev().nth(1).is_some_and(u8::is_ascii_alphanumeric);
                self.state = State::Text { escapes: e && !word, escaped: false };
                self.push(b'\'');
            }
            b'"' => {
                self.state = State::Name;
                self.push(b'"');
            }
            // A comment parts words as a space does: `create/**/database`.
            b'-' if self.statement.last() == Some(&b'-') => {
                self.statement.pop();
                self.push(b' ');
                self.word.clear();
                self.state = State::LineComment;
            }
            b'*' if self.statement.last() == Some(&b'/') => {
                self.statement.pop();
                self.push(b' ');
                self.state = State::BlockComment { depth: 1, last: 0 };
            }
            b'\\' => {
                self.word.clear();
                self.state = State::Meta;
            }
            b';' => return self.end_of_statement(),
            b'\n' if self.copy_next => {
                self.copy_next = false;
                self.state = State::Copy { line: Vec::new(), long: false };
            }
            _ if b.is_ascii_whitespace() => self.push(b' '),
            _ => self.push(b.to_ascii_uppercase()),
        }
        Ok(())
    }

    /// Follows `$`, `$tag`, until a second `$` makes it the beginning of a dollar-quoted string.
    fn dollar(&mut self, b: u8) -> bool {
        let begun = self.word.first() == Some(&b'$');
        if b == b'$' && begun {
            self.word.push(b);
            let tag = std::mem::take(&mut self.word);
            self.state = State::Dollar { tag, recent: Vec::new() };
            return true;
        }
        if b == b'$' {
            // `a$1` is a name, `$1` a parameter, `$tag$` a quote: only after a non-word byte one can begin.
            let inside = self.statement.last().is_some_and(|l| l.is_ascii_alphanumeric() || *l == b'_');
            self.word = if inside { Vec::new() } else { vec![b'$'] };
            return !inside;
        }
        if begun && (b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80) {
            self.word.push(b);
            return true;
        }
        self.word.clear();
        false
    }

    fn push(&mut self, b: u8) {
        if b == b' ' && matches!(self.statement.last(), None | Some(b' ')) {
            return;
        }
        if self.statement.len() == HEAD + 2 * TAIL {
            self.statement.drain(HEAD..HEAD + TAIL);
        }
        self.statement.push(b);
    }

    fn end_of_statement(&mut self) -> Result<()> {
        let statement = std::mem::take(&mut self.statement);
        let begins = |words: &str| statement.starts_with(words.as_bytes());
        let holds = |words: &str| statement.windows(words.len()).any(|w| w == words.as_bytes());
        self.facts.owners |= holds(" OWNER TO ");
        self.facts.public |= begins("CREATE SCHEMA PUBLIC");
        self.facts.drops |= begins("DROP ") && !holds(" IF EXISTS ");
        if begins("COPY ") && holds(" FROM STDIN") {
            self.copy_next = true;
            self.facts.data = true;
        }
        self.facts.data |= begins("INSERT ");
        self.facts.large_created += usize::from(begins("SELECT PG_CATALOG.LO_CREATE("));
        self.facts.large_filled += usize::from(begins("SELECT PG_CATALOG.LO_OPEN("));
        self.facts.schema |=
            ["CREATE TABLE ", "CREATE UNLOGGED TABLE ", "CREATE FOREIGN TABLE "].into_iter().any(begins);
        let leaves = ["CREATE DATABASE ", "DROP DATABASE ", "ALTER DATABASE "];
        match leaves.into_iter().find(|w| begins(w)) {
            Some(words) => Err(self.refusal(words.trim())),
            None => Ok(()),
        }
    }

    fn comment(&mut self) {
        let text = String::from_utf8_lossy(&self.word);
        let text = text.trim();
        self.header |= text == "PostgreSQL database dump";
        self.trailer |= text == "PostgreSQL database dump complete";
        if let Some(entry) = text.strip_prefix("Data for Name: ") {
            self.facts.tables += usize::from(entry.contains("; Type: TABLE DATA;"));
        }
        if let Some(version) = text.strip_prefix("Dumped from database version ") {
            self.facts.major = version.split(['.', ' ']).next().and_then(|m| m.parse().ok());
        }
        self.word.clear();
        self.state = State::Sql;
    }

    fn meta(&mut self) -> Result<()> {
        let text = String::from_utf8_lossy(&self.word).into_owned();
        self.word.clear();
        self.state = State::Sql;
        let command = text.split_whitespace().next().unwrap_or_default();
        // pg_dump brackets its output by these two since August 2025, against code hidden in names.
        if ["restrict", "unrestrict"].contains(&command) {
            return Ok(());
        }
        self.line -= 1;
        Err(self.refusal(&format!("\\{command}")))
    }

    fn refusal(&self, what: &str) -> Error {
        let e = Error::failed(format!(
            "line {}: {what}: this dump would leave the database it is restored into",
            self.line + 1
        ));
        e.hint("it was made by pg_dumpall or pg_dump --create; dump the one database without them, or run it by hand with psql")
    }

    fn finish(self, name: &str) -> Result<Facts> {
        let cut =
            |what: &str| Error::corrupt(format!("{name} is cut off: it ends {what}, line {}", self.line + 1));
        match self.state {
            State::Copy { .. } => return Err(cut("inside the rows of a table")),
            State::Text { .. } | State::Dollar { .. } | State::Name => return Err(cut("inside a string")),
            _ if self.header && !self.trailer => {
                return Err(cut("before \"PostgreSQL database dump complete\""));
            }
            _ => {}
        }
        if !self.facts.schema && !self.facts.data && !self.header {
            let e = Error::failed(format!("{name} is no dump: it creates no table and fills none"));
            return Err(e);
        }
        Ok(self.facts)
    }
}

#[cfg(test)]
mod tests;
