//! Evidence packs: whole or not there, checked by sha256sum, in two languages, without secrets.

use crate::world::{FileHost, FileProcess, HostRun};
use std::path::PathBuf;
use std::process::Command;

fn make_pack(host: &FileHost, args: &[&str]) -> (HostRun, PathBuf) {
    let packs = host.dir.path().join("packs");
    let packs_text = packs.display().to_string();
    let run = host.tool(&[&["run", "--json", "--pack", &packs_text][..], args].concat());
    (run, packs.join("20261201T063000Z-host"))
}

#[test]
fn one_changed_bit_is_found_and_named() {
    let host = FileHost::new();
    let (run, pack) = make_pack(&host, &[]);
    assert!(pack.is_dir(), "{}", run.errors);
    let judged = Command::new("sha256sum")
        .args(["-c", "--quiet", "SHA256SUMS"])
        .current_dir(&pack)
        .status()
        .expect("sha256sum");
    assert!(judged.success());
    let path = pack.display().to_string();
    assert_eq!(host.tool(&["verify", &path]).status, 0);
    let accepted = host.tool(&["accept", &path, "--all", "--reviewer", "A. Mo", "--ticket", "SEC-3"]);
    assert_eq!(accepted.status, 0, "{}", accepted.errors);
    assert_eq!(host.run().changes(), Vec::<String>::new());
    for file in ["facts.json", "findings.csv", "report.html", "program.nft-ruleset.json"] {
        let whole = std::fs::read(pack.join(file)).expect("read");
        let mut bad = whole.clone();
        bad[whole.len() / 2] ^= 1;
        std::fs::write(pack.join(file), &bad).expect("write");
        let verified = host.tool(&["verify", &path]);
        assert!(verified.status == 5 && verified.errors.contains(file), "{file}: {}", verified.errors);
        assert_eq!(
            host.tool(&["accept", &path, "--all", "--reviewer", "A", "--ticket", "T"]).status,
            5,
            "{file}"
        );
        std::fs::write(pack.join(file), whole).expect("write");
    }
}

#[test]
fn both_languages_have_the_same_findings() {
    let ids = |run: &HostRun| -> Vec<String> {
        run.lines.iter().map(|l| format!("{} {} {}", l["id"], l["key"], l["severity"])).collect()
    };
    let (host, other) = (FileHost::new(), FileHost::new());
    let english = host.tool(&["run", "--json"]);
    let (japanese, pack) = make_pack(&other, &["--lang", "ja"]);
    assert_eq!(ids(&english), ids(&japanese));
    let page = std::fs::read_to_string(pack.join("report.html")).expect("a page");
    assert!(
        page.contains("lang=\"ja\"")
            && page.contains("待ち受けソケット")
            && page.contains("まだ誰も承認していない")
    );
    assert!(
        japanese.text.contains("host-audit list で確認") || japanese.text.contains("host-audit accept"),
        "{}",
        japanese.text
    );
}

#[test]
fn secrets_of_the_host_are_in_no_output() {
    const CANARY: &str = "c4n4ry-s3cr3t";
    let host = FileHost::new();
    host.add_process(&FileProcess {
        exe: "/opt/x",
        arguments: &format!("x\0--password={CANARY}\0"),
        ..FileProcess::default()
    });
    host.write("proc/5000/environ", &format!("TOKEN={CANARY}\0"));
    host.write_logs(&[format!(
        "2026-11-30T12:00:00+00:00 db1 sudo: anna : PWD=/ ; USER=root ; COMMAND=/usr/bin/mysql -p{CANARY}"
    )]);
    host.replace("etc/shadow", "$y$j9T$abc", &format!("$y$j9T${CANARY}"));
    host.write("root/.pgpass", &format!("db:5432:app:app:{CANARY}\n"));
    let (run, _) = make_pack(&host, &[]);
    assert!(!run.text.contains(CANARY) && !run.errors.contains(CANARY));
    for folder in ["packs", "state", "records"] {
        for file in crate::world::list_below(&host.dir.path().join(folder)) {
            let text = String::from_utf8_lossy(&std::fs::read(&file).expect("read")).into_owned();
            assert!(!text.contains(CANARY), "{}", file.display());
        }
    }
}

#[test]
fn each_subject_has_one_of_four_words() {
    let host = FileHost::new();
    host.remove("programs/nft-ruleset.json");
    std::fs::remove_dir_all(host.path("run/systemd")).expect("remove");
    let (_, pack) = make_pack(&host, &[]);
    let run: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(pack.join("run.json")).expect("read")).expect("json");
    let words = &run["subjects"];
    assert_eq!(words.as_object().map(serde_json::Map::len), Some(12), "{words}");
    for (subject, word) in
        [("firewall", "not seen"), ("units", "not applicable"), ("files", "passed"), ("sockets", "finding")]
    {
        assert_eq!(words[subject], word, "{words}");
    }
}
