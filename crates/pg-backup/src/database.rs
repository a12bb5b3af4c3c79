//! What a database is beside its content, which pg_dump of one database leaves out: owner, encoding, locale,
//! tablespace, limits, settings, grants, comment. Read from the catalogs, and written as SQL again.

use postgres::{GenericClient, Row};
use serde::{Deserialize, Serialize};
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Error, Result};

/// The properties of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Properties {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) encoding: String,
    pub(crate) collate: String,
    pub(crate) ctype: String,
    /// `libc`, `icu` or `builtin`.
    pub(crate) provider: String,
    /// Locale of the icu or builtin provider.
    pub(crate) locale: Option<String>,
    pub(crate) icu_rules: Option<String>,
    pub(crate) tablespace: String,
    pub(crate) connection_limit: i32,
    pub(crate) comment: Option<String>,
    /// `None` is PostgreSQL's default.
    pub(crate) grants: Option<Vec<Grant>>,
    pub(crate) settings: Vec<Setting>,
    #[serde(default)]
    pub(crate) is_template: bool,
    #[serde(default)]
    pub(crate) security_labels: Vec<SecurityLabel>,
    /// Names of its logical slots, which no dump holds: they are reported, not made.
    #[serde(default)]
    pub(crate) logical_slots: Vec<String>,
}

/// `security label for … on database`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecurityLabel {
    pub(crate) provider: String,
    pub(crate) label: String,
}

/// A privilege on the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// The role; `None` is PUBLIC.
    pub(crate) to: Option<String>,
    pub(crate) privilege: String,
    pub(crate) grantable: bool,
}

/// `alter database … set`, or `alter role … in database … set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) role: Option<String>,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Reads the properties of `name`; `None` when there is no such database.
pub(crate) fn read_properties(
    client: &mut impl GenericClient,
    name: &str,
    major: u32,
) -> Result<Option<Properties>> {
    let doing = || format!("read the properties of database {name}");
    // pg_database grew: datlocprovider in 15, daticurules in 16, datlocale (was daticulocale) in 17.
    let provider = if major >= 15 { "d.datlocprovider::text" } else { "'c'" };
    let locale = match major {
        17.. => "d.datlocale",
        15..=16 => "d.daticulocale",
        _ => "null::text",
    };
    let rules = if major >= 16 { "d.daticurules" } else { "null::text" };
    let sql = format!(
        "select d.datname::text, pg_get_userbyid(d.datdba)::text, pg_encoding_to_char(d.encoding)::text, \
         d.datcollate::text, d.datctype::text, {provider}, {locale}, {rules}, t.spcname::text, d.datconnlimit, \
         shobj_description(d.oid, 'pg_database'), d.datacl is null, d.oid, d.datistemplate \
         from pg_database d join pg_tablespace t on t.oid = d.dattablespace where d.datname = $1"
    );
    let Some(row) = client.query_opt(&sql, &[&name]).doing(doing)? else { return Ok(None) };
    let oid: u32 = row.get(12);
    let grants = if row.get(11) { None } else { Some(read_grants(client, oid).doing(doing)?) };
    Ok(Some(Properties {
        grants,
        settings: read_settings(client, oid).doing(doing)?,
        security_labels: security_labels(client, oid).doing(doing)?,
        logical_slots: logical_slots(client, oid).doing(doing)?,
        ..from_row(&row)
    }))
}

fn from_row(row: &Row) -> Properties {
    let provider: &str = row.get(5);
    Properties {
        name: row.get(0),
        owner: row.get(1),
        encoding: row.get(2),
        collate: row.get(3),
        ctype: row.get(4),
        provider: match provider {
            "i" => "icu",
            "b" => "builtin",
            _ => "libc",
        }
        .into(),
        locale: row.get(6),
        icu_rules: row.get(7),
        tablespace: row.get(8),
        connection_limit: row.get(9),
        comment: row.get(10),
        grants: None,
        settings: Vec::new(),
        is_template: row.get(13),
        security_labels: Vec::new(),
        logical_slots: Vec::new(),
    }
}

fn security_labels(client: &mut impl GenericClient, oid: u32) -> Result<Vec<SecurityLabel>, postgres::Error> {
    let sql = "select provider, label from pg_shseclabel \
               where classoid = 'pg_database'::regclass and objoid = $1 order by 1";
    let label = |r: &Row| SecurityLabel { provider: r.get(0), label: r.get(1) };
    Ok(client.query(sql, &[&oid])?.iter().map(label).collect())
}

