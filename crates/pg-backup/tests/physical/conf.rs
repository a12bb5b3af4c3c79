//! Debian's layout, by its own pg_createcluster: the configuration lies in /etc, and a restore brings it back.

use crate::lab::{back_up, content, fill, folder, lab, restore};
use crate::world::World;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use testkit::Pg;

/// Makes a cluster as Debian does, below `root` in the place of /etc and /var, and starts it.
fn debian(root: &Path) -> World {
    let (conf, data) = (root.join("etc"), root.join("data"));
    let mut create = Command::new("pg_createcluster");
    create.args(["15", "main", "--start-conf", "manual", "-u", "postgres", "-p", "5432", "-d"]).arg(&data);
    create.arg("-s").arg(root).arg("-l").arg(root.join("main.log"));
    create.args(["--", "--locale=C.UTF-8", "-E", "UTF8", "-k"]);
    let done = create.env("PG_CLUSTER_CONF_ROOT", &conf).output().expect("run pg_createcluster");
    assert!(done.status.success(), "{done:?}");
    let etc = conf.join("15/main");
    let rules = "local all all trust\nhost all @admins ::1/128 trust\n";
    fs::write(etc.join("pg_hba.conf"), rules).expect("write");
    fs::write(etc.join("admins"), "postgres\n@admins.d/more\n").expect("write");
    fs::create_dir(etc.join("admins.d")).expect("make a folder");
    fs::write(etc.join("admins.d/more"), "somebody\n").expect("write");
    // The usual one is empty; another is named by its full path.
    fs::create_dir(etc.join("site.d")).expect("make a folder");
    fs::write(etc.join("site.d/site.conf"), "work_mem = '7MB'\nssl = off\n").expect("write");
    let lines = format!(
        "include_dir '{0}/site.d'\nexternal_pid_file = '{1}/live.pid'\n",
        etc.display(),
        root.display()
    );
    let text = fs::read_to_string(etc.join("postgresql.conf")).expect("read") + &lines;
    fs::write(etc.join("postgresql.conf"), text).expect("write");
    // The test kit looks for it where -D points to.
    symlink(data.join("postmaster.pid"), etc.join("postmaster.pid")).expect("link");
    let world = World::with(Pg::builder_major(15).serve(&etc).start());
    fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o755)).expect("open it");
    world
}

#[test]
fn a_cluster_of_pg_createcluster() {
    let place = tempfile::Builder::new().prefix("toban-debian-").tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).expect("open it");
    let mut world = debian(place.path());
    fill(&world, 1000);
    let before = content(&world.pg);
    assert_eq!(
        world.pg.psql("postgres", "select count(*) from pg_hba_file_rules where error is not null"),
        "0"
    );
    back_up(&world, &[]);
    world.pg.stop();

    let new_etc = world.path("new etc");
    let target = restore(&world, "beside", &["--config-dir", &new_etc.display().to_string()]);
    let text = fs::read_to_string(new_etc.join("postgresql.conf")).expect("restored");
    assert!(text.contains(&format!("data_directory = '{}'", target.display())), "{text}");
    for (name, content) in [
        ("site.d/site.conf", "work_mem = '7MB'\nssl = off\n"),
        ("admins.d/more", "somebody\n"),
        ("start.conf", ""),
    ] {
        match content {
            "" => assert!(!new_etc.join(name).exists(), "{name} is Debian's own"),
            content => assert_eq!(fs::read_to_string(new_etc.join(name)).expect(name), content),
        }
    }
    assert!(!target.join("postgresql.conf").exists());
    assert!(new_etc.join("conf.d").is_dir(), "an empty folder that is included");
    let included = format!("include_dir = '{}'", new_etc.join("site.d").display());
    assert!(text.lines().any(|l| l.starts_with(&included)), "{text}");
    assert!(!text.lines().any(|l| l.starts_with("external_pid_file")), "another server's PID file: {text}");

    // The data directory is erased and comes back; the configuration is where it was.
    fs::remove_dir_all(place.path().join("data")).expect("erase the data directory");
    let target = restore(&world, "inside", &[]);
    let restored = Pg::promoted(15, &target);
    assert_eq!(content(&restored), before);
    let sql =
        "select current_setting('data_directory'), current_setting('work_mem'), current_setting('hba_file')";
    let dir = target.display();
    assert_eq!(restored.psql("postgres", sql), format!("{dir}|7MB|{dir}/pg_hba.conf"));
    let rules = "select count(*) from pg_hba_file_rules where error is not null";
    assert_eq!(restored.psql("postgres", rules), "0", "lists are found");
    assert_eq!(restored.psql("postgres", "show external_pid_file"), "");
}

