//! The one configuration file, TOML. Everything in it can be given by flags; every tool works without it.

use crate::error::{Context, Error, Result};
use jiff::civil::Date;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod notify;

pub use notify::{Address, MailConfig, NotifyConfig, NotifyOn, PingConfig, Sendmail, SlackConfig, Tls};

/// Where it is looked for when no flag and no `TOBAN_CONFIG` names one.
pub const DEFAULT_PATH: &str = "/etc/toban/toban.toml";

/// The whole file; an unknown key is an error that names it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `[cluster.NAME]`: one PostgreSQL cluster each.
    pub cluster: BTreeMap<String, Cluster>,
    /// `[repo.NAME]`: one place for backups each.
    pub repo: BTreeMap<String, Repo>,
    /// `[notify]`: who is notified.
    pub notify: NotifyConfig,
    /// `[[accept]]`: findings that somebody answers for, of every tool.
    pub accept: Vec<Accept>,
    /// Folder of node_exporter's textfile collector; no metrics are written without it.
    pub textfile_dir: Option<PathBuf>,
    /// The private SSH key that signs what a tool proves.
    pub sign_key: Option<PathBuf>,
    /// The file that all this was read from.
    #[serde(skip)]
    pub path: Option<PathBuf>,
    /// The sections of single tools, which each reads itself with [`Config::section`].
    #[serde(flatten)]
    sections: BTreeMap<String, toml::Value>,
}

/// What the file may hold beside the sections of single tools.
const SHARED: [&str; 6] = ["cluster", "repo", "notify", "accept", "textfile_dir", "sign_key"];

/// One PostgreSQL cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// A libpq connection string or URI.
    pub db: Option<String>,
    /// Names of `[repo.NAME]` sections, or URLs.
    pub repos: Vec<String>,
    /// The databases that a dump without names takes; all but templates when it is empty.
    pub databases: Vec<String>,
    /// The data directory, when it is not where the server says.
    pub data_dir: Option<PathBuf>,
    /// Where PostgreSQL's programs are, when not in the usual places.
    pub bin_dir: Option<PathBuf>,
    /// How old the last full backup may be before a run stores everything again.
    pub full_every: Option<Span>,
}

/// One place for backups.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repo {
    /// `file:///dir`, `s3://bucket/prefix`, `az://container/prefix` or `gs://bucket/prefix`.
    pub url: String,
    /// Endpoint of an S3 service that is not AWS.
    pub s3_endpoint: Option<String>,
    /// Region; many other services take any.
    pub s3_region: Option<String>,
    /// The storage account of an `az://` URL.
    pub azure_account: Option<String>,
    /// Where the account's blobs are, when not where Azure has them.
    pub azure_endpoint: Option<String>,
    /// The file with the account's key.
    pub azure_key_file: Option<PathBuf>,
    /// The file with a shared access signature, which counts before a key.
    pub azure_sas_file: Option<PathBuf>,
    /// The file with the key of a Google service account.
    pub gcs_credentials_file: Option<PathBuf>,
    /// Whether a run fails when this repository does; otherwise it ends partial (3).
    #[serde(default = "yes")]
    pub required: bool,
    /// File of the age recipients that content here is encrypted to; without it content is stored as it is.
    pub recipients_file: Option<PathBuf>,
    /// Whether names of databases are hidden from who has no key: pseudonyms stand for them in keys and manifests.
    #[serde(default)]
    pub hide_names: bool,
    /// What `prune` keeps here.
    #[serde(default)]
    pub keep: Keep,
    /// Names of `[repo.NAME]` sections, or URLs, that get a copy of what a run stores here.
    #[serde(default)]
    pub copies: Vec<String>,
    /// How long every object is locked from its writing on, by S3 Object Lock; without it none is.
    pub lock: Option<Span>,
    /// Who may end a lock before its time.
    #[serde(default)]
    pub lock_mode: LockMode,
}

fn yes() -> bool {
    true
}

/// Who may still end a lock (Amazon S3 User Guide, "Locking objects with Object Lock").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Nobody, not the account's owner either.
    #[default]
    Compliance,
    /// Who has s3:BypassGovernanceRetention.
    Governance,
}

