//! Faults in what a foreign command restores, as plain files: each is found and named, and no other place is touched.

use crate::world::{World, found};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::pg::clean;

/// A world with a base backup in `base`, made by PostgreSQL's own program, with the tablespace `outer` in `spc`.
struct Lab {
    world: World,
    /// Below the data directory: the file of the table `ledger`, and that of its index.
    heap: String,
    index: String,
}

fn lab() -> Lab {
    let world = World::new(15);
    let space = world.folder("live-space");
    let sql = format!("create tablespace outer_space location '{}'", space.display());
    world.pg.psql("postgres", &sql);
    world.pg.psql("postgres", "create table far tablespace outer_space as select generate_series(1, 1000) n");
    let file = |name: &str| world.pg.psql("postgres", &format!("select pg_relation_filepath('{name}')"));
    let (heap, index) = (file("ledger"), file("ledger_t_idx"));
    let mut base = clean(&world.pg.bin("pg_basebackup"));
    base.args(["-X", "fetch", "-c", "fast", "--no-sync", "-d", &world.pg.url(), "-D"])
        .arg(world.path("base"));
    base.arg("-T").arg(format!("{}={}", space.display(), world.text("spc")));
    assert!(base.status().expect("run pg_basebackup").success());
    let mut chown = Command::new("chown");
    chown.arg("-R").arg("--reference").arg(world.pg.data_dir());
    chown.arg(world.path("base")).arg(world.path("spc"));
    assert!(chown.status().expect("run chown").success());
    Lab { world, heap, index }
}

impl Lab {
    /// A drill whose command copies the base backup, puts the tablespace beside it, and then does `fault`.
    fn drill(&self, fault: &str) -> testkit::Ran {
        let script = format!(
            "set -e\ncp -a {0}/. \"$PGDATA\"\nmkdir -p \"$TOBAN_DRILL_DIR/tablespaces\"\n\
             cp -a {1} \"$TOBAN_DRILL_DIR/tablespaces/far\"\n\
             for link in \"$PGDATA\"/pg_tblspc/*; do ln -sfn \"$TOBAN_DRILL_DIR/tablespaces/far\" $link\n\
             echo \"$(basename $link) $TOBAN_DRILL_DIR/tablespaces/far\" > \"$PGDATA/tablespace_map\"; done\n\
             cd \"$PGDATA\"\n{fault}\n",
            self.world.text("base"),
            self.world.text("spc"),
        );
        let script = self.world.write("copy.sh", &script);
        self.world.drill(&["--json", "--db", &self.world.pg.url(), "--", "sh", &script, "{dir}"])
    }
}

#[test]
fn each_is_named() {
    let lab = lab();
    let (heap, index) = (&lab.heap, &lab.index);
    let overwrite = |file: &str, at: u32| {
        format!("printf 'XXXXXXXX' | dd of={file} bs=1 seek={at} conv=notrunc status=none")
    };
    let live = lab.world.text("live-space");
    let faults: &[(String, &str)] = &[
        (String::new(), ""),
        (overwrite(heap, 8192 * 3 + 4000), "ledger"),
        (overwrite(index, 8192 * 2 + 4000), "ledger_t_idx"),
        (format!("truncate -s 16384 {heap}"), "table public.ledger of database postgres has"),
        (format!("rm {heap}"), "could not open file"),
        ("rm global/pg_control".into(), "there is no global/pg_control"),
        (overwrite("global/pg_control", 100), "pg_control is damaged"),
        ("rm PG_VERSION".into(), "no PG_VERSION"),
        ("rm pg_wal/0*".into(), "could not locate required checkpoint record"),
        ("rm -r \"$TOBAN_DRILL_DIR/tablespaces/far\"".into(), "which was not restored"),
        ("rm -r \"$TOBAN_DRILL_DIR\"/tablespaces/far/PG_*/*".into(), "could not open file"),
        (
            format!("for l in pg_tblspc/*; do ln -sfn {live} $l; done; rm tablespace_map"),
            "outside of the drill",
        ),
        (format!("echo \"$(ls pg_tblspc) {live}\" > tablespace_map"), "outside of the drill"),
        (format!("mv pg_wal {0} && ln -s {0} pg_wal", lab.world.text("wal-elsewhere")), "pg_wal leads to"),
        (format!("ln -f {}/PG_VERSION {heap}_vm", lab.world.text("base")), "is a hard link"),
        ("rm -r pg_xact".into(), "pg_xact"),
        ("echo \"include_dir 'conf.d'\" >> postgresql.conf".into(), "could not open configuration directory"),
        ("echo 'nonsense = on' >> postgresql.conf".into(), "no server starts with what was restored"),
        ("exit 3".into(), "sh ended with exit status: 3"),
        ("rm -r \"$PGDATA\"/*".into(), "no PG_VERSION"),
    ];
    lab.world.folder("repo");
    let before = listing(&lab.world.path("live-space"));
    for (fault, words) in faults {
        let _ = fs::remove_dir_all(lab.world.path("wal-elsewhere"));
        // The parent of wal-elsewhere belongs to us: the command may make it only where it may write.
        let fault = fault.replace(&lab.world.text("wal-elsewhere"), &lab.world.text("repo/wal-elsewhere"));
        let _ = fs::remove_dir_all(lab.world.path("repo/wal-elsewhere"));
        let ran = lab.drill(&fault);
        match words.is_empty() {
            true => assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr),
            false => found(&ran, 4, words),
        }
        eprintln!("{words:?}: {}", ran.stderr.trim());
    }
    assert_eq!(listing(&lab.world.path("live-space")), before, "the live tablespace was touched");
    assert_eq!(lab.world.pg.psql("postgres", "select count(*) from far"), "1000");
}

