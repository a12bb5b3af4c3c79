use super::*;

fn line(text: &str) -> HbaLine {
    let words: Vec<&str> = text.split(' ').collect();
    let local = words[0] == "local";
    let (address, netmask) = match (local, words[3].split_once('/')) {
        (true, _) => (None, None),
        (false, Some((a, m))) => (Some(a.to_string()), Some(m.to_string())),
        (false, None) => (Some(words[3].to_string()), None),
    };
    let list = |w: &str| w.split(',').map(String::from).collect();
    HbaLine {
        place: "line 1".into(),
        kind: words[0].into(),
        databases: list(words[1]),
        users: list(words[2]),
        address,
        netmask,
        method: words[if local { 3 } else { 4 }].into(),
        ..HbaLine::default()
    }
}

fn rules(lines: &[&str]) -> Vec<&'static str> {
    let rules: Vec<HbaLine> = lines.iter().map(|l| line(l)).collect();
    super::judge_lines(&rules, &HbaContext::default()).iter().map(crate::finding::AuditFinding::id).collect()
}

#[test]
fn each_weakness_by_itself() {
    let net = "10.0.0.0/255.0.0.0";
    for (text, rule) in [
        ("local all all trust".to_string(), "hba-trust"),
        (format!("host all all {net} trust"), "hba-trust"),
        (format!("host all all {net} password"), "hba-password"),
        (format!("host all all {net} md5"), "hba-md5"),
        (format!("host all all {net} ident"), "hba-ident"),
        (format!("host all all {net} ldap"), "hba-cleartext"),
        (format!("hostssl all all {net} radius"), "hba-cleartext"),
        (format!("hostnossl all all {net} scram-sha-256"), "hba-cleartext"),
        ("host all all 0.0.0.0/0.0.0.0 scram-sha-256".into(), "hba-wide"),
        ("host all all ::/:: scram-sha-256".into(), "hba-wide"),
        ("hostssl all all all cert".into(), "hba-wide"),
    ] {
        assert_eq!(rules(&[&text]), [rule], "{text}");
    }
    for text in
        ["local all all peer", "hostssl all all 10.0.0.0/255.0.0.0 scram-sha-256", "host all all all reject"]
    {
        assert_eq!(rules(&[text]), [""; 0], "{text}");
    }
}

#[test]
fn a_rule_below_one_that_takes_everything() {
    let shadowed = |above: &str, below: &str| rules(&[above, below]).contains(&"hba-unreachable");
    for (above, below) in [
        ("host all all 10.0.0.0/255.0.0.0 reject", "host all all 10.1.0.0/255.255.0.0 trust"),
        ("host all all all reject", "hostssl app alice 10.1.0.0/255.255.0.0 trust"),
        ("local all all peer", "local app all trust"),
        ("host app alice,bert ::/:: reject", "hostnossl app bert fe80::/ffff:: trust"),
    ] {
        assert!(shadowed(above, below), "{above} / {below}");
    }
    for (above, below) in [
        ("host all all 10.1.0.0/255.255.0.0 reject", "host all all 10.0.0.0/255.0.0.0 trust"),
        ("hostssl all all all reject", "host all all all trust"),
        ("local all all peer", "local replication all trust"),
        ("host app all all reject", "host all all all trust"),
        ("host all all 0.0.0.0/0.0.0.0 reject", "host all all ::/:: trust"),
        ("host all +ops all reject", "host all alice all trust"),
    ] {
        assert!(!shadowed(above, below), "{above} / {below}");
    }
}
