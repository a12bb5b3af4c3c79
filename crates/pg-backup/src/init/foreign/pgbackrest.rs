//! pgbackrest.conf (its configuration reference, "Repository Options" and "Stanza Options").

use super::ini::Section;
use super::{ForeignCluster, ForeignRepo, Translation, beside};
use std::collections::BTreeSet;

/// What becomes of keys that are not translated; the first whose beginning fits.
const LEFT: [(&str, &str); 12] = [
    ("cipher", "encryption is to public keys here: recipients_file in the section, pg-backup key new"),
    ("s3-key", "a secret: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in /etc/toban/NAME.env, mode 0600"),
    ("s3-", "the AWS environment and profile say it: AWS_PROFILE, AWS_ENDPOINT_URL_S3"),
    ("azure-key", "a secret: azure_key_file in the section"),
    ("gcs-key", "gcs_credentials_file in the section"),
    ("retention-diff", "every backup is a full one at the cost of what changed"),
    ("retention-archive", "keep = { wal = \"14d\" }: every moment of a window"),
    ("bundle", "small files are always packed together"),
    ("block", "every run stores changed pages only"),
    ("host", "run it on the server's own machine, with a repository that both can reach"),
    ("storage-", "certificates of the system count"),
    ("hardlink", "nothing is linked"),
];

/// Stanzas become clusters, and repositories repositories beside them.
pub(super) fn translate_pgbackrest(sections: &[Section]) -> Translation {
    let mut translation = Translation { tool: "pgBackRest", ..Translation::default() };
    let (global, stanzas): (Vec<&Section>, Vec<&Section>) =
        sections.iter().partition(|s| s.name.is_empty() || s.name.starts_with("global"));
    let values = global.iter().flat_map(|s| &s.values).cloned().collect();
    let all = Section { name: String::new(), values };
    let number = |(key, _): &(String, String)| {
        let digits: String = key.strip_prefix("repo")?.chars().take_while(char::is_ascii_digit).collect();
        // `repo-path` of before version 2 is that of the first.
        Some(if digits.is_empty() { 1 } else { digits.parse::<u32>().ok()? })
    };
    let own = sections.iter().flat_map(|s| &s.values).filter_map(number).collect::<BTreeSet<u32>>();
    let mut used = BTreeSet::new();
    for number in if own.is_empty() { BTreeSet::from([1]) } else { own } {
        translation.repos.push(translate_repo(&all, number, &mut used));
    }
    for stanza in stanzas.iter().filter(|s| !s.name.contains(':')) {
        let get = |key: &str| stanza.get(key).or_else(|| all.get(key));
        let mut db = vec![format!("host={}", get("pg1-socket-path").unwrap_or("/var/run/postgresql"))];
        db.extend(get("pg1-port").map(|port| format!("port={port}")));
        db.extend(get("pg1-user").map(|user| format!("user={user}")));
        db.push(format!("dbname={}", get("pg1-database").unwrap_or("postgres")));
        translation.clusters.push(ForeignCluster {
            name: stanza.name.clone(),
            db: Some(db.join(" ")),
            data_dir: None,
        });
    }
    let known = ["pg1-path", "pg1-port", "pg1-socket-path", "pg1-user", "pg1-database"];
    for (key, value) in sections.iter().flat_map(|s| &s.values) {
        if !known.contains(&key.as_str()) && !used.contains(key) {
            translation.left.push((key.clone(), explain_left(key, value)));
        }
    }
    translation
}

fn translate_repo(all: &Section, number: u32, used: &mut BTreeSet<String>) -> ForeignRepo {
    let mut get = |name: &str| {
        let key = format!("repo{number}-{name}");
        let value = all.get(&key).map(str::to_string);
        used.extend(value.is_some().then_some(key));
        value
    };
    let path = beside(&get("path").unwrap_or("/var/lib/pgbackrest".into()));
    let kind = get("type").unwrap_or_else(|| "posix".into());
    let url = match kind.as_str() {
        "s3" => format!("s3://{}/{path}", get("s3-bucket").unwrap_or_default()),
        "azure" => format!("az://{}/{path}", get("azure-container").unwrap_or_default()),
        "gcs" => format!("gs://{}/{path}", get("gcs-bucket").unwrap_or_default()),
        _ => format!("file:///{path}"),
    };
    let endpoint = get("s3-endpoint").filter(|e| !e.ends_with("amazonaws.com"));
    let endpoint = endpoint.map(|e| if e.contains("://") { e } else { format!("https://{e}") });
    let options =
        [("s3_endpoint", endpoint), ("s3_region", get("s3-region")), ("azure_account", get("azure-account"))];
    let options = options.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let by_time = get("retention-full-type").as_deref() == Some("time");
    let keep = get("retention-full").filter(|n| n.parse::<u32>().is_ok());
    let keep = keep.map(|n| if by_time { format!("within = \"{n}d\"") } else { format!("last = {n}") });
    ForeignRepo { name: format!("repo{number}"), url, options, keep: keep.into_iter().collect() }
}

fn explain_left(key: &str, value: &str) -> String {
    let plain = key
        .strip_prefix("repo")
        .map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-'));
    let plain = plain.or_else(|| key.strip_prefix("pg1-")).unwrap_or(key);
    let known = LEFT.iter().find(|(begin, _)| plain.starts_with(begin)).map(|(_, why)| (*why).to_string());
    known.unwrap_or_else(|| match key {
        "process-max" => format!("--jobs {value} of the verbs; there is one worker for each core without it"),
        "start-fast" => "a run asks for a fast checkpoint: --checkpoint spread for the other".into(),
        "compress-type" | "compress-level" => "--compress and --level of pg-backup run; zstd without them".into(),
        "archive-async" | "archive-push-queue-max" | "spool-path" => {
            "wal-shipper push --ahead stores what waits; it never tells PostgreSQL of WAL that it did not store".into()
        }
        "delta" => "pg-backup restore --delta".into(),
        _ => "it has no counterpart".into(),
    })
}
