//! The end of a restore: how the server recovers, its backup_manifest, and pg_control when all else is durable.

use super::files::WrittenFiles;
use super::target::{Target, UNFINISHED};
use super::{RestoreWork, conf, display_path, own_paths};
use crate::format::backup::{BackupManifest, PG_CONTROL};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use toban_core::pg::quote_setting;
use toban_core::wal::{Segment, apply_changes, write_changes};
use toban_core::{Context, Error, Result, durable};

/// Makes a whole, startable data directory of what was written.
pub(super) fn finish_restore(work: &RestoreWork<'_>, written: WrittenFiles) -> Result<()> {
    let (backup, target) = (&work.stored.manifest, work.target);
    let WrittenFiles { mut kept, mut manifest, in_place, .. } = written;
    let missing = || Error::corrupt(format!("backup {} has no pg_control", backup.id));
    let (entry, control) = kept.remove(PG_CONTROL).ok_or_else(missing)?;
    if let Some((entry, map)) = kept.remove("tablespace_map") {
        // Recovery removes the links in pg_tblspc and makes them anew from this file (read_tablespace_map in
        // xlogrecovery.c). With the old places in it the restored server would write into the tablespaces of
        // the one that was backed up.
        let map = remap_tablespaces(&String::from_utf8_lossy(&map), target);
        write_durably(target, "tablespace_map", map.as_bytes())?;
        manifest.add_bytes("tablespace_map", map.as_bytes(), entry.modified)?;
    }
    let place = conf::write_conf(work, &kept, &mut manifest)?;
    redirect_tablespaces(backup, target)?;
    // Without it a server would take the copy for one that crashed, replay the WAL that is in pg_wal alone, and go on with
    // the same timeline, without a word ("Recovery Target", recovery.signal).
    write_durably(target, "recovery.signal", b"")?;
    let ends = work
        .plan
        .map_or_else(|| at_its_end(backup), |plan| plan.recovery_settings(!target.changes.is_empty()));
    let settings = RecoverySettings { ends, in_place: in_place || target.in_place, place };
    write_recovery_settings(work, &settings)?;
    manifest.add_file(&entry)?;
    manifest.write_file(backup)?;
    target.give_to_owner(&target.dir.join("backup_manifest"))?;
    // A server refuses a data directory that lets others in, or the group write, and one of another owner
    // (checkDataDir in miscinit.c).
    target.set_owner_and_mode(&target.dir, target.mode)?;
    // syncfs(2) before pg_control: a server starts only where pg_control is, so after a crash at any instant either no
    // server starts here, or all that it reads is on disk. The mark goes in between, or a whole data directory would
    // say for ever that it is not.
    sync_target(target)?;
    fs::remove_file(target.dir.join(UNFINISHED))
        .doing(|| "remove the mark of the unfinished restore".into())?;
    durable::sync_dir(&target.dir)?;
    write_durably(target, PG_CONTROL, &control)
}

pub(super) fn write_durably(target: &Target, name: &str, bytes: &[u8]) -> Result<()> {
    let path = target.dir.join(name);
    durable::replace(&path, 0o600, |w| {
        w.write_all(bytes).doing(|| format!("write {}", display_path(&path)))
    })?;
    target.give_to_owner(&path)
}

/// `16400 /srv/old` becomes the tablespace's new place; recovery makes the links from it. A place in the map escapes
/// line breaks and backslashes by a backslash.
fn remap_tablespaces(map: &str, target: &Target) -> String {
    let mut text = String::new();
    for line in split_map(map) {
        let (oid, old) = line.split_once(' ').unwrap_or((&line, ""));
        let place = oid.parse().ok().and_then(|oid: u32| target.tablespaces.get(&oid));
        let new = place.map_or(old.to_string(), |path| escape_path(&path.display().to_string()));
        text += &format!("{oid} {new}\n");
    }
    text
}

