//! The census of one file.

use super::forms::is_sample;
use super::identity::Identities;
use super::paths::PathTree;
use crate::json::canonical::put_value;
use crate::json::{Shape, Value};
use crate::source::file::Identity;
use crate::source::records::FileShape;
use crate::source::stream::{FileRecord, RecordFile};
use std::path::Path;
use toban_core::{Error, Result};

/// Places of a kind of finding that are named.
const NAMED: usize = 5;

/// What a file's records hold.
#[derive(Clone, Debug)]
pub(crate) struct Census {
    /// The file's name inside of its folder.
    pub(crate) name: String,
    pub(crate) shape: FileShape,
    pub(crate) identity: Identity,
    pub(crate) records: u64,
    pub(crate) tree: PathTree,
    pub(crate) identities: Identities,
    /// Records with a text of sample data.
    pub(crate) samples: u64,
    /// Keys that stand twice over equal values, with their places.
    pub(crate) doubled_keys: u64,
    /// The same over different values: the first of them.
    pub(crate) clashing_keys: Vec<String>,
}

impl Census {
    /// Reads the whole file.
    ///
    /// # Errors
    /// Those of [`RecordFile::for_each_record`].
    pub(crate) fn read_file(path: &Path, name: &str, shape: &FileShape) -> Result<Census> {
        let mut census = Census {
            name: name.into(),
            shape: shape.clone(),
            identity: Identity::default(),
            records: 0,
            tree: PathTree::new(),
            identities: Identities::default(),
            samples: 0,
            doubled_keys: 0,
            clashing_keys: Vec::new(),
        };
        census.identity = RecordFile { path, name, shape }.for_each_record(|record| {
            census.count_record(record);
            Ok(())
        })?;
        Ok(census)
    }

    fn count_record(&mut self, record: FileRecord<'_>) {
        self.records += 1;
        self.tree.count_record(record.value, record.place.record);
        self.identities.count_record(record.value, record.text, record.place);
        self.samples += u64::from(holds_sample(record.value));
        for pair in record.duplicates {
            let (first, second) = (record.value.node_value(pair.first), record.value.node_value(pair.second));
            match is_equal(first, second) {
                true => self.doubled_keys += 1,
                false if self.clashing_keys.len() < NAMED => self.clashing_keys.push(format!(
                    "record {}, byte {}: the key {:?} appears twice with different values",
                    record.place.record,
                    record.place.byte + second.offset() as u64,
                    record.value.node_value(pair.first - 1).nearest_text()
                )),
                false => {}
            }
        }
    }

    /// What makes the file unfit whatever the plan says.
    ///
    /// # Errors
    /// Usage, naming the first places.
    pub(crate) fn check_fit(&self) -> Result<()> {
        let clashes = self.clashing_keys.iter().chain(&self.identities.clashes);
        let named: Vec<&str> = clashes.take(NAMED).map(String::as_str).collect();
        match named.is_empty() {
            true => Ok(()),
            false => Err(Error::usage(format!("{}: {}", self.name, named.join("; ")))
                .hint("which of the two is right only people know: correct the file")),
        }
    }
}

/// Whether two values are equal, however they are written.
pub(crate) fn is_equal(a: Value<'_>, b: Value<'_>) -> bool {
    let canonical = |value| {
        let mut out = Vec::new();
        put_value(value, &mut out);
        out
    };
    a.raw() == b.raw() || canonical(a) == canonical(b)
}

/// Whether a text at the top of a record is one of sample data.
pub(crate) fn holds_sample(record: Value<'_>) -> bool {
    record.members().any(|(_, v)| v.shape() == Shape::String && is_sample(&v.nearest_text()))
}
