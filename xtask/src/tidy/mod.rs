//! Plain checks on the tree, which no compiler makes.

mod figures;
mod items;
mod rooms;
mod source;

use crate::docs;
use crate::sh::{Context, Failure, Result, root};
use figures::Figures;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Also list the functions whose names are one word
    #[arg(long)]
    names: bool,
    /// Another checkout to measure, to compare it with this one
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Prints the table of figures and what stands behind it, then fails when something is untidy.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = args.root.clone().unwrap_or_else(root);
    let figures = Figures::measure(&root)?;
    print!("{}", report(&figures));
    if args.names {
        print!("{}", list("names of one word", &figures.one_word_names()));
    }
    let found = findings(&root)?;
    match found.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("untidy:\n  {}", found.join("\n  ")))),
    }
}

/// What is untidy below `root`, one line each: `path: what`.
///
/// # Errors
/// When the tree cannot be read.
pub fn findings(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for manifest in manifests(root)? {
        found.extend(inherits(root, &manifest)?);
    }
    found.extend(siblings(root)?);
    found.extend(forbidden(root)?);
    let documents = documents(root)?;
    for file in files(&root.join("crates"), "rs")? {
        let text = read(&file)?;
        let name = shown(root, &file);
        found.extend(leftovers(&name, &text));
        // A test's own variables are between the test and the process it starts.
        if name.contains("/src/") {
            found.extend(unknown_variables(&name, &text, &documents));
        }
        if name.starts_with("crates/core/src/") {
            found.extend(undocumented(&name, &text));
        }
    }
    for page in files(root, "md")? {
        found.extend(dead_links(root, &page)?);
    }
    Ok(found)
}

/// Figures that must be zero.
fn forbidden(root: &Path) -> Result<Vec<String>> {
    let figures = Figures::measure(root)?;
    let named = |what: &str, found: Vec<String>| -> Vec<String> {
        found.into_iter().map(|place| format!("{what}: {place}")).collect()
    };
    Ok([
        named("a parameter is a tuple, which hides two", figures.tuple_parameters()),
        named("folders use one another in a circle", figures.folder_circles()),
        named("core names a tool", tools_in_core(root)?),
        named("a folder's own code is its mod.rs", beside_folders(root)?),
    ]
    .concat())
}

/// Every crate takes version, edition, lints and the rest from the workspace.
fn inherits(root: &Path, manifest: &Path) -> Result<Vec<String>> {
    let text = read(manifest)?;
    let wanted =
        ["version.workspace = true", "edition.workspace = true", "license.workspace = true", "[lints]"];
    let missing = wanted.iter().filter(|w| !text.lines().any(|l| l == **w));
    Ok(missing.map(|w| format!("{}: no `{w}`", shown(root, manifest))).collect())
}

/// Tools depend on core, never on each other; core knows no tool.
fn siblings(root: &Path) -> Result<Vec<String>> {
    let tools = docs::tools(root)?;
    let mut found = Vec::new();
    for manifest in files(&root.join("crates"), "toml")? {
        let text = read(&manifest)?;
        let depends = |tool: &&String| {
            text.lines().any(|l| l.starts_with(&format!("{tool}.")) || l.starts_with(&format!("{tool} ")))
        };
        found.extend(
            tools
                .iter()
                .filter(depends)
                .map(|t| format!("{}: depends on the tool {t}", shown(root, &manifest))),
        );
    }
    Ok(found)
}

/// What must not stay in the code that ships.
fn leftovers(name: &str, text: &str) -> Vec<String> {
    // In pieces, so that this file does not find itself.
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    let ignored = [concat!("#[", "ignore]"), concat!("#[", "allow(")];
    let lines = text.lines().enumerate();
    let hit = |line: &str| words.iter().chain(&ignored).find(|w| line.contains(**w)).copied();
    lines.filter_map(|(n, line)| hit(line).map(|w| format!("{name}:{}: {w}", n + 1))).collect()
}

/// Every environment variable of ours that the code names is in a document.
fn unknown_variables(name: &str, text: &str, documents: &str) -> Vec<String> {
    let quoted = text.split('"').filter(|s| s.starts_with("TOBAN_"));
    let is_name = |s: &&str| s.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let unknown = quoted.filter(is_name).filter(|v| !documents.contains(*v));
    unknown.map(|v| format!("{name}: no document speaks of {v}")).collect()
}

/// Every public item has a doc line.
fn undocumented(name: &str, text: &str) -> Vec<String> {
    let mut documented = false;
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate().take_while(|(_, l)| !l.starts_with("#[cfg(test)]")) {
        let line = line.trim_start();
        if is_public(line) && !documented {
            found.push(format!("{name}:{}: no doc line: {line}", n + 1));
        }
        documented =
            line.starts_with("///") || (documented && (line.starts_with("#[") || line.starts_with(')')));
    }
    found
}

