//! Which folders of a crate use one another: a circle between them means that neither can be read alone.
//!
//! Looked at is each level of the tree of modules by itself: what `a::b` takes from `a::c` joins `b` and `c`, and what
//! it takes from `d` joins `a` and `d`. What a module takes from the one that holds it, or from those inside of it, is
//! no arrow. A name is followed through `pub use` to the module that defines it.

use super::items::split_list;
use super::source::{Source, is_word, words};
use std::collections::{BTreeMap, BTreeSet};

type Module = Vec<String>;

/// Modules side by side that use one another, with a file for each arrow among them.
pub(super) struct Circle {
    /// The modules, sorted.
    pub(super) rooms: Vec<String>,
    /// One of them at least is a folder.
    pub(super) has_folder: bool,
    /// `a -> b (file)`.
    pub(super) arrows: Vec<String>,
}

impl Circle {
    /// The modules, then the arrows among them, each on a line of its own.
    pub(super) fn describe(&self) -> String {
        format!("{}\n      {}", self.rooms.join(", "), self.arrows.join("\n      "))
    }
}

/// Arrows between modules side by side, each with the first file that draws it.
type Arrows = BTreeMap<(Module, Module), String>;

pub(super) fn circles(sources: &[Source]) -> Vec<Circle> {
    let tree = Tree::new(sources);
    let mut arrows = Arrows::new();
    for source in sources {
        for target in tree.paths(source).iter().map(|p| tree.home_of(p)) {
            if let Some(arrow) = side_by_side(&source.module, &target) {
                arrows.entry(arrow).or_insert_with(|| source.path.clone());
            }
        }
    }
    let mut found: Vec<Circle> =
        groups(&arrows).into_iter().map(|group| circle(&group, &arrows, &tree)).collect();
    found.sort_by(|a, b| a.rooms.cmp(&b.rooms));
    found
}

fn circle(group: &BTreeSet<Module>, arrows: &Arrows, tree: &Tree) -> Circle {
    let name = |m: &Module| m.join("::");
    let inside = arrows.iter().filter(|((from, to), _)| group.contains(from) && group.contains(to));
    Circle {
        rooms: group.iter().map(name).collect(),
        has_folder: group.iter().any(|m| tree.is_folder(m)),
        arrows: inside.map(|((from, to), file)| format!("{} -> {} ({file})", name(from), name(to))).collect(),
    }
}

/// Where two modules part: the two branches, unless one holds the other.
fn side_by_side(from: &Module, to: &Module) -> Option<(Module, Module)> {
    let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let branch = |m: &Module| m.get(..=shared).map(<[String]>::to_vec);
    Some((branch(from)?, branch(to)?))
}

/// The sets of modules each of which reaches each other one.
fn groups(arrows: &Arrows) -> BTreeSet<BTreeSet<Module>> {
    let rooms: BTreeSet<&Module> = arrows.keys().map(|(from, _)| from).collect();
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        rooms.iter().map(|r| (*r, reached(r, arrows))).collect();
    let group = |room: &&Module| -> BTreeSet<Module> {
        let mutual =
            reach[*room].iter().filter(|other| reach.get(**other).is_some_and(|r| r.contains(*room)));
        mutual.map(|m| (*m).clone()).collect()
    };
    rooms.iter().map(group).filter(|g| g.len() > 1).collect()
}

fn reached<'a>(from: &'a Module, arrows: &'a Arrows) -> BTreeSet<&'a Module> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(room) = next.pop() {
        let targets = arrows.keys().filter(|(a, _)| a == room).map(|(_, b)| b);
        next.extend(targets.filter(|b| seen.insert(*b)));
    }
    seen
}

/// The modules of a crate, and the names that each takes from elsewhere and may give on.
struct Tree {
    modules: BTreeSet<Module>,
    given_on: BTreeMap<(Module, String), Module>,
}

impl Tree {
    fn new(sources: &[Source]) -> Tree {
        let modules = sources.iter().map(|s| s.module.clone()).collect();
        let mut tree = Tree { modules, given_on: BTreeMap::new() };
        for source in sources {
            for import in tree.imports(source) {
                tree.given_on.insert((source.module.clone(), import.name), import.path);
            }
        }
        tree
    }

    fn is_folder(&self, module: &Module) -> bool {
        self.modules.iter().any(|m| m.len() > module.len() && m.starts_with(module))
    }

