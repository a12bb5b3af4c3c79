//! `push`: one file of the WAL into every repository, those that wait behind it, and the histories that tell where its
//! timeline came from.

mod ahead;
mod histories;

use crate::{cli, local, places};
use histories::Histories;
use std::path::Path;
use std::sync::{Arc, mpsc};
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Compressed};
use toban_core::repo::cluster::{Cluster, FORMAT};
use toban_core::repo::keys::System;
use toban_core::wal::{Header, WalName};
use toban_core::{Context, Error, Result};

/// What one call works with.
#[derive(Clone)]
struct Job {
    repos: Vec<Repo>,
    cluster: String,
    level: i32,
    new_system: bool,
    /// What is known of the histories beside the file.
    histories: Arc<Histories>,
}

/// Runs the verb, and ends when its time is up whatever a store does: the archiver waits for us and archives nothing
/// else meanwhile.
pub(crate) fn run(args: &cli::Push, config: &Config) -> Result<()> {
    let job = Job {
        repos: args.repos.open(config)?,
        cluster: args.repos.cluster.clone(),
        level: args.level,
        new_system: args.new_system,
        histories: Arc::new(Histories::beside(&args.path)),
    };
    let (path, ahead) = (args.path.clone(), ahead::Ahead::of(args));
    let (done, ended) = mpsc::channel();
    let limit = args.timeout.0;
    std::thread::spawn(move || {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let own = name.parse().and_then(|name| job.push(&path, name));
        let well = own.is_ok();
        // What waits behind is a bonus: that of its own call is what this one answers for.
        let _ = done.send(own);
        if well {
            ahead.run(&job, &path);
        }
        drop(done);
    });
    let began = std::time::Instant::now();
    let own = ended.recv_timeout(limit).map_err(|_| late(args))?;
    own.doing(|| format!("push {}", args.path.display()))?;
    // The end of the thread closes the channel; a bonus that is late is broken off.
    let _ = ended.recv_timeout(limit.saturating_sub(began.elapsed()));
    Ok(())
}

fn late(args: &cli::Push) -> Error {
    let e = Error::retry(format!("push {}: not done within {}", args.path.display(), args.timeout));
    e.hint("PostgreSQL keeps the file and tries again; is the repository reachable?")
}

impl Job {
    /// Stores the file at `path` as `name` in every repository.
    fn push(&self, path: &Path, name: WalName) -> Result<()> {
        let data_dir = path.parent().and_then(Path::parent).unwrap_or(Path::new("."));
        let (system, header) = match name {
            WalName::Segment(..) | WalName::Partial(..) => {
                // A copied or restored data directory tells its system in pg_control; a bare folder of segments has none.
                let header = local::segment(path, name, local::system(data_dir).ok())?;
                (header.system, Some(header))
            }
            WalName::History(_) | WalName::Backup(..) => (local::system(data_dir)?, None),
        };
        let system = System { cluster: self.cluster.clone(), identifier: system };
        let file = Compressed::new(path, self.level)?;
        let (job, of) = (self.clone(), system.clone());
        let done = places::patiently(&self.repos, move |repo| {
            if let Some(header) = &header {
                job.claim(repo, &of, header)?;
            }
            let archive = Archive::new(&*repo.store, of.clone());
            job.histories.bring(&archive, repo, name)?;
            archive.put(name, &file).map(drop)
        });
        let settled = places::settle(&self.repos, done)?;
        settled.note(name, &system)
    }

    fn claim(&self, repo: &Repo, system: &System, header: &Header) -> Result<()> {
        let major = header.major().ok_or_else(|| {
            Error::failed(format!(
                "the WAL's version {:#06X} is of no PostgreSQL that this program knows",
                header.magic
            ))
        })?;
        let cluster = Cluster {
            format: FORMAT,
            system_identifier: system.identifier.to_string(),
            major,
            wal_segment_size: header.segment_size,
        };
        cluster.claim(&*repo.store, system, self.new_system)
    }
}
