//! How many workers: one place that asks the machine.

/// As many as were asked for, else one for each core, at most 64.
pub(crate) fn workers(asked: Option<u32>) -> u32 {
    let cores = || u32::try_from(toban_core::machine::cores()).unwrap_or(64);
    asked.unwrap_or_else(|| cores().min(64))
}