/// What to keep: whatever any one rule keeps is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The newest N.
    pub last: Option<u32>,
    /// All that are younger than this (`30d`, `1year`).
    pub within: Option<Span>,
    /// The newest of each of the last N hours that have one.
    pub hourly: Option<u32>,
    /// … of the last N days.
    pub daily: Option<u32>,
    /// … of the last N ISO weeks.
    pub weekly: Option<u32>,
    /// … of the last N months.
    pub monthly: Option<u32>,
    /// … of the last N years.
    pub yearly: Option<u32>,
    /// Never fewer than this many, whatever the other rules say.
    pub min: Option<u32>,
    /// Every moment of this last stretch of time can be reached; WAL that no such moment needs goes. Without it all WAL
    /// behind the oldest backup is kept.
    pub wal: Option<Span>,
    /// How long what was deleted can be put back.
    pub undelete: Option<Span>,
}

/// `[[accept]]`: findings of one rule about one object count as OK up to a day.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// The tool that finds it.
    pub tool: String,
    /// The finding's id.
    pub id: String,
    /// The finding's object or its key; `*` stands for any characters.
    pub object: String,
    /// The finding's source; `*` stands for any characters.
    #[serde(default = "any_source")]
    pub source: String,
    /// Why it may be so.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day (UTC).
    pub until: Date,
}

fn any_source() -> String {
    "*".into()
}

/// Seconds.
const DAY: u64 = 86_400;

/// A length of time as people write it: `26h`, `30d`, `1year`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Span> {
        let hint = "a number and a unit each, as 90s, 15min, 26h, 30d, 2weeks, 1year";
        humantime::parse_duration(text)
            .map(Span)
            .map_err(|e| Error::usage(format!("{text:?} is not a length of time")).because(e).hint(hint))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = humantime::format_duration(self.0).to_string();
        let (days, rest) = (self.0.as_secs() / DAY, self.0.as_secs() % DAY);
        // A month of humantime has 30.44 days: 90 days would be `2months 29days 2h 5m`.
        if days == 0 || !text.contains(' ') {
            return f.write_str(&text);
        }
        write!(f, "{days}day{}", if days == 1 { "" } else { "s" })?;
        let rest = Duration::new(rest, self.0.subsec_nanos());
        if rest.is_zero() { Ok(()) } else { write!(f, " {}", humantime::format_duration(rest)) }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Span, D::Error> {
        String::deserialize(d)?.parse().map_err(|e: Error| serde::de::Error::custom(e.chain()))
    }
}

impl Config {
    /// Reads `named`, or the default file if it is there.
    ///
    /// # Errors
    /// Usage when a named file is missing, and for a file that does not parse, with the line and the key.
    pub fn load(named: Option<&Path>) -> Result<Config> {
        let path = named.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                return Ok(Config::default());
            }
            Err(e) => {
                return Err(e)
                    .doing(|| format!("read {}", path.display()))
                    .map_err(|e| e.kind_as(crate::Kind::Usage));
            }
        };
        let bad = |e| Error::usage(format!("configuration {}", path.display())).because(e);
        Ok(Config { path: Some(path.into()), ..Config::parse(&text).map_err(bad)? })
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// Usage, with the line and the key.
    pub fn parse(text: &str) -> Result<Config> {
        let config: Config = toml::from_str(text).map_err(|e| Error::usage(describe_fault(text, &e)))?;
        let unknown = |(name, value): &(&String, &toml::Value)| {
            // Which sections tools have is theirs to know, so an unknown one passes here; what is no section, or
            // nearly has the name of one that is shared, is a mistake in any case.
            !value.is_table() || SHARED.into_iter().any(|shared| is_typo(name, shared))
        };
        let line = |name: &str| {
            let at = text.lines().position(|l| l.trim_start_matches(['[', ' ']).starts_with(name));
            at.map_or(0, |at| at + 1)
        };
        let unknown = config.sections.iter().filter(unknown).map(|(name, _)| (line(name), name));
        match unknown.min() {
            None => Ok(config),
            Some((line, name)) => {
                let e = Error::usage(format!("line {line}: unknown field `{name}`"));
                Err(e.hint(format!("there are {}, and the sections of single tools", SHARED.join(", "))))
            }
        }
    }

    /// A tool's own section: that at `path`, as `[certs]` or `[drill.main]`; its default when it is not there.
    ///
    /// # Errors
    /// Usage, with the key, when it does not parse; and when it is not there, but one is whose name looks mistyped.
    pub fn section<T: DeserializeOwned + Default>(&self, path: &[&str]) -> Result<T> {
        let (name, below) = path.split_first().unwrap_or((&"", &[]));
        let Some(section) = self.sections.get(*name) else {
            return match self.sections.keys().find(|other| is_typo(other, name)) {
                None => Ok(T::default()),
                Some(other) => {
                    let e = Error::usage(format!("configuration: no tool reads the section [{other}]"));
                    Err(e.hint(format!("is it [{name}]?")))
                }
            };
        };
        let Some(section) = below.iter().try_fold(section, |value, key| value.get(key)) else {
            return Ok(T::default());
        };
        section.clone().try_into().map_err(|e: toml::de::Error| {
            Error::usage(format!("configuration: [{}]: {}", path.join("."), hide_text(e.message())))
        })
    }
}

