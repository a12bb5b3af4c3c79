//! A run as a whole: statuses, lists, changes, metrics, many targets, simulated lives.

use crate::mint::{Authority, DAY, Wish, now, pem};
use crate::server::{self, Server};
use crate::world::{Found, World, judged_at};
use std::net::TcpListener;
use std::time::{Duration, Instant};

fn served(authority: &Authority, until: i64) -> Server {
    Server::showing(&Wish::server(&[]).between(-60 * DAY, until).signed_by(authority), &[])
}

#[test]
fn statuses_are_the_worst_of_all() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let trust = world.file("root.pem", pem(&[&root.der])).display().to_string();
    let (good, warned, bad) = (served(&root, 60 * DAY), served(&root, 20 * DAY), served(&root, DAY));
    let dead =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let (good, warned, bad) = (good.target(), warned.target(), bad.target());
    let cases: [(&[&str], i32, i32); 6] = [
        (&[&good], 0, 0),
        (&[&good, &warned], 4, 1),
        (&[&warned, &good, &bad], 4, 2),
        (&[&good, &dead], 4, 3),
        (&[&bad, &dead], 4, 2),
        (&[&dead], 75, 3),
    ];
    for (targets, status, plugin) in cases {
        let args = [targets, &["--trust", &trust]].concat();
        assert_eq!(world.check(&args).status, Some(status), "O1 {targets:?}");
        let ran = world.run(&[&["check", "--monitoring", "--at", judged_at()][..], &args].concat());
        assert_eq!(ran.status, Some(plugin), "O1 {targets:?}: {ran:?}");
        assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    }
    let (host, port) = warned.split_once(':').expect("host and port");
    let ran = world.run(&[
        "check",
        "--monitoring",
        "--at",
        judged_at(),
        "-H",
        host,
        "-p",
        port,
        "-w",
        "15",
        "-c",
        "5",
        "--trust",
        &trust,
    ]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("=20.00;15.00:;5.00:"), "{ran:?}");
    for args in [&["check", "--no-such"][..], &["check"], &["check", "h:port"]] {
        assert_eq!(world.run(args).status, Some(2), "{args:?}");
        let ran = world.run(&[args, &["--monitoring"]].concat());
        assert_eq!(ran.status, Some(3), "O6 {ran:?}");
    }
}

#[test]
fn lists_from_stdin_files_and_the_configuration() {
    let mut world = World::new();
    let root = Wish::authority("Root").root();
    let trust = world.file("root.pem", pem(&[&root.der])).display().to_string();
    let server = served(&root, 20 * DAY);
    let list = format!(
        "\u{feff}# of the tests\r\n\r\n{t} trust={trust} warning=10d # soon\r\n{t} any-issuer\r\n",
        t = server.target()
    );
    let ran = world.run_with(&["check", "--json", "--at", judged_at(), "-f", "-"], list.as_bytes());
    assert_eq!(ran.finding_ids(), ["expires warning"], "O6 {ran:?}");
    let file = world.file("targets", list).display().to_string();
    assert_eq!(world.check(&["-f", &file]).finding_ids(), ["expires warning"]);
    world.file("none", "# nothing\n");
    assert_eq!(world.check(&["-f", "none"]).status, Some(1), "nothing checked");
    let section = format!(
        "[certs]\ntargets = [{t:?}]\ntrust = [{trust:?}]\n[[certs.target]]\ntarget = {t:?}\nwarning = \"10d\"\n",
        t = server.target()
    );
    let config = world.file("toban.toml", section).display().to_string();
    world.set("TOBAN_CONFIG", &config);
    let ran = world.check(&[]);
    assert_eq!((ran.finding_ids(), ran.records().len()), (vec!["expires warning".to_string()], 2), "{ran:?}");
    world.file("toban.toml", "[certs]\nwarnin = 1\n");
    let ran = world.check(&[]);
    assert!(ran.status == Some(2) && ran.stderr.contains("warnin"), "{ran:?}");
}

#[test]
fn what_is_accepted_counts_as_ok_until_its_last_day() {
    let mut world = World::new();
    let root = Wish::authority("Root").root();
    let trust = world.file("root.pem", pem(&[&root.der])).display().to_string();
    let server = served(&root, 20 * DAY);
    let target = server.target();
    let entry = |id: &str, until: &str| {
        format!(
            "[[accept]]\ntool = \"cert-checker\"\nid = \"{id}\"\nobject = {target:?}\n\
             reason = \"moves\"\nowner = \"ops\"\nuntil = {until:?}\n"
        )
    };
    let config = world.file("toban.toml", entry("expires", "2999-01-01")).display().to_string();
    world.set("TOBAN_CONFIG", &config);
    let args = [target.as_str(), "--trust", &trust];
    let ran = world.check(&args);
    assert_eq!((ran.status, ran.finding_ids()), (Some(0), vec!["expires ok".to_string()]), "{ran:?}");
    assert_eq!(ran.records()[0]["findings"][0]["accepted"]["owner"], "ops", "{ran:?}");
    let ran = world.run(&[&["check", "--monitoring", "--at", judged_at()][..], &args].concat());
    assert!(ran.status == Some(0) && ran.stdout.contains("1 accepted"), "{ran:?}");
    world.file("toban.toml", entry("expires", "2001-01-01"));
    let ran = world.check(&args);
    assert_eq!(
        (ran.status, ran.finding_ids()),
        (Some(4), vec!["accept-expired warning".into(), "expires warning".into()])
    );
    world.file("toban.toml", entry("no-such-id", "2999-01-01"));
    assert_eq!(world.check(&args).status, Some(2));
}

