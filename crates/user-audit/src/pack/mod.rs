//! The evidence pack: a folder with everything that was found, and a manifest that `sha256sum -c` reads.

mod csv;
mod html;
mod lines;
mod manifest;

pub(crate) use manifest::verify;

use crate::finding::{Access, Finding};
use crate::review::Review;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use toban_core::{Context, Error, Result, durable};

/// The file that `accept` reads.
pub(crate) const ACCESS: &str = "access.json";

/// What `access.json` holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) schema: String,
    pub(crate) verb: String,
    pub(crate) at: Timestamp,
    pub(crate) databases: Vec<Database>,
}

/// One database's rights, and the review they were compared with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Database {
    pub(crate) source: String,
    pub(crate) identity: String,
    pub(crate) access: Vec<Access>,
    pub(crate) review: Option<Review>,
}

/// A pack that is being written: in a hidden folder, which gets its name when it is whole.
pub(crate) struct Pack {
    temp: Hidden,
    name: String,
    csv: BufWriter<File>,
    json: BufWriter<File>,
    html: BufWriter<File>,
    first: bool,
    contents: Contents,
}

/// Removed when the pack does not come about.
struct Hidden(PathBuf);

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Pack {
    /// Begins the pack `<time>-<verb>` below `dir`.
    ///
    /// # Errors
    /// When it cannot be written, or is there already.
    pub(crate) fn begin(dir: &Path, verb: &str, at: Timestamp) -> Result<Pack> {
        let name = name(verb, at);
        if dir.join(&name).exists() {
            return Err(Error::usage(format!("the pack {} is there already", dir.join(name).display()))
                .hint("packs are never rewritten: give another --at or another folder"));
        }
        let temp = Hidden(dir.join(format!(".{name}.{}.tmp", std::process::id())));
        durable::create_dirs(&temp.0)?;
        let open = |file: &str| {
            let path = temp.0.join(file);
            File::create(&path).map(BufWriter::new).doing(|| format!("write {}", path.display()))
        };
        let (mut csv, mut json, mut html) =
            (open("findings.csv")?, open("findings.json")?, open("report.html")?);
        write(&mut csv, csv::HEAD)?;
        write(&mut json, "[")?;
        write(&mut html, &html::head(verb, at))?;
        let contents =
            Contents { schema: "user-audit.access/1".into(), verb: verb.into(), at, databases: Vec::new() };
        Ok(Pack { temp, name, csv, json, html, first: true, contents })
    }

    /// Adds one finding.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn add(&mut self, finding: &Finding) -> Result<()> {
        write(&mut self.csv, &csv::line(finding))?;
        write(&mut self.html, &html::row(finding))?;
        let json = serde_json::to_string(finding).doing(|| "write a finding as JSON".into())?;
        write(&mut self.json, if self.first { "\n" } else { ",\n" })?;
        self.first = false;
        write(&mut self.json, &json)
    }

    /// Adds what one database's rights are, and the review they were compared with.
    ///
    /// # Errors
    /// None by itself: it is written at the end.
    pub(crate) fn access(
        &mut self,
        source: &str,
        identity: &str,
        access: Vec<Access>,
        review: Option<&Review>,
    ) -> Result<()> {
        let review = review.map(|r| Review { access: Vec::new(), ..r.clone() });
        self.contents.databases.push(Database {
            source: source.into(),
            identity: identity.into(),
            access,
            review,
        });
        Ok(())
    }

    /// Writes the rest and the manifest, makes all durable, and gives the folder its name.
    ///
    /// # Errors
    /// When any of it cannot be written; then there is no pack.
    pub(crate) fn finish(mut self) -> Result<()> {
        write(&mut self.json, "\n]\n")?;
        write(&mut self.html, html::FOOT)?;
        for file in [&mut self.csv, &mut self.json, &mut self.html] {
            file.flush()
                .and_then(|()| file.get_ref().sync_all())
                .doing(|| format!("write the pack {}", self.name))?;
        }
        let access =
            serde_json::to_string_pretty(&self.contents).doing(|| "write the rights as JSON".into())?;
        let put = |file: &str, text: &str| {
            durable::replace(&self.temp.0.join(file), 0o600, |w| {
                w.write_all(text.as_bytes()).doing(|| "write".into())
            })
        };
        put(ACCESS, &format!("{access}\n"))?;
        let dir = durable::folder_of(&self.temp.0).to_path_buf();
        lines::write(&self.temp.0)?;
        put(manifest::NAME, &manifest::write(&self.temp.0, &dir, &self.name)?)?;
        let whole = dir.join(&self.name);
        std::fs::rename(&self.temp.0, &whole).doing(|| format!("publish the pack {}", whole.display()))?;
        durable::sync_dir(&dir)
    }
}

/// What the pack's folder is called: packs are in order by their names.
fn name(verb: &str, at: Timestamp) -> String {
    format!("{}-{verb}", at.strftime("%Y%m%dT%H%M%SZ"))
}

/// The rights in a pack.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn contents(pack: &Path) -> Result<Contents> {
    let path = pack.join(ACCESS);
    let doing = || format!("read {}", path.display());
    serde_json::from_slice(&std::fs::read(&path).doing(doing)?).doing(doing)
}

fn write(file: &mut BufWriter<File>, text: &str) -> Result<()> {
    file.write_all(text.as_bytes()).doing(|| "write the pack".into())
}
