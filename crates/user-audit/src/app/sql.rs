//! The queries that a mapping makes; each gives text or NULL alone.

use crate::mapping::{Beside, Filter, Mapping, Name};
use toban_core::pg::Ident;

/// Between the roles of one account, and between a role and its end: no name holds them.
pub(super) const BETWEEN: char = '\u{1f}';
pub(super) const END: char = '\u{1e}';

/// Columns of [`Mapping::users_sql`], in its order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    Id,
    Email,
    Login,
    Active,
    Disabled,
    LastLogin,
    LastUsed,
    Uses,
    Logins,
    PasswordChanged,
    Passwords,
    HasPassword,
    Created,
    Deleted,
    LockedUntil,
    LockedSince,
    Mfa,
    Role,
    AdminFlag,
    Assigned,
}

impl Mapping {
    /// Every account with what is judged of it, by id, in the order of [`Column`].
    pub(crate) fn users_sql(&self, concat: &str) -> String {
        let uses = self.uses.clone().map(|table| Beside {
            table,
            user: self.uses_user.clone(),
            at: Some(self.uses_at.clone()),
            filter: self.uses_where.clone(),
        });
        let beside = [
            ("k", uses.as_ref()),
            ("l", self.logins.as_ref()),
            ("p", self.passwords.as_ref()),
            ("m", self.second_factors.as_ref()),
        ];
        let newest = |alias: &str| match beside.iter().any(|(a, b)| *a == alias && b.is_some()) {
            true => format!("{alias}.newest"),
            false => "null".to_string(),
        };
        let joins: Vec<String> =
            beside.iter().filter_map(|(alias, b)| Some(self.newest_of(alias, (*b)?))).collect();
        let columns = [
            as_text(Some(&self.id)),
            as_text(self.email.as_ref()),
            as_text(self.login.as_ref()),
            as_text(self.active.as_ref()),
            as_text(self.disabled.as_ref()),
            as_text(self.last_login.as_ref()),
            as_text(self.last_used.as_ref()),
            newest("k"),
            newest("l"),
            as_text(self.password_changed.as_ref()),
            newest("p"),
            self.has_password(),
            as_text(self.created.as_ref()),
            as_text(self.deleted.as_ref()),
            as_text(self.locked_until.as_ref()),
            as_text(self.locked_since.as_ref()),
            self.has_second_factor(),
            as_text(self.role.as_ref()),
            as_text(self.admin_flag.as_ref()),
            if self.has_assignments() { "a.roles".into() } else { "null".into() },
        ];
        format!(
            "select {} from {} u {} {}{} order by u.{}",
            columns.join(", "),
            self.users,
            self.assigned(concat),
            joins.join(" "),
            condition_sql(" where", "u", &self.users_where),
            Ident::new(&self.id)
        )
    }

    /// The newest row of each account in a table beside, and how many there are.
    fn newest_of(&self, alias: &str, beside: &Beside) -> String {
        // As text, and the newest by the column's own order: what the type is, only the database knows.
        let at = beside.at.as_ref().map_or("null".into(), |c| format!("max(b.{})", Ident::new(c)));
        format!(
            "left join (select b.{user} as user_id, cast({at} as text) as newest, count(*) as n from {table} b{where_} \
             group by b.{user}) {alias} on {alias}.user_id = u.{id}",
            user = Ident::new(&beside.user),
            table = beside.table,
            where_ = condition_sql(" where", "b", &beside.filter),
            id = Ident::new(&self.id),
        )
    }

    /// Each account's roles in one text, joined to the accounts.
    fn assigned(&self, concat: &str) -> String {
        let mut sources = Vec::new();
        if let Some(table) = &self.user_roles {
            let ends = self
                .user_roles_expires
                .as_ref()
                .map_or("''".into(), |c| format!("coalesce(cast(r.{} as text), '')", Ident::new(c)));
            sources.push(format!(
                "select r.{} as user_id, coalesce(cast(r.{} as text), '') || '{END}' || {ends} as role from {table} r{}",
                Ident::new(&self.user_roles_user),
                Ident::new(&self.user_roles_role),
                condition_sql(" where", "r", &self.user_roles_where),
            ));
        }
        if let Some(g) = &self.groups {
            sources.push(format!(
                "select g.{} as user_id, coalesce(cast(r.{} as text), '') || '{END}' as role \
                 from {} g join {} r on r.{} = g.{}",
                Ident::new(&g.user),
                Ident::new(&g.role),
                g.members,
                g.roles,
                Ident::new(&g.roles_group),
                Ident::new(&g.group),
            ));
        }
        if sources.is_empty() {
            return String::new();
        }
        format!(
            "left join (select s.user_id, {concat}(s.role, '{BETWEEN}') as roles from ({}) s group by s.user_id) a \
             on a.user_id = u.{}",
            sources.join(" union all "),
            Ident::new(&self.id)
        )
    }

