//! Which dumps and backups go over. Pure: from what both repositories hold to what is to be done.

use super::wal::WalStart;
use crate::format::backup::{BackupManifest, StoredBackup};
use crate::format::catalog::{Catalog, Manifest, Named, Part, Stored};
use crate::format::dump::DumpManifest;
use crate::format::id::Id;
use crate::format::order::Taken;
use crate::retention::{self, Candidate};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::Result;
use toban_core::config::{Keep, Span};
use toban_core::repo::keys::System;
use toban_core::store::Key;
use toban_core::sum::Sum;

/// What `copy` must know of a manifest beside what all verbs do.
pub(super) trait Copied: Manifest {
    /// Within which the rules of retention count.
    type Group: Ord;

    fn group(&self) -> Self::Group;
    /// The database, of a dump.
    fn database(&self) -> Option<&str>;
}

impl Copied for BackupManifest {
    type Group = ();

    fn group(&self) {}

    fn database(&self) -> Option<&str> {
        None
    }
}

impl Copied for DumpManifest {
    /// Safety dumps are a series of their own, as for prune.
    type Group = (String, bool);

    fn group(&self) -> (String, bool) {
        (self.database.name.clone(), self.is_safety())
    }

    fn database(&self) -> Option<&str> {
        Some(&self.database.name)
    }
}

/// What both repositories hold of dumps, or of backups.
pub(super) struct CopySurvey<M: Manifest> {
    pub(super) source: Catalog<M>,
    pub(super) target: Catalog<M>,
}

/// What of the source is wanted.
pub(super) struct Choice<'a> {
    /// These; none: what the target's rules would keep.
    pub(super) ids: &'a [String],
    pub(super) keep: &'a Keep,
    pub(super) now: Timestamp,
}

/// A dump or a backup that both have, or that goes over.
#[derive(Clone)]
pub(super) struct PlannedItem {
    pub(super) id: Id,
    pub(super) database: Option<String>,
    pub(super) manifest: Key,
    /// Whether its manifest is over there.
    pub(super) listed: bool,
    /// All that its manifest names.
    pub(super) objects: Vec<(Key, Sum)>,
    /// What a restore of it may read beside them.
    pub(super) beside: Vec<Key>,
    /// What is beside it and goes along: its pins, and with what goes over what `verify` found of it.
    pub(super) records: Vec<Key>,
}

impl PlannedItem {
    /// What of it is not over there; `there` has the sizes of what is.
    pub(super) fn find_missing(&self, there: &BTreeMap<Key, u64>) -> Vec<(Key, Sum)> {
        self.objects.iter().filter(|(key, _)| !there.contains_key(key)).cloned().collect()
    }

    /// The first that is over there in another size.
    pub(super) fn find_differing(&self, there: &BTreeMap<Key, u64>) -> Option<&Key> {
        let differs = |(key, sum): &&(Key, Sum)| there.get(key).is_some_and(|bytes| *bytes != sum.bytes);
        self.objects.iter().find(differs).map(|(key, _)| key)
    }

    /// The backups whose folders its objects lie in, its own among them.
    pub(super) fn folders(&self, cluster: &str) -> BTreeSet<Id> {
        let folder = |key: &Key| {
            let (_, name) = System::parse(cluster, key)?;
            name.strip_prefix("backup/")?.split_once('/')?.0.parse().ok()
        };
        self.objects.iter().map(|(key, _)| key).chain([&self.manifest]).filter_map(folder).collect()
    }

    /// What people call it: `backup 20261121T030000Z-120034`.
    pub(super) fn title(&self) -> String {
        match &self.database {
            Some(database) => format!("dump {} of {database}", self.id),
            None => format!("backup {}", self.id),
        }
    }
}

impl<M: Copied> CopySurvey<M> {
    /// The size of every object of the target.
    pub(super) fn sizes_there(&self) -> BTreeMap<Key, u64> {
        self.target.objects.iter().map(|(_, o)| (o.key.clone(), o.size)).collect()
    }

    /// The newest first: what is wanted most is over there first.
    pub(super) fn plan_items(&self, choice: &Choice<'_>) -> Result<Vec<PlannedItem>> {
        let listed = self.listed_there();
        let kept = self.kept_there(choice)?;
        let (left_alone, there) = (self.marked_there(&listed), self.sizes_there());
        let mut items = Vec::new();
        for stored in self.source.stored.iter().rev() {
            let of = name_of(&stored.manifest)?;
            let named = choice.ids.contains(&of.1.to_string());
            let wanted =
                if choice.ids.is_empty() { kept.contains(&of) && !left_alone.contains(&of) } else { named };
            if listed.contains(&of) && (named || choice.ids.is_empty()) || wanted {
                items.push(self.plan_item(stored, listed.contains(&of), &there)?);
            }
        }
        Ok(items)
    }

    fn plan_item(&self, stored: &Stored<M>, listed: bool, there: &BTreeMap<Key, u64>) -> Result<PlannedItem> {
        let manifest = &stored.manifest;
        let records =
            self.source.objects_of(manifest)?.into_iter().filter(|(named, object)| match named.part {
                // Later ones too: a prune over there must find every pin that one of the source finds.
                Part::Pin(_) => !there.contains_key(&object.key),
                // What is proven of the source later says nothing of the copy, and goes no more.
                Part::Verdict { .. } | Part::Signature(_) => !listed,
                _ => false,
            });
        Ok(PlannedItem {
            id: manifest.id().clone(),
            database: manifest.database().map(String::from),
            manifest: manifest.manifest_key()?,
            listed,
            objects: manifest.objects()?,
            beside: manifest.beside()?,
            records: records.map(|(_, o)| o.key.clone()).collect(),
        })
    }

