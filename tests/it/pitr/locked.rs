//! A bucket with Object Lock, and what a thief of the writer's credentials can do to it: nothing that a restore needs. curl
//! asks and attacks, not our own client.

use super::lab::{Lab, rows, verified};
use e2e::bins;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Duration;
use testkit::{Pg, S3, S3Keys, S3Request, run_in, until};

const CONFIG: &str = r#"
[repo.vault]
url = "s3://vault/cluster"
lock = "2h"

[repo.second]
url = "s3://vault/second"
lock = "2h"

[repo.soft]
url = "s3://vault/soft"
lock = "1h"
lock_mode = "governance"

[repo.soon]
url = "s3://vault/soon"
lock = "12s"

[repo.open]
url = "s3://open"
lock = "2h"

[repo.disk]
url = "file:///var/backups/nowhere"
lock = "2h"
"#;

/// The service, its writer, and a server that archives there with the writer's credentials.
struct Vault {
    s3: S3,
    writer: S3Keys,
    lab: Lab,
}

/// One version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StoredVersion {
    key: String,
    id: String,
}

impl StoredVersion {
    fn path(&self, more: &str) -> String {
        format!("/vault/{}?{more}versionId={}", self.key, self.id)
    }

    /// Whether a restore may need it.
    fn is_lasting(&self) -> bool {
        let passing =
            ["/intent/", "/mark/", "/pin/", "/proof/", "/damage/", ".mark.", ".proof.", ".toban-probe"];
        !passing.iter().any(|part| self.key.contains(part))
    }
}

impl Vault {
    fn new() -> Vault {
        let s3 = S3::start();
        s3.locked_url("vault");
        s3.url("open");
        let lab = Lab::bare(15);
        let config = lab.path("toban.toml");
        fs::write(&config, CONFIG).expect("write the configuration");
        let mut init = Command::new(bins().join("pg-backup"));
        init.args(["init", "--policy", "--repo", "vault,second,soft,soon,open", "--config"])
            .arg(&config)
            .env_clear();
        let policy = run_in(lab.dir.path(), init).fine();
        let writer = s3.add_user("writer", policy.trim());
        let env = Vault::env(&s3, &writer, &config.display().to_string());
        Vault { s3, writer, lab: lab.in_repos("vault", env) }
    }

