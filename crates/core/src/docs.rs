//! Manual page and reference from the declarations.
//!
//! What clap has no place for stands in the help texts themselves, under headings at the margin: a verb's
//! `after_long_help` holds `Examples:`, a tool's `after_help` holds `Environment:` and `Files:`. So `--help` shows
//! it too, and nothing is written twice.

use crate::Kind;
use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::fmt::Write as _;
use std::io::Write;

/// What every tool reads from the environment.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("TOBAN_CONFIG", "The configuration file."),
    ("TOBAN_STATE_DIR", "Folder of what is remembered: run records, and which notifications were sent."),
    ("STATE_DIRECTORY", "The same, as systemd sets it."),
    ("CREDENTIALS_DIRECTORY", "Folder of secrets, as systemd sets it: smtp_pass, slack_webhook, ping_url."),
    ("SMTP_HOST, SMTP_PORT, SMTP_USER, SMTP_PASS", "The mail server that carries notifications."),
    ("TOBAN_MAIL_TO, TOBAN_MAIL_FROM", "Who gets them, separated by commas, and who sends them."),
    ("SLACK_WEBHOOK", "The webhook that notifications are posted to."),
    ("TOBAN_PING_URL", "The monitor that is pinged at the start and the end of a job."),
    ("NOTIFY_SOCKET", "Where systemd listens for the status line."),
    ("RUST_LOG", "Finer choice of log messages than -v makes, e.g. toban_core=debug."),
    ("NO_COLOR", "Set to anything: no colours."),
];

/// The files that every tool knows.
const FILES: &[(&str, &str)] = &[
    ("/etc/toban/toban.toml", "The configuration, when no other is named."),
    ("/var/lib/toban/runs/", "The last hundred runs of each job, one JSON object per line."),
    ("/var/lib/toban/notify/", "Which notifications were sent, and which are still to be sent."),
];

/// One manual page with every verb: written in roff to `to`, which is memory, so that nothing can fail.
pub fn man(command: &Command, to: &mut dyn Write) {
    let mut root = command.clone();
    root.build();
    let page = Man::new(root.clone());
    let mut text = manual_title(&root);
    text += &section_text(&draw_section(|w| page.render_name_section(w)));
    text += &section_text(&draw_section(|w| page.render_synopsis_section(w)));
    text += &section_text(&draw_section(|w| page.render_description_section(w)));
    text += &verbs_of(&root).map(list_commands).collect::<String>();
    text += ".SH \"COMMON OPTIONS\"\n";
    text += &section_text(&section_body(&draw_section(|w| page.render_options_section(w))));
    text += &list_blocks(&root);
    let _ = to.write_all(text.as_bytes());
}

/// clap_mangen leaves an empty date out instead of writing it, so that the version lands in its place. There is no
/// date: the same sources make the same page on any day.
fn manual_title(root: &Command) -> String {
    let (name, version) = (root.get_name(), root.get_version().unwrap_or_default());
    let mut roff = Roff::new();
    roff.control("TH", [name, "1", "\"\"", &format!("{name} {version}"), "toban"]);
    roff.render()
}

/// Every verb, and of one that has verbs of its own these.
fn verbs_of(root: &Command) -> impl Iterator<Item = &Command> {
    let shown = |v: &&Command| !v.is_hide_set() && v.get_name() != "help";
    let nested = move |verb| {
        let own: Vec<&Command> = Command::get_subcommands(verb).filter(shown).collect();
        if own.is_empty() { vec![verb] } else { own }
    };
    root.get_subcommands().filter(shown).flat_map(nested)
}

fn draw_section(section: impl Fn(&mut dyn Write) -> std::io::Result<()>) -> String {
    let mut text = Vec::new();
    section(&mut text).expect("memory takes everything");
    String::from_utf8(text).expect("roff is made of strings")
}

/// A section of clap_mangen's without its heading.
fn section_body(section: &str) -> String {
    filter_lines(section, |line| !line.starts_with(".SH"))
}

/// What roff draws, without the preamble that each piece brings along; the title has it already.
fn section_text(section: &str) -> String {
    filter_lines(section, |line| !line.starts_with(".ie \\n") && !line.starts_with(".el .ds"))
}

