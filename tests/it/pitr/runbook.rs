//! The runbook's own commands, in its order.

use super::lab::{Lab, rows};
use e2e::root;
use testkit::Pg;

/// The lines typed in the `console` blocks of a page.
fn typed(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).expect("the page");
    let blocks = text.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter_map(|l| l.strip_prefix("$ ")).map(String::from).collect()
}

#[test]
fn restore_to_a_moment() {
    let lab = Lab::new(15);
    lab.back_up();
    let wanted = lab.row();
    lab.row();
    lab.pg.ship_wal();
    let lines = typed("docs/runbooks/restore-to-a-point-in-time.md");
    let restores: Vec<&String> = lines.iter().filter(|l| l.contains("pg-backup restore")).collect();
    assert!(restores.len() >= 4, "{lines:?}");
    for line in &lines {
        let words = words(line, &lab, &wanted);
        let args: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some((tool @ ("pg-backup" | "wal-shipper"), rest)) = args.split_first().map(|(t, r)| (*t, r))
        else {
            continue;
        };
        let _ = std::fs::remove_dir_all(lab.path("main"));
        let ran = lab.run(tool, rest);
        assert!(matches!(ran.status, Some(0 | 4)), "{line}: {ran:?}");
        let promotes = rest[0] == "restore" && !rest.contains(&"--dry-run") && !rest.contains(&"pause");
        if promotes {
            let pg = Pg::promoted(15, &lab.path("main"));
            assert_eq!(rows(&pg), expected(rest, wanted.rows), "{line}");
        }
    }
}

/// The rows that a restore brings back, of one more than `wanted`.
fn expected(args: &[&str], wanted: i32) -> i32 {
    match () {
        () if args.contains(&"latest") => wanted + 1,
        () if args.contains(&"--target-exclusive") => wanted - 1,
        () => wanted,
    }
}

/// The line with this machine's folder, and a moment that there is.
fn words(line: &str, lab: &Lab, at: &super::lab::Moment) -> Vec<String> {
    let mut words: Vec<String> = line.split_whitespace().map(String::from).collect();
    for i in 1..words.len() {
        match words[i - 1].as_str() {
            "-D" | "--pgdata" => words[i] = lab.path("main").display().to_string(),
            "--target-time" => words[i].clone_from(&at.time),
            "--target-lsn" => words[i].clone_from(&at.lsn),
            "--target-xid" => words[i].clone_from(&at.xid),
            "--target-name" => words[i] = at.name.clone(),
            "--db" => words[i] = lab.pg.url(),
            _ => {}
        }
    }
    words
}
