//! The verb `plan`.

use super::existing::{TargetFacts, plan_existing};
use super::new_tables::{NewTableRules, plan_new_table};
use super::show::{QuestionLine, path_lines};
use super::{across, file, findings, misfits};
use crate::census::scan::Census;
use crate::cli::JsonPlanArgs;
use crate::load::encode::Zones;
use crate::load::order::{TableReference, read_references};
use crate::model::{FORMAT, FilePlan, KnownTables, MovePlan, OpenQuestion, QuestionKind, Zone};
use crate::rules;
use crate::source::file::JsonInput;
use crate::source::folder::{JsonFile, find_files};
use crate::source::layout::read_layout;
use crate::source::records::detect_shape;
use crate::target;
use migrate::session;
use toban_core::check::Finding;
use toban_core::pg::ConnInfo;
use toban_core::{Error, Out, Result, Severity};

/// What the target says, where there is one.
#[derive(Default)]
struct PlannedTarget {
    known: KnownTables,
    references: Vec<TableReference>,
    migrations: Vec<String>,
}

/// Reads, decides, prints, and writes the file when one is named.
///
/// # Errors
/// Usage for files that are no records, and rules that name what is not there; those of the target.
pub(crate) fn run(args: &JsonPlanArgs, out: &mut Out<'_>) -> Result<()> {
    if let Some(path) = args.output.as_ref().filter(|path| path.exists()) {
        return Err(Error::usage(format!("{} is there already, with its answers", path.display()))
            .hint("write to another file and compare the two, or remove this one"));
    }
    let (folder, found) = find_files(&args.paths)?;
    check_rules(args, &found)?;
    let zone = args.zone.as_deref().map(Zone::parse_zone).transpose().map_err(Error::usage)?;
    let target = args.target.as_deref().map(read_target).transpose()?;
    let mut censuses = Vec::new();
    for file in &found {
        let shape = detect_shape(JsonInput::open_file(&file.path)?, &file.name)?;
        let census = Census::read_file(&file.path, &file.name, &shape)?;
        census.check_fit()?;
        censuses.push(census);
    }
    let (mut files, mut questions) = plan_files(args, &found, &censuses, target.as_ref())?;
    across::add_references(&mut files, &censuses);
    across::hint_names(&mut questions, &censuses);
    // As long as the zone is not answered, UTC stands for it: types and ranges are judged the same in all. Times that
    // its clocks skip or show twice the run finds.
    let zones = Zones { naive: zone.clone().unwrap_or_else(Zone::utc), column: Zone::utc() };
    let none = KnownTables::new();
    let known = target.as_ref().map_or(&none, |t| &t.known);
    for (file, found) in files.iter().zip(&found).filter(|(file, _)| !file.table.is_empty()) {
        questions.extend(misfits::ask_misfits(&found.path, file, known, &zones)?);
    }
    for (found, census) in found.iter().zip(&censuses) {
        questions.extend(across::ask_copies(found, census, args.copy.as_deref())?);
        questions.extend(findings::ask_findings(census));
    }
    questions.splice(0..0, ask_zones(&files, &censuses, zone.is_some()));
    let plan = MovePlan {
        format: FORMAT,
        folder: folder.display().to_string(),
        whole_folder: matches!(args.paths.as_slice(), [path] if path.is_dir()),
        zone: args.zone.clone().unwrap_or_default(),
        migrations: target.map(|t| t.migrations).unwrap_or_default(),
        questions,
        files,
        ..MovePlan::default()
    };
    print_plan(&plan, &censuses, out)?;
    args.output.as_ref().map_or(Ok(()), |path| file::write_plan(&plan, path))
}

/// Every --table, --explode and --split must concern one of the files; what else they name is looked at with the file.
fn check_rules(args: &JsonPlanArgs, found: &[JsonFile]) -> Result<()> {
    let rules =
        [("--table", '=', &args.table), ("--explode", ':', &args.explode), ("--split", ':', &args.split)];
    for (flag, separator, given) in rules {
        for rule in given {
            let file = rule.split_once(separator).map(|(file, _)| file);
            if !found.iter().any(|f| Some(f.name.as_str()) == file) {
                let names: Vec<&str> = found.iter().map(|f| f.name.as_str()).collect();
                return Err(Error::usage(format!("{flag} {rule}: names none of the files"))
                    .hint(format!("write FILE{separator}…, with one of {}", names.join(", "))));
            }
        }
    }
    if args.target.is_none() && !args.table.is_empty() {
        return Err(Error::usage("--table names a table that is there: give the database with --for"));
    }
    Ok(())
}

