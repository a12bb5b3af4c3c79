//! The repositories a run works with, as flags and configuration name them; and the names of what lies in them.

pub mod archive;
pub mod backups;
pub mod cluster;
pub mod drills;
pub mod gap;
pub mod keys;
pub mod recovery_path;
pub mod verified;

use crate::config::{Config, Keep};
use crate::error::{Error, Result};
use crate::store::{self, Backoff, S3Options, Store};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Which repositories, and which cluster in them.
#[derive(clap::Args, Clone, Debug)]
pub struct RepoArgs {
    /// Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times
    #[arg(long, value_name = "URL|NAME", env = "TOBAN_REPO", hide_env_values = true, value_delimiter = ',')]
    pub repo: Vec<String>,
    /// Endpoint of an S3 service that is not AWS
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3", hide_env_values = true)]
    pub s3_endpoint: Option<String>,
    /// Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section
    #[arg(long, value_name = "NAME", default_value = "main", env = "TOBAN_CLUSTER", hide_env_values = true, value_parser = cluster_name)]
    pub cluster: String,
}

fn cluster_name(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let ok = !text.is_empty() && text.len() <= 63 && !text.starts_with('.') && text.chars().all(fine);
    ok.then(|| text.to_string()).ok_or_else(|| "letters, digits, '.', '_' and '-' only".into())
}

/// Clocks of several machines differ by less. What is dated later was dated by a wrong clock, or ours is wrong.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// Whether `at` lies so far behind `now` that a clock must be wrong.
pub fn is_future(at: Timestamp, now: Timestamp) -> bool {
    at.as_second().saturating_sub(now.as_second()) > CLOCK_TOLERANCE.as_secs().cast_signed()
}

/// One opened repository.
#[derive(Clone)]
pub struct Repo {
    /// The section's name, or the URL.
    pub name: String,
    /// Whether a run fails when this one does.
    pub required: bool,
    /// What `prune` keeps here.
    pub keep: Keep,
    /// The store itself.
    pub store: Arc<dyn Store>,
}

impl Repo {
    /// Sees to it that something of `cluster` is here: a mistyped name or folder must not pass for one in which there
    /// is nothing to do.
    ///
    /// # Errors
    /// Usage when there is nothing, with what there is instead; else those of the store.
    pub fn check_holds(&self, cluster: &str) -> Result<()> {
        match self.store.folders(&format!("{cluster}/"))?.is_empty() {
            true => Err(self.lacks("nothing", cluster)),
            false => Ok(()),
        }
    }

    /// What to say when `what` (`nothing`, `no dump`) is all there is of `cluster` here.
    pub fn lacks(&self, what: &str, cluster: &str) -> Error {
        let e = Error::usage(format!("repository {} holds {what} of cluster {cluster}", self.name));
        match self.store.folders("") {
            Ok(names) if names.is_empty() => e.hint("it is empty: is it the right place?"),
            Ok(names) if names.iter().any(|n| n == cluster) => {
                e.hint("it holds WAL of it, or what runs left that did not finish")
            }
            Ok(names) => e.hint(format!("it holds {}: is --cluster or --repo wrong?", names.join(", "))),
            Err(_) => e,
        }
    }
}

impl RepoArgs {
    /// Opens every repository that the flags name, else those of the cluster's section, else all sections.
    ///
    /// # Errors
    /// Usage when none is named anywhere, or a name is unknown.
    pub fn open(&self, config: &Config) -> Result<Vec<Repo>> {
        self.open_within(config, None)
    }

    /// The same for whoever cannot wait long for a store that is away, where the environment does not say how long.
    ///
    /// # Errors
    /// Those of [`RepoArgs::open`].
    pub fn open_within(&self, config: &Config, backoff: Option<Backoff>) -> Result<Vec<Repo>> {
        let names = self.names(config);
        if names.is_empty() {
            let e = Error::usage("no repository is named");
            return Err(
                e.hint("give --repo file:///DIR or --repo s3://BUCKET/PREFIX, or a [repo.NAME] section")
            );
        }
        names.iter().map(|name| self.open_one(config, name, backoff)).collect()
    }

    fn names(&self, config: &Config) -> Vec<String> {
        if !self.repo.is_empty() {
            return self.repo.clone();
        }
        match config.cluster.get(&self.cluster) {
            Some(cluster) if !cluster.repos.is_empty() => cluster.repos.clone(),
            _ => config.repo.keys().cloned().collect(),
        }
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
            return Err(e.hint(format!("{known}; or give a URL: file:///DIR, s3://BUCKET/PREFIX")));
        }
        let s3 = S3Options {
            endpoint: section.and_then(|s| s.s3_endpoint.clone()).or_else(|| self.s3_endpoint.clone()),
            region: section.and_then(|s| s.s3_region.clone()),
            backoff,
        };
        let url = section.map_or(name, |s| s.url.as_str());
        Ok(Repo {
            name: name.to_string(),
            required: section.is_none_or(|s| s.required),
            keep: section.map(|s| s.keep.clone()).unwrap_or_default(),
            store: store::open(url, &s3)?,
        })
    }
}
