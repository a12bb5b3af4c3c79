//! A directory as a store.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::contract::{self, Noise};
use toban_core::Kind;
use toban_core::store::{Attrs, Dir, Key, Store, StoreOptions, Stored, open};

fn dir(path: &Path) -> Dir {
    Dir::open(path.to_str().expect("UTF-8")).expect("absolute")
}

fn key(name: &str) -> Key {
    name.parse().expect("a fine name")
}

fn attrs() -> Attrs {
    Attrs::from([("n".to_string(), "1".to_string())])
}

fn put(store: &dyn Store, name: &str) -> toban_core::Result<Stored> {
    store.put(&key(name), &mut &b"x"[..], &attrs())
}

/// Every file and folder below `path`, with its mode, but the store's own `.tmp`.
fn files(path: &Path) -> Vec<String> {
    let find = Command::new("find").arg(path).args(["-mindepth", "1", "-printf", "%P %m\n"]).output();
    let listed = String::from_utf8(find.expect("find").stdout).expect("UTF-8");
    let mut lines: Vec<String> =
        listed.lines().filter(|l| !l.starts_with(".tmp")).map(String::from).collect();
    lines.sort();
    lines
}

/// Temporary files, without the lock.
fn temps(path: &Path) -> usize {
    fs::read_dir(path.join(".tmp")).map_or(0, |all| all.flatten().filter(|e| e.file_name() != "lock").count())
}

#[test]
fn keeps_the_contract() {
    let folder = tempfile::tempdir().expect("tempdir");
    contract::check(&dir(folder.path()));
    assert_eq!(files(folder.path()), [""; 0], "empty folders are removed");
    assert_eq!(temps(folder.path()), 0);
}

#[test]
fn only_the_owner_may_look_and_attributes_lie_beside() {
    let folder = tempfile::tempdir().expect("tempdir");
    let root = folder.path().join("repo");
    put(&dir(&root), "a/b").expect("stored");
    assert_eq!(files(&root), ["a 700", "a/b 600", "a/b.attr 600"]);
    assert_eq!(fs::read_to_string(root.join("a/b.attr")).expect("read"), r#"{"n":"1"}"#);
    assert_eq!(fs::metadata(&root).expect("stat").permissions().mode() & 0o777, 0o700);
    assert_eq!(dir(&root).local_path(&key("a/b")), Some(root.join("a/b")));
}

#[test]
fn urls_name_it() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().to_str().expect("UTF-8");
    put(&*open(&format!("file://{path}"), &StoreOptions::default()).expect("opened"), "a").expect("stored");
    let stat = open(path, &StoreOptions::default()).expect("opened").stat(&key("a")).expect("asked");
    assert_eq!(stat.expect("there").size, 1);
    for bad in ["file://relative/dir", "relative/dir", "ftp://x/y", "s3://", "s3:///x", "s3://b/../x"] {
        let e = open(bad, &StoreOptions::default()).err().unwrap_or_else(|| panic!("{bad} was opened"));
        assert!(e.kind() == Kind::Usage && e.find_hint().is_some(), "{bad}: {e:?}");
    }
}

#[test]
fn links_are_not_followed_out() {
    let folder = tempfile::tempdir().expect("tempdir");
    let (root, outside) = (folder.path().join("repo"), folder.path().join("outside"));
    let store = dir(&root);
    put(&store, "a/b").expect("stored");
    fs::create_dir(&outside).expect("mkdir");
    fs::write(outside.join("secret"), "s").expect("write");
    symlink(&outside, root.join("out")).expect("link");
    symlink(outside.join("secret"), root.join("file")).expect("link");
    for name in ["out/secret", "file"] {
        let e = store.stat(&key(name)).expect_err("a link is neither an object nor proof of absence");
        assert!(e.find_hint().is_some_and(|c| c.contains("symbolic link")), "{e:?}");
        assert!(store.get(&key(name), 0).is_err() && put(&store, name).is_err());
    }
    assert!(put(&store, "out/new").is_err() && store.remove(&key("out/secret")).is_err());
    let names: Vec<String> = store.list("").expect("listed").iter().map(|o| o.key.to_string()).collect();
    assert_eq!(names, ["a/b"]);
    assert_eq!(fs::read_dir(&outside).expect("read").count(), 1, "nothing came, nothing went");
}

