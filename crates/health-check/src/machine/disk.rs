//! Disks: space and inodes as df counts them, when they will be full, what became read-only, and what does not answer.

use super::Machine;
use super::mounts::{Mount, choose_mounts};
use crate::damping::SPACE;
use crate::reading::{Checked, Facts, Limits, Measure, Reading, percent, seconds};
use crate::rules;
use crate::settings::{DiskSettings, DiskThresholds};
use rustix::fs::StatVfs;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use toban_core::Severity;
use toban_core::check::matches_pattern;
use toban_core::out::bytes;

/// How long a file system may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// A file system that did not answer is not asked again for so long, in seconds: each try leaves a thread that hangs.
const REST: f64 = 600.0;
/// Samples of space are so many seconds apart and not more than this many: a day.
const SAMPLE_EVERY: f64 = 2880.0;
const SAMPLES: usize = 30;
/// Fewer samples make no slope.
const SLOPE_OF: usize = 6;
/// Seconds until full.
const FULL: Limits = Limits { warning: 3.0 * 86_400.0, critical: 4.0 * 3600.0 };

/// What is remembered of all file systems.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct DiskMemory {
    /// Mount points that were writable once.
    writable: BTreeSet<String>,
    /// Mount points that did not answer, and when they were asked.
    silent: BTreeMap<String, f64>,
    /// Used bytes of each mount point, with the times in seconds since 1970.
    used: BTreeMap<String, Vec<[f64; 2]>>,
}

const FACT: &str = "disks";

/// What a run of this check goes by.
pub(crate) struct DiskCheck<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) mounts: &'a [Mount],
    pub(crate) settings: &'a DiskSettings,
    /// Paths whose file systems are asked in any case.
    pub(crate) named: &'a [PathBuf],
    /// Seconds since 1970.
    pub(crate) now: f64,
}

/// What one file system answered.
type Answer = Result<Space, std::io::Error>;

