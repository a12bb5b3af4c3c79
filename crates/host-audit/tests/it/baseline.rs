//! The accepted baseline: what is new, changed and gone, who may accept what, and what is never accepted.

use crate::world::{AT, FileHost, FileProcess};

const BY: [&str; 4] = ["--reviewer", "A. Mo", "--ticket", "SEC-2"];

type Change = fn(&FileHost);

/// One change each, and the one line that tells it.
const CHANGES: [(&str, Change, &str); 17] = [
    ("a port opens", |h| open_port(h, "00000000", 8080), "new sockets/tcp/8080 critical"),
    ("a loopback port opens", |h| open_port(h, "0100007F", 8080), "new sockets/tcp/8080 warning"),
    (
        "a port opens wider",
        |h| h.replace("proc/net/tcp", "0100007F:1538", "00000000:1538"),
        "changed sockets/tcp/5432 critical",
    ),
    (
        "a port opens less",
        |h| {
            h.replace("proc/net/tcp", "00000000:0016", "0100007F:0016");
            h.write("proc/net/tcp6", "");
            h.remove("proc/net/tcp6");
        },
        "changed sockets/tcp/22 ok",
    ),
    (
        "a port closes",
        |h| h.replace("proc/net/tcp", "0100007F:1538 00000000:0000 0A", "0100007F:1538 00000000:0000 06"),
        "gone sockets/tcp/5432 warning",
    ),
    (
        "another program has the port",
        |h| {
            h.remove("proc/800/exe");
            std::os::unix::fs::symlink("/usr/bin/node", h.path("proc/800/exe")).expect("link");
        },
        "changed sockets/tcp/5432 warning",
    ),
    (
        "a process without a package",
        |h| h.add_process(&FileProcess { exe: "/opt/x/agent", ..FileProcess::default() }),
        "new processes/root:/opt/x/agent@x.service critical",
    ),
    (
        "an account",
        |h| h.append("etc/passwd", "bert:x:1001:1001::/home/bert:/bin/bash\n"),
        "new accounts/account/bert critical",
    ),
    (
        "an account is gone",
        |h| h.replace("etc/passwd", "sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n", ""),
        "gone accounts/account/sshd warning",
    ),
    (
        "a member of sudo",
        |h| h.replace("etc/group", "sudo:x:27:anna", "sudo:x:27:anna,postgres"),
        "new accounts/group/sudo/postgres critical",
    ),
    (
        "a rule of sudo",
        |h| h.write("etc/sudoers.d/x", "postgres ALL=(ALL) /usr/bin/id\n"),
        "new root/rule/postgres ALL=(ALL) /usr/bin/id critical",
    ),
    (
        "somebody else becomes root",
        |h| h.write_logs(&["2026-11-30T12:00:00+00:00 db1 su: (to root) postgres on pts/1".into()]),
        "new root/use/postgres/root/a shell warning",
    ),
    (
        "a login from another network",
        |h| {
            h.write_logs(&["2026-11-30T12:00:00+00:00 db1 sshd[1]: Accepted publickey for anna from 198.51.100.7 port 1 ssh2".into()]);
        },
        "new logins/anna/198.51.100.0-24 warning",
    ),
    (
        "a setuid file of nobody",
        |h| {
            h.write("usr/bin/x", "x");
            h.set_mode("usr/bin/x", 0o4755);
        },
        "new privileged/usr/bin/x critical",
    ),
    (
        "a kernel setting",
        |h| h.write("proc/sys/net/ipv4/ip_forward", "1\n"),
        "changed kernel/net.ipv4.ip_forward warning",
    ),
    (
        "a setting of sshd",
        |h| h.append("programs/sshd-T", "x11forwarding yes\n"),
        "new sshd/all/x11forwarding warning",
    ),
    ("two rules change places", |h| swap_rules(h), "changed firewall/chain/inet/filter/input warning"),
];

fn open_port(host: &FileHost, address: &str, port: u16) {
    host.append("proc/net/tcp", &format!("   9: {address}:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 9999 1 0\n"));
}

fn swap_rules(host: &FileHost) {
    let text = std::fs::read_to_string(host.path("programs/nft-ruleset.json")).expect("read");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(3, 4);
    host.write("programs/nft-ruleset.json", &lines.join("\n"));
}

#[test]
fn each_change_is_one_line() {
    for (name, change, line) in CHANGES {
        let host = FileHost::new();
        host.accept_all();
        change(&host);
        let run = host.run();
        // What reaches a new port is a fact of the firewall too.
        let told: Vec<String> =
            run.changes().into_iter().filter(|t| !t.contains(" firewall/port/")).collect();
        assert_eq!(told, [line], "{name}: {}", run.text);
        // Accepting exactly it ends it.
        let key = line.split(' ').skip(1).collect::<Vec<_>>().join(" ");
        let key = key.rsplit_once(' ').expect("a severity").0;
        let accepted = host.tool(&[&["accept", "--only", key][..], &BY].concat());
        assert_eq!(accepted.status, 0, "{name}: {}", accepted.errors);
        let rest: Vec<String> =
            host.run().changes().into_iter().filter(|t| !t.contains(" firewall/port/")).collect();
        assert!(rest.is_empty(), "{name}: {rest:?}");
    }
}

