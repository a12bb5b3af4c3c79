//! What kind of password a role has, and until when. The hash itself never leaves the server.

use super::advice::{Advisor, Change, quote_name};
use super::graph::Graph;
use super::{Needs, ask_or_skip};
use crate::audit::Ledger;
use crate::finding::AuditFinding;
use crate::rulebook::{review, roles};
use jiff::{SignedDuration, Timestamp};
use postgres::Transaction;
use std::collections::BTreeMap;
use toban_core::{Result, Severity};

/// PostgreSQL's own number of SCRAM iterations before and after it became a setting.
const ITERATIONS: i32 = 4096;
// The server tells the kind, and the hash stays there: what is not read cannot leak by a log, a core dump or a pack.
const KINDS: &str = "select rolname::text, case when rolpassword is null then 'none' when rolpassword ~ '^md5[0-9a-f]{32}$' \
     then 'md5' when rolpassword ~ '^SCRAM-SHA-256\\$[0-9]+:' then 'scram' else 'unknown' end, \
     coalesce(substring(rolpassword from '^SCRAM-SHA-256\\$([0-9]+):')::int4, 0) \
     from pg_authid where rolcanlogin order by 1";
const ENDS: &str = "select rolname::text, (extract(epoch from rolvaliduntil) * 1000000)::int8 from pg_roles \
     where rolcanlogin and isfinite(rolvaliduntil) order by 1";

/// By what the end of a password is judged.
#[derive(Debug)]
pub(super) struct Ends<'a> {
    pub(super) now: Timestamp,
    pub(super) warning: SignedDuration,
    pub(super) graph: &'a Graph,
    pub(super) advisor: &'a Advisor,
}

impl Ends<'_> {
    fn judge_end(&self, role: &str, end: Timestamp) -> Option<AuditFinding> {
        let left = end.duration_since(self.now);
        let day = end.strftime("%Y-%m-%d");
        // rolvaliduntil is asked for passwords alone: other methods let the role in after it (manual, "CREATE ROLE").
        if left <= SignedDuration::ZERO {
            let text = format!("its password ended on {day}; peer, cert and trust still let it in");
            let finding =
                AuditFinding::new(&roles::PASSWORD_EXPIRED, role, role, Severity::Warning).since(Some(end));
            let advice = match self.may_end(role) {
                true => format!("alter role {} nologin, or renew the password", quote_name(role)),
                false => "renew the password: no other role that logs in comes to superuser".into(),
            };
            return Some(finding.says(text).advise(advice).cis(&["4.4"]));
        }
        let finding = AuditFinding::new(&roles::PASSWORD_EXPIRES, role, role, Severity::Warning);
        (left <= self.warning).then(|| finding.says(format!("its password ends on {day}")))
    }

    /// Whether the role may be advised to log in no more.
    fn may_end(&self, role: &str) -> bool {
        self.graph.oid(role).is_none_or(|oid| self.advisor.allows_change(Change::NoLogin(oid)))
    }
}

/// Judges each role that can log in; gives how each one's password is kept, `ended` where its time is over.
pub(super) fn judge_passwords(
    transaction: &mut Transaction<'_>,
    ends: &Ends<'_>,
    ledger: &mut Ledger<'_>,
) -> Result<BTreeMap<String, String>> {
    let mut kept = BTreeMap::new();
    let needs = "grant select (rolname, rolpassword, rolcanlogin) on pg_authid to it";
    let kinds = ask_or_skip(transaction, Needs { check: "passwords", grants: needs }, ledger, |t| {
        t.query(KINDS, &[])
    })?;
    for row in kinds.unwrap_or_default() {
        let role: String = row.get(0);
        if let Some(finding) = judge_kind(&role, row.get(1), row.get(2)) {
            ledger.add(finding.cis(&["5.12"]))?;
        }
        kept.insert(role, row.get(1));
    }
    let needs = Needs { check: "passwords' ends", grants: "nothing more" };
    let over = ask_or_skip(transaction, needs, ledger, |t| t.query(ENDS, &[]))?;
    for row in over.unwrap_or_default() {
        let (role, end): (String, i64) = (row.get(0), row.get(1));
        let end = Timestamp::from_microsecond(end).unwrap_or(Timestamp::MAX);
        ends.judge_end(&role, end).into_iter().try_for_each(|f| ledger.add(f))?;
        if end <= ends.now && kept.get(&role).is_some_and(|k: &String| k != "none") {
            kept.insert(role, "ended".into());
        }
    }
    Ok(kept)
}

fn judge_kind(role: &str, kind: &str, iterations: i32) -> Option<AuditFinding> {
    let finding = |rule, severity| AuditFinding::new(rule, role, role, severity);
    match kind {
        "md5" => Some(finding(&roles::PASSWORD_MD5, Severity::Warning).says("its password is kept as md5")),
        "scram" if iterations < ITERATIONS => Some(
            finding(&roles::PASSWORD_LOW_ITERATIONS, Severity::Warning)
                .says(format!("its password is kept with {iterations} iterations; {ITERATIONS} are usual")),
        ),
        "unknown" => Some(
            finding(&roles::PASSWORD_UNKNOWN_KIND, Severity::Critical)
                .says("what is kept as its password is no hash that PostgreSQL knows"),
        ),
        "none" => Some(
            finding(&review::PASSWORD_NONE, Severity::Ok)
                .says("it has no password: only peer, cert, trust or others let it in"),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_password() {
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().expect("a time");
        let graph = Graph::default();
        let advisor = Advisor::new(&graph);
        let warning = SignedDuration::from_hours(336);
        let ends = Ends { now, warning, graph: &graph, advisor: &advisor };
        let rule = |hours: i64| ends.judge_end("r", now + SignedDuration::from_hours(hours)).map(|f| f.id());
        assert_eq!(rule(0), Some("password-expired"));
        assert_eq!(rule(7 * 24), Some("password-expires"));
        assert_eq!(rule(15 * 24), None);
    }
}
