//! Values of SQLite as PostgreSQL must hold them, in one spelling for each. Shares nothing with the code that loads.

pub(crate) mod array;
pub(crate) mod convert;
pub(crate) mod decimal;
mod interval;
pub(crate) mod json;
mod time;
