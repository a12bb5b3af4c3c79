//! Accounts whose addresses are the same to a person: found by hashes first, so that a million fit into 8 MB.

use super::names::address_skeleton;
use crate::finding::AuditFinding;
use crate::mapping::Mapping;
use crate::rulebook::app;
use crate::source::RowSource;
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
    pub(crate) fn add_address(&mut self, email: &str) {
        self.0.push(hash_text(&address_skeleton(email)));
    }

    /// A second look at the addresses whose hashes were seen twice; none when there are none.
    pub(crate) fn find_twins(
        mut self,
        rows: &mut dyn RowSource,
        mapping: &Mapping,
    ) -> Result<Vec<AuditFinding>> {
        // Two passes: 8 bytes of hash for each address first, then the addresses of those hashes that came twice. Keeping a
        // million addresses to find a dozen doubles would take a hundred times as much.
        self.0.sort_unstable();
        let mut twice: Vec<u64> = self.0.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
        twice.dedup();
        drop(self);
        // Mostly so: then the table is read once only.
        if twice.is_empty() {
            return Ok(Vec::new());
        }
        let mut groups: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        let Some(sql) = mapping.emails_sql() else { return Ok(Vec::new()) };
        rows.for_each_row(&sql, &mut |cells| {
            let (Some(id), Some(email)) = (cells[0], cells[1]) else { return Ok(()) };
            let skeleton = address_skeleton(email);
            // Two addresses may share a hash by chance, so what counts is the group by the address itself.
            if twice.binary_search(&hash_text(&skeleton)).is_ok() {
                groups.entry(skeleton).or_default().push((id.to_string(), email.to_string()));
            }
            Ok(())
        })?;
        Ok(groups.into_values().filter(|g| g.len() > 1).flat_map(|g| twin_findings(&g)).collect())
    }
}

fn twin_findings(group: &[(String, String)]) -> Vec<AuditFinding> {
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

fn hash_text(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
