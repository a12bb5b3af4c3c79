//! What a bucket needs before its first backup: the IAM policies of who works with it, and its lifecycle rules.

use crate::cli::{self, PolicyOf};
use serde::Serialize;
use serde_json::{Value, json};
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::{Error, Out, Record, Result};

/// The policy that some credentials need, for all repositories in S3.
#[derive(Serialize)]
struct IamPolicy {
    policy: Value,
}

impl Record for IamPolicy {
    const SCHEMA: &'static str = "pg-backup.init-policy/1";
    const HEAD: &'static [&'static str] = &["policy"];
    fn cells(&self) -> Vec<String> {
        vec![self.policy.to_string()]
    }
}

/// One document that a bucket needs, by what takes it.
#[derive(Serialize)]
struct BucketDocument {
    what: &'static str,
    document: Value,
}

impl Record for BucketDocument {
    const SCHEMA: &'static str = "pg-backup.init-bucket/1";
    const HEAD: &'static [&'static str] = &["what", "document"];
    fn cells(&self) -> Vec<String> {
        vec![self.what.into(), self.document.to_string()]
    }
}

/// Prints the policy of some credentials.
pub(super) fn emit_policy(of: PolicyOf, args: &cli::Init, config: &Config, out: &mut Out<'_>) -> Result<()> {
    out.emit(&IamPolicy { policy: make_policy(of, &list_places(args, config)?) })
}

/// Prints both policies, and the lifecycle rules of each bucket.
pub(super) fn emit_documents(args: &cli::Init, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let places = list_places(args, config)?;
    for (what, of) in [("writer policy", PolicyOf::Writer), ("prune policy", PolicyOf::Prune)] {
        out.emit(&BucketDocument { what, document: make_policy(of, &places) })?;
    }
    places.iter().try_for_each(|place| {
        out.emit(&BucketDocument { what: "lifecycle rules", document: place.make_lifecycle() })
    })
}

/// The repositories that lie in S3.
fn list_places(args: &cli::Init, config: &Config) -> Result<Vec<BucketPlace>> {
    let repos = args.repos.open(config)?;
    let place = |repo: &Repo| {
        let url = config.repo.get(&repo.name).map_or(&repo.name, |section| &section.url);
        Some(BucketPlace::parse(url.strip_prefix("s3://")?, repo.store.lock().is_some()))
    };
    let places: Vec<BucketPlace> = repos.iter().filter_map(place).collect();
    if places.is_empty() {
        return Err(Error::usage(format!("{} needs no policy: it is not in S3", repos.names())));
    }
    Ok(places)
}

/// Where a repository lies.
struct BucketPlace {
    bucket: String,
    /// Empty, or ending in a slash.
    prefix: String,
    locked: bool,
}

impl BucketPlace {
    fn parse(place: &str, locked: bool) -> BucketPlace {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        BucketPlace { bucket: bucket.into(), prefix, locked }
    }

    /// What the bucket may remove by itself: uploads that were never ended, and where nothing is locked what `prune`
    /// has deleted. Objects never go by their age, since newer backups need packs of older ones.
    fn make_lifecycle(&self) -> Value {
        let filter = json!({"Prefix": self.prefix});
        let mut rules = vec![json!({
            "ID": "toban-unfinished-uploads", "Status": "Enabled", "Filter": filter,
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
        })];
        if !self.locked {
            // In a bucket with Object Lock the oldest version is the object, and must stay.
            rules.push(json!({
                "ID": "toban-deleted", "Status": "Enabled", "Filter": filter,
                "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
            }));
        }
        json!({"Rules": rules})
    }

    fn statements(&self, of: PolicyOf) -> Vec<Value> {
        let bucket = format!("arn:aws:s3:::{}", self.bucket);
        let chosen = |actions: &[(&str, bool)]| -> Vec<String> {
            actions.iter().filter(|(_, needed)| *needed).map(|(action, _)| format!("s3:{action}")).collect()
        };
        let prune = of == PolicyOf::Prune;
        let mut list = json!({
            "Effect": "Allow",
            "Action": chosen(&[
                ("ListBucket", true),
                ("ListBucketVersions", self.locked),
                ("ListBucketMultipartUploads", prune),
            ]),
            "Resource": bucket,
        });
        if !self.prefix.is_empty() {
            list["Condition"] = json!({"StringLike": {"s3:prefix": format!("{}*", self.prefix)}});
        }
        // Deleting is by version where objects may be locked: a delete marker would hide them and free no room.
        let objects = json!({
            "Effect": "Allow",
            "Action": chosen(&[
                ("GetObject", true),
                ("GetObjectVersion", self.locked),
                ("GetObjectRetention", self.locked),
                ("PutObject", true),
                ("PutObjectRetention", self.locked),
                ("AbortMultipartUpload", true),
                ("DeleteObject", prune && !self.locked),
                ("DeleteObjectVersion", prune && self.locked),
            ]),
            "Resource": format!("{bucket}/{}*", self.prefix),
        });
        let mut statements = vec![list, objects];
        if self.locked {
            // Whoever restores without our configuration asks the bucket how to read it.
            let ask = chosen(&[("GetBucketObjectLockConfiguration", true)]);
            statements.push(json!({"Effect": "Allow", "Action": ask, "Resource": bucket}));
        }
        statements
    }
}

/// Pure: the least that is needed, and nothing that ends a lock or changes a bucket.
fn make_policy(of: PolicyOf, places: &[BucketPlace]) -> Value {
    let statements: Vec<Value> = places.iter().flat_map(|place| place.statements(of)).collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_the_least() {
        let policy = |of, place, locked| make_policy(of, &[BucketPlace::parse(place, locked)]).to_string();
        assert_eq!(
            policy(PolicyOf::Writer, "b", false),
            "{\"Statement\":[\
             {\"Action\":[\"s3:ListBucket\"],\"Effect\":\"Allow\",\"Resource\":\"arn:aws:s3:::b\"},\
             {\"Action\":[\"s3:GetObject\",\"s3:PutObject\",\"s3:AbortMultipartUpload\"],\"Effect\":\"Allow\",\
             \"Resource\":\"arn:aws:s3:::b/*\"}],\"Version\":\"2012-10-17\"}"
        );
        for place in ["b", "b/p", "b/p/q/"] {
            for locked in [false, true] {
                let writer = policy(PolicyOf::Writer, place, locked);
                let prune = policy(PolicyOf::Prune, place, locked);
                assert!(!writer.contains("Delete") && prune.contains("s3:DeleteObject"), "{writer} {prune}");
                for never in
                    ["Bypass", "PutBucket", "Acl", "LegalHold", "Lifecycle", "s3:*", "PutObjectLegal"]
                {
                    assert!(!writer.contains(never) && !prune.contains(never), "{never}: {writer} {prune}");
                }
                assert_eq!(writer.contains("Retention"), locked, "{writer}");
                // The largest that IAM takes beside a user (IAM User Guide, "IAM and AWS STS quotas").
                assert!(writer.len() < 2048 && prune.len() < 2048);
            }
        }
        let below = policy(PolicyOf::Writer, "b/p/", true);
        assert!(below.contains("arn:aws:s3:::b/p/*") && below.contains("\"s3:prefix\":\"p/*\""), "{below}");
    }
}
