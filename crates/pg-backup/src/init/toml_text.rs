//! The configuration file, with a comment for each line that somebody may want to change.

use std::fmt::Write;
use std::path::PathBuf;

/// A repository to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewRepo {
    pub(super) name: String,
    pub(super) url: String,
    /// More keys of its section, and their values.
    pub(super) settings: Vec<(&'static str, String)>,
}

/// A configuration to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewConfig {
    pub(super) cluster: String,
    pub(super) db: String,
    pub(super) bin_dir: Option<PathBuf>,
    pub(super) repos: Vec<NewRepo>,
}

impl NewConfig {
    /// The file.
    pub(super) fn write_toml(&self) -> String {
        let mut text =
            String::from("# Written by pg-backup init; docs/guide/environment.md tells every key.\n\n");
        let NewConfig { cluster, db, .. } = self;
        let names: Vec<String> = self.repos.iter().map(|r| quote_toml(&r.name)).collect();
        let _ = writeln!(text, "[cluster.{cluster}]");
        text.push_str(
            "# A libpq connection string or URI; no password in it: peer authentication, or a passfile.\n",
        );
        let _ = writeln!(text, "db = {}", quote_toml(db));
        let _ = writeln!(text, "repos = [{}]", names.join(", "));
        if let Some(dir) = &self.bin_dir {
            let _ = writeln!(text, "bin_dir = {}", quote_toml(&dir.display().to_string()));
        }
        for repo in &self.repos {
            let _ = writeln!(text, "\n[repo.{}]\nurl = {}", repo.name, quote_toml(&repo.url));
            for (key, value) in &repo.settings {
                let _ = writeln!(text, "{key} = {}", quote_toml(value));
            }
            text.push_str(
                "# Backups of 30 days, never fewer than 7, and every moment of the last 14 days.\n",
            );
            text.push_str("keep = { within = \"30d\", min = 7, wal = \"14d\" }\n");
            if repo.url.starts_with("s3://") {
                text.push_str("# In a bucket that was made with Object Lock nobody can delete or change what is stored for so long.\n");
                text.push_str("#lock = \"30d\"\n");
            }
        }
        text.push_str(
            "\n# What `pg-backup status` compares with: how much may be lost, how long a restore may take, how far back every\n\
             # moment can be reached.\n[objectives]\nrpo = \"15min\"\nrto = \"4h\"\nwindow = \"14d\"\n\n\
             # Who is notified when a job fails: without this nobody is.\n#[notify.mail]\n#to = [\"ops@example.org\"]\n\
             #smtp_host = \"mail.example.org\"\n",
        );
        text
    }
}

/// A basic string of TOML.
pub(super) fn quote_toml(text: &str) -> String {
    // JSON's escapes are all TOML's, too (TOML 1.0, "String").
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use toban_core::config::Config;

    #[test]
    fn what_is_written_is_read() {
        let repo =
            |name: &str, url: &str| NewRepo { name: name.into(), url: url.into(), settings: Vec::new() };
        let s3 = NewRepo {
            settings: vec![("s3_endpoint", "http://s3:9000".into()), ("s3_region", "eu-1".into())],
            ..repo("s3", "s3://b/p")
        };
        let new = NewConfig {
            cluster: "main".into(),
            db: "host=/run/it's port=5433 dbname=\"a\\b\"".into(),
            bin_dir: Some("/opt/pg/bin".into()),
            repos: vec![repo("local", "file:///mnt/b"), s3],
        };
        let config = Config::parse(&new.write_toml()).expect("parses");
        assert_eq!(config.cluster["main"].db.as_deref(), Some(&*new.db));
        assert_eq!(config.cluster["main"].repos, ["local", "s3"]);
        let s3 = &config.repo["s3"];
        let set = [Some(&s3.url), s3.s3_endpoint.as_ref(), s3.s3_region.as_ref()];
        assert_eq!(
            set.map(|s| s.map(String::as_str)),
            [Some("s3://b/p"), Some("http://s3:9000"), Some("eu-1")]
        );
        let objectives = crate::objectives::Objectives::read(&config).expect("reads");
        assert_eq!(objectives.window.map(|s| s.to_string()).as_deref(), Some("14days"));
    }
}
