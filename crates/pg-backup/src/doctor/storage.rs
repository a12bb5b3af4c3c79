//! The machine's files and room, and the repositories. Pure.

use super::facts::{Facts, FolderFacts, MachineFacts, RepoContent, RepoFacts};
use super::{finding, judge_learned, rulebook, unknown};
use std::path::Path;
use toban_core::Severity;
use toban_core::check::{Finding, Rule};
use toban_core::out::bytes;

/// Files, folders, programs and room.
pub(super) fn judge_machine(facts: &Facts) -> Vec<Finding> {
    let machine = &facts.machine;
    let user = &machine.user.name;
    let file =
        |rule: &'static Rule, severity, path: &Path| finding(rule, severity, &path.display().to_string());
    let mut findings = Vec::new();
    if let Err(why) = &machine.pg_dump {
        let major = facts.server.as_ref().map_or(0, |s| s.major);
        let found = finding(&rulebook::PG_DUMP_OLD, Severity::Critical, "pg_dump").says(why);
        findings.push(found.advise(format!("apt-get install postgresql-client-{major}")));
    }
    if let Some(access) = machine.configuration.as_ref().filter(|a| !machine.user.may(a, 4)) {
        let path = access.path.display();
        let text = format!("{user} cannot read it");
        let found = file(&rulebook::CONFIGURATION_UNREADABLE, Severity::Critical, &access.path).says(text);
        findings.push(found.advise(format!("chgrp {user} {path} && chmod 640 {path}")));
    }
    if machine.password {
        findings.push(finding(&rulebook::PASSWORD_IN_CONFIGURATION, Severity::Warning, "configuration"));
    }
    findings.extend(machine.open_secrets.iter().map(|path| {
        file(&rulebook::SECRET_OPEN, Severity::Critical, path).advise(format!("chmod 600 {}", path.display()))
    }));
    findings.extend(machine.identities.iter().map(|path| {
        let advice =
            format!("move it to where restores and drills are made; then: shred -u {}", path.display());
        file(&rulebook::IDENTITY_HERE, Severity::Critical, path).advise(advice)
    }));
    if let Some(access) = machine.state.as_ref().filter(|a| !machine.user.may(a, 2)) {
        let text = format!("{user} may not write there");
        let found = file(&rulebook::STATE_FOLDER, Severity::Critical, &access.path).says(text);
        findings.push(found.advise(format!("chown -R {user}: {}", access.path.display())));
    }
    findings.extend(judge_textfile(machine));
    findings.extend(judge_room(facts));
    findings
}

fn judge_textfile(machine: &MachineFacts) -> Option<Finding> {
    let user = &machine.user.name;
    let (path, text) = match machine.textfile.as_ref()? {
        Err(path) => (path, "it is not there".to_string()),
        Ok(access) if machine.user.may(access, 2) => return None,
        Ok(access) => (&access.path, format!("{user} may not write there")),
    };
    let advice = format!("install -d -m 2775 -g {user} {}", path.display());
    let found = finding(&rulebook::TEXTFILE_FOLDER, Severity::Warning, &path.display().to_string());
    Some(found.says(text).advise(advice))
}

/// Room for a restored copy; a finding too where its size is not known.
fn judge_room(facts: &Facts) -> Option<Finding> {
    let (work, free) = match &facts.machine.work {
        Ok(known) => known,
        Err(why) => return Some(unknown("room for a restore", why)),
    };
    let contents = facts.repos.iter().filter_map(|r| r.content.as_ref().ok());
    let stored = contents.flat_map(|c| &c.systems).max_by_key(|s| s.newest).map(|s| s.bytes);
    // What the newest backup restores to, and where there is none yet the sum of the databases: that leaves out what is in
    // none of them, as the WAL, and is a little too small.
    let needed = match (stored, &facts.server) {
        (Some(bytes), _) => bytes,
        (None, Ok(server)) => match &server.bytes {
            Ok(bytes) => *bytes,
            Err(why) => return Some(unknown("room for a restore", why)),
        },
        (None, Err(_)) => return None,
    };
    let text = format!("{} are free, and a restored copy takes {}", bytes(*free), bytes(needed));
    let found = finding(&rulebook::RESTORE_SPACE, Severity::Warning, &work.display().to_string()).says(text);
    (*free < needed).then_some(found)
}

/// One repository.
pub(super) fn judge_repo(facts: &Facts, repo: &RepoFacts) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        repo.folder.iter().flat_map(|folder| judge_folder(facts, folder)).collect();
    findings.extend(judge_learned(&repo.name, &repo.content, |content| judge_content(facts, repo, content)));
    findings.extend(judge_learned("lifecycle rules", &repo.removal, |rules| {
        let removing = rules.removing.iter().map(|rule| {
            let text = format!("rule {rule} removes packs and WAL that newer backups need");
            finding(&rulebook::LIFECYCLE_REMOVES, Severity::Critical, &repo.name).says(text)
        });
        let unused = (rules.lockable && !repo.locks).then(|| {
            let advice = format!("lock = '30d' in [repo.{}]", repo.name);
            finding(&rulebook::LOCK_UNUSED, Severity::Warning, &repo.name).advise(advice)
        });
        removing.chain(unused).collect()
    }));
    findings.extend(judge_keep(facts, repo));
    findings
}

