//! What a copy has as SQL expressions: checks, defaults, indexes and views. That each is there is compared, and the value of
//! a constant default.

use super::TableJudge;
use crate::source::ddl;
use crate::verify::expected::{Columns, WantedExpression};
use crate::verify::pair::{Form, PairColumn, Rule, find_name, target_names};
use crate::verify::record::{Difference, DifferenceKind};
use crate::verify::rows::cross_check::texts_agree;
use crate::verify::source::explain_error;
use crate::verify::target::{Relation, TargetColumn, TargetTable, release_locks_after};
use migrate::sql::query_texts;
use rusqlite::Connection;
use toban_core::Result;
use toban_core::pg::Ident;

/// A check or an index of the target.
#[derive(Clone, Debug)]
struct PresentExpression {
    name: String,
    columns: Columns,
    /// Of an index: its own columns, in its order.
    order: Vec<String>,
    unique: bool,
    partial: bool,
}

const CHECKS: &str = "select c.oid, c.conname, false, false, a.attname, false from pg_catalog.pg_constraint c \
    left join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey) \
    where c.conrelid = $OID and c.contype = 'c' order by 1";

/// Columns of an index: its own, in its order and marked so, and those that its expressions and its predicate depend on.
const INDEXES: &str = "select i.indexrelid, c.relname, i.indisunique, i.indpred is not null, a.attname, \
    pg_catalog.array_position(i.indkey::int2[], a.attnum) < i.indnkeyatts \
    from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid \
    left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0 \
    and (a.attnum = any (i.indkey) or exists (select from pg_catalog.pg_depend d \
        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = i.indexrelid \
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid = a.attnum)) \
    where i.indrelid = $OID and i.indisvalid order by 1, pg_catalog.array_position(i.indkey::int2[], a.attnum)";

impl TableJudge<'_> {
    /// How many checks, indexes and defaults were looked for, and those that are not there.
    pub(super) fn compare_expressions(&mut self) -> Result<(u64, Vec<Difference>)> {
        let expected = self.expected;
        let mut told = Vec::new();
        if !expected.checks.is_empty() {
            let mut found = self.read_expressions(CHECKS)?;
            told.extend(
                expected
                    .checks
                    .iter()
                    .filter_map(|w| self.missing_expression("check", w, take_check(&mut found, w))),
            );
        }
        if !expected.indexes.is_empty() {
            let found = self.read_expressions(INDEXES)?;
            told.extend(expected.indexes.iter().filter_map(|w| self.find_lacking_index(&found, w)));
        }
        for column in &expected.no_default {
            told.push(self.missing_object(&format!("default of {column}")));
        }
        if expected.defaults > expected.no_default.len() {
            told.extend(self.compare_defaults()?);
        }
        let looked = expected.checks.len() + expected.indexes.len() + expected.defaults;
        Ok((looked as u64, told))
    }

    fn missing_expression(&self, kind: &str, wanted: &WantedExpression, there: bool) -> Option<Difference> {
        (!there).then(|| self.missing_object(&format!("{kind} {}", wanted.name)))
    }

    /// An index that is not there, or whose columns have another order: it finds other rows, and sorts otherwise.
    fn find_lacking_index(
        &self,
        found: &[PresentExpression],
        wanted: &WantedExpression,
    ) -> Option<Difference> {
        let fitting: Vec<_> = found.iter().filter(|f| fits_index(f, wanted)).collect();
        let Some(first) = fitting.first() else { return self.missing_expression("index", wanted, false) };
        let same = |f: &&PresentExpression| f.order.len() != wanted.order.len() || f.order == wanted.order;
        if wanted.order.is_empty() || fitting.iter().any(same) {
            return None;
        }
        let lacks = self.missing_object(&format!("index {}", wanted.name));
        Some(lacks.between(&list_columns(&wanted.order), &list_columns(&first.order)))
    }

    pub(super) fn missing_object(&self, what: &str) -> Difference {
        Difference::of_table(&self.pair.source, DifferenceKind::Constraint, what)
    }

    fn read_expressions(&mut self, sql: &str) -> Result<Vec<PresentExpression>> {
        let sql = sql.replace("$OID", &self.expected.oid.to_string());
        let mut found: Vec<(Option<String>, PresentExpression)> = Vec::new();
        for row in query_texts(self.client, &sql)? {
            let [oid, name, unique, partial, column, own] = row.as_slice() else { continue };
            let is = |cell: &Option<String>| cell.as_deref() == Some("t");
            if found.last().is_none_or(|(last, _)| last != oid) {
                let name = name.clone().unwrap_or_default();
                let one = PresentExpression {
                    name,
                    columns: Columns::new(),
                    order: Vec::new(),
                    unique: is(unique),
                    partial: is(partial),
                };
                found.push((oid.clone(), one));
            }
            if let Some((_, one)) = found.last_mut() {
                one.columns.extend(column.clone());
                one.order.extend(column.clone().filter(|_| is(own)));
            }
        }
        Ok(found.into_iter().map(|(_, one)| one).collect())
    }
}

