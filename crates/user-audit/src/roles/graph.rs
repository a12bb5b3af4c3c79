//! Who can act as whom: from pg_roles and pg_auth_members alone, by PostgreSQL's own rules of each major.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A role's oid.
pub type Oid = u32;

/// Of `pg_database_owner`, whose one member is the database's owner, without a row in pg_auth_members.
const DATABASE_OWNER: &str = "pg_database_owner";

/// One role, as pg_roles has it.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are the columns of pg_roles")]
pub struct Role {
    pub name: String,
    pub superuser: bool,
    /// Before 16: whether memberships give their privileges without SET ROLE.
    pub inherit: bool,
    pub createrole: bool,
    pub createdb: bool,
    pub login: bool,
    pub replication: bool,
    pub bypassrls: bool,
}

impl Role {
    /// The attribute that `right` names.
    fn has_attribute(&self, right: &str) -> bool {
        match right {
            "superuser" => self.superuser,
            "bypassrls" => self.bypassrls,
            "replication" => self.replication,
            "createrole" => self.createrole,
            "createdb" => self.createdb,
            _ => false,
        }
    }
}

/// One membership: of several by different grantors each option is the union.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grant {
    pub admin: bool,
    /// 16+.
    pub inherit: bool,
    /// 16+.
    pub set: bool,
}

/// Which memberships a walk follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Every one.
    Member,
    /// Those that give their privileges at once.
    Inherit,
    /// Those that SET ROLE may take.
    Set,
}

/// All roles and memberships of one cluster, seen from one database.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub major: u32,
    pub roles: BTreeMap<Oid, Role>,
    /// Member, then the role it is a member of.
    pub grants: BTreeMap<Oid, BTreeMap<Oid, Grant>>,
    pub database_owner: Option<Oid>,
}

impl Graph {
    /// Adds a membership, or its options to the one that another grantor gave.
    pub fn grant(&mut self, member: Oid, role: Oid, grant: Grant) {
        let there = self.grants.entry(member).or_default().entry(role).or_default();
        there.admin |= grant.admin;
        there.inherit |= grant.inherit;
        there.set |= grant.set;
    }

    /// Every role that `from` reaches, itself too, and the step before it. A circle, which PostgreSQL refuses to
    /// make, ends the walk and not us.
    fn walk_memberships(&self, from: Oid, walk: Walk) -> BTreeMap<Oid, Oid> {
        let mut before = BTreeMap::from([(from, from)]);
        let mut queue = VecDeque::from([from]);
        while let Some(member) = queue.pop_front() {
            for role in self.next_steps(member, walk) {
                // Breadth first: the first way to a role is a shortest one, which is what reports show.
                before.entry(role).or_insert_with(|| {
                    queue.push_back(role);
                    member
                });
            }
        }
        before
    }

    fn next_steps(&self, member: Oid, walk: Walk) -> Vec<Oid> {
        // Up to 15 INHERIT is an attribute of the member and holds for all its memberships; from 16 on each membership
        // has its own INHERIT and SET options, and the attribute is only the default of new ones (release notes of 16,
        // "role membership"; pg_auth_members).
        let inherits = self.roles.get(&member).is_some_and(|r| r.inherit);
        if self.major < 16 && walk == Walk::Inherit && !inherits {
            return Vec::new();
        }
        let follows = |g: &Grant| match walk {
            Walk::Member => true,
            _ if self.major < 16 => true,
            Walk::Inherit => g.inherit,
            Walk::Set => g.set,
        };
        let granted =
            self.grants.get(&member).into_iter().flatten().filter(|(_, g)| follows(g)).map(|(r, _)| *r);
        // pg_database_owner has one member, the owner of the current database, and no row in pg_auth_members tells so
        // (manual, 22.5, predefined roles).
        let owned = (self.database_owner == Some(member)).then(|| self.oid(DATABASE_OWNER)).flatten();
        granted.chain(owned).collect()
    }

    /// The role of this name.
    pub fn oid(&self, name: &str) -> Option<Oid> {
        self.roles.iter().find(|(_, r)| r.name == name).map(|(oid, _)| *oid)
    }

    fn is_superuser(&self, oid: Oid) -> bool {
        self.roles.get(&oid).is_some_and(|r| r.superuser)
    }

