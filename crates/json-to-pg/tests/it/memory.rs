//! A file that is larger than memory may be: it streams.

use crate::world::World;
use std::io::Write;
use testkit::rounds;

#[test]
fn memory_does_not_grow_with_the_file() {
    let world = World::new();
    // MiB; the full count is 2 GB.
    let mebibytes = rounds(24);
    let file = std::fs::File::create(world.path("data/big.ndjson")).expect("create");
    let mut file = std::io::BufWriter::new(file);
    let line = |n: usize| {
        format!(
            "{{\"id\":{n},\"name\":\"name {n}\",\"price\":{n}.25,\"ok\":true,\"at\":\"2026-01-07T11:49:50.796833Z\",\"tags\":[\"a\",\"b\"],\"note\":\"{}\"}}\n",
            "text ".repeat(20)
        )
    };
    let (mut written, mut n) = (0, 0);
    while written < mebibytes << 20 {
        n += 1;
        let line = line(n);
        written += line.len();
        file.write_all(line.as_bytes()).expect("write");
    }
    drop(file);
    for args in [&["plan", "data", "-o", "plan.toml"][..], &["run", "plan.toml"], &["verify"]] {
        let (status, peak) = peak_memory(&world, args);
        assert_eq!(status, Some(0), "{args:?}");
        assert!(peak <= 64 << 10, "{args:?} took {peak} KiB");
    }
    world.gives(&[("select count(*) from big", &n.to_string())]);
}

/// The status of the tool, and its greatest resident size in KiB, read while it runs.
fn peak_memory(world: &World, args: &[&str]) -> (Option<i32>, u64) {
    let mut child = world.command(args).stdout(std::process::Stdio::null()).spawn().expect("start");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Some(done) = child.try_wait().expect("ask for the tool") {
            return (done.code(), peak);
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let now = line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0);
        peak = peak.max(now);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
