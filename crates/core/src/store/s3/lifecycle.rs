//! Lifecycle rules: what the bucket removes by itself.

use super::S3;
use crate::error::Result;
use crate::store::ask::Need;
use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};

impl S3 {
    /// The bucket's own rules that remove objects of this repository.
    pub(super) fn list_removing_rules(&self) -> Result<Vec<String>> {
        let request = self.get_client()?.get_bucket_lifecycle_configuration().bucket(&self.bucket);
        let doing = format!("ask for the lifecycle rules of s3://{}", self.bucket);
        match self.send_request(Need::ReadLifecycle, 0, &doing, || request.clone().send()) {
            Ok((answer, _)) => {
                let removing = answer.rules().iter().filter(|rule| removes_below(rule, &self.prefix));
                Ok(removing.map(describe_rule).collect())
            }
            Err(refusal) if refusal.code == "NoSuchLifecycleConfiguration" => Ok(Vec::new()),
            Err(refusal) => Err(refusal.error),
        }
    }
}

/// Whether the rule removes what backups, dumps and WAL below `prefix` are made of. Tails and unfinished uploads may go by
/// age, and so may versions that are not the newest where no object is an older one.
fn removes_below(rule: &LifecycleRule, prefix: &str) -> bool {
    let filter = rule.filter();
    let both = filter.and_then(|f| f.and());
    // Our objects have no tags.
    let tagged = filter.is_some_and(|f| f.tag().is_some()) || both.is_some_and(|and| !and.tags().is_empty());
    let own = filter.and_then(|f| f.prefix()).or_else(|| both.and_then(|and| and.prefix()));
    let own = own.or_else(|| old_prefix(rule)).unwrap_or_default();
    let meets = own.starts_with(prefix) || prefix.starts_with(own);
    let expires = rule.expiration().is_some_and(|e| e.days().is_some() || e.date().is_some());
    rule.status() == &ExpirationStatus::Enabled && expires && meets && !tagged && !own.contains("/wal-tail/")
}

/// Rules of before 2016 have their prefix outside of the filter, and services still give them so.
#[expect(deprecated, reason = "services still answer with it")]
fn old_prefix(rule: &LifecycleRule) -> Option<&str> {
    rule.prefix()
}

fn describe_rule(rule: &LifecycleRule) -> String {
    let days = rule.expiration().and_then(aws_sdk_s3::types::LifecycleExpiration::days);
    let when = days.map_or("at a date".to_string(), |days| format!("after {days} days"));
    format!("{} ({when})", rule.id().unwrap_or("without a name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::{LifecycleExpiration, LifecycleRuleFilter, Tag};

    fn rule(prefix: &str, status: ExpirationStatus) -> LifecycleRule {
        let expiration = LifecycleExpiration::builder().days(30).build();
        let filter = LifecycleRuleFilter::builder().prefix(prefix).build();
        let rule = LifecycleRule::builder().id("old").status(status).expiration(expiration).filter(filter);
        rule.build().expect("a rule")
    }

    #[test]
    fn rules_that_remove_what_a_restore_needs() {
        let enabled = ExpirationStatus::Enabled;
        for (prefix, removes) in [
            ("", true),
            ("toban/", true),
            ("tob", true),
            ("toban/main/7/backup/", true),
            ("other/", false),
            ("toban/main/7/wal-tail/", false),
        ] {
            assert_eq!(removes_below(&rule(prefix, enabled.clone()), "toban/"), removes, "{prefix}");
        }
        assert!(!removes_below(&rule("", ExpirationStatus::Disabled), "toban/"));
        let tag = Tag::builder().key("class").value("scratch").build().expect("a tag");
        let filter = LifecycleRuleFilter::builder().tag(tag).build();
        let mut tagged = rule("", enabled.clone());
        tagged.filter = Some(filter);
        assert!(!removes_below(&tagged, "toban/"));
        let mut uploads = rule("", enabled);
        uploads.expiration = None;
        assert!(!removes_below(&uploads, ""));
    }
}