    /// What `pg_has_role(who, role, …)` says: MEMBER, USAGE, or SET (before 16 SET ROLE takes any membership).
    pub fn reaches(&self, who: Oid, role: Oid, walk: Walk) -> bool {
        // pg_has_role() is true for superusers whatever was granted (`acl.c`, is_member_of_role).
        self.is_superuser(who) || self.walk_memberships(who, walk).contains_key(&role)
    }

    /// What `pg_has_role(who, role, 'MEMBER WITH ADMIN OPTION')` says of two different roles.
    pub fn administers(&self, who: Oid, role: Oid) -> bool {
        self.is_superuser(who)
            || self.walk_memberships(who, Walk::Member).keys().any(|m| self.is_admin(*m, role))
    }

    fn is_admin(&self, member: Oid, role: Oid) -> bool {
        self.grants.get(&member).and_then(|g| g.get(&role)).is_some_and(|g| g.admin)
    }

    /// Every role that `who` can act as after all it may do by itself: SET ROLE, and granting itself what it
    /// administers. With each, how it was reached.
    pub fn acts(&self, who: Oid) -> Acts<'_> {
        let mut acts = Acts { graph: self, before: BTreeMap::from([(who, (who, ActStep::Set))]), who };
        let mut queue = VecDeque::from([who]);
        while let Some(role) = queue.pop_front() {
            let set = self.next_steps(role, Walk::Set).into_iter().map(|r| (r, ActStep::Set));
            let granted = self
                .grantable_roles(role)
                .into_iter()
                .filter(|r| !self.closes_circle(*r, who))
                .map(|r| (r, ActStep::Grant));
            for (next, step) in set.chain(granted) {
                // A role that was reached is not walked twice, so a circle of grants ends here.
                acts.before.entry(next).or_insert_with(|| {
                    queue.push_back(next);
                    (role, step)
                });
            }
        }
        acts
    }

    /// A role that is a member of `who` cannot be granted to it. Before 16 `who` may end that membership first.
    fn closes_circle(&self, role: Oid, who: Oid) -> bool {
        self.major >= 16 && self.walk_memberships(role, Walk::Member).contains_key(&who)
    }

    /// Roles that whoever acts as `role` can grant to himself. Superusers' roles only superusers can grant; before
    /// 16 CREATEROLE grants every other one.
    fn grantable_roles(&self, role: Oid) -> BTreeSet<Oid> {
        let plain = |oid: &Oid| !self.is_superuser(*oid);
        // Up to 15 CREATEROLE may grant membership in every role that is no superuser, pg_execute_server_program among
        // them, which makes it nearly a superuser. From 16 on it needs the admin option of the role (CREATE ROLE, notes).
        if self.major < 16 && self.roles.get(&role).is_some_and(|r| r.createrole) {
            return self
                .roles
                .iter()
                .filter(|(_, r)| r.name != DATABASE_OWNER)
                .map(|(o, _)| *o)
                .filter(plain)
                .collect();
        }
        // Before 16 any membership with the admin option counts, also one that is not inherited.
        let walk = if self.major < 16 { Walk::Member } else { Walk::Inherit };
        let holders = self.walk_memberships(role, walk);
        let granted = holders.keys().filter_map(|m| self.grants.get(m)).flatten();
        granted.filter(|(_, g)| g.admin).map(|(r, _)| *r).filter(plain).collect()
    }
}

/// How a step is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActStep {
    Set,
    Grant,
}

/// The roles that one role can act as.
#[derive(Debug)]
pub struct Acts<'a> {
    graph: &'a Graph,
    before: BTreeMap<Oid, (Oid, ActStep)>,
    who: Oid,
}

