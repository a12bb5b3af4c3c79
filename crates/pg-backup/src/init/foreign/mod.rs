//! Configurations of other tools: what they say in our words, and what has no counterpart. Pure but for reading the file.

mod barman;
mod ini;
mod pgbackrest;
mod walg;

use super::toml_text::quote_toml;
use std::fmt::Write;
use std::path::Path;
use toban_core::{Context, Error, Result};

/// What a foreign configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Translation {
    /// The tool that it is of.
    pub(super) tool: &'static str,
    pub(super) clusters: Vec<ForeignCluster>,
    pub(super) repos: Vec<ForeignRepo>,
    /// Keys that are not translated, and why.
    pub(super) left: Vec<(String, String)>,
}

/// A cluster: a stanza, a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ForeignCluster {
    /// Empty: the one that `--cluster` names.
    pub(super) name: String,
    pub(super) db: Option<String>,
    pub(super) data_dir: Option<String>,
}

/// A repository, beside the foreign one: its own folder or prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ForeignRepo {
    pub(super) name: String,
    pub(super) url: String,
    /// `s3_endpoint` and the like.
    pub(super) options: Vec<(&'static str, String)>,
    /// `within = "30d"`.
    pub(super) keep: Vec<String>,
}

/// Reads a configuration of pgBackRest, Barman or WAL-G, whichever it is.
///
/// # Errors
/// Usage when it is of none of them, or does not parse.
pub(super) fn translate_file(path: &Path) -> Result<Translation> {
    let text = std::fs::read_to_string(path).doing(|| format!("read {}", path.display()));
    let text = text.map_err(|e| e.kind_as(toban_core::Kind::Usage))?;
    translate_text(&text).map_err(|e| Error::usage(format!("translate {}", path.display())).because(e))
}

fn translate_text(text: &str) -> Result<Translation> {
    if text.trim_start().starts_with('{') {
        return walg::translate_walg(text);
    }
    let sections = ini::parse_ini(text);
    let has =
        |wanted: &dyn Fn(&str) -> bool| sections.iter().flat_map(|s| &s.values).any(|(key, _)| wanted(key));
    if has(&|key| key.starts_with("repo") || key.starts_with("pg1-")) {
        return Ok(pgbackrest::translate_pgbackrest(&sections));
    }
    if has(&|key| ["conninfo", "barman_home", "backup_method"].contains(&key)) {
        return Ok(barman::translate_barman(&sections));
    }
    Err(Error::usage(
        "it is no configuration of pgBackRest, Barman or WAL-G that has a repository or a server",
    ))
}

impl Translation {
    /// The configuration file, with what is not translated as comments.
    pub(super) fn write_toml(&self, cluster: &str) -> String {
        let mut text = format!(
            "# Out of a configuration of {}, by pg-backup init --from. Its repository stays as it is: what it holds is not\n\
             # read, and restores with {0} alone. Keep it until the backups here reach as far back.\n",
            self.tool
        );
        let names: Vec<String> = self.repos.iter().map(|r| quote_toml(&r.name)).collect();
        for ForeignCluster { name, db, data_dir } in &self.clusters {
            let name = if name.is_empty() { cluster } else { name };
            let _ = writeln!(text, "\n[cluster.{}]", quote_toml(name));
            for (key, value) in [("db", db), ("data_dir", data_dir)] {
                value.iter().for_each(|value| _ = writeln!(text, "{key} = {}", quote_toml(value)));
            }
            let _ = writeln!(text, "repos = [{}]", names.join(", "));
        }
        for repo in &self.repos {
            let _ = writeln!(text, "\n[repo.{}]\nurl = {}", quote_toml(&repo.name), quote_toml(&repo.url));
            repo.options.iter().for_each(|(key, value)| _ = writeln!(text, "{key} = {}", quote_toml(value)));
            if !repo.keep.is_empty() {
                let _ = writeln!(text, "keep = {{ {} }}", repo.keep.join(", "));
            }
        }
        if !self.left.is_empty() {
            text.push_str("\n# Not translated:\n");
        }
        self.left.iter().for_each(|(key, why)| _ = writeln!(text, "# {key}: {why}"));
        text
    }
}

