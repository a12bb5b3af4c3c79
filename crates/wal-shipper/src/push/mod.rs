//! `push`: one file of the WAL into every repository, those that wait after it, and the histories that tell where its
//! timeline came from.

mod ahead;
mod histories;

use crate::gaps::record_gaps;
use crate::{cli, data_dir};
use histories::Histories;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use toban_core::config::Config;
use toban_core::repo::archive::{Archive, Compressed};
use toban_core::repo::cluster::{Cluster, FORMAT};
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, Repos};
use toban_core::wal::{Header, WalName};
use toban_core::{Context, Error, Result};

/// How long the repositories that are not required may take longer than the required ones.
const GRACE: Duration = Duration::from_secs(20);

/// What one call works with.
#[derive(Clone)]
struct PushJob {
    repos: Repos,
    cluster: String,
    level: i32,
    new_system: bool,
    /// What is known of the histories beside the file.
    histories: Arc<Histories>,
}

/// Stores the file, and ends when its time is up whatever a store does: the archiver waits for us and archives nothing
/// else meanwhile.
pub(crate) fn push_file(args: &cli::Push, config: &Config) -> Result<()> {
    let job = PushJob {
        repos: args.repos.open(config)?,
        cluster: args.repos.cluster.clone(),
        level: args.level,
        new_system: args.new_system,
        histories: Arc::new(Histories::in_folder_of(&args.path)),
    };
    let (path, ahead) = (args.path.clone(), ahead::LookAhead::new(args));
    let (done, ended) = mpsc::channel();
    let limit = args.timeout.0;
    std::thread::spawn(move || {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let own = name.parse().and_then(|name| job.store_file(&path, name));
        let stored = own.is_ok();
        // This call answers for its own file alone: each of the others gets a call of its own, which reports its failure.
        let _ = done.send(own);
        if stored {
            ahead.store_waiting(&job, &path);
        }
        drop(done);
    });
    let began = std::time::Instant::now();
    let own = ended.recv_timeout(limit).map_err(|_| late_error(args))?;
    own.doing(|| format!("push {}", args.path.display()))?;
    // The end of the thread closes the channel; at the end of the time the process ends, and the threads with it. What
    // they had not stored yet stays `.ready`.
    let _ = ended.recv_timeout(limit.saturating_sub(began.elapsed()));
    Ok(())
}

fn late_error(args: &cli::Push) -> Error {
    let e = Error::retry(format!("push {}: not done within {}", args.path.display(), args.timeout));
    e.hint("PostgreSQL keeps the file and tries again; is the repository reachable?")
}

impl PushJob {
    /// Stores the file at `path` as `name` in every repository. On return it is durable in each that is required: with our
    /// 0 PostgreSQL may recycle the file (manual, "Setting Up WAL Archiving": the command returns 0 "if and only if it
    /// succeeds").
    fn store_file(&self, path: &Path, name: WalName) -> Result<()> {
        let folder = path.parent().and_then(Path::parent).unwrap_or(Path::new("."));
        let (system, header) = match name {
            WalName::Segment(..) | WalName::Partial(..) => {
                // A copied or restored data directory has its system in pg_control; a bare folder of segments has none.
                let header =
                    data_dir::check_segment_file(path, name, data_dir::read_system_identifier(folder).ok())?;
                (header.system, Some(header))
            }
            WalName::History(_) | WalName::Backup(..) => (data_dir::read_system_identifier(folder)?, None),
        };
        let system = System { cluster: self.cluster.clone(), identifier: system };
        let file = Compressed::new(path, self.level)?;
        let (job, of) = (self.clone(), system.clone());
        let written = self.repos.write_each(GRACE, move |repo| {
            if let Some(header) = &header {
                job.claim_repo(repo, &of, header)?;
            }
            let archive = Archive::new(&*repo.store, of.clone());
            // Before the file: a segment whose timeline no history explains cannot be recovered to.
            job.histories.store_missing(&archive, repo, name)?;
            archive.put(name, &file).map(drop)
        });
        record_gaps(&written.settle()?, name, &system)
    }

    fn claim_repo(&self, repo: &Repo, system: &System, header: &Header) -> Result<()> {
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
