//! The manual page, judged by mandoc; the reference.

use clap::{Args, CommandFactory, Parser, Subcommand};
use std::process::{Command, Stdio};
use toban_core::{Common, docs};

/// Count cats
#[derive(Parser, Debug)]
#[command(version = "1.0", name = "cat-count", after_help = TEXT)]
struct Cats {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

const TEXT: &str = "\
Environment:
  CAT_HOME  Where the cats are,
            by day and by night.
  RUST_LOG  Of cats, too.

Files:
  /etc/cats  The list of cats.
";

const EXAMPLES: &str = "\
Examples:
  cat-count count 'garden | house'
      counts the cats, \\ and those in the 'yard'

  cat-count count --all
";

#[derive(Subcommand, Debug)]
enum Verb {
    /// Count the cats of a place
    #[command(after_long_help = EXAMPLES)]
    Count(Count),
    /// List them
    List,
}

#[derive(Args, Debug)]
struct Count {
    /// Place, as garden|house
    #[arg(value_name = "PLACE")]
    place: Vec<String>,
    /// All of them
    #[arg(short, long, env = "CAT_ALL")]
    all: bool,
    /// Lives of a cat
    #[arg(long, value_name = "N", default_value_t = 9)]
    lives: u32,
}

fn drawn(draw: impl Fn(&clap::Command, &mut dyn std::io::Write)) -> String {
    let mut text = Vec::new();
    draw(&Cats::command(), &mut text);
    String::from_utf8(text).expect("UTF-8")
}

fn mandoc(arguments: &[&str], page: &str) -> String {
    let mut child = Command::new("mandoc")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("no mandoc; run: cargo xtask setup");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), page.as_bytes()).expect("it reads");
    let done = child.wait_with_output().expect("it ends");
    String::from_utf8(done.stdout).expect("UTF-8")
}

#[test]
fn mandoc_finds_no_fault() {
    let page = drawn(docs::man);
    let faults = mandoc(&["-Tlint", "-Wwarning"], &page);
    // A page with a date would be another one on another day.
    let faults: Vec<&str> = faults.lines().filter(|l| !l.contains("missing date")).collect();
    assert!(faults.is_empty(), "{faults:#?}\n{page}");
}

#[test]
fn the_page_tells_everything_once() {
    let page = mandoc(&["-Tascii", "-Owidth=100"], &drawn(docs::man));
    // A terminal's bold is the letter, a backspace, the letter again.
    let mut letters: Vec<char> = Vec::new();
    for c in page.chars() {
        match c {
            '\u{8}' => letters.truncate(letters.len() - 1),
            c => letters.push(c),
        }
    }
    let page: String = letters.into_iter().collect();
    let titles: Vec<&str> =
        page.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_uppercase())).collect();
    let wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "CAT-COUNT COUNT", "CAT-COUNT LIST", "COMMON OPTIONS"];
    assert_eq!(titles[..6], wanted, "{page}");
    assert_eq!(titles[6..], ["EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES"], "{page}");
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in [
        "cat-count count [-a|--all] [--lives] [PLACE]",
        "--lives <N> [default: 9] Lives of a cat",
        "CAT_HOME Where the cats are, by day and by night.",
        "CAT_ALL Stands for --all.",
        "75 try again:",
        "/etc/cats The list of cats. /etc/toban/toban.toml",
        "counts the cats, \\ and those in the 'yard' cat-count count --all",
    ] {
        assert!(words.contains(wanted), "no {wanted:?} in {words}");
    }
    for once in ["--json", "TOBAN_CONFIG The", "RUST_LOG"] {
        assert_eq!(words.matches(once).count(), if once == "--json" { 2 } else { 1 }, "{once}: {words}");
    }
}

#[test]
fn the_reference_has_a_table_per_verb() {
    let text = drawn(docs::markdown);
    for wanted in [
        "# cat-count\n\nCount cats\n",
        "## cat-count count\n\nCount the cats of a place\n\n```text\ncat-count count [OPTIONS] [PLACE]...\n```\n",
        "| `PLACE` | Place, as garden\\|house |  |",
        "| `-a`, `--all` | All of them (`CAT_ALL`) |  |",
        "| `--lives N` | Lives of a cat | `9` |",
        "```sh\ncat-count count 'garden | house'\n    counts the cats",
        "## Options of every verb",
        "| `--json` | Write records as one JSON object per line |  |",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in {text}");
    }
}
