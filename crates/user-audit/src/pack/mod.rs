//! The evidence pack: a folder with everything that was found, and a manifest that `sha256sum -c` reads.

mod html;

use crate::csv;
use crate::finding::{Access, AuditFinding};
use crate::population::{self, Row};
use crate::review::Review;
use crate::totals::AuditTotals;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use toban_core::evidence::{EvidenceFolder, Made, pack_name};
use toban_core::sign::Signer;
use toban_core::{Context, Result, durable};

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

/// Which server or file was audited, as whom.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct AuditFacts {
    pub(crate) server: String,
    pub(crate) address: String,
    pub(crate) auditor: String,
    pub(crate) identity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mapping: Option<serde_json::Value>,
}

/// What `run.json` holds: who asked whom, by what it was judged, and what all lines together count.
#[derive(Serialize)]
struct AuditRun<'a> {
    schema: &'static str,
    version: &'static str,
    verb: &'a str,
    at: Timestamp,
    databases: &'a BTreeMap<String, AuditFacts>,
    parameters: &'a serde_json::Value,
    population: &'a BTreeMap<String, u64>,
    findings: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    missing: &'a [String],
    tasks: Vec<&'a crate::totals::AuditTask>,
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
    folder: EvidenceFolder,
    csv: BufWriter<File>,
    json: BufWriter<File>,
    html: BufWriter<File>,
    population: BufWriter<File>,
    first: bool,
    contents: Contents,
    facts: BTreeMap<String, AuditFacts>,
    accounts: BTreeMap<String, u64>,
}

impl Pack {
    /// Begins the pack `<time>-<verb>` below `dir`.
    ///
    /// # Errors
    /// When it cannot be written, or is there already.
    pub(crate) fn begin(dir: &Path, verb: &str, at: Timestamp) -> Result<Pack> {
        let folder = EvidenceFolder::begin(dir, pack_name(verb, at))?;
        let open = |file: &str| {
            let path = folder.path().join(file);
            File::create(&path).map(BufWriter::new).doing(|| format!("write {}", path.display()))
        };
        let (mut csv, mut json) = (open("findings.csv")?, open("findings.json")?);
        let (html, mut population) = (open("report.html")?, open(population::NAME)?);
        write_text(&mut csv, csv::HEAD)?;
        write_text(&mut json, "[")?;
        write_text(&mut population, population::HEAD)?;
        let contents =
            Contents { schema: "user-audit.access/1".into(), verb: verb.into(), at, databases: Vec::new() };
        let (facts, accounts) = (BTreeMap::new(), BTreeMap::new());
        Ok(Pack { folder, csv, json, html, population, first: true, contents, facts, accounts })
    }

    /// Which server one database is of, asked as whom.
    pub(crate) fn add_facts(&mut self, source: &str, facts: &AuditFacts) {
        self.facts.insert(source.into(), facts.clone());
    }

    /// Adds one account.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn add_account(&mut self, source: &str, row: &Row) -> Result<()> {
        *self.accounts.entry(source.into()).or_default() += 1;
        write_text(&mut self.population, &row.line(source))
    }

    /// Writes what comes first: what happened, what is missing, what is to be done; and run.json.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_summary(
        &mut self,
        totals: &AuditTotals,
        parameters: &serde_json::Value,
    ) -> Result<()> {
        let run = AuditRun {
            schema: "user-audit.run/1",
            version: env!("CARGO_PKG_VERSION"),
            verb: &self.contents.verb,
            at: self.contents.at,
            databases: &self.facts,
            parameters,
            population: &self.accounts,
            findings: totals.by_id(),
            missing: totals.missing(),
            tasks: totals.tasks().collect(),
        };
        let text = serde_json::to_string_pretty(&run).doing(|| "write what ran as JSON".into())?;
        write_file(
            &self.folder.path().join("run.json"),
            &format!(
                "{text}
"
            ),
        )?;
        write_text(&mut self.html, &html::head_html(&run, totals))
    }

    /// Adds one finding.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn add_finding(&mut self, finding: &AuditFinding) -> Result<()> {
        write_text(&mut self.csv, &csv::csv_line(finding))?;
        write_text(&mut self.html, &html::row_html(finding))?;
        let json = serde_json::to_string(finding).doing(|| "write a finding as JSON".into())?;
        write_text(&mut self.json, if self.first { "\n" } else { ",\n" })?;
        self.first = false;
        write_text(&mut self.json, &json)
    }

    /// Adds what one database's rights are, and the review they were compared with.
    pub(crate) fn add_access(
        &mut self,
        source: &str,
        identity: &str,
        access: Vec<Access>,
        review: Option<&Review>,
    ) {
        let review = review.map(|r| Review { access: Vec::new(), ..r.clone() });
        self.contents.databases.push(Database {
            source: source.into(),
            identity: identity.into(),
            access,
            review,
        });
    }

    /// Writes the rest and the manifest, signs it, makes all durable, and gives the folder its name.
    ///
    /// # Errors
    /// When any of it cannot be written; then there is no pack.
    pub(crate) fn close_pack(mut self, signer: Option<&Signer>) -> Result<Made> {
        write_text(&mut self.json, "\n]\n")?;
        write_text(&mut self.html, html::FOOT)?;
        for file in [&mut self.csv, &mut self.json, &mut self.html, &mut self.population] {
            file.flush()
                .and_then(|()| file.get_ref().sync_all())
                .doing(|| format!("write the pack {}", self.folder.name()))?;
        }
        let access =
            serde_json::to_string_pretty(&self.contents).doing(|| "write the rights as JSON".into())?;
        write_file(&self.folder.path().join(ACCESS), &format!("{access}\n"))?;
        self.folder.publish(signer)
    }
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    durable::replace(path, 0o600, |w| w.write_all(text.as_bytes()).doing(|| "write".into()))
}

/// The name that a pack was made under.
///
/// # Errors
/// When its rights cannot be read.
pub(crate) fn read_name(pack: &Path) -> Result<String> {
    read_contents(pack).map(|contents| pack_name(&contents.verb, contents.at))
}

/// The rights in a pack.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn read_contents(pack: &Path) -> Result<Contents> {
    let path = pack.join(ACCESS);
    let doing = || format!("read {}", path.display());
    serde_json::from_slice(&std::fs::read(&path).doing(doing)?).doing(doing)
}

fn write_text(file: &mut BufWriter<File>, text: &str) -> Result<()> {
    file.write_all(text.as_bytes()).doing(|| "write the pack".into())
}
