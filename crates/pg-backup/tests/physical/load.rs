//! An application that writes, and administrators who change everything, while a backup is taken.

use postgres::{Client, NoTls};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use testkit::Pg;
use testkit::pg::clean;

/// What runs until it is ended.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    ledger: JoinHandle<Vec<(i64, u64)>>,
    ddl: JoinHandle<u32>,
    pgbench: Child,
}

/// What the application knows at the end.
pub(crate) struct Ledger {
    /// Each transaction that was acknowledged, and a position of the WAL behind its commit.
    pub(crate) acknowledged: Vec<(i64, u64)>,
    /// Rounds of changes to the schema.
    pub(crate) rounds: u32,
}

impl Load {
    /// Starts pgbench, a writer of a ledger, and rounds of DDL; `spare` is a folder for a tablespace that comes and
    /// goes, and empty for one inside the data directory.
    pub(crate) fn start(pg: &Pg, spare: &str) -> Load {
        let port = pg.port().to_string();
        let host = pg.socket_dir().display().to_string();
        let bench = |args: &[&str]| {
            let mut c = clean(&pg.bin("pgbench"));
            c.args(["-h", &host, "-p", &port, "-U", "postgres"]).args(args).arg("postgres");
            c.stdout(Stdio::null()).stderr(Stdio::null());
            c
        };
        assert!(bench(&["-i", "-q", "-s", "2"]).status().expect("run pgbench").success());
        pg.psql("postgres", "create table ledger (id bigint primary key, paid text)");
        let stop = Arc::new(AtomicBool::new(false));
        let pgbench = bench(&["-c", "2", "-T", "600"]).spawn().expect("start pgbench");
        let (conninfo, flag) = (pg.conninfo("postgres"), Arc::clone(&stop));
        let ledger = std::thread::spawn(move || write(&conninfo, &flag));
        let (conninfo, flag, spare) = (pg.conninfo("postgres"), Arc::clone(&stop), spare.to_string());
        let strategies = pg.major() >= 15;
        let ddl = std::thread::spawn(move || change(&conninfo, &flag, &spare, strategies));
        Load { stop, ledger, ddl, pgbench }
    }

    /// Ends it all.
    pub(crate) fn end(mut self) -> Ledger {
        self.stop.store(true, Ordering::SeqCst);
        let acknowledged = self.ledger.join().expect("the writer ends well");
        let rounds = self.ddl.join().expect("the schema's changes end well");
        let _ = self.pgbench.kill();
        let _ = self.pgbench.wait();
        Ledger { acknowledged, rounds }
    }
}

fn write(conninfo: &str, stop: &AtomicBool) -> Vec<(i64, u64)> {
    let mut client = Client::connect(conninfo, NoTls).expect("connect");
    let mut acknowledged = Vec::new();
    for id in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        client.execute("insert into ledger values ($1, repeat('x', 200))", &[&id]).expect("pay");
        let sql = "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::text";
        let lsn: String = client.query_one(sql, &[]).expect("ask for the position").get(0);
        acknowledged.push((id, lsn.parse().expect("a number")));
    }
    acknowledged
}

fn change(conninfo: &str, stop: &AtomicBool, spare: &str, strategies: bool) -> u32 {
    let mut client = Client::connect(conninfo, NoTls).expect("connect");
    client.batch_execute("set allow_in_place_tablespaces = on").expect("allow it");
    let mut rounds = 0;
    while !stop.load(Ordering::SeqCst) {
        let strategy = match (strategies, rounds % 2) {
            (false, _) => "",
            (true, 0) => "strategy wal_log",
            (true, _) => "strategy file_copy",
        };
        for sql in [
            "create table if not exists moving as select n, repeat('y', 100) from generate_series(1, 5000) n",
            "create table coming as select * from moving",
            "alter table moving set tablespace one",
            "create unlogged table volatile as select * from moving",
            "create temp table mine as select * from moving",
            "vacuum full moving",
            "truncate coming",
            "alter table moving set tablespace pg_default",
            &format!("create tablespace spare location '{spare}'"),
            "create table there (x integer) tablespace spare",
            &format!("create database side {strategy}"),
            "drop table coming, volatile, mine, there",
            "drop database side",
            "drop tablespace spare",
        ] {
            client.batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        }
        rounds += 1;
    }
    rounds
}
