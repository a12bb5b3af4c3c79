//! Rows: read on both sides in one form, summed up by ranges, and located where the sums differ; a sample is compared a
//! second way.

pub(crate) mod cross_check;
mod differing;
pub(crate) mod locate;
pub(crate) mod scan;
pub(crate) mod sums;
mod wire;
