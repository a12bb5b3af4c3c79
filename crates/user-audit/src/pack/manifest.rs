//! `SHA256SUMS`: every file of the pack, and the manifest of the pack before it, so that `sha256sum -c` checks both.

use super::lines;
use std::fs::File;
use std::io;
use std::path::Path;
use toban_core::sum::Measured;
use toban_core::{Context, Error, Result};

/// The manifest's name.
pub(crate) const NAME: &str = "SHA256SUMS";

/// The manifest's text for the pack in `folder`, which will be called `name` below `dir`.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn write(folder: &Path, dir: &Path, name: &str) -> Result<String> {
    let mut lines = String::new();
    for file in files(folder)? {
        lines += &format!("{}  {file}\n", sum(&folder.join(&file))?);
    }
    if let Some(before) = previous(dir, name)? {
        lines += &format!("{}  ../{before}/{NAME}\n", sum(&dir.join(&before).join(NAME))?);
    }
    Ok(lines)
}

/// Checks the pack in `folder`, and each one before it to the first; gives the SHA-256 of the newest manifest.
///
/// # Errors
/// Corrupt, naming the file that is missing, changed or not in the manifest.
pub(crate) fn verify(folder: &Path) -> Result<String> {
    let newest = sum(&folder.join(NAME))?;
    let mut next = Some(folder.to_path_buf());
    while let Some(pack) = next.take() {
        let before = check(&pack)?;
        next = before.map(|name| pack.join(name)).and_then(|m| m.parent().map(Path::to_path_buf));
    }
    Ok(newest)
}

/// One pack; gives the manifest of the one before it, as a path from the pack.
fn check(pack: &Path) -> Result<Option<String>> {
    let manifest = pack.join(NAME);
    let text = std::fs::read_to_string(&manifest).doing(|| format!("read {}", manifest.display()))?;
    let mut listed = Vec::new();
    let mut before = None;
    for line in text.lines() {
        let bad = || Error::corrupt(format!("{}: not a manifest's line: {line:?}", manifest.display()));
        let (wanted, file) = line.split_once("  ").ok_or_else(bad)?;
        let path = pack.join(file);
        let seen =
            sum(&path).map_err(|e| Error::corrupt(format!("{} is gone", path.display())).because(e))?;
        if seen != wanted {
            return Err(Error::corrupt(format!("{} was changed: {}", path.display(), place(pack, file))));
        }
        match file.starts_with("../") {
            true => before = Some(file.to_string()),
            false => listed.push(file.to_string()),
        }
    }
    if let Some(extra) = files(pack)?.into_iter().find(|f| !listed.contains(f)) {
        return Err(Error::corrupt(format!("{} is not in the manifest", pack.join(extra).display())));
    }
    belongs(pack).map(|()| before)
}

/// Where it was changed, as far as anything tells.
fn place(pack: &Path, file: &str) -> String {
    if file.starts_with("../") {
        return "that pack was rewritten, or put in place of another, after the next one was made".into();
    }
    lines::place(pack, file).unwrap_or_else(|| "its SHA-256 is not the manifest's".into())
}

/// A whole pack in another's folder would take another's place in the chain.
fn belongs(pack: &Path) -> Result<()> {
    let contents = super::contents(pack)?;
    let name = super::name(&contents.verb, contents.at);
    let whole = pack.canonicalize().doing(|| format!("find {}", pack.display()))?;
    match whole.file_name().is_some_and(|n| n.to_string_lossy() == name) {
        true => Ok(()),
        false => Err(Error::corrupt(format!("{} holds the pack {name}", pack.display()))
            .hint("packs keep their names: put it back where it was")),
    }
}

/// Every file but the manifest, by name.
pub(super) fn files(folder: &Path) -> Result<Vec<String>> {
    let doing = || format!("list {}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).doing(doing)? {
        names.push(entry.doing(doing)?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|n| n != NAME);
    names.sort();
    Ok(names)
}

/// The newest pack before this one: names begin with the time.
fn previous(dir: &Path, name: &str) -> Result<Option<String>> {
    let is_pack = |n: &String| !n.starts_with('.') && n.as_str() < name && dir.join(n).join(NAME).is_file();
    Ok(files(dir)?.into_iter().rfind(is_pack))
}

fn sum(path: &Path) -> Result<String> {
    let doing = || format!("read {}", path.display());
    let mut measured = Measured::new(File::open(path).doing(doing)?);
    io::copy(&mut measured, &mut io::sink()).doing(doing)?;
    Ok(measured.sum().sha256)
}
