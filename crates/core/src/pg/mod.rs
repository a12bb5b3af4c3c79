//! Connections to PostgreSQL, after libpq's conventions.
pub mod conninfo;
pub mod ident;
pub mod programs;

pub use conninfo::ConnInfo;
pub use ident::{Ident, literal};
