//! What the repositories hold: the dumps whose manifest is there, and what verify proved of them.

use crate::manifest::{self, Id, Manifest, Named, Source};
use crate::order::{self, Dated, Place, Taken};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use toban_core::repo::{Repo, is_future};
use toban_core::stamp::{parse_stamp, stamp};
use toban_core::store::{Key, Object};
use toban_core::sync::joined;
use toban_core::{Error, Kind, Result, shutdown};

/// What stands for the ID of the newest dump.
pub(crate) const LATEST: &str = "latest";

/// A dump in a repository.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) repo: Repo,
    pub(crate) manifest: Manifest,
    /// When verify found it whole, if it has not found it damaged since.
    pub(crate) verified: Option<Timestamp>,
    /// When verify found it damaged, if it has not found it whole since.
    pub(crate) damaged: Option<Timestamp>,
    /// When it was taken, as far as that can be known.
    pub(crate) taken: Taken,
    /// A part that its manifest names, and that is not there or of another size.
    pub(crate) lacks: Option<String>,
}

impl Stored {
    /// Whether it counts as a dump: nothing is known to be wrong with it.
    pub(crate) fn is_whole(&self) -> bool {
        self.damaged.is_none() && self.lacks.is_none()
    }

    fn place(&self) -> Option<Place> {
        self.manifest.source.as_ref().map(Source::place)
    }
}

/// All objects of a cluster's dumps in one repository.
pub(crate) struct Contents {
    /// The oldest first, of all databases; where their servers tell, by that and by no clock.
    pub(crate) dumps: Vec<Stored>,
    /// Every object and what its name tells.
    pub(crate) objects: Vec<(Named, Object)>,
    /// Manifests that do not read: their dumps are neither usable nor garbage.
    pub(crate) damaged: Vec<Error>,
}

/// Lists a repository and reads its manifests, as of now.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) fn read(repo: &Repo, cluster: &str) -> Result<Contents> {
    read_as_of(repo, cluster, Timestamp::now())
}

/// The same as of another moment: what is dated behind it is dated in the future.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) fn read_as_of(repo: &Repo, cluster: &str, now: Timestamp) -> Result<Contents> {
    let listed = repo.store.list(&manifest::root(cluster))?;
    let objects: Vec<(Named, Object)> =
        listed.into_iter().filter_map(|o| manifest::parse(cluster, &o.key).map(|n| (n, o))).collect();
    let manifests_named: Vec<(&Named, &Key)> =
        objects.iter().filter(|(n, _)| n.suffix == "json").map(|(n, o)| (n, &o.key)).collect();
    let proofs = proofs(&objects, now);
    let sizes: BTreeMap<&Key, u64> = objects.iter().map(|(_, o)| (&o.key, o.size)).collect();
    let (mut dumps, mut damaged) = (Vec::new(), Vec::new());
    for read in manifests(repo, &manifests_named)? {
        match read {
            Ok(manifest) => {
                let named = (manifest::encode(&manifest.database.name), manifest.id.clone());
                let (verified, damaged) = verdict(proofs.get(&named).copied().unwrap_or_default());
                let lacks = lacks(&manifest, &sizes)?;
                let taken = Taken::Unknown;
                dumps.push(Stored { repo: repo.clone(), manifest, verified, damaged, taken, lacks });
            }
            Err(e) => damaged.push(e),
        }
    }
    let dated = |s: &Stored| Dated {
        at: s.manifest.started,
        server: s.manifest.source.as_ref().map(|s| s.server_time),
        place: s.place(),
    };
    let dates: Vec<Dated> = dumps.iter().map(dated).collect();
    dumps.iter_mut().zip(order::taken(&dates, now)).for_each(|(stored, taken)| stored.taken = taken);
    dumps.sort_by_key(|s| (s.taken, s.place(), s.manifest.id.clone(), s.manifest.database.name.clone()));
    Ok(Contents { dumps, objects, damaged })
}

