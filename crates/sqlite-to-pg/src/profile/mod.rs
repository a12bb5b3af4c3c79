//! One scan of every table: what each column really holds, and the type that follows from it.

pub(crate) mod declared_type;
pub(crate) mod epoch;
pub(crate) mod first_load;
pub(crate) mod infer;
pub(crate) mod scan;
pub(crate) mod stats;
