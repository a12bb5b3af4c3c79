//! What encryption adds: our tool with a key beside itself without one.

use super::dump::Row;
use crate::scratch::Scratch;
use crate::sh::{self, Result};

/// The flag of whoever writes, in the scratch folder.
pub(super) const RECIPIENTS: &str = "--recipients-file recipients";
/// The flag of whoever reads.
pub(super) const IDENTITY: &str = "--identity identity";

/// Makes an identity and its recipient.
pub(super) fn make_key(scratch: &Scratch) -> Result<()> {
    sh::quietly(
        &mut scratch.shell("age-keygen -o identity 2>/dev/null && age-keygen -y identity > recipients"),
    )
}

/// A sentence with the ratios of the two rows.
pub(super) fn compare(rows: &[Row], plain: &str, encrypted: &str) -> String {
    let of = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.cost).unwrap_or_default();
    let (plain, encrypted) = (of(plain), of(encrypted));
    format!(
        "Encrypted to plain: {:.2} times the wall clock, {:.2} times the processor time.",
        encrypted.wall / plain.wall,
        encrypted.cpu / plain.cpu
    )
}
