//! Several hosts, a primary and a standby, all six target_session_attrs.

use super::*;
use std::time::{Duration, Instant};

const TARGETS: [&str; 6] = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];

#[test]
fn every_target_among_every_set_of_hosts_is_the_one_psql_takes() {
    let dir = temp();
    let primary = server(&[]).set("hot_standby=on").start();
    let standby = server(&[]).standby_of(&primary).start();
    let stopped = 1;
    let around = around(&[], dir.path());
    let (p, s) = (primary.port(), standby.port());
    let mut wrong = Vec::new();
    for ports in
        [vec![p], vec![s], vec![p, s], vec![s, p], vec![stopped, s, p], vec![stopped, p], vec![stopped]]
    {
        for target in TARGETS {
            let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
            let given =
                format!("postgresql://postgres@{}/postgres?target_session_attrs={target}", hosts.join(","));
            wrong.extend(agree(&newest_psql(), Some(&given), &around).err().map(|e| format!("{given}: {e}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_read_only_default_makes_a_primary_read_only() {
    let dir = temp();
    let pg = server(&[]).set("default_transaction_read_only=on").start();
    for target in TARGETS {
        let given = format!("postgresql://postgres@127.0.0.1:{}/?target_session_attrs={target}", pg.port());
        agree(&newest_psql(), Some(&given), &around(&[], dir.path()))
            .unwrap_or_else(|e| panic!("{target}: {e}"));
    }
}

#[test]
fn balancing_spreads_over_the_hosts() {
    let dir = temp();
    let pair = [server(&[]).start(), server(&[]).start()];
    let hosts = pair.each_ref().map(|pg| format!("127.0.0.1:{}", pg.port())).join(",");
    let given = format!("postgresql://postgres@{hosts}/postgres?load_balance_hosts=random");
    let around = around(&[], dir.path());
    let seen: std::collections::BTreeSet<String> =
        (0..30).map(|_| ours(Some(&given), &around).expect("a session")).collect();
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn a_silent_server_is_given_up_in_time_and_the_next_one_taken() {
    let (dir, pg) = (temp(), server(&[]).start());
    // Accepted by the kernel, never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = silent.local_addr().expect("an address").port();
    let around = around(&[], dir.path());
    let started = Instant::now();
    let given =
        format!("postgresql://postgres@127.0.0.1:{port},127.0.0.1:{}/postgres?connect_timeout=2", pg.port());
    ours(Some(&given), &around).expect("the second host");
    let alone = format!("postgresql://postgres@127.0.0.1:{port}/postgres?connect_timeout=2");
    let e = ours(Some(&alone), &around).expect_err("it is refused");
    assert_eq!(e.chain(), format!("connect to 127.0.0.1:{port}: no answer in 2 s"));
    assert_eq!(e.kind(), toban_core::Kind::Retry);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}
