//! Debian's layout: the configuration lies in /etc, and a restore brings it back.

use crate::lab::{back_up, content, fill, folder, lab, restore, serve};
use crate::world::World;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use testkit::Pg;

/// Moves the configuration to `etc`, as pg_createcluster places it, and starts the server by it.
fn debian(data: &Path, etc: &Path) -> World {
    fs::create_dir(etc.join("conf.d")).expect("make a folder");
    for name in ["pg_hba.conf", "pg_ident.conf", "postgresql.conf"] {
        fs::copy(data.join(name), etc.join(name)).expect("copy it to etc");
        fs::remove_file(data.join(name)).expect("remove it");
    }
    let main = fs::read_to_string(etc.join("postgresql.conf")).expect("read");
    let (d, e) = (data.display(), etc.display());
    let moved = format!(
        "{main}\ndata_directory = '{d}'\nhba_file = '{e}/pg_hba.conf'\nident_file = '{e}/pg_ident.conf'\n\
         external_pid_file = '{e}/15-main.pid'\ninclude_dir 'conf.d'\n"
    );
    fs::write(etc.join("postgresql.conf"), moved).expect("write");
    fs::write(etc.join("conf.d/site.conf"), "work_mem = '7MB'\n").expect("write");
    // The test kit looks for it where -D points to.
    symlink(data.join("postmaster.pid"), etc.join("postmaster.pid")).expect("link");
    let world = World::with(Pg::builder_major(15).serve(etc).start());
    fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o755)).expect("open it");
    world
}

#[test]
fn configuration_outside_the_data_directory_is_restored() {
    let mut first = lab(15);
    fill(&first, 1000);
    let before = content(&first.pg);
    let etc = folder(&first, "etc");
    let data = first.pg.data_dir().to_path_buf();
    first.pg.stop();
    let mut world = debian(&data, &etc);
    back_up(&world, &[]);
    world.pg.stop();

    let new_etc = world.path("new etc");
    let target = restore(&world, "beside", &["--config-dir", &new_etc.display().to_string()]);
    let text = fs::read_to_string(new_etc.join("postgresql.conf")).expect("restored");
    assert!(text.contains(&format!("data_directory = '{}'", target.display())), "{text}");
    assert_eq!(fs::read(new_etc.join("conf.d/site.conf")).expect("restored"), b"work_mem = '7MB'\n");
    assert!(!target.join("postgresql.conf").exists());

    let target = restore(&world, "inside", &[]);
    let restored = serve(15, &target);
    assert_eq!(content(&restored), before);
    let sql =
        "select current_setting('data_directory'), current_setting('work_mem'), current_setting('hba_file')";
    let dir = target.display();
    assert_eq!(restored.psql("postgres", sql), format!("{dir}|7MB|{dir}/pg_hba.conf"));
}
