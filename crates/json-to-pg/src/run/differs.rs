//! The files of the run beside those that the plan was made of: what is new is a difference, and ends the run before it begins.

use crate::census::scan::Census;
use crate::census::stats::PathStats;
use crate::model::{FilePlan, MovePlan};
use crate::source::file::Identity;
use crate::source::folder::find_files;
use std::path::Path;
use toban_core::{Error, Result};

/// The files as they are now, beside the plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct FolderState {
    /// What the plan does not know, one line each.
    pub(crate) differences: Vec<String>,
    /// The sum that each moving file must have when it is read again.
    pub(crate) sums: Vec<String>,
}

/// Looks at every file of the folder: a new file, a new path, another kind of value, and far fewer records are differences.
///
/// # Errors
/// Usage for a file that is missing or that no plan can move; those of reading.
pub(crate) fn compare_folder(plan: &MovePlan, folder: &Path) -> Result<FolderState> {
    let mut state = FolderState::default();
    if !folder.is_dir() {
        return Err(Error::usage(format!("there is no folder {}", folder.display()))
            .hint("name the folder of the files with --from"));
    }
    let missing: Vec<&str> =
        plan.moving_files().filter(|f| !folder.join(&f.name).is_file()).map(|f| f.name.as_str()).collect();
    if !missing.is_empty() {
        return Err(Error::usage(format!("{} lacks {}", folder.display(), missing.join(", "))));
    }
    if plan.whole_folder {
        let (_, found) = find_files(&[folder.to_path_buf()])?;
        let unknown = found.iter().filter(|f| !plan.files.iter().any(|p| p.name == f.name));
        state.differences.extend(unknown.map(|f| format!("{} is not in the plan", f.name)));
    }
    for file in plan.moving_files() {
        let path = folder.join(&file.name);
        if is_same(file, &path) {
            state.sums.push(file.source.sha256.clone());
            continue;
        }
        let census = Census::read_file(&path, &file.name, &file.shape)?;
        census.check_fit()?;
        list_differences(file, &census, &mut state.differences);
        state.sums.push(census.identity.sha256);
    }
    Ok(state)
}

/// Fails when a file is missing, new, of another shape, or holds what the plan does not know. The answer is the sum that each
/// moving file must have when it is loaded.
///
/// # Errors
/// Usage, listing all differences; those of reading.
pub(crate) fn check_files(plan: &MovePlan, folder: &Path) -> Result<Vec<String>> {
    let FolderState { differences, sums } = compare_folder(plan, folder)?;
    match differences.is_empty() {
        true => Ok(sums),
        false => {
            Err(Error::usage(format!("the files are not those of the plan: {}", differences.join("; ")))
                .hint("plan again, compare the two plans, and answer what is new"))
        }
    }
}

/// Whether it is the very file of the plan, unchanged: then its census is known. The sum is compared when it is loaded.
fn is_same(file: &FilePlan, path: &Path) -> bool {
    let Ok(meta) = path.metadata() else { return false };
    Identity { sha256: file.source.sha256.clone(), ..Identity::of(&meta) } == file.source
}

fn list_differences(file: &FilePlan, census: &Census, differences: &mut Vec<String>) {
    let name = &file.name;
    if census.identity.sha256 == file.source.sha256 {
        return;
    }
    // A file with far fewer records than were planned for was more likely cut off, or saved by a program that could
    // not read it, than cleaned up.
    if census.records + file.records / 10 < file.records {
        differences.push(format!("{name}: {} records, and there were {}", census.records, file.records));
    }
    for node in census.tree.nodes.iter().skip(1) {
        let Some(planned) = find_plan(file, &node.path) else {
            differences.push(format!("{name}: {} is new (record {})", node.path, node.stats.first_record));
            continue;
        };
        // What stands inside of a member that moves whole may be anything.
        if planned.path == node.path && planned.drop.is_empty() {
            let new = new_classes(&planned.found, &node.stats);
            differences
                .extend(new.iter().map(|class| format!("{name}: {} holds {class}, which is new", node.path)));
        }
    }
}

/// The entry that a path falls under: its own, or that of what it is inside of.
fn find_plan<'f>(file: &'f FilePlan, path: &str) -> Option<&'f crate::model::PathPlan> {
    let own = file.paths.iter().find(|p| p.path == path);
    own.or_else(|| {
        file.paths.iter().find(|p| {
            let inside = path.len() > p.path.len() && path.starts_with(&p.path);
            let list_item = path[p.path.len().min(path.len())..] == *"[]";
            inside
                && matches!(path.as_bytes()[p.path.len()], b'.' | b'[')
                && !p.split
                && (p.explode.is_empty() || list_item)
        })
    })
}

fn new_classes(found: &[String], stats: &PathStats) -> Vec<String> {
    stats.classes().into_iter().filter(|class| !found.contains(class)).collect()
}
