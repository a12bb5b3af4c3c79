//! Segments got before recovery asks for them.
//!
//! PostgreSQL asks for one file at a time and replays it before it asks for the next. So the first `fetch` leaves a
//! process behind that keeps the next few in a folder beside pg_wal's segments; it ends, and clears the folder, when
//! nobody has asked for a while, or when the folder is gone. It is a convenience: what it cannot get is left for the
//! call that wants it, which then says what is wrong.

use super::Job;
use super::place::Place;
use crate::{cli, local};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use toban_core::config::Config;
use toban_core::repo::keys::System;
use toban_core::sum::Measured;
use toban_core::wal::WalName;
use toban_core::{Context, Result, durable, stop};

/// The folder, beside the segments.
const FOLDER: &str = "toban-ahead";
/// The file in it that names the segment handed out last, and the size of segments.
const HANDED: &str = "handed";
const LOCK: &str = "lock";
/// How long the process stays when nobody asks.
const IDLE: Duration = Duration::from_secs(60);
/// How long a call waits for a segment that is on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

fn folder(place: &Path) -> PathBuf {
    place.parent().unwrap_or(Path::new(".")).join(FOLDER)
}

/// Hands over what was got ahead, if it is there and whole.
///
/// # Errors
/// When it cannot be moved.
pub(super) fn take(place: &Place) -> Result<bool> {
    let folder = folder(&place.path);
    let until = Instant::now() + ON_ITS_WAY;
    loop {
        if let Some((path, sha256)) = ready(&folder, place.name) {
            let kept = place.at(&path);
            if hash(&path).is_ok_and(|h| h == sha256) && kept.check(&path).is_ok() {
                kept.hand_over(&place.path)?;
                return Ok(true);
            }
            // Damaged on this disk: the repository has it whole.
            let _ = fs::remove_file(&path);
        }
        if !coming(&folder, place.name).exists() || Instant::now() > until {
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
}

/// `<name>-<sha256>`: complete when it has this name.
fn ready(folder: &Path, name: WalName) -> Option<(PathBuf, String)> {
    let begins = format!("{name}-");
    fs::read_dir(folder).ok()?.flatten().find_map(|e| {
        let file = e.file_name().into_string().ok()?;
        Some((e.path(), file.strip_prefix(&begins)?.to_string()))
    })
}

fn coming(folder: &Path, name: WalName) -> PathBuf {
    folder.join(format!("{name}.coming"))
}

fn hash(path: &Path) -> Result<String> {
    let doing = || format!("read {}", path.display());
    let mut file = Measured::new(File::open(path).doing(doing)?);
    std::io::copy(&mut file, &mut std::io::sink()).doing(doing)?;
    Ok(file.sum().sha256)
}

/// Says that `name` was handed out, and sees to it that somebody gets what comes next.
///
/// # Errors
/// None that matters: a missing convenience is logged.
pub(super) fn start(args: &cli::Fetch, name: WalName) -> Result<()> {
    if args.ahead == 0 || !matches!(name, WalName::Segment(..)) {
        return Ok(());
    }
    if let Err(e) = leave(args, name) {
        log::debug!("nothing is got ahead: {}", e.chain());
    }
    Ok(())
}

fn leave(args: &cli::Fetch, name: WalName) -> Result<()> {
    let folder = folder(&args.path);
    fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    let size = local::segment(&args.path, name, Some(system(args)?))?.segment_size;
    let handed = format!("{name} {size}");
    fs::write(folder.join(HANDED), handed).doing(|| format!("write into {}", folder.display()))?;
    if durable::Lock::take(&folder.join(LOCK), "get ahead").is_err() {
        return Ok(());
    }
    let program = std::env::current_exe().doing(|| "find this program".into())?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1).map(|a| if a == "fetch" { "get-ahead".into() } else { a }));
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).doing(|| "start a process that gets ahead".into())
}

fn system(args: &cli::Fetch) -> Result<u64> {
    args.system.map_or_else(|| local::system(Path::new(".")), Ok)
}

/// The process that stays.
///
/// # Errors
/// When another one is at it, or the configuration is off.
pub(crate) fn run(args: &cli::Fetch, config: &Config) -> Result<()> {
    let folder = folder(&args.path);
    let _lock = durable::Lock::take(&folder.join(LOCK), "get ahead")?;
    let identifier = system(args)?;
    let system = System { cluster: args.repos.cluster.clone(), identifier };
    let job = Job { repos: args.repos.open(config)?, system };
    let mut window = Window { folder, identifier, job, ahead: args.ahead as usize };
    window.keep();
    let _ = fs::remove_dir_all(&window.folder);
    Ok(())
}

/// The segments behind the one that was handed out last.
struct Window {
    folder: PathBuf,
    identifier: u64,
    job: Job,
    ahead: usize,
}

impl Window {
    /// Keeps it full until nobody has asked for a while.
    fn keep(&mut self) {
        let (mut last, mut since) = (String::new(), Instant::now());
        while since.elapsed() < IDLE && !stop::requested() {
            let Ok(handed) = fs::read_to_string(self.folder.join(HANDED)) else { return };
            if handed != last {
                (last, since) = (handed, Instant::now());
                self.fill(&last);
            }
            std::thread::sleep(POLL);
        }
    }

    fn fill(&self, handed: &str) {
        let Some((name, size)) = handed.split_once(' ') else { return };
        let (Ok(handed), Ok(size)) = (name.parse::<WalName>(), size.parse()) else { return };
        let Some(mut segment) = handed.segment(size) else { return };
        self.forget(handed);
        let mut missing = Vec::new();
        for _ in 0..self.ahead {
            segment = segment.next();
            let name = WalName::from(segment);
            if ready(&self.folder, name).is_none() {
                missing.push(name);
            }
        }
        let workers = std::thread::available_parallelism().map_or(2, |n| 2 * n.get());
        for few in missing.chunks(workers) {
            let got = std::thread::scope(|scope| {
                let all: Vec<_> = few.iter().map(|n| scope.spawn(|| self.get(*n))).collect();
                all.into_iter().all(|t| t.join().is_ok_and(|got| got))
            });
            if !got {
                return;
            }
        }
    }

    /// Whether it is there now.
    fn get(&self, name: WalName) -> bool {
        let coming = coming(&self.folder, name);
        let done = self.got(name, &coming);
        let _ = fs::remove_file(&coming);
        done.unwrap_or(false)
    }

    /// While it comes, an empty file says so.
    fn got(&self, name: WalName, coming: &Path) -> Result<bool> {
        let doing = || format!("keep {name}");
        fs::write(coming, "").doing(doing)?;
        let there = self.job.get(&Place::of(coming, name, self.identifier))?;
        if there {
            fs::rename(coming, self.folder.join(format!("{name}-{}", hash(coming)?))).doing(doing)?;
        }
        Ok(there)
    }

    /// What lies before the segment that was handed out is not asked for again.
    fn forget(&self, handed: WalName) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let file = entry.file_name();
            let name = file.to_str().and_then(|f| f.split_once('-')?.0.parse::<WalName>().ok());
            if name.is_some_and(|n| n <= handed) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