impl Acts<'_> {
    /// The roles.
    pub fn roles(&self) -> impl Iterator<Item = Oid> + '_ {
        self.before.keys().copied()
    }

    /// The shortest way to `right`, an attribute or a predefined role: `alice → ops → postgres`; `⇒` where the one
    /// before grants itself the one after, `⊃` where it has its privileges without acting as it.
    pub fn path(&self, right: &str) -> Option<String> {
        let route = self.find_route(right)?;
        let steps = route.iter().skip(1).map(|(arrow, role)| format!(" {arrow} {}", self.role_name(*role)));
        Some(self.role_name(self.who) + &steps.collect::<String>())
    }

    /// The first role on the way to `right`, and whether the step is a membership; None for a right of its own.
    pub fn first_step(&self, right: &str) -> Option<(Oid, bool)> {
        self.find_route(right)?.get(1).map(|(arrow, role)| (*role, *arrow != '⇒'))
    }

    /// The roles on the shortest way, each with the arrow that leads to it; the first is who goes it.
    fn find_route(&self, right: &str) -> Option<Vec<(char, Oid)>> {
        let attribute =
            self.before.keys().filter(|r| self.graph.roles.get(r).is_some_and(|r| r.has_attribute(right)));
        let direct = attribute.map(|r| self.route_to(*r)).min_by_key(Vec::len);
        direct.or_else(|| self.inherited_route(self.graph.oid(right)?))
    }

    fn inherited_route(&self, role: Oid) -> Option<Vec<(char, Oid)>> {
        let ways = self.before.keys().filter_map(|act| {
            let walk = self.graph.walk_memberships(*act, Walk::Inherit);
            walk.contains_key(&role).then(|| [self.route_to(*act), collect_tail(&walk, *act, role)].concat())
        });
        ways.min_by_key(Vec::len)
    }

    fn route_to(&self, to: Oid) -> Vec<(char, Oid)> {
        let (mut way, mut at) = (Vec::new(), to);
        while at != self.who {
            let (before, step) = self.before[&at];
            way.push((if step == ActStep::Set { '→' } else { '⇒' }, at));
            at = before;
        }
        way.push((' ', self.who));
        way.reverse();
        way
    }

    fn role_name(&self, oid: Oid) -> String {
        self.graph.roles.get(&oid).map_or_else(|| oid.to_string(), |r| r.name.clone())
    }
}

/// The steps of inheritance from one role to another.
fn collect_tail(walk: &BTreeMap<Oid, Oid>, from: Oid, to: Oid) -> Vec<(char, Oid)> {
    let (mut tail, mut at) = (Vec::new(), to);
    while at != from {
        tail.push(('⊃', at));
        at = walk[&at];
    }
    tail.reverse();
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(major: u32, names: &[&str], grants: &[(u32, u32, Grant)]) -> Graph {
        let mut graph = Graph { major, ..Graph::default() };
        for (oid, name) in (1..).zip(names) {
            let role = Role {
                name: (*name).into(),
                superuser: *name == "postgres",
                inherit: true,
                ..Role::default()
            };
            graph.roles.insert(oid, role);
        }
        grants.iter().for_each(|(member, role, grant)| graph.grant(*member, *role, *grant));
        graph
    }

    const SET: Grant = Grant { admin: false, inherit: false, set: true };
    const INHERIT: Grant = Grant { admin: false, inherit: true, set: false };
    const ADMIN: Grant = Grant { admin: true, inherit: false, set: false };

    #[test]
    fn the_options_of_16_decide_the_path() {
        let names = ["alice", "ops", "postgres"];
        let path = |major, first, second| {
            graph(major, &names, &[(1, 2, first), (2, 3, second)]).acts(1).path("superuser")
        };
        assert_eq!(path(16, SET, SET).as_deref(), Some("alice → ops → postgres"));
        assert_eq!(path(16, INHERIT, SET), None);
        assert_eq!(path(16, SET, INHERIT), None, "the privileges of a superuser's role are not superuser");
        assert_eq!(path(15, INHERIT, INHERIT).as_deref(), Some("alice → ops → postgres"));
        assert_eq!(path(16, ADMIN, SET).as_deref(), Some("alice ⇒ ops → postgres"));
        assert_eq!(path(16, SET, ADMIN), None, "only superusers grant superusers");
    }

    #[test]
    fn two_grantors_add_up_and_a_circle_ends() {
        let two = graph(16, &["alice", "postgres"], &[(1, 2, INHERIT), (1, 2, SET)]);
        assert_eq!(two.acts(1).path("superuser").as_deref(), Some("alice → postgres"));
        let circle = graph(16, &["a", "b", "c"], &[(1, 2, SET), (2, 3, SET), (3, 1, SET)]);
        assert_eq!(circle.acts(1).roles().count(), 3);
        assert!(circle.reaches(3, 2, Walk::Set) && circle.acts(1).path("superuser").is_none());
    }

    #[test]
    fn a_predefined_role_works_by_its_privileges_alone() {
        let g = graph(16, &["alice", "ops", "pg_read_all_data"], &[(1, 2, SET), (2, 3, INHERIT)]);
        assert_eq!(g.acts(1).path("pg_read_all_data").as_deref(), Some("alice → ops ⊃ pg_read_all_data"));
    }
}
