//! A Patroni cluster under load: the stream follows it, backups come from its replicas, and members and clusters are made of
//! them.

mod cluster;

use super::lab::verified;
use super::pair::gaps;
use cluster::PatroniCluster;
use postgres::{Client, NoTls};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use testkit::{Dice, Pg, Ran, ended, rounds, seed, until};

/// Writes rows through whichever member is the leader, until it ends: those whose commit was acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<i32>>,
}

impl Load {
    fn start(cluster: &PatroniCluster) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, to) =
            (Arc::clone(&stop), format!("{} target_session_attrs=read-write", cluster.conninfo()));
        let thread = std::thread::spawn(move || {
            let (mut acknowledged, mut client) = (BTreeSet::new(), None);
            let mut numbers = 1..;
            while !ended.load(Ordering::SeqCst) {
                let number: i32 = numbers.next().expect("more");
                client = client.or_else(|| Client::connect(&to, NoTls).ok());
                match client.as_mut().map(|c| write_row(c, number)) {
                    Some(Ok(())) => drop(acknowledged.insert(number)),
                    // Whether it was committed is not known: the number is not used again.
                    Some(Err(_)) => client = None,
                    None => {}
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            acknowledged
        });
        Load { stop, thread }
    }

    fn end(self) -> BTreeSet<i32> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the load ends")
    }
}

fn write_row(client: &mut Client, number: i32) -> Result<(), postgres::Error> {
    client.execute("insert into ledger values ($1)", &[&number])?;
    if number % 20 == 0 {
        let more = "insert into filler select repeat(md5(n::text), 50) from generate_series(1, 300) n";
        client.batch_execute(more)?;
    }
    if number % 150 == 0 {
        client.batch_execute("checkpoint; select pg_switch_wal()")?;
    }
    Ok(())
}

/// The cluster, and the stream from it.
struct Site {
    cluster: PatroniCluster,
    stream: Child,
}

impl Site {
    fn start(major: u32) -> Site {
        let mut cluster = PatroniCluster::new(major);
        cluster.start(false);
        cluster.psql("create table ledger (n int); create table filler (t text)");
        let log = fs::File::create(cluster.path("stream.log")).expect("a log");
        let mut stream = cluster.tool("wal-shipper");
        stream.args(["stream", "-v", "--interval", "200ms"]).stdout(Stdio::null()).stderr(log);
        let stream = stream.spawn().expect("start it");
        Site { cluster, stream }
    }

    fn run(&self, tool: &str, args: &[&str]) -> Ran {
        let mut command = self.cluster.tool(tool);
        ended(command.args(args).spawn().expect("start it"))
    }

    /// Waits until the repository has what the leader has written.
    fn wait_until_stored(&self) {
        let at = self.cluster.psql("select pg_current_wal_lsn()");
        let sql = format!(
            "select coalesce(bool_or(restart_lsn >= '{at}'), false), max(restart_lsn) from pg_replication_slots \
             where active and slot_name = 'toban'"
        );
        until("the stream has it", Duration::from_secs(60), || match self.cluster.psql(&sql) {
            state if state.starts_with('t') => Ok(()),
            state => Err(format!("{state}\n{}", self.stream_log())),
        });
    }

    fn stream_log(&self) -> String {
        let log = fs::read_to_string(self.cluster.path("stream.log")).unwrap_or_default();
        log.lines().rev().take(15).collect::<Vec<_>>().join("\n")
    }

    /// A backup of a replica; its ID.
    fn back_up(&self) -> String {
        let to = format!("{} target_session_attrs=prefer-standby", self.cluster.conninfo());
        let taken = self.run("pg-backup", &["run", "--remote", "--json", "--db", &to]).json().remove(0);
        let id = taken["id"].as_str().expect("an id").to_string();
        let listed = self.run("pg-backup", &["list", "--json"]).json();
        let ours = listed.iter().find(|b| b["id"] == id.as_str()).expect("it is listed");
        assert_eq!(ours["standby"], true, "{ours}");
        id
    }

    /// What happens to the leader: one of the first `kinds`.
    fn change_leader(&mut self, kinds: usize, dice: &mut Dice) {
        let leader = self.cluster.wait_until_healthy();
        let what = dice.index(kinds);
        eprintln!("n{leader}: {}", ["switched over", "its server crashes", "its machine is gone"][what]);
        match what {
            // That another led already when it was asked is seen below.
            0 => {
                let name = format!("n{leader}");
                let said = self.cluster.try_patronictl(&["switchover", "demo", "--leader", &name, "--force"]);
                said.unwrap_or_else(|said| eprintln!("{said}"));
            }
            1 => self.cluster.crash(leader),
            _ => self.cluster.lose(leader),
        }
        until("another leads", Duration::from_secs(90), || {
            let lines = self.cluster.last_lines();
            let members = self.cluster.members();
            if members.iter().any(|m| m.number != leader && m.leads()) { Ok(()) } else { Err(lines) }
        });
        if what == 2 {
            self.cluster.start_member(leader);
        }
        self.cluster.wait_until_healthy();
    }