fn filter_lines(text: &str, keep: impl Fn(&&str) -> bool) -> String {
    text.lines().filter(keep).map(|line| line.trim_end().to_string() + "\n").collect()
}

/// A verb's part: its synopsis, what it does, its own options.
fn list_commands(verb: &Command) -> String {
    let own = Man::new(own_options(verb));
    let title = verb.get_bin_name().unwrap_or_else(|| verb.get_name()).to_uppercase();
    let synopsis = section_text(&section_body(&draw_section(|w| own.render_synopsis_section(w))));
    let description = section_text(&section_body(&draw_section(|w| own.render_description_section(w))));
    let options = section_text(&section_body(&draw_section(|w| own.render_options_section(w))));
    format!(".SH \"{title}\"\n{synopsis}.PP\n{description}{options}")
}

/// The verb without the options that all verbs share: they have a section of their own.
fn own_options(verb: &Command) -> Command {
    verb.clone().mut_args(|arg| {
        let hidden = arg.is_hide_set() || is_shared(&arg);
        arg.hide(hidden)
    })
}

fn is_shared(arg: &Arg) -> bool {
    arg.is_global_set() || arg.get_id() == "help" || arg.get_id() == "version"
}

/// EXIT STATUS, ENVIRONMENT, FILES and EXAMPLES.
fn list_blocks(root: &Command) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    put_definition(&mut roff, "0", "done");
    let mut kinds = Kind::ALL;
    kinds.sort_by_key(|k| k.status());
    kinds.iter().for_each(|k| put_definition(&mut roff, &k.status().to_string(), k.meaning()));
    roff.control("SH", ["ENVIRONMENT"]);
    list_environment(root).iter().for_each(|(name, meaning)| put_definition(&mut roff, name, meaning));
    roff.control("SH", ["FILES"]);
    let files =
        find_section(root.get_after_help(), "Files").map(|text| parse_definitions(&text)).unwrap_or_default();
    files
        .iter()
        .chain(&own_pairs(FILES))
        .for_each(|(path, meaning)| put_definition(&mut roff, path, meaning));
    roff.control("SH", ["EXAMPLES"]);
    let examples = list_examples(root);
    put_verbatim(&mut roff, &examples.join("\n"));
    section_text(&roff.render())
}

fn put_definition(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []).text([bold(term)]).text([roman(meaning)]);
}

fn put_verbatim(roff: &mut Roff, text: &str) {
    roff.control("nf", []);
    text.lines().filter(|l| !l.is_empty()).for_each(|line| {
        roff.text([roman(line)]);
    });
    roff.control("fi", []);
}

/// The tool's own variables, then those that stand for a flag, then everybody's; each once.
fn list_environment(root: &Command) -> Vec<(String, String)> {
    let own = find_section(root.get_after_help(), "Environment")
        .map(|text| parse_definitions(&text))
        .unwrap_or_default();
    let args = std::iter::once(root).chain(verbs_of(root)).flat_map(Command::get_arguments);
    let flags = args.filter_map(|arg| {
        let name = arg.get_env()?.to_string_lossy().into_owned();
        Some((name, format!("Stands for --{}.", arg.get_long()?)))
    });
    let mut all: Vec<(String, String)> = Vec::new();
    for (name, meaning) in own.into_iter().chain(own_pairs(ENVIRONMENT)).chain(flags) {
        if !all.iter().any(|(known, _)| known.split(", ").any(|k| k == name)) {
            all.push((name, meaning));
        }
    }
    all
}

fn own_pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(term, meaning)| (term.to_string(), meaning.to_string())).collect()
}

/// The examples of every verb, as they stand in its help.
fn list_examples(root: &Command) -> Vec<String> {
    let own = find_section(root.get_after_help(), "Examples");
    own.into_iter()
        .chain(verbs_of(root).filter_map(|v| find_section(v.get_after_long_help(), "Examples")))
        .collect()
}

