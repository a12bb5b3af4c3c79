//! The sums of the packs that were made and accepted here: kept apart from the packs, so that one whose sums were
//! made anew is known for it.

use crate::durable;
use crate::error::{Context, Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::Path;

const FILE: &str = "packs.jsonl";

/// One pack as it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Made {
    /// The folder that it was made in.
    pub folder: String,
    /// Its name.
    pub pack: String,
    /// The SHA-256 of its manifest.
    pub sha256: String,
    /// The pack that its manifest names.
    pub before: Option<String>,
}

/// What the log of reviews says of one pack.
#[derive(Deserialize)]
struct Decided {
    pack: String,
    pack_sha256: String,
    date: Timestamp,
}

/// Adds a pack to the list.
///
/// # Errors
/// When it cannot be written.
pub fn remember_pack(reviews: &Path, made: &Made) -> Result<()> {
    durable::create_dirs(reviews)?;
    let path = reviews.join(FILE);
    let line = serde_json::to_string(made).doing(|| "write a pack's sum as JSON".into())?;
    // Written anew and renamed, not appended to: after a crash an appended line may be cut short, and then no line of the
    // file could be told from one that somebody changed.
    let before = read_text(&path)?;
    durable::replace(&path, 0o600, |w| {
        w.write_all(format!("{before}{line}\n").as_bytes()).doing(|| format!("write {}", path.display()))
    })
}

/// Checks the packs of a chain, each with the SHA-256 of its manifest, against what is known here.
///
/// # Errors
/// Corrupt, naming the first pack that is not what it was.
pub fn check_chain(reviews: &Path, chain: &[(String, String)]) -> Result<()> {
    let made: Vec<Made> = read_lines(&reviews.join(FILE))?;
    let decided: Vec<Decided> = read_lines(&reviews.join("log.jsonl"))?;
    // Every pack of the chain and not the newest alone: a pack in the middle that was made anew changes those after
    // it, which are then known here with other sums.
    for (pack, sha256) in chain {
        let of = |known: &str| known != sha256;
        // Packs of two folders may have one name: the sum of either will do.
        let mut named = made.iter().filter(|m| m.pack == *pack).peekable();
        // A pack that is not listed was made elsewhere, which is allowed; one that is listed with another sum was
        // changed.
        if named.peek().is_some() && named.all(|m| of(&m.sha256)) {
            return Err(made_anew_error(pack, "it was made here with other sums"));
        }
        let mut reviewed = decided.iter().filter(|d| d.pack == *pack).peekable();
        if let Some(date) = reviewed.peek().map(|d| d.date)
            && reviewed.all(|d| of(&d.pack_sha256))
        {
            return Err(made_anew_error(pack, &format!("the review of {date} was of other sums")));
        }
    }
    Ok(())
}

fn made_anew_error(pack: &str, why: &str) -> Error {
    Error::corrupt(format!("the sums of the pack {pack} were made anew: {why}"))
        .hint("its files were changed after it was made: make a new pack and review that")
}

fn read_text(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(e).doing(|| format!("read {}", path.display())),
    }
}

fn read_lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>> {
    let one = |line: &str| serde_json::from_str(line).doing(|| format!("read {}", path.display()));
    read_text(path)?.lines().map(one).collect()
}
