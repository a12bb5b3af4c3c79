//! The users' own application, copied by hand: PostgreSQL itself casts what SQLite's `quote()` says.

use crate::world::{Verified, World};
use rusqlite::types::ValueRef;
use testkit::itsm::{Flaw, Itsm, POSTGRES_SCHEMA, Planted, TABLES};

/// Whether a value is given as a copy by hand gives it: what PostgreSQL refuses is NULL, cut or cleaned.
fn literal(value: ValueRef<'_>, kind: &str) -> String {
    match value {
        ValueRef::Integer(n) if kind.starts_with("timestamp") => {
            let divisor = if n > 100_000_000_000 { 1000.0 } else { 1.0 };
            format!("to_timestamp({n} / {divisor:?})")
        }
        ValueRef::Null => "null".into(),
        ValueRef::Integer(n) => format!("'{n}'"),
        ValueRef::Real(r) => format!("'{r}'"),
        ValueRef::Blob(b) => format!(r"'\x{}'", toban_core::sum::hex(b)),
        ValueRef::Text(t) => {
            let text = String::from_utf8_lossy(t).replace('\0', "").replace('\'', "''");
            match kind {
                "numeric" | "date" if text.contains(' ') => "null".into(),
                "character varying" => format!("'{}'", text.chars().take(500).collect::<String>()),
                _ => format!("'{text}'"),
            }
        }
    }
}

/// Copies every table of the file into the application's own schema.
fn copy(world: &World) {
    world.pg.psql("postgres", POSTGRES_SCHEMA);
    let (db, mut client) = (world.open(), world.client());
    client.batch_execute("set session_replication_role = replica; set timezone = 'UTC'").expect("set up");
    for table in TABLES {
        let sql = "select column_name::text, data_type::text from information_schema.columns \
                   where table_schema = 'public' and table_name = $1 order by ordinal_position";
        let rows = client.query(sql, &[&table]).expect("columns");
        let columns: Vec<(String, String)> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut statement = db.prepare(&format!("select {} from {table}", names.join(", "))).expect("select");
        let mut rows = statement.query([]).expect("query");
        let mut values = Vec::new();
        while let Some(row) = rows.next().expect("a row") {
            let one =
                |(i, (_, kind)): (usize, &(String, String))| literal(row.get_ref(i).expect("a value"), kind);
            values.push(format!("({})", columns.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")));
        }
        for some in values.chunks(500) {
            let insert = format!("insert into {table} ({}) values {}", names.join(", "), some.join(", "));
            client.batch_execute(&insert).expect("insert");
        }
        if names[0] == "id" {
            let next =
                format!("select setval(pg_get_serial_sequence('{table}', 'id'), max(id)) from {table}");
            client.batch_execute(&next).expect("setval");
        }
    }
}

fn made(itsm: &Itsm) -> (World, Planted) {
    let world = World::new();
    let planted = itsm.write(&world.file()).expect("write the file");
    copy(&world);
    (world, planted)
}

#[test]
fn a_copy_into_the_applications_schema_is_equal() {
    let (world, planted) = made(&Itsm::rows(3000));
    let records = world.verify(&[]).equal();
    for table in TABLES {
        let record = records.iter().find(|r| r["table"] == table).expect(table);
        assert_eq!(record["rows"], planted.rows[table], "{record}");
        assert_eq!(record["sum"], record["target_sum"]);
        assert!(record["cross_checked"].as_u64() > Some(0), "{record}");
    }
}

#[test]
fn as_sequelize_makes_it_only_its_own_table_is_missing() {
    let (world, _) = made(&Itsm::rows(2000).sequelize());
    // Its own migrations say ON UPDATE CASCADE, and the copy by hand does not.
    let (keys, others): (Vec<String>, Vec<String>) =
        world.verify(&[]).differs().into_iter().partition(|d| d.contains(" foreign key to "));
    assert_eq!(others, ["missing SequelizeMeta"]);
    assert_eq!(keys.len(), 14, "{keys:?}");
}

#[test]
fn what_a_careless_copy_changed_is_named_and_nothing_else() {
    let (world, planted) = made(&Itsm::rows(6000).dirt(8));
    let changed = [Flaw::WrongType, Flaw::TooLong, Flaw::Nul];
    let lost = planted.dirt.iter().filter(|d| changed.contains(&d.flaw));
    let mut expected: Vec<String> =
        lost.map(|d| format!("value {} id={} {}", d.table, d.row, d.column)).collect();
    expected.sort();
    assert!(expected.len() > 10, "{expected:?}");
    assert_eq!(world.verify(&[]).differs(), expected);
}
