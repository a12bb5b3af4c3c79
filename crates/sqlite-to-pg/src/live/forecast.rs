//! How long each phase took, and how long the window will be: said before anything is stopped.

use super::held::WayBackLimit;
use serde::Serialize;
use std::time::{Duration, Instant};
use toban_core::stamp::iso_seconds;
use toban_core::{Error, Kind, Out, Record, Result};

/// Bytes of a table that are copied, and compared, in a second on a slow core.
const COPIED: u64 = 20_000_000;
const COMPARED: u64 = 60_000_000;

/// A phase that ended, or one that is forecast.
#[derive(Debug, Serialize)]
struct CutoverLine {
    phase: String,
    /// When it began; empty in a forecast.
    began: String,
    seconds: f64,
}

impl Record for CutoverLine {
    const SCHEMA: &'static str = "sqlite-to-pg.cutover/1";
    const HEAD: &'static [&'static str] = &["phase", "began", "seconds"];

    fn cells(&self) -> Vec<String> {
        vec![self.phase.clone(), self.began.clone(), format!("{:.3}", self.seconds)]
    }
}

/// Prints each phase when it is over.
pub(super) struct Timer<'o, 'a> {
    out: &'o mut Out<'a>,
}

impl<'o, 'a> Timer<'o, 'a> {
    pub(super) fn new(out: &'o mut Out<'a>) -> Timer<'o, 'a> {
        Timer { out }
    }

    /// Does `work` and prints how long it took.
    ///
    /// # Errors
    /// Those of `work`.
    pub(super) fn time_phase<T>(
        &mut self,
        phase: &str,
        work: impl FnOnce(&mut Timer<'o, 'a>) -> Result<T>,
    ) -> Result<T> {
        let (began, clock) = (iso_seconds(jiff::Timestamp::now()), Instant::now());
        let done = work(self)?;
        self.out.emit(&CutoverLine { phase: phase.into(), began, seconds: clock.elapsed().as_secs_f64() })?;
        Ok(done)
    }

    /// Prints what may keep a row from going back.
    ///
    /// # Errors
    /// Those of stdout.
    pub(super) fn print_limits(&mut self, limits: &[WayBackLimit]) -> Result<()> {
        limits.iter().try_for_each(|limit| self.out.emit(limit))
    }

    fn print_forecast(&mut self, phase: String, length: Duration) -> Result<()> {
        self.out.emit(&CutoverLine { phase, began: String::new(), seconds: length.as_secs_f64() })
    }
}

/// What the window will take, the wait for the application's lock and the switch command apart.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Forecast {
    /// Applying the last changes.
    pub(super) sync: Duration,
    /// Comparing.
    pub(super) compare: Duration,
    /// Tables that are copied again.
    recopied: Vec<(String, Duration)>,
}

impl Forecast {
    /// Counts a table of so many bytes that is copied again.
    pub(super) fn add_recopied(&mut self, table: &str, bytes: u64) {
        let length = seconds_of(bytes, COPIED) + seconds_of(bytes, COMPARED);
        self.recopied.push((table.into(), length));
    }

    /// Counts the comparison of everything.
    pub(super) fn compare_all_of(&mut self, bytes: u64) {
        self.compare = seconds_of(bytes, COMPARED);
    }

    /// All of it.
    pub(super) fn whole(&self) -> Duration {
        self.sync + self.compare + self.recopied.iter().map(|(_, length)| *length).sum::<Duration>()
    }

    /// Prints each part, and the whole.
    ///
    /// # Errors
    /// Those of stdout.
    pub(super) fn emit_lines(&self, timer: &mut Timer<'_, '_>) -> Result<()> {
        timer.print_forecast("forecast: last changes".into(), self.sync)?;
        for (table, length) in &self.recopied {
            timer.print_forecast(format!("forecast: copy {table} again"), *length)?;
        }
        timer.print_forecast("forecast: compare".into(), self.compare)?;
        timer.print_forecast("forecast: window".into(), self.whole())
    }

    /// That the window is not longer than it may be.
    ///
    /// # Errors
    /// Findings when it is.
    pub(super) fn check_window(&self, most: u64) -> Result<()> {
        if self.whole() <= Duration::from_secs(most) {
            return Ok(());
        }
        let what = format!(
            "no-go: the window would take {:.1} s, and may take {most} s",
            self.whole().as_secs_f64()
        );
        Err(Error::new(Kind::Findings, what)
            .hint("give --max-window more, or a primary key to the tables that are copied again"))
    }
}

fn seconds_of(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_too_long_is_refused() {
        let mut forecast = Forecast { sync: Duration::from_secs(1), ..Forecast::default() };
        forecast.compare_all_of(60_000_000);
        assert!(forecast.check_window(2).is_ok());
        forecast.add_recopied("t", 60_000_000);
        assert_eq!(forecast.whole(), Duration::from_secs(6));
        let e = forecast.check_window(5).expect_err("too long");
        assert_eq!(e.kind(), Kind::Findings);
        assert!(e.chain().contains("6.0 s"), "{}", e.chain());
    }
}