#[test]
fn changes_are_told_once() {
    let world = World::new();
    let (one, two) = (Wish::authority("One").root(), Wish::authority("Two").root());
    let first = Wish::server(&["a.example", "b.example"]).signed_by(&one);
    let then = Wish::server(&["a.example"]).between(-DAY, 80 * DAY).signed_by(&two);
    let configured = |made: &crate::mint::Made, more: &[&[u8]]| {
        std::sync::Arc::new(server::config(&server::chain(made, more), made, rustls::ALL_VERSIONS))
    };
    let present = std::sync::Arc::new(std::sync::Mutex::new(configured(&first, &[&one.der])));
    let shown = std::sync::Arc::clone(&present);
    let server = Server::start(move |stream| {
        let config = std::sync::Arc::clone(&shown.lock().expect("whole"));
        server::handshake(&config, stream);
    });
    let target = server.target();
    let said = || world.check(&[&target, "--any-issuer"]).finding_ids();
    assert_eq!((said(), said()), (vec![], vec![]));
    *present.lock().expect("whole") = configured(&then, &[]);
    let told = ["changed-chain ok", "changed-issuer ok", "changed-key ok", "changed-names ok"];
    assert_eq!(said(), told, "O7");
    assert_eq!(said(), [""; 0], "O7: once");
    drop(server);
    let ran = world.check(&[&target]);
    assert_eq!(ran.finding_ids(), ["refused unknown"]);
}

#[test]
fn a_read_only_state_is_no_reason_to_say_nothing() {
    let mut world = World::new();
    world.set("TOBAN_STATE_DIR", "/proc/nowhere");
    let root = Wish::authority("Root").root();
    let server = served(&root, 60 * DAY);
    let ran = world.check(&[&server.target(), "--any-issuer"]);
    assert_eq!((ran.finding_ids(), ran.status), (vec![], Some(0)), "O6 {ran:?}");
    assert!(ran.stderr.contains("changes will not be reported"), "{ran:?}");
}

/// 60 targets, a third of them silent: one timeout in all, in the order given.
#[test]
fn many_targets_at_once() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let good = served(&root, 60 * DAY);
    let silent: Vec<TcpListener> =
        (0..20).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let mut list = String::new();
    for (n, listener) in silent.iter().enumerate() {
        let dead = listener.local_addr().expect("an address");
        list += &format!("{good} name={n}.example\n{dead}\n{good} name=localhost\n", good = good.target());
    }
    let begun = Instant::now();
    let ran = world.run_with(
        &["check", "--json", "--at", judged_at(), "--any-issuer", "--timeout", "2s", "-f", "-"],
        list.as_bytes(),
    );
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(3500), "O5: {took:?}");
    let told: Vec<String> =
        ran.records().iter().map(|r| r["target"].as_str().expect("text").to_string()).collect();
    let given: Vec<&str> = list.lines().map(|l| l.split(' ').next().expect("a target")).collect();
    assert_eq!(told, given, "O5: the order");
    assert_eq!(ran.finding_ids().iter().filter(|f| *f == "timeout unknown").count(), 20, "{ran:?}");
}

#[test]
fn ports_of_this_host() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let server = served(&root, 60 * DAY);
    let ran = world.check(&["--discover", "--any-issuer", "--timeout", "2s"]);
    let found = ran.records().iter().any(|r| r["places"][0] == server.target());
    assert!(found, "{ran:?}");
}

/// From an hour to ten years, renewed after two thirds, looked at twenty times in a life and at least daily: no warning
/// before, and at least two looks of notice when nobody renews.
#[test]
fn simulated_lives() {
    let world = World::new();
    let hour = 3600;
    for life in [hour, 6 * hour, DAY, 160 * hour, 47 * DAY, 90 * DAY, 398 * DAY, 3650 * DAY] {
        let made = Wish::server(&[]).between(0, life).self_signed();
        let file = format!("./x{life}.pem");
        world.file(&file, pem(&[&made.der]));
        let timer = (life / 20).min(DAY);
        let said = |at: i64| {
            let at = crate::world::at_text(now() + at);
            world.run(&["check", "--json", "--any-issuer", &file, "--at", &at]).finding_ids()
        };
        let renewal = life * 2 / 3 / timer * timer;
        for at in [0, renewal / 2, renewal] {
            assert_eq!(said(at), [""; 0], "life {life} s, after {at} s");
        }
        // The last looks before its end, whatever the timer's phase.
        let end = life / timer * timer;
        for phase in [0, timer / 2] {
            let last = (0..3).map(|n| end - phase - n * timer);
            let notice: Vec<i64> = last.filter(|at| !said(*at).is_empty()).collect();
            assert!(notice.len() >= 2, "life {life} s: notice at {notice:?}");
        }
    }
}
