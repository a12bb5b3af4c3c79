//! What the repositories hold: the dumps whose manifest is there, and what verify proved of them.

use crate::manifest::{self, Id, Manifest, Named};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use toban_core::repo::Repo;
use toban_core::store::{Key, Object};
use toban_core::{Error, Kind, Result, stop};

/// A dump in a repository.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) repo: Repo,
    pub(crate) manifest: Manifest,
    /// When verify last found it whole.
    pub(crate) verified: Option<Timestamp>,
}

/// All objects of a cluster's dumps in one repository.
pub(crate) struct Contents {
    /// By time of the dump, the oldest first, of all databases.
    pub(crate) dumps: Vec<Stored>,
    /// Every object and what its name tells.
    pub(crate) objects: Vec<(Named, Object)>,
    /// Manifests that do not read: their dumps are neither usable nor garbage.
    pub(crate) damaged: Vec<Error>,
}

/// Lists a repository and reads its manifests.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) fn read(repo: &Repo, cluster: &str) -> Result<Contents> {
    let listed = repo.store.list(&manifest::root(cluster))?;
    let objects: Vec<(Named, Object)> =
        listed.into_iter().filter_map(|o| manifest::parse(cluster, &o.key).map(|n| (n, o))).collect();
    let manifests_named: Vec<(&Named, &Key)> =
        objects.iter().filter(|(n, _)| n.suffix == "json").map(|(n, o)| (n, &o.key)).collect();
    let proofs = proofs(&objects);
    let (mut dumps, mut damaged) = (Vec::new(), Vec::new());
    for read in manifests(repo, &manifests_named)? {
        match read {
            Ok(manifest) => {
                let named = (manifest::encode(&manifest.database.name), manifest.id.clone());
                let verified = proofs.get(&named).copied();
                dumps.push(Stored { repo: repo.clone(), manifest, verified });
            }
            Err(e) => damaged.push(e),
        }
    }
    dumps.sort_by(|a, b| {
        (&a.manifest.id, &a.manifest.database.name).cmp(&(&b.manifest.id, &b.manifest.database.name))
    });
    Ok(Contents { dumps, objects, damaged })
}

/// Reads manifests by a few threads: a year of nights in a bucket is hundreds of small requests.
fn manifests(repo: &Repo, named: &[(&Named, &Key)]) -> Result<Vec<Result<Manifest>>> {
    let next = AtomicUsize::new(0);
    let reader = || -> Result<Vec<Result<Manifest>>> {
        let mut read = Vec::new();
        while let Some((named, key)) = named.get(next.fetch_add(1, Ordering::Relaxed)) {
            stop::check()?;
            match one(repo, named, key) {
                Err(e) if e.kind() != Kind::Corrupt && e.kind() != Kind::Usage => return Err(e),
                // Pruned between the listing and now: gone is fine.
                Ok(None) => {}
                Ok(Some(manifest)) => read.push(Ok(manifest)),
                Err(e) => read.push(Err(e)),
            }
        }
        Ok(read)
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..named.len().min(8)).map(|_| scope.spawn(reader)).collect();
        let joined =
            readers.into_iter().map(|r| r.join().unwrap_or_else(|_| Err(Error::failed("a thread died"))));
        Ok(joined.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    })
}

fn one(repo: &Repo, named: &Named, key: &Key) -> Result<Option<Manifest>> {
    let Some(manifest) = Manifest::read(&*repo.store, key)? else { return Ok(None) };
    if manifest.id == named.id && manifest::encode(&manifest.database.name) == named.database {
        return Ok(Some(manifest));
    }
    Err(Error::corrupt(format!(
        "{key} is the manifest of another dump, {} {}",
        manifest.database.name, manifest.id
    )))
}

/// The newest proof of each dump, by the time in its name.
fn proofs(objects: &[(Named, Object)]) -> BTreeMap<(String, Id), Timestamp> {
    let mut newest = BTreeMap::new();
    for (named, _) in objects {
        if let Some(at) = proof_time(&named.suffix) {
            let seen = newest.entry((named.database.clone(), named.id.clone())).or_insert(at);
            *seen = at.max(*seen);
        }
    }
    newest
}

/// The ending of a proof's name: `proof.20261121T030000Z.json`.
pub(crate) fn proof_suffix(at: Timestamp) -> String {
    format!("proof.{}.json", at.strftime("%Y%m%dT%H%M%SZ"))
}

/// The time in a proof's name.
pub(crate) fn proof_time(suffix: &str) -> Option<Timestamp> {
    let stamp = suffix.strip_prefix("proof.")?.strip_suffix(".json")?;
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).ok()?;
    time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp())
}

/// Finds one dump: by `id`, or for `latest` the newest that is no safety dump; of database `of` where that is needed to tell. The first
/// repository that has it serves it; one that cannot be asked is passed over with a warning while others can.
///
/// # Errors
/// Usage when there is none or more than one.
pub(crate) fn find(repos: &[Repo], cluster: &str, id: &str, of: Option<&str>) -> Result<Stored> {
    let mut trouble = None;
    for repo in repos {
        let contents = match read(repo, cluster) {
            Ok(contents) => contents,
            Err(e) => {
                log::warn!("repository {}: {}", repo.name, e.chain());
                trouble = Some(e);
                continue;
            }
        };
        if let Some(found) = pick(contents.dumps, id, of)? {
            return Ok(found);
        }
        trouble = trouble.or(contents.damaged.into_iter().next());
    }
    // Absence is proven only when every repository was asked.
    Err(trouble.unwrap_or_else(|| {
        let of = of.map(|d| format!(" of database {d:?}")).unwrap_or_default();
        let places: Vec<&str> = repos.iter().map(|r| r.name.as_str()).collect();
        let e = Error::usage(format!("no dump {id}{of} of cluster {cluster} in {}", places.join(", ")));
        e.hint("`pg-backup list` shows what there is")
    }))
}

fn pick(dumps: Vec<Stored>, id: &str, of: Option<&str>) -> Result<Option<Stored>> {
    let wanted = |s: &Stored| {
        let m = &s.manifest;
        let named = m.id.to_string() == id || (id == "latest" && !m.is_safety());
        named && of.is_none_or(|d| d == m.database.name)
    };
    let fit: Vec<Stored> = dumps.into_iter().filter(wanted).collect();
    let mut names: Vec<&str> = fit.iter().map(|s| s.manifest.database.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > 1 {
        let e = Error::usage(format!("{id} is one dump of each of {}", names.join(", ")));
        return Err(e.hint("say which with --of DATABASE"));
    }
    Ok(fit.into_iter().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proofs_name_tells_its_time() {
        let at: Timestamp = "2026-11-21T03:00:00Z".parse().expect("a time");
        assert_eq!(proof_time(&proof_suffix(at)), Some(at));
        assert_eq!(proof_time("json"), None);
        assert_eq!(proof_time("proof.yesterday.json"), None);
    }
}
