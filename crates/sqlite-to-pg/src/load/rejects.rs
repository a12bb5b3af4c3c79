//! Values that could not be represented: their original bytes, with table, key, column and reason, one JSON line each.

use crate::model::Policy;
use rusqlite::types::{Value, ValueRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;
use std::sync::Mutex;
use toban_core::sync::{into_inner, lock};
use toban_core::{Context, Result, durable, sum};

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reject {
    pub(crate) table: String,
    /// The row, for people: its key's values, or its rowid.
    pub(crate) key: String,
    /// What finds the row again: its key, or its rowid.
    pub(crate) place: Vec<KeyValue>,
    pub(crate) column: String,
    pub(crate) reason: String,
    /// What became of it.
    pub(crate) policy: Policy,
    /// Its storage class.
    pub(crate) class: String,
    /// Its bytes in hexadecimal digits; of a number its digits as text.
    pub(crate) bytes: String,
}

/// A column of the key and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct KeyValue {
    pub(crate) column: String,
    pub(crate) class: String,
    pub(crate) bytes: String,
}

impl KeyValue {
    pub(crate) fn from_value(column: &str, value: ValueRef<'_>) -> KeyValue {
        let (class, bytes) = original_bytes(value);
        KeyValue { column: column.into(), class: class.into(), bytes }
    }

    /// The value again.
    pub(crate) fn value(&self) -> Value {
        let bytes = || -> Vec<u8> {
            let digits = self.bytes.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).ok();
            digits.filter_map(byte).collect()
        };
        match self.class.as_str() {
            "integer" => self.bytes.parse().map_or(Value::Null, Value::Integer),
            "real" => self.bytes.parse().map_or(Value::Null, Value::Real),
            "text" => Value::Text(String::from_utf8_lossy(&bytes()).into_owned()),
            "blob" => Value::Blob(bytes()),
            _ => Value::Null,
        }
    }
}

/// Gathers them in a file; memory does not grow with their number.
pub(crate) struct Rejects {
    inner: Mutex<Inner>,
}

struct Inner {
    file: BufWriter<File>,
    counts: BTreeMap<String, u64>,
}

impl Rejects {
    /// An empty list, in a file without a name until [`Rejects::save`].
    pub(crate) fn new() -> Result<Rejects> {
        let file = BufWriter::new(tempfile::tempfile().doing(|| "make a temporary file for rejects".into())?);
        Ok(Rejects { inner: Mutex::new(Inner { file, counts: BTreeMap::new() }) })
    }

    /// Adds one.
    pub(crate) fn add_reject(&self, reject: &Reject) -> Result<()> {
        let doing = || "keep a reject".to_string();
        let mut inner = lock(&self.inner);
        *inner.counts.entry(reject.table.clone()).or_default() += 1;
        serde_json::to_writer(&mut inner.file, reject).doing(doing)?;
        inner.file.write_all(b"\n").doing(doing)
    }

    /// How many each table has.
    pub(crate) fn count_by_table(&self) -> BTreeMap<String, u64> {
        lock(&self.inner).counts.clone()
    }

    /// Forgets all, because the load begins anew.
    pub(crate) fn clear(&self) -> Result<()> {
        let mut inner = lock(&self.inner);
        *inner = into_inner(Rejects::new()?.inner);
        Ok(())
    }

    /// Writes them to `path`, whole.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let doing = || format!("write {}", path.display());
        let mut inner = lock(&self.inner);
        inner.file.flush().doing(doing)?;
        let file = inner.file.get_mut();
        // A file without a name until now (O_TMPFILE): a run that is killed leaves no half list that could be taken
        // for whole.
        file.rewind().doing(doing)?;
        // The originals are data of the application: the file is its owner's alone, whatever the umask says.
        durable::replace(path, 0o600, |w| std::io::copy(file, w).map(drop).doing(doing))
    }
}

/// A value's class and bytes as a reject has them.
pub(crate) fn original_bytes(value: ValueRef<'_>) -> (&'static str, String) {
    match value {
        ValueRef::Null => ("null", String::new()),
        ValueRef::Integer(n) => ("integer", n.to_string()),
        ValueRef::Real(n) => ("real", format!("{n:?}")),
        ValueRef::Text(t) => ("text", sum::hex(t)),
        ValueRef::Blob(b) => ("blob", sum::hex(b)),
    }
}
