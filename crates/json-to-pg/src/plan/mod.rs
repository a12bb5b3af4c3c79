//! The verb `plan`: from the census and the catalogue to fates and questions.

pub(crate) mod across;
pub(crate) mod existing;
pub(crate) mod file;
pub(crate) mod findings;
pub(crate) mod infer;
pub(crate) mod misfits;
pub(crate) mod new_tables;
pub(crate) mod show;
pub(crate) mod verb;
