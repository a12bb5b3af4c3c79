//! What a run has read of one repository: each object once, though several backups may name it.

use super::due::DueSet;
use crate::format::backup::StoredBackup;
use crate::format::catalog::Manifest;
use crate::format::verdict::verify_object;
use jiff::Timestamp;
use std::collections::BTreeMap;
use toban_core::repo::Repo;
use toban_core::store::Key;
use toban_core::sum::Sum;
use toban_core::{Error, Kind, Result};

/// How one object was found.
struct ObjectReading {
    /// When the reading began.
    at: Timestamp,
    /// What is wrong with it.
    damage: Option<String>,
}

/// What was read so far, and what need not be.
#[derive(Default)]
pub(super) struct Readings {
    read: BTreeMap<Key, ObjectReading>,
    /// Of earlier runs whose proofs count still.
    proven: BTreeMap<Key, Timestamp>,
}

impl Readings {
    /// Nothing is read yet; what `due` has proven need not be.
    pub(super) fn new(due: Option<&DueSet>) -> Readings {
        Readings { read: BTreeMap::new(), proven: due.map(|d| d.proven.clone()).unwrap_or_default() }
    }

    /// When the object was read whole: now, or before in this run, or in an earlier one that counts.
    ///
    /// # Errors
    /// Corrupt when it is missing or damaged.
    pub(super) fn read_object(&mut self, repo: &Repo, key: &Key, sum: &Sum) -> Result<Timestamp> {
        if let Some(reading) = self.read.get(key) {
            return reading.damage.as_ref().map_or(Ok(reading.at), |text| Err(Error::corrupt(text.clone())));
        }
        if let Some(at) = self.proven.get(key) {
            // A proof is of what was there: that it is gone since shows without reading it.
            verify_object(repo, key, sum, true)?;
            return Ok(*at);
        }
        let at = Timestamp::now();
        let done = verify_object(repo, key, sum, false);
        let damage = match &done {
            Err(e) if e.kind() == Kind::Corrupt => Some(e.chain()),
            Err(_) => return done.map(|()| at),
            Ok(()) => None,
        };
        self.read.insert(key.clone(), ObjectReading { at, damage });
        done.map(|()| at)
    }

    /// What is wrong with an object that this backup names, if any was found so.
    ///
    /// # Errors
    /// When the manifest names what can be no object.
    pub(super) fn damage_of(&self, stored: &StoredBackup) -> Result<Option<&str>> {
        let objects = stored.manifest.objects()?;
        Ok(objects.iter().find_map(|(key, _)| self.read.get(key)?.damage.as_deref()))
    }
}
