//! Encrypted backups: the server that writes them cannot read them, and age's own program can.

use crate::lab::{back_up, back_up_after_kill, content, fill, folder, lab, restore, take_over, verified};
use crate::stock::restore_by_hand;
use crate::world::{World, ended};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::{AgeKey, Pg, Ran, SigningKey, rounds};

/// Has everything encrypted to these keys from now on.
pub(crate) fn encrypt_to(world: &mut World, keys: &[&AgeKey]) {
    write_recipients(world, keys);
    world.set("TOBAN_RECIPIENTS_FILE", &world.path("recipients").display().to_string());
}

fn write_recipients(world: &World, keys: &[&AgeKey]) {
    let text: String = keys.iter().flat_map(|key| [key.recipient.as_str(), "\n"]).collect();
    fs::write(world.path("recipients"), text).expect("write the recipients");
}

fn record_of(ran: &Ran) -> Value {
    assert_eq!(ran.status, Some(0), "{ran:?}");
    serde_json::from_str(ran.stdout.lines().next().expect("a record")).expect("JSON")
}

fn id_of(record: &Value) -> &str {
    record["id"].as_str().expect("an ID")
}

fn restore_by(world: &World, id: &str, target: &Path, identity: &str) -> Ran {
    let _ = fs::remove_dir_all(target);
    world.run(&["restore", id, "--pgdata", &target.display().to_string(), "--identity", identity])
}

/// The objects of a backup, manifest aside.
fn stored(world: &World, id: &str) -> Vec<PathBuf> {
    let folder = format!("backup/{id}/");
    let own = |f: &PathBuf| f.display().to_string().contains(&folder) && !f.ends_with("backup.json");
    world.files().into_iter().filter(own).collect()
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => walk(&path, files),
            path => files.push(path),
        }
    }
}

/// Neither in a name nor in the content of what others may read.
fn assert_hidden(world: &World, canary: &str, said: &[String]) {
    let (mut files, mut state) = (Vec::new(), Vec::new());
    walk(&world.path("repo"), &mut files);
    walk(&world.path("state"), &mut state);
    let secret = |path: &PathBuf| path.metadata().expect("look").mode() & 0o777 == 0o600;
    files.extend(state.into_iter().filter(|path| !secret(path)));
    let needle = canary.as_bytes();
    for path in files {
        let bytes = fs::read(&path).expect("read");
        let name = path.display().to_string();
        assert!(!name.contains(canary) && memchr::memmem::find(&bytes, needle).is_none(), "{name} tells");
    }
    for text in said {
        assert!(!text.contains(canary), "printed: {text}");
    }
}

