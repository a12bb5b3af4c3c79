//! Which record is which: the member that names it, and what two records of one name have in common.

use super::stats::scalar_hash;
use crate::json::canonical::hash_bytes;
use crate::json::{Shape, Value};
use crate::source::records::Place;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Members that name a record, the likeliest first.
pub(crate) const NAMES: [&str; 5] = ["id", "_id", "uuid", "key", crate::source::records::KEY];
/// Members that say what a record is about.
const TITLES: [&str; 4] = ["title", "name", "full_name", "subject"];
/// Records that are remembered; what is beyond, the primary key of the target decides.
const MOST: usize = 400_000;
/// Repeated names that are listed.
const LISTED: usize = 1000;

/// A record under its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownRecord {
    record: u64,
    text: u64,
    title: u64,
}

/// What was found of the records' names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities {
    /// The member that names a record; none when the first record has none of them.
    pub(crate) member: Option<&'static str>,
    pub(crate) known: HashMap<u64, KnownRecord>,
    /// More records than are remembered.
    pub(crate) more: bool,
    /// Records without a name: it is absent, null, or no scalar.
    pub(crate) unnamed: u64,
    /// Names that stand twice over equal records.
    pub(crate) repeated: Vec<String>,
    /// Names that stand over different records, with both places.
    pub(crate) clashes: Vec<String>,
    /// Whole numbers, or texts by their bytes, that only rise.
    pub(crate) rises: bool,
    last: Option<RisingName>,
    records: u64,
}

/// A record's name, to be compared with the one before it.
#[derive(Clone, Debug)]
enum RisingName {
    Number(i64),
    Text(String),
    Other,
}

impl RisingName {
    fn of(value: Value<'_>) -> RisingName {
        let number = || std::str::from_utf8(value.raw()).ok().and_then(|t| t.parse::<i64>().ok());
        match value.shape() {
            Shape::String => RisingName::Text(value.nearest_text().into_owned()),
            _ => number().map_or(RisingName::Other, RisingName::Number),
        }
    }

    fn is_below(&self, next: &RisingName) -> bool {
        match (self, next) {
            (RisingName::Number(a), RisingName::Number(b)) => a < b,
            (RisingName::Text(a), RisingName::Text(b)) => a < b,
            _ => false,
        }
    }
}

impl Identities {
    /// Looks at one record.
    pub(crate) fn count_record(&mut self, record: Value<'_>, text: &[u8], place: Place) {
        if self.records == 0 {
            self.member = NAMES.into_iter().find(|name| record.get(name).is_some());
            self.rises = true;
        }
        self.records += 1;
        let Some(member) = self.member else { return };
        let named = record.get(member).and_then(|value| scalar_hash(value).map(|hash| (value, hash)));
        let Some((value, hash)) = named else {
            self.unnamed += 1;
            self.rises = false;
            return;
        };
        let name = RisingName::of(value);
        self.rises &= self.last.as_ref().is_none_or(|last| last.is_below(&name));
        self.last = Some(name);
        let known = KnownRecord {
            record: place.record,
            text: hash_bytes(text),
            title: TITLES.iter().find_map(|t| record.get(t)).and_then(scalar_hash).unwrap_or(0),
        };
        let full = self.known.len() >= MOST;
        match self.known.entry(hash) {
            Entry::Occupied(first) => {
                let shown = value.nearest_text_or_raw();
                match first.get().text == known.text {
                    true if self.repeated.len() < LISTED => self.repeated.push(shown),
                    true => {}
                    false if self.clashes.len() < LISTED => self.clashes.push(format!(
                        "{member} {shown} is used by two different records, {} and {}",
                        first.get().record,
                        place.record
                    )),
                    false => {}
                }
            }
            Entry::Vacant(_) if full => self.more = true,
            Entry::Vacant(free) => drop(free.insert(known)),
        }
    }

    /// Each record of the file has its own name.
    pub(crate) fn is_key(&self) -> bool {
        let unique = self.clashes.is_empty() && (!self.more || self.rises);
        self.member.is_some() && self.unnamed == 0 && unique && self.records > 0
    }

    /// Of the names that both files have, how many there are and under how many stands the same title.
    pub(crate) fn count_agreement(&self, other: &Identities) -> (usize, usize) {
        let common = self.known.iter().filter_map(|(hash, own)| Some((own, other.known.get(hash)?)));
        common.fold((0, 0), |(all, same), (a, b)| {
            (all + 1, same + usize::from(a.title == b.title && a.title != 0))
        })
    }

    /// Records that the other file lacks, or has with another text.
    pub(crate) fn count_differing(&self, other: &Identities) -> usize {
        let differs =
            |(hash, own): &(&u64, &KnownRecord)| other.known.get(*hash).is_none_or(|o| o.text != own.text);
        let missing = other.known.keys().filter(|hash| !self.known.contains_key(*hash)).count();
        self.known.iter().filter(differs).count() + missing
    }
}
