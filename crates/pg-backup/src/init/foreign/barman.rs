//! barman.conf and the files of its servers (barman(5)).

use super::ini::Section;
use super::{ForeignCluster, ForeignRepo, Translation, beside};

/// What becomes of keys that are not translated.
const LEFT: [(&str, &str); 14] = [
    (
        "streaming_conninfo",
        "wal-shipper stream takes the cluster's db; its role needs REPLICATION and pg_monitor",
    ),
    (
        "slot_name",
        "wal-shipper stream makes its own slot, toban; drop the old one when Barman is switched off",
    ),
    ("streaming_archiver", "systemctl enable --now wal-shipper-stream@NAME.service"),
    ("archiver", "archive_command = '/usr/bin/wal-shipper push %p', or wal-shipper stream"),
    ("backup_method", "pg-backup run copies the files on the server's own machine"),
    ("ssh_command", "nothing is copied by ssh: run pg-backup on the server's own machine"),
    ("reuse_backup", "every run stores changed pages only"),
    ("parallel_jobs", "--jobs of the verbs"),
    ("immediate_checkpoint", "a run asks for a fast checkpoint: --checkpoint spread for the other"),
    ("compression", "--compress and --level of pg-backup run; zstd without them"),
    ("wal_retention_policy", "keep = { wal = … }: every moment of a window"),
    ("path_prefix", "bin_dir in the cluster's section"),
    ("last_backup_maximum_age", "pg-backup check --warn-age, --critical-age"),
    ("pre_", "no hooks: a unit's ExecStartPre= and ExecStartPost="),
];

/// Servers become clusters of one repository.
pub(super) fn translate_barman(sections: &[Section]) -> Translation {
    let mut translation = Translation { tool: "Barman", ..Translation::default() };
    let global = sections.iter().filter(|s| s.name == "barman" || s.name.is_empty());
    let home = global.clone().find_map(|s| s.get("barman_home")).unwrap_or("/var/lib/barman");
    let servers: Vec<&Section> = sections.iter().filter(|s| s.get("conninfo").is_some()).collect();
    let policies =
        servers.iter().copied().chain(global).find_map(|s| s.get("retention_policy").map(|p| (s, p)));
    let mut keep: Vec<String> =
        policies.and_then(|(_, policy)| translate_policy(policy)).into_iter().collect();
    let minimum =
        servers.iter().find_map(|s| s.get("minimum_redundancy")).filter(|n| n.parse::<u32>().is_ok());
    keep.extend(minimum.filter(|n| *n != "0").map(|n| format!("min = {n}")));
    translation.repos.push(ForeignRepo {
        name: "barman".into(),
        url: format!("file:///{}", beside(home)),
        options: Vec::new(),
        keep,
    });
    for server in &servers {
        let db = server.get("conninfo").map(str::to_string);
        translation.clusters.push(ForeignCluster { name: server.name.clone(), db, data_dir: None });
    }
    let first = policies.map(|(section, _)| section.name.as_str());
    for section in sections {
        for (key, _) in &section.values {
            let known =
                ["conninfo", "barman_home", "minimum_redundancy", "description", "barman_user", "active"];
            let policy = key == "retention_policy" && Some(section.name.as_str()) == first;
            if !known.contains(&key.as_str()) && !policy {
                translation.left.push((format!("{}: {key}", section.name), explain_left(key)));
            }
        }
    }
    translation
}

/// `REDUNDANCY 3`, `RECOVERY WINDOW OF 4 WEEKS`.
fn translate_policy(policy: &str) -> Option<String> {
    let words: Vec<String> = policy.split_whitespace().map(str::to_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["REDUNDANCY", n] => Some(format!("last = {}", n.parse::<u32>().ok()?)),
        ["RECOVERY", "WINDOW", "OF", n, unit] => {
            let days = match unit.trim_end_matches('S') {
                "DAY" => 1,
                "WEEK" => 7,
                "MONTH" => 31,
                _ => return None,
            };
            Some(format!("wal = \"{}d\"", n.parse::<u32>().ok()?.checked_mul(days)?))
        }
        _ => None,
    }
}

fn explain_left(key: &str) -> String {
    if key == "retention_policy" {
        return "the clusters of a repository share its keep: give this one a section of its own".into();
    }
    let known = LEFT.iter().find(|(begin, _)| key.starts_with(begin));
    known.map_or("it has no counterpart".into(), |(_, why)| (*why).to_string())
}