fn is_public(line: &str) -> bool {
    let kinds = ["fn ", "struct ", "enum ", "trait ", "const ", "static ", "type "];
    line.strip_prefix("pub ").is_some_and(|rest| kinds.iter().any(|k| rest.starts_with(k)))
}

/// Links from one page to another lead somewhere.
fn dead_links(root: &Path, page: &Path) -> Result<Vec<String>> {
    let text = read(page)?;
    let folder = page.parent().unwrap_or(root);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local =
        targets.map(|t| t.split('#').next().unwrap_or(t)).filter(|t| !t.is_empty() && !t.contains(':'));
    let dead = local.filter(|t| !folder.join(t).exists());
    Ok(dead.map(|t| format!("{}: dead link {t}", shown(root, page))).collect())
}

/// The figures, and what they count that should be less.
fn report(figures: &Figures) -> String {
    let shared = figures.shared_types();
    let shared: Vec<String> =
        shared.iter().map(|(name, files)| format!("{name} {}: {}", files.len(), files.join(" "))).collect();
    [
        figures.table(),
        list("types of the same name", &shared),
        list("five parameters or more", &figures.many_parameters()),
    ]
    .concat()
}

fn list(title: &str, items: &[String]) -> String {
    let lines: String = items.iter().map(|item| format!("  {item}\n")).collect();
    format!("{title}: {}\n{lines}", items.len())
}

/// Core serves tools that it has never heard of.
fn tools_in_core(root: &Path) -> Result<Vec<String>> {
    let tools = docs::tools(root)?;
    let names: Vec<String> = tools.iter().flat_map(|t| [t.clone(), t.replace('-', "_")]).collect();
    let mut found = Vec::new();
    for source in source::read_crate(root, &root.join("crates/core/src"))? {
        for (n, line) in source.text.lines().enumerate() {
            let named = names.iter().find(|name| line.contains(*name));
            found.extend(named.map(|_| format!("{}:{}: {}", source.path, n + 1, line.trim())));
        }
    }
    Ok(found)
}

/// One style of modules: a folder's own code is its mod.rs.
fn beside_folders(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in ["crates", "tests", "xtask"] {
        let files = files(&root.join(folder), "rs")?;
        let beside = files.iter().filter(|f| f.with_extension("").is_dir() && !is_test_target(f));
        found.extend(beside.map(|f| shown(root, f)));
    }
    Ok(found)
}

/// A file of cargo's folder `tests` is a crate of its own, and its root.
fn is_test_target(file: &Path) -> bool {
    file.parent().is_some_and(|folder| folder.ends_with("tests"))
}

fn documents(root: &Path) -> Result<String> {
    let pages = files(root, "md")?;
    pages.iter().map(|p| read(p)).collect()
}

fn manifests(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = files(&root.join("crates"), "toml")?;
    found.extend([root.join("xtask/Cargo.toml"), root.join("tests/Cargo.toml")]);
    Ok(found.into_iter().filter(|p| p.ends_with("Cargo.toml")).collect())
}

/// The files below `dir` with this extension; neither built nor hidden ones.
fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).doing(|| format!("list {}", dir.display()))? {
        let path = entry.doing(|| format!("list {}", dir.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // cargo's folder lies beside a manifest; a module may have the same name.
        let built = name == "target" && dir.join("Cargo.toml").exists();
        if built || name.starts_with('.') {
            continue;
        }
        match path.is_dir() {
            true => found.extend(files(&path, extension)?),
            false if path.extension().is_some_and(|e| e == extension) => found.push(path),
            false => {}
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).doing(|| format!("read {}", path.display()))
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_named_with_their_line() {
        let text = format!("fine\n// {}: later\n", concat!("TO", "DO"));
        assert_eq!(leftovers("a.rs", &text), [format!("a.rs:2: {}", concat!("TO", "DO"))]);
    }

    #[test]
    fn a_variable_wants_a_document() {
        let text = r#"var("TOBAN_A"), var("TOBAN_B"), "TOBAN_x""#;
        assert_eq!(unknown_variables("a.rs", text, "TOBAN_A is"), ["a.rs: no document speaks of TOBAN_B"]);
    }

    #[test]
    fn public_items_want_a_doc_line() {
        let text = "/// Says.\n#[must_use]\npub fn a() {}\npub fn b() {}\npub(crate) fn c() {}\n#[cfg(test)]\npub fn d() {}\n";
        assert_eq!(undocumented("a.rs", text), ["a.rs:4: no doc line: pub fn b() {}"]);
    }
}
