//! Files for what a person must finish: views that could not be translated, triggers, and whatever else is missing.

use crate::plan::{Fate, Object, Plan};
use std::path::Path;
use toban_core::pg::Ident;
use toban_core::{Context, Result, durable};

/// Writes views.sql, triggers.sql and others.sql, each only when there is something to say.
///
/// # Errors
/// Those of the file system.
pub(super) fn write(plan: &Plan, folder: &Path) -> Result<()> {
    let of = |kind: &str| -> Vec<&Object> {
        plan.objects.iter().filter(|o| o.kind == kind && o.fate == Fate::Written).collect()
    };
    let others = plan.objects.iter().filter(|o| o.is_missing() && o.fate == Fate::Skipped);
    let other = |o: &Object| format!("-- {}: {}\n{}\n", o.shown(), o.why, commented(&o.source_sql));
    save(&folder.join("others.sql"), &others.map(other).collect::<String>())?;
    save(&folder.join("views.sql"), &of("view").into_iter().map(view).collect::<String>())?;
    save(
        &folder.join("triggers.sql"),
        &of("trigger").into_iter().map(|o| trigger(o, plan)).collect::<String>(),
    )
}

fn save(path: &Path, text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    durable::replace(path, 0o644, |w| {
        w.write_all(text.as_bytes()).doing(|| format!("write {}", path.display()))
    })
}

fn commented(text: &str) -> String {
    text.lines().map(|l| format!("-- {l}\n")).collect()
}

fn view(object: &Object) -> String {
    let tried = object.sql.as_ref().map(|sql| format!("create view {sql};\n")).unwrap_or_default();
    format!("-- {}: {}\n{}{tried}\n", object.name, object.why, commented(&object.source_sql))
}

/// The frame of a PL/pgSQL trigger, with SQLite's words inside as comments.
fn trigger(object: &Object, plan: &Plan) -> String {
    let words = object.source_sql.to_ascii_lowercase();
    let first = |choices: &[&'static str]| choices.iter().copied().find(|c| words.contains(*c));
    let time = first(&["instead of", "before", "after"]).unwrap_or("before");
    let event = ["insert", "update", "delete"]
        .into_iter()
        .min_by_key(|e| words.find(&format!(" {e} ")).unwrap_or(usize::MAX))
        .unwrap_or("insert");
    let table = plan
        .tables
        .iter()
        .find(|t| {
            words.contains(&format!("on {}", t.source.to_ascii_lowercase()))
                || words.contains(&format!("on \"{}\"", t.source.to_ascii_lowercase()))
        })
        .map_or_else(|| "TABLE".to_string(), |t| Ident::new(&*t.target).to_string());
    let name = Ident::new(&*object.name);
    let ends = if event == "delete" { "old" } else { "new" };
    format!(
        "{}create function {name}() returns trigger language plpgsql as $$\nbegin\n  -- the statements above, in PostgreSQL's words; \
         RAISE(ABORT, 'x') is: raise exception 'x';\n  return {ends};\nend $$;\n\
         create trigger {name} {time} {event} on {table} for each row execute function {name}();\n\n",
        commented(&object.source_sql)
    )
}
