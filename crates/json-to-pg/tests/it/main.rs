//! The real binary between JSON files and real servers; rows are judged by psql.

mod app;
mod back;
mod existing;
mod faults;
mod files;
mod fresh;
mod kill;
mod memory;
mod questions;
mod undo;
mod world;