    /// Those whose manifest is over there.
    fn listed_there(&self) -> BTreeSet<(M::Series, Id)> {
        let manifest = |(named, _): &&(Named<M::Series>, _)| named.part == Part::Manifest;
        self.target.objects.iter().filter(manifest).map(|(n, _)| (n.series.clone(), n.id.clone())).collect()
    }

    /// Those that a prune over there is about to remove: what is added to them now would go with them.
    fn marked_there(&self, listed: &BTreeSet<(M::Series, Id)>) -> BTreeSet<(M::Series, Id)> {
        let marked = self.target.objects.iter().filter(|(named, _)| matches!(named.part, Part::Mark(_)));
        let named = marked.map(|(n, _)| (n.series.clone(), n.id.clone()));
        named.filter(|of| !listed.contains(of)).collect()
    }

    /// Those of the source that the target's rules would keep, were they all there: what they would not keep would be
    /// removed by the next prune and copied again, every night.
    fn kept_there(&self, choice: &Choice<'_>) -> Result<BTreeSet<(M::Series, Id)>> {
        let all = self.source.stored.iter();
        let is_ruled =
            (Keep { min: None, wal: None, undelete: None, ..choice.keep.clone() }) != Keep::default();
        if !is_ruled {
            return all.map(|s| name_of(&s.manifest)).collect();
        }
        let own: BTreeSet<_> =
            self.source.stored.iter().map(|s| name_of(&s.manifest)).collect::<Result<_>>()?;
        let mut groups: BTreeMap<M::Group, Vec<&Stored<M>>> = BTreeMap::new();
        all.for_each(|s| groups.entry(s.manifest.group()).or_default().push(s));
        for stored in &self.target.stored {
            if !own.contains(&name_of(&stored.manifest)?) {
                groups.entry(stored.manifest.group()).or_default().push(stored);
            }
        }
        let mut kept = BTreeSet::new();
        for mut group in groups.into_values() {
            group.sort_by(|a, b| M::compare(a, b));
            let candidates: Vec<Candidate> =
                group.iter().map(|s| Candidate::from_stored(s, choice.now)).collect();
            let reasons = retention::keep_reasons(&candidates, choice.now, choice.keep);
            for (stored, why) in group.iter().zip(&reasons) {
                if !why.is_empty() {
                    kept.insert(name_of(&stored.manifest)?);
                }
            }
            let windows = [choice.keep.within, choice.keep.wal].into_iter().flatten();
            for base in windows.filter_map(|span| newest_before(&group, span, choice.now)) {
                kept.insert(name_of(&base.manifest)?);
            }
        }
        Ok(kept)
    }
}

/// From where on the WAL of each system is wanted over there, by its identifier: from the beginning of the oldest backup
/// that will be there, or of the one that the window of WAL begins with. All of it where that is not known.
pub(super) fn wal_starts(
    survey: &CopySurvey<BackupManifest>,
    items: &[PlannedItem],
    choice: &Choice<'_>,
) -> BTreeMap<u64, WalStart> {
    // Its start is not known: any of the WAL may be what it needs.
    if !survey.target.damaged.is_empty() {
        return BTreeMap::new();
    }
    let coming: BTreeSet<&Id> = items.iter().map(|item| &item.id).collect();
    let coming = survey.source.stored.iter().filter(|s| coming.contains(&s.manifest.id));
    let mut systems: BTreeMap<u64, Vec<&StoredBackup>> = BTreeMap::new();
    for stored in survey.target.stored.iter().chain(coming) {
        let Ok(system) = stored.manifest.system() else { continue };
        systems.entry(system.identifier).or_default().push(stored);
    }
    let start = |mut all: Vec<&StoredBackup>| {
        all.sort_by(|a, b| BackupManifest::compare(a, b));
        let window = choice.keep.wal.and_then(|span| newest_before(&all, span, choice.now));
        let first = window.or_else(|| all.into_iter().min_by_key(|s| s.manifest.start_lsn))?;
        let size = first.manifest.wal_segment_size.max(1);
        Some(WalStart { number: first.manifest.start_lsn.0 / size, size })
    };
    systems.into_iter().filter_map(|(system, all)| Some((system, start(all)?))).collect()
}

/// The newest that is whole of those taken before the last `span`: the beginning of that window is restored from it.
fn newest_before<'a, M>(group: &[&'a Stored<M>], span: Span, now: Timestamp) -> Option<&'a Stored<M>> {
    let length = i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX);
    let begin = now.as_second().saturating_sub(length);
    let before =
        |s: &&&Stored<M>| s.is_whole() && matches!(s.taken, Taken::At(at) if at.as_second() <= begin);
    group.iter().rfind(before).copied()
}

fn name_of<M: Manifest>(manifest: &M) -> Result<(M::Series, Id)> {
    Ok((manifest.series()?, manifest.id().clone()))
}
