//! The edge every tool shares: flags, `main`, exit status, `--generate`.

use crate::check::{self, Rule};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::out::{Out, Severity};
use crate::{log as logging, shutdown};
use clap::{Args, Command, CommandFactory, Parser};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Flags of every tool.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Log what is done; twice for details, three times for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 900)]
    pub verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 900)]
    pub quiet: bool,
    /// Write records as one JSON object per line
    #[arg(long, global = true, display_order = 900)]
    pub json: bool,
    /// Configuration file [default: /etc/toban/toban.toml, if it is there]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TOBAN_CONFIG",
        hide_env_values = true,
        display_order = 900
    )]
    pub config: Option<PathBuf>,
}

impl Common {
    /// Reads the configuration file these flags name.
    ///
    /// # Errors
    /// Usage for a named file that is missing, or one that does not parse.
    pub fn config(&self) -> Result<Config> {
        Config::load(self.config.as_deref())
    }
}

/// The flag of every verb that writes or deletes.
#[derive(Args, Clone, Copy, Debug)]
pub struct DryRun {
    /// Print what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// The flag of every verb that judges by the clock.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct At {
    /// Judge as of this time, not now (RFC 3339, e.g. 2026-11-21T03:00:00Z)
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
}

impl At {
    /// The time to judge by.
    pub fn now(self) -> jiff::Timestamp {
        self.at.unwrap_or_else(jiff::Timestamp::now)
    }
}

/// The flag of every check.
#[derive(Args, Clone, Copy, Debug)]
pub struct Monitoring {
    /// Answer as a monitoring plugin: one line with perfdata, exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
    #[arg(long)]
    pub monitoring: bool,
}

/// A tool's arguments: what [`main`] needs of them.
pub trait Cli: Parser {
    /// The shared flags.
    fn common(&self) -> &Common;

    /// Every kind of finding that the tool's checks can have.
    fn rules() -> &'static [&'static Rule] {
        &[]
    }
}

