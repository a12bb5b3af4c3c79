//! Flags of `copy`; the doc comments are the help.

use crate::machine;
use clap::Args as Group;
use std::path::PathBuf;
use toban_core::DryRun;
use toban_core::cli::parse_name;
use toban_core::repo::RepoArgs;

const COPY_HELP: &str = "\
Examples:
  What the bucket lacks of the folder: backups, dumps, WAL and what was proven of them:
    pg-backup copy --from local --to s3
  Look first:
    pg-backup copy --from local --to s3 --dry-run
  One backup from the bucket back to a new disk:
    pg-backup copy 20261121T030000Z-120034 --from s3 --to file:///var/backups/toban
  Every repository of the configuration that has `copies = [\"...\"]`, for a timer:
    pg-backup copy

Only missing objects go over, each compared with its sum on the way, and a manifest goes last: what is listed
in the target is whole. It may be killed at any moment and run again. What is damaged or missing in the source is
named (status 5), and the others are copied. What the target's own `keep` would not keep is left out, since its
prune would remove it again; naming an ID copies it all the same. Nothing in the target is overwritten or deleted.
A bucket in another region or account protects from more than a second disk: keep 3 copies on 2 kinds of
storage, 1 of them elsewhere.";

#[derive(Group, Debug)]
#[command(after_long_help = COPY_HELP)]
pub struct CopyArgs {
    /// IDs of the backups and dumps to copy, without the WAL [default: all that the target would keep, and the WAL]
    #[arg(value_name = "ID", requires = "from")]
    pub ids: Vec<String>,
    /// Repository to copy from: URL or NAME [default: each of the configuration that has `copies`]
    #[arg(long, value_name = "URL|NAME", requires = "to")]
    pub from: Option<String>,
    /// Repository to copy to; may be given several times
    #[arg(long, value_name = "URL|NAME", requires = "from", value_delimiter = ',')]
    pub to: Vec<String>,
    /// Endpoint of an S3 service that is not AWS
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3", hide_env_values = true)]
    pub s3_endpoint: Option<String>,
    /// File of the age recipients that content in the target must be encrypted to [default: `recipients_file` of its section]
    #[arg(long, value_name = "FILE", env = "TOBAN_RECIPIENTS_FILE", hide_env_values = true)]
    pub recipients_file: Option<PathBuf>,
    /// Name of the PostgreSQL cluster in the repositories
    #[arg(long, value_name = "NAME", default_value = "main", env = "TOBAN_CLUSTER", hide_env_values = true, value_parser = parse_name)]
    pub cluster: String,
    /// Objects that are copied at the same time [default: all cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// The target holds another system of this cluster: it was rebuilt or upgraded
    #[arg(long)]
    pub new_system: bool,
    #[command(flatten)]
    pub dry: DryRun,
}

impl CopyArgs {
    /// The flags that open the repositories `names`.
    pub(crate) fn repos(&self, names: &[String]) -> RepoArgs {
        RepoArgs {
            repo: names.to_vec(),
            s3_endpoint: self.s3_endpoint.clone(),
            recipients_file: self.recipients_file.clone(),
            cluster: self.cluster.clone(),
        }
    }

    pub(crate) fn jobs(&self) -> u32 {
        machine::worker_count(self.jobs)
    }
}
