//! Command lines and configurations that the documents and units show are ones that the tools take.

use e2e::{bins, root};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_command_line_in_the_documents_parses() {
    let mut seen = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("readable");
        for line in shell_lines(&text).iter().flat_map(|l| calls(l)) {
            assert_parses(&line, &page);
            seen += 1;
        }
    }
    assert!(seen >= 20, "only {seen} command lines found: does the reader still know the pages' form?");
}

#[test]
fn every_command_line_in_the_units_parses() {
    for entry in std::fs::read_dir(root().join("systemd")).expect("systemd/") {
        let path = entry.expect("entry").path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let lines = text.lines().filter_map(|l| l.strip_prefix("ExecStart=/usr/bin/"));
        lines.for_each(|line| assert_parses(&line.replace("%i", "main"), &path));
    }
}

#[test]
fn every_configuration_in_the_documents_parses() {
    let example = root().join("systemd/examples/toban.toml");
    let mut configs = vec![(example.clone(), std::fs::read_to_string(&example).expect("readable"))];
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("readable");
        configs.extend(blocks(&text, "toml").into_iter().map(|block| (page.clone(), block)));
    }
    assert!(configs.len() >= 3, "only {} found", configs.len());
    for (page, config) in configs {
        let parsed = toban_core::config::Config::parse(&config);
        assert!(parsed.is_ok(), "{}: {}\n{config}", page.display(), parsed.expect_err("checked").chain());
    }
}

/// With `--help` behind it clap checks every flag and value, then does nothing.
fn assert_parses(line: &str, page: &Path) {
    // What follows a lone `--` is another program's.
    let (own, _) = line.split_once(" -- ").unwrap_or((line, ""));
    let script = format!("{own} --help");
    let path = format!("{}:/usr/bin:/bin", bins().display());
    let out =
        Command::new("sh").args(["-c", &script]).env_clear().env("PATH", path).output().expect("sh runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{}: `{line}`\n{said}", page.display());
    let help = String::from_utf8_lossy(&out.stdout);
    // A tool without verbs has an option next.
    let words: Vec<&str> = line.split_whitespace().take(2).take_while(|w| !w.starts_with('-')).collect();
    assert!(help.contains(&format!("Usage: {}", words.join(" "))), "{}: `{line}`\n{help}", page.display());
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "docs/guide", "docs/runbooks"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}")) {
            pages.push(entry.expect("entry").path());
        }
    }
    // Not docs/reference: it is made of the declarations themselves, and shows synopses.
    pages.retain(|p| p.extension().is_some_and(|e| e == "md"));
    pages
}

/// The text of every fenced block of this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let starts = text.split(&fence).skip(1);
    starts.filter_map(|rest| rest.split("```").next()).map(String::from).collect()
}

/// Typed lines of `console` blocks, and crontab lines; a backslash at the end joins two.
fn shell_lines(text: &str) -> Vec<String> {
    let consoles = blocks(text, "console").join("\n").replace("\\\n", " ");
    let typed = consoles.lines().filter_map(|l| l.strip_prefix("$ ").or_else(|| l.strip_prefix("# ")));
    let cron = blocks(text, "crontab").join("\n").replace("\\%", "%");
    typed.map(String::from).chain(cron.lines().map(String::from)).collect()
}

fn tools() -> Vec<String> {
    xtask::docs::tools(&root()).expect("crates/")
}

/// The calls of our tools in a line: up to the next operator of the shell.
fn calls(line: &str) -> Vec<String> {
    tools().iter().flat_map(|tool| calls_of(&format!("{tool} "), line)).collect()
}

fn calls_of(tool: &str, line: &str) -> Vec<String> {
    let starts = line.match_indices(tool).map(|(at, _)| at);
    let whole = starts.filter(|at| *at == 0 || line[..*at].ends_with([' ', '/', '(']));
    let until = |at: usize| {
        line[at..].split(['|', '&', ';', '>', ')', '#']).next().unwrap_or_default().trim().to_string()
    };
    whole.map(until).filter(|c| c.contains(' ')).collect()
}

#[test]
fn calls_are_found_in_a_line() {
    let line = "sudo -u postgres pg-backup dump app --repo s3://b/p && /usr/bin/pg-backup list | head";
    assert_eq!(calls(line), ["pg-backup dump app --repo s3://b/p", "pg-backup list"]);
    assert!(calls("systemctl enable pg-backup-dump@main.timer").is_empty());
}
