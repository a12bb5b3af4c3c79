//! What every move to PostgreSQL needs, whatever it comes from: the form of values on the wire and why one has none, names,
//! sessions, what the catalogue says of tables. It knows no source and no plan.

pub mod catalog;
pub mod copy;
pub mod invalid;
pub mod names;
pub mod number;
pub mod pool;
pub mod sequences;
pub mod session;
pub mod sql;
pub mod text;
pub mod timestamp;
pub mod types;
