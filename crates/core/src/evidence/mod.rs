//! Evidence: a folder with everything that was found, which nobody changes unseen. Its manifest is read by
//! `sha256sum -c`, names the pack before it, and may be signed; the sums of packs are kept apart from them as well.

mod history;
mod lines;
mod manifest;
mod signature;

pub use history::{Made, check_chain, remember_pack};
pub use manifest::{NameOf, verify_chain};
pub use signature::verify_signature;

use crate::durable;
use crate::error::{Context, Error, Result};
use crate::sign::Signer;
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// A pack that is being written: in a hidden folder, which gets its name when it is whole.
pub struct EvidenceFolder {
    temp: Hidden,
    name: String,
}

/// Removed when the pack does not come about.
struct Hidden(PathBuf);

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl EvidenceFolder {
    /// Begins the pack `name` below `dir`.
    ///
    /// # Errors
    /// When it cannot be written, is there already, or a later one is.
    pub fn begin(dir: &Path, name: String) -> Result<EvidenceFolder> {
        if dir.join(&name).exists() {
            return Err(Error::usage(format!("the pack {} is there already", dir.join(name).display()))
                .hint("packs are never rewritten: give another --at or another folder"));
        }
        // In a folder whose name begins with a dot: a run that is killed leaves one that nobody takes for a pack, since
        // packs are known by their names and their manifest.
        let temp = Hidden(dir.join(format!(".{name}.{}.tmp", std::process::id())));
        durable::create_dirs(&temp.0)?;
        manifest::check_follows(dir, &name)?;
        Ok(EvidenceFolder { temp, name })
    }

    /// Where its files are written.
    pub fn path(&self) -> &Path {
        &self.temp.0
    }

    /// What it will be called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes the manifest, signs it, and gives the folder its name. Every file must be written and synced.
    ///
    /// # Errors
    /// When any of it cannot be written; then there is no pack.
    pub fn publish(self, signer: Option<&Signer>) -> Result<Made> {
        let dir = durable::folder_of(&self.temp.0).to_path_buf();
        lines::write_lines(&self.temp.0)?;
        let manifest = self.temp.0.join(manifest::NAME);
        // The manifest comes after every file is on the disk, as it holds their sums; the signature after the manifest, as
        // it is of it; the folder's own name after both. Whatever instant the machine stops at, there is no pack or a
        // whole one.
        // The sum of the pack before goes into this one: whoever takes one away, or makes one anew, breaks the chain
        // for all that follow.
        let before = manifest::previous_pack(&dir, &self.name)?;
        let text = manifest::write_manifest(&self.temp.0, &dir, before.as_deref())?;
        durable::replace(&manifest, 0o600, |w| w.write_all(text.as_bytes()).doing(|| "write".into()))?;
        signer.map_or(Ok(()), |signer| signer.sign_file(&manifest, 0o600))?;
        let sha256 = manifest::sum_file(&manifest)?;
        let whole = dir.join(&self.name);
        // rename(2) is atomic, and the new name is durable when the folder that holds it is synced: without that a crash
        // may bring the hidden name back, after the sum of the pack was remembered.
        std::fs::rename(&self.temp.0, &whole).doing(|| format!("publish the pack {}", whole.display()))?;
        durable::sync_dir(&dir)?;
        // Two folders may hold packs of one name: the list must tell which is meant, by a path that no link can turn.
        let folder = dir.canonicalize().doing(|| format!("find {}", dir.display()))?;
        Ok(Made { folder: folder.display().to_string(), pack: self.name, sha256, before })
    }
}

/// What a pack's folder is called: packs are in order by their names.
pub fn pack_name(verb: &str, at: Timestamp) -> String {
    format!("{}-{verb}", crate::stamp::stamp(at))
}

/// A quote before what a spreadsheet would take for a formula (OWASP's list), quoted where the text needs it. Where
/// the system's separator is `;` a spreadsheet cuts there, whatever the quotes say: what follows is a cell too.
pub fn csv_cell(text: &str) -> String {
    // The apostrophe makes a spreadsheet take the cell as text; it is OWASP's advice against "CSV injection". RFC 4180 knows
    // nothing of it, so readers of the file take it off again.
    let mut safe = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if begins && "=+-@\t\r\n＝＋－＠".contains(c) {
            safe.push('\'');
        }
        safe.push(c);
        begins = ";\t\r\n".contains(c);
    }
    match safe.contains(['"', ',', ';', '\n', '\r']) || safe.starts_with(' ') {
        true => format!("\"{}\"", safe.replace('"', "\"\"")),
        false => safe,
    }
}

#[cfg(test)]
mod tests {
    use super::csv_cell;

    #[test]
    fn no_cell_is_a_formula_and_each_comes_back() {
        for (text, written) in [
            ("anna@example.org", "anna@example.org"),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@sum", "'@sum"),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("＝1", "'＝1"),
            ("a;=1+1", "\"a;'=1+1\""),
            ("a\n=1", "\"a\n'=1\""),
            ("a=1; b", "\"a=1; b\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(csv_cell(text), written, "{text:?}");
        }
    }
}