fn judge_folder(facts: &Facts, folder: &FolderFacts) -> Vec<Finding> {
    let object = folder.path.display().to_string();
    let user = &facts.machine.user.name;
    let mut findings = Vec::new();
    if let Some((point, false)) = &folder.mount {
        let text = format!("it lies below {}, which /etc/fstab mounts, and is not mounted", point.display());
        let advice = format!("mount {}", point.display());
        findings.push(
            finding(&rulebook::REPOSITORY_UNMOUNTED, Severity::Critical, &object).says(text).advise(advice),
        );
    }
    if let Some(access) = folder.access.as_ref().filter(|a| !facts.machine.user.may(a, 2)) {
        let text = format!("{user} may not write there: it is of user {}", access.owner);
        let advice = format!("chown -R {user}: {object}");
        findings.push(
            finding(&rulebook::REPOSITORY_OWNER, Severity::Critical, &object).says(text).advise(advice),
        );
    }
    let data = facts.server.as_ref().ok().and_then(|s| s.data());
    if data.is_some_and(|data| folder.path.starts_with(&data.path)) {
        findings.push(finding(&rulebook::REPOSITORY_IN_DATA, Severity::Critical, &object));
    }
    findings
}

fn judge_content(facts: &Facts, repo: &RepoFacts, content: &RepoContent) -> Vec<Finding> {
    let mut findings = Vec::new();
    let nothing = content.systems.is_empty() && content.dumps == 0;
    let stored = facts.machine.runs.iter().filter(|r| ["run", "dump"].contains(&r.verb.as_str()));
    if let Some(at) = stored.filter_map(|r| r.last_success).max().filter(|_| nothing) {
        let text = format!(
            "the run of {} stored into the repositories, and this one holds nothing",
            at.strftime("%Y-%m-%d")
        );
        findings.push(finding(&rulebook::REPOSITORY_EMPTY, Severity::Critical, &repo.name).says(text));
    }
    findings.extend(content.differences.iter().map(|difference| {
        finding(&rulebook::LOCALE_MISSING, Severity::Warning, "this machine")
            .says(difference)
            .advise("as the finding says")
    }));
    let Ok(server) = &facts.server else { return findings };
    let own = content.systems.iter().find(|s| s.identifier == server.identifier);
    match own {
        None if !content.systems.is_empty() => {
            let text = format!(
                "it holds backups of another system, and none of {}, which this server is",
                server.identifier
            );
            let advice = format!(
                "is it the right server? after an upgrade, once: pg-backup run --new-system --cluster {}",
                facts.cluster
            );
            findings.push(
                finding(&rulebook::SYSTEM_CHANGED, Severity::Critical, &repo.name).says(text).advise(advice),
            );
        }
        Some(own) => {
            // A system that was replaced had its last backup before the first of its successor.
            let beside =
                content.systems.iter().find(|s| s.identifier != own.identifier && s.newest > own.oldest);
            findings.extend(beside.map(|other| {
                let text = format!(
                    "system {} stores here too: its last backup is of {}",
                    other.identifier,
                    other.newest.strftime("%Y-%m-%d")
                );
                finding(&rulebook::TWO_CLUSTERS, Severity::Critical, &repo.name).says(text)
            }));
        }
        None => {}
    }
    findings
}

/// The section of a repository; one that a URL names has none yet.
fn name_section(repo: &str) -> String {
    if repo.contains('/') {
        format!("a section [repo.NAME] with url = '{repo}'")
    } else {
        format!("[repo.{repo}]")
    }
}

fn judge_keep(facts: &Facts, repo: &RepoFacts) -> Option<Finding> {
    let keep = &repo.keep;
    let counts = [keep.last, keep.hourly, keep.daily, keep.weekly, keep.monthly, keep.yearly];
    if keep.within.is_none() && keep.wal.is_none() && counts.iter().all(Option::is_none) {
        let advice = format!("keep = {{ within = '30d', min = 7 }} in {}", name_section(&repo.name));
        return Some(finding(&rulebook::KEEP_NOTHING, Severity::Warning, &repo.name).advise(advice));
    }
    let window = facts.window?;
    // `wal` keeps every moment of a stretch; without it all WAL behind the oldest backup stays.
    let kept = keep.wal.or(keep.within)?;
    let text = format!("it keeps {kept}, and [objectives] promise {window}");
    let advice = format!("keep = {{ …, wal = '{window}' }} in {}", name_section(&repo.name));
    (kept < window)
        .then(|| finding(&rulebook::KEEP_SHORT, Severity::Critical, &repo.name).says(text).advise(advice))
}

/// All repositories together: what takes the server's disk must not take every one of them.
pub(super) fn judge_repos(facts: &Facts) -> Vec<Finding> {
    let Ok(server) = &facts.server else { return Vec::new() };
    let data = match &server.here {
        Ok(Some(data)) => data,
        Ok(None) => return Vec::new(),
        Err(why) => return vec![unknown("data directory", why)],
    };
    let same = |repo: &RepoFacts| repo.folder.as_ref().is_some_and(|f| f.device == Some(data.device));
    if facts.repos.is_empty() || !facts.repos.iter().all(same) {
        return Vec::new();
    }
    let names: Vec<&str> = facts.repos.iter().map(|r| r.name.as_str()).collect();
    let text = format!("{} on the disk of {}", names.join(", "), data.path.display());
    vec![finding(&rulebook::REPOSITORY_SAME_DISK, Severity::Critical, "repositories").says(text)]
}
