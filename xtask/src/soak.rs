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

/// The one table of them.
const SOAKS: &[Soak] = &[
    Soak { name: "dump-kill", package: "pg-backup", filter: "kill::dump", much: Rounds(30) },
    Soak { name: "restore-kill", package: "pg-backup", filter: "kill::replace", much: Rounds(30) },
    Soak {
        name: "storage-faults",
        package: "toban-core",
        filter: "while_the_cable_is_cut",
        much: Rounds(200),
    },
    Soak {
        name: "dump-cut",
        package: "pg-backup",
        filter: "faults::a_dump_cut_at_any_byte",
        much: Rounds(40),
    },
    Soak { name: "flip", package: "pg-backup", filter: "each_flipped_byte_is_found", much: Rounds(300) },
    Soak { name: "role-graphs", package: "user-audit", filter: "random_graphs_agree", much: Rounds(300) },
    Soak { name: "run-kill", package: "pg-backup", filter: "kill::run", much: Rounds(50) },
    Soak { name: "target-kill", package: "pg-backup", filter: "kill::target", much: Rounds(50) },
    Soak { name: "run-cut", package: "pg-backup", filter: "faults::a_run_cut_at_any_byte", much: Rounds(40) },
    Soak { name: "run-flip", package: "pg-backup", filter: "a_flipped_byte_in_any_object", much: Rounds(60) },
    Soak { name: "many-tables", package: "pg-backup", filter: "fifty_thousand_tables", much: Rounds(50_000) },
    Soak {
        name: "segment-boundary",
        package: "pg-backup",
        filter: "relation_of_several_files",
        much: Rounds(1200),
    },
    Soak { name: "drill-kill", package: "pg-drill", filter: "killed::at_any_moment", much: Rounds(80) },
    Soak { name: "push-kill", package: "wal-shipper", filter: "kill::push_and_server", much: Rounds(50) },
    Soak {
        name: "recovery-faults",
        package: "wal-shipper",
        filter: "faults::recovery_from_a_failing",
        much: Rounds(100),
    },
    Soak { name: "stream-loss", package: "wal-shipper", filter: "loss::", much: Rounds(20) },
    Soak { name: "stream-kill", package: "wal-shipper", filter: "stream_kill::", much: Rounds(50) },
    // Each parser: of what a peer sends, and of what the judgement of paths reads.
    Soak { name: "tls-parsers", package: "cert-checker", filter: "mutants_", much: Seconds(600) },
    Soak { name: "path-parsers", package: "cert-checker", filter: "soak::", much: Seconds(600) },
    Soak { name: "migrate-kill", package: "sqlite-to-pg", filter: "kill::the_client", much: Rounds(100) },
    Soak { name: "migrate-crash", package: "sqlite-to-pg", filter: "kill::the_server", much: Rounds(100) },
    Soak {
        name: "migrate-schemas",
        package: "sqlite-to-pg",
        filter: "random_schemas_arrive",
        much: Rounds(400),
    },
    Soak {
        name: "verify-faults",
        package: "sqlite-to-pg",
        filter: "every_planted_fault",
        much: Rounds(1000),
    },
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