pub(super) fn list_columns(columns: &[String]) -> String {
    format!("({})", columns.join(", "))
}

/// Whether a check is there; it is taken from `found`, so that one does not stand for two.
fn take_check(found: &mut Vec<PresentExpression>, wanted: &WantedExpression) -> bool {
    let at = match &wanted.exact {
        Some(name) => found.iter().position(|f| f.name == *name),
        None => found.iter().position(|f| f.columns == wanted.columns),
    };
    at.map(|at| found.swap_remove(at)).is_some()
}

fn fits_index(found: &PresentExpression, wanted: &WantedExpression) -> bool {
    // Unique for more rows than in the source refuses rows that the source takes, and for fewer lets in too many.
    let rows = if wanted.unique { wanted.partial == found.partial } else { wanted.partial || !found.partial };
    let kind = rows && (found.unique || !wanted.unique);
    match &wanted.exact {
        Some(name) => {
            let columns = wanted.columns.is_empty() || found.columns == wanted.columns;
            found.name == *name && kind && columns && wanted.partial == found.partial
        }
        None => kind && found.columns == wanted.columns,
    }
}

/// Views of the source that the target lacks, by their names.
pub(crate) fn missing_views(wanted: &[String], relations: &[Relation]) -> Vec<Difference> {
    let names: Vec<&str> = relations.iter().map(String::as_str).collect();
    let lacks = wanted.iter().filter(|name| find_name(name, &names).is_none());
    lacks.map(|name| Difference::of_table(name, DifferenceKind::Missing, "view")).collect()
}

/// Triggers of the source that the target lacks, by their names.
pub(crate) fn missing_triggers(wanted: &[(String, String)], there: &[String]) -> Vec<Difference> {
    let names: Vec<&str> = there.iter().map(String::as_str).collect();
    let lacks = wanted.iter().filter(|(name, _)| find_name(name, &names).is_none());
    let told = lacks.map(|(name, table)| {
        Difference::of_table(table, DifferenceKind::Missing, &format!("trigger {name}"))
    });
    told.collect()
}

/// A check of the source, and who evaluates it.
pub(crate) struct SourceCheck<'a> {
    pub(crate) reader: &'a Connection,
    pub(crate) text: &'a str,
}

impl SourceCheck<'_> {
    /// The check over the source's columns `own`, which the target must have; none when its types keep it (an enum instead
    /// of `in (…)`, varchar(n) instead of a length), or it has not all these columns.
    pub(crate) fn wanted(
        &self,
        own: &[String],
        columns: &[PairColumn],
        target: &TargetTable,
    ) -> Option<WantedExpression> {
        let own: Vec<String> = ddl::named_columns(self.text, own).into_iter().collect();
        let names = target_names(&own, columns)?;
        let typed = |(own, name): (_, &String)| Some((own, target.columns.iter().find(|c| c.name == *name)?));
        let typed: Option<Vec<_>> = own.iter().map(String::as_str).zip(&names).map(typed).collect();
        let lacks = !self.is_kept_by(&typed?);
        let (name, columns) = (format!("({})", self.text), names.into_iter().collect());
        lacks.then(|| WantedExpression { name, columns, ..WantedExpression::default() })
    }

    /// Whether the types of `columns` (the source's name, the target's column) keep what the check asks for. Where that cannot
    /// be told they do: a check that lacks is claimed for certain, or not at all.
    fn is_kept_by(&self, columns: &[(&str, &TargetColumn)]) -> bool {
        let closed = |c: &TargetColumn| c.form == Form::Bool || c.checked || !c.labels.is_empty();
        match columns {
            [(name, column)] => self.is_kept_by_type(name, column),
            _ => !columns.is_empty() && columns.iter().all(|(_, c)| closed(c)),
        }
    }

    fn is_kept_by_type(&self, name: &str, column: &TargetColumn) -> bool {
        let says = |call: &str| self.text.to_ascii_lowercase().replace(' ', "").contains(call);
        match column.form {
            _ if !column.labels.is_empty() => column.labels.iter().all(|label| self.passes(name, label)),
            _ if column.checked || says("typeof(") => true,
            Form::Text | Form::Padded => {
                let longest = column.bounds.length.filter(|_| says("length("));
                longest.is_some_and(|n| self.passes(name, &"x".repeat(n)))
            }
            form if form.is_integer() => false,
            Form::Float4 | Form::Float8 | Form::Numeric | Form::Money | Form::Bytes => false,
            // SQLite keeps such values in a form of its own, and its check is about that form.
            _ => true,
        }
    }

    /// Whether SQLite lets `value` through as a text, in whatever case, or as a number; also when it cannot say.
    fn passes(&self, name: &str, value: &str) -> bool {
        let (name, text) = (Ident::new(name), self.text);
        let asked = |form: &&str| {
            let sql = format!("select coalesce(({text}), 1) from (select {form} as {name})");
            self.reader.query_row(&sql, [value], |r| r.get::<_, bool>(0)).unwrap_or(true)
        };
        let forms = ["?1", "?1 collate nocase", "cast(?1 as numeric)"];
        forms[..if value.parse::<f64>().is_ok() { 3 } else { 2 }].iter().any(asked)
    }
}

