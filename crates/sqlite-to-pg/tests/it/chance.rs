//! Random databases: whatever SQLite took arrives, or what does not is named; PostgreSQL and SQLite are asked themselves.

use crate::schema;
use crate::world::World;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;
use testkit::Ran;
use testkit::{Dice, rounds, seed};

#[test]
fn random_schemas_arrive_or_say_what_does_not() {
    let world = World::new();
    let mut dice = Dice::new(seed());
    for round in 0..rounds(20) {
        let file = world.path(&format!("r{round}.db"));
        let db = Connection::open(&file).expect("open");
        // Where SQLite takes none of the statements the file is a database all the same.
        db.execute_batch("pragma user_version = 1").expect("begin the file");
        schema::make(&db, &mut dice);
        let told = format!("round {round} of seed {}; the schema:\n{}", seed(), statements(&db));
        one(&world, &db, &format!("r{round}"), &told);
        let _ = std::fs::remove_file(file);
    }
}

fn statements(db: &Connection) -> String {
    let mut all = db.prepare("select sql from sqlite_schema where sql is not null").expect("schema");
    let rows = all.query_map([], |r| r.get::<_, String>(0)).expect("schema");
    rows.map(|sql| sql.expect("a statement") + ";\n").collect()
}

fn one(world: &World, db: &Connection, name: &str, told: &str) {
    let file = format!("{name}.db");
    let ran = world.tool(&["run", &file, "--schema", name, "--report", name, "--json"]);
    assert!(matches!(ran.status, Some(0 | 3)), "{told}{ran:?}");
    let verified = world.tool(&["verify", &file, "--schema", name, "--json"]);
    // One rule for both: what the run says, verify says.
    assert_eq!(verified.status, ran.status, "{told}{ran:?}\n{verified:?}");
    let mut client =
        postgres::Client::connect(&world.pg.conninfo("postgres"), postgres::NoTls).expect("connect");
    client.batch_execute(&format!("set search_path = {name}; set timezone = 'UTC'")).expect("a session");
    let columns = plan(world, &file);
    for table in tables(db) {
        values(db, &mut client, &ran, (&table, &columns), told);
    }
    accounted(db, &mut client, &ran, told);
    if ran.status == Some(3) {
        let why = ran
            .records()
            .iter()
            .filter(|r| {
                r["outcome"] == "skipped"
                    || r["outcome"] == "written to a file"
                    || r["rejects"].as_u64() > Some(0)
            })
            .count();
        assert!(why > 0, "a status of 3 without a reason: {told}{ran:?}");
    }
    let undone = world.tool(&["run", &file, "--schema", name, "--undo"]);
    assert_eq!(undone.status, Some(0), "{told}{undone:?}");
    let left =
        format!("select count(*) from pg_namespace where nspname in ('{name}', 'toban_staging_{name}')");
    assert_eq!(world.psql(&left), "0", "{told}");
}

/// What each table and column is called there: (kind, name) and the name in the target.
fn plan(world: &World, file: &str) -> toml::Value {
    let made = world.tool(&["plan", file, "-o", "names.toml"]);
    assert_eq!(made.status, Some(0), "{made:?}");
    toml::from_str(&std::fs::read_to_string(world.path("names.toml")).expect("the plan")).expect("TOML")
}

fn tables(db: &Connection) -> Vec<String> {
    let sql = "select name from pragma_table_list where schema = 'main' and type = 'table' and name not like 'sqlite\\_%' escape '\\'";
    let mut all = db.prepare(sql).expect("tables");
    all.query_map([], |r| r.get(0)).expect("tables").map(|n| n.expect("a name")).collect()
}

fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Both sides' values of each column as sorted lists, where the two have a form in common.
fn values(
    db: &Connection,
    client: &mut postgres::Client,
    ran: &Ran,
    (table, plan): (&str, &toml::Value),
    told: &str,
) {
    let records = ran.records();
    let record =
        records.iter().find(|r| r["kind"] == "table" && r["name"] == table && r["outcome"] == "created");
    let record = record.unwrap_or_else(|| panic!("the table {table:?} is not there: {told}{ran:?}"));
    let ours: i64 =
        db.query_row(&format!("select count(*) from {}", ident(table)), [], |r| r.get(0)).expect("count");
    assert_eq!(record["rows"], ours, "{table:?}: {told}{ran:?}");
    let none = Vec::new();
    let tables = plan.get("table").and_then(|t| t.as_array()).unwrap_or(&none);
    let own = tables.iter().find(|t| t["source"].as_str() == Some(table)).expect("in the plan");
    let target = ident(own["target"].as_str().expect("a name"));
    let theirs: i64 = client.query_one(&format!("select count(*) from {target}"), &[]).expect("count").get(0);
    assert_eq!(theirs, ours, "{table:?}: {told}");
    if record["rejects"].as_u64() > Some(0) {
        return;
    }
    for column in own["column"].as_array().unwrap_or(&none) {
        let text = |field: &str| column[field].as_str().unwrap_or_default().to_string();
        let (source, pg_type) = (text("source"), text("type"));
        let Some((shown, form)) = form(&pg_type) else { continue };
        let sql = format!("select {} from {target}", shown.replace('@', &ident(&text("target"))));
        let rows = client.query(&sql, &[]).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let mut right: Vec<Option<String>> = rows.iter().map(|r| r.get(0)).collect();
        let mut left = list(db, table, &source, form);
        left.sort();
        right.sort();
        assert_eq!(left, right, "{table:?}.{source:?} as {pg_type}: {told}");
    }
}

type Form = fn(ValueRef<'_>) -> Option<String>;

/// How a type's values are asked for there, and what the same value is here.
fn form(pg_type: &str) -> Option<(&'static str, Form)> {
    let found: (&'static str, Form) = match pg_type.split('(').next().unwrap_or_default() {
        "bigint" => ("@::text", whole),
        "boolean" => ("@::int::text", whole),
        "double precision" => ("encode(float8send(@), 'hex')", double),
        "numeric" => ("encode(float8send(@::float8), 'hex')", double),
        "bytea" => ("encode(@, 'hex')", bytes),
        "text" => (WORDS, words),
        _ => return None,
    };
    Some(found)
}

/// Numbers have other digits in SQLite's own words; they are all `other`.
const WORDS: &str = "case when @ is null then null when @ collate \"C\" ~ '^[a-zA-Zé日本😀 '']*$' then encode(convert_to(@, 'UTF8'), 'hex') else 'other' end";

fn whole(v: ValueRef<'_>) -> Option<String> {
    v.as_i64().ok().map(|n| n.to_string())
}

fn double(v: ValueRef<'_>) -> Option<String> {
    real(v).map(|n| format!("{:016x}", n.to_bits()))
}

fn bytes(v: ValueRef<'_>) -> Option<String> {
    v.as_bytes().ok().map(hex)
}

fn words(v: ValueRef<'_>) -> Option<String> {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphabetic() || "é日本😀 '".contains(c));
    match v {
        ValueRef::Null => None,
        ValueRef::Text(t) | ValueRef::Blob(t) if std::str::from_utf8(t).is_ok_and(plain) => Some(hex(t)),
        // Infinity is a word too.
        ValueRef::Real(n) if n == f64::INFINITY => Some(hex(b"inf")),
        _ => Some("other".into()),
    }
}

fn real(v: ValueRef<'_>) -> Option<f64> {
    match v {
        ValueRef::Real(n) => Some(n),
        ValueRef::Integer(n) => Some(n as f64),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn list(db: &Connection, table: &str, column: &str, form: Form) -> Vec<Option<String>> {
    let mut all = db.prepare(&format!("select {} from {}", ident(column), ident(table))).expect("select");
    all.query_map([], |r| Ok(form(r.get_ref(0)?))).expect("rows").map(|v| v.expect("a value")).collect()
}

/// Every view, and every index that a person made, is there or told.
fn accounted(db: &Connection, client: &mut postgres::Client, ran: &Ran, told: &str) {
    let sql = "select type, name from sqlite_schema where type in ('view', 'index') and sql is not null";
    let mut all = db.prepare(sql).expect("schema");
    let rows = all.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))).expect("schema");
    let records: Vec<Value> = ran.records();
    for row in rows {
        let (kind, name) = row.expect("an object");
        let record = records.iter().any(|r| r["kind"] == kind.as_str() && r["name"] == name.as_str());
        let there = "select exists (select from pg_class where relnamespace = current_schema()::regnamespace and left(relname, 50) = left($1, 50))";
        let there: bool = client.query_one(there, &[&name]).expect("look").get(0);
        assert!(record || there, "the {kind} {name:?} is neither there nor told: {told}{ran:?}");
    }
}
