//! Services that answer over a socket or by their unit: each family a file.

pub(crate) mod brokers;
pub(crate) mod endpoint;
pub(crate) mod pgbouncer;
pub(crate) mod redis;
pub(crate) mod traffic;
pub(crate) mod units;
