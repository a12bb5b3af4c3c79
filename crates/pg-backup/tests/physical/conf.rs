//! Debian's layout: the configuration lies in /etc, and a restore brings it back.

use crate::lab::{back_up, content, fill, folder, lab, restore, serve, verified};
use std::fs;
use std::path::Path;

#[test]
fn configuration_outside_the_data_directory_is_restored() {
    let mut world = lab(15);
    fill(&world, 1000);
    let before = content(&world.pg);
    let etc = folder(&world, "etc");
    let data = world.pg.data_dir().to_path_buf();
    world.pg.stop();
    // As pg_createcluster leaves it: nothing but a pointer in the data directory of a running server.
    fs::create_dir(etc.join("conf.d")).expect("make a folder");
    for name in ["pg_hba.conf", "pg_ident.conf"] {
        fs::copy(data.join(name), etc.join(name)).expect("copy it to etc");
        fs::remove_file(data.join(name)).expect("remove it");
    }
    let main = fs::read_to_string(data.join("postgresql.conf")).expect("read");
    let (d, e) = (data.display(), etc.display());
    let moved = format!(
        "{main}\ndata_directory = '{d}'\nhba_file = '{e}/pg_hba.conf'\nident_file = '{e}/pg_ident.conf'\n\
         external_pid_file = '{e}/15-main.pid'\ninclude_dir 'conf.d'\n"
    );
    fs::write(etc.join("postgresql.conf"), moved).expect("write");
    fs::write(etc.join("conf.d/site.conf"), "work_mem = '7MB'\n").expect("write");
    fs::write(
        data.join("postgresql.conf"),
        format!("include '{e}/postgresql.conf'\nconfig_file = '{e}/postgresql.conf'\n"),
    )
    .expect("write");
    world.pg.restart();
    back_up(&world, &[]);
    world.pg.stop();

    let target = restore(&world, "beside", &["--config-dir", &world.path("new etc").display().to_string()]);
    let text = fs::read_to_string(world.path("new etc/postgresql.conf")).expect("restored");
    assert!(text.contains(&format!("data_directory = '{}'", target.display())), "{text}");
    assert_eq!(fs::read(world.path("new etc/conf.d/site.conf")).expect("restored"), b"work_mem = '7MB'\n");

    let target = restore(&world, "inside", &[]);
    verified(&world.pg, &target);
    assert!(target.join("pg_hba.conf").exists() && target.join("conf.d/site.conf").exists());
    let restored = serve(15, &target);
    assert_eq!(content(&restored), before);
    let shown =
        restored.psql("postgres", "select current_setting('data_directory'), current_setting('work_mem')");
    assert_eq!(shown, format!("{}|7MB", target.display()));
    assert!(Path::new(&etc).exists());
}