/// Parses, runs, prints the error once, and turns it into the exit status.
pub fn main<A: Cli>(run: impl FnOnce(A, &mut Out<'_>) -> Result<()>) -> ExitCode {
    ExitCode::from(exit_status(run))
}

/// The same, for a tool whose status another program reads by rules of its own.
pub fn exit_status<A: Cli>(run: impl FnOnce(A, &mut Out<'_>) -> Result<()>) -> u8 {
    let command = build_command::<A>();
    let argv: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if argv.get(1).is_some_and(|a| a == "--generate") {
        return generate_document(command, A::rules(), argv.get(2).and_then(|k| k.to_str()).unwrap_or(""));
    }
    // Before a flag is parsed the plugin contract already holds: a usage error is UNKNOWN, not CRITICAL.
    let monitoring = argv.iter().any(|a| a == "--monitoring");
    let args = match command.try_get_matches_from(&argv).and_then(|m| A::from_arg_matches(&m)) {
        Ok(args) => args,
        Err(e) => return clap_said(&e, monitoring),
    };
    // The logger keeps it as long as the process lives.
    let tool = Box::leak(A::command().get_name().to_string().into_boxed_str());
    let common = args.common().clone();
    let verbosity = if common.quiet { -1 } else { i8::try_from(common.verbose).unwrap_or(3) };
    logging::init(tool, verbosity);
    shutdown::listen();
    let mut out = Out::stdout(common.json);
    let done = run(args, &mut out);
    let done = out.flush().and(done);
    choose_status(tool, &mut out, done, monitoring)
}

fn choose_status(tool: &str, out: &mut Out<'_>, done: Result<()>, monitoring: bool) -> u8 {
    let said = out.severity();
    match done {
        Ok(()) => said.map_or(0, |s| s as u8),
        Err(e) if monitoring => {
            let _ = out.plugin(Severity::Unknown, &e.chain(), &[]);
            Severity::Unknown as u8
        }
        Err(e) => {
            print_error(tool, &e);
            // What broke when we were told to stop broke for that reason, whatever it is that noticed first.
            let kind = if shutdown::due() { Kind::Retry } else { e.kind() };
            kind.status()
        }
    }
}

/// `tool: chain`, then `hint: remedy`; never more than these two lines.
fn print_error(tool: &str, e: &Error) {
    let prefix = if logging::in_journal() { "<3>" } else { "" };
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "{prefix}{tool}: {}", crate::out::escape(&e.chain()));
    if let Some(remedy) = e.find_hint() {
        let _ = writeln!(stderr, "{prefix}hint: {}", crate::out::escape(remedy));
    }
}

fn clap_said(e: &clap::Error, monitoring: bool) -> u8 {
    let wanted = !e.use_stderr();
    let _ = e.print();
    match (wanted, monitoring) {
        (true, _) => 0,
        (false, true) => Severity::Unknown as u8,
        (false, false) => Kind::Usage.status(),
    }
}

fn build_command<A: CommandFactory>() -> Command {
    let command = A::command();
    // A long help text replaces the short one: what the tool says below its options comes first.
    let own = command.get_after_help().map(|h| format!("{h}\n\n")).unwrap_or_default();
    let command = command.after_long_help(format!("{own}Exit status:\n{}", exit_statuses()));
    join_help(command)
}

/// What stands below the options of a verb, a paragraph a line: clap breaks lines where the terminal ends, and a break of the
/// source in the middle of them would leave every other line short.
fn join_help(command: Command) -> Command {
    let joined = command.get_after_long_help().map(|help| join_paragraphs(&help.to_string()));
    let command = match joined {
        Some(text) => command.after_long_help(text),
        None => command,
    };
    command.mut_subcommands(join_help)
}

/// Lines that are indented, as examples and lists are, stay as they are.
fn join_paragraphs(text: &str) -> String {
    let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
    let (mut joined, mut after_prose) = (String::new(), false);
    for line in text.lines() {
        let between = match (joined.is_empty(), after_prose && is_prose(line)) {
            (true, _) => "",
            (false, true) => " ",
            (false, false) => "\n",
        };
        joined += between;
        joined += line;
        after_prose = is_prose(line);
    }
    joined
}

/// A name for files and keys, as clap's `value_parser`: letters, digits, `.`, `_` and `-`, at most 63, no dot first.
///
/// # Errors
/// What a name may hold.
pub fn parse_name(text: &str) -> std::result::Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let ok = !text.is_empty() && text.len() <= 63 && !text.starts_with('.') && text.chars().all(fine);
    ok.then(|| text.to_string()).ok_or_else(|| "letters, digits, '.', '_' and '-' only".into())
}

/// The table of statuses, two spaces before each line.
pub fn exit_statuses() -> String {
    let mut kinds = Kind::ALL;
    kinds.sort_by_key(|k| k.status());
    let line = |k: Kind| format!("  {:>2}  {}\n", k.status(), k.meaning());
    std::iter::once("   0  done\n".to_string()).chain(kinds.map(line)).collect()
}

/// Documents from the binary that ships: `--generate man|md|findings|bash|zsh|fish`.
fn generate_document(mut command: Command, rules: &[&Rule], kind: &str) -> u8 {
    let mut text = Vec::new();
    match kind {
        "man" => crate::docs::man(&command, &mut text),
        "md" => crate::docs::markdown(&command, &mut text),
        "findings" => text = check::markdown(rules).into_bytes(),
        _ => match kind.parse::<clap_complete::Shell>() {
            Ok(shell) => {
                let name = command.get_name().to_string();
                clap_complete::generate(shell, &mut command, name, &mut text);
            }
            Err(_) => {
                eprintln!("--generate takes man, md, findings, bash, zsh or fish");
                return Kind::Usage.status();
            }
        },
    }
    match std::io::stdout().write_all(&text) {
        Ok(()) => 0,
        Err(_) => Kind::Failed.status(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_one_line_and_a_list_keeps_its_lines() {
        let text = "Examples:\n  one\n    two\n\nIt is read,\nand then written.\n\n- a\n  b\nand c";
        let joined = "Examples:\n  one\n    two\n\nIt is read, and then written.\n\n- a\n  b\nand c";
        assert_eq!(join_paragraphs(text), joined);
    }
}
