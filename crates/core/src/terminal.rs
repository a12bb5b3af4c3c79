//! What is asked of a person at a terminal.

use crate::error::{Context, Error, Result};
use crate::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};

/// Asks for a secret on the terminal of this process, whatever stdin and stderr are; what is typed is not shown.
///
/// # Errors
/// Usage when it has no terminal.
pub(crate) fn ask_secret(prompt: &str) -> Result<Secret> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let tty = opened.map_err(|e| {
        let e = Error::usage(format!("{prompt}there is no terminal to ask on")).because(e);
        e.hint("give a file without a passphrase, as a credential of the unit for instance")
    })?;
    let doing = || "ask on the terminal".to_string();
    let hidden = HiddenInput::begin(&tty)?;
    (&tty).write_all(prompt.as_bytes()).doing(doing)?;
    let mut line = String::new();
    BufReader::new(&tty).read_line(&mut line).doing(doing)?;
    drop(hidden);
    (&tty).write_all(b"\n").doing(doing)?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// A terminal that does not show what is typed, until this goes.
struct HiddenInput<'t> {
    tty: &'t File,
    before: Termios,
}

impl<'t> HiddenInput<'t> {
    fn begin(tty: &'t File) -> Result<HiddenInput<'t>> {
        let doing = || "hide what is typed".to_string();
        let before = tcgetattr(tty).map_err(std::io::Error::from).doing(doing)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(tty, OptionalActions::Now, &hidden).map_err(std::io::Error::from).doing(doing)?;
        Ok(HiddenInput { tty, before })
    }
}

impl Drop for HiddenInput<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty, OptionalActions::Now, &self.before);
    }
}
