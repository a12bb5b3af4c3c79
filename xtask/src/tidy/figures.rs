//! The table of figures: how large the crates are, and what makes code hard to find and to change.

use super::items::{Function, functions, types};
use super::rooms::{Circle, circles};
use super::source::{Source, read_crate};
use crate::sh::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// What was measured: each crate by itself, and all of them together.
pub(super) struct Figures {
    crates: Vec<Crate>,
}

/// One crate's production code.
struct Crate {
    name: String,
    sources: Vec<Source>,
    /// Each with `file:line`.
    functions: Vec<(String, Function)>,
    circles: Vec<Circle>,
    /// In bytes, where it was built for release.
    binary: Option<u64>,
}

impl Figures {
    /// Measures what ships: every crate but the one that only tests use.
    pub(super) fn measure(root: &Path) -> Result<Figures> {
        let folder = root.join("crates");
        let entries = std::fs::read_dir(&folder).doing(|| "list crates/".into())?;
        let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|n| n != "testkit").collect();
        names.sort();
        let crates = names.iter().map(|name| Crate::measure(root, name)).collect::<Result<_>>()?;
        Ok(Figures { crates })
    }

    /// A line for each crate, and one for all.
    pub(super) fn table(&self) -> String {
        let head = [
            "crate",
            "files",
            "lines",
            "code",
            "why %",
            "functions",
            "median",
            "p95",
            "max",
            "one word %",
            "tuples",
            "many",
            "circles",
            "MB",
        ];
        let all: Vec<&Crate> = self.crates.iter().collect();
        let mut rows = vec![head.map(String::from)];
        rows.extend(self.crates.iter().map(|c| row(&c.name, &[c])));
        rows.push(row("all", &all));
        rows.iter().map(aligned).collect()
    }

    /// Names that more than one type has, the most frequent first, each with the files that define it.
    pub(super) fn shared_types(&self) -> Vec<(String, Vec<String>)> {
        let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for source in self.crates.iter().flat_map(|c| &c.sources) {
            types(source).for_each(|name| files.entry(name).or_default().push(source.path.clone()));
        }
        let mut shared: Vec<_> = files.into_iter().filter(|(_, files)| files.len() > 1).collect();
        shared.sort_by_key(|(name, files)| (std::cmp::Reverse(files.len()), name.clone()));
        shared
    }

    pub(super) fn tuple_parameters(&self) -> Vec<String> {
        self.functions_that(Function::takes_tuple)
    }

    pub(super) fn many_parameters(&self) -> Vec<String> {
        self.functions_that(Function::takes_many)
    }

    fn functions_that(&self, holds: impl Fn(&Function) -> bool) -> Vec<String> {
        let functions = self.crates.iter().flat_map(|c| &c.functions);
        functions.filter(|(_, f)| holds(f)).map(|(at, f)| format!("{at} {}", f.name)).collect()
    }

    /// Circles with a folder in them, `crate: rooms`, and the arrows that make them.
    pub(super) fn folder_circles(&self) -> Vec<String> {
        let of_crate = |c: &Crate| {
            let between = c.circles.iter().filter(|circle| circle.has_folder);
            between.map(|circle| format!("{}: {}", c.name, circle.describe())).collect::<Vec<_>>()
        };
        self.crates.iter().flat_map(of_crate).collect()
    }

    /// For each crate the functions whose names are one word, with how often.
    pub(super) fn one_word_names(&self) -> Vec<String> {
        self.crates.iter().map(|c| format!("{}: {}", c.name, c.one_word_names())).collect()
    }
}

impl Crate {
    fn measure(root: &Path, name: &str) -> Result<Crate> {
        let sources = read_crate(root, &root.join("crates").join(name).join("src"))?;
        let placed = |s: &Source| {
            let at = |f: &Function| format!("{}:{}", s.path, f.line);
            functions(s).into_iter().map(|f| (at(&f), f)).collect::<Vec<_>>()
        };
        let functions = sources.iter().flat_map(placed).collect();
        let binary = std::fs::metadata(root.join("target/release").join(name)).map(|m| m.len()).ok();
        Ok(Crate { name: name.to_string(), circles: circles(&sources), sources, functions, binary })
    }

    fn one_word_names(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, function) in self.functions.iter().filter(|(_, f)| f.is_one_word()) {
            *counts.entry(&function.name).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    }
}

fn row(name: &str, crates: &[&Crate]) -> [String; 14] {
    let sources = || crates.iter().flat_map(|c| &c.sources);
    let functions = || crates.iter().flat_map(|c| &c.functions).map(|(_, f)| f);
    let lines: usize = sources().map(Source::lines).sum();
    let why = sources().map(Source::why_lines).sum();
    let mut lengths: Vec<usize> = functions().filter_map(|f| f.lines).collect();
    lengths.sort_unstable();
    let named = functions().filter(|f| !f.of_trait).count();
    let count = |holds: fn(&Function) -> bool| functions().filter(|f| holds(f)).count();
    let circles = crates.iter().flat_map(|c| &c.circles).filter(|c| c.has_folder).count();
    let bytes: Option<u64> = (crates.len() == 1).then(|| crates[0].binary).flatten();
    [
        name.to_string(),
        sources().count().to_string(),
        lines.to_string(),
        sources().map(Source::code_lines).sum::<usize>().to_string(),
        percent(why, lines),
        lengths.len().to_string(),
        quantile(&lengths, 50),
        quantile(&lengths, 95),
        quantile(&lengths, 100),
        percent(count(Function::is_one_word), named),
        count(Function::takes_tuple).to_string(),
        count(Function::takes_many).to_string(),
        circles.to_string(),
        bytes.map_or("-".into(), |b| format!("{:.1}", b as f64 / 1e6)),
    ]
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.1}", 100.0 * part as f64 / whole.max(1) as f64)
}

/// The length that so many per cent of the functions do not exceed.
fn quantile(sorted: &[usize], percent: usize) -> String {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).map_or("-".into(), ToString::to_string)
}

fn aligned(row: &[String; 14]) -> String {
    let cells = row[1..].iter().map(|cell| format!("{cell:>11}")).collect::<String>();
    format!("{:<14}{cells}\n", row[0])
}
