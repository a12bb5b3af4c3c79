//! The machine's own checks, on fixtures.

use crate::world::{World, alarms};

#[test]
fn processors_are_told_after_three_runs_and_a_reboot_voids_the_counters() {
    let world = World::new();
    let mut busy = 1000;
    let mut severities = Vec::new();
    for run in 0..5 {
        world.set("proc/uptime", &format!("{}.00 0\n", 1000 + run * 60));
        world.set("proc/stat", &format!("cpu  {busy} 0 0 9000 0 0 0 0 0 0\n"));
        busy += 6000;
        let at = format!("2026-12-01T03:0{run}:00Z");
        severities.push(alarms(&world.run(&["cpu", "--json", "--at", &at])).join(","));
    }
    // The first run looks twice at files that stand still.
    assert_eq!(severities, ["cpu cpu unknown", "", "", "cpu cpu warning", "cpu cpu warning"]);
    world.set("proc/sys/kernel/random/boot_id", "0b\n");
    world.set("proc/uptime", "30.00 0\n");
    let ran = world.run(&["cpu", "--json", "--at", "2026-12-01T03:06:00Z"]);
    assert_eq!(alarms(&ran), ["cpu cpu unknown"], "{}", ran.said());
    assert!(ran.stdout.contains("rebooted"), "{}", ran.said());
}

#[test]
fn memory_is_of_the_host_or_of_the_containers_limit() {
    let world = World::new();
    assert!(alarms(&world.run(&["memory", "--json", "--no-state"])).is_empty());
    world.set("proc/self/mountinfo", "30 1 0:9 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    world.set("proc/self/cgroup", "0::/app/one\n");
    world.set("sys/fs/cgroup/app/one/memory.max", "max\n");
    world.set("sys/fs/cgroup/app/one/memory.current", "95000\n");
    world.set("sys/fs/cgroup/app/memory.max", "100000\n");
    world.set("sys/fs/cgroup/app/memory.current", "95000\n");
    world.set("sys/fs/cgroup/app/memory.stat", "inactive_file 1000\n");
    let ran = world.run(&["memory", "--json", "--no-state"]);
    assert_eq!(alarms(&ran), ["memory memory critical"], "{}", ran.said());
    assert!(ran.stdout.contains("\"from\":\"cgroup\""), "{}", ran.said());
    // v1, where a number stands for no limit.
    world.set("proc/self/mountinfo", "30 1 0:9 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    world.set("proc/self/cgroup", "4:memory:/x\n0::/\n");
    world.set("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n");
    world.set("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "95000\n");
    assert!(alarms(&world.run(&["memory", "--json", "--no-state"])).is_empty());
}

#[test]
fn a_kill_for_want_of_memory_is_told_once() {
    let world = World::new();
    let run = |at: &str| alarms(&world.run(&["memory", "--json", "--at", at]));
    assert!(run("2026-12-01T03:00:00Z").is_empty());
    world.set("proc/vmstat", "oom_kill 4\n");
    assert_eq!(run("2026-12-01T03:01:00Z"), ["oom-kill oom-kill critical"]);
    assert!(run("2026-12-01T03:02:00Z").is_empty());
}

#[test]
fn a_state_that_cannot_be_used_changes_no_verdict() {
    let world = World::new();
    world.set("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 50 kB\n");
    let run = || world.run(&["memory", "--json"]);
    run().ended(4);
    for text in ["", "{", "[]", r#"{"form":99,"counters":{},"checks":{},"facts":{}}"#] {
        world.put("state/health/main.json", text);
        let ran = run();
        assert_eq!(alarms(&ran), ["memory memory critical"], "{text}: {}", ran.said());
        assert!(ran.stderr.contains("main.json"), "{text}: {}", ran.said());
    }
}

#[test]
fn every_form_of_answer_agrees_and_nothing_to_check_is_never_well() {
    let world = World::new();
    world.set("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 150 kB\n");
    world.put("toban.toml", &format!("textfile_dir = '{}'\n", world.path("metrics").display()));
    std::fs::create_dir(world.path("metrics")).expect("made");
    let plugin = world.run(&["memory", "handles", "--monitoring", "--no-state"]);
    assert_eq!(plugin.status, Some(1), "{plugin:?}");
    assert!(plugin.stdout.starts_with("WARNING: memory in "), "{plugin:?}");
    assert!(plugin.stdout.contains("'memory'=0.85;0.8;0.9;0;1"), "{plugin:?}");
    let text = world.run(&["memory", "handles", "--no-state"]);
    assert_eq!(text.status, Some(4), "{text:?}");
    assert!(text.stdout.starts_with("WARNING\tmemory\tmemory\t85 % "), "{text:?}");
    assert_eq!(alarms(&world.run(&["memory", "handles", "--json", "--no-state"])), ["memory memory warning"]);
    let metrics =
        std::fs::read_to_string(world.path("metrics/toban_health-check_run_main.prom")).expect("metrics");
    assert!(metrics.contains("toban_health_check_severity{"), "{metrics}");
    assert_eq!(world.run(&["http", "--monitoring"]).status, Some(3));
    world.run(&["http"]).refused(2, "nothing to check");
}

#[test]
fn pressure_and_lines_are_read() {
    let world = World::new();
    world.set(
        "proc/pressure/memory",
        "some avg10=0 avg60=50.00 avg300=0 total=1\nfull avg10=0 avg60=12.00 avg300=0 total=1\n",
    );
    assert_eq!(alarms(&world.run(&["pressure", "--json", "--no-state"])), ["pressure memory critical"]);
    world.set("sys/class/net/eth0/device/x", "");
    world.set("sys/class/net/eth0/operstate", "up\n");
    world.set("sys/class/net/eth0/speed", "1000\n");
    let line = |bytes: u64| {
        format!(
            "head\nhead\n eth0: {bytes} 10 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n veth1: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n"
        )
    };
    for (run, bytes) in [0_u64, 7_000_000_000, 14_000_000_000, 21_000_000_000].into_iter().enumerate() {
        world.set("proc/net/dev", &line(bytes));
        world.set("proc/uptime", &format!("{}.00 0\n", 1000 + run * 60));
        let found = alarms(&world.run(&["network", "--json", "--at", &format!("2026-12-01T03:0{run}:00Z")]));
        assert_eq!(found.len(), usize::from(run == 3), "run {run}: {found:?}");
    }
}
