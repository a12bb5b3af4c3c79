//! `SHA256SUMS`: every file of the pack, and the manifest of the pack before it, so that `sha256sum -c` checks both.

use super::lines;
use crate::error::{Context, Error, Result};
use crate::sum::Measured;
use std::fs::File;
use std::io;
use std::path::Path;

/// The manifest's name, and its signature's.
pub(super) const NAME: &str = "SHA256SUMS";
pub(super) const SIGNATURE: &str = "SHA256SUMS.sig";

/// The manifest's text for the pack in `folder`, which comes after the pack `before` below `dir`.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn write_manifest(folder: &Path, dir: &Path, before: Option<&str>) -> Result<String> {
    let mut lines = String::new();
    for file in list_files(folder)? {
        lines += &format!("{}  {file}\n", sum_file(&folder.join(&file))?);
    }
    if let Some(before) = before {
        lines += &format!("{}  ../{before}/{NAME}\n", sum_file(&dir.join(before).join(NAME))?);
    }
    Ok(lines)
}

/// The name that a pack was made under, by what its files say.
pub type NameOf<'a> = &'a dyn Fn(&Path) -> Result<String>;

/// Checks the pack in `folder`, and each one before it to the first; gives the name of each and the SHA-256 of its
/// manifest, the newest first. `name_of` reads a pack's own name: a whole pack in another's folder is none.
///
/// # Errors
/// Corrupt, naming the file that is missing, changed or not in the manifest.
pub fn verify_chain(folder: &Path, name_of: NameOf<'_>) -> Result<Vec<(String, String)>> {
    let mut chain = Vec::new();
    let mut next = Some(folder.to_path_buf());
    while let Some(pack) = next.take() {
        let manifest = sum_file(&pack.join(NAME))?;
        let before = check_manifest(&pack, name_of)?;
        let whole = pack.canonicalize().doing(|| format!("find {}", pack.display()))?;
        chain.push((whole.file_name().unwrap_or_default().to_string_lossy().into_owned(), manifest));
        next = before.map(|name| pack.join(name)).and_then(|m| m.parent().map(Path::to_path_buf));
    }
    Ok(chain)
}

/// One pack; gives the manifest of the one before it, as a path from the pack.
fn check_manifest(pack: &Path, name_of: NameOf<'_>) -> Result<Option<String>> {
    let manifest = pack.join(NAME);
    let text = std::fs::read_to_string(&manifest).doing(|| format!("read {}", manifest.display()))?;
    let mut listed = Vec::new();
    let mut before = None;
    for line in text.lines() {
        let bad = || Error::corrupt(format!("{}: not a manifest's line: {line:?}", manifest.display()));
        let (wanted, file) = line.split_once("  ").ok_or_else(bad)?;
        let path = pack.join(file);
        // A file that is gone is damage like one that was changed: what it said cannot be known any more.
        let seen =
            sum_file(&path).map_err(|e| Error::corrupt(format!("{} is gone", path.display())).because(e))?;
        if seen != wanted {
            return Err(Error::corrupt(format!(
                "{} was changed: {}",
                path.display(),
                locate_change(pack, file)
            )));
        }
        // The line of the pack before it makes a chain: whoever changes an old pack must make every later manifest anew,
        // and the last of them is in packs.jsonl and log.jsonl, where he does not write.
        match file.starts_with("../") {
            true => before = Some(file.to_string()),
            false => listed.push(file.to_string()),
        }
    }
    // A file beside those of the manifest is no evidence, and would pass for some: `sha256sum -c` does not notice it.
    if let Some(extra) = list_files(pack)?.into_iter().find(|f| !listed.contains(f)) {
        return Err(Error::corrupt(format!("{} is not in the manifest", pack.join(extra).display())));
    }
    check_belongs(pack, &name_of(pack)?)?;
    check_link(pack, before.as_deref())?;
    Ok(before)
}

/// A manifest that names no pack before it, or an older one than the last, was made anew.
fn check_link(pack: &Path, before: Option<&str>) -> Result<()> {
    let whole = pack.canonicalize().doing(|| format!("find {}", pack.display()))?;
    let (Some(dir), Some(name)) = (whole.parent(), whole.file_name()) else { return Ok(()) };
    let name = name.to_string_lossy();
    let named = before.and_then(|b| b.strip_prefix("../")?.strip_suffix(&format!("/{NAME}")));
    let Some(last) = list_packs(dir)?.into_iter().rfind(|p| time_part(p) < time_part(&name)) else {
        return Ok(());
    };
    match named.is_some_and(|n| n >= last.as_str()) {
        true => Ok(()),
        false => Err(Error::corrupt(format!(
            "{} does not follow {last}, the pack before it: its manifest names {}",
            pack.display(),
            named.unwrap_or("none")
        ))
        .hint("its sums were made anew, or a pack was put in before it: make a new pack and review that")),
    }
}

/// Packs are a chain in the order of their times: one that came before the last would have no place in it.
///
/// # Errors
/// Usage, when a later pack is there.
pub(super) fn check_follows(dir: &Path, name: &str) -> Result<()> {
    let later = |p: &String| time_part(p) > time_part(name);
    match dir.is_dir().then(|| list_packs(dir)).transpose()?.unwrap_or_default().into_iter().rfind(later) {
        Some(later) => Err(Error::usage(format!("{} is later than {name}", dir.join(later).display()))
            .hint("packs are a chain: give a later --at, or another folder")),
        None => Ok(()),
    }
}

/// The time that a pack's name begins with.
fn time_part(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

/// Where it was changed, as far as anything tells.
fn locate_change(pack: &Path, file: &str) -> String {
    if file.starts_with("../") {
        return "that pack was rewritten, or put in place of another, after the next one was made".into();
    }
    lines::find_changed_line(pack, file).unwrap_or_else(|| "its SHA-256 is not the manifest's".into())
}

/// A whole pack in another's folder would take another's place in the chain.
fn check_belongs(pack: &Path, name: &str) -> Result<()> {
    let whole = pack.canonicalize().doing(|| format!("find {}", pack.display()))?;
    match whole.file_name().is_some_and(|n| n.to_string_lossy() == name) {
        true => Ok(()),
        false => Err(Error::corrupt(format!("{} holds the pack {name}", pack.display()))
            .hint("packs keep their names: put it back where it was")),
    }
}

/// Every file but the manifest and its signature, by name.
pub(super) fn list_files(folder: &Path) -> Result<Vec<String>> {
    let doing = || format!("list {}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).doing(doing)? {
        names.push(entry.doing(doing)?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|n| n != NAME && n != SIGNATURE);
    names.sort();
    Ok(names)
}

/// The newest pack before this one: names begin with the time. Of the same moment another verb's may come after it.
pub(super) fn previous_pack(dir: &Path, name: &str) -> Result<Option<String>> {
    Ok(list_packs(dir)?.into_iter().rfind(|p| p != name && time_part(p) <= time_part(name)))
}

/// Every pack in the folder, by name.
fn list_packs(dir: &Path) -> Result<Vec<String>> {
    let is_pack = |n: &String| !n.starts_with('.') && dir.join(n).join(NAME).is_file();
    Ok(list_files(dir)?.into_iter().filter(is_pack).collect())
}

/// The SHA-256 of a file.
pub(super) fn sum_file(path: &Path) -> Result<String> {
    let doing = || format!("read {}", path.display());
    let mut measured = Measured::new(File::open(path).doing(doing)?);
    io::copy(&mut measured, &mut io::sink()).doing(doing)?;
    Ok(measured.sum().sha256)
}
