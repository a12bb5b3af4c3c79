//! Whether a default gives the value that SQLite's gives; where one of the two is not a constant, nothing is claimed.

use super::objects::Judge;
use super::pair::Rule;
use super::record::{Difference, Kind};
use super::second::agree;
use super::source::explain;
use super::target::{rows, unlocked};
use toban_core::Result;

/// Words before a parenthesis that a constant may have: the bounds of a type.
const TYPES: [&str; 6] = ["numeric", "varying", "character", "bit", "time", "timestamp"];

const DEFAULTS: &str = "select a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d \
    join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum \
    where d.adrelid = $OID and a.attgenerated = ''";

impl Judge<'_> {
    /// The constants of both sides that differ; of copies whose definitions were not kept.
    ///
    /// # Errors
    /// Those of either side.
    pub(super) fn defaults(&mut self) -> Result<Vec<Difference>> {
        let wanted = self.constants()?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let there = rows(self.client, &DEFAULTS.replace("$OID", &self.expected.oid.to_string()))?;
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
            let printed = unlocked(self.client, |client| rows(client, &format!("select ({sql})")))?;
            let printed = printed.into_iter().flatten().next().flatten();
            if agree(column, quoted, printed.as_deref()) == Some(false) {
                let what = format!("default of {}", column.source);
                told.push(Difference::of_table(&self.pair.source, Kind::Constraint, &what, (quoted, &sql)));
            }
        }
        Ok(told)
    }

    /// Columns whose default is a constant in SQLite, and that constant as `quote()` writes it.
    fn constants(&self) -> Result<Vec<(String, String)>> {
        let table = &self.pair.source;
        let wrong = |e| explain(e, || format!("read the defaults of {table}"));
        let sql = "select name, dflt_value from pragma_table_xinfo(?1) where dflt_value is not null and hidden <= 1";
        let mut statement = self.reader.prepare(sql).map_err(wrong)?;
        let found = statement
            .query_map([table], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(wrong)?;
        let quoted = |(name, text): (String, String)| {
            let first = text.trim_start_matches(['-', '+', ' ']).chars().next()?;
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
