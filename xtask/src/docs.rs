//! Documents that the binaries write themselves: manual pages, completions, reference, tables between markers.

use crate::sh::{self, Context, Failure, Result, cargo, read, root, target_dir};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What refreshes everything that this file writes.
const REFRESH: &str = "cargo xtask docs";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when a document is stale
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = root();
    let bins = build(&tools(&root)?)?;
    if !args.check {
        return write(&root, &render(&root, &bins)?);
    }
    let stale = stale(&root, &bins)?;
    match stale.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("stale: {}\nrun: {REFRESH}", stale.join(", ")))),
    }
}

/// The documents, by their path from `root`, that are not what the binaries in `bins` would write.
///
/// # Errors
/// When a binary is missing or fails, or a document with markers lacks them.
pub fn stale(root: &Path, bins: &Path) -> Result<Vec<String>> {
    let fresh = |doc: &Doc| std::fs::read_to_string(root.join(&doc.path)).is_ok_and(|text| text == doc.text);
    let docs = render(root, bins)?;
    Ok(docs.iter().filter(|d| !fresh(d)).map(|d| d.path.display().to_string()).collect())
}

/// The tools: every crate with a `main.rs`.
///
/// # Errors
/// When the folder of the crates cannot be read.
pub fn tools(root: &Path) -> Result<Vec<String>> {
    let crates = std::fs::read_dir(root.join("crates")).doing(|| "list crates/".into())?;
    let mut names: Vec<String> = crates
        .filter_map(std::result::Result::ok)
        .filter(|entry| entry.path().join("src/main.rs").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Builds the tools and says where they are.
pub(crate) fn build(tools: &[String]) -> Result<PathBuf> {
    let mut build = cargo(&["build", "--quiet"]);
    for tool in tools {
        build.args(["--package", tool]);
    }
    sh::run(&mut build)?;
    Ok(target_dir().join("debug"))
}

struct Doc {
    path: PathBuf,
    text: String,
}

fn render(root: &Path, bins: &Path) -> Result<Vec<Doc>> {
    let tools = tools(root)?;
    let mut docs = Vec::new();
    for tool in &tools {
        docs.extend(pages(tool, &bins.join(tool))?);
    }
    docs.push(between(root, "README.md", "tools", &table(&tools, bins)?)?);
    docs.push(between(root, "docs/EXIT-STATUS.md", "statuses", &statuses(&tools, bins)?)?);
    Ok(docs)
}

fn pages(tool: &str, bin: &Path) -> Result<Vec<Doc>> {
    let places = [
        ("man", format!("docs/man/{tool}.1")),
        ("bash", format!("docs/completions/{tool}.bash")),
        ("zsh", format!("docs/completions/_{tool}")),
        ("fish", format!("docs/completions/{tool}.fish")),
        ("md", format!("docs/guide/{tool}.md")),
    ];
    places.into_iter().map(|(kind, path)| Ok(Doc { text: generate(bin, kind)?, path: path.into() })).collect()
}

fn generate(bin: &Path, kind: &str) -> Result<String> {
    let mut command = Command::new(bin);
    // No colour, no width of today's terminal, no value of today's environment.
    command.args(["--generate", kind]).env_clear();
    let text = read(&mut command)?;
    match text.trim().is_empty() {
        true => Err(Failure::new(format!("{} --generate {kind} wrote nothing", bin.display()))),
        false => Ok(format!("{}\n", text.trim_end())),
    }
}

/// README's table: what each tool says of itself, and its verbs.
fn table(tools: &[String], bins: &Path) -> Result<String> {
    let mut table = String::from("| tool | what it does | verbs |\n| --- | --- | --- |\n");
    for tool in tools {
        let help = help(&bins.join(tool), "-h")?;
        let about = help.lines().next().unwrap_or_default().trim_end_matches('.');
        let verbs: Vec<String> =
            section(&help, "Commands:").map(first_word).filter(|v| v != "`help`").collect();
        table += &format!("| `{tool}` | {about} | {} |\n", verbs.join(" "));
    }
    Ok(table)
}

fn first_word(line: &str) -> String {
    format!("`{}`", line.split_whitespace().next().unwrap_or_default())
}

/// The table of statuses, which every tool prints the same.
fn statuses(tools: &[String], bins: &Path) -> Result<String> {
    let tool = tools.first().ok_or_else(|| Failure::new("no tool in crates/"))?;
    let help = help(&bins.join(tool), "--help")?;
    let mut table = String::from("| status | means |\n| --- | --- |\n");
    for line in section(&help, "Exit status:") {
        let (number, meaning) = line.trim().split_once(' ').unwrap_or((line, ""));
        table += &format!("| {number} | {} |\n", meaning.trim());
    }
    Ok(table)
}

fn help(bin: &Path, flag: &str) -> Result<String> {
    read(Command::new(bin).arg(flag).env_clear().env("COLUMNS", "200"))
}

/// The indented lines below `title`.
fn section<'t>(help: &'t str, title: &str) -> impl Iterator<Item = &'t str> {
    let lines = help.lines().skip_while(move |l| l.trim_end() != title).skip(1);
    lines
        .take_while(|l| l.starts_with("  "))
        .filter(|l| !l.starts_with("    ") || l.trim_start().contains("  "))
}

/// The document with `text` between its markers `<!-- name -->` and `<!-- /name -->`.
fn between(root: &Path, path: &str, name: &str, text: &str) -> Result<Doc> {
    let old = std::fs::read_to_string(root.join(path)).doing(|| format!("read {path}"))?;
    let (begin, end) = (format!("<!-- {name}: written by `{REFRESH}` -->\n"), format!("<!-- /{name} -->"));
    let missing = || Failure::new(format!("{path} lacks the markers {} {end}", begin.trim_end()));
    let (head, rest) = old.split_once(&begin).ok_or_else(missing)?;
    let (_, tail) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(Doc { path: path.into(), text: format!("{head}{begin}\n{text}\n{end}{tail}") })
}

fn write(root: &Path, docs: &[Doc]) -> Result<()> {
    for doc in docs {
        let path = root.join(&doc.path);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == doc.text) {
            continue;
        }
        let folder = path.parent().unwrap_or(root);
        std::fs::create_dir_all(folder).doing(|| format!("create {}", folder.display()))?;
        std::fs::write(&path, &doc.text).doing(|| format!("write {}", path.display()))?;
        println!("wrote {}", doc.path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "Does it.\n\nCommands:\n  dump  Dump\n  help  Print\n\nOptions:\n  -v\n\nExit status:\n   0  done\n  75  try again: a\n";

    #[test]
    fn sections_of_a_help_text() {
        let of = |title| section(HELP, title).map(first_word).collect::<Vec<_>>();
        assert_eq!(of("Commands:"), ["`dump`", "`help`"]);
        assert_eq!(of("Exit status:"), ["`0`", "`75`"]);
    }

    #[test]
    fn only_what_lies_between_the_markers_changes() {
        let dir = std::env::temp_dir().join(format!("toban-docs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("mkdir");
        let page = "a\n<!-- t: written by `cargo xtask docs` -->\nold\n<!-- /t -->\nb\n";
        std::fs::write(dir.join("x.md"), page).expect("write");
        let doc = between(&dir, "x.md", "t", "new\n").expect("markers");
        assert_eq!(doc.text, page.replace("old", "\nnew\n"));
        assert!(between(&dir, "x.md", "other", "new").is_err());
        std::fs::remove_dir_all(&dir).expect("clean up");
    }
}
