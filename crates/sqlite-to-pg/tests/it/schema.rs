//! Random SQLite schemas: odd names, types, defaults, checks, keys, indexes, views, and values of every class.

use rusqlite::Connection;
use testkit::Dice;

const NAMES: [&str; 36] = [
    "id",
    "a",
    "b",
    "Name",
    "user id",
    "select",
    "order",
    "xmin",
    "ctid",
    "oid",
    "rowid",
    "é",
    "日本",
    "q\"q",
    "it's",
    "",
    " ",
    "1st",
    "a.b",
    "UPPER",
    "camelCase",
    "created_at",
    "is_ok",
    "table",
    "primary",
    "null",
    "_",
    "x%y",
    "$1",
    "tab\tx",
    "a-b",
    "user",
    "end",
    "values",
    "a_very_long_name_that_is_longer_than_the_sixty_three_bytes_that_postgresql_keeps",
    "a_very_long_name_that_is_longer_than_the_sixty_three_bytes_that_postgresql_keeps_2",
];

const TYPES: [&str; 44] = [
    "",
    "int",
    "integer",
    "INTEGER",
    "bigint",
    "tinyint(1)",
    "mediumint",
    "UNSIGNED BIG INT",
    "text",
    "TEXT",
    "varchar(5)",
    "char(1)",
    "clob",
    "blob",
    "binary(16)",
    "real",
    "double precision",
    "float",
    "numeric",
    "decimal(10,2)",
    "decimal(3)",
    "boolean",
    "bool",
    "date",
    "datetime",
    "timestamp",
    "time",
    "json",
    "jsonb",
    "uuid",
    "guid",
    "money",
    "any",
    "point",
    "text[]",
    "\"(10,2)\"",
    "\"int's\"",
    "INTEGER_OR_TEXT",
    "string",
    "interval",
    "bit(3)",
    "year",
    "enum",
    "xml",
];

const VALUES: [&str; 58] = [
    "null",
    "null",
    "0",
    "1",
    "-1",
    "2",
    "42",
    "9223372036854775807",
    "-9223372036854775808",
    "9007199254740993",
    "1704164645",
    "1704164645000",
    "0.0",
    "-0.0",
    "1.5",
    "0.1",
    "1e300",
    "5e-324",
    "9e999",
    "-9e999",
    "100.005",
    "9007199254740993.0",
    "''",
    "'a'",
    "'A'",
    "'é'",
    "'😀'",
    "'it''s'",
    "' x '",
    "'12'",
    "'1.50'",
    "'abc'",
    "'true'",
    "'f'",
    "'yes'",
    "'2024-01-02'",
    "'2024-02-30'",
    "'2024-01-02 03:04:05.678 +00:00'",
    "'2024-01-02T03:04:05.123456789Z'",
    "'10:20:30'",
    "'0000-00-00'",
    "'now'",
    "'{\"a\":1}'",
    "'{\"a\":1,\"a\":2}'",
    "'[1,'",
    "'00112233-4455-6677-8899-aabbccddeeff'",
    "'\\x00'",
    "'\\N'",
    "'a' || char(0) || 'b'",
    "cast(x'c328' as text)",
    "cast(x'80' as text)",
    "x''",
    "x'00'",
    "x'00112233445566778899aabbccddeeff'",
    "x'616263'",
    "printf('%.*c', 3000, 'y')",
    "char(9) || char(10) || char(13)",
    "randomblob(40)",
];

const DEFAULTS: [&str; 22] = [
    "5",
    "-5",
    "+3",
    "1.5",
    "'x'",
    "\"dq\"",
    "''",
    "null",
    "true",
    "x'ab'",
    "current_timestamp",
    "CURRENT_DATE",
    "(1 + 2)",
    "(random())",
    "(datetime('now'))",
    "(strftime('%s', 'now'))",
    "(lower(hex(randomblob(16))))",
    "(unixepoch())",
    "0x10",
    "1e999",
    "(abs(-5))",
    "'2024-02-30'",
];

