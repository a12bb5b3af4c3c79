//! Removes the tails of segments that are whole, where the credential may.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use toban_core::repo::Repos;
use toban_core::repo::archive::{Archive, Tail};
use toban_core::repo::keys::System;
use toban_core::wal::WalName;
use toban_core::{Context, Kind, Result};

/// Tells the thread that sweeps; shipping does not wait for it.
pub(super) struct Sweeper(Sender<Option<WalName>>);

impl Sweeper {
    /// Starts it; first it looks for what an earlier run may have left.
    pub(super) fn start(repos: Repos, system: System) -> Result<Sweeper> {
        let (sender, segments) = channel();
        let _ = sender.send(None);
        let run = move || sweep_repos(&repos, &system, &segments);
        std::thread::Builder::new().name("sweep".into()).spawn(run).doing(|| "start a thread".into())?;
        Ok(Sweeper(sender))
    }

    /// `segment` is stored whole: its tails may go.
    pub(super) fn sweep_later(&self, segment: WalName) {
        let _ = self.0.send(Some(segment));
    }
}

fn sweep_repos(repos: &Repos, system: &System, segments: &Receiver<Option<WalName>>) {
    let mut refused = BTreeSet::new();
    for segment in segments {
        for repo in repos {
            if refused.contains(&repo.name) {
                continue;
            }
            let Err(e) = remove_tails(&Archive::new(&*repo.store, system.clone()), segment) else { continue };
            log::debug!("tails stay in repository {}: {}", repo.name, e.chain());
            if e.kind() != Kind::Retry {
                refused.insert(repo.name.clone());
            }
        }
    }
}

/// Those of `segment`, else of every segment that is there whole: asked of the store each time, since a tail is all that
/// there is of a segment until then.
fn remove_tails(archive: &Archive<'_>, segment: Option<WalName>) -> Result<()> {
    let tails = match segment {
        Some(segment) => archive.tails(segment)?,
        None => archive.all_tails()?,
    };
    let segments: BTreeSet<WalName> = tails.iter().map(|t| t.segment).collect();
    for segment in segments {
        // Only after the whole segment is seen in this repository: until then its tails are the only copy here.
        if archive.has(segment)? {
            let of = |t: &&Tail| t.segment == segment;
            tails.iter().filter(of).try_for_each(|t| archive.remove_tail(t))?;
        }
    }
    Ok(())
}
