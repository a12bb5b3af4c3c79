//! What `--include` and `--exclude` leave: tables, columns, and objects by kind and name. Each is told, and nothing that
//! a person named is called missing.

use super::build::{EXCLUDED, skipped};
use super::{Fate, Object, Table, names};
use crate::cli::Rules;
use crate::source::catalog::{Catalog, RawTable};
use toban_core::{Error, Result};

/// Kinds that can be excluded by `KIND:NAME`, as a report calls them; a hyphen stands for a blank.
const KINDS: [&str; 13] = [
    "table",
    "virtual table",
    "column",
    "view",
    "trigger",
    "index",
    "unique",
    "primary key",
    "foreign key",
    "check",
    "default",
    "not null",
    "generated column",
];

/// One pattern of `--exclude`.
struct Pattern {
    given: String,
    /// Which kinds it is about.
    kinds: Vec<&'static str>,
    glob: String,
}

impl Pattern {
    fn fits(&self, kind: &str, name: &str) -> bool {
        self.kinds.contains(&kind) && names::glob(&self.glob, name)
    }
}

/// The patterns, each with the kinds that it means.
pub(crate) struct Chosen {
    include: Vec<String>,
    exclude: Vec<Pattern>,
    /// Tables that stay behind by name.
    left_out: Vec<String>,
}

impl Chosen {
    /// Reads the patterns. One without a kind means tables; where no table is called so, columns; else views, triggers
    /// and indexes.
    ///
    /// # Errors
    /// Usage for a pattern that fits nothing.
    pub(crate) fn of(catalog: &Catalog, rules: &Rules) -> Result<Chosen> {
        let tables: Vec<&str> = catalog
            .tables
            .iter()
            .map(|t| &*t.name)
            .chain(catalog.others.iter().filter(|o| o.kind == "virtual table").map(|o| &*o.name))
            .chain(catalog.lost.iter().map(|n| &**n))
            .collect();
        let any = |pattern: &str| tables.iter().any(|t| names::glob(pattern, t));
        if let Some(pattern) = rules.include.iter().find(|p| !any(p)) {
            return Err(Error::usage(format!("no table is called like {pattern}")));
        }
        let exclude = rules.exclude.iter().map(|p| pattern(catalog, p, &any)).collect::<Result<Vec<_>>>()?;
        let fits =
            |name: &str| exclude.iter().any(|p| p.fits("table", name) || p.fits("virtual table", name));
        let included =
            |name: &str| rules.include.is_empty() || rules.include.iter().any(|g| names::glob(g, name));
        let left_out = tables.iter().filter(|t| fits(t) || !included(t)).map(|t| (*t).to_string()).collect();
        Ok(Chosen { include: rules.include.clone(), exclude, left_out })
    }

    /// Whether a table stays behind by name.
    pub(crate) fn has_left_out(&self, table: &str) -> bool {
        self.left_out.iter().any(|t| t.eq_ignore_ascii_case(table))
    }

    /// Takes tables and columns out of the catalogue.
    ///
    /// # Errors
    /// Usage for a column of a primary key.
    pub(crate) fn apply(&self, catalog: &mut Catalog, objects: &mut Vec<Object>) -> Result<()> {
        let (go, stay) = std::mem::take(&mut catalog.tables)
            .into_iter()
            .partition::<Vec<_>, _>(|t| self.has_left_out(&t.name));
        catalog.tables = stay;
        objects.extend(go.into_iter().map(|t| skipped("table", &t.name, EXCLUDED)));
        catalog.lost.retain(|name| {
            let goes = self.has_left_out(name);
            objects.extend(goes.then(|| skipped("table", name, EXCLUDED)));
            !goes
        });
        catalog.tables.iter_mut().try_for_each(|table| self.columns(table, objects))
    }

    fn columns(&self, table: &mut RawTable, objects: &mut Vec<Object>) -> Result<()> {
        for at in (0..table.columns.len()).rev() {
            let name = format!("{}.{}", table.name, table.columns[at].name);
            if !self.exclude.iter().any(|p| p.fits("column", &name)) {
                continue;
            }
            if table.key.contains(&at) || table.rowid.as_deref() == Some(&*table.columns[at].name) {
                return Err(Error::usage(format!(
                    "--exclude {name}: a column of the primary key cannot stay behind"
                )));
            }
            objects
                .extend(table.leave_out(at).into_iter().map(|(kind, name)| skipped(kind, &name, EXCLUDED)));
        }
        Ok(())
    }

