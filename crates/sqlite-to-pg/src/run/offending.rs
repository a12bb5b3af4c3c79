//! The row that the target did not take: found by loading smaller and smaller parts, in a transaction that is rolled back.

use super::existing::{Transfer, drop_keys, switch_off};
use crate::model::{Action, Table};
use crate::target::{create, undo};
use migrate::catalog;
use migrate::sql::qualified_name;
use postgres::Client;
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Error, Kind, Result, shutdown};

/// Columns that name a row without a key.
const SHOWN: usize = 4;

impl Transfer<'_> {
    /// The error `e` of loading a table, with the row that it is about and the server's message; `e` itself when it is about
    /// no row.
    pub(super) fn name_offending_row(
        &self,
        client: &mut Client,
        table: &Table,
        made: &[catalog::ExistingTable],
        e: Error,
    ) -> Error {
        let there = made.iter().find(|m| m.name == table.target).filter(|_| e.kind() == Kind::Failed);
        let Some(there) = there else { return e };
        let found = client.batch_execute("begin").doing(|| "look for the row".into()).and_then(|()| {
            let found = self.find_offending_row(client, table, there);
            client.batch_execute("rollback").doing(|| "look for the row".into()).and(found)
        });
        match found {
            Ok(Some((row, why))) => {
                Error::new(Kind::Findings, format!("{} {row}: {why}; nothing was loaded", table.source)).hint(
                    "correct the row in the source; or give --on-invalid, --cast or a plan for its value, or --exclude for its column",
                )
            }
            _ => e,
        }
    }

    /// The first row that cannot be added to those before it, and why.
    fn find_offending_row(
        &self,
        client: &mut Client,
        table: &Table,
        there: &catalog::ExistingTable,
    ) -> Result<Option<(String, String)>> {
        let (plan, stage) = (self.plan, self.stage);
        let doing = || format!("look for the row of {}", table.source);
        drop_keys(client, plan)?;
        switch_off(client, &plan.schema, &table.target)?;
        if table.action == Action::Truncate {
            let only = undo::scan_name(client, &qualified_name(&plan.schema, &table.target))?;
            client.batch_execute(&format!("delete from {only}")).doing(doing)?;
        }
        let staged = qualified_name(stage, &table.target);
        let sql = format!(
            "select pg_relation_size({}::regclass) / current_setting('block_size')::bigint",
            quote_literal(&staged)
        );
        // Halves by pages: a row cannot be found by its number, and a TID range is read without an index.
        let (mut low, mut high): (i64, i64) = (0, client.query_one(&sql, &[]).doing(doing)?.get(0));
        // What was loaded stays loaded, so that all of it together costs about two loads.
        while high - low > 1 {
            shutdown::check()?;
            let middle = low + (high - low) / 2;
            let filter = format!(" where ctid >= '({low},0)' and ctid < '({middle},0)'");
            match try_insert(client, &self.insert_sql(table, there, &filter))? {
                None => low = middle,
                Some(_) => high = middle,
            }
        }
        let sql = format!(
            "select ctid::text from {staged} where ctid >= '({low},0)' and ctid < '({high},0)' order by ctid"
        );
        for row in client.query(&sql, &[]).doing(doing)? {
            let place: String = row.get(0);
            let filter = format!(" where ctid = '{place}'");
            if let Some(why) = try_insert(client, &self.insert_sql(table, there, &filter))? {
                return Ok(Some((display_row(client, table, &staged, &place)?, why)));
            }
        }
        Ok(None)
    }
}

/// What the server says against a statement, which then has done nothing.
fn try_insert(client: &mut Client, sql: &str) -> Result<Option<String>> {
    let doing = || "look for the row".to_string();
    client.batch_execute("savepoint part").doing(doing)?;
    let message = client.batch_execute(sql).err().map(create::tolerate).transpose()?;
    let back = if message.is_some() { "rollback to savepoint part; " } else { "" };
    client.batch_execute(&format!("{back}release savepoint part")).doing(doing)?;
    Ok(message)
}

/// `id=7`: the key of a row, or its first columns.
fn display_row(client: &mut Client, table: &Table, staged: &str, place: &str) -> Result<String> {
    let own = |name: &String| table.columns.iter().find(|c| c.source == *name);
    let mut columns: Vec<_> = table.key.iter().filter_map(own).collect();
    if columns.is_empty() {
        columns = table.copied_columns().take(SHOWN).collect();
    }
    let parts: Vec<String> = columns
        .iter()
        .map(|c| {
            format!(
                "{} || coalesce(left({}::text, 60), 'NULL')",
                quote_literal(&format!("{}=", c.source)),
                Ident::new(&*c.target)
            )
        })
        .collect();
    let sql = format!("select concat_ws(' ', {}) from {staged} where ctid = '{place}'", parts.join(", "));
    Ok(client.query_one(&sql, &[]).doing(|| "name the row".into())?.get(0))
}