impl DiskCheck<'_> {
    /// Asks every file system at its own pace, and judges what came.
    pub(crate) fn check_disks(&self, before: &Facts) -> Checked {
        let memory: DiskMemory =
            before.get(FACT).and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default();
        let named = self.resolve_named();
        let excluded =
            |point: &str| self.settings.exclude.iter().any(|pattern| matches_pattern(pattern, point));
        let chosen = choose_mounts(self.mounts, &named, excluded);
        let resting = |mount: &Mount| {
            let asked = memory.silent.get(&name_of(mount));
            asked.is_some_and(|at| (0.0..REST).contains(&(self.now - at)))
        };
        let (skipped, asked): (Vec<Mount>, Vec<Mount>) = chosen.into_iter().partition(resting);
        let answers = self.ask_all(&asked);
        let mut kept = DiskMemory { writable: memory.writable.clone(), ..DiskMemory::default() };
        let mut readings: Vec<Reading> =
            skipped.iter().map(|m| self.still_silent(m, &memory, &mut kept)).collect();
        for (mount, answer) in asked.iter().zip(answers) {
            readings.extend(self.judge_mount(mount, answer, &memory, &mut kept));
        }
        if readings.is_empty() {
            readings.push(Reading::unknown(&rules::DISK, "no file system was found in /proc/self/mountinfo"));
        }
        Checked { readings, facts: Facts::from([(FACT.to_string(), json!(kept))]) }
    }

    /// Where the named paths really lie: pg_wal is often a link. A path on a dead server is left as it is.
    fn resolve_named(&self) -> Vec<PathBuf> {
        let (sender, receiver) = channel();
        for (at, path) in self.named.iter().enumerate() {
            let (sender, path) = (sender.clone(), self.machine.path(path));
            std::thread::spawn(move || sender.send((at, resolve_path(&path))));
        }
        drop(sender);
        let mut resolved: Vec<Vec<PathBuf>> = self.named.iter().map(|path| vec![path.clone()]).collect();
        let began = Instant::now();
        while let Ok((at, found)) = receiver.recv_timeout(LIMIT.saturating_sub(began.elapsed())) {
            if !found.is_empty() && self.machine.is_ours() {
                resolved[at] = found;
            }
        }
        resolved.concat()
    }

    /// One thread for each file system that may hang, and one for all others. Whoever hangs is left behind: nothing
    /// can wake a thread that waits for a dead server, and the process ends without it.
    fn ask_all(&self, mounts: &[Mount]) -> Vec<Option<Answer>> {
        let (sender, receiver) = channel();
        let (remote, local): (Vec<usize>, Vec<usize>) =
            (0..mounts.len()).partition(|at| mounts[*at].may_hang());
        let groups = remote.into_iter().map(|at| vec![at]).chain([local]);
        for group in groups {
            let paths = group.into_iter().map(|at| (at, self.machine.path(&mounts[at].point))).collect();
            spawn_asking(paths, sender.clone());
        }
        drop(sender);
        let mut answers: Vec<Option<Answer>> = mounts.iter().map(|_| None).collect();
        let began = Instant::now();
        while let Ok((at, answer)) = receiver.recv_timeout(LIMIT.saturating_sub(began.elapsed())) {
            answers[at] = Some(answer);
        }
        answers
    }

    fn still_silent(&self, mount: &Mount, memory: &DiskMemory, kept: &mut DiskMemory) -> Reading {
        let name = name_of(mount);
        let since = memory.silent.get(&name).copied().unwrap_or(self.now);
        kept.silent.insert(name.clone(), since);
        unresponsive(
            mount,
            &format!("did not answer {} ago; it is asked again after 10min", seconds(self.now - since)),
        )
    }

    fn judge_mount(
        &self,
        mount: &Mount,
        answer: Option<Answer>,
        memory: &DiskMemory,
        kept: &mut DiskMemory,
    ) -> Vec<Reading> {
        let name = name_of(mount);
        let space = match answer {
            None => {
                kept.silent.insert(name, self.now);
                return vec![unresponsive(mount, &format!("no answer within {} s", LIMIT.as_secs()))];
            }
            // Unmounted between the list and the question.
            Some(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Some(Err(e)) => return vec![refused(mount, &e)],
            Some(Ok(space)) => space,
        };
        let limits = self.settings.limits_of(&name);
        let mut readings = vec![judge_space(&name, &space, &limits)];
        readings.extend(judge_inodes(&name, &space, &limits));
        readings.extend(judge_read_only(mount, memory, kept));
        if space.blocks > 0.0 {
            let samples = add_sample(memory.used.get(&name), [self.now, space.used()]);
            readings.extend(judge_slope(&name, &samples, space.available));
            kept.used.insert(name, samples);
        }
        readings
    }
}

/// Where a path leads; of `pg_tblspc` where each tablespace is.
fn resolve_path(path: &Path) -> Vec<PathBuf> {
    if !path.ends_with("pg_tblspc") {
        return std::fs::canonicalize(path).into_iter().collect();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| std::fs::canonicalize(entry.path()).ok()).collect()
}

fn name_of(mount: &Mount) -> String {
    mount.point.to_string_lossy().into_owned()
}

fn spawn_asking(paths: Vec<(usize, PathBuf)>, answers: Sender<(usize, Answer)>) {
    std::thread::spawn(move || {
        for (at, path) in paths {
            if answers.send((at, Space::ask(&path))).is_err() {
                return;
            }
        }
    });
}

fn unresponsive(mount: &Mount, text: &str) -> Reading {
    let text = format!("{text} ({} from {})", mount.kind, mount.source);
    Reading::of_state(&rules::DISK_UNRESPONSIVE, Severity::Critical, text).about(name_of(mount))
}

/// EACCES is ours to mend; everything else, as a stale handle or an I/O error, is the disk's.
fn refused(mount: &Mount, e: &std::io::Error) -> Reading {
    let reading = match e.kind() {
        std::io::ErrorKind::PermissionDenied => Reading::unknown(&rules::DISK, format!("statvfs: {e}"))
            .advise("let this user enter the folders above the mount point, or exclude it"),
        _ => Reading::of_state(&rules::DISK_UNRESPONSIVE, Severity::Critical, format!("statvfs: {e}")),
    };
    reading.about(name_of(mount))
}

/// What statvfs(3) tells, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Space {
    blocks: f64,
    free: f64,
    available: f64,
    files: f64,
    files_free: f64,
}

