//! The restore of docs/FORMATS.md by stock tools: its own commands, run as they stand there.

use crate::lab::{back_up, content, fill, folder, lab};
use crate::world::World;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use testkit::Pg;

/// The block of the page that restores a backup.
fn commands() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/FORMATS.md");
    let text = std::fs::read_to_string(page).expect("read FORMATS.md");
    let (_, rest) = text.split_once("```sh\n# A physical backup\n").expect("the block is there");
    rest.split("```").next().expect("it ends").to_string()
}

/// Restores a backup by the page's own commands, an encrypted one by a file with an identity.
pub(crate) fn restore_by_hand(world: &World, id: &str, target: &Path, identity: Option<&Path>) {
    let done = try_by_hand(world, id, target, identity);
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    std::fs::set_permissions(target, std::fs::Permissions::from_mode(0o700)).expect("close it");
}

fn try_by_hand(world: &World, id: &str, target: &Path, identity: Option<&Path>) -> Output {
    let backup =
        world.files().into_iter().find(|f| f.ends_with(format!("{id}/backup.json"))).expect("a manifest");
    let mut sh = Command::new("sh");
    sh.args(["-euc", &commands()]).current_dir(target);
    sh.env("BACKUP", backup.parent().expect("its folder"));
    sh.env("IDENTITY", identity.unwrap_or(Path::new("")));
    sh.output().expect("run sh")
}

fn give_as(target: &Path, place: &str) {
    let given =
        Command::new("chown").args(["-R", "--reference", &target.display().to_string(), place]).status();
    assert!(given.expect("run chown").success());
}

#[test]
fn zstd_gzip_tar_and_sh_are_enough() {
    let mut world = lab(15);
    let one = folder(&world, "one place").display().to_string();
    world.pg.psql("postgres", &format!("create tablespace one location '{one}'"));
    fill(&world, 20_000);
    world.pg.psql("postgres", "create table there tablespace one as select * from big");
    // The name of the folder for configuration from outside; here it is the data directory's own.
    std::fs::create_dir(world.pg.data_dir().join("conf")).expect("make a folder");
    std::fs::write(world.pg.data_dir().join("conf/own"), "mine").expect("write");
    let ids = ["zstd", "gzip", "none"].map(|codec| {
        let made = back_up(&world, &["--compress", codec]);
        made["id"].as_str().expect("an id").to_string()
    });
    // And one that shares packs.
    world.pg.psql("postgres", "update big set t = t where n % 100 = 1");
    let shared = back_up(&world, &["--compress", "none"]);
    assert!(shared["built_on"].is_string(), "{shared}");
    let before = content(&world.pg);
    let ids: Vec<String> =
        ids.into_iter().chain([shared["id"].as_str().expect("an ID").to_string()]).collect();
    world.pg.stop();
    for id in ids {
        std::fs::remove_dir_all(&one).expect("lose the tablespace");
        let target = folder(&world, &format!("by hand {id}"));
        restore_by_hand(&world, &id, &target, None);
        give_as(&target, &one);
        assert_eq!(std::fs::read(target.join("conf/own")).expect("read"), b"mine");
        let restored = Pg::promoted(15, &target);
        assert_eq!(content(&restored), before);
        assert_eq!(restored.psql("postgres", "select count(*) from there"), "20000");
        drop(restored);
        // What is damaged or missing must not become a folder that starts: its own objects, or those that it shares.
        for object in ["/pack/00001.", "/files.jsonl."] {
            let is_one = |f: &PathBuf| f.display().to_string().contains(&format!("{id}{object}"));
            let Some(object) = world.files().into_iter().find(is_one) else { continue };
            let whole = std::fs::read(&object).expect("read");
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 1;
            std::fs::write(&object, flipped).expect("damage it");
            let refuses = |what: &str| {
                let again = folder(&world, &format!("{what} {id}"));
                let done = try_by_hand(&world, &id, &again, None);
                assert!(
                    !done.status.success() && !again.join("recovery.signal").exists(),
                    "{what}: {done:?}"
                );
                std::fs::remove_dir_all(&again).expect("clear");
            };
            refuses("damaged");
            std::fs::remove_file(&object).expect("lose it");
            refuses("lost");
            std::fs::write(&object, whole).expect("put it back");
        }
    }
}
