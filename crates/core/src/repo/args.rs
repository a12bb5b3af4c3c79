//! How flags, environment and configuration name repositories.

use super::keys::is_passing;
use super::{Repo, Repos};
use crate::age::{Identities, Recipients};
use crate::cli::parse_name;
use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::secret;
use crate::store::{self, Backoff, EncryptedStore, Lock, LockRules, S3Options, StoreOptions, URL_FORMS};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Which repositories, and which cluster in them.
#[derive(clap::Args, Clone, Debug)]
pub struct RepoArgs {
    /// Repository: file:///dir, s3://bucket/prefix, az://container/prefix, gs://bucket/prefix, or the NAME of a [repo.NAME]
    /// section; may be given several times
    #[arg(long, value_name = "URL|NAME", env = "TOBAN_REPO", hide_env_values = true, value_delimiter = ',')]
    pub repo: Vec<String>,
    /// Endpoint of an S3 service that is not AWS
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3", hide_env_values = true)]
    pub s3_endpoint: Option<String>,
    /// Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section
    #[arg(long, value_name = "NAME", default_value = "main", env = "TOBAN_CLUSTER", hide_env_values = true, value_parser = parse_name)]
    pub cluster: String,
    /// File of the age recipients that content is encrypted to [default: `recipients_file` of the section]
    #[arg(long, value_name = "FILE", env = "TOBAN_RECIPIENTS_FILE", hide_env_values = true)]
    pub recipients_file: Option<PathBuf>,
}

/// Who can read what is encrypted.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct IdentityArgs {
    /// File of the age identity, or the OpenSSH key, that opens what is encrypted [default: the credential age_identity]
    #[arg(long, value_name = "FILE", env = "TOBAN_IDENTITY", hide_env_values = true)]
    pub identity: Option<PathBuf>,
}

impl IdentityArgs {
    /// The file by its full path, for the command line of another of our tools.
    pub fn word(&self) -> Option<String> {
        let path = self.identity.as_ref()?;
        Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string())
    }

    /// The names of the recipients whose identities these are; none without a file.
    ///
    /// # Errors
    /// Usage when the file does not read, or its passphrase is not given.
    pub fn names(&self) -> Result<Vec<String>> {
        self.read()?.map_or(Ok(Vec::new()), |identities| identities.names())
    }

    fn read(&self) -> Result<Option<Arc<Identities>>> {
        let path = self.identity.clone().or_else(|| secret::credential(CREDENTIAL));
        path.map(|path| Identities::read_file(&path).map(Arc::new)).transpose()
    }
}

/// How repositories are opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepoOpening<'a> {
    /// For a caller that cannot wait long for a store that does not answer, where the environment does not say how long.
    pub backoff: Option<Backoff>,
    /// Who can read what is encrypted.
    pub identity: Option<&'a IdentityArgs>,
}

/// The name of the credential that holds an identity.
const CREDENTIAL: &str = "age_identity";

impl RepoArgs {
    /// Opens every repository that the flags name, else those of the cluster's section, else all sections.
    ///
    /// # Errors
    /// Usage when none is named anywhere, or a name is unknown; when a file of recipients does not read.
    pub fn open(&self, config: &Config) -> Result<Repos> {
        self.open_with(config, &RepoOpening::default())
    }

    /// The same for a verb that reads what is encrypted.
    ///
    /// # Errors
    /// Those of [`RepoArgs::open`]; Usage when the file of the identity does not read.
    pub fn open_to_read(&self, config: &Config, identity: &IdentityArgs) -> Result<Repos> {
        self.open_with(config, &RepoOpening { identity: Some(identity), ..RepoOpening::default() })
    }

    /// The same in any way.
    ///
    /// # Errors
    /// Those of [`RepoArgs::open_to_read`].
    pub fn open_with(&self, config: &Config, opening: &RepoOpening<'_>) -> Result<Repos> {
        let names = self.names(config);
        if names.is_empty() {
            let e = Error::usage("no repository is named");
            return Err(e.hint(format!("give --repo with {URL_FORMS}, or a [repo.NAME] section")));
        }
        // One for all: a passphrase is asked for once.
        let identities = opening.identity.map(IdentityArgs::read).transpose()?.flatten();
        let open = |name: &String| {
            let repo = self.open_one(config, name, opening.backoff)?;
            let recipients = self.recipients_of(config, name)?;
            let hides_names = find_section(config, name).is_some_and(|s| s.hide_names);
            if hides_names && recipients.is_none() {
                let e = Error::usage(format!("repository {name} hides names, and encrypts nothing"));
                return Err(e.hint("set recipients_file beside hide_names"));
            }
            let store = EncryptedStore::new(repo.store, recipients, identities.clone());
            Ok(Repo { store: Arc::new(store), hides_names, ..repo })
        };
        names.iter().map(open).collect::<Result<Vec<_>>>().map(Repos::new)
    }