    /// Django's unusable passwords begin with `!`.
    fn has_password(&self) -> String {
        if self.passwords.is_some() {
            return "case when p.n > 0 then '1' else '0' end".into();
        }
        self.password.as_ref().map_or("null".into(), |name| {
            let c = format!("u.{}", Ident::new(name));
            format!("case when {c} is null or {c} = '' or {c} like '!%' then '0' else '1' end")
        })
    }

    fn has_second_factor(&self) -> String {
        if self.second_factors.is_some() {
            return "case when m.n > 0 then '1' else '0' end".into();
        }
        self.mfa.as_ref().map_or("null".into(), |name| {
            let c = as_text(Some(name));
            format!(
                "case when {c} is null or lower({c}) in ('', 'false', 'f', '0', 'no') then '0' else '1' end"
            )
        })
    }

    /// Ids and addresses alone.
    pub(crate) fn emails_sql(&self) -> Option<String> {
        let (id, email) = (as_text(Some(&self.id)), as_text(Some(self.email.as_ref()?)));
        let only = condition_sql(" where", "u", &self.users_where);
        Some(format!("select {id}, {email} from {} u{only} order by u.{}", self.users, Ident::new(&self.id)))
    }

    /// When the first login of the table of logins was.
    pub(crate) fn first_login_sql(&self) -> Option<String> {
        let logins = self.logins.as_ref()?;
        let at = Ident::new(logins.at.as_ref()?);
        let only = condition_sql(" where", "b", &logins.filter);
        Some(format!("select cast(min(b.{at}) as text) from {} b{only}", logins.table))
    }

    /// Roles: id, name, parent, whether it makes administrators.
    pub(crate) fn roles_sql(&self) -> Option<String> {
        let (parent, admin) = (as_text(self.role_parent.as_ref()), as_text(self.role_admin.as_ref()));
        let (id, name) = (as_text(Some(&self.role_id)), as_text(Some(&self.role_name)));
        self.roles.as_ref().map(|t| format!("select {id}, {name}, {parent}, {admin} from {t} u order by 1"))
    }

    /// Roles that include others: each with one of those.
    pub(crate) fn composites_sql(&self) -> Option<String> {
        let c = self.role_includes.as_ref()?;
        let (role, included) = (as_text(Some(&c.role)), as_text(Some(&c.includes)));
        Some(format!("select {role}, {included} from {} u order by 1, 2", c.table))
    }

    /// Assignments whose user or role is gone: user's id, role's id, which of them is there.
    pub(crate) fn orphans_sql(&self) -> Option<String> {
        let table = self.user_roles.as_ref()?;
        let (user, role) = (Ident::new(&self.user_roles_user), Ident::new(&self.user_roles_role));
        let id = Ident::new(&self.id);
        let (there, join, gone) = match &self.roles {
            Some(roles) => {
                let role_id = Ident::new(&self.role_id);
                (
                    format!("case when r.{role_id} is null then '0' else '1' end"),
                    format!("left join {roles} r on r.{role_id} = a.{role}"),
                    format!("(u.{id} is null or r.{role_id} is null)"),
                )
            }
            None => ("'1'".into(), String::new(), format!("u.{id} is null")),
        };
        Some(format!(
            "select cast(a.{user} as text), cast(a.{role} as text), case when u.{id} is null then '0' else '1' end, {there} \
             from {table} a left join {} u on u.{id} = a.{user} {join} where {gone}{} order by 1, 2",
            self.users,
            condition_sql(" and", "a", &self.user_roles_where),
        ))
    }
}

/// A column as text; `null` where the mapping has none.
fn as_text(column: Option<&String>) -> String {
    column.map_or("null".into(), |c| format!("cast(u.{} as text)", Ident::new(c)))
}

/// `where` (or `and`) with what the filter asks for; nothing for an empty one.
fn condition_sql(word: &str, alias: &str, filter: &Filter) -> String {
    let one = |(column, wanted): (&String, &crate::mapping::WantedValue)| {
        let values: Vec<String> = wanted.values().iter().map(|v| quote_literal(v)).collect();
        let among = if values.is_empty() { "null".into() } else { values.join(", ") };
        format!("coalesce(cast({alias}.{} as text), '') in ({among})", Ident::new(column))
    };
    match filter.is_empty() {
        true => String::new(),
        false => format!("{word} {}", filter.iter().map(one).collect::<Vec<_>>().join(" and ")),
    }
}

/// Both databases take a backslash as it is (standard_conforming_strings).
pub(super) fn quote_literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// Different values of a column that is not longer than a word, few of them: for `--detect`.
pub(super) fn values_sql(table: &Name, column: &str, limit: usize) -> String {
    let column = Ident::new(column);
    format!(
        "select distinct cast(u.{column} as text) from {table} u where u.{column} is not null order by 1 limit {limit}"
    )
}
