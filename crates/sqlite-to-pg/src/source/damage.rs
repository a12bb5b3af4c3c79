//! Whether the file is whole, judged before a row of it is copied: what is damaged often reads as empty.

use super::{catalog, log, open, quote_name};
use rusqlite::{Connection, ErrorCode, InterruptHandle};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;
use toban_core::{Context, Error, Kind, Result, shutdown};

/// Bytes of the header of a database.
const HEADER: usize = 100;
/// Bytes of the least page; no database is shorter.
pub(crate) const LEAST: u64 = 512;
/// Messages that are quoted of one file.
const QUOTED: usize = 3;

const HINT: &str = "nothing was copied, because it cannot be known what is missing; restore the file from a backup, or save what can be read: \
     sqlite3 FILE .recover | sqlite3 NEW";
const DISAGREE: &str = "nothing was copied, since a table and its index disagree, and it cannot be known which is right; restore the file from a \
     backup, or trust the tables: sqlite3 FILE REINDEX";

/// What can be told of the file at once, without reading its pages. The caller holds a read transaction.
///
/// # Errors
/// Corrupt, when pages are missing, or the log is damaged.
pub(crate) fn check_header(path: &Path) -> Result<()> {
    compare_size(path)?;
    log::check_log(path)
}

/// Compares the size of the file with its header. The caller holds a read transaction: outside of it a writer may
/// have told the header already of pages that it writes next.
///
/// # Errors
/// Corrupt, when pages are missing.
pub(crate) fn compare_size(path: &Path) -> Result<()> {
    let doing = || format!("look at {}", path.display());
    let mut header = [0; HEADER];
    let mut file = File::open(path).doing(doing)?;
    let size = file.metadata().doing(doing)?.len();
    if file.read_exact(&mut header).is_err() {
        return Err(cut_off(path, &format!("it has {size} bytes, and the header alone has {HEADER}")));
    }
    // Pages that are not in the file yet are in the log; SQLite finds out by itself when they are in neither.
    let logged = std::fs::metadata(open::path_beside(path, "-wal")).is_ok_and(|m| m.len() > 0);
    match missing_pages(&header, size) {
        Some(why) if !logged => Err(cut_off(path, &why)),
        _ => Ok(()),
    }
}

fn cut_off(path: &Path, why: &str) -> Error {
    Error::corrupt(format!("{} is damaged: it was cut off: {why}", path.display())).hint(HINT)
}

/// The error that tells of a cut, where the file was cut, in place of SQLite's own.
pub(crate) fn or_cut(path: &Path, e: Error) -> Error {
    match e.kind() {
        Kind::Corrupt => compare_size(path).err().unwrap_or(e),
        _ => e,
    }
}

/// What a file of `size` bytes lacks, by its header <https://sqlite.org/fileformat.html>.
fn missing_pages(header: &[u8; HEADER], size: u64) -> Option<String> {
    let number = |at: usize| header[at..at + 4].iter().fold(0, |n, b| n << 8 | u64::from(*b));
    // 1 stands for 65,536, which two bytes cannot hold (file format, "Page Size").
    let page = match u64::from(header[16]) << 8 | u64::from(header[17]) {
        1 => 65_536,
        n => n,
    };
    if !page.is_power_of_two() || page < LEAST {
        return Some(format!("its header names a page size of {page} bytes, which SQLite does not have"));
    }
    // The count is only kept by versions that also write the change counter a second time.
    let (counted, pages) = (number(24) == number(92), number(28));
    if counted && pages > 0 {
        let held = size / page;
        return (held < pages).then(|| format!("{held} of {pages} pages of {page} bytes are there"));
    }
    (!size.is_multiple_of(page)).then(|| format!("{size} bytes are no whole pages of {page} bytes"))
}

/// Messages of SQLite about a file that is whole: rows that break a rule of the schema, an index of words that is stale.
pub(crate) type Remarks = BTreeSet<String>;

/// The reading of every page, as SQLite's integrity_check does it, beside all other work.
pub(crate) struct PageCheck {
    state: CheckState,
}

enum CheckState {
    Running { thread: JoinHandle<Result<Remarks>>, interrupt: InterruptHandle },
    Ended(Remarks),
}

impl PageCheck {
    /// Begins it on a connection and a thread of its own: only what makes the copy visible has to wait for it.
    pub(crate) fn begin(mut judge: Connection, path: &Path) -> PageCheck {
        let (interrupt, path) = (judge.get_interrupt_handle(), path.to_path_buf());
        let thread = std::thread::spawn(move || check_pages(&mut judge, &path));
        PageCheck { state: CheckState::Running { thread, interrupt } }
    }