#[test]
fn a_change_says_since_when_and_what_to_do_and_comes_first() {
    let host = FileHost::new();
    host.accept_all();
    host.write("proc/sys/kernel/randomize_va_space", "0\n");
    open_port(&host, "0100007F", 8080);
    host.tool_at(&["run", "--json"], AT);
    let later = host.tool_at(&["run", "--json"], "2026-12-02T06:30:00Z");
    let (first, second) = (&later.lines[0], &later.lines[1]);
    assert_eq!((&first["check"], &second["check"]), (&"change".into(), &"change".into()), "{}", later.text);
    for line in [first, second] {
        assert_eq!(line["since"], "2026-12-01T06:30:00Z", "{line}");
        assert!(line["advice"].as_str().is_some_and(|a| a.contains("host-audit accept")), "{line}");
    }
    let severities: Vec<&str> = later.lines.iter().filter_map(|l| l["severity"].as_str()).collect();
    let standing = severities.iter().skip(2).position(|s| *s == "warning");
    assert!(standing.is_some(), "the weak setting stands as well: {}", later.text);
}

#[test]
fn what_was_not_seen_is_never_accepted_and_never_gone() {
    let host = FileHost::new();
    host.accept_all();
    let baseline = std::fs::read_to_string(host.state().join("baseline.json")).expect("a baseline");
    host.remove("programs/nft-ruleset.json");
    let run = host.run();
    assert_eq!(run.changes(), Vec::<String>::new(), "{}", run.text);
    assert!(
        run.told().iter().any(|t| t.starts_with("not-seen firewall/") && t.ends_with("unknown")),
        "{}",
        run.text
    );
    let accepted = host.tool(&[&["accept", "--all", "--json"][..], &BY].concat());
    assert_eq!(accepted.status, 3, "{}{}", accepted.text, accepted.errors);
    assert!(accepted.text.contains("not seen, because"), "{}", accepted.text);
    let after = std::fs::read_to_string(host.state().join("baseline.json")).expect("a baseline");
    let firewall = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text).expect("json")["facts"]["firewall"].clone()
    };
    assert_eq!(firewall(&after), firewall(&baseline));

    let fresh = FileHost::new();
    fresh.remove("programs/nft-ruleset.json");
    fresh.tool(&["run"]);
    fresh.tool(&[&["accept", "--all"][..], &BY].concat());
    let text = std::fs::read_to_string(fresh.state().join("baseline.json")).expect("a baseline");
    assert!(
        serde_json::from_str::<serde_json::Value>(&text).expect("json")["reviewed"]["firewall"].is_null(),
        "{text}"
    );
}

#[test]
fn a_baseline_of_another_machine_or_a_damaged_one_is_never_written_over() {
    for spoil in [
        (|text: String| text.replace("0123456789abcdef0123456789abcdef", "other")) as fn(String) -> String,
        |text| text[..text.len() / 2].to_string(),
        |text| text.replace("host-audit.baseline/1", "host-audit.baseline/2"),
    ] {
        let host = FileHost::new();
        host.accept_all();
        let path = host.state().join("baseline.json");
        let spoilt = spoil(std::fs::read_to_string(&path).expect("a baseline"));
        std::fs::write(&path, &spoilt).expect("write");
        let run = host.run();
        assert!(run.told().contains(&"baseline host unknown".to_string()), "{}", run.text);
        let accepted = host.tool(&[&["accept", "--all"][..], &BY].concat());
        assert_eq!(accepted.status, 5, "{}", accepted.errors);
        assert_eq!(std::fs::read_to_string(&path).expect("a baseline"), spoilt);
    }
}

#[test]
fn a_second_run_waits_for_nobody() {
    let host = FileHost::new();
    std::fs::create_dir_all(host.state()).expect("mkdir");
    let file = std::fs::File::create(host.state().join("lock")).expect("a lock");
    file.lock().expect("taken");
    let run = host.run();
    assert_eq!(run.status, 75, "{}", run.errors);
}

#[test]
fn nothing_is_accepted_that_nobody_named() {
    let host = FileHost::new();
    host.tool(&["run"]);
    for args in
        [&["accept"][..], &["accept", "--all", "--only", "x"], &["accept", "--only", "sockets/tcp/4711"]]
    {
        let done = host.tool(&[args, &BY].concat());
        assert_eq!(done.status, 2, "{args:?}: {}", done.errors);
    }
    let dry = host.tool(&[&["accept", "--all", "-n"][..], &BY].concat());
    assert!(dry.status == 0 && !host.state().join("baseline.json").exists(), "{}", dry.errors);
}

#[test]
fn what_comes_and_goes_is_told_as_such() {
    let host = FileHost::new();
    host.accept_all();
    let before = std::fs::read_to_string(host.path("proc/net/tcp")).expect("read");
    for _ in 0..3 {
        open_port(&host, "0100007F", 8080);
        host.run();
        host.write("proc/net/tcp", &before);
        host.run();
    }
    open_port(&host, "0100007F", 8080);
    let run = host.run();
    assert!(run.text.contains("it came 4 times and went again"), "{}", run.text);
}
