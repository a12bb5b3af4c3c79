//! Which unit numbers in a column of times are counted in: told only when one alone makes sense of all of them.

use super::stats::ColumnStats;
use crate::model::Conversion;

/// What people record in such columns lies between 1980 and 2100.
const YEARS: (f64, f64) = (315_532_800.0, 4_102_444_800.0);
/// Apple's seconds are taken for those only up to 2038: otherwise no count of Unix seconds would ever be certain.
const APPLE: f64 = 2_147_483_648.0;
/// And only from 2004 on, lest every small number be one.
const APPLE_BEGINS: f64 = 1_078_000_000.0;

/// A unit, its seconds, and the unix second of its zero.
struct EpochScale {
    conversion: Conversion,
    second: f64,
    zero: f64,
    reals: bool,
}

const SCALES: [EpochScale; 8] = [
    EpochScale { conversion: Conversion::EpochS, second: 1.0, zero: 0.0, reals: true },
    EpochScale { conversion: Conversion::EpochMs, second: 1e3, zero: 0.0, reals: true },
    EpochScale { conversion: Conversion::EpochUs, second: 1e6, zero: 0.0, reals: false },
    EpochScale { conversion: Conversion::EpochNs, second: 1e9, zero: 0.0, reals: false },
    EpochScale { conversion: Conversion::WebkitUs, second: 1e6, zero: -11_644_473_600.0, reals: false },
    EpochScale { conversion: Conversion::CocoaS, second: 1.0, zero: 978_307_200.0, reals: true },
    EpochScale { conversion: Conversion::Filetime, second: 1e7, zero: -11_644_473_600.0, reals: false },
    EpochScale {
        conversion: Conversion::Julian,
        second: 1.0 / 86_400.0,
        zero: -210_866_760_000.0,
        reals: true,
    },
];

/// Every unit by which all numbers of the column are times of our days. One: that is it. Several: it cannot be told.
pub(crate) fn candidate_units(stats: &ColumnStats) -> Vec<Conversion> {
    let Some((low, high)) = number_bounds(stats) else { return Vec::new() };
    let real = stats.profile.reals > 0;
    let fits = |s: &&EpochScale| {
        let at = |n: f64| n / s.second + s.zero;
        let years = if s.conversion == Conversion::CocoaS { (APPLE_BEGINS, APPLE) } else { YEARS };
        // The least and the greatest decide for all between them. One number that fits no unit leaves none: then the
        // column stays what it is, and the plan says which units were thought of.
        (s.reals || !real) && at(low) >= years.0 && at(high) <= years.1
    };
    SCALES.iter().filter(fits).map(|s| s.conversion).collect()
}

fn number_bounds(stats: &ColumnStats) -> Option<(f64, f64)> {
    let integers = stats.profile.min.zip(stats.profile.max).map(|(a, b)| (a as f64, b as f64));
    match (integers, stats.reals) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::declared_type::DeclaredType;
    use rusqlite::types::ValueRef;

    fn of(values: &[i64]) -> Vec<Conversion> {
        let mut stats = ColumnStats::new(DeclaredType::Moment);
        values.iter().for_each(|n| stats.add_value(ValueRef::Integer(*n), &String::new));
        candidate_units(&stats)
    }

    #[test]
    fn one_unit_alone_is_told() {
        assert_eq!(of(&[1_700_000_000_000, 1_600_000_000_000]), [Conversion::EpochMs]);
        assert_eq!(of(&[1_700_000_000_000_000]), [Conversion::EpochUs]);
        assert_eq!(of(&[1_700_000_000_000_000_000]), [Conversion::EpochNs]);
        assert_eq!(of(&[13_350_000_000_000_000]), [Conversion::WebkitUs]);
        assert_eq!(of(&[133_500_000_000_000_000]), [Conversion::Filetime]);
        assert_eq!(of(&[1_700_000_000, 1_400_000_000]), [Conversion::EpochS]);
    }

    #[test]
    fn what_may_be_two_units_is_not_told() {
        assert_eq!(of(&[700_000_000]), [Conversion::EpochS, Conversion::CocoaS]);
        assert_eq!(of(&[0, 1_700_000_000]), [] as [Conversion; 0]);
        assert_eq!(of(&[5, 1_700_000_000_000]), [] as [Conversion; 0]);
    }
}
