//! The proof: what a drill did, found and measured, as JSON in the repositories and in the state directory.

use crate::findings;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toban_core::check::Finding;
use toban_core::durable;
use toban_core::machine;
use toban_core::repo::keys::System;
use toban_core::repo::signed::signature_key;
use toban_core::repo::{Repo, Repos, drills};
use toban_core::sign::{SIGNATURE_SUFFIX, Signer};
use toban_core::store::{Attrs, Stored};
use toban_core::wal::Lsn;
use toban_core::{Context, Error, Kind, Result, Severity};

/// The version of the form; a reader ignores members that it does not know.
const FORMAT: u32 = 1;
/// Drills that the chart shows.
const SHOWN: usize = 24;

/// One part of a drill, in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) seconds: f64,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckVerdict {
    Passed,
    Failed,
    /// It could not be made, and so proves nothing: never taken for passed.
    Unknown,
    /// It did not pass, and somebody answers for that.
    Accepted,
}

impl std::fmt::Display for CheckVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            CheckVerdict::Passed => "passed",
            CheckVerdict::Failed => "FAILED",
            CheckVerdict::Unknown => "UNKNOWN",
            CheckVerdict::Accepted => "accepted",
        })
    }
}

/// One finding of the drill, as the proof keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProofCheck {
    pub(crate) check: String,
    pub(crate) verdict: CheckVerdict,
    pub(crate) finding: String,
}

impl From<&Finding> for ProofCheck {
    fn from(finding: &Finding) -> ProofCheck {
        let verdict = match finding.severity {
            _ if finding.accepted.is_some() => CheckVerdict::Accepted,
            Severity::Ok => CheckVerdict::Passed,
            Severity::Unknown => CheckVerdict::Unknown,
            Severity::Warning | Severity::Critical => CheckVerdict::Failed,
        };
        ProofCheck { check: findings::name(finding), verdict, finding: finding.full_text() }
    }
}

/// One drill (docs/FORMATS.md, "Proofs of drills").
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Proof {
    pub(crate) format: u32,
    pub(crate) passed: bool,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    pub(crate) by: String,
    pub(crate) host: String,
    pub(crate) cluster: String,
    pub(crate) command: Vec<String>,
    /// Text, as the number is larger than what JSON holds everywhere; none of a dump.
    pub(crate) system_identifier: Option<String>,
    pub(crate) backup: Option<String>,
    /// The recipients whose identities opened the backup; none: it is not encrypted.
    pub(crate) opened_by: Vec<String>,
    pub(crate) major: Option<u32>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Of the restored backup_manifest, which has the checksum of every file; none where the backup brings none along.
    pub(crate) backup_manifest_sha256: Option<String>,
    pub(crate) timeline: Option<u32>,
    pub(crate) reached_lsn: Option<Lsn>,
    pub(crate) recovery_point: Option<Timestamp>,
    pub(crate) recovery_seconds: Option<f64>,
    pub(crate) loss_seconds: Option<f64>,
    pub(crate) loss_is_exact: bool,
    pub(crate) rto_seconds: Option<f64>,
    pub(crate) rpo_seconds: Option<f64>,
    pub(crate) phases: Vec<Phase>,
    pub(crate) checks: Vec<ProofCheck>,
}

/// A proof as it is written.
pub(crate) struct SignedProof {
    json: Vec<u8>,
    /// Of these bytes, as `ssh-keygen -Y verify` takes it.
    signature: Option<Vec<u8>>,
}

impl Proof {
    /// The beginnings of a proof.
    pub(crate) fn new(cluster: &str, command: &[String]) -> Proof {
        Proof {
            format: FORMAT,
            started: Timestamp::now(),
            by: concat!("pg-drill ", env!("CARGO_PKG_VERSION")).into(),
            host: machine::host_name(),
            cluster: cluster.into(),
            command: command.to_vec(),
            ..Proof::default()
        }
    }

