//! What all records of a file hold: each path with its types, counts and forms. Pure, but for the reading.

pub(crate) mod forms;
pub(crate) mod identity;
pub(crate) mod paths;
pub(crate) mod scan;
pub(crate) mod secrets;
pub(crate) mod stats;
