//! What the host's own programs say: real nft, iptables and sshd, in namespaces of their own.

use crate::world::{FileHost, run_command};
use std::path::Path;
use std::process::Command;

/// Runs a script in a new network namespace with the unpacked programs on its PATH; gives what it prints.
fn in_namespace(script: &str) -> String {
    let tools = testkit::tool("host/usr/sbin/nft");
    let root = tools.ancestors().nth(3).expect("a tool folder").display().to_string();
    let library = format!("{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu");
    let mut command = Command::new("unshare");
    command.args(["-n", "-m", "sh", "-ec", script]).env("T", &root).env("LD_LIBRARY_PATH", &library);
    command
        .env("XTABLES_LIBDIR", format!("{root}/usr/lib/x86_64-linux-gnu/xtables"))
        .env("PATH", format!("{root}/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin"));
    let done = command.output().expect("unshare");
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8")
}

fn port_of(host: &FileHost, port: u16) -> String {
    host.run();
    let listed = host.tool(&["list", "firewall", "--json"]);
    let key = format!("port/tcp/{port}");
    listed
        .lines
        .iter()
        .find(|l| l["key"] == key.as_str())
        .map(|l| l["value"].as_str().unwrap_or_default().to_string())
        .unwrap_or_default()
}

#[test]
fn rulesets_of_nft_are_judged_as_the_kernel_takes_them() {
    let chain =
        "add table inet f\nadd chain inet f i { type filter hook input priority 0 ; policy POLICY ; }\n";
    for (policy, rules, port) in [
        ("drop", "", "IPv4 closed, IPv6 closed"),
        ("accept", "", "IPv4 open, IPv6 open"),
        (
            "drop",
            "add rule inet f i tcp dport { 22, 443 } ct state new accept comment \"x\"",
            "IPv4 open, IPv6 open",
        ),
        ("drop", "add rule inet f i tcp dport 1000-2000 accept", "IPv4 closed, IPv6 closed"),
        ("drop", "add rule inet f i ct state established,related accept", "IPv4 closed, IPv6 closed"),
        ("drop", "add rule inet f i iifname lo accept", "IPv4 closed, IPv6 closed"),
        ("drop", "add rule inet f i meta nfproto ipv4 tcp dport 22 accept", "IPv4 open, IPv6 closed"),
        (
            "accept",
            "add rule inet f i tcp dport != 22 accept\nadd rule inet f i drop",
            "IPv4 closed, IPv6 closed",
        ),
        ("drop", "add rule inet f i accept", "IPv4 open, IPv6 open"),
        (
            "drop",
            "add chain inet f j\nadd rule inet f j tcp dport 22 accept\nadd rule inet f i jump j",
            "IPv4 open, IPv6 open",
        ),
        (
            "drop",
            "add chain inet f j\nadd rule inet f j return\nadd rule inet f j accept\nadd rule inet f i goto j",
            "IPv4 closed, IPv6 closed",
        ),
        (
            "drop",
            "add rule inet f i ct state vmap { established : accept, invalid : drop }\nadd rule inet f i udp dport 22 accept",
            "IPv4 closed, IPv6 closed",
        ),
        ("drop", "add rule inet f i meta mark 7 accept", "IPv4 not judged, IPv6 not judged"),
    ] {
        let script = format!("{}{rules}\n", chain.replace("POLICY", policy));
        let ruleset = in_namespace(&format!("nft -f - <<'X'\n{script}X\nnft -j list ruleset"));
        let host = FileHost::new();
        host.write("programs/nft-ruleset.json", &ruleset);
        assert_eq!(port_of(&host, 22), port, "{policy} {rules}");
    }
}

#[test]
fn some_of_the_outside_is_not_all_of_it() {
    let ruleset = in_namespace(
        "nft add table inet f; nft 'add chain inet f i { type filter hook input priority 0; policy drop; }'; nft add rule inet f i ip saddr 10.0.0.0/8 tcp dport 22 accept; nft -j list ruleset",
    );
    let host = FileHost::new();
    host.write("programs/nft-ruleset.json", &ruleset);
    assert_eq!(
        port_of(&host, 22),
        "IPv4 open for some (ip saddr 10.0.0.0/8 tcp dport 22 accept), IPv6 closed"
    );
}

