//! Faults, each planted on a quiet host and found there; none of them is on the host without it.

use crate::world::{FileHost, FileProcess};
use std::os::unix::fs::symlink;

type Plant = fn(&FileHost);

const FAULTS: [(Plant, &str); 44] = [
    (
        |h| h.replace("proc/net/tcp", "0100007F:1538", "00000000:1538"),
        "exposed-service sockets/tcp/5432 warning",
    ),
    (
        |h| h.write("programs/nft-ruleset.json", r#"{"nftables":[{"metainfo":{"json_schema_version":1}}]}"#),
        "no-filter firewall/input critical",
    ),
    (
        |h| h.replace("programs/nft-ruleset.json", "\"policy\":\"drop\"", "\"policy\":\"accept\""),
        "no-filter firewall/input critical",
    ),
    (
        |h| {
            h.write(
                "programs/nft-ruleset.json",
                &std::fs::read_to_string(h.path("programs/nft-ruleset.json"))
                    .expect("read")
                    .replace("\"inet\"", "\"ip\""),
            );
        },
        "ipv6-unfiltered firewall/input critical",
    ),
    (
        |h| h.write("programs/nft-ruleset.json", r#"{"nftables":[{"metainfo":{"json_schema_version":2}}]}"#),
        "not-seen firewall/nftables unknown",
    ),
    (
        |h| {
            h.replace(
                "programs/nft-ruleset.json",
                r#"{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":22}}"#,
                r#"{"vmap":{"key":{"payload":{"protocol":"tcp","field":"dport"}},"data":"@m"}}"#,
            );
        },
        "port-not-judged firewall/port/tcp/22 unknown",
    ),
    (
        |h| {
            h.write("proc/net/ip_tables_names", "filter\n");
            h.write(
                "programs/iptables-legacy-save",
                "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 6000 -j ACCEPT\nCOMMIT\n",
            );
        },
        "two-stacks firewall/stacks warning",
    ),
    (|h| h.write("etc/ufw/ufw.conf", "ENABLED=yes\n"), "ufw-not-loaded firewall/ufw critical"),
    (
        |h| {
            h.replace("programs/nft-ruleset.json", "\n{\"rule\"", "\n{\"chain\":{\"family\":\"ip\",\"table\":\"n\",\"name\":\"pre\",\"type\":\"nat\",\"hook\":\"prerouting\",\"prio\":-100,\"policy\":\"accept\"}},{\"rule\":{\"family\":\"ip\",\"table\":\"n\",\"chain\":\"pre\",\"expr\":[{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"tcp\",\"field\":\"dport\"}},\"right\":9000}},{\"dnat\":{\"addr\":\"172.17.0.2\",\"port\":80}}]}},\n{\"rule\"");
        },
        "published-past-firewall firewall/published/tcp/9000 warning",
    ),
    (
        |h| h.add_process(&FileProcess { exe: "/usr/bin/gone (deleted)", ..FileProcess::default() }),
        "deleted-program processes//usr/bin/gone critical",
    ),
    (
        |h| h.add_process(&FileProcess { exe: "/memfd:x (deleted)", ..FileProcess::default() }),
        "program-in-memory processes/[x] critical",
    ),
    (
        |h| h.add_process(&FileProcess { exe: "/tmp/x", ..FileProcess::default() }),
        "program-in-tmp processes//tmp/x critical",
    ),
    (
        |h| {
            h.add_process(&FileProcess {
                exe: "/usr/bin/node",
                arguments: "node\0/tmp/x.js\0",
                ..FileProcess::default()
            });
        },
        "program-in-tmp processes//tmp/x.js critical",
    ),
    (
        |h| {
            h.add_process(&FileProcess {
                exe: "/usr/bin/node",
                arguments: "[kworker/0:1]\0",
                ..FileProcess::default()
            });
        },
        "false-kernel-thread processes//usr/bin/node critical",
    ),
    (
        |h| h.add_process(&FileProcess { exe: "/usr/bin/node", uid: 4711, ..FileProcess::default() }),
        "unknown-user processes//usr/bin/node critical",
    ),
    (|h| h.append("etc/passwd", "toor:x:0:0::/root:/bin/sh\n"), "second-root accounts/account/toor critical"),
    (
        |h| h.append("etc/passwd", "bert:x:1000:1000::/home/bert:/bin/sh\n"),
        "duplicate-uid accounts/account/bert warning",
    ),
    (
        |h| h.replace("etc/shadow", "anna:$y$j9T$abc", "anna:"),
        "empty-password accounts/account/anna critical",
    ),
    (|h| h.replace("etc/shadow", "anna:$y$", "anna:$1$"), "old-password-hash accounts/account/anna warning"),
    (
        |h| h.replace("etc/shadow", "postgres:!", "postgres:$y$x"),
        "service-login accounts/account/postgres warning",
    ),
    (
        |h| {
            h.write("etc/sudoers.d/x", "anna ALL=(ALL) NOPASSWD: ALL\n");
            h.set_mode("etc/sudoers.d/x", 0o440);
        },
        "sudo-without-password root/rule/anna ALL=(ALL) NOPASSWD: ALL warning",
    ),
    (|h| h.write("var/log/wtmp", &"x".repeat(374)), "damaged-records logins//var/log/wtmp warning"),
    (
        |h| h.replace("programs/sshd-T", "permitrootlogin no", "permitrootlogin yes"),
        "sshd-root-login sshd/all/permitrootlogin critical",
    ),
    (
        |h| h.replace("programs/sshd-T", "passwordauthentication no", "passwordauthentication yes"),
        "sshd-passwords sshd/all/passwordauthentication warning",
    ),
    (
        |h| h.replace("programs/sshd-T", "permitemptypasswords no", "permitemptypasswords yes"),
        "sshd-empty-passwords sshd/all/permitemptypasswords critical",
    ),
    (
        |h| h.append("programs/sshd-T", "macs hmac-md5,hmac-sha2-512\n"),
        "sshd-weak-crypto sshd/all/macs warning",
    ),
    (
        |h| h.write("programs/sshd-T", "/etc/ssh/sshd_config: line 3: Bad configuration option: Prot\n"),
        "sshd-cannot-restart sshd//etc/ssh/sshd_config critical",
    ),
    (|h| h.set_mode("etc/shadow", 0o644), "file-open files//etc/shadow critical"),
    (|h| h.set_mode("etc/sudoers.d", 0o777), "parent-open files//etc/sudoers.d/README critical"),
    (
        |h| {
            std::fs::rename(h.path("etc/shadow"), h.path("etc/s")).expect("rename");
            symlink("/etc/s", h.path("etc/shadow")).expect("link");
        },
        "file-link files//etc/shadow warning",
    ),
    (
        |h| std::fs::hard_link(h.path("etc/shadow"), h.path("etc/s")).expect("link"),
        "file-hard-link files//etc/shadow warning",
    ),
    (
        |h| h.write("proc/sys/kernel/randomize_va_space", "0\n"),
        "kernel-setting kernel/kernel.randomize_va_space warning",
    ),
    (
        |h| {
            h.write(
                "programs/apt-upgrade",
                "Inst libssl3 [3.0.15] (3.0.17 Debian-Security:12/stable-security [amd64])\n",
            );
        },
        "security-updates updates/security warning",
    ),
    (|h| h.touch("var/lib/apt/periodic/update-success-stamp", 4 * 86400), "lists-old updates/lists warning"),
    (
        |h| h.touch("var/lib/apt/periodic/update-success-stamp", 20 * 86400),
        "not-seen updates/pending updates unknown",
    ),
    (
        |h| {
            h.append(
                "var/lib/dpkg/status",
                "Package: linux-image-6.1.0-40-amd64\nStatus: install ok installed\nVersion: 6.1.153-1\n\n",
            );
        },
        "reboot-pending updates/reboot warning",
    ),
    (|h| h.write("etc/os-release", "ID=debian\nVERSION_ID=\"11\"\n"), "end-of-life updates/release critical"),
    (
        |h| h.write("programs/apt-held", "linux-image-amd64\n"),
        "held-package updates/held/linux-image-amd64 warning",
    ),
    (
        |h| h.write("programs/dpkg-audit", "The following packages are only half configured:\n x\n"),
        "packages-broken updates/dpkg critical",
    ),
    (|h| h.write("run/reboot-required", ""), "reboot-pending updates/reboot warning"),
    (
        |h| {
            h.remove("var/log/auth.log");
            h.write("var/log/wtmp", "");
        },
        "not-seen logins/logins unknown",
    ),
    (
        |h| {
            h.write("var/lib/dpkg/info/unattended-upgrades.list", "/usr/bin/unattended-upgrade\n");
            h.write(
                "programs/apt-config",
                "APT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"0\";\n",
            );
        },
        "unattended-off updates/unattended warning",
    ),
    (|h| h.write("usr/sbin/dropbear", ""), "not-seen sshd/dropbear unknown"),
    (
        |h| h.write("programs/systemctl-failed", "nginx.service loaded failed failed A web server\n"),
        "failed-unit units/nginx.service warning",
    ),
];

#[test]
fn every_fault_is_found_and_no_other_is_told() {
    for (plant, line) in FAULTS {
        let host = FileHost::new();
        plant(&host);
        let run = host.run();
        let told: Vec<String> = run.told().into_iter().filter(|t| !t.starts_with("not-reviewed ")).collect();
        assert!(told.contains(&line.to_string()), "{line}: {told:?}\n{}", run.errors);
        let id = |t: &String| t.split(' ').next().map(String::from);
        let others: Vec<&String> = told.iter().filter(|t| id(t) != id(&line.to_string())).collect();
        // A damaged file of the whole host hides others, and /root of two accounts is judged for both.
        let together =
            ["not-seen", "damaged-records", "published-past-firewall", "ipv6-unfiltered", "no-filter"];
        assert!(others.is_empty() || together.iter().any(|t| line.starts_with(t)), "{line}: also {others:?}");
    }
}

#[test]
fn a_password_that_was_guessed_is_an_alarm_until_somebody_accepts_it() {
    let host = FileHost::new();
    host.accept_all();
    let mut lines: Vec<String> = (0..50)
        .map(|n| format!("2026-11-30T12:00:{:02}+00:00 db1 sshd[1]: Failed password for anna from 198.51.100.7 port 1 ssh2", n % 60))
        .collect();
    lines.push(
        "2026-11-30T12:01:00+00:00 db1 sshd[1]: Accepted password for anna from 198.51.100.7 port 1 ssh2"
            .into(),
    );
    host.write_logs(&lines);
    let run = host.run();
    assert!(
        run.told().contains(&"new logins/guessed/anna/198.51.100.7/2026-11-30 critical".to_string()),
        "{}",
        run.text
    );
    assert!(run.text.contains("50 failures"), "{}", run.text);
}

#[test]
fn restarts_are_told_by_unit() {
    let host = FileHost::new();
    let maps = "7f00-7f01 r-xp 00000000 fe:01 123    /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)\n";
    host.add_process(&FileProcess {
        exe: "/usr/sbin/sshd",
        unit: "nginx.service",
        maps,
        ..FileProcess::default()
    });
    let run = host.run();
    assert!(
        run.told().contains(&"restart-pending updates/restart/nginx.service warning".to_string()),
        "{}",
        run.text
    );
    assert!(run.text.contains("systemctl restart nginx.service"), "{}", run.text);
}

#[test]
fn logins_of_a_database_are_read_from_a_copy() {
    let host = FileHost::new();
    host.accept_all();
    let path = host.path("var/lib/wtmpdb/wtmp.db");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("mkdir");
    let db = rusqlite::Connection::open(&path).expect("sqlite");
    db.execute_batch(
        "pragma journal_mode=wal; create table wtmp(ID integer primary key, Type integer, User text, Login integer, Logout integer, TTY text, RemoteHost text, Service text); \
         insert into wtmp(Type, User, Login, RemoteHost) values (3, 'anna', 1796000000000000, '10.1.2.9'), (3, 'bert', 1796000000000000, '192.0.2.9'), (1, 'reboot', 1796000000000000, '')",
    )
    .expect("rows");
    let before = crate::world::list_below(&host.path("var/lib/wtmpdb"));
    let run = host.run();
    assert_eq!(run.changes(), ["new logins/bert/192.0.2.0-24 warning"], "{}{}", run.text, run.errors);
    assert_eq!(crate::world::list_below(&host.path("var/lib/wtmpdb")), before, "no file was made beside it");
}

#[test]
fn a_table_that_was_cut_is_not_an_empty_one() {
    let host = FileHost::new();
    host.accept_all();
    host.write("proc/net/tcp", "  sl  local_address rem_address   st inode\n   0: 0000");
    let run = host.run();
    assert!(run.told().contains(&"not-seen sockets//proc/net/tcp unknown".to_string()), "{}", run.text);
    assert_eq!(run.changes(), Vec::<String>::new());
}
