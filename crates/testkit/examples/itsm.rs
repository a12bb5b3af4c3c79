//! Writes an ITSM database for benchmarks: `itsm FILE ROWS [DIRT]`, dirt in a thousandth of the places that may have some.

use testkit::itsm::Itsm;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("itsm FILE ROWS [DIRT]")?;
    let rows = args.next().ok_or("itsm FILE ROWS [DIRT]")?.parse()?;
    let dirt = args.next().map_or(Ok(0), |d| d.parse())?;
    let planted = Itsm::rows(rows).dirt(dirt).write(file.as_ref())?;
    eprintln!("{} rows", planted.rows.values().sum::<u64>());
    Ok(())
}
