//! The rows, table by table, parents first.

use super::words::{BEGIN, SPAN, date, iso, one, words};
use super::{Dirt, Flaw, Itsm, Planted};
use crate::Dice;
use rusqlite::types::Value;
use rusqlite::{Connection, Result, params};

/// Fills the empty tables.
pub(super) fn fill(itsm: &Itsm, connection: &Connection) -> Result<Planted> {
    let part = |per_mille: u64| i64::try_from((itsm.rows * per_mille / 1000).max(2)).unwrap_or(i64::MAX);
    let sizes = Sizes { users: part(10), assets: part(40), incidents: part(200), changes: part(40) };
    let (dice, planted) = (Dice::new(itsm.seed), Planted::default());
    let mut fill = Fill { itsm, connection, dice, planted, sizes };
    if itsm.sequelize {
        connection.execute("insert into SequelizeMeta values ('20220101000000-init.js')", [])?;
    }
    fill.users()?;
    fill.roles()?;
    fill.user_roles()?;
    fill.assets()?;
    fill.incidents()?;
    fill.histories(part(450))?;
    fill.changes()?;
    fill.approvals()?;
    fill.comments(part(120))?;
    fill.notifications(part(80))?;
    Ok(fill.planted)
}

/// Rows of the tables that others refer to.
struct Sizes {
    users: i64,
    assets: i64,
    incidents: i64,
    changes: i64,
}

/// A table's column, for what is planted there.
type Place = (&'static str, &'static str);

const ROLES: [&str; 6] = ["admin", "system_admin", "agent", "manager", "auditor", "user"];

struct Fill<'a> {
    itsm: &'a Itsm,
    connection: &'a Connection,
    dice: Dice,
    planted: Planted,
    sizes: Sizes,
}