fn logical_slots(client: &mut impl GenericClient, oid: u32) -> Result<Vec<String>, postgres::Error> {
    let sql = "select slot_name::text from pg_replication_slots \
               where datoid = $1 and slot_type = 'logical' and not temporary order by 1";
    Ok(client.query(sql, &[&oid])?.iter().map(|r| r.get(0)).collect())
}

fn read_grants(client: &mut impl GenericClient, oid: u32) -> Result<Vec<Grant>, postgres::Error> {
    let sql = "select r.rolname::text, a.privilege_type, bool_or(a.is_grantable) \
               from pg_database d, aclexplode(d.datacl) a left join pg_roles r on r.oid = a.grantee \
               where d.oid = $1 group by 1, 2 order by 1 nulls first, 2";
    let grant = |r: &Row| Grant { to: r.get(0), privilege: r.get(1), grantable: r.get(2) };
    Ok(client.query(sql, &[&oid])?.iter().map(grant).collect())
}

fn read_settings(client: &mut impl GenericClient, oid: u32) -> Result<Vec<Setting>, postgres::Error> {
    let sql = "select r.rolname::text, split_part(c, '=', 1), substr(c, strpos(c, '=') + 1), n \
               from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) with ordinality u (c, n) \
               where s.setdatabase = $1 order by 1 nulls first, n";
    let setting = |r: &Row| Setting { role: r.get(0), name: r.get(1), value: r.get(2) };
    Ok(client.query(sql, &[&oid])?.iter().map(setting).collect())
}

impl Properties {
    /// What a new database gets when nothing is known of the old one: the server's defaults and this owner.
    pub(crate) fn with_defaults(name: &str, owner: &str, template: &Properties) -> Properties {
        Properties {
            name: name.into(),
            owner: owner.into(),
            connection_limit: -1,
            comment: None,
            grants: None,
            settings: Vec::new(),
            is_template: false,
            security_labels: Vec::new(),
            logical_slots: Vec::new(),
            ..template.clone()
        }
    }

    /// `create database` under the name `name`, empty, without settings and grants.
    pub(crate) fn create_sql(&self, name: &str, major: u32) -> String {
        let mut sql = format!(
            "create database {} owner {} template template0 encoding {} lc_collate {} lc_ctype {} tablespace {} \
             connection limit {}",
            Ident::new(name),
            Ident::new(&self.owner),
            quote_literal(&self.encoding),
            quote_literal(&self.collate),
            quote_literal(&self.ctype),
            Ident::new(&self.tablespace),
            // A limit below 0 is none; -2 marks a half-dropped database.
            self.connection_limit.max(-1),
        );
        if major >= 15 {
            sql.push_str(&format!(" locale_provider {}", self.provider));
        }
        let of_provider = match self.provider.as_str() {
            "icu" => "icu_locale",
            _ => "builtin_locale",
        };
        if let Some(locale) = self.locale.as_ref().filter(|_| self.provider != "libc") {
            sql.push_str(&format!(" {of_provider} {}", quote_literal(locale)));
        }
        if let Some(rules) = &self.icu_rules {
            sql.push_str(&format!(" icu_rules {}", quote_literal(rules)));
        }
        sql
    }

    /// Grants, settings and comment for the database that is called `name` now.
    pub(crate) fn dress_sql(&self, name: &str) -> Vec<String> {
        let database = Ident::new(name);
        let mut sql = Vec::new();
        if let Some(comment) = &self.comment {
            sql.push(format!("comment on database {database} is {}", quote_literal(comment)));
        }
        if let Some(grants) = &self.grants {
            sql.push(format!("revoke all on database {database} from public, {}", Ident::new(&self.owner)));
            sql.extend(grants.iter().map(|g| g.to_sql(&database)));
        }
        sql.extend(self.settings.iter().map(|s| s.to_sql(&database)));
        if self.is_template {
            sql.push(format!("alter database {database} is_template true"));
        }
        sql
    }