fn split_map(map: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut escaped = false;
    let mut line = String::new();
    for c in map.chars() {
        match c {
            '\n' if !escaped => lines.push(std::mem::take(&mut line)),
            c => line.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    lines
}

fn escape_path(path: &str) -> String {
    path.replace('\\', "\\\\").replace('\n', "\\\n").replace('\r', "\\\r")
}

/// The server recovers from the WAL inside the backup to the end of the backup, and takes a new timeline.
fn at_its_end(backup: &BackupManifest) -> String {
    // The server wants a command in recovery; this one says that there is no archive, so that pg_wal is read.
    let text = "restore_command = 'false'\nrecovery_target_timeline = 'current'\n";
    // "immediate" wants a whole record after the end of the backup. A primary writes one; the WAL of a standby may
    // end right there, and recovery to its end, which must not lie before the backup's, gives the same.
    let target = "recovery_target = 'immediate'\nrecovery_target_action = 'promote'\n";
    if backup.standby { text.into() } else { format!("{text}{target}") }
}

/// Where the file of changes lies in the data directory; in pg_wal no judge of a backup looks for strange files.
pub(super) const CHANGES: &str = "pg_wal/toban-changes";

/// Tablespaces that recovery creates elsewhere than they were: the WAL that the backup brought along says so now, and for
/// what the archive has `wal-shipper fetch` reads the file. Their folders are there, so that no link leads nowhere
/// when recovery ends before it comes to them.
fn redirect_tablespaces(backup: &BackupManifest, target: &Target) -> Result<()> {
    if target.changes.is_empty() {
        return Ok(());
    }
    for path in target.tablespaces.values() {
        target.make_folder(&path.join(&target.version_folder))?;
    }
    write_durably(target, CHANGES, write_changes(&target.changes).as_bytes())?;
    let size = backup.wal_segment_size;
    for change in &target.changes {
        let segment = Segment::holding_lsn(change.lsn, backup.timeline, size);
        let path = target.dir.join("pg_wal").join(segment.name());
        if path.exists() {
            apply_changes(&target.changes, &segment, &path)?;
        }
    }
    Ok(())
}

/// Libraries that do work of their own as soon as a server runs, some of it on other machines.
const WITH_JOBS: [&str; 8] =
    ["pg_cron", "pg_partman_bgw", "pg_net", "pglogical", "spock", "bdr", "pg_squeeze", "pg_task"];

fn split_libraries(preload: &str) -> impl Iterator<Item = &str> {
    preload.split(',').map(|l| l.trim().trim_matches('"')).filter(|l| !l.is_empty())
}

/// Those of the libraries that the server loaded that do.
pub(super) fn find_job_libraries(preload: &str) -> Vec<&str> {
    split_libraries(preload).filter(|l| WITH_JOBS.contains(&l.rsplit('/').next().unwrap_or(l))).collect()
}

/// What the settings depend on.
struct RecoverySettings {
    /// Where recovery ends.
    ends: String,
    /// There are tablespaces inside the data directory.
    in_place: bool,
    place: conf::ServerPlace,
}

/// After every setting that the server had before: where recovery ends, and that it does nothing of what the server
/// that was backed up does: archive, take changes of a publication, run jobs, write another server's PID file.
fn write_recovery_settings(work: &RestoreWork<'_>, how: &RecoverySettings) -> Result<()> {
    let (backup, target) = (&work.stored.manifest, work.target);
    // It is read after postgresql.conf and overrides it, and within it the last line of a name counts
    // ("Parameter Interaction via the Configuration File"). So what is appended here wins over all that the
    // backup brought along.
    let path = target.dir.join("postgresql.auto.conf");
    let mut text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other.doing(|| format!("read {}", display_path(&path)))?,
    };
    // Two targets are one too many, even where the second is empty: those of an earlier recovery go.
    text = text.lines().filter(|l| !l.starts_with("recovery_target")).flat_map(|l| [l, "\n"]).collect();
    text += &format!("# Added by pg-backup restore of {}.\n", backup.id);
    text += &how.ends;
    // Both would work on the old server's archive.
    text += "archive_cleanup_command = ''\nrecovery_end_command = ''\n";
    if how.in_place {
        // Else recovery ends with "unexpected directory entry found in pg_tblspc/".
        text += "allow_in_place_tablespaces = 'on'\n";
    }
    if how.place != conf::ServerPlace::Same {
        text += &write_own_paths(work, how.place)?;
    }
    if !work.args.keep_archiving {
        // A copy that is promoted beside the server would archive its new timeline into that server's
        // archive, and its subscriptions would take changes from the slots that the server uses.
        text += "archive_mode = 'off'\nmax_logical_replication_workers = '0'\n";
        let jobs = find_job_libraries(&backup.host.preload);
        if !jobs.is_empty() {
            let kept: Vec<&str> =
                split_libraries(&backup.host.preload).filter(|l| !jobs.contains(l)).collect();
            text += &format!("shared_preload_libraries = {}\n", quote_setting(&kept.join(",")));
        }
    }
    write_durably(target, "postgresql.auto.conf", text.as_bytes())
}

/// What the configuration says of the old data directory, for the new one, as lines of postgresql.auto.conf; beside another
/// server none names a PID file.
fn write_own_paths(work: &RestoreWork<'_>, place: conf::ServerPlace) -> Result<String> {
    let (backup, target) = (&work.stored.manifest, work.target);
    let new = std::path::absolute(&target.dir).doing(|| "find the data directory".into())?;
    let conf = match &backup.conf.config_file {
        Some(name) => work.args.config_dir.as_ref().unwrap_or(&new).join(name),
        None => new.join("postgresql.conf"),
    };
    let auto = new.join("postgresql.auto.conf");
    // Older backups do not say where they were.
    let old = Some(Path::new(&backup.data_dir)).filter(|old| old.is_absolute());
    let move_paths = |settings: &BTreeMap<String, String>| {
        old.map(|old| own_paths::move_own_paths(settings, old, &new)).unwrap_or_default()
    };
    let is_member = work.args.keep_archiving && backup.conf.config_file.is_none();
    if let Some(text) = Some(conf.as_path()).filter(|_| is_member).and_then(own_paths::read_patroni_conf) {
        // Patroni writes this file anew at each start, and pg_rewind copies postgresql.auto.conf, which overrides it, to other
        // members: there the lines would lead into this one's folder.
        let text = text + &move_paths(&own_paths::read_settings(&[conf])?);
        write_durably(target, "postgresql.conf", text.as_bytes())?;
        return Ok(move_paths(&own_paths::read_settings(&[auto])?));
    }
    let settings = own_paths::read_settings(&[conf, auto])?;
    let moved = move_paths(&settings);
    let named = place == conf::ServerPlace::BesideWithin && settings.contains_key("external_pid_file");
    Ok(if named { format!("{moved}external_pid_file = ''\n") } else { moved })
}

/// Everything on the target's file systems: one call each instead of one for each of a hundred thousand files.
fn sync_target(target: &Target) -> Result<()> {
    let places = target.tablespaces.values().map(std::path::PathBuf::as_path);
    for place in places.chain([target.dir.as_path()]) {
        sync_fs(place).doing(|| format!("make {} durable", display_path(place)))?;
    }
    Ok(())
}

fn sync_fs(place: &Path) -> std::io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(place)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_run_jobs() {
        let preload = "pg_stat_statements, \"pg_cron\",$libdir/pg_net";
        assert_eq!(find_job_libraries(preload), ["pg_cron", "$libdir/pg_net"]);
        assert_eq!(split_libraries(preload).count(), 3);
        assert_eq!((find_job_libraries(""), split_libraries(" ").count()), (Vec::new(), 0));
    }

    #[test]
    fn a_map_is_written_anew_with_its_escapes() {
        let target = Target {
            dir: "/t".into(),
            delta: false,
            ids: None,
            mode: 0o700,
            major: 15,
            tablespaces: [(16400, "/new\n\\x".into())].into(),
            linked_by_replay: [].into(),
            changes: Vec::new(),
            version_folder: String::new(),
            in_place: false,
            left_out: [].into(),
        };
        let map = remap_tablespaces("16400 /old\\\nx\n16401 /kept\n", &target);
        assert_eq!(map, "16400 /new\\\n\\\\x\n16401 /kept\n");
    }
}
