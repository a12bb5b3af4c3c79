//! What `verify` found of a dump or a backup, and how it finds it.

use super::catalog::{Manifest, Part, Stored};
use jiff::Timestamp;
use serde::Serialize;
use std::io::{ErrorKind, Read};
use toban_core::progress::Progress;
use toban_core::repo::signed::put_signed;
use toban_core::repo::{Repo, is_future};
use toban_core::sign::{SIGNATURE_SUFFIX, Signer};
use toban_core::stamp::parse_stamp;
use toban_core::store::Key;
use toban_core::sum::{Checked, Sum};
use toban_core::{Context, Error, Kind, Result, shutdown};

/// When something was last found whole, and when damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdicts {
    whole: Option<Timestamp>,
    damaged: Option<Timestamp>,
}

impl Verdicts {
    /// Takes a verdict of `at` into account, as of `now`. One of the future proves nothing when it is good, since it
    /// would hide what is found until then; when it is bad it counts as of now.
    pub(crate) fn add_verdict(&mut self, whole: bool, at: Timestamp, now: Timestamp) {
        match whole {
            true if is_future(at, now) => {}
            true => self.whole = self.whole.max(Some(at)),
            false => self.damaged = self.damaged.max(Some(if is_future(at, now) { now } else { at })),
        }
    }

    /// When it was found whole, if it has not been found damaged since.
    pub(crate) fn verified(self) -> Option<Timestamp> {
        self.whole.filter(|_| self.whole > self.damaged)
    }

    /// When it was found damaged, if it has not been found whole since; damage counts where both are of one second.
    pub(crate) fn damaged(self) -> Option<Timestamp> {
        self.damaged.filter(|_| self.damaged >= self.whole)
    }
}

/// What the end of a verdict's name says: `<time>.json`, or that of its signature.
pub(crate) fn parse_verdict(whole: bool, end: &str) -> Option<Part> {
    let signed = end.strip_suffix(SIGNATURE_SUFFIX);
    let at = parse_stamp(signed.unwrap_or(end).strip_suffix(".json")?)?;
    Some(signed.map_or(Part::Verdict { whole, at }, |_| Part::Signature(at)))
}

/// What is stored as the verdict.
#[derive(Serialize)]
struct VerdictObject<'a> {
    format: u32,
    id: &'a str,
    verdict: &'static str,
    at: Timestamp,
    by: &'static str,
    /// Tables whose rows were compared in a scratch database, with `--deep`.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_tables: Option<u64>,
}

/// That a dump or a backup is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundWhole {
    /// When the first of its objects was read: what happened to them later is not proven.
    pub(crate) at: Timestamp,
    /// Tables whose rows were compared in a scratch database, with `--deep`.
    pub(crate) restored_tables: Option<u64>,
}

/// How something is verified.
#[derive(Clone, Copy)]
pub(crate) struct VerifyMode<'a> {
    /// By presence and sizes alone, which prove too little to be remembered.
    pub(crate) fast: bool,
    /// Who signs the verdict.
    pub(crate) signer: Option<&'a Signer>,
}

impl<M: Manifest> Stored<M> {
    /// Verifies it by `check`, and keeps the verdict beside it, where `check`, `prune` and `list` find it. `None` for one
    /// that a prune has taken away meanwhile.
    pub(crate) fn verify_by(
        &self,
        mode: VerifyMode<'_>,
        check: impl FnOnce() -> Result<FoundWhole>,
    ) -> Result<Option<FoundWhole>> {
        match check() {
            Ok(found) => {
                if !mode.fast {
                    self.record_verdict(true, found, mode.signer);
                }
                Ok(Some(found))
            }
            Err(e) if e.kind() == Kind::Corrupt => {
                // Prune removes the manifest first: where it is gone, what is missing is no damage.
                if self.repo.store.stat(&self.manifest.manifest_key()?)?.is_none() {
                    log::info!("{} was pruned meanwhile", self.manifest.id());
                    return Ok(None);
                }
                self.record_damage(mode.signer);
                Err(e)
            }
            Err(e) => Err(e),
        }
    }

    /// Remembers that it is damaged.
    pub(crate) fn record_damage(&self, signer: Option<&Signer>) {
        self.record_verdict(false, FoundWhole { at: Timestamp::now(), restored_tables: None }, signer);
    }

    fn record_verdict(&self, whole: bool, found: FoundWhole, signer: Option<&Signer>) {
        let FoundWhole { at, restored_tables } = found;
        let id = self.manifest.id().to_string();
        let verdict = if whole { "proof" } else { "damage" };
        let by = concat!("pg-backup ", env!("CARGO_PKG_VERSION"));
        let object = VerdictObject { format: 1, id: &id, verdict, at, by, restored_tables };
        let put = || {
            let json = serde_json::to_vec(&object).doing(|| "write the verdict".into())?;
            put_signed(&*self.repo.store, &self.manifest.verdict_key(whole, at)?, &json, signer)
        };
        if let Err(e) = put() {
            // A credential that may only read can verify all the same.
            log::warn!("the verdict on {id} could not be stored in {}: {}", self.repo.name, e.chain());
        }
    }
}

/// Reads an object to its end and compares its sum; with `fast` only whether it is there and of its size.
///
/// # Errors
/// Corrupt when it is missing or another one.
pub(crate) fn verify_object(repo: &Repo, key: &Key, sum: &Sum, fast: bool) -> Result<()> {
    let missing = || Error::corrupt(format!("{key} is missing"));
    if fast {
        let object = repo.store.stat(key)?.ok_or_else(missing)?;
        if object.size != sum.bytes {
            return Err(Error::corrupt(format!("{key} has {} bytes, not {}", object.size, sum.bytes)));
        }
        return Ok(());
    }
    let body = repo.store.get(key, 0)?.ok_or_else(missing)?;
    let progress = Progress::bytes(&format!("verify {key}"), Some(sum.bytes), false);
    let mut checked = progress.wrap(Checked::new(body, sum.clone(), key.to_string()));
    let mut buf = vec![0; 1 << 18];
    loop {
        shutdown::check()?;
        match checked.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e).doing(|| format!("read {key}")),
        }
    }
}
