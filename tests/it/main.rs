//! The tests of package `e2e`.

mod debian;
mod documents;
mod examples;
mod first_hour;
mod notify_failure;
mod old_repository;
mod pitr;
mod tree;
mod units;
