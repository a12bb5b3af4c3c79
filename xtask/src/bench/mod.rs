//! `cargo xtask bench NAME`: our tool beside what it replaces, on the same data, in one run.

mod accounts;
mod backup;
mod certs;
mod cutover;
mod dump;
mod encryption;
mod incremental;
mod json;
mod migrate;
mod wal;

use crate::scratch::Scratch;
use crate::setup;
use crate::sh::{self, Context, Result, cargo, root, target_dir};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// pg-backup run and restore beside tar and zstd, pg_basebackup and pg_dump
    Backup(backup::Args),
    /// pg-backup run after a hundredth of the pages changed, beside a full run and pgBackRest's block incremental
    Incremental(incremental::Args),
    /// pg-backup dump beside `pg_dump | gzip`, restore-dump beside `gunzip | psql`
    Dump(dump::Args),
    /// user-audit app on a million accounts, beside the SQL script that it replaces
    Accounts(accounts::Args),
    /// cert-checker on a thousand targets, beside ssl-cert-check and check_http
    Certs(certs::Args),
    /// sqlite-to-pg cutover while an application writes: how long its writes are blocked
    Cutover(cutover::Args),
    /// sqlite-to-pg on a large ITSM database, beside psql's COPY of the same bytes and pgloader
    Migrate(migrate::Args),
    /// json-to-pg on one large file of records, beside DuckDB's read_json
    Json(json::Args),
    /// wal-shipper push and fetch beside cp, zstd and pgBackRest
    Wal(wal::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Backup(args) => backup::run(args),
        What::Dump(args) => dump::run(args),
        What::Incremental(args) => incremental::run(args),
        What::Accounts(args) => accounts::run(args),
        What::Certs(args) => certs::run(args),
        What::Cutover(args) => cutover::run(args),
        What::Migrate(args) => migrate::run(args),
        What::Json(args) => json::run(args),
        What::Wal(args) => wal::run(args),
    }
}

/// A server in a scratch folder with `tools`, built for release, on the PATH of its shells.
fn stage(tools: &[&str]) -> Result<Scratch> {
    stage_on(None, &[], tools)
}

/// The same with a server of `major` and with settings `NAME=VALUE`.
fn stage_on(major: Option<u32>, settings: &[&str], tools: &[&str]) -> Result<Scratch> {
    setup::run(&setup::Args { demo: major.is_none(), all_majors: major.is_some() })?;
    let built = release(tools)?;
    let scratch = Scratch::start("bench", major, settings)?;
    for tool in tools {
        let built = built.join(tool);
        let binary = std::fs::read(&built).doing(|| format!("read {}", built.display()))?;
        scratch.file(&format!("bin/{tool}"), 0o755, &binary)?;
    }
    Ok(scratch)
}

/// An empty database, and no writes of the last run left to be made.
fn make_database_anew(scratch: &Scratch, name: &str) -> Result<()> {
    let line = format!(
        "psql -Xqc 'set client_min_messages = error' -c 'drop database if exists {name}' -c 'create database {name}' -c checkpoint"
    );
    sh::quietly(&mut scratch.shell(&line))
}

/// Builds `tools` for release: the folder that they are in. Of the whole workspace, so that all of them share what
/// they are built on.
fn release(tools: &[&str]) -> Result<PathBuf> {
    let bins = tools.iter().flat_map(|tool| ["--bin", tool]);
    sh::run(cargo(&["build", "--release", "--quiet", "--workspace"]).args(bins))?;
    Ok(target_dir().join("release"))
}

/// Writes the section `title` of docs/benchmarks.md anew, and leaves the others as they are.
fn record(title: &str, text: &str) -> Result<()> {
    let path = root().join("docs/benchmarks.md");
    let old = std::fs::read_to_string(&path).unwrap_or_else(|_| "# Benchmarks\n".into());
    std::fs::write(&path, with_section(&old, title, text)).doing(|| format!("write {}", path.display()))
}

/// Pure: the page with the section in the place of its last version, or at the end.
fn with_section(page: &str, title: &str, text: &str) -> String {
    let section = format!("## {title}\n\n{}\n", text.trim_end());
    let mut sections: Vec<String> = Vec::new();
    for (i, part) in page.split("\n## ").enumerate() {
        sections.push(if i == 0 {
            part.trim_end().to_string() + "\n"
        } else {
            format!("## {}\n", part.trim_end())
        });
    }
    match sections.iter_mut().find(|s| s.starts_with(&format!("## {title}\n"))) {
        Some(there) => *there = section,
        None => sections.push(section),
    }
    sections.join("\n")
}

#[cfg(test)]
mod tests {
    use super::with_section;

    #[test]
    fn a_section_takes_the_place_of_its_last_version() {
        let page = with_section("# Benchmarks\n\nWords.\n", "A", "one\n\n### Sub\n\nx");
        let page = with_section(&page, "B", "two\n");
        assert_eq!(page, "# Benchmarks\n\nWords.\n\n## A\n\none\n\n### Sub\n\nx\n\n## B\n\ntwo\n");
        let page = with_section(&page, "A", "three");
        assert_eq!(page, "# Benchmarks\n\nWords.\n\n## A\n\nthree\n\n## B\n\ntwo\n");
    }
}
