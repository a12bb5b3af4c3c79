//! Logical slots and subscriptions belong to one database and to another server too: a slot is in no dump and goes with
//! its database, and of two copies of a subscription only one may take what the publisher sends.

use crate::server::Server;
use postgres::Client;
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Error, Result};

/// What of logical replication belongs to one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replication {
    pub(crate) slots: Vec<String>,
    pub(crate) subscriptions: Vec<Subscription>,
}

/// A subscription of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    /// Its slot on the publisher.
    pub(crate) slot: Option<String>,
}

/// Reads what belongs to `database`; nothing for one that is not there.
pub(crate) fn read_replication(client: &mut Client, database: &str) -> Result<Replication> {
    let doing = || format!("look for replication of database {database}");
    let slots = "select slot_name::text from pg_replication_slots \
                 where database = $1 and slot_type = 'logical' and not temporary order by 1";
    let subscriptions = "select subname::text, subenabled, subslotname::text from pg_subscription s \
                         join pg_database d on d.oid = s.subdbid where d.datname = $1 order by 1";
    let slots = client.query(slots, &[&database]).doing(doing)?;
    let subscriptions = client.query(subscriptions, &[&database]).doing(doing)?;
    let subscription = |r: &postgres::Row| Subscription { name: r.get(0), enabled: r.get(1), slot: r.get(2) };
    Ok(Replication {
        slots: slots.iter().map(|r| r.get(0)).collect(),
        subscriptions: subscriptions.iter().map(subscription).collect(),
    })
}

impl Replication {
    /// Whether nothing of it belongs to the database.
    pub(crate) fn is_none(&self) -> bool {
        *self == Replication::default()
    }

    /// Refuses to put another database in the place of one whose subscriptions this role cannot stop.
    ///
    /// # Errors
    /// Failed, with the command that stops them.
    pub(crate) fn check_role(&self, client: &mut Client) -> Result<()> {
        let Some(enabled) = self.subscriptions.iter().find(|s| s.enabled) else { return Ok(()) };
        if is_superuser(client)? {
            return Ok(());
        }
        let name = Ident::new(&enabled.name);
        let e = Error::failed(format!(
            "subscription {name} is enabled, and only a superuser can stop it at the swap"
        ));
        Err(e.hint(format!("use a superuser, or first: alter subscription {name} disable")))
    }

    /// What stops the subscriptions of `database` and takes their slots from them, in the transaction that puts another
    /// database in its place: `None` where there is nothing to stop.
    ///
    /// ALTER SUBSCRIPTION works from inside the database alone, and none of its sessions may be there when it is
    /// renamed: done before, a crash would leave a database in service that no longer receives anything.
    pub(crate) fn stop_sql(&self, client: &mut Client, database: &str) -> Result<Option<String>> {
        if self.subscriptions.is_empty() || !is_superuser(client)? {
            return Ok(None);
        }
        let of =
            format!("subdbid = (select oid from pg_database where datname = {})", quote_literal(database));
        Ok(Some(format!("update pg_subscription set subenabled = false, subslotname = null where {of}")))
    }

    /// Says what will stay with the old database; for `--dry-run`.
    pub(crate) fn warn_before(&self, database: &str) {
        let slots = self.slots.iter().map(|s| format!("logical slot {s}"));
        let subscriptions = self.subscriptions.iter().map(|s| format!("subscription {}", s.name));
        for what in slots.chain(subscriptions) {
            log::warn!("{what} would stay with the old database of {database}, which would be kept");
        }
    }

    /// Says what the old database, now called `aside`, has kept, and what `database` lacks.
    pub(crate) fn warn_after(&self, database: &str, aside: &str) {
        for slot in &self.slots {
            log::warn!(
                "logical slot {slot} stays with the old database, kept as {aside}: it sends nothing of {database} and \
                 holds back WAL; create another one in {database}, then select pg_drop_replication_slot({})",
                quote_literal(slot)
            );
        }
        for subscription in &self.subscriptions {
            let slot = subscription.slot.as_ref().map(|s| format!(" from slot {s}")).unwrap_or_default();
            log::warn!(
                "subscription {} of the old database, kept as {aside}, is disabled; {database} receives nothing{slot} \
                 until its own is enabled, and lacks what was sent since its dump",
                subscription.name
            );
        }
    }
}

fn is_superuser(client: &mut Client) -> Result<bool> {
    let sql = "select rolsuper from pg_roles where rolname = current_user";
    Ok(client.query_one(sql, &[]).doing(|| "ask who we are".into())?.get(0))
}

/// Takes their slots from the subscriptions of a copy, in which they are disabled: dropped there or enabled, they would
/// drop or empty the slot that the original uses. Their names.
pub(crate) fn detach_subscriptions(
    server: &Server,
    client: &mut Client,
    database: &str,
) -> Result<Vec<String>> {
    let names: Vec<String> =
        read_replication(client, database)?.subscriptions.into_iter().map(|s| s.name).collect();
    if names.is_empty() {
        return Ok(names);
    }
    let mut session = server.open_session(database)?;
    for name in names.iter().map(Ident::new) {
        let sql = [
            format!("alter subscription {name} disable"),
            format!("alter subscription {name} set (slot_name = none)"),
        ];
        let doing = || format!("detach subscription {name} of {database} from its slot");
        sql.iter().try_for_each(|sql| session.batch_execute(sql).doing(doing))?;
    }
    Ok(names)
}

/// Drops the subscriptions of a database of ours: with one of them it cannot be dropped itself.
pub(crate) fn remove_subscriptions(server: &Server, client: &mut Client, database: &str) -> Result<()> {
    let names = detach_subscriptions(server, client, database)?;
    if names.is_empty() {
        return Ok(());
    }
    let mut session = server.open_session(database)?;
    for name in names.iter().map(Ident::new) {
        let dropped = session.batch_execute(&format!("drop subscription {name}"));
        dropped.doing(|| format!("drop subscription {name} of {database}"))?;
    }
    Ok(())
}
