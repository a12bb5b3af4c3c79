//! The real binary: on fixtures of /proc and /sys, between real servers.

mod machine;
mod postgres;
mod services;
mod world;