/// Names, sizes and times of everything below.
fn listing(dir: &Path) -> String {
    let done = Command::new("find").arg(dir).args(["-printf", "%P %s %T@ %m\n"]).output().expect("run find");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// The WAL behind a backup makes a tablespace: replayed as it stands, it would write into the live one.
#[test]
fn a_tablespace_that_the_wal_makes_stays_untouched() {
    let world = World::new(15);
    world.back_up();
    let space = world.folder("late-space");
    world.pg.psql("postgres", &format!("create tablespace late location '{}'", space.display()));
    world.pg.psql(
        "postgres",
        "create table far tablespace late as select generate_series(1, 1000) n; checkpoint",
    );
    world.ship();
    let before = listing(&space);
    let ran = world.usual(&[]);
    found(&ran, 4, "could not create symbolic link");
    assert_eq!(listing(&space), before, "the live tablespace was touched");
    // Our own restore knows of it, and puts it into the drill.
    let ran = world.drill(&["--json", "--repo", &world.text("repo"), "--db", &world.pg.url()]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(listing(&space), before, "the live tablespace was touched");
    world.back_up();
    assert_eq!(ours(&world).status, Some(0), "the next backup has it");
}

/// Our own restore, with the tablespaces of the newest backup put into the drill.
fn ours(world: &World) -> testkit::Ran {
    let space = world.text("late-space");
    let script = format!(
        "exec {} restore -D \"$PGDATA\" --repo {} -T {space}=\"$TOBAN_DRILL_DIR/tablespaces/late\"",
        world.text("bin/pg-backup"),
        world.text("repo")
    );
    let script = world.write("ours.sh", &script);
    world.drill(&["--json", "--db", &world.pg.url(), "--", "sh", &script, "{dir}"])
}

#[test]
fn rows_and_tables_that_the_backup_lacks() {
    let mut world = World::new(15);
    world.pg.stop();
    let (data, cold): (PathBuf, _) = (world.pg.data_dir().into(), world.text("cold.tar"));
    let packed = Command::new("tar").args(["-cf", &cold, "-C"]).arg(&data).arg(".").status();
    assert!(packed.expect("run tar").success());
    world.pg.restart();
    let alter = |world: &World, sql: &str| {
        let script = format!(
            "set -e\ntar -xf {cold} -C \"$PGDATA\"\necho \"{sql}\" | {} --single -D \"$PGDATA\" postgres > /dev/null\n",
            world.pg.bin("postgres").display()
        );
        let script = world.write("alter.sh", &script);
        world.drill(&["--json", "--db", &world.pg.url(), "--", "sh", &script, "{dir}"])
    };
    assert_eq!(alter(&world, "select 1").status, Some(0), "a cold copy passes");
    found(
        &alter(&world, "delete from ledger where n = 77"),
        4,
        "table public.ledger of database postgres has 19999 of 20000 rows",
    );
    found(&alter(&world, "drop table ledger cascade"), 4, "are missing: ");
    found(&alter(&world, "drop index ledger_t_idx"), 4, "index public.ledger_t_idx of database postgres");
}