impl Space {
    fn ask(path: &Path) -> Answer {
        rustix::fs::statvfs(path).map(|found| Space::of_statvfs(&found)).map_err(std::io::Error::from)
    }

    fn of_statvfs(found: &StatVfs) -> Space {
        // In floating point: a file system of more than 2⁶³ bytes must not wrap.
        let bytes = |blocks: u64| blocks as f64 * found.f_frsize as f64;
        Space {
            blocks: bytes(found.f_blocks),
            free: bytes(found.f_bfree),
            available: bytes(found.f_bavail),
            files: found.f_files as f64,
            files_free: found.f_ffree as f64,
        }
    }

    fn used(&self) -> f64 {
        self.blocks - self.free
    }

    /// As df: of what programs can have. What is kept for root is neither used nor free to them.
    fn used_part(&self) -> Option<f64> {
        let all = self.used() + self.available;
        (all > 0.0).then(|| self.used() / all)
    }
}

fn judge_space(name: &str, space: &Space, limits: &DiskThresholds) -> Reading {
    let Some(part) = space.used_part() else {
        return Reading::of_state(&rules::DISK, Severity::Ok, "it has no size").about(name);
    };
    let free = bytes(space.available as u64);
    let measure = Measure::new(part, "ratio").judged_by(limits.limits());
    let text = format!("{} used, {free} free", percent(part));
    let mut reading = Reading::of_measure(&rules::DISK, measure, text).damped_by(&SPACE).about(name);
    let enough = limits.min_free.is_some_and(|least| space.available >= least.0);
    if reading.severity == Severity::Critical && enough {
        // 86 % of ten terabytes leaves more than the administrator asked for.
        reading.severity = Severity::Warning;
        reading.text += ", more than its min_free";
    }
    reading
}

fn judge_inodes(name: &str, space: &Space, limits: &DiskThresholds) -> Option<Reading> {
    // btrfs, NFS and some of FUSE count none.
    if space.files <= 0.0 {
        return None;
    }
    let part = (space.files - space.files_free) / space.files;
    let measure = Measure::new(part, "ratio").judged_by(limits.limits());
    let text = format!("{} of the inodes used, {} free", percent(part), space.files_free);
    Some(Reading::of_measure(&rules::INODES, measure, text).damped_by(&SPACE).about(name))
}

/// ext4 and others turn read-only at an error (`errors=remount-ro`); what was never writable is meant to be so.
fn judge_read_only(mount: &Mount, memory: &DiskMemory, kept: &mut DiskMemory) -> Option<Reading> {
    let name = name_of(mount);
    if !mount.is_read_only() {
        kept.writable.insert(name);
        return None;
    }
    let was_writable = memory.writable.contains(&name);
    let text = "it was writable, and is read-only now";
    was_writable.then(|| Reading::of_state(&rules::DISK_READ_ONLY, Severity::Critical, text).about(name))
}

/// The samples with the new one, where the last is old enough.
fn add_sample(samples: Option<&Vec<[f64; 2]>>, new: [f64; 2]) -> Vec<[f64; 2]> {
    let mut samples = samples.cloned().unwrap_or_default();
    // A clock that was set back leaves samples of the future.
    samples.retain(|[at, _]| *at <= new[0]);
    if samples.last().is_none_or(|[at, _]| new[0] - at >= SAMPLE_EVERY) {
        samples.push(new);
    }
    let excess = samples.len().saturating_sub(SAMPLES);
    samples.split_off(excess)
}

/// When it is full, if it goes on as in the last day.
fn judge_slope(name: &str, samples: &[[f64; 2]], available: f64) -> Option<Reading> {
    let slope = slope_of(samples)?;
    let left = if slope > 0.0 { available / slope } else { f64::INFINITY };
    let severity = match left {
        left if left < FULL.critical => Severity::Critical,
        left if left < FULL.warning => Severity::Warning,
        _ => return None,
    };
    let per_hour = bytes((slope * 3600.0) as u64);
    let text = format!("full in {} if it goes on: {per_hour} more each hour", seconds(left));
    Some(Reading::of_state(&rules::DISK_FILLS, severity, text).about(name))
}