/// `@` is the column.
const CHECKS: [&str; 16] = [
    "@ > 0",
    "@ is not null",
    "length(@) < 100",
    "@ in ('a', 'b', 1)",
    "typeof(@) = 'integer'",
    "@ glob 'a*'",
    "@ like 'a%' or @ is null",
    "@ between 1 and 5",
    "@ <> ''",
    "json_valid(@)",
    "@",
    "not @",
    "@ = lower(@)",
    "coalesce(@, 0) >= 0",
    "case when @ then 1 else 0 end",
    "abs(@) < 1e9",
];

const EXPRESSIONS: [&str; 12] = [
    "lower(@)",
    "@ + 1",
    "@ || 'x'",
    "abs(@)",
    "substr(@, 1, 3)",
    "length(@)",
    "coalesce(@, 0)",
    "typeof(@)",
    "@ is null",
    "hex(@)",
    "@ * 1000000",
    "upper(trim(@))",
];

/// A random database in `db`; statements that SQLite itself does not take are left out.
pub(crate) fn make(db: &Connection, dice: &mut Dice) {
    db.execute_batch("pragma foreign_keys = off; pragma ignore_check_constraints = on").expect("set up");
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for _ in 0..1 + dice.below(4) {
        if let Some(made) = table(db, dice, &tables) {
            fill(db, dice, &made);
            tables.push(made);
        }
    }
    for _ in 0..dice.below(5) {
        let Some((name, columns)) = tables.get(dice.index(tables.len().max(1))) else { return };
        index(db, dice, name, columns);
    }
    for n in 0..dice.below(4) {
        let Some((name, columns)) = tables.get(dice.index(tables.len().max(1))) else { return };
        view(db, dice, (name, columns), n);
    }
}

fn pick<'a>(dice: &mut Dice, of: &[&'a str]) -> &'a str {
    of[dice.index(of.len())]
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn chance(dice: &mut Dice, percent: u64) -> bool {
    dice.below(100) < percent
}

fn table(
    db: &Connection,
    dice: &mut Dice,
    others: &[(String, Vec<String>)],
) -> Option<(String, Vec<String>)> {
    let name = pick(dice, &NAMES).to_string();
    let mut names: Vec<String> = Vec::new();
    for _ in 0..1 + dice.below(7) {
        let column = pick(dice, &NAMES);
        if !names.iter().any(|n| n.eq_ignore_ascii_case(column)) {
            names.push(column.into());
        }
    }
    let key = dice.below(6);
    let mut parts: Vec<String> = (0..names.len()).map(|at| column(dice, &names, at, key, others)).collect();
    if key == 4 {
        let reversed: Vec<String> = names.iter().rev().take(2).map(|n| quoted(n)).collect();
        parts.push(format!("primary key ({})", reversed.join(", ")));
    }
    if chance(dice, 20) {
        let own = quoted(&names[dice.index(names.len())]);
        parts.push(format!(
            "constraint {} check ({})",
            quoted(pick(dice, &NAMES)),
            pick(dice, &CHECKS).replace('@', &own)
        ));
    }
    let end = if (3..=4).contains(&key) && chance(dice, 30) { " without rowid" } else { "" };
    let sql = format!("create table {} ({}){end}", quoted(&name), parts.join(", "));
    db.execute_batch(&sql).ok().map(|()| (name, names))
}