    /// One that has ended already, with remarks about a whole file.
    pub(crate) fn ended(remarks: Remarks) -> PageCheck {
        PageCheck { state: CheckState::Ended(remarks) }
    }

    /// Waits for its end; the answer is that of the work that went on beside it, with the remarks about a whole file.
    ///
    /// # Errors
    /// Corrupt for a damaged file, naming what is damaged, whatever came of the work; those of the work; Retry when told to
    /// stop.
    pub(crate) fn settle<T>(self, done: Result<T>) -> Result<(T, Remarks)> {
        let (thread, interrupt) = match self.state {
            CheckState::Ended(remarks) => return Ok((done?, remarks)),
            CheckState::Running { thread, interrupt } => (thread, interrupt),
        };
        // An error of the work may come from the damage itself, of which the check tells more.
        let told = done.as_ref().is_err_and(|e| !matches!(e.kind(), Kind::Failed | Kind::Corrupt));
        while !thread.is_finished() {
            if told || shutdown::check().is_err() {
                interrupt.interrupt();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let checked =
            thread.join().unwrap_or_else(|_| Err(Error::failed("a thread panicked: this is a bug")));
        match (done, checked) {
            (Err(_), Err(e)) if e.kind() == Kind::Corrupt => Err(e),
            (done, checked) => Ok((done?, checked?)),
        }
    }
}

/// Reads every page, as SQLite's integrity_check does.
///
/// # Errors
/// Corrupt, naming what is damaged; Retry when told to stop.
pub(crate) fn check_pages(db: &mut Connection, path: &Path) -> Result<Remarks> {
    // What a CHECK says is no matter of the pages, and may need functions that only the application has.
    db.execute_batch("pragma ignore_check_constraints = on").map_err(|e| open::explain_error(e, path))?;
    let mut found = DamageReport { known: MessageContext::read_context(db)?, ..DamageReport::default() };
    let asked = match found.ask_check(db, "pragma integrity_check(2147483647)") {
        Err(e) if is_refusal(&e) => found.ask_in_parts(db),
        asked => asked,
    };
    match asked {
        Err(e) if found.count == 0 => Err(open::explain_error(e, path)),
        _ => found.into_result(path),
    }
}

/// An error about the statement rather than about the file, as of an index whose function only the application has.
fn is_refusal(e: &rusqlite::Error) -> bool {
    matches!(e, rusqlite::Error::SqlInputError { .. }) || e.sqlite_error_code() == Some(ErrorCode::Unknown)
}

/// What the messages must be read with.
#[derive(Default)]
struct MessageContext {
    /// Indexes and tables that are ordered by a collation which only the application has: here they look out of order.
    foreign: BTreeSet<String>,
    /// The schema holds a statement that SQLite does not understand: the pages of that table look unused.
    lost: bool,
}

impl MessageContext {
    fn read_context(db: &Connection) -> Result<MessageContext> {
        let sql = "select l.name, i.name from pragma_table_list l, pragma_index_list(l.name) i, pragma_index_xinfo(i.name) x \
                   where l.schema = 'main' and x.key and upper(x.coll) not in ('BINARY', 'NOCASE', 'RTRIM')";
        let pairs = catalog::query_all(db, sql, &[], |r| Ok([r.get(0)?, r.get(1)?]))?;
        Ok(MessageContext {
            foreign: pairs.into_iter().flatten().collect(),
            lost: !catalog::lost_tables(db)?.is_empty(),
        })
    }

    /// Whether a message tells of damage; none for what tells of nothing.
    fn is_damage(&self, message: &str) -> Option<bool> {
        let about = |words: &str| message.split_once(words).map(|(_, name)| name.trim());
        let named = about(" index ").or_else(|| about("PRIMARY KEY order for "));
        match message {
            _ if named.is_some_and(|name| self.foreign.contains(name)) => None,
            m if self.lost && m.ends_with("never used") => None,
            // The plan itself tells of NULLs where the schema forbids them.
            m if m.starts_with("***") || m.starts_with("NULL value in ") || m == "ok" => None,
            m if m.starts_with("NUMERIC value in ") || m.starts_with("TEXT value in ") => Some(false),
            m if m.contains("inverted index") || m.starts_with("In RTree") => Some(false),
            _ => Some(true),
        }
    }
}

#[derive(Default)]
struct DamageReport {
    known: MessageContext,
    damages: Vec<String>,
    count: u64,
    remarks: Remarks,
}

impl DamageReport {
    /// Asks, and sorts the answers.
    fn ask_check(&mut self, db: &Connection, pragma: &str) -> rusqlite::Result<()> {
        let mut statement = db.prepare(pragma)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text = catalog::lossy_text(row.get_ref(0)?).unwrap_or_default();
            text.lines().map(str::trim).filter(|l| !l.is_empty()).for_each(|line| self.add_message(line));
        }
        Ok(())
    }

    /// Table by table, where one of them keeps the whole from being checked; that one without its indexes.
    fn ask_in_parts(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut tables = db.prepare(
            "select name from pragma_table_list where schema = 'main' and type in ('table', 'shadow')",
        )?;
        let names: Vec<String> = tables.query_map([], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut last = None;
        for name in names {
            for check in ["integrity_check", "quick_check"] {
                last = Some(self.ask_check(db, &format!("pragma {check}({})", quote_name(&name))));
                if !matches!(&last, Some(Err(e)) if is_refusal(e)) {
                    break;
                }
            }
            // Why a table cannot be read is told when its rows are.
            match last.take() {
                Some(Err(e)) if !is_refusal(&e) => return Err(e),
                _ => {}
            }
        }
        match self.ask_check(db, "pragma quick_check(2147483647)") {
            Err(e) if !is_refusal(&e) => Err(e),
            _ => Ok(()),
        }
    }

    fn add_message(&mut self, message: &str) {
        match self.known.is_damage(message) {
            Some(true) => {
                self.count += 1;
                if self.damages.len() < QUOTED {
                    self.damages.push(message.to_string());
                }
            }
            Some(false) => drop(self.remarks.insert(message.to_string())),
            None => {}
        }
    }

    fn into_result(self, path: &Path) -> Result<Remarks> {
        if self.count == 0 {
            return Ok(self.remarks);
        }
        let more = match self.count - self.damages.len() as u64 {
            0 => String::new(),
            n => format!("; and {n} more"),
        };
        let indexes = self.damages.iter().all(|m| m.contains(" index "));
        let hint = if indexes { DISAGREE } else { HINT };
        Err(Error::corrupt(format!("{} is damaged: {}{more}", path.display(), self.damages.join("; ")))
            .hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(page: u16, pages: u32, counted: bool) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[16..18].copy_from_slice(&page.to_be_bytes());
        header[24..28].copy_from_slice(&7_u32.to_be_bytes());
        header[28..32].copy_from_slice(&pages.to_be_bytes());
        header[92..96].copy_from_slice(&(if counted { 7_u32 } else { 6 }).to_be_bytes());
        header
    }

    #[test]
    fn pages_that_are_missing() {
        for (page, pages, counted, size, whole) in [
            (4096, 3, true, 12_288, true),
            (4096, 3, true, 12_287, false),
            (4096, 3, true, 3000, false),
            (4096, 3, true, 16_384, true),
            (1, 2, true, 60_000, false),
            (1, 2, true, 131_072, true),
            // Versions before 3.7 do not count.
            (1024, 0, true, 2048, true),
            (1024, 9, false, 2048, true),
            (1024, 9, false, 2047, false),
            (1000, 1, true, 100_000, false),
            (0, 1, true, 100_000, false),
        ] {
            let found = missing_pages(&header(page, pages, counted), size);
            assert_eq!(found.is_none(), whole, "{page} {pages} {counted} {size}: {found:?}");
        }
    }

    #[test]
    fn what_the_messages_tell() {
        let known = MessageContext { foreign: ["theirs", "w"].map(String::from).into(), lost: false };
        for (message, damage) in [
            ("Tree 2 page 3 cell 0: invalid page number 77", Some(true)),
            ("Page 5: never used", Some(true)),
            ("row 3 missing from index ours", Some(true)),
            ("row 3 missing from index theirs", None),
            ("wrong # of entries in index theirs", None),
            ("row not in PRIMARY KEY order for w", None),
            ("row not in PRIMARY KEY order for x", Some(true)),
            ("NULL value in t.c", None),
            ("NUMERIC value in t.c", Some(false)),
            ("malformed inverted index for FTS5 table main.f", Some(false)),
            ("ok", None),
        ] {
            assert_eq!(known.is_damage(message), damage, "{message}");
        }
        assert_eq!(MessageContext { lost: true, ..known }.is_damage("Page 5: never used"), None);
    }
}
