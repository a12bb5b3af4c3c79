//! One initdb per major and machine; every server starts from a copy.

use super::system::{as_owner, give, program, run};
use std::fs;
use std::path::{Path, PathBuf};

/// Copies the major's template cluster to `data`, making it first if nobody has.
pub(super) fn copy(major: u32, data: &Path) {
    let template = made(major);
    run(as_owner(Path::new("cp")).args(["-a", "--reflink=auto", "--"]).arg(template).arg(data));
}

fn made(major: u32) -> PathBuf {
    let initdb = program(major, "initdb");
    // By user: another's folder could neither be written nor trusted.
    let dir = PathBuf::from(format!("/tmp/toban-templates-{}", rustix::process::geteuid().as_raw()));
    fs::create_dir_all(&dir).expect("make the templates' folder");
    give(&dir);
    let template = dir.join(major.to_string());
    let lock = fs::File::create(dir.join(format!("{major}.lock"))).expect("open the template's lock");
    lock.lock().expect("lock the template");
    if !template.exists() {
        let fresh = template.with_extension("new");
        let _ = fs::remove_dir_all(&fresh);
        let mut initdb = as_owner(&initdb);
        initdb.args(["--locale=C.UTF-8", "-E", "UTF8", "-A", "trust", "-U", "postgres", "--no-sync", "-D"]);
        run(initdb.arg(&fresh));
        fs::rename(&fresh, &template).expect("publish the template");
    }
    template
}