    fn env(s3: &S3, keys: &S3Keys, config: &str) -> Vec<(String, String)> {
        let mut env = s3.env();
        env.retain(|(name, _)| !["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].contains(&name.as_str()));
        let own = [
            ("AWS_ACCESS_KEY_ID", &*keys.access),
            ("AWS_SECRET_ACCESS_KEY", &keys.secret),
            ("TOBAN_CONFIG", config),
        ];
        env.extend(own.map(|(name, value)| (name.to_string(), value.to_string())));
        env
    }

    fn ask(&self, keys: &S3Keys, method: &str, path: &str) -> (u16, String) {
        self.s3.signed(keys, &S3Request { method, path, ..S3Request::default() })
    }

    /// Every version below `prefix` of the bucket; delete markers are none.
    fn versions(&self, prefix: &str) -> Vec<StoredVersion> {
        let path = format!("/vault?prefix={}&versions=", prefix.replace('/', "%2F"));
        let (status, xml) = self.ask(&S3Keys::admin(), "GET", &path);
        assert!(status == 200 && xml.contains("<IsTruncated>false"), "{status} {xml}");
        let part = |xml: &str, tag: &str| {
            let (_, rest) = xml.split_once(&format!("<{tag}>")).expect("a member");
            rest.split('<').next().unwrap_or_default().to_string()
        };
        let all = xml.split("<Version>").skip(1);
        all.map(|xml| StoredVersion { key: part(xml, "Key"), id: part(xml, "VersionId") }).collect()
    }

    /// When its lock ends, as the service has it.
    fn lock_end(&self, version: &StoredVersion) -> Option<jiff::Timestamp> {
        let (status, xml) = self.ask(&S3Keys::admin(), "GET", &version.path("retention=&"));
        let (_, rest) = xml.split_once("<RetainUntilDate>").filter(|_| status == 200)?;
        rest.split('<').next()?.parse().ok()
    }

    /// Every object that a restore may need is locked for `hours`.
    #[track_caller]
    fn all_locked(&self, prefix: &str, hours: i64) -> Vec<StoredVersion> {
        let all = self.versions(prefix);
        let now = jiff::Timestamp::now();
        for version in &all {
            let end = self.lock_end(version).map(|end| end.duration_since(now).as_mins());
            let expected = version.is_lasting().then_some(());
            assert_eq!(end.map(drop), expected, "{version:?}");
            assert!(
                end.is_none_or(|end| (hours * 60 - 10..=hours * 60).contains(&end)),
                "{version:?}: {end:?}"
            );
        }
        all
    }

    /// With the writer's credentials, all that the protocol has against one version.
    fn attack(&self, version: &StoredVersion) {
        let (key, thief) = (format!("/vault/{}", version.key), &self.writer);
        let bypass = "x-amz-bypass-governance-retention: true";
        let shorter = retention("COMPLIANCE", 60);
        let softer = retention("GOVERNANCE", 300);
        let many = format!(
            "<Delete><Object><Key>{}</Key><VersionId>{}</VersionId></Object></Delete>",
            version.key, version.id
        );
        let source = format!("x-amz-copy-source: /vault/{}", version.key);
        let refused: [(&str, String, &[&str], &str); 8] = [
            ("DELETE", key.clone(), &[], ""),
            ("DELETE", version.path(""), &[], ""),
            ("DELETE", version.path(""), &[bypass], ""),
            ("PUT", version.path("retention=&"), &[bypass], &shorter),
            ("PUT", version.path("retention=&"), &[], &softer),
            ("PUT", version.path("legal-hold=&"), &[], "<LegalHold><Status>OFF</Status></LegalHold>"),
            ("PUT", format!("{key}?acl="), &["x-amz-acl: public-read-write"], ""),
            (
                "PUT",
                format!("{key}?tagging="),
                &[],
                "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
            ),
        ];
        for (method, path, headers, body) in refused {
            // What is not locked may be locked: that takes nothing away.
            if path.contains("retention=") && !version.is_lasting() {
                continue;
            }
            let (status, said) = self.s3.signed(thief, &S3Request { method, path: &path, headers, body });
            assert_eq!(status, 403, "{method} {path}: {said}");
        }
        let delete =
            S3Request { method: "POST", path: "/vault?delete=", body: &many, ..S3Request::default() };
        let (_, said) = self.s3.signed(thief, &delete);
        assert!(said.contains("AccessDenied"), "{said}");
        // Who may write can lay another version over it, in three ways.
        let over = S3Request { method: "PUT", path: &key, body: "ransom", ..S3Request::default() };
        assert_eq!(self.s3.signed(thief, &over).0, 200);
        let soon = "x-amz-object-lock-retain-until-date: 2099-01-01T00:00:00Z";
        let locked = S3Request { headers: &["x-amz-object-lock-mode: GOVERNANCE", soon], ..over };
        assert_eq!(self.s3.signed(thief, &locked).0, 200);
        let copied = S3Request { headers: &[&source, "x-amz-metadata-directive: REPLACE"], body: "", ..over };
        assert_eq!(self.s3.signed(thief, &copied).0, 200);
    }

    /// With the writer's credentials, all that the protocol has against the bucket.
    fn attack_bucket(&self) {
        let rule = "<LifecycleConfiguration><Rule><ID>x</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>\
                    <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
        let lock = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                    <Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
        let suspend = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::vault/*"}]}"#;
        for (method, path, body) in [
            ("PUT", "/vault?lifecycle=", rule),
            ("DELETE", "/vault?lifecycle=", ""),
            ("PUT", "/vault?object-lock=", lock),
            ("PUT", "/vault?versioning=", suspend),
            ("PUT", "/vault?policy=", policy),
            ("DELETE", "/vault?policy=", ""),
            ("PUT", "/vault?acl=", ""),
            ("DELETE", "/vault", ""),
        ] {
            let (status, said) =
                self.s3.signed(&self.writer, &S3Request { method, path, body, headers: &[] });
            assert_eq!(status, 403, "{method} {path}: {said}");
        }
    }

    /// Restores the newest and its WAL from `repo`, and has a server tell its rows.
    fn restore_rows(&self, name: &str, repo: &str) -> i32 {
        let ran = self.lab.restoring(name, &["--target", "latest", "--repo", repo]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        verified(&self.lab.pg, &self.lab.path(name));
        let settings = self.lab.path(name).join("postgresql.auto.conf");
        let text = fs::read_to_string(&settings).expect("read the settings");
        let config = self.lab.path("toban.toml").display().to_string();
        let env = Vault::env(&self.s3, &self.writer, &config);
        let env: String = env.iter().map(|(n, v)| format!("{n}={v} ")).collect();
        fs::write(&settings, text.replace("restore_command = '/", &format!("restore_command = '{env}/")))
            .expect("write");
        rows(&Pg::promoted(15, &self.lab.path(name)))
    }

    /// The records of `list`, whatever it warns of and however old they are.
    fn list(&self, repo: &str) -> Vec<Value> {
        let ran = self.lab.run("pg-backup", &["list", "--json", "--repo", repo]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        let record = |line: &str| {
            let mut record: Value = serde_json::from_str(line).expect("a record");
            for name in ["repo", "age_seconds"] {
                record[name] = Value::Null;
            }
            record
        };
        ran.stdout.lines().map(record).collect()
    }
}

const URL: &str = "s3://vault/cluster";

/// The body that asks for a lock of so many minutes.
fn retention(mode: &str, minutes: i64) -> String {
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    let until = until.strftime("%Y-%m-%dT%H:%M:%SZ");
    format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>")
}

#[test]
fn a_thief_of_the_writers_credentials() {
    let vault = Vault::new();
    let Vault { lab, s3, .. } = &vault;
    lab.row();
    let first = lab.back_up()["id"].as_str().expect("an ID").to_string();
    lab.row();
    lab.run("pg-backup", &["dump", "postgres"]).fine();
    let second = lab.back_up();
    assert_eq!(second["built_on"], first.as_str(), "{second}");
    let last = lab.row();
    lab.pg.ship_wal();
    let before = vault.all_locked("cluster/", 2);
    for part in ["/wal/", "/backup/", "/dump/", "/cluster.json", "/intent/", ".toban-lock-probe"] {
        assert!(before.iter().any(|v| v.key.contains(part)), "{part}: {before:?}");
    }
    let found = lab.run("pg-backup", &["check", "--json"]).findings();
    let locks: Vec<&Value> = found.iter().filter(|f| f["id"] == "lock").collect();
    assert!(locks.len() == 2 && locks.iter().all(|f| f["severity"] == "ok"), "{found:?}");

    copies_are_locked(&vault);
    let listed = vault.list("vault");
    vault.attack_bucket();
    before.iter().for_each(|version| vault.attack(version));
    assert!(vault.versions("cluster/").len() > before.len());
    stays_what_it_was(&vault, &listed, last.rows, "over");
    // And who may delete, but end no lock, lays a delete marker over each.
    for version in before.iter().filter(|v| v.is_lasting()) {
        let admin = S3Keys::admin();
        assert_eq!(vault.ask(&admin, "DELETE", &format!("/vault/{}", version.key)).0, 204);
        assert_eq!(vault.ask(&admin, "DELETE", &version.path("")).0, 403, "{version:?}");
    }
    assert_eq!(s3.http("GET", &format!("/{}", before[0].key), &[]).0, 404);
    stays_what_it_was(&vault, &listed, last.rows, "deleted");

    let pruned = lab.run("pg-backup", &["prune", "--keep-last", "1", "--dry-run", "--json"]);
    let pruned: Vec<Value> =
        pruned.stdout.lines().map(|l| serde_json::from_str(l).expect("a record")).collect();
    let kept = pruned.iter().find(|r| r["id"] == first.as_str()).expect("the first backup");
    assert!(kept["action"] == "keep" && kept["why"].to_string().contains("it is locked until"), "{kept}");
    let now = vault.versions("cluster/");
    assert!(before.iter().all(|version| now.contains(version)), "{now:?}");
}

/// Nothing misleads `list`, `verify` and `restore`, with our configuration and without.
#[track_caller]
fn stays_what_it_was(vault: &Vault, listed: &[Value], wanted: i32, name: &str) {
    for repo in ["vault", URL] {
        assert_eq!(vault.list(repo), listed, "{name} {repo}");
    }
    let ran = vault.lab.run("pg-backup", &["check", "--json"]);
    assert!(ran.stderr.contains("were written over or deleted by somebody"), "{ran:?}");
    assert_eq!(vault.restore_rows(name, URL), wanted);
    if name == "deleted" {
        for args in [["verify", "--fast", "--repo", URL], ["verify", "--all", "--repo", "vault"]] {
            let ran = vault.lab.run("pg-backup", &args);
            assert_eq!(ran.status, Some(0), "{ran:?}");
        }
    }
}

/// What a copy brings is locked over there.
fn copies_are_locked(vault: &Vault) {
    vault.lab.run("pg-backup", &["copy", "--from", "vault", "--to", "second"]).fine();
    let copied = vault.all_locked("second/", 2);
    assert!(copied.iter().any(|v| v.key.contains("/wal/")), "{copied:?}");
}

#[test]
fn locks_are_renewed_named_where_they_end_early_and_waited_for() {
    let vault = Vault::new();
    let lab = &vault.lab;
    lab.run("pg-backup", &["run", "--repo", "disk"]).refused(2, "cannot lock objects");
    lab.row();
    let run = |config: &str| {
        let config = lab.text(config);
        lab.run("pg-backup", &["run", "--json", "--repo", "soft", "--config", &config]).json().remove(0)
    };
    let first = run("toban.toml")["id"].as_str().expect("an ID").to_string();
    let before = vault.all_locked("soft/", 1);
    let packs: Vec<&StoredVersion> = before.iter().filter(|v| v.key.contains("/pack/")).collect();

    // Somebody who may end a lock shortens it of each pack, and lengthens that of the manifest: an hour is what renewals
    // may have taken.
    let end_early = |version: &StoredVersion, minutes: i64| {
        let (path, body) = (version.path("retention=&"), retention("GOVERNANCE", minutes));
        let headers: &[&str] = &["x-amz-bypass-governance-retention: true"];
        let request = S3Request { method: "PUT", path: &path, headers, body: &body };
        assert_eq!(vault.s3.signed(&S3Keys::admin(), &request).0, 200);
    };
    packs.iter().for_each(|pack| end_early(pack, 10));
    end_early(before.iter().find(|v| v.key.ends_with("backup.json")).expect("a manifest"), 110);
    let found = lab.run("pg-backup", &["check", "--json", "--repo", "soft"]).findings();
    let short = found.iter().find(|f| f["id"] == "lock" && f["severity"] == "critical").expect("a finding");
    let text = short["text"].as_str().expect("a text");
    assert!(text.contains(&first) && text.contains("of what it needs not so long: main/"), "{text}");

    lab.run("pg-backup", &["verify", "--cold", "--repo", "soft"]).refused(4, "of what it needs not so long");

    // A backup that shares packs renews their locks, to what its configuration asks for now.
    lab.row();
    fs::write(lab.path("longer.toml"), CONFIG.replace("\"1h\"", "\"3h\"")).expect("write");
    let second = run("longer.toml");
    assert_eq!(second["built_on"], first.as_str());
    let minutes = |version: &StoredVersion| {
        vault.lock_end(version).expect("locked").duration_since(jiff::Timestamp::now()).as_mins()
    };
    let renewed = packs.iter().filter(|pack| (170..=180).contains(&minutes(pack))).count();
    assert!(renewed > 0 && packs.iter().all(|pack| minutes(pack) < 10 || minutes(pack) >= 170), "{renewed}");
    let found = lab.run("pg-backup", &["check", "--json", "--repo", "soft"]).findings();
    let second = second["id"].as_str().expect("an ID");
    let is_short = |f: &Value| {
        f["id"] == "lock" && f["severity"] == "critical" && f["text"].to_string().contains(second)
    };
    assert!(!found.iter().any(is_short), "{found:?}");

    waits_for_the_lock(&vault);
    lab.run("pg-backup", &["run", "--repo", "open"]).refused(1, "without Object Lock");
}

/// What no rule keeps stays while it is locked, and goes with all its versions when it is not.
fn waits_for_the_lock(vault: &Vault) {
    let lab = &vault.lab;
    let config = lab.path("toban.toml").display().to_string();
    let admin = Vault::env(&vault.s3, &S3Keys::admin(), &config);
    let dump = || lab.run("pg-backup", &["dump", "postgres", "--json", "--repo", "soon"]).json().remove(0);
    let first = dump()["id"].as_str().expect("an ID").to_string();
    dump();
    let prune = || {
        let mut prune = Command::new(bins().join("pg-backup"));
        prune.args(["prune", "--keep-last", "1", "--undelete", "0s", "--json", "--repo", "soon"]);
        prune.env_clear().envs(admin.iter().map(|(n, v)| (n, v))).env("TOBAN_STATE_DIR", lab.path("state"));
        let ran = run_in(lab.dir.path(), prune);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        let records = ran.stdout.lines().map(|l| serde_json::from_str(l).expect("a record"));
        let mut records = records.filter(|r: &Value| r["id"] == first.as_str());
        records.next().expect("the first dump")
    };
    let kept = prune();
    assert!(kept["action"] == "keep" && kept["why"].to_string().contains("it is locked until"), "{kept}");
    let there = || vault.versions("soon/").iter().filter(|v| v.key.contains(&first)).count();
    assert!(there() >= 3);
    until("the locks have ended", Duration::from_secs(60), || match &prune()["action"] {
        action if action == "delete" => Ok(()),
        action => Err(action.to_string()),
    });
    assert_eq!(there(), 0);
}
