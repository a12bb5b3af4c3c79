//! Messages for people on stderr: plain on a terminal, with journald's priorities in the journal.

use log::{Level, LevelFilter};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

/// Starts logging. `verbosity`: -1 errors only, 0 warnings, 1 what is done, 2 details, 3 everything.
pub fn init(tool: &'static str, verbosity: i8) {
    let level = match verbosity {
        i8::MIN..=-1 => LevelFilter::Error,
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let journal = in_journal();
    let mut builder = env_logger::Builder::new();
    // Libraries' chatter only from -vv on.
    let foreign = if verbosity < 2 { LevelFilter::Error } else { level };
    builder.filter_level(foreign);
    for ours in ["toban_core", "migrate", &tool.replace('-', "_")] {
        builder.filter_module(ours, level);
    }
    if let Ok(filters) = std::env::var("RUST_LOG") {
        builder.parse_filters(&filters);
    }
    // This library logs URLs, and some of ours are secrets.
    for quiet in ["ureq", "ureq_proto"] {
        builder.filter_module(quiet, LevelFilter::Warn);
    }
    // sqlite3-parser says every syntax error here too; its caller tells what comes of it.
    builder.filter_module("sqlite3Parser", LevelFilter::Off);
    builder.format(move |buf, record| {
        let text = record.args().to_string().replace('\n', " ");
        match journal {
            true => writeln!(buf, "<{}>{text}", priority(record.level())),
            false => writeln!(buf, "{tool}: {}{text}", word(record.level())),
        }
    });
    // A second call (tests) keeps the first logger.
    let _ = builder.try_init();
}

/// syslog's numbers, taken by systemd's SyslogLevelPrefix= (sd-daemon(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Warn => "warning: ",
        _ => "",
    }
}

/// Whether stderr goes to the journal: `JOURNAL_STREAM` names its device and inode (systemd.exec(5)).
pub(crate) fn in_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}
