//! Accounts whose addresses are the same to a person: found by hashes first, so that a million fit into 8 MB.

use super::mapping::Mapping;
use super::names::skeleton;
use crate::finding::AuditFinding;
use crate::rulebook::app;
use crate::source::Rows;
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use toban_core::{Result, Severity};

/// Accounts of the same address that one finding names.
const NAMED: usize = 5;

/// Hashes of every address seen.
#[derive(Debug, Default)]
pub(crate) struct Twins(Vec<u64>);

impl Twins {
    /// Remembers one address.
    pub(crate) fn add(&mut self, email: &str) {
        self.0.push(hash(&skeleton(email)));
    }

    /// A second look at the addresses whose hashes were seen twice; none when there are none.
    pub(crate) fn find(mut self, rows: &mut dyn Rows, mapping: &Mapping) -> Result<Vec<AuditFinding>> {
        self.0.sort_unstable();
        let mut twice: Vec<u64> = self.0.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
        twice.dedup();
        drop(self);
        if twice.is_empty() {
            return Ok(Vec::new());
        }
        let mut groups: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        let Some(sql) = mapping.emails_sql() else { return Ok(Vec::new()) };
        rows.rows(&sql, &mut |cells| {
            let (Some(id), Some(email)) = (cells[0], cells[1]) else { return Ok(()) };
            let skeleton = skeleton(email);
            if twice.binary_search(&hash(&skeleton)).is_ok() {
                groups.entry(skeleton).or_default().push((id.to_string(), email.to_string()));
            }
            Ok(())
        })?;
        Ok(groups.into_values().filter(|g| g.len() > 1).flat_map(|g| findings(&g)).collect())
    }
}

fn findings(group: &[(String, String)]) -> Vec<AuditFinding> {
    let one = |(id, email): &(String, String)| {
        let others = group.iter().filter(|(o, _)| o != id).take(NAMED);
        let named: Vec<String> = others.map(|(o, email)| format!("{} (user {o})", email.trim())).collect();
        let more = (group.len() - 1).saturating_sub(NAMED);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let said = format!("the same address to a person as {}{rest}", named.join(", "));
        AuditFinding::new(&app::DUPLICATE_ADDRESS, &format!("user/{id}"), email, Severity::Warning)
            .of_person()
            .says(said)
    };
    group.iter().map(one).collect()
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
