//! Names of roles that a person takes for one another, and roles that are a person and a group at once.

use super::advice::{Advisor, Change};
use super::graph::{Graph, Oid};
use crate::app::fold_name;
use crate::finding::AuditFinding;
use crate::rulebook::roles;
use std::collections::BTreeMap;
use toban_core::Severity;

/// Every finding of the names and of groups that log in. Pure.
pub(super) fn judge_names(graph: &Graph, advisor: &Advisor) -> Vec<AuditFinding> {
    let mut names: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for role in graph.roles.values() {
        names.entry(fold_name(&role.name).replace(['-', ' '], "_")).or_default().push(&role.name);
    }
    let twins = names.into_values().filter(|n| n.len() > 1).map(twins_finding);
    twins.chain(graph.roles.keys().filter_map(|oid| judge_group(graph, *oid, advisor))).collect()
}

fn twins_finding(mut names: Vec<&str>) -> AuditFinding {
    names.sort_unstable();
    let object = names.join(", ");
    AuditFinding::new(&roles::NAME_TWINS, &object.replace(' ', "/"), &object, Severity::Warning)
        .says("names that look the same to a person")
}

/// Members of a role that logs in itself can act as it: a password for one, power for all.
fn judge_group(graph: &Graph, oid: Oid, advisor: &Advisor) -> Option<AuditFinding> {
    let role = graph.roles.get(&oid).filter(|r| r.login)?;
    // From 16 on whoever makes a role gets the admin option of it alone.
    let member = |m: &Oid| graph.grants.get(m).and_then(|g| g.get(&oid)).is_some_and(|g| g.set || g.inherit);
    let members: Vec<&str> = graph.roles.iter().filter(|(m, _)| member(m)).map(|(_, r)| &*r.name).collect();
    let some = members.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let said = format!("it logs in and has {} members that may act as it: {some}", members.len());
    let finding =
        AuditFinding::new(&roles::LOGIN_GROUP, &role.name, &role.name, Severity::Warning).says(said);
    let advice = match advisor.allows_change(Change::NoLogin(oid)) {
        true => "make it nologin, and give whoever needs it a role of his own",
        false => "give a member superuser of its own and log in as it, before this one is made nologin",
    };
    (!members.is_empty()).then(|| finding.advise(advice))
}

#[cfg(test)]
mod tests {
    use super::super::graph::{Grant, Role};
    use super::*;

    fn graph(names: &[&str]) -> Graph {
        let mut graph = Graph { major: 16, ..Graph::default() };
        for (oid, name) in (1..).zip(names) {
            graph.roles.insert(oid, Role { name: (*name).into(), login: true, ..Role::default() });
        }
        graph
    }

    #[test]
    fn case_look_alikes_and_the_dash_of_a_predefined_role() {
        let found = |names: &[&str]| {
            judge_names(&graph(names), &Advisor::new(&graph(names)))
                .iter()
                .map(|f| f.base.object.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&["alice", "Alice"]), ["Alice, alice"]);
        assert_eq!(found(&["admin", "аdmin"]), ["admin, аdmin"]);
        assert_eq!(found(&["pg_monitor", "PG-Monitor"]), ["PG-Monitor, pg_monitor"]);
        assert_eq!(found(&["alice", "alice2", "a"]), [""; 0]);
    }

    #[test]
    fn a_login_that_others_may_act_as() {
        let mut graph = graph(&["app", "alice", "maker"]);
        graph.grant(3, 1, Grant { admin: true, inherit: false, set: false });
        assert!(judge_names(&graph, &Advisor::new(&graph)).is_empty(), "its maker alone");
        graph.grant(2, 1, Grant { admin: false, inherit: false, set: true });
        let found = judge_names(&graph, &Advisor::new(&graph));
        assert!(
            found[0].id() == "login-group"
                && found[0].base.text.ends_with("1 members that may act as it: alice")
        );
    }
}