    /// A replica is made anew from the repository: another one where a busy machine changes the leader meanwhile.
    fn reinit(&self, dice: &mut Dice) {
        until("a replica is made anew", Duration::from_secs(180), || {
            let leader = self.cluster.wait_until_healthy();
            let number = [1, 2, 3].into_iter().filter(|n| *n != leader).nth(dice.index(2)).expect("two");
            eprintln!("n{number}: made anew");
            let made = || self.cluster.log(number).matches("replica has been created using toban").count();
            let before = made();
            self.cluster.try_patronictl(&["reinit", "demo", &format!("n{number}"), "--force", "--wait"])?;
            // Not at once: Patroni begins again where a file went while it removed the folder, as one does that is fetched ahead.
            until("it is made of the repository", Duration::from_secs(60), || {
                if made() > before { Ok(()) } else { Err(self.cluster.log(number)) }
            });
            Ok(())
        });
        self.cluster.wait_until_healthy();
    }

    /// Every backup that is kept leads to every row that was acknowledged.
    fn restore_each(&self, acknowledged: &BTreeSet<i32>) {
        for (n, backup) in self.run("pg-backup", &["list", "--json"]).json().iter().enumerate() {
            let target = self.cluster.path(&format!("restored{n}"));
            let (id, to) = (backup["id"].as_str().expect("an id"), target.display().to_string());
            let restore = ["restore", id, "--json", "--target", "latest", "--pgdata", &to];
            self.run("pg-backup", &restore).json();
            let pg = Pg::promoted(self.cluster.major, &target);
            lacks_none(&pg.psql("postgres", "select n from ledger"), acknowledged, id);
            drop(pg);
            fs::remove_dir_all(target).expect("make room");
        }
    }

    fn assert_no_gap(&self) {
        let listed: Vec<Value> = self.run("wal-shipper", &["list", "--json"]).json();
        assert!(gaps(&listed).is_empty(), "{:?}\n{}", gaps(&listed), self.stream_log());
        // The first server of the connection string may be a standby, which does not tell; and a server writes now and then.
        until("nothing would be lost", Duration::from_secs(60), || {
            let status = self.run("pg-backup", &["status", "--json"]).records().remove(0);
            if status["loss_seconds"] == 0 { Ok(()) } else { Err(status.to_string()) }
        });
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.stream.kill();
        let _ = self.stream.wait();
    }
}

#[track_caller]
fn lacks_none(rows: &str, acknowledged: &BTreeSet<i32>, of: &str) {
    let there: BTreeSet<i32> = rows.lines().map(|n| n.parse().expect("a number")).collect();
    let lost: Vec<&i32> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "{of}: {} of {} rows are lost: {lost:?}", lost.len(), acknowledged.len());
}

fn play_cluster(major: u32, events: usize, dice: &mut Dice) {
    eprintln!("PostgreSQL {major}, {events} times another leader");
    let mut site = Site::start(major);
    let load = Load::start(&site.cluster);
    site.back_up();
    // Patroni takes 20 s to believe that a machine is gone.
    let kinds = if events == 1 { 2 } else { 3 };
    for _ in 0..events {
        site.change_leader(kinds, dice);
        site.reinit(dice);
        site.back_up();
    }
    let acknowledged = load.end();
    site.wait_until_stored();
    lacks_none(&site.cluster.psql("select n from ledger"), &acknowledged, "the cluster");
    site.assert_no_gap();
    site.restore_each(&acknowledged);
    // All of them are gone: the next cluster is made of the repository, and is the same system on a new timeline.
    site.cluster.destroy();
    site.cluster.start(true);
    lacks_none(&site.cluster.psql("select n from ledger"), &acknowledged, "the new cluster");
    site.cluster.psql("insert into ledger values (-1)");
    site.wait_until_stored();
    site.assert_no_gap();
    let id = site.back_up();
    let target = site.cluster.path("last");
    site.run("pg-backup", &["restore", &id, "--json", "--pgdata", &target.display().to_string()]).ended(0);
    verified(&Pg::builder_major(major).start(), &target);
}

#[test]
fn random_failovers_lose_nothing() {
    let (events, mut dice) = (rounds(1), Dice::new(seed()));
    let majors = if events < 20 { vec![15] } else { vec![15, 18] };
    majors.into_iter().for_each(|major| play_cluster(major, events, &mut dice));
}
