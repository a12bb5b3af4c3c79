//! Generated documents are fresh, and programs that read them understand them.

use e2e::{bins, root};
use std::process::Command;

#[test]
fn generated_documents_are_fresh() {
    let stale = xtask::docs::stale(&root(), &bins()).expect("the binaries can write them");
    assert!(stale.is_empty(), "stale: {}; run: cargo xtask docs", stale.join(", "));
}

#[test]
fn mandoc_finds_nothing_in_the_manual_pages() {
    for tool in xtask::docs::tools(&root()).expect("crates/") {
        let page = root().join(format!("docs/man/{tool}.1"));
        assert!(page.exists(), "{} is missing; run: cargo xtask docs", page.display());
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&page).output();
        let lint = lint.expect("mandoc is missing; run: cargo xtask setup");
        let said = String::from_utf8_lossy(&lint.stdout);
        assert!(lint.status.success(), "{}:\n{said}", page.display());
    }
}

#[test]
fn bash_loads_the_completions_and_completes_a_verb() {
    let file = root().join("docs/completions/pg-backup.bash");
    assert!(file.exists(), "{} is missing; run: cargo xtask docs", file.display());
    let script = r#"source "$1" && f=$(complete -p pg-backup | sed 's/.*-F \([^ ]*\).*/\1/') &&
        COMP_WORDS=(pg-backup restore-d) COMP_CWORD=1 && "$f" pg-backup restore-d pg-backup;
        echo "${COMPREPLY[@]}""#;
    let out = Command::new("bash").args(["-c", script, "bash"]).arg(&file).output().expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "restore-dump", "{out:?}");
}

/// The page that people read when a script branches on a status names each with the words of the code.
#[test]
fn every_exit_status_is_in_the_page() {
    let page = std::fs::read_to_string(root().join("docs/EXIT-STATUS.md")).expect("docs/EXIT-STATUS.md");
    for line in toban_core::cli::exit_statuses().lines() {
        let (status, meaning) = line.trim().split_once(' ').expect("a status and its meaning");
        let row = format!("| {status} | {} |", meaning.trim());
        assert!(page.contains(&row), "docs/EXIT-STATUS.md lacks {row}; run: cargo xtask docs");
    }
}