/// Bytes a second, by least squares; none of fewer samples than make a slope.
fn slope_of(samples: &[[f64; 2]]) -> Option<f64> {
    if samples.len() < SLOPE_OF {
        return None;
    }
    let n = samples.len() as f64;
    let mean = |at: usize| samples.iter().map(|s| s[at]).sum::<f64>() / n;
    let (time, used) = (mean(0), mean(1));
    let over: f64 = samples.iter().map(|[t, u]| (t - time) * (u - used)).sum();
    let under: f64 = samples.iter().map(|[t, _]| (t - time).powi(2)).sum();
    (under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Size;

    const GIB: f64 = 1_073_741_824.0;

    fn space(blocks: f64, free: f64, available: f64) -> Space {
        Space { blocks, free, available, files: 1000.0, files_free: 100.0 }
    }

    #[test]
    fn used_is_as_df_counts_it() {
        let limits = DiskThresholds::default();
        for (space, severity, value) in [
            // 30 of 100 used, 50 kept for root: programs can have 20 more.
            (space(100.0, 70.0, 20.0), Severity::Ok, Some(0.60)),
            (space(100.0, 30.0, 30.0), Severity::Warning, Some(0.70)),
            (space(100.0, 15.0, 15.0), Severity::Critical, Some(0.85)),
            (space(100.0, 5.0, 0.0), Severity::Critical, Some(1.0)),
            (space(0.0, 0.0, 0.0), Severity::Ok, None),
            (space(2e19, 1.9e19, 1.9e19), Severity::Ok, Some(0.05)),
        ] {
            let reading = judge_space("/", &space, &limits);
            assert_eq!(reading.severity, severity, "{}", reading.text);
            assert_eq!(reading.measure.map(|m| (m.value * 1e6).round() / 1e6), value, "{space:?}");
        }
        let large = space(10_000.0 * GIB, 1400.0 * GIB, 1400.0 * GIB);
        let min_free = Some(Size(200.0 * GIB));
        let reading = judge_space("/", &large, &DiskThresholds { min_free, ..limits.clone() });
        assert_eq!(reading.severity, Severity::Warning);
        assert_eq!(judge_inodes("/", &large, &limits).map(|r| r.severity), Some(Severity::Critical));
        assert!(judge_inodes("/", &Space { files: 0.0, ..large }, &limits).is_none());
    }

    #[test]
    fn a_day_of_samples_tells_when_it_is_full() {
        let mut samples = Vec::new();
        for n in 0..200_u32 {
            samples = add_sample(Some(&samples), [f64::from(n) * 600.0, f64::from(n) * GIB]);
        }
        assert_eq!(samples.len(), SAMPLES);
        // Six GiB an hour.
        let judged = |available| judge_slope("/", &samples, available).map(|r| r.severity);
        assert_eq!(judged(20.0 * GIB), Some(Severity::Critical));
        assert_eq!(judged(400.0 * GIB), Some(Severity::Warning));
        assert_eq!(judged(500.0 * GIB), None);
        assert!(judge_slope("/", &samples[..5], 1.0).is_none(), "too few");
        let falling: Vec<[f64; 2]> = samples.iter().map(|[t, u]| [*t, -u]).collect();
        assert!(judge_slope("/", &falling, 1.0).is_none());
        assert_eq!(add_sample(Some(&samples), [5.0, 1.0]).len(), 1, "the clock was set back");
    }

    #[test]
    fn only_what_was_writable_is_lost() {
        let mount = |options: &str| Mount {
            point: "/data".into(),
            super_options: options.into(),
            ..Mount::parse_all("1 1 8:1 / /x rw - ext4 /dev/sda rw").remove(0)
        };
        let (mut memory, mut kept) = (DiskMemory::default(), DiskMemory::default());
        assert!(judge_read_only(&mount("ro,noatime"), &memory, &mut kept).is_none());
        assert!(judge_read_only(&mount("rw"), &memory, &mut kept).is_none());
        memory.writable = kept.writable.clone();
        let lost = judge_read_only(&mount("noatime,ro"), &memory, &mut kept).expect("lost");
        assert_eq!(lost.severity, Severity::Critical);
        assert!(kept.writable.contains("/data"), "it stays critical until somebody acts");
    }
}