fn column(
    dice: &mut Dice,
    names: &[String],
    at: usize,
    key: u64,
    others: &[(String, Vec<String>)],
) -> String {
    let own = quoted(&names[at]);
    let mut sql = match (at, key) {
        (0, 1) => return format!("{own} integer primary key"),
        (0, 2) => return format!("{own} integer primary key autoincrement"),
        (0, 3) => format!("{own} {} primary key", pick(dice, &TYPES)),
        _ => format!("{own} {}", pick(dice, &TYPES)),
    };
    if at > 0 && chance(dice, 8) {
        let from = quoted(&names[0]);
        let kind = if chance(dice, 50) { "stored" } else { "virtual" };
        return format!("{sql} as ({}) {kind}", pick(dice, &EXPRESSIONS).replace('@', &from));
    }
    if chance(dice, 10) {
        sql += pick(dice, &[" collate nocase", " collate rtrim", " collate binary"]);
    }
    if chance(dice, 25) {
        sql += &format!(" default {}", pick(dice, &DEFAULTS));
    }
    if chance(dice, 15) {
        sql += " not null";
    }
    if chance(dice, 10) {
        sql += " unique";
    }
    if chance(dice, 20) {
        sql += &format!(" check ({})", pick(dice, &CHECKS).replace('@', &own));
    }
    if chance(dice, 20) && !others.is_empty() {
        let (parent, columns) = &others[dice.index(others.len())];
        let to = if chance(dice, 50) { format!(" ({})", quoted(&columns[0])) } else { String::new() };
        sql += &format!(
            " references {}{to}{}",
            quoted(parent),
            pick(dice, &["", " on delete cascade", " deferrable initially deferred"])
        );
    }
    sql
}

/// Mostly values of one kind, as people have them, and now and then anything.
fn fill(db: &Connection, dice: &mut Dice, (name, columns): &(String, Vec<String>)) {
    let usual: Vec<&str> = columns.iter().map(|_| pick(dice, &VALUES)).collect();
    for _ in 0..dice.below(30) {
        let values: Vec<&str> =
            usual.iter().map(|one| if chance(dice, 60) { *one } else { pick(dice, &VALUES) }).collect();
        let list: Vec<String> = columns.iter().map(|c| quoted(c)).collect();
        let whole =
            format!("insert into {} ({}) values ({})", quoted(name), list.join(", "), values.join(", "));
        if db.execute_batch(&whole).is_err() {
            // A generated column takes no value, an integer key no text: the first alone, or nothing but defaults.
            let _ = db
                .execute_batch(&format!("insert into {} ({}) values ({})", quoted(name), list[0], values[0]))
                .or_else(|_| db.execute_batch(&format!("insert into {} default values", quoted(name))));
        }
    }
}

fn index(db: &Connection, dice: &mut Dice, table: &str, columns: &[String]) {
    let mut parts = Vec::new();
    for _ in 0..1 + dice.below(3) {
        let own = quoted(&columns[dice.index(columns.len())]);
        let part = if chance(dice, 25) { pick(dice, &EXPRESSIONS).replace('@', &own) } else { own };
        parts.push(part + pick(dice, &["", "", " desc", " collate nocase", " collate rtrim desc"]));
    }
    let own = quoted(&columns[dice.index(columns.len())]);
    let unique = if chance(dice, 25) { "unique " } else { "" };
    let part = if chance(dice, 25) {
        format!(" where {}", pick(dice, &CHECKS).replace('@', &own))
    } else {
        String::new()
    };
    let name = quoted(&format!("{}_{}", pick(dice, &NAMES), dice.below(1000)));
    let _ = db.execute_batch(&format!(
        "create {unique}index {name} on {} ({}){part}",
        quoted(table),
        parts.join(", ")
    ));
}

fn view(db: &Connection, dice: &mut Dice, (table, columns): (&str, &[String]), n: u64) {
    let own = quoted(&columns[dice.index(columns.len())]);
    let e = pick(dice, &EXPRESSIONS).replace('@', &own);
    let test = pick(dice, &CHECKS).replace('@', &own);
    let from = quoted(table);
    let sql = match dice.below(6) {
        0 => format!("select * from {from}"),
        1 => format!("select {own}, {e} as e from {from} where {test}"),
        2 => format!("select {own}, count(*) from {from} group by {own} order by 2"),
        3 => format!("select max({own}), min({own}), count(distinct {own}) from {from}"),
        4 => format!("select a.{own} from {from} a left join {from} b on a.{own} = b.{own}"),
        _ => format!("select {e} from {from} union select {own} from {from}"),
    };
    let name = quoted(&format!("{} {n}", pick(dice, &NAMES)));
    let _ = db.execute_batch(&format!("create view {name} as {sql}"));
}