/// Words before a parenthesis that a constant may have: the bounds of a type.
const TYPES: [&str; 6] = ["numeric", "varying", "character", "bit", "time", "timestamp"];

const DEFAULTS: &str = "select a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d \
    join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum \
    where d.adrelid = $OID and a.attgenerated = ''";

impl TableJudge<'_> {
    /// The constants of both sides that differ; of copies whose definitions were not kept.
    pub(super) fn compare_defaults(&mut self) -> Result<Vec<Difference>> {
        let wanted = self.constant_defaults()?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let there = query_texts(self.client, &DEFAULTS.replace("$OID", &self.expected.oid.to_string()))?;
        let mut told = Vec::new();
        for column in self.pair.columns.iter().filter(|c| c.rule == Rule::Auto) {
            let Some((_, quoted)) = wanted.iter().find(|(name, _)| *name == column.source) else { continue };
            let found =
                there.iter().find(|row| row.first().cloned().flatten().as_deref() == Some(&column.target));
            let Some(sql) =
                found.and_then(|row| row.get(1).cloned().flatten()).filter(|sql| is_constant(sql))
            else {
                continue;
            };
            let printed =
                release_locks_after(self.client, |client| query_texts(client, &format!("select ({sql})")))?;
            let printed = printed.into_iter().flatten().next().flatten();
            if texts_agree(column, quoted, printed.as_deref()) == Some(false) {
                let what = format!("default of {}", column.source);
                told.push(self.missing_object(&what).between(quoted, &sql));
            }
        }
        Ok(told)
    }

    /// Columns whose default is a constant in SQLite, and that constant as `quote()` writes it.
    fn constant_defaults(&self) -> Result<Vec<(String, String)>> {
        let table = &self.pair.source;
        let wrong = |e| explain_error(e, || format!("read the defaults of {table}"));
        let sql = "select name, dflt_value from pragma_table_xinfo(?1) where dflt_value is not null and hidden <= 1";
        let mut statement = self.reader.prepare(sql).map_err(wrong)?;
        let found = statement
            .query_map([table], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(wrong)?;
        let quoted = |(name, text): (String, String)| {
            let first = text.trim_start_matches(['-', '+', ' ']).chars().next()?;
            // Only literals: a function would be run by us, and what it gives today says nothing.
            let constant = first.is_ascii_digit() || first == '\'' || first == '.';
            let sql = format!("select quote(x) from (select {text} as x)");
            let value = self.reader.query_row(&sql, [], |r| r.get(0)).ok().filter(|_| constant)?;
            Some((name, value))
        };
        Ok(found.into_iter().filter_map(quoted).collect())
    }
}

/// A constant with its casts: nothing is called, so that to ask for its value does nothing.
fn is_constant(sql: &str) -> bool {
    let mut inside = false;
    let mut word = String::new();
    for c in sql.chars() {
        match c {
            '\'' => inside = !inside,
            _ if inside => {}
            '(' if !word.is_empty() && !TYPES.contains(&&*word) => return false,
            c if c.is_alphanumeric() || c == '_' => {
                word.push(c);
                continue;
            }
            _ => {}
        }
        word.clear();
    }
    !sql.to_ascii_lowercase().contains("current_")
}

#[cfg(test)]
mod tests {
    use super::is_constant;

    #[test]
    fn nothing_is_called() {
        for sql in
            ["'a(b'::text", "(0)::numeric", "'x'::character varying(5)", "true", "('1'::numeric(10,2))"]
        {
            assert!(is_constant(sql), "{sql}");
        }
        for sql in ["nextval('s'::regclass)", "now()", "CURRENT_TIMESTAMP", "lower('A'::text)"] {
            assert!(!is_constant(sql), "{sql}");
        }
    }
}