impl Fill<'_> {
    fn users(&mut self) -> Result<()> {
        let mut put = self.connection.prepare("insert into users values (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        for id in 1..=self.sizes.users {
            let (made, name) = (self.moment(), words(&mut self.dice, 2));
            let email = match id > 1 && self.plant(("users", "email"), id, Flaw::CaseTwin) {
                true => format!("User{}@example.org", id - 1),
                false => format!("user{id}@example.org"),
            };
            let hash = format!("$2b$12${:016x}{:016x}", self.dice.below(u64::MAX), self.dice.below(u64::MAX));
            let active = self.boolean(("users", "is_active"), id);
            let login = self.maybe_time(("users", "last_login_at"), id, made);
            let changed = self.maybe_time(("users", "password_changed_at"), id, made);
            let (made, now) = self.stamps("users", id, made);
            put.execute(params![id, email, name, hash, active, login, changed, made, now])?;
        }
        self.wrote("users", self.sizes.users)
    }

    fn roles(&mut self) -> Result<()> {
        let mut put = self.connection.prepare("insert into roles values (?, ?, ?)")?;
        for (id, name) in (1_i64..).zip(ROLES) {
            put.execute(params![id, name, words(&mut self.dice, 6)])?;
        }
        self.wrote("roles", 6)
    }

    fn user_roles(&mut self) -> Result<()> {
        let mut put = self.connection.prepare("insert into user_roles values (?, ?, ?)")?;
        let mut row = 0;
        for user in 1..=self.sizes.users {
            let held = if user % 5 == 0 { 2 } else { 1 };
            for n in 0..held {
                row += 1;
                let role = 1 + (user + n) % 6;
                let orphan = self.plant(("user_roles", "user_id"), row, Flaw::Orphan);
                let user = if orphan { 2_000_000_000 + row } else { user };
                let moment = self.moment();
                let granted = self.time(("user_roles", "granted_at"), row, moment);
                put.execute(params![user, role, granted])?;
            }
        }
        self.wrote("user_roles", row)
    }

    fn assets(&mut self) -> Result<()> {
        let mut put = self.connection.prepare("insert into assets values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        for id in 1..=self.sizes.assets {
            let (made, name) = (self.moment(), words(&mut self.dice, 3));
            let kind = one(&mut self.dice, &["laptop", "server", "phone", "printer", "licence"]);
            let owner = self.parent(("assets", "owner_id"), id, self.sizes.users);
            let price = match self.plant(("assets", "purchase_price"), id, Flaw::WrongType) {
                true => Value::Text("on request".into()),
                false => Value::Real(self.dice.below(5_000_000) as f64 / 100.0),
            };
            let ram = self.dice.below(64);
            let attributes = format!(r#"{{"ram": {ram}, "tags": ["{kind}", "b{}"], "os": null}}"#, id % 7);
            let bought = match self.plant(("assets", "purchased_on"), id, Flaw::WrongType) {
                true => "last spring".to_string(),
                false => date(made / 86_400_000),
            };
            let (made, now) = self.stamps("assets", id, made);
            let tag = format!("A-{id:07}");
            put.execute(params![id, tag, name, kind, owner, price, attributes, bought, made, now])?;
        }
        self.wrote("assets", self.sizes.assets)
    }

    fn incidents(&mut self) -> Result<()> {
        let sql = "insert into incidents values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let mut put = self.connection.prepare(sql)?;
        for id in 1..=self.sizes.incidents {
            let (made, length) = (self.moment(), 10 + self.dice.below(50));
            let title = self.title("incidents", id);
            let description = words(&mut self.dice, length);
            let priority = one(&mut self.dice, &["Critical", "High", "Medium", "Low"]);
            let status = one(&mut self.dice, &["New", "Assigned", "In-Progress", "Resolved", "Closed"]);
            let security = self.boolean(("incidents", "is_security_incident"), id);
            let reporter = self.parent(("incidents", "reporter_id"), id, self.sizes.users);
            let assignee = self.parent(("incidents", "assignee_id"), id, self.sizes.users);
            let asset = self.parent(("incidents", "asset_id"), id, self.sizes.assets);
            let resolved = self.maybe_time(("incidents", "resolved_at"), id, made);
            let (made, now) = self.stamps("incidents", id, made);
            let ticket = format!("INC-{id:08}");
            put.execute(params![
                id,
                ticket,
                title,
                description,
                priority,
                status,
                security,
                reporter,
                assignee,
                asset,
                resolved,
                made,
                now
            ])?;
        }
        self.wrote("incidents", self.sizes.incidents)
    }

    fn histories(&mut self, rows: i64) -> Result<()> {
        let sql = "insert into incident_histories values (?, ?, ?, ?, ?, ?, ?)";
        let mut put = self.connection.prepare(sql)?;
        for id in 1..=rows {
            let moment = self.moment();
            let incident = 1 + (id - 1) * self.sizes.incidents / rows;
            let incident = match self.plant(("incident_histories", "incident_id"), id, Flaw::Orphan) {
                true => 2_000_000_000 + id,
                false => incident,
            };
            let actor = self.parent(("incident_histories", "actor_id"), id, self.sizes.users);
            let field = one(&mut self.dice, &["status", "priority", "assignee_id", "title", "description"]);
            let (old, new) = (words(&mut self.dice, id.unsigned_abs() % 4), words(&mut self.dice, 4));
            let old = (id % 9 != 0).then_some(old);
            let at = self.time(("incident_histories", "changed_at"), id, moment);
            put.execute(params![id, incident, actor, field, old, new, at])?;
        }
        self.wrote("incident_histories", rows)
    }

    fn changes(&mut self) -> Result<()> {
        let mut put =
            self.connection.prepare("insert into changes values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        for id in 1..=self.sizes.changes {
            let made = self.moment();
            let title = self.title("changes", id);
            let risk = one(&mut self.dice, &["Low", "Medium", "High"]);
            let status = one(&mut self.dice, &["Draft", "Approved", "Done"]);
            let by = self.parent(("changes", "requested_by"), id, self.sizes.users);
            let start = self.maybe_time(("changes", "planned_start"), id, made);
            let end = self.maybe_time(("changes", "planned_end"), id, made);
            let plan = words(&mut self.dice, 12);
            let (made, now) = self.stamps("changes", id, made);
            let name = format!("CHG-{id:07}");
            put.execute(params![id, name, title, risk, status, by, start, end, plan, made, now])?;
        }
        self.wrote("changes", self.sizes.changes)
    }

    fn approvals(&mut self) -> Result<()> {
        let mut put = self.connection.prepare("insert into approvals values (?, ?, ?, ?, ?)")?;
        let mut id = 0;
        for change in 1..=self.sizes.changes {
            let given = if change % 5 == 0 { 2 } else { 1 };
            for n in 0..given {
                id += 1;
                let approver = 1 + (change + n) % self.sizes.users;
                let decision = one(&mut self.dice, &["Approved", "Rejected"]);
                let moment = self.moment();
                let at = self.maybe_time(("approvals", "decided_at"), id, moment);
                put.execute(params![id, change, approver, decision, at])?;
            }
        }
        self.wrote("approvals", id)
    }

    fn comments(&mut self, rows: i64) -> Result<()> {
        let mut put = self.connection.prepare("insert into comments values (?, ?, ?, ?, ?, ?)")?;
        for id in 1..=rows {
            let (moment, length) = (self.moment(), 5 + self.dice.below(40));
            let incident = self.parent(("comments", "incident_id"), id, self.sizes.incidents);
            let author = self.parent(("comments", "author_id"), id, self.sizes.users);
            let mut body = words(&mut self.dice, length);
            if self.plant(("comments", "body"), id, Flaw::Nul) {
                body.push_str("\0^M");
            }
            let size = self.dice.index(400);
            let attachment = (id % 10 == 0).then(|| self.bytes(size));
            let at = self.time(("comments", "created_at"), id, moment);
            put.execute(params![id, incident, author, body, attachment, at])?;
        }
        self.wrote("comments", rows)
    }

    fn notifications(&mut self, rows: i64) -> Result<()> {
        let mut put = self.connection.prepare("insert into notifications values (?, ?, ?, ?, ?)")?;
        for id in 1..=rows {
            let moment = self.moment();
            let user = 1 + self.below(self.sizes.users);
            let (incident, text) = (self.below(self.sizes.incidents), words(&mut self.dice, 5));
            let payload =
                format!(r#"{{"kind":"assigned","incident":{incident},"text":"{text}","urgent":false}}"#);
            let read = self.maybe_time(("notifications", "read_at"), id, moment);
            let at = self.time(("notifications", "created_at"), id, moment);
            put.execute(params![id, user, payload, read, at])?;
        }
        self.wrote("notifications", rows)
    }

    fn wrote(&mut self, table: &'static str, rows: i64) -> Result<()> {
        self.planted.rows.insert(table, rows.unsigned_abs());
        Ok(())
    }

    /// Whether dirt goes here; it is noted then.
    fn plant(&mut self, (table, column): Place, row: i64, flaw: Flaw) -> bool {
        let dirty = self.itsm.dirt > 0 && self.dice.below(1000) < self.itsm.dirt;
        if dirty {
            self.planted.dirt.push(Dirt { table, row, column, flaw });
        }
        dirty
    }

    fn below(&mut self, end: i64) -> i64 {
        i64::try_from(self.dice.below(end.unsigned_abs())).unwrap_or(0)
    }

    fn moment(&mut self) -> i64 {
        BEGIN + i64::try_from(self.dice.below(SPAN)).unwrap_or(0)
    }

    fn bytes(&mut self, size: usize) -> Vec<u8> {
        (0..size).map(|_| self.dice.below(256) as u8).collect()
    }

    fn boolean(&mut self, place: Place, row: i64) -> Value {
        let set = self.dice.below(10) > 0;
        match self.plant(place, row, Flaw::BooleanText) {
            true => Value::Text(set.to_string()),
            false => Value::Integer(set.into()),
        }
    }

    fn time(&mut self, place: Place, row: i64, millis: i64) -> Value {
        if self.plant(place, row, Flaw::EpochMillis) {
            Value::Integer(millis)
        } else if self.plant(place, row, Flaw::EpochSeconds) {
            Value::Integer(millis / 1000)
        } else {
            Value::Text(iso(millis, self.itsm.sequelize))
        }
    }

    fn maybe_time(&mut self, place: Place, row: i64, since: i64) -> Value {
        let later = since + self.below(90 * 86_400_000);
        if self.dice.below(4) == 0 { Value::Null } else { self.time(place, row, later) }
    }

    fn stamps(&mut self, table: &'static str, row: i64, made: i64) -> (Value, Value) {
        let later = made + self.below(30 * 86_400_000);
        (self.time((table, "created_at"), row, made), self.time((table, "updated_at"), row, later))
    }

    fn parent(&mut self, place: Place, row: i64, parents: i64) -> Option<i64> {
        if self.plant(place, row, Flaw::Orphan) {
            return Some(2_000_000_000 + row);
        }
        (self.dice.below(20) > 0).then(|| 1 + self.below(parents))
    }

    fn title(&mut self, table: &'static str, row: i64) -> String {
        let length = if self.plant((table, "title"), row, Flaw::TooLong) { 300 } else { 4 };
        words(&mut self.dice, length)
    }
}