/// The line and the reason for which `text` is not the TOML that was wanted. Never a line of it, nor a text in it: what was
/// given by mistake may be a file of secrets, and messages go into journals and mails.
pub fn describe_fault(text: &str, e: &toml::de::Error) -> String {
    let line = e.span().map_or(0, |s| text[..s.start].matches('\n').count() + 1);
    format!("line {line}: {}", hide_text(e.message()))
}

/// The message without the text that it quotes: `invalid type: string "…", expected …`.
fn hide_text(message: &str) -> String {
    match (message.find("string \""), message.rfind('"')) {
        (Some(start), Some(end)) => format!("{}a text{}", &message[..start], &message[end + 1..]),
        _ => message.to_string(),
    }
}

/// Whether `name` is not `meant`, but so near to it that nobody would call a section so.
fn is_typo(name: &str, meant: &str) -> bool {
    let most = if meant.len() < 6 { 1 } else { 2 };
    (1..=most).contains(&strsim::damerau_levenshtein(name, meant))
}

#[cfg(test)]
mod tests {
    #[test]
    fn faults_never_show_what_the_file_holds() {
        let cases = [
            ("a = 1\n{\"password\":\"hunter2\"}", "line 2: "),
            ("[{\"password\":\"hunter2\"}]", "line 1: "),
            ("[log]\nx = 'hunter2", "line 2: "),
            ("AGE-SECRET-hunter2", "line 1: "),
            ("TOKEN=hunter2", "line 1: "),
            ("repos = \"hunter2\"\nx = 1", ""),
        ];
        for (text, line) in cases {
            let e = toml::from_str::<std::collections::BTreeMap<String, u8>>(text).expect_err(text);
            let shown = super::describe_fault(text, &e);
            assert!(shown.starts_with(line) && !shown.contains("hunter2"), "{shown}");
        }
    }

    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let e = Config::parse("[repo.local]\nurl = \"file:///x\"\nkepe = 3\n").unwrap_err();
        assert!(e.chain().starts_with("line 3: unknown field `kepe`"), "{e:?}");
    }

    #[test]
    fn a_tool_reads_its_own_section_and_finds_its_typo() {
        let config = Config::parse("[lamps]\nred = 1\n[oil.main]\nx = true\n").expect("parses");
        let red: BTreeMap<String, u8> = config.section(&["lamps"]).expect("reads");
        assert_eq!(red["red"], 1);
        assert_eq!(config.section::<toml::Table>(&["oil", "main"]).expect("reads").len(), 1);
        assert!(config.section::<toml::Table>(&["oil", "other"]).expect("reads").is_empty());
        assert!(config.section::<toml::Table>(&["wick"]).expect("reads").is_empty());
        assert!(config.section::<toml::Table>(&["lamp"]).expect_err("a typo").chain().contains("[lamps]"));
        let e = config.section::<BTreeMap<String, bool>>(&["lamps"]).expect_err("no boolean");
        assert!(e.chain().starts_with("configuration: [lamps]: "), "{e:?}");
        for (text, wanted) in [
            ("x = 1\n[clutser.main]\n", "line 1: unknown field `x`"),
            ("\n[clutser.main]\n", "line 2: unknown field `clutser`"),
            ("\n[repos.main]\n", "line 2: unknown field `repos`"),
        ] {
            assert!(Config::parse(text).expect_err("refused").chain().starts_with(wanted), "{text}");
        }
    }

    #[test]
    fn spans_are_what_people_write() {
        let c = Config::parse("[repo.local]\nurl = \"/x\"\nkeep = { within = \"30d\", monthly = 12 }")
            .expect("parses");
        let repo = &c.repo["local"];
        assert!(repo.required);
        assert_eq!(repo.keep.within.expect("set").0.as_secs(), 30 * 86400);
        assert!(Config::parse("[repo.l]\nurl = \"/x\"\nkeep = { within = \"soon\" }").is_err());
        for text in
            ["90days", "1day 2h", "26days 1h 5s", "1year", "30days", "1h 30m", "1m", "89days 2h 5m 30s 7ms"]
        {
            assert_eq!(text.parse::<Span>().expect(text).to_string(), text);
        }
        assert_eq!("2160h 5m".parse::<Span>().expect("a span").to_string(), "90days 5m");
    }
}
