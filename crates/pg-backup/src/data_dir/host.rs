//! What of a machine the order of indexes and the start of a server depend on, and how another one differs.

use crate::format::backup::Host;
use postgres::Client;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use toban_core::pg::postmaster_pid;
use toban_core::{Context, Result};

/// The facts of the server and its machine; of another machine, `name`, only those that the server says.
pub(crate) fn read_host(client: &mut Client, data_dir: Option<&Path>, name: &str) -> Result<Host> {
    let sql = "select (select pg_collation_actual_version(oid) from pg_collation where collprovider = 'i' limit 1), \
               (select datcollate::text from pg_database where datname = 'template1'), \
               array(select distinct l from pg_database, unnest(array[datcollate, datctype]::text[]) l order by 1), \
               current_setting('shared_preload_libraries'), \
               array(select extname || ' ' || extversion from pg_extension order by 1)";
    let row = client.query_one(sql, &[]).doing(|| "ask for collations and extensions".into())?;
    Ok(Host {
        name: name.into(),
        libc: data_dir.map(|_| read_libc()).unwrap_or_default(),
        icu: row.get(0),
        icu_library: data_dir.and_then(find_icu_library),
        locale: row.get::<_, Option<String>>(1).unwrap_or_default(),
        locales: row.get(2),
        preload: row.get(3),
        extensions: row.get(4),
    })
}

/// `glibc 2.36`; empty where there is no getconf to say.
fn read_libc() -> String {
    output_of(Command::new("getconf").arg("GNU_LIBC_VERSION")).trim().to_string()
}

fn output_of(command: &mut Command) -> String {
    command.output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
}

/// The file, among those that the server has mapped.
fn find_icu_library(data_dir: &Path) -> Option<String> {
    let pid = postmaster_pid(data_dir)?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let library = maps.lines().filter_map(|l| l.split_whitespace().last()).find(|f| f.contains("/libicuuc"));
    library.map(String::from)
}

/// This machine, as far as a restore can ask it.
struct Here {
    libc: String,
    /// What the linker finds, by `ldconfig -p`; empty where there is none.
    libraries: String,
    /// By `locale -a`, as [`plain_locale`] spells them.
    locales: BTreeSet<String>,
}

/// What differs between the machine that was backed up and this one, and may matter: one sentence each.
pub(crate) fn find_differences(there: &Host) -> Vec<String> {
    let path = "/usr/sbin:/sbin:/usr/bin:/bin";
    let here = Here {
        libc: read_libc(),
        libraries: output_of(Command::new("ldconfig").arg("-p").env("PATH", path)),
        locales: output_of(Command::new("locale").arg("-a")).lines().map(plain_locale).collect(),
    };
    compare_hosts(there, &here)
}

fn compare_hosts(there: &Host, here: &Here) -> Vec<String> {
    let mut all = Vec::new();
    if !here.libc.is_empty() && !there.libc.is_empty() && here.libc != there.libc {
        all.push(format!(
            "the backup is of a machine with {}, this one has {}: indexes on text may be in another order; \
             reindex them, and run pg_amcheck",
            there.libc, here.libc
        ));
    }
    let library = there.icu_library.as_deref().filter(|l| !here.libraries.is_empty() && !is_here(l, here));
    if let Some(library) = library {
        all.push(format!(
            "the server that was backed up had loaded {library}, which is not on this machine: another ICU may order \
             text otherwise; reindex what uses its collations"
        ));
    }
    let missing =
        |l: &&String| !["", "C", "POSIX"].contains(&l.as_str()) && !here.locales.contains(&plain_locale(l));
    let missing: Vec<&str> = there.locales.iter().filter(missing).map(String::as_str).collect();
    if !here.locales.is_empty() && !missing.is_empty() {
        all.push(format!(
            "databases of the backup have the locale {}, which this machine has not: make it before they are used",
            missing.join(", ")
        ));
    }
    all
}

/// The very file, or one of the same major that the linker finds: `libicuuc.so.72`.
fn is_here(library: &str, here: &Here) -> bool {
    let name = library.rsplit('/').next().unwrap_or(library);
    let major: Vec<&str> = name.split('.').take(3).collect();
    Path::new(library).exists() || here.libraries.contains(&format!("{} ", major.join(".")))
}

/// `en_US.UTF-8` and `en_US.utf8` are one.
fn plain_locale(locale: &str) -> String {
    locale.to_lowercase().replace("utf-8", "utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_and_nothing_else() {
        let here = Here {
            libc: "glibc 2.36".into(),
            libraries: "\tlibicuuc.so.72 (libc6,x86-64) => /usr/lib/libicuuc.so.72\n".into(),
            locales: ["C", "C.utf8", "en_US.utf8"].map(plain_locale).into(),
        };
        let of = |libc: &str, icu: &str, locale: &str| Host {
            libc: libc.into(),
            icu_library: Some(icu.into()),
            locales: vec!["C".into(), locale.into()],
            ..Host::default()
        };
        assert_eq!(compare_hosts(&of("glibc 2.36", "/x/libicuuc.so.72.1", "en_US.UTF-8"), &here), [""; 0]);
        assert_eq!(compare_hosts(&of("", "/x/libicuuc.so.72.1", "C.UTF-8"), &here), [""; 0]);
        let all = compare_hosts(&of("glibc 2.41", "/x/libicuuc.so.76.1", "de_DE.UTF-8"), &here);
        for (line, what) in all.iter().zip(["has glibc 2.36", "libicuuc.so.76.1", "de_DE.UTF-8"]) {
            assert!(line.contains(what), "{what} is not in: {line}");
        }
        assert_eq!(all.len(), 3);
    }
}
