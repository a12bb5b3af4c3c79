//! The tool from outside: the real binary, other programs as judges.

mod catalogue;
mod daemons;
#[expect(dead_code, reason = "shared with the tests of paths, which use all of it")]
#[path = "../../../pkix/tests/path/der.rs"]
mod der;
mod dns;
mod files;
mod handshakes;
mod hostile;
mod memory;
mod mint;
mod mounts;
mod odd;
mod old;
#[expect(dead_code, reason = "shared with the tests of paths, which use all of it")]
#[path = "../../../pkix/tests/path/pki.rs"]
mod pki;
mod plain;
mod polite;
mod revoked;
mod runs;
mod server;
#[expect(dead_code, reason = "shared with the tests of paths, which use all of it")]
#[path = "../../../pkix/tests/path/signers.rs"]
mod signers;
mod staples;
mod transport;
mod verify;
mod world;

/// Every test that the catalogue names is there.
#[test]
fn catalogue_is_whole() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    let mut folders =
        ["tests", "src", "../pkix/tests", "../pkix/src"].map(|folder| here.join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|e| e == "rs") => {
                    sources += &std::fs::read_to_string(path).expect("a source");
                }
                _ => {}
            }
        }
    }
    let list = std::fs::read_to_string(here.join("tests/CATALOGUE.md")).expect("the catalogue");
    let rows = list.lines().skip_while(|l| !l.starts_with("| ---")).skip(1);
    let mut named = 0;
    for row in rows {
        let tests: Vec<&str> =
            row.rsplit('|').nth(1).expect("three cells").split('`').skip(1).step_by(2).collect();
        named += tests.len();
        for test in tests {
            let there = test.starts_with("--") || sources.contains(&format!("fn {test}()"));
            assert!(there, "no test {test}: {row}");
        }
    }
    assert!(named > 80, "{named}");
}
