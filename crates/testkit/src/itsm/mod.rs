//! The users' ITSM application as a SQLite file of any size, with known dirt in it.

mod rows;
mod words;

use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::Path;

/// The schema that the application's own migrations make in PostgreSQL.
pub const POSTGRES_SCHEMA: &str = include_str!("postgres.sql");

/// The tables, parents first.
pub const TABLES: [&str; 10] = [
    "users",
    "roles",
    "user_roles",
    "assets",
    "incidents",
    "incident_histories",
    "changes",
    "approvals",
    "comments",
    "notifications",
];

/// What the file shall be like; [`Itsm::write`] makes it so.
#[derive(Clone, Debug)]
pub struct Itsm {
    rows: u64,
    seed: u64,
    dirt: u64,
    sequelize: bool,
}

/// One value that does not fit its column's declaration, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirt {
    /// The table.
    pub table: &'static str,
    /// Its rowid.
    pub row: i64,
    /// The column.
    pub column: &'static str,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What real databases of this kind hold beside what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// The text 'true' or 'false' among 0 and 1.
    BooleanText,
    /// Seconds since 1970 among ISO times.
    EpochSeconds,
    /// Milliseconds since 1970 among ISO times.
    EpochMillis,
    /// A foreign key whose parent is not there.
    Orphan,
    /// Words where a number or a date should be.
    WrongType,
    /// More characters than the column declares.
    TooLong,
    /// An e-mail address that differs from another only in case.
    CaseTwin,
    /// A NUL character inside a text.
    Nul,
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub struct Planted {
    /// Rows of each table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Every dirty value.
    pub dirt: Vec<Dirt>,
}

impl Planted {
    /// The dirty values with this flaw.
    pub fn with(&self, flaw: Flaw) -> impl Iterator<Item = &Dirt> {
        self.dirt.iter().filter(move |d| d.flaw == flaw)
    }
}

impl Itsm {
    /// About `rows` rows over all tables, clean, by seed 1. A million rows are some 200 MB.
    pub fn rows(rows: u64) -> Itsm {
        Itsm { rows, seed: 1, dirt: 0, sequelize: false }
    }

    /// The same seed gives the same file.
    #[must_use]
    pub fn seed(self, seed: u64) -> Itsm {
        Itsm { seed, ..self }
    }

    /// In how many of a thousand places where dirt may lie there is some.
    #[must_use]
    pub fn dirt(self, per_mille: u64) -> Itsm {
        Itsm { dirt: per_mille, ..self }
    }

    /// As Sequelize makes it: its own quoting, no checks, times with milliseconds and offset, its table of migrations.
    #[must_use]
    pub fn sequelize(self) -> Itsm {
        Itsm { sequelize: true, ..self }
    }

    /// Writes the file `path`, which must not be there yet: tables, rows in one transaction, then the indexes.
    ///
    /// # Errors
    /// SQLite's.
    pub fn write(&self, path: &Path) -> rusqlite::Result<Planted> {
        let mut connection = Connection::open(path)?;
        connection.execute_batch(
            "pragma journal_mode = off; pragma synchronous = off; pragma foreign_keys = off",
        )?;
        let schema = if self.sequelize { include_str!("sequelize.sql") } else { include_str!("plain.sql") };
        let statements = schema.split(";\n").map(str::trim).filter(|s| !s.is_empty());
        let is_index = |s: &&str| s.get(..12).is_some_and(|s| s.eq_ignore_ascii_case("create index"));
        let (indexes, tables): (Vec<&str>, Vec<&str>) = statements.partition(is_index);
        let work = connection.transaction()?;
        work.execute_batch(&tables.join(";\n"))?;
        let planted = rows::fill(self, &work)?;
        work.execute_batch(&indexes.join(";\n"))?;
        work.commit()?;
        connection.execute_batch("pragma journal_mode = delete")?;
        Ok(planted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(itsm: &Itsm) -> (Connection, Planted) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("itsm.db");
        let planted = itsm.write(&path).expect("write");
        (Connection::open(path).expect("open"), planted)
    }

    fn number(db: &Connection, sql: &str) -> i64 {
        db.query_row(sql, [], |r| r.get(0)).expect(sql)
    }

    #[test]
    fn clean_rows_are_clean() {
        for itsm in [Itsm::rows(3000), Itsm::rows(3000).sequelize()] {
            let (db, planted) = written(&itsm);
            assert!(planted.dirt.is_empty());
            for table in TABLES {
                let rows = number(&db, &format!("select count(*) from {table}"));
                assert_eq!(u64::try_from(rows), Ok(planted.rows[table]), "{table}");
            }
            let total: u64 = planted.rows.values().sum();
            assert!((2900..3100).contains(&total), "{total}");
            assert_eq!(number(&db, "select count(*) from pragma_foreign_key_check"), 0);
            assert_eq!(number(&db, "select count(*) from sqlite_master where name like 'idx%'"), 4);
        }
    }

    #[test]
    fn every_flaw_lies_where_it_is_said_to() {
        let (db, planted) = written(&Itsm::rows(20_000).dirt(20));
        let orphans: i64 = number(&db, "select count(*) from pragma_foreign_key_check");
        assert_eq!(orphans, i64::try_from(planted.with(Flaw::Orphan).count()).expect("small"));
        for dirt in &planted.dirt {
            let wrong = match dirt.flaw {
                Flaw::BooleanText | Flaw::WrongType => "typeof(X) = 'text'",
                Flaw::EpochSeconds => "typeof(X) = 'integer' and X < 10000000000",
                Flaw::EpochMillis => "typeof(X) = 'integer' and X > 1000000000000",
                Flaw::Orphan => "X > 1000000000",
                Flaw::TooLong => "length(X) > 500",
                Flaw::CaseTwin => "X <> lower(X)",
                Flaw::Nul => "instr(cast(X as blob), x'00') > 0",
            };
            let wrong = wrong.replace('X', dirt.column);
            let sql = format!("select count(*) from {} where rowid = {} and {wrong}", dirt.table, dirt.row);
            assert_eq!(number(&db, &sql), 1, "{dirt:?}");
        }
        let flaws: std::collections::BTreeSet<Flaw> = planted.dirt.iter().map(|d| d.flaw).collect();
        assert_eq!(flaws.len(), 8, "{flaws:?}");
    }

    #[test]
    fn the_seed_decides() {
        let sum = |seed| {
            let (db, _) = written(&Itsm::rows(500).seed(seed).dirt(10));
            number(&db, "select sum(length(body) * id) from comments")
        };
        assert_eq!(sum(7), sum(7));
        assert_ne!(sum(7), sum(8));
    }
}
