//! `cargo xtask soak --full NAME`: a random test with its full count; `test` runs a twentieth of it.

use crate::sh::{self, Failure, Result, cargo};
use crate::{setup, test};
use clap::builder::PossibleValuesParser;
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The full count, not the one of every day
    #[arg(long)]
    full: bool,
    /// Which: one of the names below
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(SOAKS.iter().map(|s| s.name)))]
    name: String,
}

/// A random test: every test of `package` whose name holds `filter`, each as long as `much` says.
struct Soak {
    name: &'static str,
    package: &'static str,
    filter: &'static str,
    much: Much,
}

/// By the environment variable that testkit reads.
enum Much {
    Rounds(u32),
    Seconds(u32),
}

use Much::{Rounds, Seconds};

const fn soak(name: &'static str, package: &'static str, filter: &'static str, much: Much) -> Soak {
    Soak { name, package, filter, much }
}

/// The one table of them.
const SOAKS: &[Soak] = &[
    soak("dump-kill", "pg-backup", "kill::dump", Rounds(30)),
    soak("restore-kill", "pg-backup", "kill::replace", Rounds(30)),
    soak("storage-faults", "toban-core", "while_the_cable_is_cut", Rounds(200)),
    soak("dump-cut", "pg-backup", "faults::a_dump_cut_at_any_byte", Rounds(40)),
    soak("foreign-cut", "pg-backup", "cut::no_cut_of_any_form", Rounds(800)),
    soak("flip", "pg-backup", "each_flipped_byte_is_found", Rounds(300)),
    soak("role-graphs", "user-audit", "random_graphs_agree", Rounds(300)),
    soak("retention-model", "pg-backup", "random_histories_keep_every_promise", Rounds(10_000)),
    soak("status-model", "pg-backup", "random_states_are_never_told_better", Rounds(500)),
    soak("retention-binary", "pg-backup", "retention_model_by_the_binary", Rounds(8_000)),
    soak("prune-kill", "pg-backup", "prune_killed_at_any_moment", Rounds(100)),
    soak("run-kill", "pg-backup", "kill::run", Rounds(100)),
    soak("verify-kill", "pg-backup", "kill::verify", Rounds(100)),
    soak("rotation-kill", "pg-backup", "a_rotation_of_keys_that_is_killed", Rounds(50)),
    soak("encrypted-kill", "pg-backup", "a_first_encrypted_run_that_is_killed", Rounds(50)),
    soak("target-kill", "pg-backup", "kill::target", Rounds(50)),
    soak("run-cut", "pg-backup", "faults::a_run_cut_at_any_byte", Rounds(40)),
    soak("copy-kill", "pg-backup", "copy::kill::copy", Rounds(67)),
    soak("pair-kill", "pg-backup", "pairs::killed", Rounds(100)),
    soak("copy-cut", "pg-backup", "a_copy_cut_at_any_byte", Rounds(40)),
    soak("run-flip", "pg-backup", "a_flipped_byte_in_any_object", Rounds(60)),
    // On 15, as many on 17 with WAL summaries, a quarter on each other major: a thousand in all.
    soak("incremental", "pg-backup", "incremental::random_histories", Rounds(400)),
    soak("block-map", "pg-backup", "memory_does_not_grow_with_the_cluster", Rounds(2000)),
    soak("scale", "pg-backup", "a_large_cluster_takes_little_memory", Rounds(2000)),
    soak("many-tables", "pg-backup", "fifty_thousand_tables", Rounds(50_000)),
    soak("segment-boundary", "pg-backup", "relation_of_several_files", Rounds(1200)),
    soak("drill-kill", "pg-drill", "killed::at_any_moment", Rounds(80)),
    soak("push-kill", "wal-shipper", "kill::push_and_server", Rounds(50)),
    soak("recovery-faults", "wal-shipper", "faults::recovery_from_a_failing", Rounds(100)),
    soak("wal-troubles", "wal-shipper", "each_planted_trouble", Rounds(160)),
    soak("backup-troubles", "pg-backup", "each_planted_trouble", Rounds(150)),
    soak("rescue-mistakes", "e2e", "random_mistakes_come_back", Rounds(200)),
    soak("restore-beside", "e2e", "random_histories_leave_the_live", Rounds(200)),
    soak("stream-loss", "wal-shipper", "loss::", Rounds(20)),
    soak("stream-disasters", "e2e", "pitr::disasters::", Rounds(30)),
    soak("stream-failovers", "e2e", "pitr::failovers::", Rounds(20)),
    soak("patroni", "e2e", "pitr::patroni::", Rounds(20)),
    soak("stream-kill", "wal-shipper", "stream_kill::", Rounds(50)),
    // Each parser: of what a peer sends, and of what the judgement of paths reads.
    soak("tls-parsers", "cert-checker", "mutants_", Seconds(600)),
    soak("certificate-changes", "cert-checker", "random_renewals_are_told", Rounds(60)),
    soak("path-parsers", "pkix", "soak::", Seconds(600)),
    soak("migrate-kill", "sqlite-to-pg", "kill::the_client", Rounds(100)),
    soak("migrate-crash", "sqlite-to-pg", "kill::the_server", Rounds(100)),
    soak("sync-kill", "sqlite-to-pg", "follow::sync_is_killed", Rounds(200)),
    soak("cutover-kill", "sqlite-to-pg", "cutover::cutover_is_killed", Rounds(200)),
    soak("cutover-faults", "sqlite-to-pg", "cutover::every_fault", Rounds(1000)),
    soak("capture-statements", "sqlite-to-pg", "capture::random_statements", Rounds(500)),
    // Minutes of a day.
    soak("way-back-day", "sqlite-to-pg", "way_back::r1_a_day", Rounds(1440)),
    soak("migrate-schemas", "sqlite-to-pg", "random_schemas_arrive", Rounds(400)),
    soak("migrate-damage", "sqlite-to-pg", "random_damages_are_never", Rounds(500)),
    soak("migrate-orphans", "sqlite-to-pg", "random_forests_lose", Rounds(120)),
    soak("json-kill", "json-to-pg", "kill::a_run_killed", Rounds(50)),
    soak("json-faults", "json-to-pg", "every_planted_fault", Rounds(1000)),
    // MiB of one file.
    soak("json-memory", "json-to-pg", "memory_does_not_grow_with_the_file", Rounds(2048)),
    soak("verify-faults", "sqlite-to-pg", "every_planted_fault", Rounds(1000)),
    soak("verify-definitions", "sqlite-to-pg", "every_changed_definition", Rounds(500)),
];

