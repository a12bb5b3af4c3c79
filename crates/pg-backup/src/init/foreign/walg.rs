//! .walg.json: WAL-G's environment as an object of JSON.

use super::{ForeignCluster, ForeignRepo, Translation, beside};
use serde_json::{Map, Value};
use toban_core::{Error, Result};

/// What becomes of keys that are not translated; the first whose beginning fits.
const LEFT: [(&str, &str); 9] = [
    ("AWS_", "the environment says it: /etc/toban/NAME.env, mode 0600"),
    ("AZURE_", "the environment says it: /etc/toban/NAME.env, mode 0600"),
    ("GOOGLE_", "the environment says it: /etc/toban/NAME.env, mode 0600"),
    ("PGPASSWORD", "a secret: a passfile of mode 0600, PGPASSFILE in /etc/toban/NAME.env"),
    ("WALG_COMPRESSION", "--compress and --level of pg-backup run; zstd without them"),
    ("WALG_DELTA", "every run stores changed pages only, and every backup restores alone"),
    ("WALG_PGP", "encryption is to public keys of age or OpenSSH: recipients_file, pg-backup key new"),
    ("WALG_LIBSODIUM", "encryption is to public keys of age or OpenSSH: recipients_file, pg-backup key new"),
    ("WALG_PREVENT_WAL_OVERWRITE", "WAL is never overwritten"),
];

/// The only cluster of the environment, and its storage.
///
/// # Errors
/// Usage when it is no object, or names no storage.
pub(super) fn translate_walg(text: &str) -> Result<Translation> {
    let values: Map<String, Value> =
        serde_json::from_str(text).map_err(|e| Error::usage("it is no object of JSON").because(e))?;
    let get = |key: &str| {
        let value = values.get(key)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_string))
    };
    let storages = [
        ("WALG_S3_PREFIX", "s3"),
        ("WALG_GS_PREFIX", "gs"),
        ("WALG_AZ_PREFIX", "az"),
        ("WALG_FILE_PREFIX", "file"),
    ];
    let found = storages.into_iter().find_map(|(key, scheme)| Some((key, scheme, get(key)?)));
    let Some((prefix, scheme, place)) = found else {
        return Err(Error::usage(
            "it names no storage: WALG_S3_PREFIX, WALG_GS_PREFIX, WALG_AZ_PREFIX or WALG_FILE_PREFIX",
        ));
    };
    let place = place.split_once("://").map_or(place.as_str(), |(_, rest)| rest).to_string();
    let url = match (scheme, place.split_once('/')) {
        ("file", _) => format!("file:///{}", beside(&place)),
        (_, Some((bucket, path))) => format!("{scheme}://{bucket}/{}", beside(path)),
        (_, None) => format!("{scheme}://{place}/toban"),
    };
    let options = [("s3_endpoint", get("AWS_ENDPOINT")), ("s3_region", get("AWS_REGION"))];
    let options = options.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let mut db = vec![format!("host={}", get("PGHOST").unwrap_or("/var/run/postgresql".into()))];
    db.extend(get("PGPORT").map(|port| format!("port={port}")));
    db.extend(get("PGUSER").map(|user| format!("user={user}")));
    db.push(format!("dbname={}", get("PGDATABASE").unwrap_or("postgres".into())));
    let known = [prefix, "AWS_ENDPOINT", "AWS_REGION", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE"];
    let explain = |key: &String| {
        let why = LEFT.iter().find(|(begin, _)| key.starts_with(begin)).map(|(_, why)| *why);
        let why = why.unwrap_or(if key == "PGDATA" {
            "the server says where it is"
        } else {
            "it has no counterpart"
        });
        (key.clone(), why.to_string())
    };
    Ok(Translation {
        tool: "WAL-G",
        clusters: vec![ForeignCluster { db: Some(db.join(" ")), ..ForeignCluster::default() }],
        repos: vec![ForeignRepo { name: "wal-g".into(), url, options, keep: Vec::new() }],
        left: values.keys().filter(|key| !known.contains(&key.as_str())).map(explain).collect(),
    })
}
