//! One scan of every table: what each column really holds.

pub(crate) mod epoch;
pub(crate) mod judge;
pub(crate) mod scan;
pub(crate) mod tally;
pub(crate) mod wish;