#[test]
fn iptables_is_read_in_its_own_words() {
    let script = "iptables-nft -P INPUT DROP; iptables-nft -A INPUT -p tcp -m multiport --dports 22,80:90 -m comment --comment 'two words' -j ACCEPT; \
        iptables-nft -N DOCKER-USER; iptables-nft -t nat -A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80; \
        ip6tables-nft -P INPUT DROP; ip6tables-nft -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT;";
    let host = FileHost::new();
    host.write("programs/nft-ruleset.json", &in_namespace(&format!("{script} nft -j list ruleset")));
    host.write("programs/iptables-nft-save", &in_namespace(&format!("{script} iptables-nft-save")));
    host.write("programs/ip6tables-nft-save", &in_namespace(&format!("{script} ip6tables-nft-save")));
    assert_eq!(port_of(&host, 22), "IPv4 open, IPv6 closed");
    let run = host.run();
    assert!(
        run.told().contains(&"published-past-firewall firewall/published/tcp/8080 warning".to_string()),
        "{}",
        run.text
    );
    host.accept_all();
    // The same rules with other counters and another comment are the same rules.
    host.write(
        "programs/iptables-nft-save",
        &in_namespace(&format!("{} iptables-nft-save", script.replace("two words", "other"))),
    );
    assert_eq!(host.run().changes(), Vec::<String>::new());
}

#[test]
fn sshd_tells_its_settings_for_each_match() {
    let host = FileHost::new();
    let dir = host.dir.path().display().to_string();
    let config = "Include INC\nHostKey DIR/key\nPort 22\nPasswordAuthentication yes\nPermitRootLogin no\nMatch User bob Address 10.0.0.0/8\n  PermitRootLogin yes\n";
    host.write("etc/ssh/first", "PasswordAuthentication no\n");
    let config =
        config.replace("DIR", &dir).replace("INC", &host.path("etc/ssh/first").display().to_string());
    host.write("etc/ssh/sshd_config", &config);
    let ask = |connection: &str| {
        // sshd wants a user and a folder of its own: in a mount namespace they are there for it alone.
        let script = format!(
            "[ -f {dir}/key ] || ssh-keygen -q -t ed25519 -N '' -f {dir}/key; cp /etc/passwd {dir}/passwd; echo 'sshd:x:105:65534::/run/sshd:/usr/sbin/nologin' >> {dir}/passwd; \
             mount --bind {dir}/passwd /etc/passwd; mount -t tmpfs none /run; mkdir -m 755 /run/sshd; $T/usr/sbin/sshd -T -f {dir}/root/etc/ssh/sshd_config {connection}"
        );
        in_namespace(&script)
    };
    host.write("programs/sshd-T", &ask(""));
    host.write(
        "programs/sshd-T_addr=10.0.0.0,host=client.invalid,user=bob",
        &ask("-C addr=10.0.0.0,host=client.invalid,user=bob"),
    );
    let run = host.tool(&["run", "sshd", "--json"]);
    let told = run.told();
    assert!(
        told.contains(
            &"sshd-root-login sshd/User bob Address 10.0.0.0/8/permitrootlogin critical".to_string()
        ),
        "{told:?} {}",
        run.text
    );
    assert!(!run.text.contains("sshd-passwords"), "the included file comes first: {}", run.text);
}

/// On the machine itself: it is read, and nothing of it is changed; what is not seen is said.
#[test]
fn the_machine_itself_is_looked_at() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-audit"));
    command
        .args(["run", "--json", "--state"])
        .arg(dir.path())
        .env("TOBAN_STATE_DIR", dir.path())
        .env_remove("TOBAN_CONFIG");
    let run = run_command(&mut command);
    assert!(run.status == 4 && run.lines.len() > 12, "{}{}", run.text, run.errors);
    assert!(
        run.lines
            .iter()
            .all(|l| l["severity"] != "unknown" || l["text"].as_str().is_some_and(|t| t.len() > 10))
    );
    assert!(Path::new(&dir.path().join("facts.json")).exists());
}