/// A path or prefix of our own beside a foreign one: two formats in one place would each take the other for damage.
fn beside(path: &str) -> String {
    let path = path.trim_matches('/');
    if path.is_empty() { "toban".into() } else { format!("{path}-toban") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toban_core::config::{Config, Span};

    fn translate(text: &str) -> (Translation, Config) {
        let translation = translate_text(text).expect("translates");
        let toml = translation.write_toml("main");
        (translation, Config::parse(&toml).unwrap_or_else(|e| panic!("{}: {toml}", e.chain())))
    }

    fn span(text: &str) -> Option<Span> {
        Some(text.parse().expect("a span"))
    }

    #[test]
    fn pgbackrest() {
        let (translation, config) = translate(
            "# a comment\n[global]\nrepo1-path=/var/lib/pgbackrest\nrepo1-retention-full=2\nrepo2-type=s3\nrepo2-s3-bucket=backups\n\
             repo2-path=/db\nrepo2-s3-endpoint=s3.example.org\nrepo2-s3-region=eu\nrepo2-retention-full=30\n\
             repo2-retention-full-type=time\nrepo2-s3-key=AK\nrepo2-s3-key-secret=hidden\nrepo1-cipher-type=aes-256-cbc\n\
             process-max=4\nstart-fast=y\n[global:archive-push]\ncompress-level=3\n\
             [demo]\npg1-path=/srv/15/main\npg1-port=5433\npg1-socket-path=/run/pg\n",
        );
        let demo = &config.cluster["demo"];
        assert_eq!(demo.db.as_deref(), Some("host=/run/pg port=5433 dbname=postgres"));
        assert_eq!(demo.repos, ["repo1", "repo2"]);
        assert_eq!(config.repo["repo1"].url, "file:///var/lib/pgbackrest-toban");
        assert_eq!(config.repo["repo1"].keep.last, Some(2));
        let s3 = &config.repo["repo2"];
        assert_eq!((s3.url.as_str(), s3.keep.within), ("s3://backups/db-toban", span("30d")));
        assert_eq!(s3.s3_endpoint.as_deref(), Some("https://s3.example.org"));
        let left: Vec<&str> = translation.left.iter().map(|(key, _)| key.as_str()).collect();
        for key in [
            "repo1-cipher-type",
            "repo2-s3-key",
            "repo2-s3-key-secret",
            "process-max",
            "start-fast",
            "compress-level",
        ] {
            assert!(left.contains(&key), "{key} is not in {left:?}");
        }
        assert!(!translation.write_toml("main").contains("hidden"), "a secret is not handed on");
    }

    #[test]
    fn barman() {
        let (translation, config) = translate(
            "[barman]\nbarman_home = /var/lib/barman\n[pg]\nconninfo = host=db1 user=barman dbname=postgres\n\
             streaming_conninfo = host=db1 user=streaming_barman\nbackup_method = postgres\nstreaming_archiver = on\n\
             slot_name = barman\nretention_policy = RECOVERY WINDOW OF 4 WEEKS\nminimum_redundancy = 3\n; old\n\
             [other]\nconninfo = host=db2 dbname=app\nretention_policy = REDUNDANCY 5\n",
        );
        assert_eq!(config.cluster["pg"].db.as_deref(), Some("host=db1 user=barman dbname=postgres"));
        assert_eq!(config.cluster["other"].db.as_deref(), Some("host=db2 dbname=app"));
        assert_eq!(config.repo["barman"].url, "file:///var/lib/barman-toban");
        let keep = &config.repo["barman"].keep;
        assert_eq!((keep.wal, keep.min), (span("28d"), Some(3)));
        let left: Vec<&str> = translation.left.iter().map(|(key, _)| key.as_str()).collect();
        for key in ["pg: streaming_conninfo", "pg: slot_name", "other: retention_policy"] {
            assert!(left.contains(&key), "{key} is not in {left:?}");
        }
    }

    #[test]
    fn walg() {
        let (translation, config) = translate(
            r#"{"WALG_S3_PREFIX": "s3://bucket/pg", "AWS_ENDPOINT": "https://s3.example.org", "AWS_REGION": "eu",
                "PGHOST": "/var/run/postgresql", "PGPORT": "5433", "PGDATA": "/srv/15/main", "WALG_COMPRESSION_METHOD": "brotli",
                "AWS_SECRET_ACCESS_KEY": "hidden", "WALG_DELTA_MAX_STEPS": 6}"#,
        );
        let main = &config.cluster["main"];
        assert_eq!(main.db.as_deref(), Some("host=/var/run/postgresql port=5433 dbname=postgres"));
        assert_eq!(config.repo["wal-g"].url, "s3://bucket/pg-toban");
        assert_eq!(config.repo["wal-g"].s3_region.as_deref(), Some("eu"));
        assert_eq!(translation.left.len(), 4, "{:?}", translation.left);
        assert!(!translation.write_toml("main").contains("hidden"));
        for (prefix, url) in [
            (r#""WALG_FILE_PREFIX": "/mnt/wal-g""#, "file:///mnt/wal-g-toban"),
            (r#""WALG_GS_PREFIX": "gs://bucket""#, "gs://bucket/toban"),
            (r#""WALG_AZ_PREFIX": "azure://container/x""#, "az://container/x-toban"),
        ] {
            assert_eq!(translate(&format!("{{{prefix}}}")).1.repo["wal-g"].url, url);
        }
    }

    #[test]
    fn what_is_of_no_tool_is_refused() {
        for text in ["", "[main]\nx = 1\n", "{\"a\": 1}", "{"] {
            assert_eq!(translate_text(text).expect_err(text).kind(), toban_core::Kind::Usage);
        }
    }
}
