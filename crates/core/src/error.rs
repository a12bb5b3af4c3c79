//! One error type: what kind it is (the exit status), what was being done, what went wrong, what remedies it.

use std::fmt;

/// Any result of this project's own functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What a script would branch on; each is one exit status (docs/EXIT-STATUS.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Could not do it.
    Failed,
    /// Bad flag, bad configuration, bad value.
    Usage,
    /// Some items done, some not; each is named.
    Partial,
    /// The check ran and found something.
    Findings,
    /// Stored data does not match its checksum.
    Corrupt,
    /// Locked, unreachable, throttled after own retries, or told to stop: try again.
    Retry,
}

impl Kind {
    /// Every kind, the most urgent first: of several at once the first decides the status.
    pub const ALL: [Kind; 6] =
        [Kind::Corrupt, Kind::Findings, Kind::Partial, Kind::Retry, Kind::Failed, Kind::Usage];

    /// The exit status of a process that ends with this kind.
    pub fn status(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Partial => 3,
            Kind::Findings => 4,
            Kind::Corrupt => 5,
            Kind::Retry => 75,
        }
    }

    /// One sentence for help texts and documents.
    pub fn meaning(self) -> &'static str {
        match self {
            Kind::Failed => "could not do it",
            Kind::Usage => "usage: bad flag, bad configuration, bad value",
            Kind::Partial => "partial: some items done, some not; each is named",
            Kind::Findings => "findings: the check ran and found something",
            Kind::Corrupt => "corrupt: stored data does not match its checksum",
            Kind::Retry => "try again: locked, unreachable, throttled after own retries, or told to stop",
        }
    }

    /// What an SQLSTATE of the server means. Connection exceptions (08), too many connections (53300), shutting down or
    /// starting up (57P01–57P03) pass; so do lock timeouts (55P03), deadlocks (40P01) and objects in use (55006).
    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    pub fn of_sqlstate(code: &str) -> Kind {
        let passing = ["53300", "57P01", "57P02", "57P03", "55P03", "40P01", "55006"];
        if code.starts_with("08") || passing.contains(&code) { Kind::Retry } else { Kind::Failed }
    }

    /// Judges any error: our own keep their kind, foreign ones are temporary or they are not.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Kind {
        let mut cause = Some(error);
        while let Some(e) = cause {
            if let Some(ours) = e.downcast_ref::<Error>() {
                return ours.kind;
            }
            if let Some(io) = e.downcast_ref::<std::io::Error>() {
                return of_io(io);
            }
            #[cfg(feature = "pg")]
            if let Some(sql) = e.downcast_ref::<postgres::Error>()
                && let Some(kind) = of_sql(sql)
            {
                return kind;
            }
            cause = e.source();
        }
        Kind::Failed
    }
}

fn of_io(e: &std::io::Error) -> Kind {
    use std::io::ErrorKind as Io;
    if let Some(inner) = e.get_ref() {
        return Kind::of(inner);
    }
    match e.kind() {
        Io::TimedOut | Io::WouldBlock | Io::ConnectionRefused | Io::ConnectionReset => Kind::Retry,
        Io::ConnectionAborted | Io::NotConnected | Io::HostUnreachable | Io::NetworkUnreachable => {
            Kind::Retry
        }
        _ => Kind::Failed,
    }
}

#[cfg(feature = "pg")]
fn of_sql(e: &postgres::Error) -> Option<Kind> {
    match e.code() {
        Some(code) => Some(Kind::of_sqlstate(code.code())),
        None => (e.is_closed() || went_away(e)).then_some(Kind::Retry),
    }
}

/// The server was gone when we wrote to it. Of stdout the same kinds mean something else, so only here.
#[cfg(feature = "pg")]
fn went_away(e: &postgres::Error) -> bool {
    use std::io::ErrorKind as Io;
    let io = std::error::Error::source(e).and_then(|s| s.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| matches!(io.kind(), Io::BrokenPipe | Io::UnexpectedEof))
}

/// An error that says what was being done; printed once, by [`crate::main`].
pub struct Error {
    kind: Kind,
    doing: String,
    source: Option<Source>,
    hint: Option<String>,
}

