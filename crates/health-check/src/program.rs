//! Other programs that are asked: with a deadline, and in English.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use toban_core::shutdown::Guarded;
use toban_core::{Context, Error, Kind, Result};

/// What `program` prints, when it ends within `limit`.
///
/// # Errors
/// Failed when it is not there or ends badly, with its words; Retry when it does not end in time.
pub(crate) fn run_program(program: &str, args: &[&str], limit: Duration) -> Result<String> {
    let doing = || format!("run {program} {}", args.first().unwrap_or(&""));
    let mut command = Command::new(program);
    // In the C locale, for nobody parses decimal commas and translated states.
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = Guarded::new(command.spawn().doing(doing)?);
    let (sender, receiver) = channel();
    // Both pipes are read beside: a program that fills one would wait for us as we for it.
    for (is_error, pipe) in [
        (false, child.child().stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
        (true, child.child().stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
    ] {
        let (sender, Some(mut pipe)) = (sender.clone(), pipe) else { continue };
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            sender.send((is_error, String::from_utf8_lossy(&bytes).into_owned()))
        });
    }
    let (mut said, mut complained) = (String::new(), String::new());
    for _ in 0..2 {
        let late = || Error::new(Kind::Retry, format!("{}: no answer in {} s", doing(), limit.as_secs()));
        let (is_error, text) =
            receiver.recv_timeout(limit.saturating_sub(began.elapsed())).map_err(|_| late())?;
        if is_error { complained = text } else { said = text }
    }
    let status = child.child().wait().doing(doing)?;
    match status.success() {
        true => Ok(said),
        false => {
            let words = complained.lines().next().unwrap_or_default().trim().to_string();
            Err(Error::failed(if words.is_empty() { status.to_string() } else { words })).doing(doing)
        }
    }
}