/// The first part that is not there, or of another size than its manifest says.
fn lacks(manifest: &Manifest, sizes: &BTreeMap<&Key, u64>) -> Result<Option<String>> {
    for (suffix, sum) in &manifest.parts {
        let key = manifest.key(suffix)?;
        match sizes.get(&key) {
            None => return Ok(Some(format!("{key} is missing"))),
            Some(bytes) if *bytes != sum.bytes => {
                return Ok(Some(format!("{key} has {bytes} bytes, not {}", sum.bytes)));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Reads manifests by a few threads: a year of nights in a bucket is hundreds of small requests.
fn manifests(repo: &Repo, named: &[(&Named, &Key)]) -> Result<Vec<Result<Manifest>>> {
    let next = AtomicUsize::new(0);
    let reader = || -> Result<Vec<Result<Manifest>>> {
        let mut read = Vec::new();
        while let Some((named, key)) = named.get(next.fetch_add(1, Ordering::Relaxed)) {
            shutdown::check()?;
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
        let joined = readers.into_iter().map(|r| joined(r.join()));
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

/// When something was last found whole, and when damaged.
pub(crate) type Proven = (Option<Timestamp>, Option<Timestamp>);

/// The newer of the two counts, and damage where both are of one second.
pub(crate) fn verdict((whole, broken): Proven) -> Proven {
    (whole.filter(|_| whole > broken), broken.filter(|_| broken >= whole))
}

/// The newest proofs of each dump, by the times in their names.
fn proofs(objects: &[(Named, Object)], now: Timestamp) -> BTreeMap<(String, Id), Proven> {
    let mut newest: BTreeMap<(String, Id), Proven> = BTreeMap::new();
    for (named, _) in objects {
        let Some((verdict, at)) = proof_of(&named.suffix) else { continue };
        note(
            newest.entry((named.database.clone(), named.id.clone())).or_default(),
            verdict == WHOLE,
            at,
            now,
        );
    }
    newest
}

/// Takes a verdict of `at` into account, as of `now`. One of the future proves nothing when it is good, since it would
/// hide what is found until then; when it is bad it counts as of now.
pub(crate) fn note(proven: &mut Proven, whole: bool, at: Timestamp, now: Timestamp) {
    match whole {
        true if is_future(at, now) => {}
        true => proven.0 = proven.0.max(Some(at)),
        false => proven.1 = proven.1.max(Some(if is_future(at, now) { now } else { at })),
    }
}

/// What `verify` proved of a dump.
pub(crate) const WHOLE: &str = "proof";
pub(crate) const DAMAGED: &str = "damage";

/// The ending of a proof's name: `proof.20261121T030000Z.json`, `damage.…`.
pub(crate) fn proof_suffix(verdict: &str, at: Timestamp) -> String {
    format!("{verdict}.{}.json", stamp(at))
}

/// The verdict and the time in a proof's name.
pub(crate) fn proof_of(suffix: &str) -> Option<(&'static str, Timestamp)> {
    let (verdict, rest) = suffix.split_once('.')?;
    let verdict = [WHOLE, DAMAGED].into_iter().find(|v| *v == verdict)?;
    Some((verdict, parse_stamp(rest.strip_suffix(".json")?)?))
}

/// What a repository holds, and its damaged manifests.
type Held<T> = Result<(Vec<T>, Vec<Error>)>;

/// How one thing of several repositories is found.
pub(crate) struct Search<'a, T> {
    pub(crate) read: &'a dyn Fn(&Repo) -> Held<T>,
    /// The one that is meant.
    pub(crate) pick: &'a dyn Fn(Vec<T>) -> Result<Option<T>>,
    pub(crate) newer: &'a dyn Fn(T, T) -> T,
    /// What to say when no repository has it; it is given their names.
    pub(crate) absent: &'a dyn Fn(String) -> Error,
}

impl<T> Search<'_, T> {
    /// By `id` from the first repository that has it; for `latest` the newest that any of them has. A repository
    /// that cannot be asked is passed over with a warning while others can, and so is a damaged manifest.
    ///
    /// # Errors
    /// Usage when there is none; but absence is proven only when every repository could be asked.
    pub(crate) fn run(&self, repos: &[Repo], id: &str) -> Result<T> {
        let (mut found, mut trouble) = (None, None);
        for repo in repos {
            let (all, damaged) = match (self.read)(repo) {
                Ok(read) => read,
                Err(e) => (Vec::new(), vec![e]),
            };
            for e in damaged {
                log::warn!("repository {}: {}", repo.name, e.chain());
                trouble = trouble.or(Some(e));
            }
            found = found.into_iter().chain((self.pick)(all)?).reduce(self.newer);
            if id != LATEST && found.is_some() {
                break;
            }
        }
        let places: Vec<&str> = repos.iter().map(|r| r.name.as_str()).collect();
        found.ok_or_else(|| trouble.unwrap_or_else(|| (self.absent)(places.join(", "))))
    }
}

/// Finds one dump: by `id`, from the first repository that has it; or for `latest` the newest that any of them has,
/// safety dumps aside. Of database `of` where that is needed to tell.
///
/// # Errors
/// Usage when there is none or more than one.
pub(crate) fn find(repos: &[Repo], cluster: &str, id: &str, of: Option<&str>) -> Result<Stored> {
    let search = Search {
        read: &|repo| read(repo, cluster).map(|c| (c.dumps, c.damaged)),
        pick: &|dumps| pick(dumps, id, of),
        newer: &newer,
        absent: &|places| {
            let of = of.map(|d| format!(" of database {d:?}")).unwrap_or_default();
            let e = Error::usage(format!("no dump {id}{of} of cluster {cluster} in {places}"));
            e.hint("`pg-backup list` shows what there is; --of DATABASE names another one's")
        },
    };
    search.run(repos, id)
}

/// Of the same dump in two repositories the first: it is named first because it is near.
fn newer(a: Stored, b: Stored) -> Stored {
    let of_one_system = match (a.place(), b.place()) {
        // A quiet server is at one place for days: then the times decide.
        (Some(a), Some(b)) if a.0 == b.0 && a != b => Some(a < b),
        _ => None,
    };
    let by_time = || (a.taken, &a.manifest.id) < (b.taken, &b.manifest.id);
    if of_one_system.unwrap_or_else(by_time) { b } else { a }
}

fn pick(dumps: Vec<Stored>, id: &str, of: Option<&str>) -> Result<Option<Stored>> {
    let wanted = |s: &Stored| {
        let m = &s.manifest;
        let meant = if id == LATEST { !m.is_safety() } else { m.id.to_string() == id };
        meant && of.is_none_or(|d| d == m.database.name)
    };
    let fit: Vec<Stored> = dumps.into_iter().filter(wanted).collect();
    let mut names: Vec<&str> = fit.iter().map(|s| s.manifest.database.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > 1 {
        let e = Error::usage(format!("{id} is one dump of each of {}", names.join(", ")));
        return Err(e.hint("say which with --of DATABASE"));
    }
    let picked = fit.into_iter().next_back();
    if let Some(s) = picked.as_ref().filter(|s| s.taken == Taken::Unknown) {
        log::warn!(
            "{} is dated in the future: a clock was wrong, and when it was taken is not known",
            s.manifest.id
        );
    }
    Ok(picked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proofs_name_tells_its_time() {
        let at: Timestamp = "2026-11-21T03:00:00Z".parse().expect("a time");
        assert_eq!(proof_of(&proof_suffix(WHOLE, at)), Some((WHOLE, at)));
        assert_eq!(proof_of(&proof_suffix(DAMAGED, at)), Some((DAMAGED, at)));
        for other in ["json", "proof.yesterday.json", "dump", "hope.20261121T030000Z.json"] {
            assert_eq!(proof_of(other), None);
        }
    }
}
