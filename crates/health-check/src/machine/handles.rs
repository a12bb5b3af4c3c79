//! File handles of the whole machine.

use super::Machine;
use crate::damping::MEMORY;
use crate::reading::{Limits, Measure, Reading, percent};
use crate::rules;

/// What is allocated of what may be; newer kernels allow 2⁶³ − 1, and then nothing fills.
pub(crate) fn check_handles(machine: &Machine, limits: Limits) -> Reading {
    let text = match machine.read_text("/proc/sys/fs/file-nr") {
        Ok(text) => text,
        Err(e) => return Reading::unknown(&rules::FILE_HANDLES, e.chain()),
    };
    let numbers: Vec<f64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [used, _, most] = numbers[..] else {
        return Reading::unknown(&rules::FILE_HANDLES, "/proc/sys/fs/file-nr does not hold three numbers");
    };
    let part = if most > 0.0 { used / most } else { 0.0 };
    let measure = Measure::new(part, "ratio").judged_by(limits);
    let text = format!("{used} open, {} of fs.file-max", percent(part));
    Reading::of_measure(&rules::FILE_HANDLES, measure, text).damped_by(&MEMORY)
}
