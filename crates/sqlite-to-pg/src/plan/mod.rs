//! Makes the plan: what each table, column and object becomes.

pub(crate) mod build;
mod casts;
mod chosen;
pub(crate) mod existing;
pub(crate) mod expressions;
pub(crate) mod file;
pub(crate) mod foreign;
pub(crate) mod keys;
pub(crate) mod replan;
pub(crate) mod show;
pub(crate) mod verb;