/// A server with its configuration in the data directory: a copy beside it touches nothing that it names by a full path.
#[test]
fn a_copy_does_nothing_that_the_live_server_does() {
    let world = lab(15);
    let place = folder(&world, "live");
    let main = world.pg.data_dir().join("postgresql.conf");
    let text = fs::read_to_string(&main).expect("read");
    let lines = format!("external_pid_file = '{}/pid'\n", place.display());
    fs::write(&main, text + &lines).expect("write");
    let mut world = world;
    world.pg.restart();
    fill(&world, 1000);
    back_up(&world, &[]);
    let before = fs::read(place.join("pid")).expect("the live server's");
    let restored = Pg::promoted(15, &restore(&world, "t", &[]));
    assert_eq!(fs::read(place.join("pid")).expect("it is there"), before);
    let off = "select string_agg(setting, ' ' order by name) from pg_settings where name in \
               ('archive_mode', 'max_logical_replication_workers', 'archive_cleanup_command')";
    assert_eq!(restored.psql("postgres", off).trim(), "off 0");
    drop(restored);
    // One that takes the old one's place does all of it.
    let taken = restore(&world, "u", &["--keep-archiving"]);
    let auto = fs::read_to_string(taken.join("postgresql.auto.conf")).expect("read");
    assert!(!auto.contains("max_logical_replication_workers"), "{auto}");
}

/// Patroni writes postgresql.conf at each start, and pg_rewind copies postgresql.auto.conf to other members: no path of this
/// one's folder may stand there.
#[test]
fn a_member_of_patroni_keeps_its_paths_where_patroni_writes_them() {
    let world = lab(15);
    let own = world.pg.data_dir().join("pg_hba.conf").display().to_string();
    let main = world.pg.data_dir().join("postgresql.conf");
    let text = fs::read_to_string(&main).expect("read");
    let head = "# Do not edit this file manually!\n# It will be overwritten by Patroni!\n";
    fs::write(&main, format!("{head}{text}hba_file = '{own}'\n")).expect("write");
    let mut world = world;
    world.pg.restart();
    fill(&world, 1000);
    back_up(&world, &[]);
    let target = world.path("t");
    world.run(&["restore", "--pgdata", &target.display().to_string(), "--keep-archiving"]).fine();
    let auto = fs::read_to_string(target.join("postgresql.auto.conf")).expect("read");
    assert!(!auto.contains("hba_file"), "{auto}");
    let restored = Pg::promoted(15, &target);
    assert_eq!(restored.psql("postgres", "show hba_file"), target.join("pg_hba.conf").display().to_string());
}

#[test]
fn another_cluster_is_not_overwritten_by_config_dir() {
    let world = lab(15);
    let etc = folder(&world, "etc");
    fill(&world, 1000);
    fs::write(etc.join("site.conf"), "work_mem = '7MB'\n").expect("write");
    let include = format!("\ninclude '{}/site.conf'\n", etc.display());
    let main = world.pg.data_dir().join("postgresql.conf");
    let text = fs::read_to_string(&main).expect("read");
    fs::write(&main, text + &include).expect("write");
    world.pg.psql("postgres", "select pg_reload_conf()");
    back_up(&world, &[]);
    let target = world.path("t");
    let args = ["restore", "--pgdata", &target.display().to_string()];
    let ran = world.run(&args);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let name = etc.join("site.conf").strip_prefix("/").expect("absolute").to_path_buf();
    assert!(target.join("elsewhere").join(name).exists());
}
