//! Endpoints, Redis, units and the gate.

use crate::world::{World, alarms};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::{tool, until};

/// Answers every request with these bytes; its port.
fn serve(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn endpoints_are_judged_by_status_and_member() {
    let degraded =
        serve("HTTP/1.1 200 OK\r\nContent-Length: 21\r\nConnection: close\r\n\r\n{\"status\":\"degraded\"}");
    let login =
        serve("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let old = serve("HTTP/1.0 200 OK\r\n\r\nwell");
    let closed = serve("");
    let world = World::new();
    world.put(
        "toban.toml",
        &format!(
            "[health.http.degraded]\nurl = 'http://127.0.0.1:{degraded}/'\npointer = '/status'\n\
         [health.http.login]\nurl = 'http://127.0.0.1:{login}/'\n\
         [health.http.old]\nurl = 'http://127.0.0.1:{old}/'\n\
         [health.http.closed]\nurl = 'http://127.0.0.1:{closed}/'\n"
        ),
    );
    let ran = world.run(&["http", "--json", "--no-state"]);
    let found = alarms(&ran);
    assert_eq!(
        found,
        ["http closed critical", "http login critical", "http degraded warning"],
        "{}",
        ran.said()
    );
}

/// A Redis of its own; ended when dropped.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start(world: &World, words: &[&str]) -> Redis {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let libraries = tool("redis/usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(tool("redis/usr/bin/redis-server"));
        command
            .args(["--port", &port.to_string(), "--dir", &world.path("").display().to_string()])
            .args(words);
        command.env("LD_LIBRARY_PATH", libraries).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("starts");
        until("Redis listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|e| e.to_string())
        });
        Redis { child, port }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn redis_is_asked_with_its_password_and_no_password_is_told() {
    let world = World::new();
    let redis = Redis::start(&world, &["--requirepass", "s3cret-word", "--save", ""]);
    let config = |more: &str| {
        world.put(
            "toban.toml",
            &format!("[health.redis.cache]\naddress = '127.0.0.1:{}'\n{more}", redis.port),
        );
    };
    config("");
    let ran = world.run(&["redis", "--json", "--no-state"]);
    assert_eq!(alarms(&ran), ["redis cache unknown"], "{}", ran.said());
    for (word, found) in [("s3cret-word", &[][..]), ("wrong-word", &["redis cache unknown"])] {
        world.put("password", word);
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(world.path("password"), mode).expect("chmod");
        config(&format!("password_file = '{}'\n", world.path("password").display()));
        let ran = world.run(&["redis", "--json", "--no-state"]);
        assert_eq!(alarms(&ran), found, "{}", ran.said());
        assert!(!ran.said().contains(word), "{}", ran.said());
    }
}

#[test]
fn units_are_asked_in_one_call_and_a_hanging_systemctl_hides_nothing() {
    let world = World::new();
    let stand_in = |script: &str| {
        world.put("bin/systemctl", &format!("#!/bin/sh\n{script}\n"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(world.path("bin/systemctl"), mode).expect("chmod");
    };
    let run = || {
        world.run(&["units", "handles", "--json", "--no-state", "--unit", "a.service", "--unit", "b.service"])
    };
    stand_in(
        "printf 'Id=a.service\\nLoadState=loaded\\nActiveState=active\\nSubState=running\\nNRestarts=0\\n\\nId=b.service\\nLoadState=not-found\\nActiveState=inactive\\nSubState=dead\\n'",
    );
    assert_eq!(alarms(&run()), ["unit b.service critical"]);
    stand_in("echo 'System has not been booted with systemd as init system' >&2; exit 1");
    assert_eq!(alarms(&run()), ["unit a.service unknown", "unit b.service unknown"]);
    stand_in("exec sleep 30");
    let ran = run();
    assert_eq!(alarms(&ran), ["unit a.service unknown", "unit b.service unknown"], "{}", ran.said());
    assert!(ran.stdout.contains("file-handles"), "{}", ran.said());
}

#[test]
fn the_gate_says_go_back_or_wait() {
    let world = World::new();
    let log = |name: &str, requests: usize, errors: usize| {
        let line = |n: usize| {
            let status = if n < errors { 502 } else { 200 };
            format!("::1 - - [01/Dec/2026:03:00:00 +0000] \"GET / HTTP/1.1\" {status} 1 \"-\" \"x\" 0.050\n")
        };
        world.put(name, &(0..requests).map(line).collect::<String>());
    };
    log("old.log", 5000, 5);
    let gate = |requests, errors| {
        log("new.log", requests, errors);
        let at = ["--window", "5min", "--at", "2026-12-01T03:02:00Z"];
        world
            .call(&[&["gate", "--json", "--baseline", "old.log", "--candidate", "new.log"], &at[..]].concat())
    };
    assert_eq!(gate(300, 1).status, Some(0));
    let back = gate(300, 30);
    back.refused(4, "must go back");
    gate(50, 0).refused(75, "50 of 100");
}