    /// `drill.20261122T040000Z-passed.json`: a list of names shows when and how it ended.
    pub(crate) fn file_name(&self, ending: &str) -> String {
        drills::proof_name(self.started, self.passed, ending)
    }

    /// Its bytes, and their signature where somebody signs.
    ///
    /// # Errors
    /// When the key does not sign any more.
    pub(crate) fn sign(&self, signer: Option<&Signer>) -> Result<SignedProof> {
        let json = serde_json::to_vec_pretty(self).doing(|| "write the proof".into())?;
        let signature = signer.map(|signer| signer.sign(&json)).transpose()?;
        Ok(SignedProof { json, signature })
    }

    /// Writes it into the folder of proofs; its path.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn write_into(&self, folder: &Path, signed: &SignedProof) -> Result<PathBuf> {
        durable::create_dirs(folder)?;
        let write = |name: String, bytes: &[u8]| {
            let path = folder.join(name);
            durable::replace(&path, 0o640, |w| w.write_all(bytes).doing(|| "write the proof".into()))?;
            Ok::<PathBuf, Error>(path)
        };
        if let Some(signature) = &signed.signature {
            // Before the proof: killed between the two, there is a signature of nothing, and never a proof that seems
            // unsigned.
            write(self.file_name("json") + SIGNATURE_SUFFIX, signature)?;
        }
        // On this machine first: a store that does not answer must not cost the result of hours.
        write(self.file_name("json"), &signed.json)
    }

    /// Writes it into each repository, below the system that was restored.
    ///
    /// # Errors
    /// The first repository's that did not take it.
    pub(crate) fn store_in(&self, repos: &Repos, signed: &SignedProof) -> Result<()> {
        let Some(identifier) = self.system_identifier.as_ref().and_then(|s| s.parse().ok()) else {
            return Ok(());
        };
        let system = System { cluster: self.cluster.clone(), identifier };
        let path = drills::proof_path(self.started, self.passed);
        // The signature first: a proof is there only with it. A proof that is there already is this one, by the time in
        // its name.
        let key = system.key(&path);
        let signature_key = signature_key(&key)?;
        let signature = signed.signature.iter().map(|bytes| (&signature_key, bytes));
        let objects: Vec<_> = signature.chain([(&key, &signed.json)]).collect();
        let put = |repo: &Repo| {
            objects.iter().try_for_each(|(key, bytes)| {
                match repo.store.put(key, &mut &bytes[..], &Attrs::new())? {
                    Stored::New | Stored::Exists => {
                        repo.store.local_path(key).iter().try_for_each(|p| give_to_repo_owner(p))
                    }
                }
            })
        };
        let stored = repos.ask_each(put).settle().doing(|| "store the proof".into())?;
        stored.warn_of_lacking("the proof");
        Ok(())
    }
}

/// What root puts into a repository on this machine goes to the repository's owner, who could not even list it else.
fn give_to_repo_owner(path: &Path) -> Result<()> {
    let folder = durable::folder_of(path);
    let doing = || format!("give {} to the repository's owner", folder.display());
    if !machine::is_root() {
        return Ok(());
    }
    let owner = std::fs::metadata(durable::folder_of(folder)).doing(doing)?;
    let beside =
        path.with_file_name(format!("{}.attr", path.file_name().unwrap_or_default().to_string_lossy()));
    for path in [folder, path, &beside].into_iter().filter(|p| p.exists()) {
        durable::give_to(path, owner.uid(), owner.gid())?;
    }
    Ok(())
}

/// The drills in the folder of proofs, oldest first, this one among them.
pub(crate) fn read_drills(folder: &Path) -> Vec<Proof> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
    paths.sort();
    let from = paths.len().saturating_sub(SHOWN);
    let read = |path: &PathBuf| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
    paths[from..].iter().filter_map(read).collect()
}

/// A proof that is not in every repository cannot be relied on: reported beside what the drill itself found.
pub(crate) fn not_stored(e: Error) -> Error {
    Error::new(Kind::Partial, "the drill passed, but its proof is not in every repository").because(e)
}