fn read_target(conninfo: &str) -> Result<PlannedTarget> {
    let to = ConnInfo::resolve(Some(conninfo), "json-to-pg")?;
    let mut client = session::open_session(&to)?;
    let known = target::read_known(&mut client)?;
    let migrations = target::read_migrations(&mut client, &known)?;
    Ok(PlannedTarget { references: read_references(&mut client)?, known, migrations })
}

fn plan_files(
    args: &JsonPlanArgs,
    found: &[JsonFile],
    censuses: &[Census],
    target: Option<&PlannedTarget>,
) -> Result<(Vec<FilePlan>, Vec<OpenQuestion>)> {
    let rules = NewTableRules {
        schema: &args.schema,
        snake_case: args.snake_case,
        keep_order: args.keep_order,
        explode: &args.explode,
        split: &args.split,
    };
    let (mut files, mut questions) = (Vec::new(), Vec::new());
    for (found, census) in found.iter().zip(censuses) {
        let file = FilePlan {
            name: census.name.clone(),
            shape: census.shape.clone(),
            records: census.records,
            repeated: census.identities.repeated.clone(),
            source: census.identity.clone(),
            layout: read_layout(&found.path)?,
            ..FilePlan::default()
        };
        match target {
            Some(target) => {
                let facts = TargetFacts { known: &target.known, references: &target.references };
                let (file, mut asked) = plan_existing(census, file, &facts, &args.table)?;
                if let Some(details) = across::describe_details(census, censuses) {
                    asked
                        .iter_mut()
                        .filter(|q| q.kind == QuestionKind::Table)
                        .for_each(|q| q.ask += &format!("; it {details}"));
                }
                files.push(file);
                questions.extend(asked);
            }
            None => {
                if census.records > 0 && census.tree.members().next().is_none() {
                    questions.push(ask_empty(census));
                }
                files.push(plan_new_table(census, file, &rules)?);
            }
        }
    }
    Ok((files, questions))
}

/// Records without any member make rows that nothing distinguishes.
fn ask_empty(census: &Census) -> OpenQuestion {
    OpenQuestion {
        kind: QuestionKind::Table,
        file: census.name.clone(),
        ask: format!("no record has a member ({} records)", census.records),
        choices: vec!["drop: REASON".into()],
        ..OpenQuestion::default()
    }
}

/// Zones are never assumed: whether a naive time is of Tokyo or of UTC only people know.
fn ask_zones(files: &[FilePlan], censuses: &[Census], is_given: bool) -> Vec<OpenQuestion> {
    let is_moment = |pg_type: &str| pg_type.starts_with("timestamp");
    let (mut naive, mut columns) = (Vec::new(), Vec::new());
    for (file, census) in files.iter().zip(censuses) {
        for path in file.paths.iter().filter(|p| is_moment(&p.pg_type)) {
            let Some(node) = census.tree.find_path(&path.path) else { continue };
            if node.stats.naive + node.stats.days > 0 {
                naive.push(format!("{} {}: {}", file.name, path.path, node.stats.naive + node.stats.days));
            }
            if path.pg_type.ends_with("without time zone") && node.stats.times() > 0 {
                columns.push(format!("{}.{}", file.table, path.column));
            }
        }
    }
    let mut questions = Vec::new();
    if !naive.is_empty() && !is_given {
        questions.push(OpenQuestion {
            kind: QuestionKind::Zone,
            ask: format!("times name no zone ({}): in which zone are they?", naive.join(", ")),
            choices: vec!["Asia/Tokyo".into(), "UTC".into(), "ZONE".into()],
            ..OpenQuestion::default()
        });
    }
    if !columns.is_empty() {
        let shown = columns.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        questions.push(OpenQuestion {
            kind: QuestionKind::ColumnZone,
            ask: format!("columns keep times without a zone ({shown}; {} in all): in which zone does the application mean them?", columns.len()),
            choices: vec!["UTC".into(), "ZONE".into()],
            ..OpenQuestion::default()
        });
    }
    questions
}

fn print_plan(plan: &MovePlan, censuses: &[Census], out: &mut Out<'_>) -> Result<()> {
    for (file, census) in plan.files.iter().zip(censuses) {
        path_lines(file, census).iter().try_for_each(|line| out.emit(line))?;
    }
    let mut found: Vec<Finding> = Vec::new();
    for (file, census) in plan.files.iter().zip(censuses) {
        found.extend(findings::find_all(census, file));
        found.extend(findings::find_null_or_absent(census));
        if let Some(details) = across::describe_details(census, censuses) {
            found.push(
                Finding::new(&rules::DETAILS_DIFFER, Severity::Warning)
                    .in_source(&*census.name)
                    .says(details),
            );
        }
    }
    found.iter().try_for_each(|finding| out.emit(finding))?;
    plan.questions.iter().try_for_each(|question| out.emit(&QuestionLine::from(question)))
}
