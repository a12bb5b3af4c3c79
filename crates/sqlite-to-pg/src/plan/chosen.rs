//! What `--include` and `--exclude` leave: tables, columns, and objects by kind and name. Each is told, and nothing that
//! a person named is called missing.

use crate::cli::Rules;
use crate::model::{Cause, Index, Object, ObjectKind, Table, names};
use crate::source::catalog::{Catalog, RawIndex, RawKind, RawTable};
use crate::source::ddl;
use toban_core::{Error, Result};

/// One pattern of `--exclude`.
struct Pattern {
    given: String,
    /// Which kinds it is about.
    kinds: Vec<ObjectKind>,
    glob: String,
}

impl Pattern {
    fn fits_object(&self, kind: ObjectKind, name: &str) -> bool {
        self.kinds.contains(&kind) && names::matches_glob(&self.glob, name)
    }
}

/// The patterns, each with the kinds that it means.
pub(crate) struct Selection {
    include: Vec<String>,
    exclude: Vec<Pattern>,
    /// Tables that are left out by name.
    left_out: Vec<String>,
}

impl Selection {
    /// Reads the patterns. One without a kind means tables; where no table is called so, columns; else views, triggers
    /// and indexes.
    ///
    /// # Errors
    /// Usage for a pattern that fits nothing.
    pub(crate) fn from_rules(catalog: &Catalog, rules: &Rules) -> Result<Selection> {
        let tables: Vec<&str> = catalog
            .tables
            .iter()
            .map(|t| &*t.name)
            .chain(catalog.others.iter().filter(|o| o.kind == RawKind::VirtualTable).map(|o| &*o.name))
            .chain(catalog.lost.iter().map(|n| &**n))
            .collect();
        let any = |pattern: &str| tables.iter().any(|t| names::matches_glob(pattern, t));
        // A pattern that fits nothing is a mistake, and a run that left out less than was meant would not be noticed.
        if let Some(pattern) = rules.include.iter().find(|p| !any(p)) {
            return Err(Error::usage(format!("no table is called like {pattern}")));
        }
        let exclude =
            rules.exclude.iter().map(|p| parse_pattern(catalog, p, &any)).collect::<Result<Vec<_>>>()?;
        let fits = |name: &str| {
            exclude.iter().any(|p| {
                p.fits_object(ObjectKind::Table, name) || p.fits_object(ObjectKind::VirtualTable, name)
            })
        };
        let included = |name: &str| {
            rules.include.is_empty() || rules.include.iter().any(|g| names::matches_glob(g, name))
        };
        let left_out = tables.iter().filter(|t| fits(t) || !included(t)).map(|t| (*t).to_string()).collect();
        Ok(Selection { include: rules.include.clone(), exclude, left_out })
    }

    /// Whether a table is left out by name.
    pub(crate) fn has_left_out(&self, table: &str) -> bool {
        self.left_out.iter().any(|t| t.eq_ignore_ascii_case(table))
    }

    /// Takes tables and columns out of the catalogue.
    ///
    /// # Errors
    /// Usage for a column of a primary key.
    pub(crate) fn apply_to(&self, catalog: &mut Catalog, objects: &mut Vec<Object>) -> Result<()> {
        let (go, stay) = std::mem::take(&mut catalog.tables)
            .into_iter()
            .partition::<Vec<_>, _>(|t| self.has_left_out(&t.name));
        catalog.tables = stay;
        objects.extend(go.into_iter().map(|t| Object::excluded(ObjectKind::Table, &t.name)));
        catalog.lost.retain(|name| {
            let goes = self.has_left_out(name);
            objects.extend(goes.then(|| Object::excluded(ObjectKind::Table, name)));
            !goes
        });
        catalog.tables.iter_mut().try_for_each(|table| self.leave_out_columns(table, objects))
    }

    fn leave_out_columns(&self, table: &mut RawTable, objects: &mut Vec<Object>) -> Result<()> {
        for at in (0..table.columns.len()).rev() {
            let name = format!("{}.{}", table.name, table.columns[at].name);
            if !self.exclude.iter().any(|p| p.fits_object(ObjectKind::Column, &name)) {
                continue;
            }
            // Without it rows could not be named, nor found again in the comparison.
            if table.key.contains(&at) || table.rowid.as_deref() == Some(&*table.columns[at].name) {
                return Err(Error::usage(format!(
                    "--exclude {name}: a column of the primary key cannot be left out"
                )));
            }
            objects.extend(leave_out_column(table, at));
        }
        Ok(())
    }

    /// Takes what was excluded by its kind and name out of the tables and marks what could not be made anyway.
    ///
    /// # Errors
    /// Usage for a pattern with a kind that fits nothing.
    pub(crate) fn leave_out_objects(&self, tables: &mut [Table], objects: &mut Vec<Object>) -> Result<()> {
        for object in objects.iter_mut().filter(|o| self.is_out(o)) {
            *object = Object {
                source_sql: std::mem::take(&mut object.source_sql),
                ..Object::excluded(object.kind, &object.name)
            };
        }
        for table in tables {
            self.leave_out_parts(table, objects);
        }
        let fits = |p: &Pattern| {
            objects.iter().any(|o| o.cause == Cause::Excluded && p.fits_object(o.kind, &o.name))
        };
        match self.exclude.iter().find(|p| !fits(p)) {
            Some(p) => Err(Error::usage(format!(
                "--exclude {}: there is no table, column, view, trigger or index of this name",
                p.given
            ))
            .hint("`sqlite-to-pg plan` lists every object with its kind and name")),
            None => Ok(()),
        }
    }

