//! From records to PostgreSQL's rows.

pub(crate) mod copy;
pub(crate) mod encode;
pub(crate) mod lookup;
pub(crate) mod misfit;
pub(crate) mod order;
pub(crate) mod repeats;
pub(crate) mod rows;
pub(crate) mod whole;