#[test]
fn what_is_stored_tells_nothing_and_a_key_restores_it() {
    let canary = format!("{:032x}{:032x}", u128::from(testkit::seed()), 0x5eed_u128 << 64);
    let mut world = lab(15);
    let (own, other) = (AgeKey::make(&world.path("key")), AgeKey::make(&world.path("other")));
    encrypt_to(&mut world, &[&own]);
    let place = folder(&world, &canary).display().to_string();
    world.pg.psql("postgres", &format!("create tablespace t location '{place}'"));
    fill(&world, 20_000);
    world.pg.psql("postgres", &format!("create database \"{}\"", &canary[..60]));
    world
        .pg
        .psql("postgres", &format!("create table \"x{0}\" tablespace t as select '{0}' c", &canary[..60]));
    world.pg.psql("postgres", &format!("alter system set application_name = '{}'", &canary[..60]));
    fs::write(world.pg.data_dir().join(&canary), &canary).expect("write");
    let full = world.run(&["run", "--json", "-v"]);
    let full_record = record_of(&full);
    world.pg.psql("postgres", "update big set t = 'changed' where n = 777");
    let next = world.run(&["run", "--json", "-v"]);
    let next_record = record_of(&next);
    assert_eq!(next_record["built_on"], full_record["id"], "no key is needed to build on it");
    let before = content(&world.pg);

    let listed = world.run(&["list", "--json"]).fine();
    assert_eq!(listed.matches(&format!(r#""recipients":["{}"]"#, own.recipient)).count(), 2, "{listed}");
    let (verify, check) = (world.run(&["verify"]).fine(), world.run(&["check"]).fine());
    assert_hidden(&world, &canary[..60], &[full.said(), next.said(), listed, verify, check]);
    assert!(
        stored(&world, id_of(&next_record)).iter().all(|path| path.extension().is_some_and(|e| e == "age"))
    );
    let rules = fs::read_to_string(world.path("repo/main/repository.json")).expect("it is there");
    assert!(rules.contains("\"encryption\": \"required\""), "{rules}");

    // Nobody without the right key, in one line that says whose it is.
    let target = world.path("target");
    let dir = target.display().to_string();
    let words = format!("encrypted to {}: no identity is given", own.recipient);
    world.run(&["restore", "--pgdata", &dir]).refused(2, &words);
    let words =
        format!("encrypted to {}; {} has the identity of {}", own.recipient, other.path(), other.recipient);
    restore_by(&world, "latest", &target, &other.path()).refused(2, &words);
    assert!(!target.exists());

    world.pg.stop();
    fs::remove_dir_all(&place).expect("lose the tablespace");
    for id in [id_of(&full_record), id_of(&next_record)] {
        let target = folder(&world, &format!("by hand {id}"));
        restore_by_hand(&world, id, &target, Some(&own.identity));
        let owner = target.metadata().expect("look");
        std::os::unix::fs::chown(&place, Some(owner.uid()), Some(owner.gid())).expect("give it away");
        let restored = fs::read(target.join(&canary)).expect("it is there");
        assert_eq!(restored, canary.as_bytes());
        fs::remove_dir_all(&place).expect("the next one makes it");
    }
    restore(&world, "target", &["--identity", &own.path()]);
    ask_for_passphrase(&world, &own);
    take_over(&mut world, Pg::promoted(15, &target));
    assert_eq!(content(&world.pg), before);
}

/// Runs a command on a terminal at which `typed` is typed.
fn at_terminal(command: &Command, typed: &str) -> Ran {
    use std::io::Write;
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    script.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = script.spawn().expect("run script");
    child.stdin.take().expect("a pipe").write_all(typed.as_bytes()).expect("type it");
    Ran::from(child.wait_with_output().expect("it ends"))
}

/// An identity behind a passphrase, which is asked for on a terminal and nowhere else.
fn ask_for_passphrase(world: &World, key: &AgeKey) {
    let protected = world.path("protected").display().to_string();
    let mut age = Command::new("age");
    age.args(["-p", "-o", &protected, &key.path()]).env("PATH", "/usr/bin:/bin");
    let made = at_terminal(&age, "one\none\n");
    assert_eq!(made.status, Some(0), "{made:?}");
    let target = world.path("asked").display().to_string();
    let spaces = world.path("spaces").display().to_string();
    let restore = world.command(&[
        "restore",
        "--pgdata",
        &target,
        "--identity",
        &protected,
        "--tablespace-dir",
        &spaces,
    ]);
    let ran = at_terminal(&restore, "another\n");
    assert!(ran.status == Some(2) && ran.stdout.contains("the passphrase is another"), "{ran:?}");
    let ran = at_terminal(&restore, "one\n");
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("Passphrase of "), "{ran:?}");
    verified(&world.pg, Path::new(&target));
}

/// What somebody may do to an object who can write to the repository and has no key.
fn damage_objects(world: &World, own: &AgeKey, id: &str, earlier: &str) {
    let size = |path: &PathBuf| path.metadata().expect("look").len();
    let pack = stored(world, id).into_iter().max_by_key(size).expect("a pack");
    let replacing = stored(world, earlier).into_iter().max_by_key(size).expect("a pack");
    let whole = fs::read(&pack).expect("read");
    let header = whole.windows(5).position(|w| w == b"\n--- ").expect("a header") + 5 + 44 + 16;
    let chunk = (64 << 10) + 16;
    let flip = |at: usize| {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        flipped
    };
    let swapped = [
        &whole[..header],
        &whole[header + chunk..header + 2 * chunk],
        &whole[header..header + chunk],
        &whole[header + 2 * chunk..],
    ];
    let damages = [
        ("a flipped byte", flip(header + 99)),
        ("a flipped byte of the header", flip(60)),
        ("cut at a chunk", whole[..header + chunk].to_vec()),
        ("chunks in another order", swapped.concat()),
        ("another backup's", fs::read(replacing).expect("read")),
    ];
    let name = pack.file_name().expect("a name").to_string_lossy().into_owned();
    for (what, damaged) in damages {
        fs::write(&pack, damaged).expect("damage it");
        world.run(&["verify", id]).ended_with(5, &name);
        let restored = restore_by(world, id, &world.path("damaged"), &own.path());
        let named = restored.stderr.contains(&name[..9]);
        assert!(named && matches!(restored.status, Some(2 | 5)), "{what}: {restored:?}");
    }
    fs::write(&pack, whole).expect("make it whole");
    world.run(&["verify", id]).fine();
}

/// A backup or dump restores with a key exactly where `list` names it, or nobody.
fn try_key(world: &World, listed: &Value, key: &AgeKey) {
    let names = listed["recipients"].as_array().expect("names");
    let (target, id) = (world.path("tried"), id_of(listed));
    let is_dump = listed["database"].is_string();
    let tried = match is_dump {
        true => {
            world.pg.psql("postgres", "drop database if exists tried");
            world.run(&["restore-dump", id, "--into", "tried", "--identity", &key.path()])
        }
        false => restore_by(world, id, &target, &key.path()),
    };
    if !names.is_empty() && !names.contains(&Value::from(key.recipient.as_str())) {
        tried.refused(2, "is encrypted to");
        return;
    }
    assert_eq!(tried.status, Some(0), "{listed}: {tried:?}");
    match is_dump {
        true => assert!(world.pg.psql("tried", "select count(*) from big") == "20000"),
        false => verified(&world.pg, &target),
    }
}

/// What is not whole in the source is named, has no manifest over there, and goes over once it is whole again.
fn copy_what_lacks_an_object(world: &World, place: &str, id: &str) {
    let farther = format!("file://{}", world.path("farther").display());
    let pack = stored(world, id).into_iter().find(|path| path.parent().is_some_and(|f| f.ends_with("pack")));
    let (pack, aside) = (pack.expect("a pack"), world.path("aside"));
    let name = pack.file_name().expect("a name").to_string_lossy().into_owned();
    let copy = || world.run(&["copy", id, "--from", place, "--to", &farther]);
    fs::rename(&pack, &aside).expect("lose a pack");
    copy().ended_with(5, &name);
    let listed = world.run(&["list", "--json", "--repo", &farther]);
    assert!(!listed.stdout.contains(id), "{listed:?}");
    fs::rename(&aside, &pack).expect("find it again");
    copy().fine();
    world.run(&["verify", "--repo", &farther]).fine();
}

#[test]
fn every_listed_backup_restores_with_the_identities_that_list_names() {
    let mut world = lab(15);
    let keys = ["a", "b"].map(|name| AgeKey::make(&world.path(name)));
    let [a, b] = &keys;
    fill(&world, 20_000);
    back_up(&world, &[]);
    world.dump("postgres", &[]);
    let why = |world: &World| {
        let plan = world.run(&["run", "--dry-run", "--json"]).json().remove(0);
        plan["full_because"].as_str().unwrap_or_default().to_string()
    };
    let other = "is encrypted to other recipients, or to none";

    // Switched on in a plain repository, and not dropped by a word that was forgotten.
    encrypt_to(&mut world, &[a]);
    assert!(why(&world).contains(other), "{}", why(&world));
    let first = back_up(&world, &[]);
    let first_dump = world.dump("postgres", &[]);
    let forgotten = |args: &[&str]| {
        ended(world.command(args).env_remove("TOBAN_RECIPIENTS_FILE").spawn().expect("start"))
    };
    forgotten(&["run"]).refused(2, "repository.json requires encryption");
    forgotten(&["dump", "postgres"]).refused(2, "repository.json requires encryption");
    // The place instead of its name does not drop it either.
    let (config, place) = (world.path("toban.toml"), format!("file://{}", world.path("repo").display()));
    let recipients = world.path("recipients").display().to_string();
    fs::write(&config, format!("[repo.r]\nurl = {place:?}\nrecipients_file = {recipients:?}\n"))
        .expect("write");
    let plan = forgotten(&["run", "--dry-run", "--json", "--config", &config.display().to_string()]).json();
    assert_eq!(plan[0]["built_on"], first["id"], "{plan:?}");
    // A timer has its configuration, and calls the repository by its name: it builds on what was made by flags, and the
    // other way round.
    let mut timer = world.command(&["run", "--json"]);
    timer.env_remove("TOBAN_RECIPIENTS_FILE").env("TOBAN_REPO", "r").env("TOBAN_CONFIG", &config);
    let timed = ended(timer.spawn().expect("start")).json().remove(0);
    assert_eq!(timed["built_on"], first["id"], "{timed}");
    let by_flags = back_up(&world, &[]);
    assert_eq!(by_flags["built_on"], timed["id"], "{by_flags}");

    // A recipient more, one fewer, and the state lost.
    encrypt_to(&mut world, &[a, b]);
    assert!(why(&world).contains(other), "{}", why(&world));
    back_up(&world, &[]);
    world.pg.psql("postgres", "update big set t = 'changed' where n % 100 = 0");
    let shared = back_up(&world, &[]);
    assert!(shared["built_on"].is_string(), "{shared}");
    encrypt_to(&mut world, &[b]);
    let newest = back_up(&world, &[]);
    assert_eq!(newest["built_on"], Value::Null);
    let check = world.run(&["check", "--json"]);
    let found: Vec<Value> = check.findings().into_iter().filter(|f| f["id"] == "recipients").collect();
    let mut named: Vec<&str> = found.iter().filter_map(|f| f["key"].as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, [id_of(&first), &first_dump, id_of(&timed), id_of(&by_flags)], "{found:?}");
    fs::remove_dir_all(world.path("state/blocks")).expect("lose the state");
    // The digests beside it are encrypted as well, and the server has no key.
    assert!(why(&world).contains("No such file"), "{}", why(&world));
    let lost = world.run(&["run", "--json"]);
    lost.refused_in_a_line(0, "everything is stored, since the blocks of");
    assert!(lost.stderr.contains("No such file"), "{lost:?}");
    assert_eq!(lost.records()[0]["built_on"], Value::Null);

    damage_objects(&world, b, id_of(&newest), id_of(&shared));
    let now = content(&world.pg);
    let listed = world.run(&["list", "--json"]).json();
    for one in &listed {
        for key in &keys {
            try_key(&world, one, key);
        }
    }
    // As it is stored: with copies of everything that it was copied from, and no key.
    let far = format!("file://{}", world.path("far").display());
    world
        .run(&["copy", "--from", &place, "--to", &far])
        .refused(2, "is not encrypted, and everything in its target is");
    assert!(world.path("far/main/repository.json").exists(), "it refuses plain content as its source does");
    world.run(&["verify", "--repo", &far]).fine();
    let copied = world.run(&["list", "--json", "--repo", &far]).json();
    assert_eq!(copied.len() + 2, listed.len(), "all but what is plain");
    copy_what_lacks_an_object(&world, &place, id_of(&newest));
    world.run(&["prune", "--keep-last", "1", "--repo", &far]).fine();
    let target = world.path("copied");
    let dir = target.display().to_string();
    world.run(&["restore", "--repo", &far, "--pgdata", &dir, "--identity", &b.path()]).fine();
    world.pg.stop();
    assert_eq!(content(&Pg::promoted(15, &target)), now);
}

#[test]
fn a_first_encrypted_run_that_is_killed_leaves_what_restores() {
    let mut world = lab(15);
    let key = AgeKey::make(&world.path("key"));
    fill(&world, 50_000);
    let plain = back_up(&world, &[]);
    encrypt_to(&mut world, &[&key]);
    let begun = Instant::now();
    world.run(&["run", "--full"]).fine();
    let length = begun.elapsed().max(Duration::from_millis(500));
    let start = || {
        // As it was before the first one.
        let _ = fs::remove_file(world.path("repo/main/repository.json"));
        world.command(&["run"]).spawn().expect("start")
    };
    testkit::killed(length, rounds(3), start, || {
        world.run(&["verify"]).fine();
        let newest = world.run(&["list", "--json"]).json().pop().expect("the plain one at least");
        restore_by(&world, id_of(&newest), &world.path("t"), &key.path()).fine();
    });
    back_up_after_kill(&world);
    restore(&world, "restored", &["--identity", &key.path()]);
    restore_by(&world, id_of(&plain), &world.path("plain"), &key.path()).fine();
}

/// Two servers, each a cluster of its own in one repository, with recipients and signatures of their own.
#[test]
fn two_servers_with_keys_of_their_own_share_a_repository() {
    let one = lab(15);
    let place = format!("file://{}", one.path("repo").display());
    let mut servers = [one, lab(15).in_repo(&place, Vec::new())];
    let repo = servers[0].path("repo");
    let mut owned = Vec::new();
    for (world, cluster) in servers.iter_mut().zip(["one", "two"]) {
        let key = AgeKey::make(&world.path("key"));
        let signer = SigningKey::make(world.dir.path(), "sign");
        world.set("TOBAN_CLUSTER", cluster);
        encrypt_to(world, &[&key]);
        fill(world, 20_000);
        let full = back_up(world, &[]);
        assert_eq!(back_up(world, &[])["built_on"], full["id"]);
        world.dump("postgres", &[]);
        world.run(&["verify", "--sign-key", &signer.key.display().to_string()]).fine();
        owned.push((cluster, key, signer));
    }
    for (world, (cluster, own, signer)) in servers.iter().zip(&owned) {
        let (_, other, other_signer) = owned.iter().find(|(c, ..)| c != cluster).expect("there are two");
        let listed = world.run(&["list", "--json"]).json();
        assert_eq!(listed.len(), 3, "{listed:?}");
        for one in &listed {
            assert_eq!(one["recipients"], serde_json::json!([own.recipient]));
            try_key(world, one, own);
            try_key(world, one, other);
        }
        let mut files = Vec::new();
        walk(&repo.join(cluster), &mut files);
        let is_proof = |f: &&PathBuf| f.display().to_string().contains("proof") && !f.ends_with(".sig");
        let proofs: Vec<&PathBuf> =
            files.iter().filter(is_proof).filter(|f| f.extension().is_some_and(|e| e == "json")).collect();
        assert!(proofs.len() >= 3, "{files:?}");
        for proof in proofs {
            assert!(signer.signed(proof, "pg-backup"), "{}", proof.display());
            assert!(!other_signer.signed(proof, "pg-backup"), "{}", proof.display());
        }
    }
    // What one deletes is nothing of the other's.
    servers[0].run(&["prune", "--keep-last", "1", "--undelete", "0s"]).fine();
    assert_eq!(servers[0].run(&["list", "--json"]).json().len(), 2);
    assert_eq!(servers[1].run(&["list", "--json"]).json().len(), 3);
    servers[1].run(&["verify"]).fine();
}

/// A key that the tool itself made.
fn new_key(world: &World, number: usize) -> AgeKey {
    let identity = world.path(&format!("key-{number}"));
    let made = world.run(&["key", "new", "--here", &identity.display().to_string()]);
    assert_eq!(made.status, Some(0), "{made:?}");
    AgeKey { identity, recipient: made.stderr.trim().rsplit(' ').next().expect("the recipient").into() }
}

/// A recipient comes, the old one goes, and so on; each run with changed recipients is killed at some moment of it.
#[test]
fn a_rotation_of_keys_that_is_killed() {
    let mut world = lab(15);
    fill(&world, 20_000);
    let keys = RefCell::new(vec![new_key(&world, 0)]);
    encrypt_to(&mut world, &[&keys.borrow()[0]]);
    back_up(&world, &[]);
    let begun = Instant::now();
    world.run(&["run", "--full"]).fine();
    let length = begun.elapsed().max(Duration::from_millis(500));
    let configured = Cell::new(1);
    let newest_keys = || keys.borrow().len() - configured.get();
    let start = || {
        if configured.get() == 1 {
            let key = new_key(&world, keys.borrow().len());
            keys.borrow_mut().push(key);
        }
        configured.set(3 - configured.get());
        write_recipients(&world, &keys.borrow()[newest_keys()..].iter().collect::<Vec<_>>());
        world.command(&["run"]).spawn().expect("start")
    };
    let check = || {
        let keys = keys.borrow();
        let listed = world.run(&["list", "--json"]).json();
        let mut names: Vec<&str> = keys[newest_keys()..].iter().map(|key| key.recipient.as_str()).collect();
        names.sort_unstable();
        let newest = listed.last().expect("the one before the rotation at least");
        let plan = world.run(&["run", "--dry-run", "--json"]).json().remove(0);
        let begins_afresh = plan["full_because"].as_str().is_some_and(|why| why.contains("other recipients"));
        assert_eq!(begins_afresh, newest["recipients"] != serde_json::json!(names), "{newest} {plan}");
        for backup in &listed {
            let names = backup["recipients"].as_array().expect("names");
            let (readers, others): (Vec<&AgeKey>, Vec<&AgeKey>) =
                keys.iter().partition(|key| names.contains(&Value::from(key.recipient.as_str())));
            assert_eq!(readers.len(), names.len(), "{backup}");
            let tried = readers.into_iter().chain(others.into_iter().next_back());
            tried.for_each(|key| try_key(&world, backup, key));
        }
        let next = back_up_after_kill(&world);
        assert!(!begins_afresh || next["built_on"].is_null(), "{next}");
        world.run(&["prune", "--keep-last", "1", "--undelete", "0s"]).fine();
        world.run(&["verify"]).fine();
    };
    testkit::killed(length, rounds(3), start, check);
    let last = back_up(&world, &[]);
    assert_eq!(back_up(&world, &[])["built_on"], last["id"]);
    let keys = keys.borrow();
    let [.., newest] = &keys[..] else { unreachable!("there is one at least") };
    world.run(&["key", "test", "--identity", &newest.path()]).fine();
    world.run(&["prune", "--keep-last", "1", "--undelete", "0s"]).fine();
    world.run(&["key", "check"]).fine();
}