pub(crate) fn run(args: &Args) -> Result<()> {
    let soak = SOAKS.iter().find(|s| s.name == args.name);
    let soak = soak.ok_or_else(|| Failure::new(format!("no soak {}", args.name)))?;
    setup::run(&setup::Args::default())?;
    let mut command = command(soak)?;
    if args.full {
        let (variable, number, what) = match soak.much {
            Rounds(n) => ("TOBAN_ROUNDS", n, "rounds"),
            Seconds(n) => ("TOBAN_SECONDS", n, "seconds"),
        };
        println!("{number} {what} of {}", soak.name);
        command.env(variable, number.to_string());
    }
    sh::run(&mut command)
}

/// nextest fails when no test fits; for `cargo test` we look ourselves.
fn command(soak: &Soak) -> Result<Command> {
    if test::has_nextest() {
        let expression = format!("package({}) & test({})", soak.package, soak.filter);
        let mut command = cargo(&["nextest", "run", "--no-tests=fail", "--no-capture", "--profile", "soak"]);
        command.args(["--workspace", "-E", &expression]);
        return Ok(command);
    }
    let listed = sh::read(&mut cargo(&["test", "-q", "-p", soak.package, soak.filter, "--", "--list"]))?;
    if !listed.contains(": test") {
        return Err(Failure::new(format!("no test of {} is called …{}…", soak.package, soak.filter)));
    }
    Ok(cargo(&["test", "-p", soak.package, soak.filter, "--", "--nocapture", "--test-threads=1"]))
}
