//! Advice that locks nobody out: each is tried on a copy of the graph, after all advice that was given before it.

use super::graph::{Graph, Oid};

/// The oid that initdb gives; PostgreSQL itself needs this one as a superuser, and from 16 on refuses another.
const BOOTSTRAP: Oid = 10;

/// What an advice would change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    NoSuperuser(Oid),
    NoLogin(Oid),
    Revoke { member: Oid, role: Oid },
}

/// The roles as they would be if all advice were followed.
#[derive(Debug)]
pub(super) struct Advisor {
    after: Graph,
    superusers: bool,
}

impl Advisor {
    /// Of the roles as they are.
    pub(super) fn new(graph: &Graph) -> Advisor {
        Advisor { superusers: has_way(graph), after: graph.clone() }
    }

    /// Whether somebody who logs in would still come to superuser after this and all advice that was given.
    pub(super) fn allows_change(&self, change: Change) -> bool {
        // Where nobody came to superuser before, no advice can take that away, and none is held back for it.
        !self.superusers || has_way(&apply_change(&self.after, change))
    }

    /// The advice if it may be given, and from now on counted as followed; else why the role is to be kept.
    pub(super) fn advise_change(&mut self, change: Change, advice: String) -> String {
        if matches!(change, Change::NoSuperuser(BOOTSTRAP)) {
            return "keep it: PostgreSQL needs its first role as a superuser; let nobody in as it over the network, and give people roles of their own".into();
        }
        // All advice that was given before is in force here: each single one may be harmless, and the last of them take away
        // the last superuser who can log in. PostgreSQL refuses none of it.
        if !self.allows_change(change) {
            return KEEP.into();
        }
        self.after = apply_change(&self.after, change);
        advice
    }

    /// What takes a right away from a role: by an attribute of its own, or by the first step of its path.
    pub(super) fn advise_against(&mut self, graph: &Graph, who: Oid, right: &str) -> String {
        let name = |oid: Oid| graph.roles.get(&oid).map_or_else(|| oid.to_string(), |r| quote_name(&r.name));
        let acts = graph.acts(who);
        match acts.first_step(right) {
            None => {
                let advice = format!("alter role {} no{right}, or accept it in a review", name(who));
                match right {
                    "superuser" => self.advise_change(Change::NoSuperuser(who), advice),
                    "replication" => format!("{advice}: not while a standby or a backup connects as it"),
                    _ => advice,
                }
            }
            // The first step of the path: taken away it ends every longer one behind it.
            Some((role, true)) => {
                let advice = format!("revoke {} from {}, or accept it in a review", name(role), name(who));
                self.advise_change(Change::Revoke { member: who, role }, advice)
            }
            Some((role, false)) => format!(
                "take from {} the admin option of {} (before 16: createrole), or accept it in a review",
                name(who),
                name(role)
            ),
        }
    }
}

const KEEP: &str =
    "keep it: no other role that logs in would come to superuser; create one first, and log in as it";

fn apply_change(graph: &Graph, change: Change) -> Graph {
    let mut after = graph.clone();
    match change {
        Change::NoSuperuser(oid) => drop(after.roles.get_mut(&oid).map(|r| r.superuser = false)),
        Change::NoLogin(oid) => drop(after.roles.get_mut(&oid).map(|r| r.login = false)),
        Change::Revoke { member, role } => drop(after.grants.get_mut(&member).map(|g| g.remove(&role))),
    }
    after
}

/// Whether somebody who logs in comes to superuser.
fn has_way(graph: &Graph) -> bool {
    let mut logins = graph.roles.iter().filter(|(_, r)| r.login);
    logins.clone().any(|(_, r)| r.superuser)
        || logins.any(|(oid, _)| graph.acts(*oid).path("superuser").is_some())
}

/// The name as a statement has it.
pub(super) fn quote_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name.chars().all(plain) && name.starts_with(|c: char| !c.is_ascii_digit()) {
        true => name.to_string(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::{Grant, Role};
    use super::*;

    fn graph(roles: &[(Oid, bool, bool)], grants: &[(Oid, Oid)]) -> Graph {
        let mut graph = Graph { major: 16, ..Graph::default() };
        for (oid, superuser, login) in roles {
            let role = Role {
                name: format!("r{oid}"),
                superuser: *superuser,
                login: *login,
                inherit: true,
                ..Role::default()
            };
            graph.roles.insert(*oid, role);
        }
        for (member, role) in grants {
            graph.grant(*member, *role, Grant { admin: false, inherit: true, set: true });
        }
        graph
    }

    /// Whatever is advised, somebody comes to superuser after all of it was done.
    #[test]
    fn after_all_advice_somebody_still_comes_to_superuser() {
        for (roles, grants) in [
            (vec![(10, true, true)], vec![]),
            (vec![(10, true, false), (11, true, true)], vec![]),
            (vec![(10, true, false), (11, true, true), (12, true, true), (13, true, true)], vec![]),
            (vec![(10, true, false), (11, false, true)], vec![(11, 10)]),
            (vec![(10, true, false), (11, false, true), (12, false, true)], vec![(11, 10), (12, 11)]),
        ] {
            let graph = graph(&roles, &grants);
            let mut advisor = Advisor::new(&graph);
            let mut kept = 0;
            for (oid, ..) in &roles {
                if graph.acts(*oid).path("superuser").is_some() {
                    kept +=
                        usize::from(advisor.advise_against(&graph, *oid, "superuser").starts_with("keep it"));
                }
                if graph.roles[oid].login {
                    advisor.advise_change(Change::NoLogin(*oid), "alter role … nologin".into());
                }
            }
            assert!(has_way(&advisor.after) && kept > 0, "{roles:?} {grants:?}");
        }
    }

    #[test]
    fn the_exact_statement() {
        let graph = graph(&[(10, true, true), (11, true, true), (12, false, true)], &[(12, 11)]);
        let mut advisor = Advisor::new(&graph);
        assert!(advisor.advise_against(&graph, 10, "superuser").starts_with("keep it: PostgreSQL needs"));
        assert!(advisor.advise_against(&graph, 11, "superuser").starts_with("alter role r11 nosuperuser"));
        assert!(advisor.advise_against(&graph, 12, "superuser").starts_with("revoke r11 from r12"));
        assert_eq!(quote_name("Anna O\"x"), "\"Anna O\"\"x\"");
    }
}
