//! Reads a plain SQL dump as psql would, without a server: is it whole, and does it stay inside its database?
//!
//! psql obeys backslash commands anywhere outside quotes: a dump by pg_dumpall or `pg_dump --create` holds
//! `\connect` and `CREATE DATABASE` and would write where it pleases, not where it is told to.

use memchr::memchr;
use std::io::{BufRead, BufReader, Read};
use toban_core::{Context, Error, Result, shutdown};

/// What is found in a plain dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScriptFacts {
    /// Major of the server it was taken from, by its header.
    pub(crate) major: Option<u32>,
    /// It creates tables.
    pub(crate) schema: bool,
    /// It fills tables.
    pub(crate) data: bool,
    /// It names the owners of its objects.
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
pub(crate) fn check_script(dump: impl Read, name: &str) -> Result<ScriptFacts> {
    let mut reader = BufReader::with_capacity(1 << 20, dump);
    let mut scanner = Scanner::default();
    loop {
        shutdown::check()?;
        let bytes = reader.fill_buf().doing(|| format!("read {name}"))?;
        if bytes.is_empty() {
            return scanner.finish_scan(name);
        }
        let n = bytes.len();
        scanner.feed_bytes(bytes).map_err(|e| Error::new(e.kind(), name.to_string()).because(e))?;
        reader.consume(n);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum ScanState {
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
    state: ScanState,
    line: u64,
    /// The statement so far without its strings and comments: its beginning and its end are enough.
    statement: Vec<u8>,
    /// What a comment or backslash command says, or a `$…` that may become a dollar quote.
    word: Vec<u8>,
    facts: ScriptFacts,
    header: bool,
    trailer: bool,
    /// COPY … FROM stdin; was read: rows begin with the next line.
    copy_next: bool,
}

/// Enough of a statement's beginning to know it, and of its end to see `FROM stdin`.
const HEAD: usize = 64;
const TAIL: usize = 64;

impl Scanner {
    fn feed_bytes(&mut self, mut bytes: &[u8]) -> Result<()> {
        // No text of PostgreSQL holds one, but a file whose blocks were lost does; psql passes over the line's rest.
        if let Some(at) = memchr(0, bytes) {
            let line = self.line + 1 + memchr::memchr_iter(b'\n', &bytes[..at]).count() as u64;
            return Err(Error::corrupt(format!("line {line}: a NUL byte: what stood there is lost")));
        }
        while let Some(&b) = bytes.first() {
            if let ScanState::Copy { .. } = self.state {
                bytes = self.take_rows(bytes);
                continue;
            }
            bytes = &bytes[1..];
            self.line += u64::from(b == b'\n');
            self.step_byte(b)?;
        }
        Ok(())
    }

    /// Takes rows up to the end of a line or of the bytes.
    fn take_rows<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let ScanState::Copy { line, long } = &mut self.state else { return bytes };
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
            self.state = ScanState::Sql;
        }
        &bytes[end + 1..]
    }

    fn step_byte(&mut self, b: u8) -> Result<()> {
        match &mut self.state {
            ScanState::Sql => return self.step_sql(b),
            ScanState::Text { escapes, escaped } => match b {
                _ if *escaped => *escaped = false,
                b'\\' if *escapes => *escaped = true,
                b'\'' => self.state = ScanState::Sql,
                _ => {}
            },
            ScanState::Name if b == b'"' => self.state = ScanState::Sql,
            ScanState::Dollar { tag, recent } => {
                recent.push(b);
                if recent.ends_with(tag) {
                    self.state = ScanState::Sql;
                } else if recent.len() > 2 * tag.len() + 64 {
                    recent.drain(..recent.len() - tag.len());
                }
            }
            ScanState::LineComment if b == b'\n' => self.end_comment(),
            ScanState::LineComment | ScanState::Meta if b != b'\n' => {
                if self.word.len() < 120 {
                    self.word.push(b);
                }
            }
            ScanState::BlockComment { depth, last } => {
                match (*last, b) {
                    (b'/', b'*') => (*depth, *last) = (*depth + 1, 0),
                    (b'*', b'/') => (*depth, *last) = (*depth - 1, 0),
                    _ => *last = b,
                }
                if *depth == 0 {
                    self.state = ScanState::Sql;
                }
            }
            ScanState::Meta => return self.end_meta(),
            ScanState::Name | ScanState::LineComment | ScanState::Copy { .. } => {}
        }
        Ok(())
    }

    fn step_sql(&mut self, b: u8) -> Result<()> {
        if self.step_dollar(b) {
            return Ok(());
        }
        match b {
            b'\'' => {
                let e = self.statement.last().is_some_and(|l| l.eq_ignore_ascii_case(&b'e'));
                let word = self.statement.iter().rev().nth(1).is_some_and(u8::is_ascii_alphanumeric);
                self.state = ScanState::Text { escapes: e && !word, escaped: false };
                self.push_byte(b'\'');
            }
            b'"' => {
                self.state = ScanState::Name;
                self.push_byte(b'"');
            }
            // A comment parts words as a space does: `create/**/database`.
            b'-' if self.statement.last() == Some(&b'-') => {
                self.statement.pop();
                self.push_byte(b' ');
                self.word.clear();
                self.state = ScanState::LineComment;
            }
            b'*' if self.statement.last() == Some(&b'/') => {
                self.statement.pop();
                self.push_byte(b' ');
                self.state = ScanState::BlockComment { depth: 1, last: 0 };
            }
            b'\\' => {
                self.word.clear();
                self.state = ScanState::Meta;
            }
            b';' => return self.end_of_statement(),
            b'\n' if self.copy_next => {
                self.copy_next = false;
                self.state = ScanState::Copy { line: Vec::new(), long: false };
            }
            _ if b.is_ascii_whitespace() => self.push_byte(b' '),
            _ => self.push_byte(b.to_ascii_uppercase()),
        }
        Ok(())
    }

    /// Follows `$`, `$tag`, until a second `$` makes it the beginning of a dollar-quoted string.
    fn step_dollar(&mut self, b: u8) -> bool {
        let begun = self.word.first() == Some(&b'$');
        if b == b'$' && begun {
            self.word.push(b);
            let tag = std::mem::take(&mut self.word);
            self.state = ScanState::Dollar { tag, recent: Vec::new() };
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

    fn push_byte(&mut self, b: u8) {
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

    fn end_comment(&mut self) {
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
        self.state = ScanState::Sql;
    }

    fn end_meta(&mut self) -> Result<()> {
        let text = String::from_utf8_lossy(&self.word).into_owned();
        self.word.clear();
        self.state = ScanState::Sql;
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

    fn finish_scan(self, name: &str) -> Result<ScriptFacts> {
        let cut =
            |what: &str| Error::corrupt(format!("{name} is cut off: it ends {what}, line {}", self.line + 1));
        match self.state {
            ScanState::Copy { .. } => return Err(cut("inside the rows of a table")),
            ScanState::Text { .. } | ScanState::Dollar { .. } | ScanState::Name => {
                return Err(cut("inside a string"));
            }
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
mod tests {
    use super::*;
    use toban_core::Kind;

    fn facts(sql: &str) -> Result<ScriptFacts> {
        // Byte by byte: no decision may depend on where a buffer ends.
        struct Drip<'a>(&'a [u8]);
        impl Read for Drip<'_> {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                let n = self.0.len().min(1);
                buf[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        let (whole, dripped) =
            (check_script(sql.as_bytes(), "x.sql"), check_script(Drip(sql.as_bytes()), "x.sql"));
        assert_eq!(format!("{whole:?}"), format!("{dripped:?}"));
        whole
    }

    const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped from database version 15.18 (Debian)\n\
        SET client_encoding = 'UTF8';\nCREATE TABLE public.t (\n    a text\n);\n\
        CREATE FUNCTION f() RETURNS text AS $_$ select '\\connect x'; $_$ LANGUAGE sql;\n\
        COPY public.t (a) FROM stdin;\n\\\\connect other\nCREATE DATABASE x;\n\\.\n\n\
        INSERT INTO t VALUES ('it''s; \\connect'), (E'a\\'; DROP DATABASE x;');\n\
        --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n";

    #[test]
    fn a_dump_that_stays_at_home() {
        assert_eq!(
            facts(DUMP).expect("fine"),
            ScriptFacts { major: Some(15), schema: true, data: true, ..ScriptFacts::default() }
        );
    }

    #[test]
    fn every_cut_before_the_trailer_is_noticed() {
        let end = DUMP.find("-- PostgreSQL database dump complete").expect("there");
        let begin = DUMP.find("-- PostgreSQL").expect("there") + 30;
        for cut in begin..end + 36 {
            let kind = facts(&DUMP[..cut]).map_err(|e| e.kind());
            assert_eq!(kind, Err(Kind::Corrupt), "cut at {cut}: {:?}", &DUMP[..cut]);
        }
    }

    #[test]
    fn what_leaves_the_database_is_refused_with_its_line() {
        for (sql, said) in [
            ("create table t ();\n\\connect other\n", "line 2: \\connect"),
            ("select 1 \\g /tmp/x\n", "line 1: \\g"),
            ("\\! rm -rf /\n", "line 1: \\!"),
            ("/* \\c x /* */ */ CREATE\n DATABASE app;", "line 2: CREATE DATABASE"),
            ("drop -- hm\n database app;", "line 2: DROP DATABASE"),
            ("drop--hm\ndatabase app;", "line 2: DROP DATABASE"),
            ("create/**/database app;", "line 1: CREATE DATABASE"),
        ] {
            let e = facts(sql).unwrap_err();
            assert!(e.chain().contains(said), "{sql:?}: {e:?}");
        }
    }

    #[test]
    fn quotes_hide_what_they_hold() {
        for sql in [
            "create table \"a;\\c x\" ();",
            "create table t (); select $$ \\c $x$ $$;",
            "create table t (); select $a$ $b$ \\c $a$, 'x';",
            "create table t (a$1 text); -- \\c x\n",
            "create table t (); select E'\\\\', '\\';",
        ] {
            facts(sql).map_err(|e| format!("{sql:?}: {e:?}")).expect("fine");
        }
    }

    #[test]
    fn rows_follow_a_copy_with_options_too() {
        let csv = "create table t (a text);\ncopy t from stdin with (format csv);\nit's \\! one\n\\.\nALTER TABLE t OWNER TO app;\n";
        assert_eq!(
            facts(csv).expect("fine"),
            ScriptFacts { schema: true, data: true, owners: true, ..ScriptFacts::default() }
        );
    }

    #[test]
    fn data_alone_is_told() {
        let data = "COPY public.t (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd, \
                    ee, ff, gg, hh, ii, jj, kk, ll, mm, nn, oo, pp, qq, rr, ss, tt, uu, vv, ww, xx, yy, zz) FROM stdin;\n1\n\\.\n";
        assert_eq!(facts(data).expect("fine"), ScriptFacts { data: true, ..ScriptFacts::default() });
    }
}
