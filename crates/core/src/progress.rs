//! How far long work is: a bar on a terminal, systemd's status line elsewhere, nothing else.

use crate::sync::lock;
use crate::{out, systemd};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// systemd hears of it no oftener.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Work in bytes; gone from the screen when it is dropped. Threads may share it.
pub struct Progress {
    what: Mutex<String>,
    total: Option<u64>,
    line: Line,
    done: AtomicU64,
    view: View,
}

/// What systemd hears: of what, how much is done, of how much.
type Line = fn(&str, u64, Option<u64>) -> String;

/// How an amount is shown: to systemd as a line, on a terminal by a template.
struct ProgressForm<'a> {
    total: Option<u64>,
    line: Line,
    template: &'a str,
}

enum View {
    Bar(ProgressBar),
    /// When systemd was last told.
    Status(Mutex<Instant>),
}

impl Progress {
    /// Shows `what` (`dump app`) as a bar with rate and, when `total` bytes are known, the time left, if stderr is a
    /// terminal and it is not `quiet`; otherwise tells systemd every few seconds.
    pub fn bytes(what: &str, total: Option<u64>, quiet: bool) -> Progress {
        let template = match total {
            Some(_) => "{msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
            None => "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec} {elapsed}",
        };
        Progress::new(ProgressForm { total, line, template }, what, quiet)
    }

    /// The same for work in `total` things.
    pub fn items(what: &str, total: u64, quiet: bool) -> Progress {
        let template = "{msg} [{wide_bar}] {pos}/{len} {eta}";
        Progress::new(ProgressForm { total: Some(total), line: items_line, template }, what, quiet)
    }

    fn new(shown: ProgressForm<'_>, what: &str, quiet: bool) -> Progress {
        let ProgressForm { total, line, template } = shown;
        let bar = !quiet && std::io::stderr().is_terminal();
        let view = match bar {
            true => View::Bar(bar_of(what, total, template)),
            false => View::Status(Mutex::new(Instant::now())),
        };
        systemd::show_status(what);
        Progress { what: Mutex::new(what.to_string()), total, line, done: AtomicU64::new(0), view }
    }

    /// Shows `what` from now on, which may hold counts of its own.
    pub fn say(&self, what: &str) {
        if let View::Bar(bar) = &self.view {
            bar.set_message(out::escape(what));
        }
        *lock(&self.what) = what.to_string();
    }

    /// `n` more are done.
    pub fn add(&self, n: u64) {
        let done = self.done.fetch_add(n, Ordering::Relaxed) + n;
        match &self.view {
            View::Bar(bar) => bar.inc(n),
            View::Status(last) => self.tell(done, last),
        }
    }

    /// A reader that shows its progress as long as it lives.
    pub fn wrap<R: Read>(self, inner: R) -> Counted<R> {
        Counted { inner, progress: self }
    }

    fn tell(&self, done: u64, last: &Mutex<Instant>) {
        // Another thread that holds it is telling right now.
        let Ok(mut last) = last.try_lock() else { return };
        if last.elapsed() >= STATUS_EVERY {
            *last = Instant::now();
            let what = lock(&self.what);
            systemd::show_status(&(self.line)(&what, done, self.total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
        systemd::show_status("");
    }
}

/// What [`Progress::wrap`] makes.
pub struct Counted<R> {
    inner: R,
    progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.progress.add(n as u64);
        Ok(n)
    }
}

fn bar_of(what: &str, total: Option<u64>, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the three templates above parse");
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style);
    bar.set_message(out::escape(what));
    bar
}

fn items_line(what: &str, done: u64, total: Option<u64>) -> String {
    format!("{what}: {done} of {}", total.unwrap_or(done))
}

fn line(what: &str, done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if total > 0 => {
            let percent = done.saturating_mul(100) / total;
            format!("{what}: {} of {} ({percent} %)", out::bytes(done), out::bytes(total))
        }
        _ => format!("{what}: {}", out::bytes(done)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_systemd() {
        assert_eq!(line("dump app", 1 << 20, Some(4 << 20)), "dump app: 1.0 MiB of 4.0 MiB (25 %)");
        assert_eq!(line("dump app", 10, None), "dump app: 10 B");
        assert_eq!(line("dump app", 10, Some(0)), "dump app: 10 B");
        assert_eq!(items_line("check", 7, Some(9)), "check: 7 of 9");
    }

    #[test]
    fn what_is_read_is_counted() {
        let mut counted = Progress::bytes("read", Some(10), true).wrap(&[7; 10][..]);
        std::io::copy(&mut counted, &mut std::io::sink()).expect("memory");
        assert_eq!(counted.progress.done.load(Ordering::Relaxed), 10);
    }
}