    /// The provider of each security label, and what gives it to the database that is called `name` now.
    pub(crate) fn label_sql(&self, name: &str) -> Vec<(&str, String)> {
        let sql = |l: &SecurityLabel| {
            let (provider, database) = (Ident::new(&l.provider), Ident::new(name));
            format!("security label for {provider} on database {database} is {}", quote_literal(&l.label))
        };
        self.security_labels.iter().map(|l| (l.provider.as_str(), sql(l))).collect()
    }

    /// The roles that must exist before this database can be made.
    pub(crate) fn roles(&self) -> Vec<&str> {
        let granted = self.grants.iter().flatten().filter_map(|g| g.to.as_deref());
        let set = self.settings.iter().filter_map(|s| s.role.as_deref());
        let mut roles: Vec<&str> = std::iter::once(self.owner.as_str()).chain(granted).chain(set).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}

impl Grant {
    fn to_sql(&self, database: &Ident) -> String {
        let to = self.to.as_ref().map_or("public".to_string(), |r| Ident::new(r).to_string());
        let option = if self.grantable { " with grant option" } else { "" };
        format!("grant {} on database {database} to {to}{option}", self.privilege)
    }
}

impl Setting {
    /// Lists of names are stored quoted already (pg_dump's variable_is_guc_list_quote); all else is one string.
    fn to_sql(&self, database: &Ident) -> String {
        const LISTS: [&str; 6] = [
            "search_path",
            "temp_tablespaces",
            "session_preload_libraries",
            "local_preload_libraries",
            "shared_preload_libraries",
            "unix_socket_directories",
        ];
        let list = LISTS.contains(&self.name.to_ascii_lowercase().as_str());
        let value =
            if list && !self.value.is_empty() { self.value.clone() } else { quote_literal(&self.value) };
        // A custom setting has a dot between two names.
        let name: Vec<String> = self.name.split('.').map(|p| Ident::new(p).to_string()).collect();
        let of = match &self.role {
            Some(role) => format!("alter role {} in database {database}", Ident::new(role)),
            None => format!("alter database {database}"),
        };
        format!("{of} set {} to {value}", name.join("."))
    }
}

/// Refuses names that PostgreSQL or pg_dump cannot take.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let reason = match name {
        "" => "it is empty",
        n if n.len() > 63 => "it is longer than 63 bytes",
        n if n.contains(['\n', '\r', '\0']) => "it holds a line break or NUL",
        _ => return Ok(()),
    };
    Err(Error::usage(format!("{name:?} cannot be the name of a database: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> Properties {
        Properties {
            name: "app".into(),
            owner: "o\"wner".into(),
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C.UTF-8".into(),
            provider: "icu".into(),
            locale: Some("und".into()),
            icu_rules: None,
            tablespace: "pg_default".into(),
            connection_limit: 7,
            comment: Some("it's".into()),
            grants: Some(vec![Grant { to: None, privilege: "CONNECT".into(), grantable: false }]),
            settings: vec![
                Setting { role: None, name: "search_path".into(), value: "\"$user\", app".into() },
                Setting { role: Some("r".into()), name: "my.thing".into(), value: "a'b".into() },
            ],
            is_template: true,
            security_labels: vec![SecurityLabel { provider: "anon".into(), label: "it's".into() }],
            logical_slots: Vec::new(),
        }
    }

    #[test]
    fn the_sql_quotes_everything() {
        let sql = app().create_sql("new one", 15);
        assert!(
            sql.starts_with("create database \"new one\" owner \"o\"\"wner\" template template0"),
            "{sql}"
        );
        assert!(sql.ends_with("connection limit 7 locale_provider icu icu_locale 'und'"), "{sql}");
        assert_eq!(
            app().dress_sql("d"),
            [
                "comment on database \"d\" is 'it''s'",
                "revoke all on database \"d\" from public, \"o\"\"wner\"",
                "grant CONNECT on database \"d\" to public",
                "alter database \"d\" set \"search_path\" to \"$user\", app",
                "alter role \"r\" in database \"d\" set \"my\".\"thing\" to 'a''b'",
                "alter database \"d\" is_template true",
            ]
        );
        let label = "security label for \"anon\" on database \"d\" is 'it''s'";
        assert_eq!(app().label_sql("d"), [("anon", label.to_string())]);
    }

    #[test]
    fn names_no_database_has() {
        for bad in ["", "a\nb", "a\0b", &"x".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["app", "My \"DB\"", "データ", "a/b", "..", &"x".repeat(63)] {
            check_name(good).expect("a name");
        }
    }
}
