//! Keys, constraints, numbering and rows without parents: what a copy has beside its rows.

pub(crate) mod definitions;
pub(crate) mod expressions;

use self::expressions::list_columns;
use crate::verify::expected::{ExpectedObjects, WantedForeignKey};
use crate::verify::pair::TablePair;
use crate::verify::record::{Difference, DifferenceKind};
use crate::verify::source::explain_error;
use crate::verify::target::{TargetColumn, only_cell};
use migrate::sql::query_texts;
use postgres::Client;
use rusqlite::Connection;
use std::collections::BTreeSet;
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Result};

/// What a table of the target has.
#[derive(Debug, Default)]
struct Present {
    /// Each valid unique index of all rows.
    uniques: Vec<PresentUnique>,
    /// Columns, parent, the parent's columns, and whether it holds for old rows too.
    references: Vec<(WantedForeignKey, bool)>,
}

/// A unique index.
#[derive(Debug, Default)]
struct PresentUnique {
    /// Its columns, and those that its expressions use.
    columns: BTreeSet<String>,
    /// Its own columns, in its order.
    order: Vec<String>,
    is_primary: bool,
}

/// Both sides of one table, and a connection to each.
pub(crate) struct TableJudge<'a> {
    pub(crate) reader: &'a Connection,
    pub(crate) client: &'a mut Client,
    pub(crate) pair: &'a TablePair,
    pub(crate) expected: &'a ExpectedObjects,
}

/// Unique indexes: their own columns, or, of expressions, those which they depend on.
const UNIQUES: &str = "select i.indexrelid, i.indisprimary, a.attname, \
    pg_catalog.array_position(i.indkey::int2[], a.attnum) < i.indnkeyatts \
    from pg_catalog.pg_index i join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0 \
    where i.indrelid = $OID and i.indisunique and i.indisvalid and i.indpred is null \
    and (a.attnum = any (i.indkey) or exists (select from pg_catalog.pg_depend d \
        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = i.indexrelid \
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid = a.attnum)) \
    order by 1, pg_catalog.array_position(i.indkey::int2[], a.attnum)";

const REFERENCES: &str = "select c.oid, p.relname, c.convalidated, a.attname, b.attname, \
    case c.confdeltype when 'r' then 'restrict' when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default' else 'no action' end, \
    case c.confupdtype when 'r' then 'restrict' when 'c' then 'cascade' when 'n' then 'set null' when 'd' then 'set default' else 'no action' end \
    from pg_catalog.pg_constraint c join pg_catalog.pg_class p on p.oid = c.confrelid \
    cross join lateral unnest(c.conkey, c.confkey) with ordinality as k (own, other, n) \
    join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.own \
    join pg_catalog.pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.other \
    where c.conrelid = $OID and c.contype = 'f' order by 1, k.n";

