//! Damage in the repository is found and stops a restore; damage in the source is told and the backup kept.

use crate::lab::{back_up, content, fill, lab, restore};
use crate::world::World;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use testkit::{Dice, Pg, rounds, seed};

fn objects(world: &World) -> Vec<PathBuf> {
    world.files().into_iter().filter(|f| f.display().to_string().contains("/backup/")).collect()
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).expect("open an object");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read a byte");
    file.write_all_at(&[byte[0] ^ 0x40], at).expect("flip it");
}

#[test]
fn a_flipped_byte_in_any_object_is_found() {
    let world = lab(15);
    fill(&world, 20_000);
    back_up(&world, &[]);
    let mut dice = Dice::new(seed());
    for object in objects(&world) {
        let size = object.metadata().expect("look").len();
        for _ in 0..rounds(3) {
            let at = dice.below(size);
            flip(&object, at);
            let name = object.file_name().expect("a name").to_string_lossy().into_owned();
            world.run(&["verify"]).refused(5, &name);
            flip(&object, at);
        }
    }
    world.run(&["verify"]).fine();
}

#[test]
fn a_flipped_byte_stops_a_restore() {
    let world = lab(15);
    fill(&world, 20_000);
    back_up(&world, &[]);
    let target = world.path("t");
    let dir = target.display().to_string();
    // The digests are for the next run: no restore reads them.
    for object in objects(&world).into_iter().filter(|o| !o.ends_with("digests.zst")) {
        let name = object.file_name().expect("a name").to_string_lossy().into_owned();
        flip(&object, object.metadata().expect("look").len() / 2);
        world.run(&["restore", "--pgdata", &dir]).refused(5, &name);
        assert!(!target.join("global/pg_control").exists(), "{name}");
        let _ = fs::remove_dir_all(&target);
        flip(&object, object.metadata().expect("look").len() / 2);
    }
    world.run(&["restore", "--pgdata", &dir]).fine();
    // Somebody took everything away but what says whose it is.
    for object in world.files().into_iter().filter(|f| !f.ends_with("cluster.json")) {
        fs::remove_file(object).expect("remove it");
    }
    world.run(&["check"]).ended_with(4, "of which it holds nothing");
}

#[test]
fn verify_names_the_files_and_a_restore_stops_before_pg_control() {
    let world = lab(15);
    fill(&world, 20_000);
    let file = world.pg.psql("postgres", "select pg_relation_filepath('big')");
    back_up(&world, &["--jobs", "1"]);
    // The WAL has a pack of its own; the other one that is large begins with the largest files.
    let packs = objects(&world).into_iter().filter(|o| o.display().to_string().contains("/pack/"));
    let pack = packs.max_by_key(|o| o.metadata().expect("look").len()).expect("a pack");
    let name = pack.file_name().expect("a name").to_string_lossy().into_owned();
    flip(&pack, 2000);
    world.run(&["verify"]).refused(5, "damaged: base/");
    world.run(&["verify", "--fast"]).fine();
    let target = world.path("t").display().to_string();
    let said = world.run(&["restore", "--pgdata", &target]).refused(5, &format!("{name} is damaged at byte"));
    assert!(said.contains("restore base/"), "{said}");
    assert!(!world.path("t/global/pg_control").exists());
    flip(&pack, 2000);
    world.run(&["restore", "--pgdata", &target, "--delta"]).fine();
    assert!(world.path("t").join(file).exists());
    fs::remove_file(&pack).expect("remove a pack");
    world.run(&["verify", "--fast"]).refused(5, "is missing");
}

