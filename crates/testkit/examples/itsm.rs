//! Writes an ITSM database for benchmarks: `cargo run -p testkit --example itsm -- FILE ROWS [--sequelize] [--dirt N]`.

use std::io::Write;
use testkit::itsm::Itsm;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, rows, flags @ ..] = args.as_slice() else {
        return Err("FILE ROWS [--sequelize] [--dirt N]".into());
    };
    let mut itsm = Itsm::rows(rows.parse()?);
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        itsm = match flag.as_str() {
            "--sequelize" => itsm.sequelize(),
            "--dirt" => itsm.dirt(flags.next().ok_or("--dirt PER-MILLE")?.parse()?),
            other => return Err(format!("what is {other}?").into()),
        };
    }
    let planted = itsm.write(file.as_ref())?;
    let mut stdout = std::io::stdout();
    for (table, rows) in &planted.rows {
        writeln!(stdout, "{table}\t{rows}")?;
    }
    writeln!(stdout, "dirty values\t{}", planted.dirt.len())?;
    Ok(())
}