    /// Takes what was excluded by its kind and name out of the tables and marks what could not be made anyway.
    ///
    /// # Errors
    /// Usage for a pattern with a kind that fits nothing.
    pub(crate) fn leave_out(&self, tables: &mut [Table], objects: &mut Vec<Object>) -> Result<()> {
        for object in objects.iter_mut().filter(|o| self.is_out(o)) {
            (object.fate, object.why, object.sql) = (Fate::Skipped, EXCLUDED.into(), None);
        }
        for table in tables {
            self.parts(table, objects);
        }
        let fits = |p: &Pattern| objects.iter().any(|o| o.why == EXCLUDED && p.fits(&o.kind, &o.name));
        match self.exclude.iter().find(|p| !fits(p)) {
            Some(p) => Err(Error::usage(format!("--exclude {}: nothing is called so", p.given))
                .hint("`sqlite-to-pg plan` lists every object with its kind and name")),
            None => Ok(()),
        }
    }

    /// A trigger goes with its table, and with `--include` a view that nobody included is not asked for.
    fn is_out(&self, object: &Object) -> bool {
        let named = self.exclude.iter().any(|p| p.fits(&object.kind, &object.name));
        let outside = !self.include.is_empty() && !self.include.iter().any(|g| names::glob(g, &object.name));
        let of = object.why.strip_prefix("on ").and_then(|w| w.split_once(": ")).map(|(table, _)| table);
        named
            || (outside && ["view", "virtual table"].contains(&&*object.kind))
            || (["virtual table", "table"].contains(&&*object.kind) && self.has_left_out(&object.name))
            || (object.kind == "trigger" && of.is_some_and(|t| self.has_left_out(t)))
    }

    fn parts(&self, table: &mut Table, objects: &mut Vec<Object>) {
        let source = table.source.clone();
        let mut goes = |kind: &str, name: &str| {
            let own = format!("{source}.{name}");
            let shown = match kind {
                "index" => name,
                "primary key" => &source,
                _ => &own,
            };
            let goes = self.exclude.iter().any(|p| p.fits(kind, shown));
            objects.extend(goes.then(|| skipped(kind, shown, EXCLUDED)));
            goes
        };
        if !table.primary_key.is_empty() && goes("primary key", "") {
            table.primary_key.clear();
        }
        table.indexes.retain(|i| !goes("index", if i.source.is_empty() { &i.target } else { &i.source }));
        table.uniques.retain(|u| !goes("unique", &u.name));
        table.foreign_keys.retain(|f| !goes("foreign key", &f.name));
        table.checks.retain(|c| !goes("check", &c.name));
        for column in &mut table.columns {
            if column.default.is_some() && goes("default", &column.source) {
                column.default = None;
            }
            if column.not_null && goes("not null", &column.source) {
                column.not_null = false;
            }
        }
    }
}

fn pattern(catalog: &Catalog, given: &str, is_table: &dyn Fn(&str) -> bool) -> Result<Pattern> {
    let whole = |kinds: &[&'static str], glob: &str| {
        Ok(Pattern { given: given.into(), kinds: kinds.to_vec(), glob: glob.into() })
    };
    if is_table(given) {
        return whole(&["table", "virtual table"], given);
    }
    if let Some((word, glob)) = given.split_once(':')
        && let Some(kind) = KINDS.iter().find(|k| k.replace(' ', "-") == word)
    {
        return whole(&[kind], glob);
    }
    let column =
        |t: &RawTable| t.columns.iter().any(|c| names::glob(given, &format!("{}.{}", t.name, c.name)));
    if given.contains('.') && catalog.tables.iter().any(column) {
        return whole(&["column"], given);
    }
    let indexes = catalog.tables.iter().flat_map(|t| &t.indexes).filter(|i| i.origin == "c").map(|i| &i.name);
    let mut named = catalog.others.iter().map(|o| &o.name).chain(indexes);
    match named.any(|name| names::glob(given, name)) {
        true => whole(&["view", "trigger", "index"], given),
        false => Err(Error::usage(format!("no table is called like {given}"))
            .hint("--exclude takes TABLE, TABLE.COLUMN, the name of a view, trigger or index, or KIND:NAME as a report has them (default:T.C, check:T.NAME)")),
    }
}
