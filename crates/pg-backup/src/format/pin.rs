//! A pin: somebody keeps a backup or a dump whatever the rules say, and writes down why (docs/FORMATS.md, "Pins").

use super::catalog::{Manifest, NamedObject, Note, Part};
use super::id::Id;
use crate::machine;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toban_core::repo::Repo;
use toban_core::repo::sealed::{FORMAT, parse_sealed, write_sealed};
use toban_core::stamp::iso_seconds;
use toban_core::store::{Key, read_small};
use toban_core::{Kind, Result};

/// Bytes of the largest pin.
const LARGEST: u64 = 64 << 10;

/// A pin, or the end of one: of several the one with the latest time in its name counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PinRecord {
    pub(crate) format: u32,
    pub(crate) id: Id,
    pub(crate) at: Timestamp,
    /// Whether it is pinned from now on, or no longer.
    pub(crate) pinned: bool,
    pub(crate) why: String,
    /// When the pin ends by itself.
    pub(crate) until: Option<Timestamp>,
}

impl PinRecord {
    /// What says from `at` on that `id` is pinned.
    pub(crate) fn new(id: &Id, at: Timestamp, why: &str, until: Option<Timestamp>) -> PinRecord {
        PinRecord { format: FORMAT, id: id.clone(), at, pinned: true, why: why.into(), until }
    }

    /// What ends it.
    pub(crate) fn end(id: &Id, at: Timestamp) -> PinRecord {
        PinRecord { pinned: false, ..PinRecord::new(id, at, "", None) }
    }

    /// Why it keeps what it is of, where it does so at `now`: `pinned until 2027-01-01T00:00:00Z: lawsuit`.
    pub(crate) fn describe(&self, now: Timestamp) -> Option<String> {
        let holds = self.pinned && self.until.is_none_or(|until| until > now);
        let until = self.until.map(|at| format!(" until {}", iso_seconds(at))).unwrap_or_default();
        holds.then(|| format!("pinned{until}: {}", self.why))
    }

    /// The bytes of its object.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        write_sealed(self)
    }

    /// Stores it beside `manifest`.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn store(&self, repo: &Repo, manifest: &impl Manifest) -> Result<()> {
        repo.put_new(&manifest.note_key(Note::Pin, self.at)?, &mut &self.to_json()?[..])
    }
}

/// The newest pin of each that has any.
///
/// # Errors
/// When the store could not be asked. A pin that does not read keeps what it is of.
pub(crate) fn read_newest<M: Manifest>(
    repo: &Repo,
    objects: &[NamedObject<M>],
) -> Result<BTreeMap<(M::Series, Id), PinRecord>> {
    let mut newest: BTreeMap<(M::Series, Id), (Timestamp, &Key)> = BTreeMap::new();
    for (named, object) in objects {
        let Part::Pin(at) = named.part else { continue };
        let of = newest.entry((named.series.clone(), named.id.clone())).or_insert((at, &object.key));
        *of = (*of).max((at, &object.key));
    }
    let newest: Vec<_> = newest.into_iter().collect();
    let read = machine::in_parallel(&newest, 8, |(of, (at, key))| {
        let Some(json) = read_small(&*repo.store, key, LARGEST)? else { return Ok(None) };
        match parse_sealed::<PinRecord>(&json, key) {
            Ok(pin) => Ok(Some((of.clone(), PinRecord { at: *at, ..pin }))),
            Err(e) if [Kind::Corrupt, Kind::Usage].contains(&e.kind()) => {
                log::warn!("{}: {}", repo.name, e.chain());
                Ok(Some((of.clone(), PinRecord::new(&of.1, *at, "its pin does not read", None))))
            }
            Err(e) => Err(e),
        }
    })?;
    Ok(read.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_keeps_until_its_end() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let id: Id = "20261121T030000Z-120034".parse().expect("an id");
        let pin =
            PinRecord::new(&id, at("2026-11-22T00:00:00Z"), "lawsuit", Some(at("2027-01-01T00:00:00Z")));
        let said = pin.describe(at("2026-12-01T00:00:00Z"));
        assert_eq!(said.as_deref(), Some("pinned until 2027-01-01T00:00:00Z: lawsuit"));
        assert_eq!(pin.describe(at("2027-01-01T00:00:00Z")), None);
        let endless = PinRecord { until: None, ..pin };
        assert_eq!(endless.describe(at("2099-01-01T00:00:00Z")).as_deref(), Some("pinned: lawsuit"));
        assert_eq!(
            PinRecord::end(&id, at("2026-11-23T00:00:00Z")).describe(at("2026-11-23T00:00:01Z")),
            None
        );
    }
}