impl TableJudge<'_> {
    /// How many things were looked for, and what is wrong.
    pub(crate) fn judge_objects(&mut self) -> Result<(u64, Vec<Difference>)> {
        let present = self.read_present()?;
        let mut told = Vec::from_iter(self.check_numbering()?);
        let expected = self.expected;
        let mut looked = u64::from(expected.identity.is_some());
        if expected.foreign {
            return Ok((looked, told));
        }
        let keys = std::iter::once(&expected.primary_key).chain(&expected.uniques);
        for (i, key) in keys.enumerate().filter(|(_, key)| !key.is_empty()) {
            looked += 1;
            told.extend(self.check_unique(key, i == 0, &present)?);
        }
        for reference in &expected.foreign_keys {
            looked += 1;
            told.extend(self.check_reference(reference, &present)?);
        }
        looked += expected.not_null.len() as u64;
        for column in &expected.nullable {
            told.extend(self.not_null(column)?);
        }
        let (more, lacking) = self.compare_expressions()?;
        told.extend(lacking);
        Ok((looked + more, told))
    }

    fn query_table(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        query_texts(self.client, &sql.replace("$OID", &self.expected.oid.to_string()))
    }

    fn read_present(&mut self) -> Result<Present> {
        let mut present = Present::default();
        let mut last = None;
        for row in self.query_table(UNIQUES)? {
            if last.as_ref() != Some(&row[0]) {
                last = Some(row[0].clone());
                let is_primary = row[1].as_deref() == Some("t");
                present.uniques.push(PresentUnique { is_primary, ..PresentUnique::default() });
            }
            if let Some(unique) = present.uniques.last_mut() {
                unique.columns.extend(row[2].clone());
                unique.order.extend(row[2].clone().filter(|_| row[3].as_deref() == Some("t")));
            }
        }
        last = None;
        for row in self.query_table(REFERENCES)? {
            if last.as_ref() != Some(&row[0]) {
                last = Some(row[0].clone());
                let text = |at: usize| row[at].clone().unwrap_or_default();
                let actions = [text(5), text(6)];
                let reference = WantedForeignKey { parent: text(1), actions, ..WantedForeignKey::default() };
                present.references.push((reference, row[2].as_deref() == Some("t")));
            }
            if let Some((reference, _)) = present.references.last_mut() {
                reference.columns.extend(row[3].clone());
                reference.parent_columns.extend(row[4].clone());
            }
        }
        Ok(present)
    }

    fn missing_constraint(&self, what: &str, columns: &[String]) -> Difference {
        let name = format!("{what} ({})", columns.join(", "));
        Difference::of_table(&self.pair.source, DifferenceKind::Constraint, &name)
    }

    fn check_unique(
        &self,
        columns: &[String],
        primary: bool,
        present: &Present,
    ) -> Result<Option<Difference>> {
        let wanted: BTreeSet<String> = columns.iter().cloned().collect();
        let kind = if primary { "primary key" } else { "unique" };
        let fitting: Vec<_> = present.uniques.iter().filter(|has| has.columns == wanted).collect();
        if fitting.iter().any(|has| has.is_primary || !primary) {
            let same = |has: &&PresentUnique| has.order.len() != columns.len() || has.order == *columns;
            let other = fitting.first().filter(|_| !fitting.iter().any(same));
            let what = || self.missing_constraint(kind, columns);
            return Ok(other.map(|has| what().between(&list_columns(columns), &list_columns(&has.order))));
        }
        // SQLite lets a primary key hold NULL; PostgreSQL does not, and a unique index is all that can be had.
        let excused = primary && !fitting.is_empty() && self.holds_null(columns)?;
        Ok((!excused).then(|| self.missing_constraint(kind, columns)))
    }

    fn holds_null(&self, columns: &[String]) -> Result<bool> {
        let is_null = |target: &String| {
            let own = self.pair.columns.iter().find(|c| c.target == *target);
            own.map(|c| format!("{} is null", Ident::new(&c.source)))
        };
        let filter: Vec<String> = columns.iter().filter_map(is_null).collect();
        let table = Ident::new(&self.pair.source);
        let sql = format!("select exists (select 1 from {table} where {})", filter.join(" or "));
        self.reader
            .query_row(&sql, [], |r| r.get(0))
            .map_err(|e| explain_error(e, || format!("read {}", self.pair.source)))
    }

    /// Rows that hold NULL all the same excuse its absence.
    fn not_null(&self, column: &String) -> Result<Option<Difference>> {
        let own = std::slice::from_ref(column);
        Ok((!self.holds_null(own)?).then(|| self.missing_constraint("not null", own)))
    }

    /// A foreign key that is not there, or is not valid for no reason.
    fn check_reference(
        &mut self,
        wanted: &WantedForeignKey,
        present: &Present,
    ) -> Result<Option<Difference>> {
        let same = |has: &WantedForeignKey| {
            let pairs = |r: &WantedForeignKey| -> BTreeSet<(String, String)> {
                r.columns.iter().cloned().zip(r.parent_columns.iter().cloned()).collect()
            };
            // As sets of pairs: the order in which a key's columns are written changes nothing of what it enforces.
            has.parent == wanted.parent && pairs(has) == pairs(wanted)
        };
        let acts = |has: &WantedForeignKey| {
            has.actions.each_ref().map(weaken_action) == wanted.actions.each_ref().map(weaken_action)
        };
        let fitting = || present.references.iter().filter(|(has, _)| same(has));
        match fitting().find(|(has, _)| acts(has)).or(fitting().next()) {
            Some((has, _)) if !acts(has) => {
                let words = |[delete, update]: &[String; 2]| format!("on delete {delete} on update {update}");
                let what = format!("foreign key to {} ({})", wanted.parent, wanted.columns.join(", "));
                let (wanted, has) = (words(&wanted.actions), words(&has.actions));
                Ok(Some(self.missing_object(&what).between(&wanted, &has)))
            }
            Some((_, true)) => Ok(None),
            Some((_, false)) => self.not_valid(wanted),
            None => Ok(Some(
                self.missing_constraint(&format!("foreign key to {}", wanted.parent), &wanted.columns),
            )),
        }
    }

    /// How many orphans there are is no difference: the rows are equal by their sums, and the two databases compare
    /// texts with numbers, and upper with lower case, by rules of their own.
    fn not_valid(&mut self, key: &WantedForeignKey) -> Result<Option<Difference>> {
        let excused = self.orphans_of_target(key)? > 0 || self.orphans_of_source(key)? > 0;
        Ok((!excused)
            .then(|| self.missing_constraint(&format!("valid foreign key to {}", key.parent), &key.columns)))
    }

    fn orphans_of_target(&mut self, key: &WantedForeignKey) -> Result<i64> {
        let schema = Ident::new(&self.pair.schema);
        let name = |table: &str| format!("{schema}.{}", Ident::new(table));
        let (child, parent) = (name(&self.pair.target), name(&key.parent));
        let sql = orphans_sql(&child, &key.columns, &parent, &key.parent_columns);
        Ok(only_cell(query_texts(self.client, &sql)?).and_then(|n| n.parse().ok()).unwrap_or(0))
    }

    /// `foreign_key_check` tells the number of the key, not its columns; of a table with a key that it takes for
    /// mismatched it tells nothing, and then the rows themselves are asked.
    fn orphans_of_source(&self, key: &WantedForeignKey) -> Result<i64> {
        let own =
            |target: &String| self.pair.columns.iter().find(|c| c.target == *target).map(|c| &*c.source);
        let columns: Vec<&str> = key.columns.iter().map(|c| own(c).unwrap_or_default()).collect();
        let first = columns.first().copied().unwrap_or_default();
        let sql = "select count(*) from pragma_foreign_key_check(?1) f where f.fkid in \
                   (select id from pragma_foreign_key_list(?1) where seq = 0 and lower(\"from\") = lower(?2))";
        let told = self.reader.query_row(sql, [&*self.pair.source, first], |r| r.get(0));
        let name = |table: &str| Ident::new(table).to_string();
        let by_rows = orphans_sql(&name(&self.pair.source), &columns, &name(&key.source.0), &key.source.1);
        told.or_else(|_| self.reader.query_row(&by_rows, [], |r| r.get(0)))
            .map_err(|e| explain_error(e, || format!("look for orphans of {}", self.pair.source)))
    }

    /// The next number must be greater than any that was given.
    fn check_numbering(&mut self) -> Result<Option<Difference>> {
        let Some(column) = &self.expected.identity else { return Ok(None) };
        let told = |what: &str, target: &str| {
            let difference = Difference::of_table(&self.pair.source, DifferenceKind::Identity, &column.name);
            Some(difference.between(what, target))
        };
        if !column.has_default && !self.expected.foreign {
            return Ok(told("numbers its rows", "does not"));
        }
        let (Some(next), used) = (next_number(self.client, column)?, self.last_used()?) else {
            return Ok(None);
        };
        Ok(match used {
            Some(used) if next <= used => told(&format!("gave {used} last"), &format!("gives {next} next")),
            _ => None,
        })
    }

    fn last_used(&self) -> Result<Option<i64>> {
        let last = self.pair.bounds.map(|(_, last)| last).filter(|_| self.pair.numbered);
        Ok(last.max(self.expected.used))
    }
}

