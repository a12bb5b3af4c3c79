//! A host at rest tells nothing, whatever changes by itself.

use crate::world::{AT, FileHost};
use proptest::prelude::*;

#[test]
fn the_first_run_asks_for_a_review_and_calls_nothing_new() {
    let host = FileHost::new();
    let run = host.run();
    assert_eq!((run.status, run.changes()), (4, vec![]), "{}{}", run.text, run.errors);
    let told = run.told();
    assert!(told.iter().all(|t| t.starts_with("not-reviewed ")), "{told:?}");
    let subjects =
        ["accounts", "firewall", "kernel", "logins", "privileged", "processes", "root", "sockets", "sshd"];
    assert_eq!(told.len(), subjects.len(), "one for each subject with facts: {told:?}");
}

#[test]
fn what_was_accepted_is_not_told_again_and_the_report_is_the_same() {
    let host = FileHost::new();
    host.accept_all();
    let first = host.run();
    assert_eq!((first.status, first.told()), (0, vec![]), "{}{}", first.text, first.errors);
    assert_eq!(host.run().text, first.text, "byte for byte");
    let plugin = host.tool(&["run", "--monitoring"]);
    assert_eq!(plugin.status, 0, "{}", plugin.text);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]
    #[test]
    fn thirty_quiet_days_tell_nothing_new(seeds in prop::collection::vec(1_u32..2000, 30), reboot in 0_usize..30) {
        let host = FileHost::new();
        host.accept_all();
        let mut lines = Vec::new();
        for (day, seed) in seeds.iter().enumerate() {
            host.write_processes(*seed);
            host.write_sockets(*seed);
            host.count_packets(*seed);
            host.write("proc/uptime", if day == reboot { "60.0 1.0\n" } else { "200000.0 1.0\n" });
            // The same people from the same networks, other arguments, other ports, guesses that failed.
            lines.push(format!("2026-11-30T09:{:02}:00+00:00 db1 sshd[{seed}]: Accepted publickey for anna from 10.1.2.{} port {seed} ssh2", day, seed % 250));
            lines.push(format!("2026-11-30T10:{day:02}:00+00:00 db1 sudo: anna : PWD=/ ; USER=root ; COMMAND=/usr/bin/apt install x{seed}"));
            lines.push(format!("2026-11-30T11:{day:02}:00+00:00 db1 sshd[{seed}]: Failed password for root from 203.0.113.{} port 1 ssh2", seed % 250));
            // Logs rotate away, one day in ten.
            if day % 10 == 9 { lines.clear(); }
            host.write_logs(&lines);
            let run = host.tool_at(&["run", "--json"], AT);
            prop_assert_eq!(run.changes(), Vec::<String>::new(), "day {}: {}", day, run.text);
        }
    }
}
