//! Tablespaces: moved, made while the backup runs, and beside what belongs to others.

use crate::lab::{back_up, fill, folder, lab, restore, serve};
use crate::world::ended;
use std::fs;
use std::time::Duration;

#[test]
fn one_that_is_made_during_the_run_stays_in_its_place() {
    let mut world = lab(15);
    fill(&world, 1000);
    let late = folder(&world, "late").display().to_string();
    let run = world.command(&["run", "--max-rate", "8M"]).spawn().expect("start");
    testkit::until("files are being copied", Duration::from_secs(30), || {
        let temporary = world.path("repo/.tmp");
        // The store's lock and the index, then packs: these come after the start.
        fs::read_dir(temporary).map_err(|e| e.to_string())?.nth(3).map(drop).ok_or("not yet".to_string())
    });
    world.pg.psql("postgres", &format!("create tablespace late location '{late}'"));
    world.pg.psql("postgres", "create table there tablespace late as select * from big");
    ended(run).fine();
    let target = world.path("t").display().to_string();
    let moved = format!("{late}={}", world.path("elsewhere").display());
    let args = ["restore", "--target-dir", &target, "-T", &moved];
    world.run(&args).refused(2, "was made while the backup ran");
    world.run(&args[..3]).refused(1, "of a tablespace is not empty");
    world.pg.stop();
    fs::remove_dir_all(&late).expect("lose the tablespace");
    folder(&world, "late");
    let restored = serve(15, &restore(&world, "t", &[]));
    assert_eq!(restored.psql("postgres", "select count(*) from there"), "1000");
    assert_eq!(
        restored
            .psql("postgres", "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'late'"),
        late
    );
}

#[test]
fn a_delta_restore_spares_what_is_not_ours() {
    let mut world = lab(15);
    let one = folder(&world, "one");
    world.pg.psql("postgres", &format!("create tablespace one location '{}'", one.display()));
    fill(&world, 1000);
    world.pg.psql("postgres", "create table there tablespace one as select * from big");
    fs::create_dir_all(one.join("lost+found/1")).expect("make a folder");
    fs::create_dir_all(one.join("PG_14_202107181/5")).expect("make a folder");
    fs::write(one.join("PG_14_202107181/5/16384"), "the old server's").expect("write");
    back_up(&world, &[]);
    world.pg.psql("postgres", "create table more tablespace one as select * from big");
    world.pg.stop();
    let data = world.pg.data_dir().to_path_buf();
    world.run(&["restore", "--target-dir", &data.display().to_string(), "--delta"]).fine();
    assert_eq!(fs::read(one.join("PG_14_202107181/5/16384")).expect("spared"), b"the old server's");
    assert!(one.join("lost+found/1").exists());
    let restored = serve(15, &data);
    assert_eq!(restored.psql("postgres", "select count(*) from there"), "1000");
    assert_eq!(restored.psql("postgres", "select count(*) from pg_class where relname = 'more'"), "0");
}
