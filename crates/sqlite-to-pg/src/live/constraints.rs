//! Foreign keys and triggers of the target: out of the way while changes are applied, and put back before the switch.
//! A row is replaced by deleting it first, and a key with ON DELETE CASCADE would take the children along.

use crate::model::Plan;
use migrate::sql::qualified_name;
use postgres::Client;
use postgres::error::SqlState;
use toban_core::{Context, Result};

/// Every foreign key from or to our tables: what drops it, what makes it again, what makes it valid.
const KEYS: &str = "select format('alter table %s drop constraint %I', k.conrelid::regclass, k.conname), \
      format('alter table %s add constraint %I %s%s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid), \
        case when k.convalidated and c.relkind <> 'p' then ' not valid' else '' end), \
      case when k.convalidated and c.relkind <> 'p' \
        then format('alter table %s validate constraint %I', k.conrelid::regclass, k.conname) end \
    from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_class p on p.oid = k.confrelid \
    join pg_namespace n on n.oid = c.relnamespace join pg_namespace m on m.oid = p.relnamespace \
    where k.contype = 'f' and k.conparentid = 0 and ((n.nspname = $1 and c.relname = any($2)) \
      or (m.nspname = $1 and p.relname = any($2))) order by k.oid";

/// Every trigger of the application that fires, of our tables and their partitions.
const TRIGGERS: &str = "select format('alter table %s disable trigger %I', t.tgrelid::regclass, t.tgname), \
      format('alter table %s enable %strigger %I', t.tgrelid::regclass, \
        case t.tgenabled when 'R' then 'replica ' when 'A' then 'always ' else '' end, t.tgname), null::text \
    from pg_trigger t join (select oid from pg_class where oid = any($1::text[]::regclass[]) \
      union select r.relid from unnest($1::text[]::regclass[]) as p (oid), pg_partition_tree(p.oid) r) c on c.oid = t.tgrelid \
    where not t.tgisinternal and t.tgparentid = 0 and t.tgenabled <> 'D' and t.tgname not like 'toban\\_live\\_%' order by t.oid";

/// Takes them away, and writes down how they come back, in the transaction that is open.
///
/// # Errors
/// Those of the server, as for a key of a table that the role does not own.
pub(super) fn take_away(client: &mut Client, plan: &Plan) -> Result<()> {
    let doing = || "take the foreign keys and triggers away".to_string();
    let names: Vec<&str> = plan.tables.iter().map(|t| t.target.as_str()).collect();
    let relations: Vec<String> = names.iter().map(|name| qualified_name(&plan.schema, name)).collect();
    let mut rows = client.query(KEYS, &[&plan.schema, &names]).doing(doing)?;
    rows.extend(client.query(TRIGGERS, &[&relations]).doing(doing)?);
    for row in rows {
        let (away, back, afterwards): (String, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
        // One that was away of an earlier copy in this schema would come back twice.
        let once = "delete from toban_live.restored where target = $1 and statement = $2";
        client.execute(once, &[&plan.schema, &back]).doing(doing)?;
        let sql = "insert into toban_live.restored (target, statement, afterwards) values ($1, $2, $3)";
        client.execute(sql, &[&plan.schema, &back, &afterwards]).doing(doing)?;
        client.batch_execute(&away).doing(|| away.clone())?;
    }
    Ok(())
}

/// Puts them back, in the transaction that is open. Keys are NOT VALID at first: new rows are checked at once, and
/// the old ones need not be read while the application waits.
///
/// # Errors
/// Those of the server.
pub(super) fn put_back(client: &mut Client, schema: &str) -> Result<()> {
    let doing = || "put the foreign keys and triggers back".to_string();
    let sql = "select at, statement from toban_live.restored where target = $1 and statement is not null order by at";
    for row in client.query(sql, &[&schema]).doing(doing)? {
        let (at, statement): (i64, String) = (row.get(0), row.get(1));
        client.batch_execute(&statement).doing(|| statement.clone())?;
        let done = "update toban_live.restored set statement = null where at = $1";
        client.execute(done, &[&at]).doing(doing)?;
    }
    Ok(())
}

/// Puts back what an earlier copy left away, but for what is back already, or is no more.
///
/// # Errors
/// Those of the server.
pub(super) fn put_back_earlier(client: &mut Client, schema: &str) -> Result<()> {
    let doing = || "put the foreign keys and triggers of an earlier copy back".to_string();
    let known = [
        SqlState::DUPLICATE_OBJECT,
        SqlState::UNDEFINED_OBJECT,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INVALID_SCHEMA_NAME,
    ];
    let sql =
        "select statement from toban_live.restored where target = $1 and statement is not null order by at";
    for row in client.query(sql, &[&schema]).doing(doing)? {
        let statement: String = row.get(0);
        client.batch_execute("savepoint earlier").doing(doing)?;
        match client.batch_execute(&statement) {
            Ok(()) => client.batch_execute("release earlier").doing(doing)?,
            Err(e) if e.code().is_some_and(|code| known.contains(code)) => {
                client.batch_execute("rollback to earlier").doing(doing)?;
            }
            Err(e) => return Err(e).doing(|| statement.clone()),
        }
    }
    Ok(())
}

/// Makes the keys valid that were so before; the application may write meanwhile. The answer names those that rows
/// break.
///
/// # Errors
/// Those of the server that are about no row.
pub(super) fn validate_keys(client: &mut Client, schema: &str) -> Result<Vec<String>> {
    let doing = || "validate the foreign keys".to_string();
    let sql =
        "select at, afterwards from toban_live.restored where target = $1 and statement is null order by at";
    let mut broken = Vec::new();
    for row in client.query(sql, &[&schema]).doing(doing)? {
        let (at, afterwards): (i64, Option<String>) = (row.get(0), row.get(1));
        if let Some(validate) = afterwards
            && let Err(e) = client.batch_execute(&validate)
        {
            broken.push(format!("{validate}: {}", crate::target::create::tolerate(e)?));
        }
        client.execute("delete from toban_live.restored where at = $1", &[&at]).doing(doing)?;
    }
    Ok(broken)
}
