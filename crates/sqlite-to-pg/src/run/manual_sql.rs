//! Files for what a person must finish: views that could not be translated, triggers, and whatever else is missing.

use super::report::Report;
use crate::model::{Object, ObjectKind, Outcome, Plan};
use std::path::Path;
use toban_core::pg::Ident;
use toban_core::{Context, Result, durable};

/// Writes views.sql, triggers.sql and others.sql, each only when there is something to say.
pub(super) fn write_files(report: &Report<'_>, folder: &Path) -> Result<()> {
    let written = |kind: ObjectKind| report.with_outcome(Outcome::Written).filter(move |o| o.kind == kind);
    let views: String = written(ObjectKind::View).map(view_sql).collect();
    let triggers: String = written(ObjectKind::Trigger).map(|o| trigger_sql(o, report.plan)).collect();
    let others = report.missing_objects().filter(|o| o.outcome == Outcome::Skipped);
    let other = |o: &Object| format!("-- {}: {}\n{}\n", o.title(), o.reason(), comment_out(&o.source_sql));
    save_file(&folder.join("others.sql"), &others.map(other).collect::<String>())?;
    save_file(&folder.join("views.sql"), &views)?;
    save_file(&folder.join("triggers.sql"), &triggers)
}

fn save_file(path: &Path, text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    durable::replace(path, 0o644, |w| {
        w.write_all(text.as_bytes()).doing(|| format!("write {}", path.display()))
    })
}

fn comment_out(text: &str) -> String {
    text.lines().map(|l| format!("-- {l}\n")).collect()
}

fn view_sql(object: &Object) -> String {
    let tried = object.sql.as_ref().map(|sql| format!("create view {sql};\n")).unwrap_or_default();
    format!("-- {}: {}\n{}{tried}\n", object.name, object.reason(), comment_out(&object.source_sql))
}

/// The frame of a PL/pgSQL trigger, with SQLite's words inside as comments.
fn trigger_sql(object: &Object, plan: &Plan) -> String {
    let words = object.source_sql.to_ascii_lowercase();
    let first = |choices: &[&'static str]| choices.iter().copied().find(|c| words.contains(*c));
    let time = first(&["instead of", "before", "after"]).unwrap_or("before");
    let event = ["insert", "update", "delete"]
        .into_iter()
        .min_by_key(|e| words.find(&format!(" {e} ")).unwrap_or(usize::MAX))
        .unwrap_or("insert");
    let table = plan.tables.iter().find(|t| t.source.eq_ignore_ascii_case(&object.table));
    let table = table.map_or_else(|| "TABLE".to_string(), |t| Ident::new(&*t.target).to_string());
    let name = Ident::new(&*object.name);
    let ends = if event == "delete" { "old" } else { "new" };
    format!(
        "{}create function {name}() returns trigger language plpgsql as $$\nbegin\n  -- the statements above, in PostgreSQL's words; \
         RAISE(ABORT, 'x') is: raise exception 'x';\n  return {ends};\nend $$;\n\
         create trigger {name} {time} {event} on {table} for each row execute function {name}();\n\n",
        comment_out(&object.source_sql)
    )
}