#[test]
fn a_folder_where_an_object_should_be_is_told() {
    let folder = tempfile::tempdir().expect("tempdir");
    let store = dir(folder.path());
    put(&store, "a/b").expect("stored");
    assert_eq!(put(&store, "a").expect_err("a is a folder").kind(), Kind::Failed);
    assert_eq!(put(&store, "a/b/c").expect_err("a/b is a file").kind(), Kind::Failed);
    assert_eq!(temps(folder.path()), 0);
}

#[test]
fn a_missing_parent_is_told_and_not_made() {
    let folder = tempfile::tempdir().expect("tempdir");
    let store = dir(&folder.path().join("unmounted/repo"));
    for e in [put(&store, "a").err(), store.stat(&key("a")).err(), store.list("").err()] {
        let e = e.expect("the parent is missing");
        assert_eq!(e.chain(), format!("{} is not there", folder.path().join("unmounted").display()));
        assert!(
            e.kind() == Kind::Failed && e.find_hint().is_some_and(|c| c.starts_with("mount it")),
            "{e:?}"
        );
    }
    assert_eq!(files(folder.path()), [""; 0]);
    let fresh = dir(&folder.path().join("repo"));
    assert_eq!((fresh.list("").expect("empty"), fresh.stat(&key("a")).expect("absent")), (vec![], None));
}

#[test]
fn sweeping_removes_old_temporary_files_only() {
    let folder = tempfile::tempdir().expect("tempdir");
    let store = dir(folder.path());
    put(&store, "a").expect("stored");
    fs::write(folder.path().join(".tmp/dead"), "half").expect("write");
    assert_eq!(store.sweep(Duration::from_secs(3600)).expect("swept"), 0);
    assert_eq!(temps(folder.path()), 1);
    assert_eq!(store.sweep(Duration::ZERO).expect("swept"), 1);
    assert_eq!((temps(folder.path()), store.list("").expect("listed").len()), (0, 1));
}

/// A full disk without the right to mount one: a limit on the size of files, in a child where the signal that
/// comes with it is ignored, so that `write` fails half-way as on a full disk.
#[test]
fn a_full_disk_is_one_line_and_leaves_nothing() {
    const NAME: &str = "a_full_disk_is_one_line_and_leaves_nothing";
    if let Ok(root) = std::env::var("TOBAN_TEST_FULL") {
        let e =
            dir(Path::new(&root)).put(&key("a/b"), &mut Noise::fresh(3 << 20), &attrs()).expect_err("full");
        assert_eq!(e.chain(), format!("write {root}/a/b: File too large (os error 27)"));
        assert!(
            e.kind() == Kind::Failed && e.find_hint().is_some_and(|c| c.starts_with("free some space")),
            "{e:?}"
        );
        return;
    }
    let folder = tempfile::tempdir().expect("tempdir");
    let script = r#"trap '' XFSZ; ulimit -f 1024; exec "$0" "$@""#;
    let mut child = Command::new("sh");
    child.args(["-c", script]).arg(std::env::current_exe().expect("exe")).args([
        NAME,
        "--exact",
        "--nocapture",
    ]);
    let out = child.env("TOBAN_TEST_FULL", folder.path()).output().expect("run");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"));
    assert_eq!((files(folder.path()), temps(folder.path())), (vec![], 0));
}

/// As root the child becomes nobody, because no permission stops root.
#[test]
fn a_folder_that_is_not_ours_is_told() {
    const NAME: &str = "a_folder_that_is_not_ours_is_told";
    if let Ok(root) = std::env::var("TOBAN_TEST_READ_ONLY") {
        let e = put(&dir(Path::new(&root)), "a").expect_err("not writable");
        assert!(e.chain().contains("Permission denied") && e.chain().contains(&root), "{e:?}");
        assert!(e.find_hint().is_some_and(|c| c.starts_with("make it writable for the user")), "{e:?}");
        return;
    }
    use std::os::unix::process::CommandExt;
    let folder = tempfile::Builder::new().prefix("toban-").tempdir_in("/tmp").expect("tempdir");
    let exe = folder.path().join("test");
    fs::copy(std::env::current_exe().expect("exe"), &exe).expect("copy");
    let root = folder.path().join("repo");
    fs::create_dir(&root).expect("mkdir");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o555)).expect("chmod");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let mut child = Command::new(&exe);
    child.args([NAME, "--exact"]).env("TOBAN_TEST_READ_ONLY", &root).current_dir("/");
    if rustix::process::geteuid().is_root() {
        child.uid(65534).gid(65534);
    }
    let out = child.output().expect("run");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}
