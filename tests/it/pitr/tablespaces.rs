//! Tablespaces that the WAL behind a backup creates: a server restored beside the live one never writes into its places.

use super::lab::Lab;
use std::fs;
use std::path::Path;
use std::process::Command;
use testkit::{Dice, Pg, majors, rounds, seed};

/// The live server when it has written all that it has to write.
fn settled(lab: &Lab) -> String {
    lab.pg.psql("postgres", "checkpoint");
    live(lab)
}

/// The live server's places and data, as sums: what a restored server must not change.
fn live(lab: &Lab) -> String {
    let script = "cd \"$1\" && find base global pg_xact pg_tblspc -type f -exec sha256sum {} + | sort -k2; \
                  find -L \"$1/pg_tblspc\" \"$2\" -printf '%p %y %m\\n' | sort; \
                  find -L \"$2\" -type f -exec sha256sum {} + | sort -k2";
    let spaces = lab.folder("spaces");
    let mut sh = Command::new("sh");
    let done = sh.args(["-c", script, "sh"]).arg(lab.pg.data_dir()).arg(spaces).output().expect("run find");
    assert!(done.status.success(), "{done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Nothing of the live server differs from `before`.
#[track_caller]
fn untouched(lab: &Lab, before: &str, what: &str) {
    let now = live(lab);
    let differ: Vec<_> = now.lines().filter(|l| !before.lines().any(|b| b == *l)).collect();
    assert!(now == before, "{what}: the live server's files changed: {differ:?}");
}

/// Makes the tablespace `name` in the place `name`, or in `place`, with a table in it.
fn create(lab: &Lab, name: &str, place: &str) -> String {
    let place = lab.folder(&format!("spaces/{place}")).display().to_string();
    lab.pg.psql("postgres", &format!("create tablespace {name} location '{place}'"));
    let sql = format!("create table in_{name} tablespace {name} as select n from generate_series(1, 500) n");
    lab.pg.psql("postgres", &sql);
    place
}

fn remove(lab: &Lab, name: &str) {
    lab.pg.psql("postgres", &format!("drop table in_{name}"));
    lab.pg.psql("postgres", &format!("drop tablespace {name}"));
}

/// A restored server that writes wherever it can: what it has, and what it adds.
fn writes(pg: &Pg) -> String {
    let tables = "select string_agg(relname, ' ' order by relname) from pg_class where relname ~ '^in_'";
    let tables = pg.psql("postgres", tables);
    for table in tables.split_whitespace() {
        pg.psql(
            "postgres",
            &format!("update {table} set n = -n; insert into {table} select generate_series(1, 3000)"),
        );
    }
    pg.psql("postgres", "checkpoint");
    tables
}

#[test]
fn that_come_after_the_backup_are_refused_or_put_elsewhere() {
    for major in majors() {
        eprintln!("PostgreSQL {major}");
        let lab = Lab::new(major);
        fs::create_dir(lab.path("spaces")).expect("make a folder");
        create(&lab, "early", "early");
        lab.back_up();
        lab.row();
        let before = lab.row();
        let late = create(&lab, "late", "late");
        // The same place under another OID, and one that comes and goes.
        create(&lab, "gone", "gone");
        remove(&lab, "gone");
        create(&lab, "again", "gone");
        lab.pg.psql("postgres", "set allow_in_place_tablespaces = on; create tablespace inside location ''");
        let last = lab.row();
        lab.pg.ship_wal();
        let live_before = settled(&lab);
        let dir = lab.folder("moved").display().to_string();
        let early = format!("{}={dir}/early", lab.path("spaces/early").display());

        for args in [
            &["--target", "latest"][..],
            &["--target-time", &last.time],
            &["--target", "latest", "--dry-run"],
        ] {
            let args = [args, &["-T", &early]].concat();
            let said =
                lab.restoring("refused", &args).refused(1, "the WAL up to the target creates tablespace");
            assert!(said.contains(&late) && said.contains("--tablespace-dir"), "{said}");
            assert!(
                !lab.path("refused").exists() && !lab.path("moved/early").exists(),
                "something was written"
            );
        }
        // Before it was made it is in nobody's way.
        let (target, _) = lab.restore("before", &["--target-lsn", &before.lsn, "-T", &early]);
        drop(Pg::promoted(major, &target));
        untouched(&lab, &live_before, "before");
        fs::remove_dir_all(lab.path("moved")).expect("make room");
        lab.folder("moved");

        let map = |name: &str| format!("{}={dir}/{name}", lab.path("spaces").join(name).display());
        let (late_map, gone_map) = (map("late"), map("gone"));
        let all: [(&str, Vec<&str>); 2] = [
            ("mapped", vec!["-T", &early, "-T", &late_map, "-T", &gone_map]),
            ("below", vec!["--tablespace-dir", &dir]),
        ];
        for (name, more) in all {
            let (target, _) = lab.restore(name, &[&["--target", "latest"][..], &more].concat());
            let pg = Pg::promoted(major, &target);
            assert_eq!(writes(&pg), "in_again in_early in_late", "{name}");
            let places = "select string_agg(pg_tablespace_location(oid), ' ') from pg_tablespace where spcname <> 'inside'";
            for place in pg.psql("postgres", places).split_whitespace() {
                assert!(place.starts_with(&dir), "{name}: {place}");
            }
            untouched(&lab, &live_before, name);
            drop(pg);
            fs::remove_dir_all(lab.path("moved")).expect("make room");
            lab.folder("moved");
        }
    }
}

/// One server, whose tablespaces come and go at random; each round restores it beside itself, to a random moment.
#[test]
fn random_histories_leave_the_live_server_alone() {
    let lab = Lab::new(15);
    fs::create_dir(lab.path("spaces")).expect("make a folder");
    lab.pg.psql("postgres", "alter system set autovacuum = off");
    lab.pg.psql("postgres", "select pg_reload_conf()");
    let mut dice = Dice::new(seed());
    let mut history = History { lab: &lab, there: Vec::new(), made: 0, moments: Vec::new() };
    lab.back_up();
    for round in 0..rounds(10) {
        for _ in 0..4 + dice.below(8) {
            history.step(&mut dice);
        }
        history.moment();
        lab.pg.ship_wal();
        history.restored(round, &mut dice);
    }
}

struct History<'a> {
    lab: &'a Lab,
    /// Names of the tablespaces that there are, and of their places.
    there: Vec<(String, String)>,
    made: usize,
    /// Positions since the newest backup, and the tables that there were then.
    moments: Vec<(String, String)>,
}

impl History<'_> {
    fn step(&mut self, dice: &mut Dice) {
        match dice.below(10) {
            0..=3 => {
                let free: Vec<String> = (0..4).map(|n| format!("place{n}")).collect();
                let mut free = free.into_iter().filter(|p| self.there.iter().all(|(_, used)| used != p));
                let Some(place) = free.next() else { return };
                self.made += 1;
                let name = format!("s{}", self.made);
                create(self.lab, &name, &place);
                self.there.push((name, place));
            }
            4..=5 if !self.there.is_empty() => {
                let (name, _) = self.there.swap_remove(dice.index(self.there.len()));
                remove(self.lab, &name);
            }
            6 if !self.there.is_empty() => {
                let (name, _) = &self.there[dice.index(self.there.len())];
                let sql = format!(
                    "alter table in_{name} set tablespace pg_default; alter table in_{name} set tablespace {name}"
                );
                self.lab.pg.psql("postgres", &sql);
            }
            7 => self.moment(),
            8 => _ = self.lab.pg.ship_wal(),
            9 if dice.below(3) == 0 => {
                self.lab.back_up();
                self.moments.clear();
                self.moment();
            }
            _ => _ = self.lab.row(),
        }
    }

    fn moment(&mut self) {
        let sql = "select pg_logical_emit_message(false, 'toban', 'a moment'); select pg_current_wal_insert_lsn(); \
                   select coalesce(string_agg(relname, ' ' order by relname), '') from pg_class where relname ~ '^in_'; \
                   create table if not exists beat (n int); insert into beat values (1)";
        let said = self.lab.pg.psql("postgres", sql);
        let lines: Vec<&str> = said.lines().collect();
        self.moments.push((lines[1].into(), lines.get(2).copied().unwrap_or_default().into()));
    }

    fn restored(&self, round: usize, dice: &mut Dice) {
        let (lsn, tables) = &self.moments[dice.index(self.moments.len())];
        let (name, dir) =
            (format!("round{round}"), self.lab.folder(&format!("moved{round}")).display().to_string());
        let before = settled(self.lab);
        let maps: Vec<String> = (0..4)
            .map(|n| format!("{}={dir}/place{n}", self.lab.path(&format!("spaces/place{n}")).display()))
            .collect();
        let elsewhere = dice.below(4);
        let mut args = vec!["--target-lsn", lsn];
        match elsewhere {
            0 | 1 => args.extend(["--tablespace-dir", &dir]),
            2 => args.extend(["--tablespace-dir", &dir, "--delta"]),
            _ => {}
        }
        if elsewhere == 3 {
            let refused = self.lab.restoring(&name, &[&args[..], &["--dry-run"]].concat());
            assert!(refused.status == Some(0) || refused.stderr.contains("is not empty"), "{refused:?}");
            assert!(!self.lab.path(&name).exists(), "something was written");
            // Only what there is can be mapped.
            for map in &maps {
                let with = self.lab.restoring(&name, &[&args[..], &["-T", map, "--dry-run"]].concat());
                if !with.stderr.contains("has a tablespace in") {
                    args.extend(["-T", map]);
                }
            }
        }
        let ran = self.lab.restoring(&name, &args);
        assert_eq!(ran.status, Some(0), "{args:?}: {ran:?}");
        let pg = Pg::promoted(15, &self.lab.path(&name));
        assert_eq!(writes(&pg), *tables, "{args:?}");
        untouched(self.lab, &before, &format!("round {round}, {args:?}"));
        drop(pg);
        for folder in [&self.lab.path(&name), Path::new(&dir)] {
            testkit::until("make room", std::time::Duration::from_secs(30), || {
                fs::remove_dir_all(folder).map_err(|e| e.to_string())
            });
        }
    }
}