impl Error {
    /// An error without a cause: `message` says all.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, doing: message.into(), source: None, hint: None }
    }

    /// Could not do it.
    pub fn failed(message: impl Into<String>) -> Error {
        Error::new(Kind::Failed, message)
    }

    /// The caller's words are off.
    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(Kind::Usage, message)
    }

    /// Stored data does not match its checksum.
    pub fn corrupt(message: impl Into<String>) -> Error {
        Error::new(Kind::Corrupt, message)
    }

    /// Another try may succeed.
    pub fn retry(message: impl Into<String>) -> Error {
        Error::new(Kind::Retry, message)
    }

    /// What happens when `doing` fails for `cause`: [`Context::doing`] where there is no `Result` to say it of.
    pub fn caused_by(
        doing: impl Into<String>,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        Error { kind: Kind::of(&cause), doing: doing.into(), source: Some(unwrap_io(cause)), hint: None }
    }

    /// The same error with the line that says what to do.
    #[must_use]
    pub fn hint(mut self, remedy: impl Into<String>) -> Error {
        self.hint = Some(remedy.into());
        self
    }

    /// The same error with `cause` below it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Source>) -> Error {
        self.source = Some(cause.into());
        self
    }

    /// The same error as another kind.
    #[must_use]
    pub fn kind_as(mut self, kind: Kind) -> Error {
        self.kind = kind;
        self
    }

    /// What a script would branch on.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The hint, of this error or the nearest cause that has one.
    pub fn find_hint(&self) -> Option<&str> {
        if self.hint.is_some() {
            return self.hint.as_deref();
        }
        let mut cause = std::error::Error::source(self);
        while let Some(e) = cause {
            if let Some(hint) = e.downcast_ref::<Error>().and_then(|e| e.hint.as_deref()) {
                return Some(hint);
            }
            cause = e.source();
        }
        None
    }

    /// The whole chain on one line: `store x/y: write part 3: connection refused`.
    pub fn chain(&self) -> String {
        let mut line = self.doing.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(e) = cause {
            let text = own_words(e);
            // Some libraries repeat their cause in their own message.
            if !text.is_empty() && !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = e.source();
        }
        one_line(&line)
    }
}

/// What this error says itself. `postgres` prints "db error" and keeps the server's words in its source.
fn own_words(e: &(dyn std::error::Error + 'static)) -> String {
    #[cfg(feature = "pg")]
    {
        if e.downcast_ref::<postgres::Error>().is_some_and(|sql| sql.as_db_error().is_some()) {
            return String::new();
        }
        if let Some(db) = e.downcast_ref::<postgres::error::DbError>() {
            return db.message().to_string();
        }
    }
    crate::tls_words::in_words(&e.to_string())
}

fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

/// Our errors cross a `Read` or a `Write` without losing their kind.
impl From<Error> for std::io::Error {
    fn from(e: Error) -> std::io::Error {
        std::io::Error::other(e)
    }
}

/// Says what was being done when a call failed. There is no `From<io::Error>`: each step names itself.
pub trait Context<T> {
    /// `doing` is a bare verb phrase with its object: `connect to PostgreSQL`, not "failed to connect".
    ///
    /// # Errors
    /// The error of `self`, with `doing` before it; the kind is judged by [`Kind::of`].
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: std::error::Error + Send + Sync + 'static> Context<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::caused_by(doing(), e))
    }
}

/// An `Error` that travelled inside an `io::Error` comes out again, so that it is not said twice.
fn unwrap_io<E: std::error::Error + Send + Sync + 'static>(e: E) -> Source {
    let boxed: Source = Box::new(e);
    match boxed.downcast::<std::io::Error>() {
        Ok(io) if io.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).is_some() => {
            io.into_inner().expect("get_ref found it")
        }
        Ok(io) => io,
        Err(other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn the_chain_is_one_line_and_keeps_kind_and_cure() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let inner = Err::<(), _>(refused).doing(|| "connect to db1".into()).map_err(|e| e.hint("start it"));
        let outer = inner.doing(|| "dump app".into()).unwrap_err();
        assert_eq!(outer.chain(), "dump app: connect to db1: connection refused");
        assert_eq!((outer.kind(), outer.find_hint()), (Kind::Retry, Some("start it")));
    }

    #[test]
    fn an_error_survives_a_reader() {
        let io: io::Error = Error::corrupt("checksum differs").into();
        let e = Err::<(), _>(io).doing(|| "read x".into()).unwrap_err();
        assert_eq!((e.kind(), e.chain().as_str()), (Kind::Corrupt, "read x: checksum differs"));
    }

    #[test]
    fn statuses_are_those_of_the_design() {
        let all: Vec<u8> = Kind::ALL.iter().map(|k| k.status()).collect();
        assert_eq!(all, [5, 4, 3, 75, 1, 2]);
    }
}