#[test]
fn corrupt_pages_of_the_source_are_told_by_file_and_block() {
    let mut world = lab(15);
    fill(&world, 20_000);
    let path = world.pg.psql("postgres", "checkpoint; select pg_relation_filepath('big')");
    world.pg.stop();
    let file = world.pg.data_dir().join(&path);
    flip(&file, 3 * 8192 + 5000);
    let file = File::options().read(true).write(true).open(&file).expect("open the table");
    file.write_all_at(&[0; 24], 5 * 8192).expect("zero a header");
    // A page of the future, with a checksum that holds for its garbage.
    let mut page = [0; 8192];
    file.read_exact_at(&mut page, 7 * 8192).expect("read a page");
    page[0..4].fill(0xFF);
    let sum = checksum(&mut page, 7);
    page[8..10].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&page, 7 * 8192).expect("write a page");
    world.pg.restart();
    let said = world.run(&["run"]).refused(3, "3 pages of the source are damaged");
    for what in ["block 3: wrong checksum", "block 5: zeroed header", "block 7: LSN of the future"] {
        assert!(said.contains(&format!("{path} {what}")), "{what} is not in: {said}");
    }
    let listed = world.run(&["list", "--json"]).json();
    assert_eq!(listed[0]["damaged_pages"], 3, "kept and marked");
    world.run(&["check"]).refused(4, "");
    world.run(&["verify"]).fine();
}

/// A writer in the middle of its writes, for as long as it lives: 200 pages are torn for 3 ms of every 20.
struct Tearing {
    stop: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

impl Tearing {
    fn begin(path: &Path) -> Tearing {
        let file = File::options().read(true).write(true).open(path).expect("open the table");
        let mut whole = vec![0; 200 * 8192];
        file.read_exact_at(&mut whole, 0).expect("read the pages");
        let mut torn = whole.clone();
        torn.chunks_mut(8192).for_each(|page| page[4096..].reverse());
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let writer = std::thread::spawn(move || {
            while !flag.load(Ordering::SeqCst) {
                file.write_all_at(&torn, 0).expect("write");
                std::thread::sleep(Duration::from_millis(3));
                file.write_all_at(&whole, 0).expect("write");
                std::thread::sleep(Duration::from_millis(17));
            }
        });
        Tearing { stop, writer: Some(writer) }
    }
}

impl Drop for Tearing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.writer.take().expect("it runs").join().expect("it ends well");
    }
}

#[test]
fn a_torn_page_is_not_damage() {
    let mut world = lab(15);
    fill(&world, 40_000);
    let before = content(&world.pg);
    let path = world.pg.psql("postgres", "vacuum freeze big; checkpoint; select pg_relation_filepath('big')");
    let tearing = Tearing::begin(&world.pg.data_dir().join(path));
    let mended = testkit::until("a torn page is read", Duration::from_secs(60), || {
        let ran = world.run(&["run", "-vv"]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        // A server's writer has put its page into the WAL; this one has not, so what was never read whole is lost.
        match (ran.stderr.matches("was being written").count(), ran.stderr.contains("half written each time"))
        {
            (0, _) => Err("none yet".into()),
            (_, true) => Err("the machine is too busy".into()),
            (n, false) => Ok(n),
        }
    });
    drop(tearing);
    eprintln!("{mended} pages were torn when they were read");
    assert!(world.run(&["list", "--json"]).json().iter().all(|r| r["damaged_pages"] == 0));
    world.run(&["verify", "--newest"]).fine();
    world.pg.stop();
    let target = restore(&world, "restored", &[]);
    assert_eq!(content(&Pg::promoted(15, &target)), before);
}

/// PostgreSQL's page checksum, written anew as its comment describes it.
fn checksum(page: &mut [u8; 8192], block: u32) -> u16 {
    const BASE: [u32; 32] = [
        0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
        0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
        0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
        0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
    ];
    page[8..10].fill(0);
    let mut sums = BASE;
    let word = |at: usize| u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]);
    for row in 0..66 {
        for (n, sum) in sums.iter_mut().enumerate() {
            let mixed = *sum ^ if row < 64 { word(row * 128 + n * 4) } else { 0 };
            *sum = mixed.wrapping_mul(16_777_619) ^ (mixed >> 17);
        }
    }
    ((sums.iter().fold(0, |a, s| a ^ s) ^ block) % 65535 + 1) as u16
}
