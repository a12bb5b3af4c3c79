//! What the live verbs take from the command line; the doc comments are the help.

use crate::live_help::{CAPTURE_HELP, CUTOVER_HELP, FALLBACK_HELP, STATUS_HELP, SYNC_HELP};
use clap::Args as Group;
use std::path::PathBuf;

/// The two sides of a copy.
#[derive(Group, Debug)]
pub struct CopySides {
    /// The SQLite file that the application writes to
    #[arg(value_name = "DB")]
    pub db: PathBuf,
    /// The target: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub to: Option<String>,
    /// Schema of the copy
    #[arg(long, value_name = "NAME", default_value = "public")]
    pub schema: String,
}

#[derive(Group, Debug)]
#[command(after_long_help = CAPTURE_HELP)]
pub struct CaptureArgs {
    /// The SQLite file that the application writes to
    #[arg(value_name = "DB")]
    pub db: PathBuf,
    /// End the capture: take everything of ours out of the file
    #[arg(long)]
    pub stop: bool,
    /// Say how each table would be captured, and change nothing
    #[arg(short = 'n', long, conflicts_with = "stop")]
    pub dry_run: bool,
}

#[derive(Group, Debug)]
#[command(after_long_help = SYNC_HELP)]
pub struct SyncArgs {
    #[command(flatten)]
    pub sides: CopySides,
    /// Go on until stopped, instead of ending once everything is applied
    #[arg(long)]
    pub follow: bool,
    /// Keep the log in the file, instead of deleting what is applied
    #[arg(long)]
    pub keep_log: bool,
}

#[derive(Group, Debug)]
#[command(after_long_help = STATUS_HELP)]
pub struct LiveStatusArgs {
    #[command(flatten)]
    pub sides: CopySides,
}

#[derive(Group, Debug)]
#[command(after_long_help = CUTOVER_HELP)]
pub struct CutoverArgs {
    #[command(flatten)]
    pub sides: CopySides,
    /// Say how long the window would be, and stop before it
    #[arg(short = 'n', long, conflicts_with_all = ["abort", "finish"])]
    pub dry_run: bool,
    /// Do all of it and the way back on a copy of the file and in a schema of its own, and take both away again
    #[arg(long, conflicts_with_all = ["dry_run", "abort", "finish", "stop_command", "switch_command", "probe"])]
    pub rehearse: bool,
    /// The longest window that is a go
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub max_window: u64,
    /// How long the application's own lock on the file is waited for [default: 5]
    #[arg(long, value_name = "SECONDS")]
    pub lock_wait: Option<u64>,
    /// Stops the application, or shows its maintenance page; run by `sh -c` before the fence
    #[arg(long, value_name = "COMMAND")]
    pub stop_command: Option<String>,
    /// The application is stopped, although its processes cannot be looked at (as in a container, or without being root)
    #[arg(long)]
    pub app_stopped: bool,
    /// Lets the application use PostgreSQL and starts it; run again when a run was killed in the middle of it
    #[arg(long, value_name = "COMMAND")]
    pub switch_command: Option<String>,
    /// Asks whether the application is well: ends with 0
    #[arg(long, value_name = "COMMAND")]
    pub probe: Option<String>,
    /// How long the probe is asked
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub probe_wait: u64,
    /// Lift the fence of a cutover that ended in the middle: the application goes on with SQLite
    #[arg(long, conflicts_with = "finish")]
    pub abort: bool,
    /// The point of no return: take everything of ours out of the database
    #[arg(long)]
    pub finish: bool,
}

#[derive(Group, Debug)]
#[command(after_long_help = FALLBACK_HELP)]
pub struct FallbackArgs {
    #[command(flatten)]
    pub sides: CopySides,
    /// Bring the file up to date and end: the application stays with PostgreSQL
    #[arg(long, conflicts_with_all = ["stop_command", "switch_command", "probe"])]
    pub only_sync: bool,
    /// Stops the application; run by `sh -c` before PostgreSQL refuses writes
    #[arg(long, value_name = "COMMAND")]
    pub stop_command: Option<String>,
    /// Lets the application use the file again and starts it
    #[arg(long, value_name = "COMMAND")]
    pub switch_command: Option<String>,
    /// Asks whether the application is well: ends with 0
    #[arg(long, value_name = "COMMAND")]
    pub probe: Option<String>,
    /// How long the probe is asked
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub probe_wait: u64,
}