    /// The module that defines what this path from the crate's root names.
    fn home_of(&self, path: &Module) -> Module {
        let mut path = path.clone();
        // An import may lead to an import; a bound, lest two that name each other lead on for ever.
        for _ in 0..8 {
            let depth = (0..=path.len()).rev().find(|n| self.modules.contains(&path[..*n])).unwrap_or(0);
            let (home, rest) = path.split_at(depth);
            let Some((name, rest)) = rest.split_first() else { break };
            let Some(given) = self.given_on.get(&(home.to_vec(), name.clone())) else { break };
            path = [given.as_slice(), rest].concat();
        }
        let depth = (0..=path.len()).rev().find(|n| self.modules.contains(&path[..*n])).unwrap_or(0);
        path.truncate(depth);
        path
    }

    fn imports(&self, source: &Source) -> Vec<Import> {
        let uses = words(&source.code, "use").filter_map(|at| {
            let (tree, _) = source.code[at + "use".len()..].split_once(';')?;
            Some(flatten(tree))
        });
        let named = uses.flatten().filter_map(|path| {
            let (path, alias) = path.split_once(" as ").map_or((path.as_str(), None), |(p, a)| (p, Some(a)));
            let path = self.resolve_from_root(&source.module, path)?;
            let name = alias.map(str::trim).or(path.last().map(String::as_str))?.to_string();
            Some(Import { name, path })
        });
        named.collect()
    }

    /// Every path into the crate that a file writes, in a `use` or in the code.
    fn paths(&self, source: &Source) -> Vec<Module> {
        let starts = ["crate", "super", "self"].into_iter().flat_map(|word| words(&source.code, word));
        let written = starts.filter_map(|at| {
            let path = &source.code[at..];
            let end = path.find(|c| !is_word(c) && c != ':').unwrap_or(path.len());
            self.resolve_from_root(&source.module, path[..end].trim_end_matches(':'))
        });
        written.chain(self.imports(source).into_iter().map(|import| import.path)).collect()
    }

    /// The path from the crate's root, where it leads into the crate and not into another one.
    fn resolve_from_root(&self, module: &Module, path: &str) -> Option<Module> {
        let segments = path.split("::").map(str::trim).filter(|s| !s.is_empty());
        let mut full = module.clone();
        for (at, segment) in segments.enumerate() {
            match segment {
                "crate" => full.clear(),
                "self" => {}
                "super" => drop(full.pop()),
                // A path may begin with a module inside of this one; any other first name is another crate's.
                name if at > 0 || self.modules.contains(&[module.clone(), vec![name.into()]].concat()) => {
                    full.push(name.into());
                }
                _ => return None,
            }
        }
        Some(full)
    }
}

/// A name that a `use` brings into a module, and the path from the crate's root that it stands for.
struct Import {
    name: String,
    path: Module,
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn flatten(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((head, list)) = tree.split_once('{') else { return vec![tree.to_string()] };
    let list = list.strip_suffix('}').unwrap_or(list);
    split_list(list).into_iter().flat_map(flatten).map(|part| format!("{head}{part}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Circle> {
        let source = |(module, text): &(&str, &str)| {
            let path = module.split("::").filter(|m| !m.is_empty()).map(String::from).collect();
            Source::new(&format!("{module}.rs"), path, text)
        };
        circles(&files.iter().map(source).collect::<Vec<_>>())
    }

    #[test]
    fn two_folders_that_use_one_another_are_a_circle() {
        let circles = found(&[
            ("", "mod plan;\nmod target;\n"),
            ("plan", "use crate::target::{self, keys::Key};"),
            ("plan::object", ""),
            ("target", "mod keys;"),
            ("target::keys", "fn f() { crate::plan::object::g() }"),
        ]);
        assert_eq!(circles.len(), 1);
        assert_eq!(circles[0].rooms, ["plan", "target"]);
        assert!(circles[0].has_folder);
        assert_eq!(circles[0].arrows, ["plan -> target (plan.rs)", "target -> plan (target::keys.rs)"]);
    }

    #[test]
    fn a_name_is_followed_to_where_it_is_defined() {
        let files = |error| [("", "pub use error::Error;"), ("error", error), ("out", "use crate::Error;")];
        assert!(found(&files("fn f() {}")).is_empty());
        let circles = found(&files("use super::out::Out;"));
        assert_eq!(circles[0].rooms, ["error", "out"]);
        assert!(!circles[0].has_folder);
    }

    #[test]
    fn a_module_and_what_it_holds_are_no_circle() {
        assert!(found(&[("a", "use self::b::B;"), ("a::b", "use super::A; use std::a;")]).is_empty());
    }
}