/// The indented lines below `heading:` of a help text, without the indent that they share.
fn find_section(help: Option<&clap::builder::StyledStr>, heading: &str) -> Option<String> {
    let text = help?.to_string();
    let begin = text.lines().skip_while(|line| line.trim_end() != format!("{heading}:")).skip(1);
    let inside: Vec<&str> = begin.take_while(|line| line.is_empty() || line.starts_with(' ')).collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let shared = inside.iter().filter(|l| !l.is_empty()).map(indent).min()?;
    let lines: Vec<&str> = inside.iter().map(|l| l.get(shared..).unwrap_or("").trim_end()).collect();
    Some(lines.join("\n").trim_end().to_string())
}

/// `TERM  meaning` line by line; an indented line goes on with the meaning before.
fn parse_definitions(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|l| !l.is_empty()) {
        match (line.split_once("  "), found.last_mut()) {
            (Some(("", more)), Some((_, meaning))) => *meaning = format!("{meaning} {}", more.trim()),
            (Some((term, meaning)), _) => found.push((term.into(), meaning.trim().into())),
            (None, _) => found.push((line.into(), String::new())),
        }
    }
    found
}

/// The reference in Markdown: each verb with its usage, a table of its options and its examples, then the options
/// that all verbs share. Written to `to`, which is memory, so that nothing can fail.
pub fn markdown(command: &Command, to: &mut dyn Write) {
    let mut root = command.clone();
    root.build();
    let mut text = format!("# {}\n\n{}\n\n", root.get_name(), describe_command(&root));
    for verb in verbs_of(&root) {
        text += &verb_markdown(verb);
    }
    let shared: Vec<&Arg> = root.get_arguments().filter(|a| !a.is_hide_set()).collect();
    let title = if verbs_of(&root).next().is_some() { "Options of every verb" } else { "Options" };
    let _ = write!(text, "## {title}\n\n{}", option_table(&shared));
    let _ = to.write_all(text.as_bytes());
}

fn verb_markdown(verb: &Command) -> String {
    let name = verb.get_bin_name().unwrap_or_else(|| verb.get_name());
    let usage = own_options(verb).render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let mut text = format!("## {name}\n\n{}\n\n```text\n{usage}\n```\n\n", describe_command(verb));
    let own: Vec<&Arg> = verb.get_arguments().filter(|a| !a.is_hide_set() && !is_shared(a)).collect();
    text += &option_table(&own);
    if let Some(examples) = find_section(verb.get_after_long_help(), "Examples") {
        let _ = write!(text, "```sh\n{examples}\n```\n\n");
    }
    text
}

fn describe_command(command: &Command) -> String {
    command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default()
}

fn option_table(args: &[&Arg]) -> String {
    if args.is_empty() {
        return String::new();
    }
    let rows: String = args.iter().map(|arg| option_row(arg)).collect();
    format!("| option | meaning | default |\n| --- | --- | --- |\n{rows}\n")
}

fn option_row(arg: &Arg) -> String {
    let cell = |text: String| text.replace('|', "\\|").replace('\n', " ");
    let default: Vec<String> =
        arg.get_default_values().iter().map(|v| format!("`{}`", v.to_string_lossy())).collect();
    let default = if arg.get_action().takes_values() { default.join(" ") } else { String::new() };
    format!("| {} | {} | {} |\n", cell(option_spelling(arg)), cell(option_meaning(arg)), cell(default))
}

/// `-j`, `--jobs N`, or `[DATABASE]...`.
fn option_spelling(arg: &Arg) -> String {
    let values = arg.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let values = values.unwrap_or_default().join(" ");
    if arg.is_positional() {
        return format!("`{values}`");
    }
    let value = if arg.get_action().takes_values() { format!(" {values}") } else { String::new() };
    let short = arg.get_short().map(|c| format!("`-{c}`, ")).unwrap_or_default();
    format!("{short}`--{}{value}`", arg.get_long().unwrap_or_default())
}

fn option_meaning(arg: &Arg) -> String {
    let mut text = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = match arg.get_action().takes_values() {
        true => arg.get_possible_values().iter().map(|v| format!("`{}`", v.get_name())).collect(),
        false => Vec::new(),
    };
    if !values.is_empty() {
        let _ = write!(text, " ({})", values.join(", "));
    }
    if let Some(name) = arg.get_env() {
        let _ = write!(text, " (`{}`)", name.to_string_lossy());
    }
    text
}