    /// Whom content in a repository is encrypted to.
    fn recipients_of(&self, config: &Config, name: &str) -> Result<Option<Recipients>> {
        let section = find_section(config, name).and_then(|s| s.recipients_file.as_ref());
        self.recipients_file.as_ref().or(section).map(|path| Recipients::read_file(path)).transpose()
    }

    /// Whether these are less than the configuration has: it has other clusters, or repositories that no flag names.
    pub fn is_part_of(&self, config: &Config) -> bool {
        let configured = RepoArgs { repo: Vec::new(), ..self.clone() }.names(config);
        let named = self.names(config);
        config.cluster.len() > 1 || configured.iter().any(|name| !named.contains(name))
    }

    /// Each once: a second writer of the same object would find its name taken.
    fn names(&self, config: &Config) -> Vec<String> {
        let configured =
            config.cluster.get(&self.cluster).map(|c| &c.repos).filter(|repos| !repos.is_empty());
        let names = match (self.repo.is_empty(), configured) {
            (false, _) => self.repo.clone(),
            (true, Some(repos)) => repos.clone(),
            (true, None) => config.repo.keys().cloned().collect(),
        };
        let mut once = BTreeSet::new();
        names.into_iter().filter(|name| once.insert(name.clone())).collect()
    }

    fn open_one(&self, config: &Config, name: &str, backoff: Option<Backoff>) -> Result<Repo> {
        let section = config.repo.get(name);
        if section.is_none() && !name.contains('/') {
            let known: Vec<&str> = config.repo.keys().map(String::as_str).collect();
            let e = Error::usage(format!("no [repo.{name}] section in the configuration"));
            let known = if known.is_empty() {
                "there is none at all".into()
            } else {
                format!("there are: {}", known.join(", "))
            };
            return Err(e.hint(format!("{known}; or give a URL: {URL_FORMS}")));
        }
        let url = section.map_or(name, |s| s.url.as_str());
        let options = self.store_options(section, backoff);
        // Before anything is written: who relies on a lock must not learn at the next disaster that there was none.
        if find_lock(section).is_some() && !url.starts_with("s3://") {
            let e = Error::usage(format!("repository {name} cannot lock objects, and `lock` is set for it"));
            return Err(e.hint("S3 with Object Lock can; elsewhere take `lock` from its section"));
        }
        Ok(Repo {
            name: name.to_string(),
            url: url.trim_end_matches('/').to_string(),
            required: section.is_none_or(|s| s.required),
            keep: section.map(|s| s.keep.clone()).unwrap_or_default(),
            hides_names: false,
            store: store::open(url, &options)?,
        })
    }

    /// How to reach the store of this section, or one that no section names.
    pub fn store_options(&self, section: Option<&config::Repo>, backoff: Option<Backoff>) -> StoreOptions {
        StoreOptions {
            s3: S3Options {
                endpoint: section.and_then(|s| s.s3_endpoint.clone()).or_else(|| self.s3_endpoint.clone()),
                region: section.and_then(|s| s.s3_region.clone()),
                backoff,
                locks: Some(LockRules { lock: find_lock(section), is_passing }),
            },
            #[cfg(feature = "azure")]
            azure: store::AzureOptions {
                account: section.and_then(|s| s.azure_account.clone()),
                endpoint: section.and_then(|s| s.azure_endpoint.clone()),
                key_file: section.and_then(|s| s.azure_key_file.clone()),
                sas_file: section.and_then(|s| s.azure_sas_file.clone()),
                backoff,
            },
            #[cfg(feature = "gcs")]
            gcs: store::GcsOptions {
                credentials_file: section.and_then(|s| s.gcs_credentials_file.clone()),
                backoff,
            },
        }
    }
}

/// The section of a repository. It counts for its URL too: what is configured must not be forgotten because somebody gives
/// the place instead of its name.
fn find_section<'c>(config: &'c Config, name: &str) -> Option<&'c config::Repo> {
    let by_url = || config.repo.values().find(|s| s.url.trim_end_matches('/') == name.trim_end_matches('/'));
    config.repo.get(name).or_else(by_url)
}

/// The lock that a section wants.
fn find_lock(section: Option<&config::Repo>) -> Option<Lock> {
    section.and_then(|s| Some(Lock { mode: s.lock_mode, span: s.lock?.0 }))
}