/// What the column's sequence gives next; None when there is none, or the role may not look.
fn next_number(client: &mut Client, column: &TargetColumn) -> Result<Option<i64>> {
    let Some(sequence) = &column.sequence else { return Ok(None) };
    let name = quote_literal(sequence);
    let may = query_texts(client, &format!("select pg_catalog.has_sequence_privilege({name}, 'select')"))?;
    if only_cell(may).as_deref() != Some("t") {
        log::info!("the role may not read the sequence {sequence}: what it gives next is not judged");
        return Ok(None);
    }
    // An exhausted one gives nothing, as SQLite's does.
    let sql = format!(
        "select case when not is_called then last_value when last_value < 9223372036854775807 then last_value + 1 end \
         from {sequence}"
    );
    let row = client.query_one(&sql, &[]).doing(|| format!("read {sequence}"))?;
    row.try_get(0).doing(|| format!("read {sequence}"))
}

/// A query for the number of rows of `child` without a parent; the tables' names are quoted. The parent's column comes first:
/// in SQLite its collation decides.
fn orphans_sql<S: AsRef<str>>(child: &str, columns: &[S], parent: &str, parent_columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|c| format!("c.{}", Ident::new(c.as_ref()))).collect();
    let set: Vec<String> = columns.iter().map(|c| format!("{c} is not null")).collect();
    let same: Vec<String> =
        columns.iter().zip(parent_columns).map(|(c, p)| format!("p.{} = {c}", Ident::new(p))).collect();
    format!(
        "select count(*) from {child} c where {} and not exists (select 1 from {parent} p where {})",
        set.join(" and "),
        same.join(" and ")
    )
}

/// RESTRICT differs from NO ACTION in the moment alone.
fn weaken_action(action: &String) -> &str {
    if action == "restrict" { "no action" } else { action }
}
