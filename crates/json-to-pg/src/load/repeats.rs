//! Names that stand twice over equal records: one row each.

use super::encode::find_member;
use crate::json::Value;
use crate::model::{ColumnSource, FilePlan, FilledTable};
use std::collections::HashSet;

/// Lets the first record of a name through that stands twice.
pub(crate) struct RepeatFilter<'a> {
    plan: &'a FilePlan,
    member: Option<Vec<String>>,
    seen: HashSet<String>,
}

impl<'a> RepeatFilter<'a> {
    pub(crate) fn new(plan: &'a FilePlan, table: &FilledTable) -> RepeatFilter<'a> {
        let member = table.key.first().and_then(|at| match &table.columns[*at].source {
            ColumnSource::Members(members) => members.first().cloned(),
            _ => None,
        });
        RepeatFilter { plan, member, seen: HashSet::new() }
    }

    /// Whether an equal record was there before.
    pub(crate) fn is_repeat(&mut self, record: Value<'_>) -> bool {
        if self.plan.repeated.is_empty() {
            return false;
        }
        let name = self.member.as_ref().and_then(|m| find_member(record, m));
        let Some(name) = name.map(|v| v.nearest_text_or_raw()) else { return false };
        self.plan.repeated.contains(&name) && !self.seen.insert(name)
    }
}