    /// A trigger goes with its table, and with `--include` a view that is not included is not asked for.
    fn is_out(&self, object: &Object) -> bool {
        let named = self.exclude.iter().any(|p| p.fits_object(object.kind, &object.name));
        let outside =
            !self.include.is_empty() && !self.include.iter().any(|g| names::matches_glob(g, &object.name));
        named
            || match object.kind {
                ObjectKind::View => outside,
                ObjectKind::VirtualTable => outside || self.has_left_out(&object.name),
                ObjectKind::Table => self.has_left_out(&object.name),
                ObjectKind::Trigger => self.has_left_out(&object.table),
                _ => false,
            }
    }

    fn leave_out_parts(&self, table: &mut Table, objects: &mut Vec<Object>) {
        let source = table.source.clone();
        let mut goes = |kind: ObjectKind, name: &str| {
            let own = format!("{source}.{name}");
            let name = match kind {
                ObjectKind::Index => name,
                ObjectKind::PrimaryKey => &source,
                _ => &own,
            };
            let goes = self.exclude.iter().any(|p| p.fits_object(kind, name));
            objects.extend(goes.then(|| Object::excluded(kind, name)));
            goes
        };
        if !table.primary_key.is_empty() && goes(ObjectKind::PrimaryKey, "") {
            table.primary_key.clear();
        }
        let index_name = |i: &Index| if i.source.is_empty() { i.target.clone() } else { i.source.clone() };
        table.indexes.retain(|i| !goes(ObjectKind::Index, &index_name(i)));
        table.uniques.retain(|u| !goes(ObjectKind::Unique, &u.name));
        table.foreign_keys.retain(|f| !goes(ObjectKind::ForeignKey, &f.name));
        table.checks.retain(|c| !goes(ObjectKind::Check, &c.name));
        for column in &mut table.columns {
            if column.default.is_some() && goes(ObjectKind::Default, &column.source) {
                column.default = None;
            }
            if column.not_null && goes(ObjectKind::NotNull, &column.source) {
                column.not_null = false;
            }
        }
    }
}

/// Takes a column away, with the indexes, foreign keys and checks that need it; the answer is all of these.
fn leave_out_column(table: &mut RawTable, at: usize) -> Vec<Object> {
    let column = table.columns.remove(at).name;
    table.key.iter_mut().chain(&mut table.alias).filter(|k| **k > at).for_each(|k| *k -= 1);
    let is = |name: &str| name.eq_ignore_ascii_case(&column);
    let own = |name: &str| format!("{}.{name}", table.name);
    let names = |text: &str| !ddl::named_columns(text, std::slice::from_ref(&column)).is_empty();
    let in_index = |i: &RawIndex| {
        let by_part = i.parts.iter().any(|(name, ..)| name.as_deref().is_some_and(is));
        by_part || i.sql.as_deref().is_some_and(|sql| names(&ddl::index_expressions(sql).0))
    };
    let mut gone = vec![Object::excluded(ObjectKind::Column, &own(&column))];
    let indexes = table.indexes.extract_if(.., |i| in_index(i));
    gone.extend(indexes.map(|i| Object::excluded(ObjectKind::Index, &i.name)));
    let keys = table.foreign_keys.extract_if(.., |f| f.columns.iter().any(|c| is(c)));
    gone.extend(keys.map(|f| Object::excluded(ObjectKind::ForeignKey, &own(&f.columns.join(", ")))));
    let checks = table.ddl.checks.extract_if(.., |(_, text)| names(text));
    gone.extend(checks.map(|(name, text)| Object::excluded(ObjectKind::Check, &own(&name.unwrap_or(text)))));
    gone
}

fn parse_pattern(catalog: &Catalog, given: &str, is_table: &dyn Fn(&str) -> bool) -> Result<Pattern> {
    let whole = |kinds: &[ObjectKind], glob: &str| {
        Ok(Pattern { given: given.into(), kinds: kinds.to_vec(), glob: glob.into() })
    };
    if is_table(given) {
        return whole(&[ObjectKind::Table, ObjectKind::VirtualTable], given);
    }
    if let Some((word, glob)) = given.split_once(':')
        && let Some(kind) = ObjectKind::parse_option(word)
    {
        return whole(&[kind], glob);
    }
    let column = |t: &RawTable| {
        t.columns.iter().any(|c| names::matches_glob(given, &format!("{}.{}", t.name, c.name)))
    };
    if given.contains('.') && catalog.tables.iter().any(column) {
        return whole(&[ObjectKind::Column], given);
    }
    let indexes = catalog.tables.iter().flat_map(|t| &t.indexes).filter(|i| i.origin == "c").map(|i| &i.name);
    let mut named = catalog.others.iter().map(|o| &o.name).chain(indexes);
    match named.any(|name| names::matches_glob(given, name)) {
        true => whole(&[ObjectKind::View, ObjectKind::Trigger, ObjectKind::Index], given),
        false => Err(Error::usage(format!("no table is called like {given}"))
            .hint("--exclude takes TABLE, TABLE.COLUMN, the name of a view, trigger or index, or KIND:NAME as a report has them (default:T.C, check:T.NAME)")),
    }
}
