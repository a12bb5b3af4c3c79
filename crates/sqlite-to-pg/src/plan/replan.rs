//! A plan made anew: a plan never changes while it is carried out, but what only the target knows may make another one
//! necessary.

use crate::model::{Plan, Table};

/// What stands in the way of a plan.
pub(crate) enum Obstacle<'a> {
    /// The target does not compute these generated columns as the source does: table and column of each.
    Generated(&'a [(String, String)]),
    /// PostgreSQL does not take a row of this table of the source.
    RowTooWide(&'a str),
}

/// The plan that goes around the obstacle: generated columns become plain ones with their values, a table whose rows do not
/// fit is left out with the foreign keys to it.
pub(crate) fn replan(plan: &Plan, obstacle: &Obstacle<'_>) -> Plan {
    let mut plan = plan.clone();
    match obstacle {
        Obstacle::Generated(columns) => {
            let is_named = |table: &str, column: &str| columns.iter().any(|(t, c)| t == table && c == column);
            for Table { source, columns, .. } in &mut plan.tables {
                columns.iter_mut().filter(|c| is_named(source, &c.source)).for_each(|c| c.generated = None);
            }
        }
        Obstacle::RowTooWide(table) => {
            let left_out: Vec<String> =
                plan.tables.extract_if(.., |t| t.source == *table).map(|t| t.target).collect();
            for table in &mut plan.tables {
                // A key to a table that is not there cannot be made, whatever else is in it.
                table.foreign_keys.retain(|key| !left_out.contains(&key.parent));
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Column, FORMAT, ForeignKey, Mode, SourceFile};

    fn plan() -> Plan {
        let generated =
            |name: &str| Column { source: name.into(), generated: Some("1".into()), ..Column::default() };
        let key = ForeignKey { parent: "P".into(), ..ForeignKey::default() };
        let child = Table {
            source: "c".into(),
            columns: vec![generated("a"), generated("b")],
            foreign_keys: vec![key],
            ..Table::default()
        };
        let parent = Table { source: "p".into(), target: "P".into(), ..Table::default() };
        Plan {
            format: FORMAT,
            schema: "public".into(),
            mode: Mode::Create,
            source: SourceFile::default(),
            tables: vec![child, parent],
            objects: Vec::new(),
        }
    }

    #[test]
    fn generated_columns_become_plain_ones() {
        let before = plan();
        let after = replan(&before, &Obstacle::Generated(&[("c".into(), "b".into())]));
        let generated: Vec<bool> = after.tables[0].columns.iter().map(|c| c.generated.is_some()).collect();
        assert_eq!(generated, [true, false]);
        assert_eq!(before, plan());
    }

    #[test]
    fn a_table_that_does_not_fit_goes_with_the_keys_to_it() {
        let after = replan(&plan(), &Obstacle::RowTooWide("p"));
        assert_eq!(after.tables.iter().map(|t| t.source.as_str()).collect::<Vec<_>>(), ["c"]);
        assert!(after.tables[0].foreign_keys.is_empty());
    }
}
