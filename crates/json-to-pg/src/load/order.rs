//! In which order tables are filled: those that others refer to first.

use crate::model::FilledTable;
use crate::model::compiled::join_table;
use postgres::Client;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::{Context, Result};

/// A foreign key of PostgreSQL's.
#[derive(Clone, Debug)]
pub(crate) struct TableReference {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    pub(crate) target_columns: Vec<String>,
    pub(crate) deferrable: bool,
}

/// All foreign keys of the database.
///
/// # Errors
/// Those of the server.
pub(crate) fn read_references(client: &mut Client) -> Result<Vec<TableReference>> {
    let names = |oid: &str, list: &str| {
        format!(
            "array(select a.attname::text from unnest({list}) with ordinality u (n, o) join pg_attribute a \
             on a.attrelid = {oid} and a.attnum = u.n order by u.o)"
        )
    };
    let sql = format!(
        // Without the keys of partitions (conparentid): they follow the one of the partitioned table, and cannot be
        // altered by themselves (manual, "pg_constraint").
        "select n.nspname::text, c.relname::text, m.nspname::text, p.relname::text, k.conname::text, {}, {}, k.condeferrable \
         from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace \
         join pg_class p on p.oid = k.confrelid join pg_namespace m on m.oid = p.relnamespace \
         where k.contype = 'f' and k.conparentid = 0 order by k.oid",
        names("k.conrelid", "k.conkey"),
        names("k.confrelid", "k.confkey")
    );
    let rows = client.query(&sql, &[]).doing(|| "look at the foreign keys".into())?;
    let reference = |r: &postgres::Row| TableReference {
        from: join_table(r.get(0), r.get(1)),
        to: join_table(r.get(2), r.get(3)),
        name: r.get(4),
        columns: r.get(5),
        target_columns: r.get(6),
        deferrable: r.get(7),
    };
    Ok(rows.iter().map(reference).collect())
}

/// The order of `tables`, as indexes; and the foreign keys of circles among them, which must wait for the end.
pub(crate) fn order_tables(
    tables: &[&FilledTable],
    references: &[TableReference],
) -> (Vec<usize>, Vec<TableReference>) {
    let filled = |table: &FilledTable| {
        let mut names = Vec::new();
        list_filled(table, &mut names);
        names
    };
    let home: BTreeMap<String, usize> = tables
        .iter()
        .enumerate()
        .flat_map(|(at, t)| filled(t).into_iter().map(move |name| (name, at)))
        .collect();
    let mut needs: BTreeMap<usize, BTreeSet<usize>> =
        (0..tables.len()).map(|at| (at, BTreeSet::new())).collect();
    for (at, table) in tables.iter().enumerate() {
        let looked_up = list_lookups(table).into_iter();
        let referred = references.iter().filter(|r| home.get(&r.from) == Some(&at)).map(|r| r.to.clone());
        for other in
            looked_up.chain(referred).filter_map(|name| home.get(&name)).filter(|other| **other != at)
        {
            needs.entry(at).or_default().insert(*other);
        }
    }
    let mut order: Vec<usize> = Vec::new();
    while order.len() < tables.len() {
        let rest = || (0..tables.len()).filter(|at| !order.contains(at));
        // Of a circle one must be first: the one that needs least.
        let open = |at: &usize| needs[at].iter().filter(|n| !order.contains(n)).count();
        let next = rest().min_by_key(open);
        order.extend(next);
    }
    let place = |name: &String| home.get(name).and_then(|at| order.iter().position(|o| o == at));
    let late =
        references.iter().filter(|r| place(&r.from).zip(place(&r.to)).is_some_and(|(from, to)| from < to));
    let late: Vec<TableReference> = late.cloned().collect();
    (order, late)
}

fn list_filled(table: &FilledTable, names: &mut Vec<String>) {
    names.push(table.name.clone());
    names.extend(table.links.iter().map(|l| l.table.clone()));
    table.children.iter().for_each(|c| list_filled(&c.table, names));
}

/// The tables that a table and those below it look names up in.
fn list_lookups(table: &FilledTable) -> Vec<String> {
    let own = table.columns.iter().filter_map(|c| c.lookup.as_ref());
    let mut names: Vec<String> =
        own.chain(table.links.iter().map(|l| &l.lookup)).map(|l| l.table.clone()).collect();
    names.extend(table.children.iter().flat_map(|c| list_lookups(&c.table)));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> FilledTable {
        FilledTable {
            name: name.into(),
            create: false,
            columns: vec![],
            key: vec![],
            children: vec![],
            links: vec![],
        }
    }

    fn reference(from: &str, to: &str) -> TableReference {
        let (from, to) = (from.to_string(), to.to_string());
        TableReference {
            from,
            to,
            name: String::new(),
            columns: vec![],
            target_columns: vec![],
            deferrable: false,
        }
    }

    #[test]
    fn what_is_referred_to_comes_first_and_circles_wait() {
        let (a, b, c) = (table("s.a"), table("s.b"), table("s.c"));
        let all = [&a, &b, &c];
        let (order, late) = order_tables(&all, &[reference("s.a", "s.b"), reference("s.b", "s.c")]);
        assert_eq!((order, late.len()), (vec![2, 1, 0], 0));
        let circle = [reference("s.a", "s.b"), reference("s.b", "s.a"), reference("s.a", "s.a")];
        let (order, late) = order_tables(&all, &circle);
        assert_eq!((order.len(), late.len()), (3, 1));
    }
}
