//! Where the servers and programs lie that tests, demo and benchmarks use.

use std::path::{Path, PathBuf};

/// Debian's PostgreSQL packages, one folder for each major.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The folder that `setup` fills: `$TOBAN_TOOLS`, else /var/tmp/toban-tools, which the user postgres can read too.
pub fn dir() -> PathBuf {
    std::env::var_os("TOBAN_TOOLS").map_or_else(|| PathBuf::from("/var/tmp/toban-tools"), PathBuf::from)
}

/// PostgreSQL's programs of one major: Debian's package, else ours from `setup`.
pub fn postgres(major: u32) -> Option<PathBuf> {
    let debian = Path::new(DEBIAN).join(major.to_string()).join("bin");
    let ours = dir().join(format!("pg{major}/bin"));
    [debian, ours].into_iter().find(|bin| is_server(bin))
}

/// PostgreSQL's programs for demo and benchmarks: 15, which everybody has after `setup`, else any that is here.
pub fn any_postgres() -> Option<PathBuf> {
    [15, 16, 17, 18, 14].into_iter().find_map(postgres)
}

fn is_server(bin: &Path) -> bool {
    ["initdb", "postgres", "pg_dump", "psql"].iter().all(|name| bin.join(name).is_file())
}
