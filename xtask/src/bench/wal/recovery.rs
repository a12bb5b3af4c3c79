//! What recovery pays for getting its WAL from an archive.

use super::server::Archiver;
use super::{Way, median, wall};
use crate::sh::{self, Failure, Result, read};

const LOCAL: &str = "in pg_wal";

/// Seconds of each way, beside a server that finds all of the WAL in pg_wal.
pub(super) fn measure(archiver: &Archiver<'_>, ways: &[Way], runs: usize) -> Result<String> {
    archiver.reset(ways)?;
    for way in ways {
        archiver.drain(&way.push)?;
    }
    let mut walls = vec![Vec::new(); ways.len() + 1];
    let mut recovered = None;
    for round in 1..=runs {
        let all = std::iter::once((LOCAL, "false")).chain(ways.iter().map(|w| (w.name, w.fetch.as_str())));
        for ((name, fetch), walls) in all.zip(&mut walls) {
            let (seconds, rows) = once(archiver, name, fetch)?;
            println!("recovery {round}: {name:<20} {seconds:>6.2} s, {} rows", rows.trim());
            // Fast to the wrong end is no merit.
            if *recovered.get_or_insert_with(|| rows.clone()) != rows {
                return Err(Failure::new(format!("{name}: recovery ended early")));
            }
            walls.push(seconds);
        }
    }
    let medians: Vec<f64> = walls.iter_mut().map(|w| median(w)).collect();
    let names = std::iter::once(LOCAL).chain(ways.iter().map(|w| w.name));
    let rows =
        names.zip(&medians).map(|(name, s)| format!("| `{name}` | {s:.1} | {:.2} |\n", s / medians[0]));
    Ok(format!("| | s | to files in pg_wal |\n| --- | --- | --- |\n{}", rows.collect::<String>()))
}

/// The base backup, recovered to the end of the archive; a server that is no hot standby answers when it is promoted.
fn once(archiver: &Archiver<'_>, name: &str, fetch: &str) -> Result<(f64, String)> {
    let scratch = archiver.scratch;
    let local = if name == LOCAL { "cp cp/* back/pg_wal/ && " } else { "" };
    let prepare = format!(
        "rm -rf back spool/archive && cp -a base back && {local}touch back/recovery.signal && sync -f back"
    );
    sh::quietly(&mut scratch.shell(&prepare))?;
    let conf = format!(
        "restore_command = '{}'\nhot_standby = off\narchive_mode = off\nport = 6543\nlisten_addresses = ''\n\
         unix_socket_directories = '{}/run'\nshared_buffers = 256MB\nmax_wal_size = 16GB\n",
        fetch.replace('\'', "''"),
        scratch.dir().display()
    );
    scratch.file("back/postgresql.auto.conf", 0o600, conf.as_bytes())?;
    // pg_ctl waits for the start of recovery only.
    let line = "pg_ctl -D back -l back.log -s start && \
        for i in $(seq 6000); do psql -Xqp 6543 -c '' 2>/dev/null && exit; sleep 0.05; done; exit 1";
    let seconds = wall(&mut scratch.shell(line))?;
    let rows = read(&mut scratch.shell("psql -XAtq -p 6543 -c 'select count(*) from pgbench_history'"))?;
    sh::quietly(&mut scratch.shell("pg_ctl -D back -m immediate -s -w stop"))?;
    Ok((seconds, rows))
}
