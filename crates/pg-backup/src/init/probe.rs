//! Whether a repository does what is asked of it, tried with objects that go again.

use std::io::Read;
use toban_core::repo::Repo;
use toban_core::store::{Attrs, Key, Stored};
use toban_core::{Context, Error, Kind, Result};

/// Longer than what is sent in one request.
const LARGE: u64 = 20 << 20;
const SMALL: &[u8] = b"{\"probe\": \"pg-backup init; may be deleted\"}\n";

/// Tries put, get, range, list, create-if-absent, multipart, and delete; with `lock` the first put proves that too.
///
/// # Errors
/// What the repository does not do; that it refuses to delete is well for a writer, and is logged.
pub(super) fn probe_repo(repo: &Repo) -> Result<()> {
    // Of a kind that is neither locked nor encrypted, and always the same: a repository in which nothing may be deleted keeps two.
    let key = |name: &str| format!("toban-probe/0/proof/{name}.json").parse::<Key>();
    let (small, large) = (key("small")?, key("large")?);
    let probe = Probe { repo, small: &small, large: &large };
    let tried = probe.try_each();
    // A service that does not answer need not be asked again.
    if tried.as_ref().is_err_and(|e| e.kind() == Kind::Retry) {
        return tried;
    }
    if let Err(e) = [&small, &large].into_iter().try_for_each(|key| repo.store.remove(key)) {
        log::info!("{}: {}: pg-backup prune needs other credentials there", repo.name, e.chain());
    }
    tried
}

struct Probe<'a> {
    repo: &'a Repo,
    small: &'a Key,
    large: &'a Key,
}

impl Probe<'_> {
    fn try_each(&self) -> Result<()> {
        let store = &self.repo.store;
        let doing = |what: &str| format!("probe {}: {what}", self.repo.name);
        store.put(self.small, &mut &SMALL[..], &Attrs::new()).doing(|| doing("put"))?;
        if self.read_from(0).doing(|| doing("get"))? != SMALL {
            return Err(self.refuse("it gives back other bytes than it was given"));
        }
        // A restore reads frames out of packs: a service or a proxy that answers a range with the whole object shows
        // here.
        if self.read_from(10).doing(|| doing("get a range"))? != SMALL[10..] {
            return Err(self.refuse("it gives back another range than it was asked for"));
        }
        let listed = store.list("toban-probe/").doing(|| doing("list"))?;
        if !listed.iter().any(|object| object.key == *self.small) {
            return Err(self.refuse("it does not list what it has"));
        }
        let again =
            store.put(self.small, &mut &b"{}"[..], &Attrs::new()).doing(|| doing("create if absent"))?;
        // Of two writers of one name each would take the object for its own. So what is there afterwards is looked at
        // too, and not only what the service answers.
        if again == Stored::New || self.read_from(0)? != SMALL {
            return Err(
                self.refuse("it overwrites what is there, although it is asked not to (If-None-Match)")
            );
        }
        let mut body = std::io::repeat(b' ').take(LARGE);
        store.put(self.large, &mut body, &Attrs::new()).doing(|| doing("store in parts"))?;
        match store.stat(self.large)?.map(|object| object.size) {
            Some(LARGE) => Ok(()),
            other => {
                Err(self.refuse(&format!("of {LARGE} bytes that were stored in parts it has {other:?}")))
            }
        }
    }

    fn read_from(&self, from: u64) -> Result<Vec<u8>> {
        let body = self.repo.store.get(self.small, from)?;
        let mut bytes = Vec::new();
        let body = body.ok_or_else(|| self.refuse("it does not have what it took a moment ago"))?;
        body.take(1 << 10).read_to_end(&mut bytes).doing(|| format!("read {}", self.small))?;
        Ok(bytes)
    }

    fn refuse(&self, why: &str) -> Error {
        Error::failed(format!("repository {} cannot be used: {why}", self.repo.name))
    }
}
