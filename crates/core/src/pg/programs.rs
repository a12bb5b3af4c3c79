//! PostgreSQL's own programs on this machine.
use crate::error::Result;
use std::path::{Path, PathBuf};

/// The path of `name` (pg_dump, psql …) of major `major`, else the nearest newer one.
pub fn find(_name: &str, _major: u32, _bin_dir: Option<&Path>) -> Result<PathBuf> {
    unimplemented!()
}
