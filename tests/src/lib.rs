//! Tests of several binaries together, of the units and of the documents; see `it/`.

use std::path::PathBuf;

/// The repository's folder.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_path_buf()
}

/// The folder of the binaries that were built with the running test.
///
/// # Panics
/// When they were not: a test of this package alone does not build them.
pub fn bins() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test.ancestors().nth(2).expect("target/debug/deps/test").to_path_buf();
    for tool in [
        "cert-checker",
        "health-check",
        "host-audit",
        "json-to-pg",
        "pg-backup",
        "pg-drill",
        "sqlite-to-pg",
        "user-audit",
        "wal-shipper",
    ] {
        let path = folder.join(tool);
        assert!(path.exists(), "{} is missing; run: cargo build --package {tool}", path.display());
    }
    folder
}
