//! Slots, senders, standbys, and who may connect. Pure.

use super::facts::ServerFacts;
use super::settings::raise_command;
use super::{finding, judge_learned, rulebook};
use toban_core::Severity;
use toban_core::check::Finding;
use toban_core::pg::Ident;

/// Bytes that a slot without a client may hold.
const ABANDONED: i64 = 1 << 30;
/// Transactions by which vacuum may be held back.
const HELD_BACK: i64 = 10_000_000;

/// Slots, senders and standbys.
pub(super) fn judge_replication(server: &ServerFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !server.slots.is_empty() && server.number("max_slot_wal_keep_size") == Some(-1) {
        findings.push(finding(&rulebook::SLOT_UNLIMITED, Severity::Warning, "max_slot_wal_keep_size"));
    }
    for slot in &server.slots {
        let object = format!("slot {}", slot.name);
        let drop = format!("psql -c \"select pg_drop_replication_slot('{}')\"", slot.name);
        if slot.lost {
            let advice = format!("pg-backup run && {drop}; its client makes it anew");
            findings.push(finding(&rulebook::SLOT_LOST, Severity::Critical, &object).advise(advice));
        } else if !slot.active && slot.holds > ABANDONED {
            let text = format!(
                "no client uses it, and it holds {} of WAL",
                toban_core::out::bytes(slot.holds.unsigned_abs())
            );
            let advice = format!("start its client; or, where that is gone: {drop}");
            findings.push(
                finding(&rulebook::SLOT_ABANDONED, Severity::Warning, &object).says(text).advise(advice),
            );
        }
    }
    let used = i64::try_from(server.slots.len()).unwrap_or(i64::MAX);
    findings.extend(server.number("max_replication_slots").filter(|max| used >= *max).map(|max| {
        let text = format!("{used} of {max} slots are used: a backup needs one");
        let advice = raise_command("max_replication_slots", max + 10);
        finding(&rulebook::SLOTS_USED_UP, Severity::Critical, "max_replication_slots")
            .says(text)
            .advise(advice)
    }));
    let used = i64::try_from(server.senders).unwrap_or(i64::MAX);
    findings.extend(server.number("max_wal_senders").filter(|max| used >= *max).map(|max| {
        let text = format!("{used} of {max} are used");
        let advice = raise_command("max_wal_senders", max + 10);
        finding(&rulebook::SENDERS_USED_UP, Severity::Critical, "max_wal_senders").says(text).advise(advice)
    }));
    findings.extend(judge_feedback(server));
    findings
}

fn judge_feedback(server: &ServerFacts) -> Option<Finding> {
    let slot = server.slots.iter().max_by_key(|s| s.age).filter(|s| s.age > server.feedback_age);
    let age = slot.map_or(server.feedback_age, |s| s.age);
    let by = slot.map_or("a standby".to_string(), |s| format!("slot {}", s.name));
    let text = format!("{by} holds back vacuum by {age} transactions");
    (age > HELD_BACK)
        .then(|| finding(&rulebook::FEEDBACK_BLOAT, Severity::Warning, "hot_standby_feedback").says(text))
}

/// What the role may do, and whether pg_hba.conf lets it in.
pub(super) fn judge_access(server: &ServerFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let role = Ident::new(&server.role);
    if !server.monitor {
        let advice = format!("psql -c 'grant pg_monitor to {role}'");
        findings.push(finding(&rulebook::ROLE_MONITOR, Severity::Warning, &server.role).advise(advice));
    }
    if !server.missing_rights.is_empty() {
        let advice = format!("psql -c '{}'", server.missing_rights.join(" "));
        findings.push(finding(&rulebook::ROLE_RIGHTS, Severity::Critical, &server.role).advise(advice));
    }
    findings.extend(judge_learned("pg_hba.conf", &server.hba, |hba| {
        let invalid = hba.invalid.iter().map(|line| {
            finding(&rulebook::HBA_INVALID, Severity::Critical, "pg_hba.conf").says(line)
        });
        let missing = (!hba.replication).then(|| {
            let advice = format!(
                "echo 'local replication {role} peer' >> \"$(psql -AtXc 'show hba_file')\" && psql -c 'select pg_reload_conf()'"
            );
            finding(&rulebook::HBA_REPLICATION, Severity::Warning, "pg_hba.conf").advise(advice)
        });
        invalid.chain(missing).collect()
    }));
    findings
}
